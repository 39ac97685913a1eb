"""Faces as a camera, a codec and a face finder may deliver them: what every network that reads crops is trained on."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
import torch
from torch.nn import functional as F

from edge.cv import cv2
from training.cues import MIRROR_SIGN, POINT_MIRROR, POINTS, CueModel
from training.data import MARGIN, FerPlus, Today, resized
from training.units import SHAPE_MIRROR, SHAPES, UnitModel

SIZE = 96
"""Side of the encoder's crop, pixels."""


@dataclass(frozen=True, slots=True)
class Targets:
    """What a set of faces should read as (tensors, one row a face; NaN where unknown)."""

    images: torch.Tensor
    """`[N,S,S]` uint8: the crop, with a margin around it or without."""
    emotion: torch.Tensor
    """`[N,8]` distribution over the emotions."""
    cues: torch.Tensor
    """`[N,C]` z-scores."""
    points: torch.Tensor
    """`[N,P,2]` in fractions of the crop without its margin."""
    pose: torch.Tensor
    """`[N,3]` degrees."""
    units: torch.Tensor
    """`[N,U]` intensities in standard deviations."""

    @classmethod
    def of(cls, faces: FerPlus | Today, cue_model: CueModel, unit_model: UnitModel | None = None) -> Targets:
        """Measure `faces`. Those of FER+ come as crops of `SIZE`, those of `faces_today` with their margin and without emotions."""
        cues, pose = cue_model.measure(faces.landmarks, faces.point_index)
        column = {int(number): i for i, number in enumerate(faces.point_index)}
        points = faces.landmarks[:, [column[number] for number in POINTS], :2] / faces.images.shape[1]
        units = np.full((len(faces), len(SHAPES)), np.nan, np.float32)
        if unit_model is not None and faces.shape_names:
            units = unit_model.measure(faces.blendshapes, faces.shape_names) / unit_model.spread
        if isinstance(faces, FerPlus):
            images, emotion = resized(faces.images, SIZE), faces.target
        else:
            images, emotion, points = faces.images, np.full((len(faces), 8), np.nan, np.float32), (points - 0.5) * MARGIN + 0.5
        tensors = (images, emotion, cues, points.astype(np.float32), pose, units)
        return cls(*(torch.from_numpy(np.ascontiguousarray(t)) for t in tensors))

    def __len__(self) -> int:
        return len(self.images)

    def take(self, rows: torch.Tensor) -> Targets:
        """The chosen rows."""
        return Targets(*(getattr(self, field.name)[rows] for field in fields(Targets)))


def join(parts: list[Targets]) -> Targets:
    """Several sets in one."""
    return Targets(*(torch.cat([getattr(part, field.name) for part in parts]) for field in fields(Targets)))


def plain(images: torch.Tensor, margin: float = 1.0) -> torch.Tensor:
    """Crops `[N,S,S]` uint8 as they are, without their margin: `[N,1,SIZE,SIZE]`, 0…1."""
    pictures = images.unsqueeze(1).float() / 255
    if margin == 1 and pictures.shape[-1] == SIZE:
        return pictures
    n, still = len(pictures), torch.eye(2, 3)[None] / margin
    grid = F.affine_grid(still.expand(n, 2, 3), [n, 1, SIZE, SIZE], align_corners=False)
    return F.grid_sample(pictures, grid, padding_mode="border", align_corners=False)


def augment(batch: Targets, generator: torch.Generator, margin: float = 1.0) -> Targets:
    """Mirror, turn, zoom, shift, relight, degrade and partly cover a batch; points and pose follow.

    Args:
        batch: faces; their `images` `[N,S,S]` uint8.
        generator: random numbers.
        margin: side of the images over that of the crop.
    """
    moved = move(batch, generator, margin)
    images = degrade(relight(moved.images, generator), generator)
    n, axis = len(images), torch.arange(SIZE)
    corner, extent = draw_uniform(n, -16, SIZE - 16, 2, generator=generator), draw_uniform(n, 16, 40, 2, generator=generator)
    inside = [(axis >= corner[:, i, None]) & (axis < (corner + extent)[:, i, None]) for i in (0, 1)]
    chosen = draw_uniform(n, 0, 1, 1, 1, 1, generator=generator) < 0.3
    covered = inside[0][:, None, :, None] & inside[1][:, None, None, :] & chosen
    images = torch.where(covered, draw_uniform(n, 0, 1, 1, 1, 1, generator=generator), images)
    return Targets(images, moved.emotion, moved.cues, moved.points, moved.pose, moved.units)


