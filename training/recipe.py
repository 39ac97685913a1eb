"""What the runs of the encoder and of the face finder are made of."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class EncoderConfig:
    """Everything that decides an encoder run."""

    widths: list[int]
    """Channels of the trunk's stem and of its four stages."""
    depths: list[int]
    """Residual blocks per stage; each stage halves the resolution."""
    motion: list[int]
    """Channels of the motion branch's stem and of its stages."""
    epochs: int
    """Passes over FER+."""
    batch: int
    today_share: float
    """Share of a batch that comes from `faces_today`."""
    composed_share: float
    """Share of a batch that is composed: faces at rest, moved into an emotion."""
    composed: int
    """Faces composed of each emotion; 0: none are."""
    pair_share: float
    """Share of a batch that are faces beside themselves with a part moved."""
    nudged: int
    """Moved faces of each of the two worlds; 0: none are."""
    lr: float
    weight_decay: float
    average: float
    """Decay of the moving average of the weights."""
    dropout: float
    rare_power: float
    """A face is drawn in proportion to (frequency of its emotions) ** −rare_power; 0 draws as they come."""
    evidence_passes: int
    """Passes from which it is learned how what moved speaks for emotions; 0: it does not."""
    pair_weight: float
    """Of the difference between a face and the same one moved, against that of each face's cues."""
    cue_weight: float
    unit_weight: float
    point_weight: float
    pose_weight: float
    seed: int


@dataclass(frozen=True, slots=True)
class FaceConfig:
    """Everything that decides a face-finder run."""

    widths: list[int]
    """Channels at strides 2, 4, 8, 16, 32."""
    neck: int
    canvas: int
    """Side of the square training picture, pixels; a multiple of 32."""
    steps: int
    batch: int
    lr: float
    weight_decay: float
    average: float
    kinds: dict[str, float]
    """How often a picture is `empty`, a `photo` on a background, a `collage`, a `portrait`, `heads` or a `crowd` of them."""
    any_share: float
    """Share of faces that are turned anyhow."""
    turned_share: float
    """Share of pictures turned by no to three quarters and somewhat more or less."""
    mixed_share: float
    """Share of pictures with another laid over them."""
    point_weight: float
    """Of the points' loss."""
    check_every: int
    """Steps between checkpoints."""
    threads: int
    """Of the training itself; another composes beside it."""
    start: str
    """Run whose weights training starts from; empty: from scratch."""
    seed: int
