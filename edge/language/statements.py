"""What a rationale can state of a face, each kind with its rule: when it holds, and how far measurement may be off.

The rules are data and travel with the grammar. Nothing here reads text.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from edge.types import Claim, Statement

KINDS = ("movement", "rest", "one_sided", "eyes_closed", "pose", "covered", "certainty", "runner_up", "conclusion")
CUE_KINDS = ("movement", "rest", "one_sided", "eyes_closed")
"""Kinds whose subject is a cue."""
BANDS = {
    "movement": ("slight", "plain", "strong"),
    "one_sided": ("plain",),
    "pose": ("plain", "far"),
    "certainty": ("sure", "likely", "unsure"),
}
"""Kinds that come in bands, the weakest first."""
_SIGNED = ("movement", "one_sided", "pose")
"""Kinds that have a direction."""
_COVERED = 0.34
"""A face of which more of the cues than this are out of sight is not said to be turned, unless it is turned far: of frontal faces with one
half covered the encoder reads one in fifteen as turned by 22° and more."""
_WAVERS = {"cue": 0.6, "pose": 6.0, "certainty": 0.1, "runner_up": 0.1}
"""By so much (deviations, degrees, probability) a reading may leave a statement's range before what was said is over."""


class Said(NamedTuple):
    """A statement as a text makes it."""

    kind: str
    """One of `KINDS`."""
    subject: str
    """A cue, an axis of the head (`yaw`, `pitch`), a region, or a label; empty for certainty."""
    direction: int
    """+1 or −1: above or below neutral, or the subject's left and right, up and down; 0 where there is none."""
    band: str
    """How much, one of `BANDS`; empty for kinds without."""

    @property
    def about_face(self) -> bool:
        """Whether it speaks of what is seen, and not of what is concluded."""
        return self.kind in (*CUE_KINDS, "pose")


@dataclass(frozen=True, slots=True)
class Facts:
    """What is measured of a face: all that a statement is held against."""

    cues: Mapping[str, float]
    """Cue → standard deviations from neutral."""
    yaw_deg: float = 0.0
    """Positive: the subject's left."""
    pitch_deg: float = 0.0
    """Positive: raised."""
    probabilities: Mapping[str, float] = field(default_factory=dict)
    """Label → calibrated probability."""
    hidden: frozenset[str] = frozenset()
    """Cues that are out of sight: a text may say so."""
    veiled: frozenset[str] = frozenset()
    """Cues that are, or may well be: of these none holds."""
    dim: frozenset[str] = frozenset()
    """Cues that are not clearly in sight: of these none is at rest, which is what an unseen part reads as."""


class Range(NamedTuple):
    """A closed interval."""

    low: float
    high: float

    def __contains__(self, value: object) -> bool:
        return isinstance(value, float) and self.low <= value <= self.high


