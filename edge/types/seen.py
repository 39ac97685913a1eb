"""What is seen in one frame: faces, and all that is read from them."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np

from edge.types.course import Blinks, Event
from edge.types.said import Counterfactual, Explanation

JSON_SCHEMA = 2
"""Version of the `--json` object."""

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
    dim: tuple[str, ...] = ()
    """Those, and cues that are not clearly in sight: no explanation calls them at rest."""
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
