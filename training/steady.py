"""A trunk that keeps to its answer: under other light, with other skin, from the other side.

It goes on learning from FER+'s votes and, for a share, its own mean answer of both sides of the face, from that answer on faces of today,
and from composed emotions, all of them augmented and with lighter or darker skin. Kept is the mean of the weights before and after: what
comes after alone knows composed emotions better and real ones worse. The motion branch stays as it is.

    python -m training steady --encoder runs/encoder --out runs/steady
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional as F

from training.augment import SIZE, Targets, augment, draw_uniform, join, plain
from training.data import MARGIN, elsewhere, load_ferplus, load_today
from training.encoder import configure as encoder_config
from training.encoder import finish, load_encoder
from training.material import Material, rare_first
from training.network import PROBED, TRUNK, Encoder, standardise, thaw
from training.run import Average, Run, cosine_schedule, descend, load_checkpoint, progress, read_config

_CORE, _HEAD = (0.45, 0.6), (0.95, 1.1)
"""Half axes of the ellipse that shows little but skin, and of the one beyond which nothing changes, a crop reaching from −1 to 1."""
_TOLD = 50
"""Steps between two lines of the metrics."""
_LEAST_SPREAD = 0.1
"""Of skin in grey, 0…1: so much it differs within any face."""


@dataclass(frozen=True, slots=True)
class SteadyConfig:
    """Everything that decides such a run."""

    widths: list[int]
    """Of the encoder, as are the two that follow: those of the one that is taught take their place."""
    depths: list[int]
    motion: list[int]
    steps: int
    fer: int
    """Faces of FER+ in a batch, half of them levelled."""
    today: int
    composed: int
    composed_each: int
    """Faces that are composed of each emotion; 0: none are."""
    own_share: float
    """Of the target of a FER+ face that is the network's own mean answer instead of the votes."""
    rare_power: float
    """A face of FER+ is drawn in proportion to (frequency of its emotions) ** −rare_power."""
    rare_today: float
    """A face of today is drawn in proportion to (frequency of its answers) ** −rare_today."""
    toned: float
    """Share of the faces whose skin is made lighter or darker."""
    tones: list[float]
    """By which factor at least and at most."""
    lr: float
    weight_decay: float
    average: float
    """Decay of the moving average of the weights."""
    mixed: float
    """Share of the new weights in what is kept."""
    seed: int


def tone(images: torch.Tensor, share: float, low: float, high: float, generator: torch.Generator) -> torch.Tensor:
    """Lighter or darker skin, `[N,1,S,S]`, 0…1: what is as light as the middle of the face, fading out where the head ends."""
    axis = torch.linspace(-1, 1, images.shape[-1])
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    core = (x / _CORE[0]) ** 2 + ((y - 0.05) / _CORE[1]) ** 2 < 1
    skin = images[:, 0][:, core]
    middle = skin.median(1).values[:, None, None, None]
    spread = (1.48 * (skin - middle[:, :, 0, 0]).abs().median(1).values).clamp(min=_LEAST_SPREAD)[:, None, None, None]
    fading = ((1 - ((x / _HEAD[0]) ** 2 + (y / _HEAD[1]) ** 2).sqrt()) / 0.4).clamp(0, 1)
    like = ((12 - ((images - middle) / spread) ** 2) / 6).clamp(0, 1) * fading
    like = F.avg_pool2d(F.pad(like, (2, 2, 2, 2), mode="replicate"), 5, 1)
    factor = torch.exp(draw_uniform(len(images), np.log(low), np.log(high), 1, 1, 1, generator=generator))
    factor = torch.where(draw_uniform(len(images), 0, 1, 1, 1, 1, generator=generator) < share, factor, torch.ones_like(factor))
    return (images * (1 + like * (factor - 1))).clamp(0, 1)


