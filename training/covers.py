"""What lies over a face: shapes filled with anything, dark glasses, hands; and frames that hide nothing."""

from __future__ import annotations

from functools import partial

import numpy as np
import torch
from torch.nn import functional as F

from training.augment import draw_uniform
from training.cues import CUES, POINTS

SIDE = 48
"""Of the crops, pixels: what covers a face is seen in half the encoder's resolution."""
_SHOWS = torch.tensor([[float(p in cue.points) / len(cue.points) for p in POINTS] for cue in CUES])  # [C,P]
_EYES = torch.tensor([[POINTS.index(p) for p in eye] for eye in ((33, 133, 159, 145), (362, 263, 386, 374))])
_GLASSES, _HANDS = 0.18, 0.22
"""Shares of the covered faces."""
_FINGERS = 4


def cover(images: torch.Tensor, points: torch.Tensor, photos: torch.Tensor, generator: torch.Generator) -> tuple[torch.Tensor, ...]:
    """Cover each face with one shape, with dark glasses or with a hand.

    Args:
        images: `[N,1,S,S]`, 0…1.
        points: `[N,P,2]` of the faces, in fractions of the crop.
        photos: `[M,S,S]` patches without faces, 0…1.
        generator: random numbers.

    Returns:
        The covered images, the masks `[N,S,S]`, and the share of each cue's points that is covered, `[N,K]`.
    """
    n = len(images)
    mask, x, y, angle = _shapes(points, generator)
    filled = _fillings(images, photos, x, y, angle, generator)
    kind = draw_uniform(n, 0, 1, 1, 1, generator=generator)
    for chosen, (shape, filling) in (
        (kind < _GLASSES, _dark_glasses(points, generator)),
        (kind > 1 - _HANDS, _hand(images, points, generator)),
    ):
        mask, filled = torch.where(chosen, shape, mask), torch.where(chosen[:, None], filling, filled)
    edge = F.avg_pool2d(F.pad(mask[:, None].float(), (1, 1, 1, 1), mode="replicate"), 3, 1)
    soft = torch.where(draw_uniform(n, 0, 1, 1, 1, 1, generator=generator) < 0.5, edge, mask[:, None].float())
    column, row = ((points * SIDE).long().clamp(0, SIDE - 1)).unbind(2)
    under = mask[torch.arange(n)[:, None], row, column].float()
    return torch.lerp(images, filled, soft), mask, under @ _SHOWS.T