@dataclass(frozen=True, slots=True)
class Rules:
    """The tolerances, kind by kind."""

    movement: Mapping[str, Mapping[int, Mapping[str, Range]]]
    """Cue → direction → band → range of z · direction. A direction that is missing is never stated: it cannot be read reliably."""
    rest: Mapping[str, Range]
    """Cue → range of z."""
    pose: Mapping[str, Mapping[str, Range]]
    """Axis → band → range of the angle in the stated direction, degrees."""
    certainty: Mapping[str, Range]
    """Band → range of the label's probability."""
    eyes_closed: Range
    """Range of the eye opening's z."""
    runner_up: Range
    """Range of the second label's probability; it must be the second, too."""
    only_while: Mapping[str, Mapping[str, Range]]
    """Cue and side (`lip_corners+`, `-`, `=`) → other cue, axis or label → range of it outside which the first cannot be stated."""
    regions: Mapping[str, tuple[str, ...]]
    """Region → the cues that are all hidden where it is out of sight."""
    told_once: tuple[tuple[str, ...], ...] = ()
    """Groups of cues of one part of the face, which no two phrases of a text speak of; grammars may have none."""

    @classmethod
    def read(cls, values: Any) -> Rules:
        """Build them from parsed JSON.

        Raises:
            ValueError: something is missing, or no range of two finite numbers.
        """
        try:
            return cls(
                movement={
                    str(cue): {int(d): {str(b): _range(r) for b, r in bands.items()} for d, bands in sides.items()}
                    for cue, sides in values["movement"].items()
                },
                rest=_ranges(values["rest"]),
                pose={str(axis): _ranges(bands) for axis, bands in values["pose"].items()},
                certainty=_ranges(values["certainty"]),
                eyes_closed=_range(values["eyes_closed"]),
                runner_up=_range(values["runner_up"]),
                only_while={str(cue): _ranges(others) for cue, others in values["only_while"].items()},
                regions={str(name): tuple(map(str, cues)) for name, cues in values["regions"].items()},
                told_once=tuple(tuple(map(str, cues)) for cues in values.get("told_once", ())),
            )
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"the rules of statements are malformed: {type(error).__name__} {error}") from None

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types."""
        return {
            "movement": {cue: {str(d): _plain(bands) for d, bands in sides.items()} for cue, sides in self.movement.items()},
            "rest": _plain(self.rest),
            "pose": {axis: _plain(bands) for axis, bands in self.pose.items()},
            "certainty": _plain(self.certainty),
            "eyes_closed": list(self.eyes_closed),
            "runner_up": list(self.runner_up),
            "only_while": {cue: _plain(others) for cue, others in self.only_while.items()},
            "regions": {name: list(cues) for name, cues in self.regions.items()},
            "told_once": [list(cues) for cues in self.told_once],
        }

    def check_covered(self, said: Said, where: str) -> None:
        """Raise `ValueError` when there is no tolerance for a statement."""
        try:
            ruled = said.kind == "conclusion" or (self.regions[said.subject] if said.kind == "covered" else self._range(said))
            known = bool(ruled) and said.direction in ((1, -1) if said.kind in _SIGNED else (0,))
        except KeyError:
            known = False
        if not known:
            raise ValueError(f"no rule says when '{where}' holds: {said.kind} {said.subject} {said.direction:+d} {said.band}") from None

    def check(self, said: Said, facts: Facts, shown: str) -> Statement:
        """Hold a statement against a face.

        Args:
            said: the statement.
            facts: what is measured.
            shown: the label that is explained.
        """
        measured, holds = self._measure(said, facts, shown)
        visible = self._visible(said, facts)
        return Statement(said.kind, said.subject, said.direction, said.band, measured, holds and visible, visible, self._within(said))

    def holds(self, said: Said, facts: Facts, shown: str) -> bool:
        """Whether a statement holds of a face; arguments as for `check`."""
        return self._visible(said, facts) and self._measure(said, facts, shown)[1]

    def claim(self, said: Said, measured: float) -> Claim:
        """A statement about a cue as a signed claim, held against somebody else's measurement of the cue."""
        within = self._within(said) if said.kind == "rest" else ()
        return Statement(said.kind, said.subject, said.direction, said.band, measured, False, within=within).claim

    def outlived(self, statement: Statement, facts: Facts) -> bool:
        """Whether what was stated of a face is no longer so, by more than a reading wavers: of cues, pose, certainty and runner-up."""
        slack = _WAVERS.get("cue" if statement.kind in CUE_KINDS else statement.kind)
        if slack is None or len(statement.within) != 2:
            return False
        said = Said(statement.kind, statement.subject, statement.direction, statement.band)
        measured, (low, high) = self._measure(said, facts, _leading(facts))[0], statement.within
        return not low - slack <= measured <= high + slack

    def _visible(self, said: Said, facts: Facts) -> bool:
        unseen = facts.hidden | facts.veiled
        if said.kind == "pose" and said.band == "plain":
            return len(unseen) <= _COVERED * len(facts.cues)
        return said.kind not in CUE_KINDS or said.subject not in (unseen | facts.dim if said.kind == "rest" else unseen)

    def _within(self, said: Said) -> tuple[float, ...]:
        """The tolerance in the sign of what is measured."""
        if said.kind in ("conclusion", "covered"):
            return ()
        span = self._range(said)
        return (-span.high, -span.low) if said.direction < 0 else (span.low, span.high)

    def _range(self, said: Said) -> Range:
        """The range of what is measured, in the stated direction."""
        if said.kind == "rest":
            return self.rest[said.subject]
        if said.kind == "pose":
            return self.pose[said.subject][said.band]
        if said.kind == "certainty":
            return self.certainty[said.band]
        if said.kind in ("eyes_closed", "runner_up"):
            return self.eyes_closed if said.kind == "eyes_closed" else self.runner_up
        return self.movement[said.subject][said.direction][said.band]

    def _measure(self, said: Said, facts: Facts, shown: str) -> tuple[float, bool]:
        kind, subject = said.kind, said.subject
        if kind in CUE_KINDS:
            z = float(facts.cues.get(subject, math.nan))
            return z, z * (said.direction or 1) in self._range(said) and self._sayable(said, facts)
        if kind == "pose":
            angle = float(facts.yaw_deg if subject == "yaw" else facts.pitch_deg)
            return angle, angle * said.direction in self._range(said)
        if kind == "covered":
            cues = self.regions[subject]
            share = sum(cue in facts.hidden for cue in cues) / len(cues)
            return share, share == 1.0
        ranked = sorted(facts.probabilities, key=lambda label: -facts.probabilities[label])
        if kind == "certainty":
            p = float(facts.probabilities.get(shown, 0.0))
            return p, p in self._range(said)
        p = float(facts.probabilities.get(subject, 0.0))
        if kind == "runner_up":
            others = [label for label in ranked if label != shown]
            return p, bool(others) and others[0] == subject and p in self._range(said)
        return p, subject == shown

    def _sayable(self, said: Said, facts: Facts) -> bool:
        conditions = self.only_while.get(f"{said.subject}{'=+-'[said.direction]}", {})
        if not conditions:
            return True
        values = {**facts.cues, **facts.probabilities, "yaw": facts.yaw_deg, "pitch": facts.pitch_deg}
        return all(float(values.get(other, math.nan)) in span for other, span in conditions.items())


def _leading(facts: Facts) -> str:
    return max(facts.probabilities, key=lambda label: facts.probabilities[label], default="")


def _range(values: Any) -> Range:
    numbers = [float(v) for v in values if isinstance(v, int | float)] if isinstance(values, list) else []
    if len(numbers) != 2 or len(values) != 2 or not all(map(math.isfinite, numbers)) or numbers[0] > numbers[1]:
        raise ValueError(f"a rule's tolerance must be two finite numbers, the lower first, got {values!r}")
    return Range(*numbers)


def _ranges(values: Mapping[str, Any]) -> dict[str, Range]:
    return {str(key): _range(value) for key, value in values.items()}


def _plain(ranges: Mapping[str, Range]) -> dict[str, list[float]]:
    return {key: [round(v, 4) for v in span] for key, span in ranges.items()}
