"""Open Sound Control over UDP, for media software: one message per frame, one bundle per face."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from edge.errors import UsageError
from edge.library import load
from edge.outputs.sink import Sink
from edge.types import Face, Reading

log = logging.getLogger(__name__)


class OscSink(Sink):
    """Sends each reading to one receiver.

    | address | arguments |
    |---|---|
    | `/edge/frame` | frame (i), t_ms (f), number of faces (i) |
    | `/edge/face` | track (i), emotion (s), confidence (f), x, y, width, height of the box (f, shares of the picture) |
    | `/edge/probabilities` | track (i), then every label's probability (f), in the bundle's order |
    | `/edge/cues` | track (i), then every cue (f), in the bundle's order |
    | `/edge/pose` | track (i), yaw, pitch, roll (f, degrees) |
    | `/edge/explanation` | track (i), status (s), text (s, empty unless verified) |
    | `/edge/statement` | each of the text's: track, index (i), kind, subject (s), direction (i), band (s), measured (f), holds (i) |

    UDP gives no receipt: a receiver that is not there is no error.
    """

    def __init__(self, host: str, port: int) -> None:
        """Open the socket.

        Raises:
            BackendError: python-osc is missing.
            UsageError: no such host.
        """
        bundles, messages, clients = (
            load(f"pythonosc.{part}", name="python-osc", holds=holds, get="pip install 'erv-edge[osc]'", remove="python-osc")
            for part, holds in (
                ("osc_bundle_builder", "OscBundleBuilder"),
                ("osc_message_builder", "build_msg"),
                ("udp_client", "UDPClient"),
            )
        )
        self._message = messages.build_msg
        self._bundle: Callable[[], Any] = lambda: bundles.OscBundleBuilder(bundles.IMMEDIATELY)
        try:
            self._client: Any = clients.UDPClient(host, port)
        except (OSError, UnicodeError) as error:  # UnicodeError: no name of a host
            raise UsageError(f"--osc: cannot send to '{host}:{port}': {getattr(error, 'strerror', None) or error}") from None
        self._failing = False

    def write(self, reading: Reading) -> None:
        if self._client is None:
            return
        self._send(self._message("/edge/frame", [reading.frame, float(reading.t_ms), len(reading.faces)]))
        for face in reading.faces:
            bundle = self._bundle()
            for address, values in messages(face, reading.width, reading.height):
                bundle.add_content(self._message(address, values))
            self._send(bundle.build())

    def close(self) -> None:
        if self._client is not None:
            self._client.close()
            self._client = None

    def _send(self, content: Any) -> None:
        """A network that is gone for a while must not end the run: said once, tried again at the next reading."""
        try:
            self._client.send(content)
            self._failing = False
        except OSError as error:
            if not self._failing:
                log.warning("OSC cannot be sent: %s", error.strerror or error)
            self._failing = True


def messages(face: Face, width: int, height: int) -> list[tuple[str, list[Any]]]:
    """A face's messages: address and arguments; `width` and `height` are the picture's, pixels."""
    x1, y1, x2, y2 = map(float, face.detection.box_xyxy)
    box = [x1 / width, y1 / height, (x2 - x1) / width, (y2 - y1) / height]
    found: list[tuple[str, list[Any]]] = [
        ("/edge/face", [face.track, face.emotion, float(face.confidence), *box]),
        ("/edge/probabilities", [face.track, *map(float, face.probabilities.values())]),
        ("/edge/cues", [face.track, *map(float, face.cues.values())]),
        ("/edge/pose", [face.track, face.pose.yaw_deg, face.pose.pitch_deg, face.pose.roll_deg]),
    ]
    if face.explanation:
        found.append(("/edge/explanation", [face.track, face.explanation.status.value, face.explanation.text]))
        for i, said in enumerate(face.explanation.statements if face.explanation.text else ()):
            values = [said.kind, said.subject, said.direction, said.band, float(said.measured), int(said.holds)]
            found.append(("/edge/statement", [face.track, i, *values]))
    return found
