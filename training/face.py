"""The face finder: a one-stage, anchor-free detector with five points for grey pictures.

A backbone of full convolutions where the picture is large and separable ones below, a top-down neck and one shared head at strides 8, 16
and 32, the cells of YuNet. It learns what YuNet says of every cell of composed pictures (`training.scenes`; function matching, after
Knowledge distillation: A good teacher is patient and consistent, 2022). The run goes on where it stopped when the same command is given
again.

    python -m training face --out runs/face
"""

from __future__ import annotations

import dataclasses
import time
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from edge.bundle import FaceSpec
from edge.cv import cv2
from edge.vision.finder import INPUT, OUTPUT
from edge.vision.finder import FaceFinder as Finder
from training.compose import Composer, Turns
from training.photos import load_photos, score_finder
from training.pieces import load_sources
from training.recipe import FaceConfig
from training.run import Average, Run, cosine_schedule, descend, load_checkpoint, progress, read_config
from training.scenes import LEAST_SCORE, STRIDES, Scenes
from training.teacher import Teacher

_FOCUS = 2.0
_SETTLED = 2 / 3
"""From this share of the steps on batch normalisation keeps its statistics, in a run that starts from another at once: faces are rare, and
what a batch of many pictures evens out blows up in a single one."""
_SMALL_PX, _AN_OCTAVE = 24.0, 0.4
"""False faces are small: nothing is added to the score's logit of a face this wide, this much to one twice as wide, and again, three times
at most. Chosen on validation sources with the threshold."""
SPEC = FaceSpec(
    long_side=384, threshold=0.3, overlap=0.4, least_px=19.0, min_face=0.05, any_way=True, rough=True, screened=True, least_sure=1.4
)
"""How the finder is run; it goes into the bundle. Chosen on validation sources, with its screen: recall over YuNet's against faces where
none is."""


class Separable(nn.Module):
    """Depthwise 3×3, then pointwise 1×1; a shortcut where shapes agree."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__()
        self.depth = nn.Conv2d(inputs, inputs, 3, stride, 1, groups=inputs, bias=False)
        self.norm1 = nn.BatchNorm2d(inputs)
        self.point = nn.Conv2d(inputs, outputs, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(outputs)
        self.residual = stride == 1 and inputs == outputs

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.norm2(self.point(F.relu(self.norm1(self.depth(x)))))
        return F.relu(x + y) if self.residual else F.relu(y)


def _dense(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU())


class Dense(nn.Module):
    """Two full 3×3 convolutions with a shortcut."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = _dense(width, width)
        self.second = nn.Sequential(nn.Conv2d(width, width, 3, 1, 1, bias=False), nn.BatchNorm2d(width))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.relu(x + self.second(self.first(x)))


class FaceFinder(nn.Module):
    """Grey picture → one candidate face per cell."""

    def __init__(self, widths: list[int], neck: int) -> None:
        super().__init__()
        a, b, c, d, e = widths
        self.stem = nn.Sequential(_dense(1, a, 2), _dense(a, b, 2))
        self.stage8 = nn.Sequential(_dense(b, c, 2), Dense(c))
        self.stage16 = nn.Sequential(_dense(c, d, 2), Separable(d, d), Separable(d, d))
        self.stage32 = nn.Sequential(Separable(d, e, 2), Separable(e, e), Separable(e, e))
        self.lateral = nn.ModuleList(nn.Conv2d(width, neck, 1) for width in (c, d, e))
        self.smooth = nn.ModuleList(Separable(neck, neck) for _ in STRIDES)
        self.head = nn.Sequential(Separable(neck, neck), Separable(neck, neck))
        self.point_head = nn.Sequential(Separable(neck, neck), Separable(neck, neck))
        self.box_out, self.point_out = nn.Conv2d(neck, 5, 1), nn.Conv2d(neck, 10, 1)
        nn.init.constant_(self.box_out.bias[0], -4.0)

    def forward(self, picture: torch.Tensor) -> torch.Tensor:
        """Find faces.

        Args:
            picture: `[N,1,H,W]` float 0…255, H and W multiples of 32.

        Returns:
            `[N,A,15]`, one candidate per cell: score, box x1, y1, x2, y2 and five points x, y in pixels.
        """
        rows = self.candidates(picture)
        width = (rows[..., 3:4] - rows[..., 1:2]).clamp(min=1)
        score = (rows[..., :1] + _AN_OCTAVE * torch.log2(width / _SMALL_PX).clamp(0, 3)).sigmoid()
        return torch.cat([score, rows[..., 1:]], 2)

    def candidates(self, picture: torch.Tensor) -> torch.Tensor:
        """One candidate per cell, `[N,A,15]`: like `forward`, but with the score's logit."""
        c = self.stage8(self.stem((picture - 127.5) / 64))
        d = self.stage16(c)
        e = self.lateral[2](self.stage32(d))
        p16 = self.lateral[1](d) + F.interpolate(e, scale_factor=2.0, mode="nearest")
        p8 = self.lateral[0](c) + F.interpolate(p16, scale_factor=2.0, mode="nearest")
        found = []
        for level, smooth, stride in zip((p8, p16, e), self.smooth, STRIDES, strict=True):
            y = smooth(level)
            y = torch.cat([self.box_out(self.head(y)), self.point_out(self.point_head(y))], 1)
            height, width = y.shape[2:]
            raw = y.flatten(2).transpose(1, 2).float()
            columns = ((torch.arange(width, device=y.device) + 0.5) * stride).expand(height, width)
            rows = ((torch.arange(height, device=y.device) + 0.5) * stride)[:, None].expand(height, width)
            found.append(torch.cat([raw[..., :1], _decode(raw, torch.stack([columns, rows], 2).flatten(0, 1), stride)], 2))
        return torch.cat(found, 1)


