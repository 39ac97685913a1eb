"""The vision encoder: a 48×48 grey face → feature map, eight emotions, cues, points, pose; one residual network, trained at once.

Emotions are learned from the FER+ vote distribution, cues, points and pose from the landmarks. Rare emotions are drawn more
often (`rare_power`); what that does to the prior is undone by per-class offsets chosen on the validation split.

    python -m training encoder --out runs/encoder
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from edge.language.labels import EMOTIONS_8
from training.cues import CUE_NAMES, MIRROR_SIGN, POINT_MIRROR, POINTS, CueModel, fit_cue_model
from training.data import FerPlus, load_ferplus
from training.metrics import recalls, war_uar
from training.run import Average, Run, cosine_schedule, load_checkpoint, progress, read_config

SIZE = 48
_POSE_SCALE = 20.0  # degrees; brings pose to the size of the other targets


@dataclass(frozen=True, slots=True)
class EncoderConfig:
    """Everything that decides an encoder run."""

    widths: list[int]
    """Channels of the stem and of the four stages."""
    depths: list[int]
    """Residual blocks per stage; each stage halves the resolution."""
    epochs: int
    batch: int
    lr: float
    weight_decay: float
    average: float
    """Decay of the moving average of the weights."""
    dropout: float
    rare_power: float
    """A face is drawn in proportion to (frequency of its emotions) ** −rare_power; 0 draws as they come."""
    cue_weight: float
    point_weight: float
    pose_weight: float
    seed: int


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


class Encoder(nn.Module):
    """Grey face crops → feature map and readings."""

    def __init__(self, widths: list[int], depths: list[int], dropout: float = 0.0) -> None:
        super().__init__()
        self.widths, self.depths = widths, depths
        self.stem = nn.Sequential(nn.Conv2d(1, widths[0], 3, 1, 1, bias=False), nn.BatchNorm2d(widths[0]), nn.ReLU())
        blocks, channels = [], widths[0]
        for width, depth in zip(widths[1:], depths, strict=True):
            for i in range(depth):
                blocks.append(Block(channels, width, 2 if i == 0 else 1))
                channels = width
        self.stages = nn.Sequential(*blocks)
        self.dropout = nn.Dropout(dropout)
        self.emotion = nn.Linear(channels, len(EMOTIONS_8))
        # cues, points and pose depend on where things are: they read the whole 3×3 map, not its mean
        flat = channels * (SIZE // 16) ** 2
        self.geometry = nn.Sequential(nn.Linear(flat, 96), nn.ReLU())
        self.cues = nn.Linear(96, len(CUE_NAMES))
        self.points = nn.Linear(96, 2 * len(POINTS))
        self.pose = nn.Linear(96, 3)

    def forward(self, pixels: torch.Tensor) -> dict[str, torch.Tensor]:
        """Read faces.

        Args:
            pixels: `[N,1,48,48]` float, 0…1. Brightness and contrast are removed inside.

        Returns:
            `map [N,C,3,3]`, `emotion [N,8]` logits, `cues [N,K]` z-scores, `points [N,P,2]` in fractions of the crop,
            `pose [N,3]` degrees (yaw, pitch, roll).
        """
        centred = pixels - pixels.mean((2, 3), keepdim=True)
        pixels = centred / (centred.square().mean((2, 3), keepdim=True) + 1e-3).sqrt()
        features = self.stages(self.stem(pixels))
        geometry = self.geometry(self.dropout(features.flatten(1)))
        return {
            "map": features,
            "emotion": self.emotion(self.dropout(features.mean((2, 3)))),
            "cues": self.cues(geometry),
            "points": self.points(geometry).reshape(-1, len(POINTS), 2) + 0.5,
            "pose": self.pose(geometry) * _POSE_SCALE,
        }


@dataclass(frozen=True, slots=True)
class Targets:
    """What a set of faces should read as (tensors, one row a face; NaN where unknown)."""

    images: torch.Tensor
    emotion: torch.Tensor
    cues: torch.Tensor
    points: torch.Tensor
    pose: torch.Tensor

    @classmethod
    def of(cls, faces: FerPlus, model: CueModel) -> Targets:
        """Measure `faces`."""
        cues, pose = model.measure(faces.landmarks, faces.point_index)
        column = {int(number): i for i, number in enumerate(faces.point_index)}
        points = faces.landmarks[:, [column[number] for number in POINTS], :2] / SIZE
        tensors = (faces.images, faces.target, cues, points.astype(np.float32), pose)
        return cls(*(torch.from_numpy(np.ascontiguousarray(t)) for t in tensors))

    def take(self, rows: torch.Tensor) -> Targets:
        """The chosen rows."""
        return Targets(*(getattr(self, field.name)[rows] for field in fields(Targets)))


def augment(batch: Targets, generator: torch.Generator) -> Targets:
    """Mirror, turn, zoom, shift, relight, blur and partly cover a batch; points and pose follow."""
    moved = move(batch, generator)
    images = relight(moved.images, generator)
    n, axis = len(images), torch.arange(SIZE)
    corner, extent = draw_uniform(n, -8, SIZE - 8, 2, generator=generator), draw_uniform(n, 8, 20, 2, generator=generator)
    inside = [(axis >= corner[:, i, None]) & (axis < (corner + extent)[:, i, None]) for i in (0, 1)]
    chosen = draw_uniform(n, 0, 1, 1, 1, 1, generator=generator) < 0.35
    covered = inside[0][:, None, :, None] & inside[1][:, None, None, :] & chosen
    images = torch.where(covered, draw_uniform(n, 0, 1, 1, 1, 1, generator=generator), images)
    return replace(moved, images=images)


def move(batch: Targets, generator: torch.Generator) -> Targets:
    """Mirror, turn, zoom and shift a batch; points and pose follow. Its images become `[N,1,48,48]` float, 0…1."""
    n = len(batch.images)
    images = batch.images.unsqueeze(1).float() / 255
    cues, points, pose = batch.cues.clone(), batch.points.clone(), batch.pose.clone()
    flip = draw_uniform(n, 0, 1, generator=generator) < 0.5
    images[flip] = images[flip].flip(3)
    cues[flip] *= torch.from_numpy(MIRROR_SIGN)
    points[flip] = points[flip][:, torch.from_numpy(POINT_MIRROR)] * torch.tensor([-1.0, 1.0]) + torch.tensor([1.0, 0.0])
    pose[flip] *= torch.tensor([-1.0, 1.0, -1.0])

    # `matrix` maps output to input coordinates (centred, ±1), as affine_grid wants; points take its inverse
    angle, zoom = torch.deg2rad(draw_uniform(n, -14, 14, generator=generator)), draw_uniform(n, 0.88, 1.12, generator=generator)
    cos, sin = torch.cos(angle) * zoom, torch.sin(angle) * zoom
    matrix = torch.stack([torch.stack([cos, sin], 1), torch.stack([-sin, cos], 1)], 1)
    shift = draw_uniform(n, -0.12, 0.12, 2, generator=generator)
    grid = F.affine_grid(torch.cat([matrix, shift[:, :, None]], 2), [n, 1, SIZE, SIZE], align_corners=False)
    images = F.grid_sample(images, grid, padding_mode="border", align_corners=False)
    centred = points * 2 - 1 - shift[:, None]
    points = (torch.linalg.solve(matrix[:, None], centred[..., None])[..., 0] + 1) / 2
    pose[:, 2] += torch.rad2deg(angle)
    return Targets(images, batch.emotion, cues, points, pose)


def relight(images: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Change gamma, blur and add noise: `[N,1,48,48]`, 0…1."""
    n = len(images)
    images = images.clamp(1e-4, 1) ** draw_uniform(n, 0.7, 1.4, 1, 1, 1, generator=generator)
    blurred = F.avg_pool2d(F.pad(images, (1, 1, 1, 1), mode="replicate"), 3, 1)
    share = draw_uniform(n, 0, 1, 1, 1, 1, generator=generator) * (draw_uniform(n, 0, 1, 1, 1, 1, generator=generator) < 0.3)
    images = torch.lerp(images, blurred, share)
    return images + torch.randn(images.shape, generator=generator) * draw_uniform(n, 0, 0.04, 1, 1, 1, generator=generator)


