"""What an explanation says, and whether it holds."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import Any

UNBOUNDED = 99.0
"""A tolerance that reaches as far as this has no end on that side."""
AT_REST = 1.4
"""Deviations from neutral within which a cue counts as at rest."""

FOLLOWED = 0.5
"""Share of its way to neutral that the reading of a cue must go when it is taken back, for what became of the answer to count."""


class Verdict(str, Enum):
    """What the check at run time said about an explanation."""

    VERIFIED = "verified"
    """Everything that the text says is understood and holds on this face, and it speaks for the answer."""
    REJECTED = "rejected"
    """No candidate passed; the label stands without an explanation."""
    ABSTAINED = "abstained"
    """The label itself is too unsure to be explained."""


@dataclass(frozen=True, slots=True)
class Claim:
    """One thing that an explanation says is visible."""

    cue: str
    """Cue name from the bundle, e.g. `lip_corners`."""
    direction: int
    """+1 or −1: the side of a neutral face that the text claims; 0: it says that the cue is at rest."""
    measured: float
    """The cue on this face, in standard deviations of neutral faces."""
    visible: bool = True
    """Whether the part of the face that shows the cue is in sight; where it is not, `measured` is a guess from the rest of the face."""
    denied: int = 0
    """At rest: +1 or −1 where only that side of neutral is denied; *no smile* denies raised lip corners and not lowered ones."""

    @property
    def supported(self) -> bool:
        """The cue is in sight and beyond one deviation on the claimed side; at rest: within 1.4 of neutral, where no movement is worth a
        claim."""
        if not self.visible:
            return False
        if not self.direction:
            return self._moved <= AT_REST
        return self.measured * self.direction > 1.0

    @property
    def contradicted(self) -> bool:
        """The cue lies on the other side of neutral; at rest: it is beyond two deviations."""
        if not self.direction:
            return self._moved > 2.0
        return self.measured * self.direction < 0.0

    @property
    def _moved(self) -> float:
        """How far a cue at rest has moved on a side that is denied."""
        return self.measured * self.denied if self.denied else abs(self.measured)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types."""
        return {
            "cue": self.cue,
            "direction": self.direction,
            "measured": round(self.measured, 3),
            "supported": self.supported,
            "visible": self.visible,
        }


@dataclass(frozen=True, slots=True)
class Statement:
    """One thing that an explanation says, and whether it holds."""

    kind: str
    """`movement`, `rest`, `one_sided`, `eyes_closed`, `pose`, `covered`, `certainty`, `runner_up` or `conclusion`."""
    subject: str
    """The cue, axis of the head (`yaw`, `pitch`), region or label that it speaks of; empty for certainty."""
    direction: int
    """+1: above neutral, the subject's left, or up; −1: below, right, down; 0 where there is none."""
    band: str
    """How much: `slight`, `plain` (not said), `strong`; of pose `plain`, `far`; of certainty `sure`, `likely`, `unsure`; else empty."""
    measured: float
    """On this face: deviations from neutral (cues), degrees (pose), probability (labels, certainty), hidden share (covered)."""
    holds: bool
    """Whether its rule in the bundle's grammar is met."""
    visible: bool = True
    """Whether the part of the face that it speaks of is in sight; if not, it does not hold."""
    within: tuple[float, ...] = ()
    """Lowest and highest `measured` that its rule lets through; empty where it is not a matter of degree. It can be met and the statement
    not hold all the same: the rest of the face may forbid it."""

    @property
    def claim(self) -> Claim:
        """A statement about a cue as a signed claim."""
        low, high = self.within if self.kind == "rest" and self.within else (-1.0, 1.0)
        denied = 1 if low <= -UNBOUNDED else -1 if high >= UNBOUNDED else 0
        return Claim(self.subject, -1 if self.kind == "eyes_closed" else self.direction, self.measured, self.visible, denied)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types."""
        return {
            "kind": self.kind,
            "subject": self.subject,
            "direction": self.direction,
            "band": self.band,
            "measured": round(self.measured, 3),
            "within": [round(value, 3) for value in self.within],
            "holds": self.holds,
            "visible": self.visible,
        }


@dataclass(frozen=True, slots=True)
class Explanation:
    """A rationale with the verdict on it."""

    draft: str
    """What the policy wrote between its think tags, whatever the verdict; never shown, never in `to_dict()`."""
    answer: str
    """The emotion that the policy answered; empty when its completion could not be parsed."""
    status: Verdict
    consistency: float
    """0…1: how well the masked sentences speak for the answer, next to the emotion they speak for most."""
    grounding: float
    """0…1: share of the statements that hold on this face; 1 when nothing is stated."""
    statements: tuple[Statement, ...]
    """Everything that the text says, in order, each held against the face."""
    attempts: int
    """Candidates that were judged, the kept one included."""

    @property
    def claims(self) -> tuple[Claim, ...]:
        """The statements about cues, as signed claims."""
        return tuple(s.claim for s in self.statements if s.kind in ("movement", "rest", "one_sided", "eyes_closed"))

    @property
    def text(self) -> str:
        """The rationale when it is verified, else empty: nobody is shown an unchecked text."""
        return self.draft if self.status is Verdict.VERIFIED else ""

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types."""
        return {
            "text": self.text,
            "answer": self.answer,
            "status": self.status.value,
            "consistency": round(self.consistency, 4),
            "grounding": round(self.grounding, 4),
            "statements": [statement.to_dict() for statement in self.statements],
            "claims": [claim.to_dict() for claim in self.claims],
            "attempts": self.attempts,
        }