def _decode(raw: torch.Tensor, place: torch.Tensor, stride: int) -> torch.Tensor:
    """Heads' output `[N,A,15]` of cells with middles `[A,2]` → box x1, y1, x2, y2 and five points x, y in pixels `[N,A,14]`."""
    middle = place + raw[..., 1:3] * stride
    half = raw[..., 3:5].clamp(-4, 4).exp() * (1.5 * stride)
    points = torch.cat([place] * 5, -1) + raw[..., 5:15] * (2.0 * stride)
    return torch.cat([middle - half, middle + half, points], -1)


def losses(model: FaceFinder, picture: torch.Tensor, told: torch.Tensor, point_weight: float) -> tuple[torch.Tensor, dict[str, float]]:
    """Score (quality focal loss, from Generalized Focal Loss, 2020), box (GIoU) and points (Huber, in units of the box), weighed by the
    teacher's score.

    Args:
        model: the finder in training.
        picture: `[N,1,H,W]` float.
        told: `[N,A,15]` what the teacher says of each cell.
        point_weight: of the points, where the score has 1 and the box 2.
    """
    with torch.autocast(picture.device.type, torch.bfloat16):
        out = model.candidates(picture)
    score, wanted = out[..., 0], told[..., 0]
    count = wanted.sum().clamp(min=1)
    focus = (wanted - torch.sigmoid(score.detach())).abs() ** _FOCUS
    score_loss = (F.binary_cross_entropy_with_logits(score, wanted, reduction="none") * focus).sum() / count
    positive = wanted >= LEAST_SCORE
    mine, truth, weight = out[positive], told[positive], wanted[positive]
    giou = _giou(mine[:, 1:5], truth[:, 1:5])
    size = (truth[:, 3:5] - truth[:, 1:3]).clamp(min=1).repeat(1, 5)
    apart = F.smooth_l1_loss(mine[:, 5:] / size, truth[:, 5:] / size, beta=0.01, reduction="none").mean(1)
    box_loss, point_loss = ((1 - giou) * weight).sum() / count, (apart * weight).sum() / count
    parts = {"score": float(score_loss.detach()), "box": float(box_loss.detach()), "point": float(point_loss.detach())}
    return score_loss + 2.0 * box_loss + point_weight * point_loss, parts


def settle(model: nn.Module) -> None:
    """From here on the model learns as it will be run: its batch normalisation keeps its statistics."""
    for part in model.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.eval()


