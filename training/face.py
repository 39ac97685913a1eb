"""The face finder: a one-stage, anchor-free detector with five points for grey pictures.

A backbone of full convolutions where the picture is large and separable ones below, a top-down neck and one shared head at strides 8, 16
and 32. Each cell scores whether it is a face and how well its own box fits (quality focal loss, from Generalized Focal Loss, 2020); boxes
learn by GIoU, points by a Huber loss in units of the box. A face is learned by the cells around its middle at the strides that suit its
size, and weighs the same however many these are, so that small faces count like large ones; of many in a picture each weighs less (by the
root of their number), or the large ones, which are alone, would not count beside a crowd.

Pictures are composed on the spot (`training.compose`) from photos, single faces and backgrounds; the teacher, YuNet, says once where the
photos' faces are, and what it is unsure of is left out of the loss. Points come from landmarks. The run goes on where it stopped when the
same command is given again.

    python -m training face --out runs/face
"""

from __future__ import annotations

import dataclasses
import math
import time
from collections import deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from edge.bundle import FaceSpec
from edge.cv import cv2
from edge.vision.face import INPUT, OUTPUT
from edge.vision.face import FaceFinder as Finder
from training.compose import Composer, Scene, Turns, relit
from training.photos import load_photos, score_finder
from training.pieces import load_sources
from training.run import Average, Run, cosine_schedule, load_checkpoint, progress, read_config

STRIDES = (8, 16, 32)
#: Face sizes (√area, pixels) that each stride learns; they overlap so that no size falls between two.
_RANGES = ((0, 42), (28, 115), (80, 10_000))
_BACKGROUND = 0.4
"""Weight of a cell without a face, where a face alone in its picture has four."""
SPEC = FaceSpec(long_side=416, threshold=0.45, overlap=0.4, least_px=10.0)
"""How the finder is run; it goes into the bundle. The threshold is that of the first finder: choose it on validation scenes (`python -m
benchmarks faces --part valid`) when a run is done."""


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
    """How often a picture is `empty`, a `photo` on a background, a `collage`, `heads` or a `crowd` of them."""
    any_share: float
    """Share of faces that are turned anyhow."""
    down_share: float
    """Share of faces upside down."""
    check_every: int
    """Steps between checkpoints."""
    threads: int
    """Of the training itself; another composes beside it."""
    start: str
    """Run whose weights training starts from; empty: from scratch."""
    seed: int


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
        return torch.cat([rows[..., :1].sigmoid(), rows[..., 1:]], 2)

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


