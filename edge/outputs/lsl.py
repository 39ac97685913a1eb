"""Lab Streaming Layer: the largest face as a numeric stream, what is said about it as a stream of markers."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from edge.library import load
from edge.outputs.sink import Sink
from edge.types import Face, Reading

if TYPE_CHECKING:
    import pylsl


class LslSink(Sink):
    """Two outlets of irregular rate, for the largest face of each reading.

    `NAME`, type `Expression`, float32: `track, score, confidence`, then `p_<label>`, `cue_<cue>`, `yaw, pitch, roll, valence,
    arousal`, `au_<unit>`; NaN while there is no face, or it is not read. `NAME-events`, type `Markers`, one string: a JSON object
    `{"track", "emotion", "confidence", "status", "text", "statements"}` whenever label, track, verdict or text changes, and
    `{"track": null}` when the last face goes; `statements` are those of the text, empty without one.

    A sample's time is when its frame was captured; of a file that is not played in real time, when it was taken up.
    """

    def __init__(self, name: str, labels: Sequence[str], cues: Sequence[str], units: Sequence[str] = ()) -> None:
        """Open the outlets.

        Args:
            name: of the stream, and of its source id: a recorder finds it again after a restart.
            labels: the bundle's labels, in its order.
            cues: the bundle's cues, in its order.
            units: the bundle's action units, in its order.

        Raises:
            BackendError: pylsl or its library is missing.
        """
        lsl = _pylsl()
        self._clock = lsl.local_clock
        self._labels, self._cues, self._units = tuple(labels), tuple(cues), tuple(units)
        self.channels = [
            "track", "score", "confidence", *(f"p_{n}" for n in labels), *(f"cue_{n}" for n in cues), "yaw", "pitch", "roll",
            "valence", "arousal", *(f"au_{n}" for n in units),
        ]  # fmt: skip
        info = lsl.StreamInfo(name, "Expression", len(self.channels), lsl.IRREGULAR_RATE, lsl.cf_float32, f"erv-edge-{name}")
        listed = info.desc().append_child("channels")
        for channel in self.channels:
            listed.append_child("channel").append_child_value("label", channel)
        self._numbers: pylsl.StreamOutlet | None = lsl.StreamOutlet(info)
        events = lsl.StreamInfo(f"{name}-events", "Markers", 1, lsl.IRREGULAR_RATE, lsl.cf_string, f"erv-edge-{name}-events")
        self._events: pylsl.StreamOutlet | None = lsl.StreamOutlet(events)
        self._last: dict[str, Any] = {"track": None}

    def write(self, reading: Reading) -> None:
        if self._numbers is None or self._events is None:
            return
        age_s = time.monotonic() - reading.captured_s if reading.captured_s else reading.latency_ms.get("total", 0.0) / 1000
        stamp = self._clock() - age_s
        face = reading.faces[0] if reading.faces else None
        self._numbers.push_sample(self._sample(face) if face else [math.nan] * len(self.channels), stamp)
        event = _event(face)
        if _steady(event) != _steady(self._last):
            self._events.push_sample([json.dumps(event)], stamp)
        self._last = event

    def _sample(self, face: Face) -> list[float]:
        read = [face.probabilities.get(n, math.nan) for n in self._labels] + [face.cues.get(n, math.nan) for n in self._cues]
        pose = face.pose
        affect = [math.nan if value is None else value for value in (face.valence, face.arousal)]
        units = [face.action_units[n].intensity if n in face.action_units else math.nan for n in self._units]
        turned = (pose.yaw_deg, pose.pitch_deg, pose.roll_deg)
        return [float(face.track), face.detection.score, face.confidence, *read, *turned, *affect, *units]

    def close(self) -> None:
        self._numbers = self._events = None  # the outlets' destructors close them


def _event(face: Face | None) -> dict[str, Any]:
    if face is None:
        return {"track": None}
    said = face.explanation
    return {
        "track": face.track,
        "emotion": face.emotion,
        "confidence": round(face.confidence, 4),
        "status": said.status.value if said else None,
        "text": said.text if said else "",
        "statements": [statement.to_dict() for statement in said.statements] if said and said.text else [],
    }


def _steady(event: dict[str, Any]) -> dict[str, Any]:
    """An event without its numbers, which change from frame to frame."""
    return {name: value for name, value in event.items() if name not in ("confidence", "statements")}


def _pylsl() -> Any:  # a module without types
    return load(
        "pylsl",
        name="pylsl, for Lab Streaming Layer,",
        holds="StreamOutlet",
        get="pip install 'erv-edge[lsl]'",
        needs="install liblsl, or set PYLSL_LIB to its path",
    )