def _giou(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    inner = (torch.minimum(a[:, 2:], b[:, 2:]) - torch.maximum(a[:, :2], b[:, :2])).clamp(min=0).prod(1)
    outer = (torch.maximum(a[:, 2:], b[:, 2:]) - torch.minimum(a[:, :2], b[:, :2])).prod(1)
    union = (a[:, 2:] - a[:, :2]).prod(1) + (b[:, 2:] - b[:, :2]).prod(1) - inner
    return inner / union.clamp(min=1e-6) - (outer - union) / outer.clamp(min=1e-6)


@torch.no_grad()
def evaluate(model: FaceFinder, archive: Path) -> dict[str, float]:
    """Recall, false faces and point error on held-out photos, through the runtime's own preparation and selection."""
    model.eval()

    return score_finder(Finder(FinderSession(model), SPEC), load_photos(archive, "valid"))


class FinderSession:
    """The model as a session of the runtime."""

    provider, inputs = "torch", (INPUT,)

    def __init__(self, model: FaceFinder) -> None:
        self.model = model

    def run(self, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        return {OUTPUT: self.model(torch.from_numpy(inputs[INPUT])).numpy()}

    def run_into(self, inputs: dict[str, np.ndarray], outputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        raise NotImplementedError

    def close(self) -> None:
        """Nothing is held."""


def train(folder: Path, out: Path, config: FaceConfig) -> Path:
    """Train a face finder on scenes composed from the packs under `folder`; write the run to `out`, or go on with what lies there."""
    kept = _unfinished(out, config)
    run = Run(out, config, seed=config.seed, resumed=bool(kept))
    torch.set_num_threads(config.threads)
    cv2.setNumThreads(1)
    teacher = Teacher(folder / "yunet_n_dynamic.onnx")
    composer = Composer(load_sources(folder, out / "teacher", "train"), Turns(any_share=config.any_share, down_share=0.0))
    model = FaceFinder(config.widths, config.neck).to(run.device, memory_format=torch.channels_last)
    if config.start:
        model.load_state_dict(load_checkpoint(Path(config.start))["state"])
    average = Average(model, config.average)
    optimizer = torch.optim.AdamW(model.parameters(), lr=config.lr, weight_decay=config.weight_decay)
    schedule = cosine_schedule(optimizer, config.steps, min(500, config.steps // 10))
    first = 0
    if kept:
        first = kept["step"]
        model.load_state_dict(kept["model"])
        average.state, average.steps = kept["state"], first
        optimizer.load_state_dict(kept["optimizer"])
        schedule.load_state_dict(kept["schedule"])
    batches = Scenes(composer, teacher, config).ahead(first)
    total: dict[str, float] = {}
    started = time.perf_counter()
    model.train()
    for step, batch in enumerate(progress(batches, "steps", config.steps - first), first + 1):
        if step == max(first + 1, 0 if config.start else round(_SETTLED * config.steps)):
            settle(model)
        picture, told = (part.to(run.device) for part in batch)
        loss, parts = losses(model, picture.float().contiguous(memory_format=torch.channels_last), told, config.point_weight)
        descend(loss, optimizer, schedule, most=10.0)
        average.update(model)
        total = {name: total.get(name, 0.0) + value for name, value in parts.items()}
        if step % config.check_every == 0 or step == config.steps:
            mean = {name: value / config.check_every for name, value in total.items()}
            figures = {}
            if step == config.steps:
                averaged = FaceFinder(config.widths, config.neck)
                averaged.load_state_dict(average.state)
                figures = evaluate(averaged, folder / "faces_in_context.zip")
            run.metrics(step=step, **mean, seconds_a_step=(time.perf_counter() - started) / (step - first), **figures)
            run.save(
                state=average.state, model=model.state_dict(), optimizer=optimizer.state_dict(), schedule=schedule.state_dict(), step=step
            )
            total = {}
    return out


def _unfinished(out: Path, config: FaceConfig) -> dict[str, object]:
    """The checkpoint of a run with this configuration that has not come to its end; empty when there is none."""
    if not (out / "model.pt").is_file():
        return {}
    kept = load_checkpoint(out)
    same = kept["record"]["config"] == dataclasses.asdict(config)
    return kept if same and kept.get("step", config.steps) < config.steps else {}


def load_face(folder: Path) -> FaceFinder:
    """Load a trained face finder."""
    checkpoint = load_checkpoint(folder)
    config = checkpoint["record"]["config"]
    model = FaceFinder(config["widths"], config["neck"])
    model.load_state_dict(checkpoint["state"])
    return model.eval()


def configure(given: Path | None, overrides: list[str]) -> FaceConfig:
    """The resolved face-finder configuration."""
    return read_config(FaceConfig, "face", given, overrides)