def frames(images: torch.Tensor, points: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Put spectacles on each face, whose glass hides nothing: thin rims, dark or bright, and now and then a gleam."""
    n, uniform = len(images), partial(draw_uniform, len(images), generator=generator)
    lenses, _, _ = _lenses(points, generator)
    rim = (lenses <= 1) & (lenses > 1 - uniform(0.3, 0.75, 1, 1))
    colour = torch.where(uniform(0, 1, 1, 1) < 0.75, uniform(0, 0.3, 1, 1), uniform(0.6, 1, 1, 1))
    strength = uniform(0.3, 1, 1, 1) * rim + uniform(0, 0.15, 1, 1) * (lenses <= 1)
    return torch.lerp(images, colour[:, None].expand(n, 1, SIDE, SIDE), strength.clamp(0, 1)[:, None])


def _shapes(points: torch.Tensor, generator: torch.Generator) -> tuple[torch.Tensor, ...]:
    """A shape for each face, over one of its points more often than not: masks `[N,S,S]`, its own coordinates x and y, its angle `[N]`."""
    n, uniform = len(points), partial(draw_uniform, len(points), generator=generator)
    chosen = torch.randint(points.shape[1], (n,), generator=generator)
    aimed = points[torch.arange(n), chosen] * SIDE + uniform(-5, 5, 2)
    middle = torch.where(uniform(0, 1, 1) < 0.6, aimed, uniform(0, SIDE, 2))
    angle, half = uniform(0, np.pi), uniform(5, 20, 2)
    x, y = _beside(middle)
    across, along = _turned(x, y, angle)
    across, along = across / half[:, :1, None], along / half[:, 1:, None]
    # an ellipse, a bar with square corners, or everything on one side of a line
    kind = torch.randint(3, (n,), generator=generator)[:, None, None]
    reach = torch.where(kind == 0, across**2 + along**2, torch.maximum(across.abs(), along.abs()))
    return torch.where(kind == 2, along > 0, reach <= 1), x, y, angle


def _fillings(
    images: torch.Tensor, photos: torch.Tensor, x: torch.Tensor, y: torch.Tensor, angle: torch.Tensor, generator: torch.Generator
) -> torch.Tensor:
    """What lies over each face, `[N,1,S,S]`: grey, a slope, grain, a photo, or a part of another face."""
    n, uniform = len(images), partial(draw_uniform, len(images), generator=generator)
    level, grain = uniform(0, 1, 1, 1, 1), torch.randn(n, 1, 7, 7, generator=generator)
    mean = images.mean((2, 3), keepdim=True)
    grey = torch.where(uniform(0, 1, 1, 1, 1) < 0.4, mean, level).expand_as(images)
    slope = level + (x * torch.cos(3 * angle)[:, None, None] + y * torch.sin(3 * angle)[:, None, None])[:, None] * uniform(0, 0.03, 1, 1, 1)
    rough = level + F.interpolate(grain, SIDE, mode="bicubic", align_corners=False) * uniform(0.02, 0.25, 1, 1, 1)
    photo = photos[torch.randint(len(photos), (n,), generator=generator)][:, None]
    zoom = torch.stack([uniform(0.2, 0.6), uniform(0.2, 0.6)], 1).diag_embed()
    grid = F.affine_grid(torch.cat([zoom, uniform(-0.5, 0.5, 2)[:, :, None]], 2), list(images.shape), align_corners=False)
    skin = F.grid_sample(images.roll(1, 0), grid, padding_mode="border", align_corners=False)
    fills = torch.stack([grey, slope, rough, photo, skin])
    return fills[torch.randint(len(fills), (n,), generator=generator), torch.arange(n)].clamp(0, 1)


def _dark_glasses(points: torch.Tensor, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    """Two dark lenses and what joins them: masks `[N,S,S]` and their filling `[N,1,S,S]`, darker towards one side, some with a gleam."""
    uniform = partial(draw_uniform, len(points), generator=generator)
    lenses, x, y = _lenses(points, generator)
    slope = (y / SIDE) * uniform(-0.6, 0.6, 1, 1) + (x / SIDE) * uniform(-0.3, 0.3, 1, 1)
    from_gleam = (x - uniform(-14, 14, 1, 1)) ** 2 + (y - uniform(-5, 3, 1, 1)) ** 2
    gleam = torch.exp(-from_gleam / uniform(2, 25, 1, 1)) * uniform(-0.5, 0.6, 1, 1).clamp(min=0)
    return lenses <= 1, (uniform(0, 0.22, 1, 1) + slope + gleam)[:, None].clamp(0, 1)


def _lenses(points: torch.Tensor, generator: torch.Generator) -> tuple[torch.Tensor, ...]:
    """How far out of the lenses of glasses each pixel lies `[N,S,S]`, 1 at their rims, and its place beside the bridge, x and y."""
    uniform = partial(draw_uniform, len(points), generator=generator)
    right, left = (points[:, eye].mean(1) * SIDE for eye in _EYES)
    apart = (left - right).norm(dim=1).clamp(min=4)
    angle = torch.atan2(left[:, 1] - right[:, 1], left[:, 0] - right[:, 0])
    x, y = _beside((left + right) / 2 + apart[:, None] * uniform(-0.06, 0.06, 2))
    x, y = _turned(x, y, angle)
    wide, high = apart * uniform(0.32, 0.55), apart * uniform(0.2, 0.46)
    power = uniform(2, 5, 1, 1)
    from_middle = (x.abs() - apart[:, None, None] / 2) / wide[:, None, None]
    lens = from_middle.abs() ** power + ((y - apart[:, None, None] * 0.06) / high[:, None, None]).abs() ** power
    bridge = torch.maximum(x.abs() / (apart / 4)[:, None, None], ((y + high[:, None, None] / 2) / (apart / 18)[:, None, None]).abs())
    return torch.minimum(lens, bridge), x, y


def _hand(images: torch.Tensor, points: torch.Tensor, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    """Fingers side by side, of the face's own skin, shaded towards their sides: masks `[N,S,S]` and their filling `[N,1,S,S]`."""
    n, uniform = len(points), partial(draw_uniform, len(points), generator=generator)
    chosen = torch.randint(points.shape[1], (n,), generator=generator)
    x, y = _beside(points[torch.arange(n), chosen] * SIDE + uniform(-5, 5, 2))
    across, along = _turned(x, y, uniform(0, 2 * np.pi))
    width, count = uniform(4, 9, 1, 1), torch.randint(1, _FINGERS + 1, (n, 1, 1), generator=generator)
    place = across / width + count / 2 + uniform(-0.5, 0.5, 1, 1)
    finger = place.floor()
    # where each ends; far behind its tip the hand goes on beyond the picture
    tips = uniform(-4, 10, _FINGERS) + uniform(0, 6, 1)
    tip = tips.gather(1, finger.clamp(0, _FINGERS - 1).long().flatten(1)).reshape(along.shape)
    beside = (place - finger - 0.5) * 2  # −1…1 across a finger
    tip = tip - width / 2 * (1 - (1 - beside**2).clamp(min=0).sqrt())
    inside = (finger >= 0) & (finger < count) & (along < tip)
    skin = images.mean((1, 2, 3))[:, None, None] * uniform(0.75, 1.5, 1, 1)
    shade = 1 - beside.abs() ** 3 * uniform(0.05, 0.5, 1, 1) - (x / SIDE) * uniform(-0.5, 0.5, 1, 1)
    grain = F.interpolate(torch.randn(n, 1, 12, 12, generator=generator), SIDE, mode="bicubic", align_corners=False)
    return inside, ((skin * shade)[:, None] + grain * uniform(0, 0.04, 1, 1, 1)).clamp(0, 1)


def _beside(middle: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Where each pixel lies beside the points `[N,2]`: x and y, `[N,S,S]`."""
    axis = torch.arange(SIDE) + 0.5
    size = (len(middle), SIDE, SIDE)
    return (axis[None, None] - middle[:, :1, None]).expand(size), (axis[None, :, None] - middle[:, 1:, None]).expand(size)


def _turned(x: torch.Tensor, y: torch.Tensor, angle: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    cos, sin = torch.cos(angle)[:, None, None], torch.sin(angle)[:, None, None]
    return x * cos + y * sin, y * cos - x * sin
