"""What the pipeline returns: frozen records with plain-JSON `to_dict()`."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from enum import Enum
from typing import Any

import numpy as np

JSON_SCHEMA = 2
"""Version of the `--json` object."""

UNBOUNDED = 99.0
"""A tolerance that reaches as far as this has no end on that side."""
AT_REST = 1.4
"""Deviations from neutral within which a cue counts as at rest."""

FOLLOWED = 0.5
"""Share of its way to neutral that the reading of a cue must go when it is taken back, for what became of the answer to count."""

CIRCUMPLEX: dict[str, tuple[float, float]] = {
    "neutral": (0.0, 0.0), "happiness": (0.81, 0.51), "surprise": (0.40, 0.67), "sadness": (-0.63, -0.27), "anger": (-0.51, 0.59),
    "disgust": (-0.60, 0.35), "fear": (-0.64, 0.60), "contempt": (-0.55, 0.47),
}  # fmt: skip
"""Label → pleasure and arousal, −1…1: of *happy*, *surprised*, *sad*, *angry*, *disgusted*, *fearful* in Russell and Mehrabian, Evidence
for a three-factor theory of emotions (1977). Neutral is the origin; contempt, which they lack, is put between anger and disgust."""


class _Valued:
    """Equality and hash by value, of records whose arrays Python cannot compare."""

    __slots__ = ()

    def _values(self) -> tuple[Any, ...]:
        return tuple(_plain(getattr(self, one.name)) for one in fields(self) if one.compare)  # type: ignore[arg-type]

    def __eq__(self, other: object) -> bool:
        return self._values() == other._values() if isinstance(other, type(self)) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._values())


def _plain(value: Any) -> Any:
    """Something hashable that equals another's when the values do."""
    if isinstance(value, np.ndarray):
        return value.shape, value.dtype.str, value.tobytes()
    return tuple(value.items()) if isinstance(value, dict) else value


class Verdict(str, Enum):
    """What the check at run time said about an explanation."""

    VERIFIED = "verified"
    """Everything that the text says is understood and holds on this face, and it speaks for the answer."""
    REJECTED = "rejected"
    """No candidate passed; the label stands without an explanation."""
    ABSTAINED = "abstained"
    """The label itself is too unsure to be explained."""


@dataclass(frozen=True, slots=True, eq=False)
class Detection(_Valued):
    """One found face."""

    box_xyxy: np.ndarray
    """`[4]` float32: x1, y1, x2, y2 in pixels of the picture; may reach beyond its border."""
    points_xy: np.ndarray
    """`[5,2]` float32: eye, eye, nose tip, mouth corner, mouth corner, those on the left of an upright face first, pixels."""
    score: float
    """0…1: whether it is a face, and how well its box fits."""
    upright: bool = True
    """Whether the points lie as the face does; `False` when it is not clear which way up it is."""
    cropped_xy: np.ndarray | None = None
    """`[5,2]` the points by which its crop was made, where they are not quite those."""


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


@dataclass(frozen=True, slots=True)
class Pose:
    """Head rotation in degrees."""

    yaw_deg: float
    """Positive: turned to the subject's left."""
    pitch_deg: float
    """Positive: raised."""
    roll_deg: float
    """Positive: tilted clockwise in the picture."""

    def to_dict(self) -> dict[str, float]:
        """Plain JSON types."""
        return {"yaw": round(self.yaw_deg, 1), "pitch": round(self.pitch_deg, 1), "roll": round(self.roll_deg, 1)}


@dataclass(frozen=True, slots=True)
class ActionUnit:
    """How far one facial action unit is moved. The scale is this project's own: 1 is what one face in two hundred reaches."""

    intensity: float
    """0…1, the stronger side's."""
    left: float | None = None
    """Of the subject's left side; `None` where the sides are not told apart."""
    right: float | None = None

    def to_dict(self) -> dict[str, float | None]:
        """Plain JSON types."""
        values = {"intensity": self.intensity, "left": self.left, "right": self.right}
        return {name: None if value is None else round(value, 3) for name, value in values.items()}


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


