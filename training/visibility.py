"""Which cues of a face are in sight: a small network beside the encoder, for the verdict.

The encoder is taught to read a face through what covers it, and so it tells a mouth that it cannot see. A claim about it would describe
nothing that is there. This network says for each cue whether the part of the face that shows it is in sight. It learns from faces that
are covered on the spot: by shapes filled with grey, slopes, grain, patches of photos without faces, and patches of other faces, which
stand in for hands.

    python -m training visibility --out runs/visibility
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from edge.cv import cv2
from edge.errors import InputError
from training.augment import SIZE, Targets, draw_uniform, move, plain, relight
from training.cues import CUE_NAMES, CUES, POINTS, fit_cue_model
from training.data import FerPlus, load_ferplus
from training.photos import load_photos
from training.run import Average, Run, cosine_schedule, load_checkpoint, progress, read_config

SIDE = 48
"""Of its crops, pixels: what covers a face is seen in half the encoder's resolution."""
HIDDEN = 0.5
"""A cue is hidden when at least this share of its points is covered; between none and this it is neither hidden nor in sight."""
_SHOWS = torch.tensor([[float(p in cue.points) / len(cue.points) for p in POINTS] for cue in CUES])  # [C,P]


@dataclass(frozen=True, slots=True)
class VisibilityConfig:
    """Everything that decides a run."""

    widths: list[int]
    """Channels; the resolution is halved before each of them and once at the end."""
    hidden: int
    """Width of the layer before the last."""
    epochs: int
    batch: int
    lr: float
    weight_decay: float
    average: float
    """Decay of the moving average of the weights."""
    clear_share: float
    """Share of the faces that nothing covers."""
    false_alarms: float
    """Share of cues of uncovered validation faces that may count as hidden: decides the threshold."""
    seed: int


