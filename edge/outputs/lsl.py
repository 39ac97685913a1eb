"""Lab Streaming Layer: people as numeric streams, what is said about them and what happened in their faces as a stream of markers."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from edge.errors import UsageError
from edge.library import load
from edge.outputs.sink import Sink
from edge.types import Face, Reading

if TYPE_CHECKING:
    import pylsl

MOST_PEOPLE = 16
"""Streams of one sink, at most."""


class LslSink(Sink):
    """Outlets of irregular rate: one of numbers for each of so many people at once, and one of markers about them.

    `NAME`, type `Expression`, float32: `track, score, confidence`, then `p_<label>`, `cue_<cue>`, `yaw, pitch, roll, valence,
    arousal`, `au_<unit>`; NaN while there is no face, or it is not read. It is the largest face of each reading; with `people` above 1
    there are `NAME-1`, `NAME-2` and so on, and a person keeps the first that was free until they leave.

    `NAME-events`, type `Markers`, one string: a JSON object `{"track", "emotion", "confidence", "status", "text", "statements"}` whenever
    label, track, verdict or text of a person changes, `{"track": null, "left"}` when they go, and `{"track", "event"}` for what began,
    peaked or ended in their face; `statements` are those of the text, empty without one.

    A sample's time is when its frame was captured; of a file that is not played in real time, when it was taken up. An event's is when it
    happened.
    """

    def __init__(self, name: str, labels: Sequence[str], cues: Sequence[str], units: Sequence[str] = (), *, people: int = 1) -> None:
        """Open the outlets.

        Args:
            name: of the stream, and of its source id: a recorder finds it again after a restart.
            labels: the bundle's labels, in its order.
            cues: the bundle's cues, in its order.
            units: the bundle's action units, in its order.
            people: how many have a stream of their own, 1 to 16; who finds none free has none.

        Raises:
            BackendError: pylsl or its library is missing.
            UsageError: `people` is out of range.
        """
        if not 1 <= people <= MOST_PEOPLE:
            raise UsageError(f"Lab Streaming Layer serves 1 to {MOST_PEOPLE} people, not {people}")
        lsl = _pylsl()
        self._clock = lsl.local_clock
        self._labels, self._cues, self._units = tuple(labels), tuple(cues), tuple(units)
        self.channels = [
            "track", "score", "confidence", *(f"p_{n}" for n in labels), *(f"cue_{n}" for n in cues), "yaw", "pitch", "roll",
            "valence", "arousal", *(f"au_{n}" for n in units),
        ]  # fmt: skip
        names = [name] if people == 1 else [f"{name}-{i}" for i in range(1, people + 1)]
        self._numbers: list[pylsl.StreamOutlet] = [lsl.StreamOutlet(self._described(lsl, one)) for one in names]
        events = lsl.StreamInfo(f"{name}-events", "Markers", 1, lsl.IRREGULAR_RATE, lsl.cf_string, f"erv-edge-{name}-events")
        self._events: pylsl.StreamOutlet | None = lsl.StreamOutlet(events)
        self._last: list[dict[str, Any]] = [_event(None)] * people

    def _described(self, lsl: Any, name: str) -> Any:
        info = lsl.StreamInfo(name, "Expression", len(self.channels), lsl.IRREGULAR_RATE, lsl.cf_float32, f"erv-edge-{name}")
        listed = info.desc().append_child("channels")
        for channel in self.channels:
            listed.append_child("channel").append_child_value("label", channel)
        return info

    def write(self, reading: Reading) -> None:
        age_s = time.monotonic() - reading.captured_s if reading.captured_s else reading.latency_ms.get("total", 0.0) / 1000
        stamp = self._clock() - age_s
        for i, (outlet, face) in enumerate(zip(self._numbers, self._places(reading.faces), strict=False)):
            outlet.push_sample(self._sample(face) if face else [math.nan] * len(self.channels), stamp)
            before, marker = self._last[i]["track"], _event(face)
            if before is not None and (face is None or (len(self._last) > 1 and face.track != before)):
                self._mark({"track": None, "left": before}, stamp)
            if face and _steady(marker) != _steady(self._last[i]):
                self._mark(marker, stamp)
            self._last[i] = marker
            if face:
                for event in face.events:
                    self._mark({"track": face.track, "event": event.to_dict()}, stamp - (reading.t_ms - event.t_ms) / 1000)

    def _places(self, faces: Sequence[Face]) -> list[Face | None]:
        """Whose numbers go to each outlet: the largest face's to the only one; else a person stays where they were."""
        if len(self._last) == 1:
            return [faces[0] if faces else None]
        here = {face.track: face for face in faces}
        places = [here.pop(last["track"], None) for last in self._last]
        waiting = iter(here.values())
        return [face or next(waiting, None) for face in places]

    def _mark(self, marker: dict[str, Any], stamp: float) -> None:
        if self._events is not None:
            self._events.push_sample([json.dumps(marker)], stamp)

    def _sample(self, face: Face) -> list[float]:
        read = [face.probabilities.get(n, math.nan) for n in self._labels] + [face.cues.get(n, math.nan) for n in self._cues]
        pose = face.pose
        affect = [math.nan if value is None else value for value in (face.valence, face.arousal)]
        units = [face.action_units[n].intensity if n in face.action_units else math.nan for n in self._units]
        turned = (pose.yaw_deg, pose.pitch_deg, pose.roll_deg)
        return [float(face.track), face.detection.score, face.confidence, *read, *turned, *affect, *units]

    def close(self) -> None:
        self._numbers, self._events = [], None  # the outlets' destructors close them


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
