"""What a face did over time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Event:
    """Something that began, peaked or ended in one face."""

    kind: str
    """`movement` of a cue, `blink`, `eyes_closed`, `nod`, `shake` or `turned_away`."""
    phase: str
    """`onset`, `apex` and `offset` of a movement; `began` and `ended` of closed eyes and a head turned away; `done` of the others."""
    subject: str
    """The cue, or the axis of the head (`yaw`, `pitch`)."""
    direction: int
    """+1: the cue rises, the head turns to the person's left or up; −1: falls, right or down."""
    t_ms: float
    """When it happened, in the time of `Reading.t_ms`: a little before the frame that it comes with."""
    onset_ms: float
    """When it began, as far as is known then."""
    amplitude: float
    """How far it has gone: deviations of the cue, degrees of the head."""
    rise_ms: float | None = None
    """From its onset to the end of its rise; `None` before that is known, and where it is not measured."""
    duration_ms: float | None = None
    """From its onset to its end; `None` before."""

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types."""
        return {
            "kind": self.kind,
            "phase": self.phase,
            "subject": self.subject,
            "direction": self.direction,
            "t_ms": round(self.t_ms, 2),
            "onset_ms": round(self.onset_ms, 2),
            "amplitude": round(self.amplitude, 3),
            "rise_ms": None if self.rise_ms is None else round(self.rise_ms, 1),
            "duration_ms": None if self.duration_ms is None else round(self.duration_ms, 1),
        }


@dataclass(frozen=True, slots=True)
class CourseStatement:
    """A sentence about a stretch of time, held against the course that was measured."""

    text: str
    kind: str
    """`movement`, `blink`, `eyes_closed`, `nod`, `shake`, `turned_away` or `still`."""
    subjects: tuple[str, ...]
    """The cues or the axis of the head that it speaks of, each with its direction (`lip_corners+`); empty where the kind says it."""
    measured: dict[str, float]
    """What was held against a bound: seconds of the rise (`rise_s`), near the top (`held_s`) and from onset to end (`lasts_s`), `count`,
    deviations of the cue that moves most (`spread`), share of the time that was `seen`. Of several, the one nearest to breaking it."""
    within: dict[str, tuple[float, float]]
    """The same measures → lowest and highest that are let through: what the sentence says, less a tolerance."""
    holds: bool
    times_ms: tuple[tuple[float, float], ...]
    """Beginning and end of each thing that it speaks of."""

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types; a bound that is infinite is `None`."""
        return {
            "text": self.text,
            "kind": self.kind,
            "subjects": list(self.subjects),
            "measured": {name: _finite(value) for name, value in self.measured.items()},
            "within": {name: [_finite(value) for value in span] for name, span in self.within.items()},
            "holds": self.holds,
            "times_ms": [[round(value, 2) for value in span] for span in self.times_ms],
        }


def _finite(value: float) -> float | None:
    return round(value, 3) if abs(value) < float("inf") else None


@dataclass(frozen=True, slots=True)
class Blinks:
    """A person's blinks so far."""

    count: int
    watched_s: float
    """Time in which a blink would have been seen."""
    mean_ms: float | None
    """Mean duration; `None` before the first."""

    @property
    def rate_per_min(self) -> float | None:
        """Blinks a minute; `None` before ten seconds are watched."""
        return 60 * self.count / self.watched_s if self.watched_s >= 10 else None

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types."""
        return {
            "count": self.count,
            "watched_s": round(self.watched_s, 2),
            "rate_per_min": None if self.rate_per_min is None else round(self.rate_per_min, 2),
            "mean_ms": None if self.mean_ms is None else round(self.mean_ms, 1),
        }