class Visibility(nn.Module):
    """Grey face crops → for each cue, the logit of being in sight."""

    def __init__(self, widths: list[int], hidden: int) -> None:
        super().__init__()

        def layer(inputs: int, outputs: int, side: int, stride: int) -> list[nn.Module]:
            return [nn.Conv2d(inputs, outputs, side, stride, side // 2, bias=False), nn.BatchNorm2d(outputs), nn.ReLU()]

        layers = layer(1, widths[0], 5, 2)
        for inputs, outputs in pairwise(widths):
            layers += [*layer(inputs, outputs, 3, 2), *layer(outputs, outputs, 3, 1)]
        self.body = nn.Sequential(*layers, *layer(widths[-1], widths[-1], 3, 2))
        flat = widths[-1] * (SIDE // 2 ** (len(widths) + 1)) ** 2
        self.head = nn.Sequential(nn.Linear(flat, hidden), nn.ReLU(), nn.Linear(hidden, len(CUE_NAMES)))

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """`[N,1,48,48]`, 0…1 → `[N,K]` logits."""
        centred = pixels - pixels.mean((2, 3), keepdim=True)
        pixels = centred / (centred.square().mean((2, 3), keepdim=True) + 1e-3).sqrt()
        return self.head(self.body(pixels).flatten(1))


def cover(images: torch.Tensor, points: torch.Tensor, photos: torch.Tensor, generator: torch.Generator) -> tuple[torch.Tensor, ...]:
    """Cover each face with one shape.

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
    edge = F.avg_pool2d(F.pad(mask[:, None].float(), (1, 1, 1, 1), mode="replicate"), 3, 1)
    soft = torch.where(draw_uniform(n, 0, 1, 1, 1, 1, generator=generator) < 0.5, edge, mask[:, None].float())
    column, row = ((points * SIDE).long().clamp(0, SIDE - 1)).unbind(2)
    under = mask[torch.arange(n)[:, None], row, column].float()
    return torch.lerp(images, filled, soft), mask, under @ _SHOWS.T


def _shapes(points: torch.Tensor, generator: torch.Generator) -> tuple[torch.Tensor, ...]:
    """A shape for each face, over one of its points more often than not: masks `[N,S,S]`, its own coordinates x and y, its angle `[N]`."""
    n, uniform = len(points), partial(draw_uniform, len(points), generator=generator)
    chosen = torch.randint(points.shape[1], (n,), generator=generator)
    aimed = points[torch.arange(n), chosen] * SIDE + uniform(-5, 5, 2)
    middle = torch.where(uniform(0, 1, 1) < 0.6, aimed, uniform(0, SIDE, 2))
    angle, half = uniform(0, np.pi), uniform(5, 20, 2)
    axis = torch.arange(SIDE) + 0.5
    x, y = axis[None, None] - middle[:, :1, None], axis[None, :, None] - middle[:, 1:, None]
    cos, sin = torch.cos(angle)[:, None, None], torch.sin(angle)[:, None, None]
    across, along = (x * cos + y * sin) / half[:, :1, None], (y * cos - x * sin) / half[:, 1:, None]
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


def photo_patches(archive: Path, split: str, count: int, seed: int) -> torch.Tensor:
    """`[count,S,S]` float patches, 0…1, of photos of the pack that show no face, mirrored and zoomed at random."""
    rng = np.random.default_rng(seed)
    empty = [photo.image for photo in load_photos(archive, split) if photo.checked_empty]
    if not empty:
        raise InputError(f"'{archive}' has no photo without faces in its {split} split")
    patches = []
    for _ in range(count):
        image = empty[rng.integers(len(empty))]
        side = int(rng.integers(min(24, *image.shape), min(image.shape) + 1))
        top, left = (int(rng.integers(0, length - side + 1)) for length in image.shape)
        patch = cv2.resize(image[top : top + side, left : left + side], (SIDE, SIDE), interpolation=cv2.INTER_AREA)
        patches.append(patch[:, :: 1 if rng.random() < 0.5 else -1])
    return torch.from_numpy(np.stack(patches)).float() / 255


def halved(images: torch.Tensor) -> torch.Tensor:
    """The encoder's crops `[N,1,SIZE,SIZE]` in the size that this network reads."""
    return F.avg_pool2d(images, SIZE // SIDE)


def view(
    batch: Targets, photos: torch.Tensor, generator: torch.Generator, clear_share: float
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Faces as a camera may see them.

    Returns:
        Images `[N,1,S,S]`; which cues are in sight `[N,K]` (0 or 1; NaN between); and which faces nothing covers `[N]`.
    """
    moved = move(batch, generator)
    moved = replace(moved, images=halved(moved.images))
    covered, _, share = cover(moved.images, moved.points, photos, generator)
    clear = torch.rand(len(share), generator=generator) < clear_share
    images = torch.where(clear[:, None, None, None], moved.images, covered)
    share = torch.where(clear[:, None], torch.zeros_like(share), share)
    seen = torch.where(share >= HIDDEN, 0.0, torch.where(share > 0, torch.nan, 1.0))
    if torch.rand(1, generator=generator) < 0.3:  # a small or distant face
        side = int(torch.randint(SIDE // 3, SIDE, (1,), generator=generator))
        images = F.interpolate(F.interpolate(images, side, mode="area"), SIDE, mode="bilinear", align_corners=False)
    return relight(images, generator), seen, clear


def train(folder: Path, out: Path, config: VisibilityConfig) -> Path:
    """Train on the faces of FER+ under `folder`; write the run to `out`."""
    run = Run(out, config, seed=config.seed)
    faces, valid = load_ferplus(folder, "train"), load_ferplus(folder, "valid")
    cue_model = fit_cue_model(faces.landmarks, faces.point_index, faces.label == 0)
    targets, held_out = (Targets.of(_measured(part), cue_model) for part in (faces, valid))
    archive = folder / "faces_in_context.zip"
    photos, unseen = photo_patches(archive, "train", 4096, config.seed), photo_patches(archive, "valid", 1024, config.seed)

    model = Visibility(config.widths, config.hidden).to(run.device, memory_format=torch.channels_last)
    average, averaged = Average(model, config.average), Visibility(config.widths, config.hidden).to(run.device)
    optimizer = torch.optim.AdamW(model.parameters(), lr=config.lr, weight_decay=config.weight_decay)
    steps = max(1, len(targets.images) // config.batch)
    schedule = cosine_schedule(optimizer, config.epochs * steps, steps)
    generator = torch.Generator().manual_seed(config.seed)
    for epoch in range(config.epochs):
        model.train()
        rows, total = torch.randperm(len(targets.images), generator=generator), 0.0
        for chosen in progress(rows.split(config.batch)[:steps], f"epoch {epoch}", steps):
            images, seen, _ = view(targets.take(chosen), photos, generator, config.clear_share)
            with torch.autocast(run.device.type, torch.bfloat16):
                logits = model(images.to(run.device, memory_format=torch.channels_last))
            loss = _loss(logits.float(), seen.to(run.device))
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            schedule.step()
            average.update(model)
            total += loss.item()
        averaged.load_state_dict(average.state)
        threshold, figures = evaluate(averaged, held_out, unseen, config.false_alarms)
        run.metrics(epoch=epoch, loss=total / steps, threshold=threshold, **figures)
        run.save(state=average.state, threshold=threshold, figures=figures)
    return out


def _measured(faces: FerPlus) -> FerPlus:
    return faces.take(np.isfinite(faces.landmarks).all((1, 2)))


def _loss(logits: torch.Tensor, seen: torch.Tensor) -> torch.Tensor:
    known = seen.isfinite()
    return F.binary_cross_entropy_with_logits(logits[known], seen[known])


@torch.no_grad()
def evaluate(model: Visibility, faces: Targets, photos: torch.Tensor, false_alarms: float, seed: int = 0) -> tuple[float, dict[str, float]]:
    """The threshold of being in sight, and what it finds on faces that are covered at random.

    Returns:
        The probability that `false_alarms` of the cues of uncovered faces fall below, one half at most; and `found`, the share of hidden
        cues below it, `false`, the share of cues in sight below it on covered faces, and `found_<cue>`.
    """
    model.eval()
    device, generator = next(model.parameters()).device, torch.Generator().manual_seed(seed)
    read, truth, clear = [], [], []
    for rows in torch.arange(len(faces.images)).split(512):
        bare = faces.take(rows)
        clear.append(model(halved(plain(bare.images)).to(device)).sigmoid().cpu())
        images, seen, _ = view(bare, photos, generator, 0.0)
        read.append(model(images.to(device)).sigmoid().cpu())
        truth.append(seen)
    threshold = min(0.5, float(np.quantile(torch.cat(clear).numpy(), false_alarms)))
    low, seen = torch.cat(read) < threshold, torch.cat(truth)
    found = {f"found_{name}": float(low[:, k][seen[:, k] == 0].float().mean()) for k, name in enumerate(CUE_NAMES)}
    return threshold, {"found": float(low[seen == 0].float().mean()), "false": float(low[seen == 1].float().mean()), **found}


@dataclass(frozen=True, slots=True)
class TrainedVisibility:
    """A run, loaded."""

    network: Visibility
    threshold: float
    """Probability below which a cue counts as hidden."""
    figures: dict[str, float]
    """What `evaluate` saw at it."""
    record: dict[str, Any]
    """Configuration, seed, command, versions."""


def load_visibility(folder: Path) -> TrainedVisibility:
    """Load a run."""
    checkpoint = load_checkpoint(folder)
    config = checkpoint["record"]["config"]
    network = Visibility(config["widths"], config["hidden"])
    network.load_state_dict(checkpoint["state"])
    return TrainedVisibility(network.eval(), round(float(checkpoint["threshold"]), 4), checkpoint["figures"], checkpoint["record"])


def configure(given: Path | None, overrides: list[str]) -> VisibilityConfig:
    """The resolved configuration."""
    return read_config(VisibilityConfig, "visibility", given, overrides)