@dataclass(frozen=True, slots=True)
class Undone:
    """One statement of an explanation, and what became of the answer when it was taken back in the picture."""

    statement: Statement
    reason: str
    """Why it was not taken back; empty when it was, and only then the rest is told."""
    words: str = ""
    """What was taken back, such as `the raised lip corners`."""
    probability: float | None = None
    """The answer's calibrated probability afterwards, 0…1."""
    emotion: str = ""
    """The most probable label afterwards."""
    cue_before: float | None = None
    """The statement's cue as the encoder read it, standard deviations from the population's neutral faces."""
    cue_after: float | None = None
    """And as it reads it in the moved picture."""

    @property
    def followed(self) -> float | None:
        """Which share of its way to neutral the reading of the cue went: 1 all of it, 0 none; `None` when it was not taken back."""
        if self.cue_before is None or self.cue_after is None:
            return None
        return 1 - self.cue_after / self.cue_before

    @property
    def counts(self) -> bool:
        """Whether the reading followed far enough for the change of the answer to say something about what was taken back."""
        return self.followed is not None and self.followed >= FOLLOWED

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types."""
        numbers = {
            "probability": self.probability,
            "cue_before": self.cue_before,
            "cue_after": self.cue_after,
            "followed": self.followed,
        }
        return {
            "kind": self.statement.kind,
            "subject": self.statement.subject,
            "direction": self.statement.direction,
            "reason": self.reason,
            "words": self.words,
            "emotion": self.emotion,
            **{name: None if value is None else round(value, 4) for name, value in numbers.items()},
            "counts": self.counts,
        }


@dataclass(frozen=True, slots=True)
class Counterfactual:
    """Would it have said so otherwise? An answer without each of the things that its explanation states."""

    answer: str
    """The emotion that was explained."""
    probability: float
    """Its calibrated probability in this picture alone, 0…1; a stream shows a smoothed one."""
    control: float | None
    """The same after the picture was moved halfway and moved back: how much of a change drawing alone makes. `None` when nothing was
    moved."""
    undone: tuple[Undone, ...]
    """Every statement of the explanation, in order."""
    t_ms: float = 0.0
    """In a stream, the time of the picture."""
    latency_ms: float = field(default=0.0, compare=False)
    """Milliseconds that it took."""

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types."""
        return {
            "answer": self.answer,
            "probability": round(self.probability, 4),
            "control": None if self.control is None else round(self.control, 4),
            "undone": [one.to_dict() for one in self.undone],
            "t_ms": round(self.t_ms, 2),
            "latency_ms": round(self.latency_ms, 3),
        }
