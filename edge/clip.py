"""A recording as spans: who was in it, what each seemed to express from when to when, and what happened meanwhile.

from edge import read_clip

clip = read_clip("talk.mp4")
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass, field, replace

from edge.language.happenings import Happening, Stretch, allot
from edge.language.telling import verify, write
from edge.live.course import Course, Spread
from edge.live.pool import Pool
from edge.live.strip import Means
from edge.pipeline import Pipeline
from edge.sources.camera import Source
from edge.spans import Answer, Appearance, Clip, Span, Strip
from edge.types import Event, Explanation, Face, Reading, Verdict

LOST_MS = 500.0
"""A person who is out of sight for longer ends a span, and no frame counts for longer."""


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
            if face.track not in self._people:
                self._people[face.track] = _Person(face, reading.t_ms)
            self._people[face.track].see(face, reading.t_ms, lasts_ms)


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
    pool: Pool = field(default_factory=Pool)
    explanation: Explanation | None = None
    explained_ms: float | None = None
    spread: Spread = field(default_factory=Spread)


class _Person:
    def __init__(self, face: Face, t_ms: float) -> None:
        self._spans: list[Span] = []
        self._stretches: list[Stretch] = []
        """Of each span, without what happened in it."""
        self._pool, self._pools = Pool(), list[Pool]()
        self._cues, self._probabilities = Means(t_ms), Means(t_ms)
        self._events: list[Event] = []
        self._happenings: list[Happening] = []
        self._course = Course(tuple(face.cues))
        self._open: _Open | None = None
        self._ms = {"seen": 0.0, "hidden": 0.0, "abstained": 0.0}
        self._labels: dict[str, float] = {}

    def see(self, face: Face, t_ms: float, lasts_ms: float) -> None:
        values, over = self._course.see(face, t_ms)
        self._happenings += over
        self._events += [event for event in face.events if event.phase in ("offset", "done", "ended")]
        self._ms["seen"] += lasts_ms
        self._ms["hidden"] += lasts_ms * bool(face.hidden)
        self._ms["abstained"] += lasts_ms * bool(face.explanation and face.explanation.status is Verdict.ABSTAINED)
        self._labels[face.emotion] = self._labels.get(face.emotion, 0.0) + lasts_ms
        if self._open and (self._open.label != face.emotion or t_ms - self._open.end_ms > LOST_MS):
            self._close()
        span = self._open = self._open or _Open(face.emotion, t_ms, t_ms, t_ms)
        span.end_ms = t_ms + lasts_ms
        span.spread.see(values)
        self._cues.see(t_ms, dict(zip(face.cues, values, strict=True)))
        self._probabilities.see(t_ms, face.probabilities)
        if face.confidence > span.confidence:
            span.confidence, span.apex_ms = face.confidence, t_ms
        weight = max(lasts_ms, 1e-6)
        span.weight += weight
        span.pool.see(face.probabilities, weight)
        self._pool.see(face.probabilities, weight)
        for name, value in face.probabilities.items():
            span.sums[name] = span.sums.get(name, 0.0) + weight * value
        said = face.explanation
        if said and said.answer == face.emotion and (said.text or not (span.explanation and span.explanation.text)):
            span.explanation, span.explained_ms = said, face.explained_t_ms

    def appearance(self, track: int) -> Appearance:
        self._happenings += self._course.pause()
        if self._open:
            self._close()
        seen_ms = max(self._ms["seen"], 1e-6)
        unread_ms = self._labels.get("", 0.0)
        read_ms = self._ms["seen"] - unread_ms
        shares = {name: spent_ms / read_ms for name, spent_ms in sorted(self._labels.items()) if name and read_ms > 0}
        unread, hidden, abstained = (value / seen_ms for value in (unread_ms, self._ms["hidden"], self._ms["abstained"]))
        spans = self._told()
        strip = Strip(self._cues.start_ms, self._cues.step_ms, self._probabilities.means(), self._cues.means())
        events, answer = tuple(self._events), self._answer(spans)
        return Appearance(track, self._ms["seen"] / 1e3, spans, events, shares, unread, hidden, abstained, answer, strip)

    def _close(self) -> None:
        span, self._open = self._open, None
        assert span
        mean = {name: total / span.weight for name, total in span.sums.items()} if span.label else {}
        read = Span(span.label, span.start_ms, span.apex_ms, span.end_ms, span.confidence, mean, span.explanation)
        self._spans.append(replace(read, explained_ms=span.explained_ms))
        self._pools.append(span.pool)
        in_sight = min(span.weight / max(span.end_ms - span.start_ms, 1e-6), 1.0)
        self._stretches.append(Stretch(span.start_ms, span.end_ms, spread=span.spread.value, seen=span.spread.seen * in_sight))

    def _told(self) -> tuple[Span, ...]:
        """The spans with what is said of their courses, which is read back before it is shown."""
        whole = allot(self._stretches, self._happenings)
        return tuple(replace(span, course=verify(write(known), known)) for span, known in zip(self._spans, whole, strict=True))

    def _answer(self, spans: tuple[Span, ...]) -> Answer | None:
        """The label that the pooled probabilities speak for, with the text of the span that does so most; one with a text goes first."""
        read = self._pool.probabilities
        if not read:
            return None
        label = max(read, key=lambda name: read[name])
        shown = [i for i, span in enumerate(spans) if span.label == label]
        best = max(shown, key=lambda i: (_explained(spans[i]), self._pools[i][label]), default=None)
        return Answer(label, read[label], read, best, "" if best is None else spans[best].text)


def _explained(span: Span) -> bool:
    return bool(span.explanation and span.explanation.text)