def train(folder: Path, out: Path, config: SteadyConfig, *, encoder: str) -> Path:
    """Teach the trunk of the run `encoder` on the packs under `folder`; write the encoder to `out`."""
    before = load_checkpoint(Path(encoder))["record"]
    shape = {name: before["config"][name] for name in ("widths", "depths", "motion")}
    run = Run(out, replace(config, **shape), seed=config.seed, after=before)
    model, cue_model = load_encoder(Path(encoder))
    model = model.to(run.device, memory_format=torch.channels_last)
    model.doubt.zero_()
    given = {"composed": config.composed_each, "nudged": 0, "rare_power": config.rare_power, "seed": config.seed}
    material = Material(folder, replace(encoder_config(None, []), **given))
    batches = _batches(model, material, config)
    thaw(model, plain(material.raw.images[:PROBED]).to(run.device, memory_format=torch.channels_last))
    first = {name: value.clone() for name, value in model.state_dict().items()}
    for name, part in model.named_children():
        part.requires_grad_(name in TRUNK)
    learned = [p for p in model.parameters() if p.requires_grad]
    matrices, others = ([p for p in learned if (p.ndim > 1) is wanted] for wanted in (True, False))
    groups = [{"params": matrices, "weight_decay": config.weight_decay}, {"params": others, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=config.lr)
    schedule, average = cosine_schedule(optimizer, config.steps, config.steps // 8), Average(model, config.average)
    model.train().motion.eval()
    total = 0.0
    for step, batch in zip(range(1, config.steps + 1), progress(batches, "steps", config.steps), strict=True):
        pixels = batch.images.to(run.device, memory_format=torch.channels_last)
        with torch.autocast(run.device.type, torch.bfloat16):
            logits = model.emotion(model.stages(model.stem(standardise(pixels))).mean((2, 3)))
            if model.evidence.weight.any():
                logits = logits + model.evidence(model.motion(standardise(pixels))["moved"])
        loss = -(batch.emotion.to(run.device) * F.log_softmax(logits.float(), 1)).sum(1).mean()
        descend(loss, optimizer, schedule, most=5.0)
        average.update(model)
        total += loss.item()
        if step % _TOLD == 0 or step == config.steps:
            run.metrics(step=step, loss=total / ((step - 1) % _TOLD + 1))
            total = 0.0
    model.load_state_dict(
        {
            name: torch.lerp(value, average.state[name], config.mixed) if value.is_floating_point() else value
            for name, value in first.items()
        }
    )
    held_out = Targets.of(load_today(folder, held_out=True), cue_model, material.unit_model)
    material.cue_model = cue_model  # the branch, which stays, was taught with this one
    run.save(cue_model=cue_model, **finish(run, model, material, load_ferplus(folder, "valid"), elsewhere(folder, SIZE), held_out))
    return out


def _batches(model: Encoder, material: Material, config: SteadyConfig) -> Iterator[Targets]:
    """Batches of augmented faces, and what they should be answered by: the model is asked now, not when it has learned."""
    own, now = (_answers(model, part.images, margin) for part, margin in ((material.raw, 1.0), (material.today, MARGIN)))
    mixed = (1 - config.own_share) * material.raw.emotion + config.own_share * own
    raw, level = (replace(part, emotion=mixed) for part in (material.raw, material.levelled))
    today, made = replace(material.today, emotion=now), material.composed
    of_today, generator = rare_first(now, config.rare_today), torch.Generator().manual_seed(config.seed)

    def draw() -> Targets:
        fer = torch.multinomial(material.draw, config.fer, generator=generator)
        seen = torch.multinomial(of_today, config.today, generator=generator)
        moved = torch.randint(max(1, len(made)), (config.composed if len(made) else 0,), generator=generator)
        near = augment(join([raw.take(fer[: config.fer // 2]), level.take(fer[config.fer // 2 :])]), generator)
        batch = join([near, augment(join([today.take(seen), made.take(moved)]), generator, MARGIN)])
        return replace(batch, images=tone(batch.images.clamp(0, 1), config.toned, *config.tones, generator))

    return (draw() for _ in range(config.steps))


@torch.no_grad()
def _answers(model: Encoder, images: torch.Tensor, margin: float) -> torch.Tensor:
    """`[N,8]` mean probabilities of both sides of each face."""
    found, device = [], next(model.parameters()).device
    for part in images.split(256):
        pixels = plain(part, margin).to(device)
        with torch.autocast(device.type, torch.bfloat16):
            views = [model(view.contiguous(memory_format=torch.channels_last))["emotion"].float() for view in (pixels, pixels.flip(3))]
        found.append((views[0].softmax(1) + views[1].softmax(1)).cpu() / 2)
    return torch.cat(found)


def configure(given: Path | None, overrides: list[str]) -> SteadyConfig:
    """The resolved configuration."""
    return read_config(SteadyConfig, "steady", given, overrides)
