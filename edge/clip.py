"""A recording as spans: who was in it, what each seemed to express from when to when, and what happened meanwhile.

from edge import read_clip

clip = read_clip("talk.mp4")
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

from edge.pipeline import Pipeline
from edge.sources.camera import Source
from edge.types import Event, Explanation, Face, Reading, Verdict

LOST_MS = 500.0
"""A person who is out of sight for longer ends a span, and no frame counts for longer."""


@dataclass(frozen=True, slots=True)
class Span:
    """A time in which one label was on display for one person."""

    label: str
    """The apparent expression; empty while the face could not be read."""
    start_ms: float
    apex_ms: float
    """When the label was most probable."""
    end_ms: float
    confidence: float
    """Probability of the label at its apex; 0 without one."""
    probabilities: dict[str, float]
    """Mean of every label's over the span's time; empty without a label."""
    explanation: Explanation | None
    """One that was made in the span and speaks for its label: the last verified one, else the last; `None` without any."""

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types."""
        return {
            "label": self.label,
            "start_ms": round(self.start_ms, 2),
            "apex_ms": round(self.apex_ms, 2),
            "end_ms": round(self.end_ms, 2),
            "confidence": round(self.confidence, 4),
            "probabilities": {name: round(value, 4) for name, value in self.probabilities.items()},
            "explanation": self.explanation.to_dict() if self.explanation else None,
        }


@dataclass(frozen=True, slots=True)
class Appearance:
    """One person of a recording."""

    track: int
    seconds: float
    """In sight."""
    spans: tuple[Span, ...]
    events: tuple[Event, ...]
    """Movements that have ended, blinks, closed eyes, nods, shakes and turning away that have ended."""
    shares: dict[str, float]
    """Label → share of the time in which the face was read; they sum to 1, or are empty."""
    unread: float
    """Share of the time in sight without a label, because the face was too small, turned or blurred."""
    hidden: float
    """Share of the time in sight in which some cue was out of sight."""
    abstained: float
    """Share of the time in sight in which the label was too unsure to be explained."""

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types."""
        return {
            "track": self.track,
            "seconds": round(self.seconds, 3),
            "shares": {name: round(value, 4) for name, value in self.shares.items()},
            "unread": round(self.unread, 4),
            "hidden": round(self.hidden, 4),
            "abstained": round(self.abstained, 4),
            "spans": [span.to_dict() for span in self.spans],
            "events": [event.to_dict() for event in self.events],
        }


@dataclass(frozen=True, slots=True)
class Clip:
    """A recording."""

    source: str
    frames: int
    seconds: float
    people: tuple[Appearance, ...]
    """Who was longest in sight first; a person who was away for more than two seconds counts as another."""

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types."""
        people = [person.to_dict() for person in self.people]
        return {"source": self.source, "frames": self.frames, "seconds": round(self.seconds, 3), "people": people}


def read_clip(source: Source, *, pipeline: Pipeline | None = None, explain: str | float = "change") -> Clip:
    """Read a recording.

    Args:
        source: a video file, or whatever else `Pipeline.stream` takes and comes to an end.
        pipeline: reads it; one of the shipped bundle is loaded when `None`.
        explain: as in `Pipeline.stream`.

    Raises:
        InputError: it cannot be read, or breaks off.
    """
    with ExitStack() as stack:
        reader = pipeline or stack.enter_context(Pipeline.load())
        return summarise(stack.enter_context(reader.stream(source, explain=explain)))


def summarise(readings: Iterable[Reading]) -> Clip:
    """The clip that a recording's readings come to."""
    writer = ClipWriter()
    for reading in readings:
        writer.see(reading)
    return writer.clip()


class ClipWriter:
    """Collects a clip while it is read; its memory grows with what happens, not with the frames."""

    def __init__(self) -> None:
        self._people: dict[int, _Person] = {}
        self._source, self._frames = "", 0
        self._first_ms = self._last_ms = self._step_ms = 0.0
        self._before: Reading | None = None

    def see(self, reading: Reading) -> None:
        """Take in the next reading."""
        if self._before is None:
            self._source, self._first_ms = reading.source, reading.t_ms
        else:
            self._step_ms = min(reading.t_ms - self._before.t_ms, LOST_MS)
            self._take(self._before, self._step_ms)
        self._before, self._last_ms = reading, reading.t_ms
        self._frames += 1

    def clip(self) -> Clip:
        """What has been seen so far."""
        if self._before is not None:  # its last frame lasts as long as the one before
            self._take(self._before, self._step_ms)
            self._before = None
        people = sorted((person.appearance(track) for track, person in self._people.items()), key=lambda one: -one.seconds)
        seconds = (self._last_ms - self._first_ms + self._step_ms) / 1e3
        return Clip(self._source, self._frames, seconds, tuple(people))

    def _take(self, reading: Reading, lasts_ms: float) -> None:
        for face in reading.faces:
            self._people.setdefault(face.track, _Person()).see(face, reading.t_ms, lasts_ms)


@dataclass(slots=True)
class _Open:
    """A span that is under way."""

    label: str
    start_ms: float
    apex_ms: float
    end_ms: float
    confidence: float = 0.0
    sums: dict[str, float] = field(default_factory=dict)
    weight: float = 0.0
    explanation: Explanation | None = None


class _Person:
    def __init__(self) -> None:
        self._spans: list[Span] = []
        self._events: list[Event] = []
        self._open: _Open | None = None
        self._ms = {"seen": 0.0, "hidden": 0.0, "abstained": 0.0}
        self._labels: dict[str, float] = {}

    def see(self, face: Face, t_ms: float, lasts_ms: float) -> None:
        self._events += [event for event in face.events if event.phase in ("offset", "done", "ended")]
        self._ms["seen"] += lasts_ms
        self._ms["hidden"] += lasts_ms * bool(face.hidden)
        self._ms["abstained"] += lasts_ms * bool(face.explanation and face.explanation.status is Verdict.ABSTAINED)
        self._labels[face.emotion] = self._labels.get(face.emotion, 0.0) + lasts_ms
        if self._open and (self._open.label != face.emotion or t_ms - self._open.end_ms > LOST_MS):
            self._close()
        span = self._open = self._open or _Open(face.emotion, t_ms, t_ms, t_ms)
        span.end_ms = t_ms + lasts_ms
        if face.confidence > span.confidence:
            span.confidence, span.apex_ms = face.confidence, t_ms
        weight = max(lasts_ms, 1e-6)
        span.weight += weight
        for name, value in face.probabilities.items():
            span.sums[name] = span.sums.get(name, 0.0) + weight * value
        said = face.explanation
        if said and said.answer == face.emotion and (said.text or not (span.explanation and span.explanation.text)):
            span.explanation = said

    def appearance(self, track: int) -> Appearance:
        if self._open:
            self._close()
        seen_ms = max(self._ms["seen"], 1e-6)
        unread_ms = self._labels.get("", 0.0)
        read_ms = self._ms["seen"] - unread_ms
        shares = {name: spent_ms / read_ms for name, spent_ms in sorted(self._labels.items()) if name and read_ms > 0}
        parts = (value / seen_ms for value in (unread_ms, self._ms["hidden"], self._ms["abstained"]))
        return Appearance(track, self._ms["seen"] / 1e3, tuple(self._spans), tuple(self._events), shares, *parts)

    def _close(self) -> None:
        span, self._open = self._open, None
        assert span
        mean = {name: total / span.weight for name, total in span.sums.items()} if span.label else {}
        self._spans.append(Span(span.label, span.start_ms, span.apex_ms, span.end_ms, span.confidence, mean, span.explanation))