@dataclass(frozen=True, slots=True, eq=False)
class Face(_Valued):
    """One face of a frame: where it is and what its expression reads as."""

    track: int
    """Identity within a stream, from 1; within one image simply a number."""
    detection: Detection
    emotion: str
    """The most probable label; in a stream the one on display, which gives way when another leads clearly, and empty while the face is
    too unclear to read. It is the apparent expression, not what the person feels."""
    confidence: float
    """Its calibrated probability, 0…1; 0 when the face is not read."""
    probabilities: dict[str, float]
    """Calibrated probability of every label; they sum to 1. Smoothed in a stream; empty when the face is not read."""
    cues: dict[str, float]
    """Cue → standard deviations from neutral faces."""
    points_xy: np.ndarray
    """`[P,2]` float32 landmark points of the encoder, pixels of the picture."""
    pose: Pose
    explanation: Explanation | None = None
    """`None` when no explanation was due."""
    explained_t_ms: float | None = None
    """`Reading.t_ms` of the frame that the explanation describes."""
    unclear: tuple[str, ...] = ()
    """Why this frame does not show the face well enough: `orientation`, it is not clear which way up it is; in a stream also any of `size`,
    `pose`, `blur`."""
    hidden: tuple[str, ...] = ()
    """Cues that are found to be covered in this frame, or lie beyond its border: their values are guesses from the rest of the face. An
    explanation that speaks of them is not shown; in a stream, once half of the last frames hide them."""
    veiled: tuple[str, ...] = ()
    """Those, and cues that may well be covered: no explanation speaks of their movement or rest."""
    baseline: str = "population"
    """What the cues are measured against: `population`, `calibrating` (the population, until it is done) or `personal`."""
    action_units: dict[str, ActionUnit] = field(default_factory=dict)
    """Name (`AU12`) → how far it is moved in this frame, without those whose part of the face is out of sight; empty where the bundle reads
    none."""
    events: tuple[Event, ...] = ()
    """What is found with this frame to have begun, peaked or ended; empty outside a stream."""
    blinks: Blinks | None = None
    """In a stream, this person's blinks so far; `None` where they cannot be seen."""
    no_blinks: str = "no stream"
    """Why `blinks` is `None`: too few frames a second, or too few so far; empty where it is not."""
    counterfactual: Counterfactual | None = None
    """In a stream, what was asked for last of this face with `Stream.counterfactual`, while its label stays; else `None`."""

    @property
    def valence(self) -> float | None:
        """−1 (unpleasant) to 1 (pleasant): derived from the probabilities, see `CIRCUMPLEX`; `None` when not read."""
        return self._expected(0)

    @property
    def arousal(self) -> float | None:
        """−1 (calm) to 1 (excited): derived like valence."""
        return self._expected(1)

    def _expected(self, axis: int) -> float | None:
        known = [(CIRCUMPLEX[name][axis], p) for name, p in self.probabilities.items() if name in CIRCUMPLEX]
        return sum(place * p for place, p in known) if known and len(known) == len(self.probabilities) else None

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types."""
        return {
            "track": self.track,
            "box": [round(float(v), 1) for v in self.detection.box_xyxy],
            "score": round(self.detection.score, 3),
            "emotion": self.emotion,
            "confidence": round(self.confidence, 4),
            "probabilities": {name: round(value, 4) for name, value in self.probabilities.items()},
            "valence": None if self.valence is None else round(self.valence, 3),
            "arousal": None if self.arousal is None else round(self.arousal, 3),
            "cues": {name: round(value, 3) for name, value in self.cues.items()},
            "action_units": {name: unit.to_dict() for name, unit in self.action_units.items()},
            "events": [event.to_dict() for event in self.events],
            "blinks": self.blinks.to_dict() if self.blinks else None,
            "no_blinks": self.no_blinks,
            "pose": self.pose.to_dict(),
            "explanation": self.explanation.to_dict() if self.explanation else None,
            "explained_t_ms": None if self.explained_t_ms is None else round(self.explained_t_ms, 2),
            "unclear": list(self.unclear),
            "hidden": list(self.hidden),
            "baseline": self.baseline,
            "counterfactual": self.counterfactual.to_dict() if self.counterfactual else None,
        }


@dataclass(frozen=True, slots=True, eq=False)
class Reading(_Valued):
    """Everything read from one frame."""

    source: str
    """Where the frame came from: a path, `camera:0`, or `image` when handed in."""
    frame: int
    """Index within the source, from 0."""
    t_ms: float
    """Time within the source, milliseconds."""
    width: int
    height: int
    faces: tuple[Face, ...]
    """Largest first; empty when no face was found."""
    latency_ms: dict[str, float] = field(default_factory=dict, compare=False)
    """Milliseconds spent in `face`, `encode`, `explain`, `verify` and in `total`. In real time `explain` and `verify` are those of the
    explanations that arrived with this frame, made beside it and not part of `total`."""
    captured_s: float = field(default=0.0, compare=False)
    """`time.monotonic()` when the frame was captured; 0 for a picture or a file that is not played in real time."""

    def to_dict(self) -> dict[str, Any]:
        """The object that `edge-run --json` prints, plain JSON types."""
        return {
            "schema": JSON_SCHEMA,
            "source": self.source,
            "frame": self.frame,
            "t_ms": round(self.t_ms, 2),
            "width": self.width,
            "height": self.height,
            "latency_ms": {name: round(value, 3) for name, value in self.latency_ms.items()},
            "faces": [face.to_dict() for face in self.faces],
        }


@dataclass(frozen=True, slots=True)
class StreamStatus:
    """How a stream is doing."""

    state: str
    """`opening`, `live`, `reconnecting` (the source is lost or silent) or `ended`."""
    fps: float
    """Readings delivered per second, over the last ones."""
    frames: int
    """Readings delivered."""
    dropped: int
    """Frames that were captured and not delivered: passed over for a newer one, or too old when they were asked for or had been read."""
    age_ms: float
    """Time since the newest frame was captured; 0 before the first, and for files that are not played in real time."""
    reconnects: int
    """How often the source was lost and found again."""
    message: str
    """What went wrong last, one sentence; empty while nothing has."""

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types."""
        return {
            "state": self.state,
            "fps": round(self.fps, 1),
            "frames": self.frames,
            "dropped": self.dropped,
            "age_ms": round(self.age_ms, 1),
            "reconnects": self.reconnects,
            "message": self.message,
        }