def assign(height: int, width: int, boxes: np.ndarray) -> np.ndarray:
    """Which face each cell of a picture learns: `[A]` index into `boxes` (x1,y1,x2,y2), −1 for none.

    A cell learns a face when it lies within 1.5 strides of the face's middle (or is the nearest) and its stride suits the face's size; of
    several faces the smaller wins.
    """
    found = []
    extent = boxes[:, 2:] - boxes[:, :2]
    size, middle = np.sqrt(extent.prod(1)), (boxes[:, :2] + boxes[:, 2:]) / 2
    for stride, (low, high) in zip(STRIDES, _RANGES, strict=True):
        columns, rows = (np.arange(width // stride) + 0.5) * stride, (np.arange(height // stride) + 0.5) * stride
        owner = np.full((height // stride, width // stride), -1)
        for i in np.argsort(-size):
            if low <= size[i] <= high:
                reach = np.minimum(1.5 * stride, np.maximum(0.5 * stride, 0.35 * extent[i]))
                owner[np.ix_(np.abs(rows - middle[i, 1]) <= reach[1], np.abs(columns - middle[i, 0]) <= reach[0])] = i
        found.append(owner.ravel())
    return np.concatenate(found)


def unsure_cells(height: int, width: int, boxes: np.ndarray) -> np.ndarray:
    """`[A]` bool: cells within boxes that may be faces."""
    found = []
    for stride in STRIDES:
        inside = np.zeros((height // stride, width // stride), bool)
        for x1, y1, x2, y2 in np.clip(boxes / stride, 0, 1e4):
            inside[int(y1) : math.ceil(y2), int(x1) : math.ceil(x2)] = True
        found.append(inside.ravel())
    return np.concatenate(found)


def draw_scene(composer: Composer, rng: np.random.Generator, side: int, kinds: dict[str, float]) -> Scene:
    """One training picture, of a kind that is drawn."""
    share = np.array(list(kinds.values()))
    kind = list(kinds)[int(rng.choice(len(share), p=share / share.sum()))]
    if kind == "collage":
        scene = composer.collage(rng, side, side, int(rng.integers(1, 9)), photos=0.5)
    else:
        scene = composer.backdrop(rng, side, side)
        if kind in ("photo", "crowd") or (kind == "heads" and rng.random() < 0.4):
            composer.photo(rng, scene, low_px=9, high_px=1.2 * side if kind == "photo" else 0.25 * side)
        if kind == "heads":
            for _ in range(int(rng.integers(1, 7))):
                composer.head(rng, scene, math.exp(rng.uniform(math.log(8), math.log(0.7 * side))))
        elif kind == "crowd":
            typical = math.exp(rng.uniform(math.log(9), math.log(30)))
            for _ in range(int(rng.integers(8, 40))):
                composer.head(rng, scene, typical * math.exp(rng.normal(0, 0.25)), adorn=0.2)
    scene.picture = relit(rng, scene.picture)
    return scene


class Scenes:
    """Batches of composed pictures with each cell's targets; batch number `n` is always the same."""

    def __init__(self, composer: Composer, config: FaceConfig) -> None:
        self.composer, self.config = composer, config

    def ahead(self, first: int, depth: int = 4) -> Iterator[tuple[torch.Tensor, ...]]:
        """The batches from `first` on, drawn in a thread beside the training: OpenCV leaves the interpreter to it meanwhile."""
        pool, seed, steps = ThreadPoolExecutor(1), self.config.seed, self.config.steps

        def draw(number: int) -> tuple[np.ndarray, ...]:
            return self.batch(np.random.default_rng([seed, number]))

        try:
            waiting = deque(pool.submit(draw, number) for number in range(first, min(first + depth, steps)))
            for number in range(first + depth, steps + depth):
                if not waiting:
                    return
                batch = waiting.popleft().result()
                if number < steps:
                    waiting.append(pool.submit(draw, number))
                yield tuple(map(torch.from_numpy, batch))
        finally:
            pool.shutdown(cancel_futures=True)

    def batch(self, rng: np.random.Generator) -> tuple[np.ndarray, ...]:
        """Pictures `[N,1,S,S]` uint8; of each cell: part of its face's weight and whether it counts `[N,A]`, box `[N,A,4]`, points
        `[N,A,10]`."""
        config, side = self.config, self.config.canvas
        cells = sum((side // stride) ** 2 for stride in STRIDES)
        pictures = np.zeros((config.batch, 1, side, side), np.uint8)
        share, counts = np.zeros((config.batch, cells), np.float32), np.ones((config.batch, cells), bool)
        boxes, points = np.zeros((config.batch, cells, 4), np.float32), np.zeros((config.batch, cells, 10), np.float32)
        for i in range(config.batch):
            scene = draw_scene(self.composer, rng, side, config.kinds)
            pictures[i, 0] = scene.picture
            if scene.unsure:
                counts[i] = ~unsure_cells(side, side, np.stack(scene.unsure))
            if scene.boxes:
                owner = assign(side, side, np.stack(scene.boxes))
                positive = owner >= 0
                mine = owner[positive]
                share[i, positive] = 1 / (np.bincount(mine)[mine] * math.sqrt(len(scene.boxes)))
                boxes[i, positive] = np.stack(scene.boxes)[mine]
                points[i, positive] = np.stack(scene.points).reshape(-1, 10)[mine]
                counts[i, positive] = True
        return pictures, share, counts, boxes, points


def losses(
    model: FaceFinder, picture: torch.Tensor, share: torch.Tensor, counts: torch.Tensor, boxes: torch.Tensor, points: torch.Tensor
) -> tuple[torch.Tensor, dict[str, float]]:
    """Score, box and point losses; a face weighs the same however many cells it has.

    A positive cell's score aims at (1 + IoU) / 2 of its own box, so that the better of two boxes wins and small faces, whose boxes overlap
    less, are still faces.

    Args:
        model: the finder in training.
        picture: `[N,1,H,W]` float.
        share: `[N,A]` the cell's part of its face's weight; 0 where there is no face.
        counts: `[N,A]` whether the cell's score is asked about.
        boxes: `[N,A,4]` and `points`: `[N,A,10]` targets of the positive cells.
    """
    with torch.autocast(picture.device.type, torch.bfloat16):
        out = model.candidates(picture)
    score, positive = out[..., 0], share > 0
    mine, truth, weight = out[..., 1:5][positive], boxes[positive], share[positive]
    count = share.sum().clamp(min=1)
    overlap, giou = _giou(mine, truth)
    quality = torch.zeros_like(score)
    quality[positive] = (1 + overlap.detach().clamp(0, 1)) / 2
    focus = (quality - torch.sigmoid(score.detach())).abs() ** 2
    emphasis = torch.where(positive, 4 * share, _BACKGROUND) * focus * counts
    score_loss = (F.binary_cross_entropy_with_logits(score, quality, reduction="none") * emphasis).sum() / count
    target = points[positive]
    known = target.isfinite().all(1)
    size = (truth[:, 2:] - truth[:, :2]).repeat(1, 5)
    apart = F.smooth_l1_loss((out[..., 5:][positive] / size)[known], (target / size)[known], beta=0.01, reduction="none").mean(1)
    box_loss, point_loss = ((1 - giou) * weight).sum() / count, (apart * weight[known]).sum() / count
    parts = {"score": float(score_loss.detach()), "box": float(box_loss.detach()), "point": float(point_loss.detach())}
    return score_loss + 2.0 * box_loss + 15.0 * point_loss, parts


def _giou(a: torch.Tensor, b: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    inner = (torch.minimum(a[:, 2:], b[:, 2:]) - torch.maximum(a[:, :2], b[:, :2])).clamp(min=0).prod(1)
    outer = (torch.maximum(a[:, 2:], b[:, 2:]) - torch.minimum(a[:, :2], b[:, :2])).prod(1)
    union = (a[:, 2:] - a[:, :2]).prod(1) + (b[:, 2:] - b[:, :2]).prod(1) - inner
    overlap = inner / union.clamp(min=1e-6)
    return overlap, overlap - (outer - union) / outer.clamp(min=1e-6)


@torch.no_grad()
def evaluate(model: FaceFinder, archive: Path) -> dict[str, float]:
    """Recall, false faces and point error on held-out photos, through the runtime's own preparation and selection."""
    model.eval()

    return score_finder(Finder(_Session(model), SPEC), load_photos(archive, "valid"))


class _Session:
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
    composer = Composer(load_sources(folder, out / "teacher", "train"), Turns(any_share=config.any_share, down_share=config.down_share))
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
    batches = Scenes(composer, config).ahead(first)
    total: dict[str, float] = {}
    started = time.perf_counter()
    model.train()
    for step, batch in enumerate(progress(batches, "steps", config.steps - first), first + 1):
        picture, *targets = (part.to(run.device) for part in batch)
        loss, parts = losses(model, picture.float().contiguous(memory_format=torch.channels_last), *targets)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(model.parameters(), 10.0)
        optimizer.step()
        schedule.step()
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