def move(batch: Targets, generator: torch.Generator, margin: float = 1.0) -> Targets:
    """Mirror, turn, zoom and shift a batch; points and pose follow. Its images become `[N,1,SIZE,SIZE]` float, 0…1."""
    n = len(batch.images)
    images = batch.images.unsqueeze(1).float() / 255
    cues, points, pose, units = batch.cues.clone(), batch.points.clone(), batch.pose.clone(), batch.units.clone()
    flip = draw_uniform(n, 0, 1, generator=generator) < 0.5
    images[flip] = images[flip].flip(3)
    cues[flip] *= torch.from_numpy(MIRROR_SIGN)
    units[flip] = units[flip][:, torch.tensor(SHAPE_MIRROR)]
    points[flip] = points[flip][:, torch.from_numpy(POINT_MIRROR)] * torch.tensor([-1.0, 1.0]) + torch.tensor([1.0, 0.0])
    pose[flip] *= torch.tensor([-1.0, 1.0, -1.0])

    # `matrix` maps output to input coordinates (centred, ±1), as affine_grid wants; points take its inverse
    angle, zoom = torch.deg2rad(draw_uniform(n, -14, 14, generator=generator)), draw_uniform(n, 0.88, 1.12, generator=generator)
    cos, sin = torch.cos(angle) * zoom, torch.sin(angle) * zoom
    matrix = torch.stack([torch.stack([cos, sin], 1), torch.stack([-sin, cos], 1)], 1)
    shift = draw_uniform(n, -0.12, 0.12, 2, generator=generator)
    grid = F.affine_grid(torch.cat([matrix, shift[:, :, None]], 2) / margin, [n, 1, SIZE, SIZE], align_corners=False)
    images = F.grid_sample(images, grid, padding_mode="border", align_corners=False)
    centred = points * 2 - 1 - shift[:, None]
    points = (torch.linalg.solve(matrix[:, None], centred[..., None])[..., 0] + 1) / 2
    pose[:, 2] += torch.rad2deg(angle)
    return Targets(images, batch.emotion, cues, points, pose, units)


def relight(images: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Change gamma, light one side, blur and add noise: `[N,1,S,S]`, 0…1."""
    n, axis = len(images), torch.linspace(-1, 1, images.shape[-1])
    images = images.clamp(1e-4, 1) ** draw_uniform(n, 0.6, 1.6, 1, 1, 1, generator=generator)
    angle = draw_uniform(n, 0, 2 * np.pi, 1, 1, generator=generator)
    slope = torch.cos(angle) * axis[None, None, :] + torch.sin(angle) * axis[None, :, None]
    lit = (draw_uniform(n, 0, 1, 1, 1, generator=generator) < 0.35) * draw_uniform(n, 0, 0.6, 1, 1, generator=generator)
    images = images * (1 + lit * slope)[:, None]
    blurred = F.avg_pool2d(F.pad(images, (2, 2, 2, 2), mode="replicate"), 5, 1)
    share = draw_uniform(n, 0, 1, 1, 1, 1, generator=generator) * (draw_uniform(n, 0, 1, 1, 1, 1, generator=generator) < 0.3)
    images = torch.lerp(images, blurred, share)
    return images + torch.randn(images.shape, generator=generator) * draw_uniform(n, 0, 0.04, 1, 1, 1, generator=generator)


def degrade(images: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Some as if they were small in their picture (from 24 pixels up), some as JPEG (quality 25 to 90) of that size: `[N,1,S,S]`, 0…1."""
    images, groups, side = images.clone(), 4, images.shape[-1]
    packed = torch.rand(len(images), generator=generator) < 0.3
    quality = torch.randint(25, 90, (len(images),), generator=generator)
    for i in range(groups):
        seen, small = images[i::groups], side
        if torch.rand(1, generator=generator) < 0.5:
            small = min(side, int(torch.randint(24, SIZE, (1,), generator=generator)))
            seen = F.interpolate(seen, small, mode="area")
        for row in torch.nonzero(packed[i::groups]).flatten().tolist():
            pixels = (seen[row, 0].clamp(0, 1) * 255).byte().numpy()
            _, coded = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, int(quality[i::groups][row])])
            seen[row, 0] = torch.from_numpy(cv2.imdecode(coded, cv2.IMREAD_GRAYSCALE)).float() / 255
        images[i::groups] = F.interpolate(seen, side, mode="bilinear", align_corners=False) if small < side else seen
    return images


def draw_uniform(n: int, low: float, high: float, *shape: int, generator: torch.Generator) -> torch.Tensor:
    """`[n, *shape]` random numbers from `low` to `high`."""
    return torch.rand(n, *shape, generator=generator) * (high - low) + low
