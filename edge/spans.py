"""What a recording comes to: people, their spans of one apparent expression, what is said of each, and one answer."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from edge.language.statements import CUE_KINDS
from edge.types import CourseStatement, Event, Explanation

OVER_TIME = " Over time: "
"""Between what is said of a face and what is said of a time."""
AT_FIRST, LATER = "At first: ", "Later: "
"""Before what was said of a face, where the time tells otherwise of the same part of it."""
_LASTING_MS = 1000.0


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
    course: tuple[CourseStatement, ...] = ()
    """What is said of its course, each sentence read back and held against what was measured: all of them hold."""
    explained_ms: float | None = None
    """Time of the frame that the explanation describes."""

    @property
    def text(self) -> str:
        """What is shown of it: the explanation if it is verified, then what happened over the time of the span; empty where nothing passed.
        An explanation that describes a frame before or after something lasting that the same part of the face did says so."""
        parts = self.explanation.text if self.explanation else "", " ".join(said.text for said in self.course)
        return (self._when if parts[0] else "") + OVER_TIME.join(part for part in parts if part)

    @property
    def _when(self) -> str:
        """How the explanation is dated; empty where nothing in the course is at odds with it."""
        if self.explanation is None or self.explained_ms is None:
            return ""
        told = {said.subject: said.direction for said in self.explanation.statements if said.kind in CUE_KINDS}
        for said in self.course:
            moved = {"eye_opening-"} if said.kind == "eyes_closed" else set(said.subjects)
            apart = any(one[:-1] in told and told[one[:-1]] != (1 if one[-1] == "+" else -1) for one in moved)
            times = [(begun, ended) for begun, ended in said.times_ms if ended - begun >= _LASTING_MS]
            if apart and times:
                return AT_FIRST if self.explained_ms < times[0][0] else LATER if self.explained_ms > times[-1][1] else ""
        return ""

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types."""
        return {
            "label": self.label,
            "start_ms": round(self.start_ms, 2),
            "apex_ms": round(self.apex_ms, 2),
            "end_ms": round(self.end_ms, 2),
            "confidence": round(self.confidence, 4),
            "probabilities": _rounded(self.probabilities),
            "text": self.text,
            "explanation": self.explanation.to_dict() if self.explanation else None,
            "course": [said.to_dict() for said in self.course],
        }


@dataclass(frozen=True, slots=True)
class Answer:
    """One label for all of a person's time in a recording, and why."""

    label: str
    confidence: float
    """Its pooled probability, 0…1."""
    probabilities: dict[str, float]
    """Every label's, pooled over the time in which the face was read; they sum to 1."""
    span: int | None
    """Index of the span that speaks most for the label; `None` where it was never on display."""
    text: str
    """The text of that span; empty where nothing passed the checks."""

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types."""
        return {
            "label": self.label,
            "confidence": round(self.confidence, 4),
            "probabilities": _rounded(self.probabilities),
            "span": self.span,
            "text": self.text,
        }


@dataclass(frozen=True, slots=True, eq=False)
class Strip:
    """What was measured, in up to a few hundred equal steps of time: for pictures. A step without a clear face is NaN."""

    start_ms: float = 0.0
    step_ms: float = 0.0
    probabilities: dict[str, np.ndarray] = field(default_factory=dict)
    """Label → `[N]` mean."""
    cues: dict[str, np.ndarray] = field(default_factory=dict)
    """Cue → `[N]` mean deviations."""


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
    answer: Answer | None = None
    """`None` where the face could not be read."""
    strip: Strip = field(default_factory=Strip, compare=False)
    """For pictures; not in `to_dict()`: a table has every frame."""

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types."""
        return {
            "track": self.track,
            "seconds": round(self.seconds, 3),
            "answer": self.answer.to_dict() if self.answer else None,
            "shares": _rounded(self.shares),
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
    """Who was longest in sight first; a person who was away and is not known again counts as another."""

    @property
    def answer(self) -> Answer | None:
        """That of the person who was longest in sight; `None` without one."""
        return self.people[0].answer if self.people else None

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types."""
        return {
            "schema": CLIP_SCHEMA,
            "source": self.source,
            "frames": self.frames,
            "seconds": round(self.seconds, 3),
            "answer": self.answer.to_dict() if self.answer else None,
            "people": [person.to_dict() for person in self.people],
        }


CLIP_SCHEMA = 1
"""Version of `Clip.to_dict()`."""


def _rounded(values: dict[str, float]) -> dict[str, float]:
    return {name: round(value, 4) for name, value in values.items()}
