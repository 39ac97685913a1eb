"""Which cues of a face are in sight: a small network beside the encoder, for the verdict.

The encoder is taught to read a face through what covers it, and so it tells a mouth that it cannot see. A claim about it would describe
nothing that is there. This network says for each cue whether the part of the face that shows it is in sight. It learns from faces that
are covered on the spot (`training.covers`), and then from those that it finds to be covered already.

    python -m training visibility --out runs/visibility
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from edge.cv import cv2
from edge.errors import InputError
from training.augment import SIZE, Targets, join, move, plain, relight
from training.covers import SIDE, cover, frames
from training.cues import CUE_NAMES, fit_cue_model
from training.data import FerPlus, load_ferplus, load_today, unlabelled
from training.photos import load_photos
from training.run import Average, Run, cosine_schedule, descend, load_checkpoint, progress, read_config

HIDDEN = 0.5
"""A cue is hidden when at least this share of its points is covered; between none and this it is neither hidden nor in sight."""
_FRAMED = 0.1
"""Share of the faces that are given spectacles, which hide nothing."""
_LOOKED_EVERY = 5  # epochs


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
    covered: float
    """From half of the epochs on, a cue that this network sees on a face as it is with less than this probability is taught as hidden,
    whatever is drawn on the face: nearly all of them wear dark glasses, hold a hand before their mouth or turn it away."""
    doubt: float
    """And one that it sees with less than this teaches nothing where nothing is drawn on it."""
    seed: int


def body(widths: list[int]) -> nn.Sequential:
    """Convolutions that halve `[N,1,S,S]` before each width and once at the end."""

    def layer(inputs: int, outputs: int, side: int, stride: int) -> list[nn.Module]:
        return [nn.Conv2d(inputs, outputs, side, stride, side // 2, bias=False), nn.BatchNorm2d(outputs), nn.ReLU()]

    layers = layer(1, widths[0], 5, 2)
    for inputs, outputs in pairwise(widths):
        layers += [*layer(inputs, outputs, 3, 2), *layer(outputs, outputs, 3, 1)]
    return nn.Sequential(*layers, *layer(widths[-1], widths[-1], 3, 2))


class Visibility(nn.Module):
    """Grey face crops → for each cue, the logit of being in sight."""

    def __init__(self, widths: list[int], hidden: int) -> None:
        super().__init__()
        self.body = body(widths)
        flat = widths[-1] * (SIDE // 2 ** (len(widths) + 1)) ** 2
        self.head = nn.Sequential(nn.Linear(flat, hidden), nn.ReLU(), nn.Linear(hidden, len(CUE_NAMES)))

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """`[N,1,48,48]`, 0…1 → `[N,K]` logits."""
        centred = pixels - pixels.mean((2, 3), keepdim=True)
        pixels = centred / (centred.square().mean((2, 3), keepdim=True) + 1e-3).sqrt()
        return self.head(self.body(pixels).flatten(1))


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


def view(batch: Targets, photos: torch.Tensor, generator: torch.Generator, clear_share: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Faces as a camera may see them.

    Returns:
        Images `[N,1,S,S]`, and which cues are in sight `[N,K]` (0 or 1; NaN between) but for what covers the faces as they are.
    """
    moved = move(batch, generator)
    framed = torch.rand(len(moved.images), 1, 1, 1, generator=generator) < _FRAMED
    moved = replace(moved, images=halved(moved.images))
    moved = replace(moved, images=torch.where(framed, frames(moved.images, moved.points, generator), moved.images))
    covered, _, share = cover(moved.images, moved.points, photos, generator)
    clear = torch.rand(len(share), generator=generator) < clear_share
    images = torch.where(clear[:, None, None, None], moved.images, covered)
    share = torch.where(clear[:, None], torch.zeros_like(share), share)
    seen = torch.where(share >= HIDDEN, 0.0, torch.where(share > 0, torch.nan, 1.0))
    if torch.rand(1, generator=generator) < 0.3:  # a small or distant face
        side = int(torch.randint(SIDE // 3, SIDE, (1,), generator=generator))
        images = F.interpolate(F.interpolate(images, side, mode="area"), SIDE, mode="bilinear", align_corners=False)
    return relight(images, generator), seen


def train(folder: Path, out: Path, config: VisibilityConfig) -> Path:
    """Train on the faces of FER+ and of today under `folder`; write the run to `out`."""
    run = Run(out, config, seed=config.seed)
    faces, valid = load_ferplus(folder, "train"), load_ferplus(folder, "valid")
    cue_model = fit_cue_model(faces.landmarks, faces.point_index, faces.label == 0)
    targets, held_out = (
        join([Targets.of(_measured(part), cue_model) for part in (labelled, unlabelled(load_today(folder, held_out=aside), SIZE))])
        for labelled, aside in ((faces, False), (valid, True))
    )
    archive = folder / "faces_in_context.zip"
    photos, unseen = photo_patches(archive, "train", 4096, config.seed), photo_patches(archive, "valid", 1024, config.seed)

    model = Visibility(config.widths, config.hidden).to(run.device, memory_format=torch.channels_last)
    average, averaged = Average(model, config.average), Visibility(config.widths, config.hidden).to(run.device)
    optimizer = torch.optim.AdamW(model.parameters(), lr=config.lr, weight_decay=config.weight_decay)
    steps = max(1, len(targets.images) // config.batch)
    schedule = cosine_schedule(optimizer, config.epochs * steps, steps)
    generator = torch.Generator().manual_seed(config.seed)
    sight = torch.ones(len(targets.images), len(CUE_NAMES))
    for epoch in range(config.epochs):
        if epoch >= max(1, config.epochs // 2) and epoch % _LOOKED_EVERY == 0:
            averaged.load_state_dict(average.state)
            sight = _sight(averaged, targets)
        model.train()
        rows, total = torch.randperm(len(targets.images), generator=generator), 0.0
        for chosen in progress(rows.split(config.batch)[:steps], f"epoch {epoch}", steps):
            images, seen = view(targets.take(chosen), photos, generator, config.clear_share)
            seen = torch.where((sight[chosen] < config.doubt) & (seen == 1), torch.nan, seen)
            seen = torch.where(sight[chosen] < config.covered, 0.0, seen)
            with torch.autocast(run.device.type, torch.bfloat16):
                logits = model(images.to(run.device, memory_format=torch.channels_last))
            loss = _loss(logits.float(), seen.to(run.device))
            descend(loss, optimizer, schedule)
            average.update(model)
            total += loss.item()
        averaged.load_state_dict(average.state)
        threshold, figures = evaluate(averaged, held_out, unseen, config.false_alarms)
        run.metrics(
            epoch=epoch, loss=total / steps, covered=float((sight < config.covered).any(1).float().mean()), threshold=threshold, **figures
        )
        run.save(state=average.state, threshold=threshold, figures=figures)
    return out


def _measured(faces: FerPlus) -> FerPlus:
    return faces.take(np.isfinite(faces.landmarks).all((1, 2)))


def _loss(logits: torch.Tensor, seen: torch.Tensor) -> torch.Tensor:
    known = seen.isfinite()
    return F.binary_cross_entropy_with_logits(logits[known], seen[known])


@torch.no_grad()
def _sight(model: Visibility, faces: Targets) -> torch.Tensor:
    """The probability `[N,K]` with which each cue of faces as they are is in sight."""
    model.eval()
    device = next(model.parameters()).device
    return torch.cat([model(halved(plain(part)).to(device)).sigmoid().cpu() for part in faces.images.split(512)])


@torch.no_grad()
def evaluate(model: Visibility, faces: Targets, photos: torch.Tensor, false_alarms: float, seed: int = 0) -> tuple[float, dict[str, float]]:
    """The threshold of being in sight, and what it finds on faces that are covered at random.

    Returns:
        The probability that `false_alarms` of the cues of uncovered faces fall below, one half at most; and `found`, the share of hidden
        cues below it, `false`, the share of cues in sight below it on covered faces, and `found_<cue>`.
    """
    model.eval()
    device, generator = next(model.parameters()).device, torch.Generator().manual_seed(seed)
    read, truth = [], []
    for rows in torch.arange(len(faces.images)).split(512):
        images, seen = view(faces.take(rows), photos, generator, 0.0)
        read.append(model(images.to(device)).sigmoid().cpu())
        truth.append(seen)
    threshold = min(0.5, float(np.quantile(_sight(model, faces).numpy(), false_alarms)))
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