def draw_uniform(n: int, low: float, high: float, *shape: int, generator: torch.Generator) -> torch.Tensor:
    """`[n, *shape]` random numbers from `low` to `high`."""
    return torch.rand(n, *shape, generator=generator) * (high - low) + low


def losses(out: dict[str, torch.Tensor], target: Targets, config: EncoderConfig) -> torch.Tensor:
    """Soft cross-entropy on the votes plus Huber losses on what the landmarks tell, where they are known."""
    emotion = -(target.emotion * F.log_softmax(out["emotion"].float(), 1)).sum(1).mean()
    known = target.cues.isfinite().all(1)

    def huber(name: str, truth: torch.Tensor, beta: float, scale: float = 1.0) -> torch.Tensor:
        return F.smooth_l1_loss(out[name][known].float() / scale, truth[known] / scale, beta=beta)

    return (
        emotion
        + config.cue_weight * huber("cues", target.cues, 1.0)
        + config.point_weight * huber("points", target.points, 0.02) * 10
        + config.pose_weight * huber("pose", target.pose, 0.5, _POSE_SCALE)
    )


@torch.no_grad()
def read_faces(model: Encoder, images: np.ndarray, batch: int = 256) -> dict[str, np.ndarray]:
    """Run the encoder over `[N,48,48]` uint8 images; every output as one array."""
    model.eval()
    device = next(model.parameters()).device
    parts = []
    for start in range(0, len(images), batch):
        pixels = torch.from_numpy(images[start : start + batch]).unsqueeze(1).float().to(device) / 255
        parts.append({key: value.float().cpu().numpy() for key, value in model(pixels).items()})
    return {key: np.concatenate([part[key] for part in parts]) for key in parts[0]}


