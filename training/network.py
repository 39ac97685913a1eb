"""The encoder's network: a 96×96 grey face → feature map, eight emotions, cues, action units, points, pose."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional as F

from edge.language.labels import EMOTIONS_8
from training.augment import SIZE
from training.cues import CUE_NAMES, POINTS
from training.units import SHAPES

TRUNK = ("stem", "stages", "emotion")
"""The parts that tell the emotion."""
FEATURES = 160
"""Width of the motion branch's features."""
_MOTION_DEPTHS = (2, 2, 1)
_NARROW = 32
PROBED = 512
"""Faces from which folded normalisations take their statistics."""
POSE_SCALE = 20.0
"""Degrees; brings pose to the size of the other targets."""


class Block(nn.Module):
    """Two 3×3 convolutions with squeeze-and-excitation and a shortcut."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.norm1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(outputs)
        self.squeeze = nn.Conv2d(outputs, outputs // 8, 1)
        self.excite = nn.Conv2d(outputs // 8, outputs, 1)
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or inputs != outputs:
            self.shortcut = nn.Sequential(nn.AvgPool2d(stride), nn.Conv2d(inputs, outputs, 1, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = F.relu(self.norm1(self.conv1(x)))
        y = self.norm2(self.conv2(y))
        gate = torch.sigmoid(self.excite(F.relu(self.squeeze(y.mean((2, 3), keepdim=True)))))
        return F.relu(y * gate + self.shortcut(x))


class Motion(nn.Module):
    """Standardised crops → what has moved: features that keep where things are (the map of 6×6 places, not its mean)."""

    def __init__(self, widths: list[int], dropout: float) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(1, widths[0], 6, 2, 2, bias=False), nn.BatchNorm2d(widths[0]), nn.ReLU())
        self.stages = _stages(widths, _MOTION_DEPTHS)
        self.narrow = nn.Sequential(nn.Conv2d(widths[-1], _NARROW, 1, bias=False), nn.BatchNorm2d(_NARROW), nn.ReLU())
        places = (SIZE // 2 ** (1 + len(_MOTION_DEPTHS))) ** 2
        self.dropout = nn.Dropout(dropout)
        self.gather = nn.Sequential(nn.Linear(_NARROW * places, FEATURES), nn.ReLU())
        self.cues = nn.Linear(FEATURES, len(CUE_NAMES))
        self.units = nn.Linear(FEATURES, len(SHAPES))
        self.points = nn.Linear(FEATURES, 2 * len(POINTS))
        self.pose = nn.Linear(FEATURES, 3)

    def forward(self, pixels: torch.Tensor) -> dict[str, torch.Tensor]:
        features = self.gather(self.dropout(self.narrow(self.stages(self.stem(pixels))).flatten(1)))
        return {
            "moved": features,
            "cues": self.cues(features),
            "units": self.units(features),
            "points": self.points(features).reshape(-1, len(POINTS), 2) + 0.5,
            "pose": self.pose(features) * POSE_SCALE,
        }


class Encoder(nn.Module):
    """Grey face crops → feature map and readings."""

    def __init__(self, widths: list[int], depths: list[int], motion: list[int], dropout: float = 0.0) -> None:
        super().__init__()
        self.widths, self.depths, self.motion_widths = widths, depths, motion
        # twice the resolution of FER+ costs one layer: it sees 6×6 pixels and halves at once
        self.stem = nn.Sequential(nn.Conv2d(1, widths[0], 6, 2, 2, bias=False), nn.BatchNorm2d(widths[0]), nn.ReLU())
        self.stages = _stages(widths, depths)
        self.dropout = nn.Dropout(dropout)
        self.emotion = nn.Linear(widths[-1], len(EMOTIONS_8))
        self.motion = Motion(motion, dropout)
        self.evidence = nn.Linear(FEATURES, len(EMOTIONS_8), bias=False)
        nn.init.zeros_(self.evidence.weight)
        # how strange a face is, from the pooled features, and the logarithms of the temperature of a familiar and of a strange one
        self.register_buffer("world", torch.zeros(widths[-1] + 1))
        self.register_buffer("doubt", torch.zeros(2))

    @property
    def shape(self) -> tuple[list[int], list[int], list[int]]:
        """What another of the same shape is made with."""
        return self.widths, self.depths, self.motion_widths

    def forward(self, pixels: torch.Tensor) -> dict[str, torch.Tensor]:
        """Read faces.

        Args:
            pixels: `[N,1,96,96]` float, 0…1. Brightness and contrast are removed inside.

        Returns:
            `map [N,C,3,3]`, `emotion [N,8]` calibrated logits, `cues [N,K]` z-scores, `units [N,U]` in standard deviations,
            `points [N,P,2]` in fractions of the crop, `pose [N,3]` degrees (yaw, pitch, roll), `strangeness [N]` 0…1, and the motion
            branch's features `moved [N,F]`.
        """
        pixels = standardise(pixels)
        features = self.stages(self.stem(pixels))
        read = self.motion(pixels)
        pooled = features.mean((2, 3))
        logits = self.emotion(self.dropout(pooled)) + self.evidence(read["moved"])
        strangeness = torch.sigmoid(pooled @ self.world[1:] + self.world[0])
        # a temperature of each face's own (after On Calibration of Modern Neural Networks, 2017); 1 until it is fitted
        temperature = torch.exp(self.doubt[0] + (self.doubt[1] - self.doubt[0]) * strangeness)
        return {**read, "map": features, "emotion": logits / temperature[:, None], "strangeness": strangeness}


def _stages(widths: list[int], depths: Sequence[int]) -> nn.Sequential:
    blocks, channels = [], widths[0]
    for width, depth in zip(widths[1:], depths, strict=True):
        for i in range(depth):
            blocks.append(Block(channels, width, 2 if i == 0 else 1))
            channels = width
    return nn.Sequential(*blocks)


def standardise(pixels: torch.Tensor) -> torch.Tensor:
    """Pictures `[N,1,S,S]` without their brightness and contrast."""
    centred = pixels - pixels.mean((2, 3), keepdim=True)
    return centred / (centred.square().mean((2, 3), keepdim=True) + 1e-3).sqrt()


@torch.no_grad()
def thaw(model: nn.Module, pixels: torch.Tensor) -> None:
    """Give folded normalisations the statistics of what they see back, so that the network can learn on; it reads as before.

    Args:
        model: in which every normalisation only scales and adds.
        pixels: `[N,1,S,S]` faces to take the statistics from.
    """
    seen: dict[nn.BatchNorm2d, tuple[torch.Tensor, torch.Tensor]] = {}
    norms = [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)]

    def look(norm: nn.Module, given: tuple[torch.Tensor, ...]) -> None:
        assert isinstance(norm, nn.BatchNorm2d)
        seen[norm] = given[0].mean((0, 2, 3)), given[0].var((0, 2, 3))

    hooks = [norm.register_forward_pre_hook(look) for norm in norms]
    model.eval()(pixels)
    for hook in hooks:
        hook.remove()
    for norm in norms:
        assert norm.running_mean is not None
        assert norm.running_var is not None
        mean, variance = seen[norm]
        scale = norm.weight / (norm.running_var + norm.eps).sqrt()
        norm.bias += scale * (mean - norm.running_mean)
        norm.weight.copy_(scale * (variance + norm.eps).sqrt())
        norm.running_mean.copy_(mean)
        norm.running_var.copy_(variance)
