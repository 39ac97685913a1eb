"""The encoder's trunk, settled: what it answers shall not hang on how a face lies in its crop, on which side is which, or on the light.

An encoder answers the mean of several views of a face better, and more steadily, than any one of them. So it learns from itself: of each
face of FER+ and of today the mean of its own answers to views that are mirrored, shifted, turned, zoomed and relit is the target of one
view, mixed with what FER+'s people said (self-distillation; after Data Distillation, CVPR 2018). Its other parts stay as they are.

    python -m training encoder --start runs/encoder --out runs/settled
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import torch
from torch import nn
from torch.nn import functional as F

from edge.language.labels import EMOTIONS_8
from training.augment import SIZE, Targets, augment, join
from training.data import MARGIN
from training.material import Material, rare_first
from training.network import TRUNK, Encoder, standardise
from training.recipe import EncoderConfig
from training.run import Average, Run, cosine_schedule, progress

_TURN_DEG, _ZOOM, _SHIFT, _GAMMA = 4.0, 0.04, 0.04, 0.2
"""Deviations of a view's angle, of the logarithm of its size, of its place in sides of the crop, of the logarithm of its gamma."""
_BATCH = 256
PROBED = 512
"""Faces that folded normalisations are told by."""


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


@torch.no_grad()
def mean_answer(
    model: Encoder, images: torch.Tensor, margin: float, views: int, generator: torch.Generator, batch: int = 256
) -> torch.Tensor:
    """Probabilities `[N,8]`: the mean over views of each face `[N,S,S]` uint8, half of them mirrored."""
    model.eval()
    device, parts = next(model.parameters()).device, []
    for start in progress(range(0, len(images), _BATCH), "views"):
        pictures = images[start : start + _BATCH].unsqueeze(1).float() / 255
        total = torch.zeros(len(pictures), len(EMOTIONS_8))
        for view in range(views):
            seen = _view(pictures.flip(3) if view % 2 else pictures, margin, generator)
            with torch.autocast(device.type, torch.bfloat16):
                read = model(seen.to(device, memory_format=torch.channels_last))
            total += read["emotion"].float().softmax(1).cpu()
        parts.append(total / views)
    return torch.cat(parts)


def _view(pictures: torch.Tensor, margin: float, generator: torch.Generator) -> torch.Tensor:
    def drawn(deviation: float, *shape: int) -> torch.Tensor:
        return torch.randn(len(pictures), *shape, generator=generator) * deviation

    angle, zoom = torch.deg2rad(drawn(_TURN_DEG)), torch.exp(drawn(_ZOOM))
    cos, sin = torch.cos(angle) * zoom, torch.sin(angle) * zoom
    matrix = torch.stack([torch.stack([cos, sin], 1), torch.stack([-sin, cos], 1)], 1)
    place = torch.cat([matrix, drawn(2 * _SHIFT, 2)[:, :, None]], 2) / margin
    grid = F.affine_grid(place, [len(pictures), 1, SIZE, SIZE], align_corners=False)
    seen = F.grid_sample(pictures, grid, padding_mode="border", align_corners=False)
    return seen.clamp(1e-4, 1) ** torch.exp(drawn(_GAMMA, 1, 1, 1))


def settle(run: Run, model: Encoder, teacher: Encoder, material: Material, config: EncoderConfig) -> dict[str, torch.Tensor]:
    """Train the trunk and emotion head of `model` on the teacher's mean answers; the averaged state of the whole model.

    Args:
        run: takes the figures; its device is trained on.
        model: whose trunk learns; the rest of it stays.
        teacher: what it was begun from, with its class offsets and temperatures.
        material: faces.
        config: `settle_…` of it.
    """
    generator, labelled = torch.Generator().manual_seed(config.seed), material.raw.emotion
    fer = torch.stack(
        [mean_answer(teacher, faces.images, 1.0, config.settle_views // 2, generator) for faces in (material.raw, material.levelled)]
    )
    told = torch.lerp(fer.mean(0), labelled, config.settle_votes)
    now = mean_answer(teacher, material.today.images, MARGIN, config.settle_views, generator)
    parts = [
        (replace(faces, emotion=target), rare_first(target, config.rare_power), margin)
        for faces, target, margin in ((material.raw, told, 1.0), (material.levelled, told, 1.0), (material.today, now, MARGIN))
    ]
    size = round(config.batch * config.settle_share)
    sizes = [(config.batch - size + 1) // 2, (config.batch - size) // 2, size]
    steps = len(labelled) // sum(sizes[:2])
    trunk = nn.ModuleList(getattr(model, name) for name in TRUNK)
    learned = list(trunk.parameters())
    optimizer = torch.optim.AdamW(
        [
            {"params": [p for p in learned if p.ndim > 1], "weight_decay": config.weight_decay},
            {"params": [p for p in learned if p.ndim <= 1], "weight_decay": 0.0},
        ],
        lr=config.settle_lr,
    )
    schedule = cosine_schedule(optimizer, config.settle_passes * steps, steps // 4)
    average = Average(model, config.average)
    for number in range(config.settle_passes):
        trunk.train()
        total = 0.0
        for batch in progress(_batches(parts, sizes, steps, generator), f"settling {number}", steps):
            pixels = batch.images.to(run.device, memory_format=torch.channels_last)
            with torch.autocast(run.device.type, torch.bfloat16):
                logits = model.emotion(model.dropout(model.stages(model.stem(standardise(pixels))).mean((2, 3))))
            loss = -(batch.emotion.to(run.device) * F.log_softmax(logits.float(), 1)).sum(1).mean()
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            nn.utils.clip_grad_norm_(learned, 5.0)
            optimizer.step()
            schedule.step()
            average.update(model)
            total += loss.item()
        run.metrics(settling=number, loss=total / steps)
    return average.state


def _batches(
    parts: list[tuple[Targets, torch.Tensor, float]], sizes: list[int], steps: int, generator: torch.Generator
) -> Iterator[Targets]:
    """Augmented batches: `size` faces of each part, drawn by its weights, with its margin."""
    rows = [
        torch.multinomial(weights, steps * size, replacement=True, generator=generator).view(steps, size)
        for (_, weights, _), size in zip(parts, sizes, strict=True)
    ]
    for chosen in zip(*rows, strict=True):
        taken = [(faces.take(some), margin) for (faces, _, margin), some in zip(parts, chosen, strict=True)]
        yield join([augment(faces, generator, margin) for faces, margin in taken])