def evaluate(model: Encoder, faces: FerPlus, cue_model: CueModel) -> dict[str, float]:
    """WAR, UAR on the reference protocol and the mean correlation of predicted with measured cues."""
    out, label = read_faces(model, faces.images), faces.label
    kept = label >= 0
    war, uar = war_uar(label[kept], out["emotion"][kept].argmax(1), len(EMOTIONS_8))
    truth, _ = cue_model.measure(faces.landmarks, faces.point_index)
    known = np.isfinite(truth).all(1)
    pairs = zip(truth[known].T, out["cues"][known].T, strict=True)
    return {"war": war, "uar": uar, "cue_corr": float(np.mean([np.corrcoef(a, b)[0, 1] for a, b in pairs]))}


def class_offsets(logits: np.ndarray, label: np.ndarray, weight: float = 0.25) -> np.ndarray:
    """Offsets `[8]` to add to the logits, by coordinate search for the highest WAR + `weight` · UAR on validation faces."""
    offsets = np.zeros(logits.shape[1], np.float32)

    def score(candidate: np.ndarray) -> float:
        war, uar = war_uar(label, (logits + candidate).argmax(1), logits.shape[1])
        return war + weight * uar - 0.002 * float(np.abs(candidate).mean())

    best = score(offsets)
    for step in (0.4, 0.2, 0.1):
        for _ in range(4):
            for i in range(len(offsets)):
                for move in (-step, step):
                    candidate = offsets.copy()
                    candidate[i] += move
                    if (value := score(candidate)) > best:
                        best, offsets = value, candidate
    return offsets - offsets.mean()


def train(folder: Path, out: Path, config: EncoderConfig) -> Path:
    """Train an encoder on FER+ under `folder`; write the run to `out`."""
    run = Run(out, config, seed=config.seed)
    faces, valid = load_ferplus(folder, "train"), load_ferplus(folder, "valid")
    cue_model = fit_cue_model(faces.landmarks, faces.point_index, faces.label == 0)
    faces = faces.take((faces.votes.sum(1) >= 3) & (faces.rest[:, 1] <= faces.votes.sum(1)))
    targets = Targets.of(faces, cue_model)
    frequency = faces.target.mean(0)
    draw = torch.from_numpy(faces.target @ (frequency**-config.rare_power)).double()

    model = Encoder(config.widths, config.depths, config.dropout).to(run.device, memory_format=torch.channels_last)
    average = Average(model, config.average)
    decayed = [p for p in model.parameters() if p.ndim > 1]
    plain = [p for p in model.parameters() if p.ndim <= 1]
    optimizer = torch.optim.AdamW(
        [{"params": decayed, "weight_decay": config.weight_decay}, {"params": plain, "weight_decay": 0.0}], lr=config.lr
    )
    steps = len(faces) // config.batch
    schedule = cosine_schedule(optimizer, config.epochs * steps, 3 * steps)
    generator = torch.Generator().manual_seed(config.seed)
    averaged = Encoder(config.widths, config.depths).to(run.device)
    for epoch in range(config.epochs):
        model.train()
        rows = torch.multinomial(draw, steps * config.batch, replacement=True, generator=generator)
        total = 0.0
        for chosen in progress(rows.split(config.batch), f"epoch {epoch}", steps):
            batch = augment(targets.take(chosen), generator)
            batch = Targets(*(getattr(batch, field.name).to(run.device) for field in fields(Targets)))
            with torch.autocast(run.device.type, torch.bfloat16):
                output = model(batch.images.to(memory_format=torch.channels_last))
            loss = losses(output, batch, config)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 5.0)
            optimizer.step()
            schedule.step()
            average.update(model)
            total += loss.item()
        averaged.load_state_dict(average.state)
        run.metrics(epoch=epoch, loss=total / steps, **evaluate(averaged, valid, cue_model))
        run.save(state=average.state, cue_model=cue_model, offsets=np.zeros(len(EMOTIONS_8), np.float32))

    label = valid.label
    kept = label >= 0
    logits = read_faces(averaged, valid.images)["emotion"][kept]
    offsets = class_offsets(logits, label[kept])
    war, uar = war_uar(label[kept], (logits + offsets).argmax(1), len(EMOTIONS_8))
    per_class = recalls(label[kept], (logits + offsets).argmax(1), len(EMOTIONS_8))
    run.metrics(split="valid, with offsets", war=war, uar=uar, **dict(zip(EMOTIONS_8, map(float, per_class), strict=True)))
    run.save(state=average.state, cue_model=cue_model, offsets=offsets)
    return out


def load_encoder(folder: Path) -> tuple[Encoder, CueModel]:
    """Load a trained encoder, its class offsets folded into the emotion head, and the cue model it learned from."""
    checkpoint = load_checkpoint(folder)
    config = checkpoint["record"]["config"]
    model = Encoder(config["widths"], config["depths"])
    model.load_state_dict(checkpoint["state"])
    with torch.no_grad():
        model.emotion.bias += checkpoint["offsets"]
    return model.eval(), CueModel(**{name: tensor.numpy() for name, tensor in checkpoint["cue_model"].items()})


def configure(given: Path | None, overrides: list[str]) -> EncoderConfig:
    """The resolved encoder configuration."""
    return read_config(EncoderConfig, "encoder", given, overrides)
