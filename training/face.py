"""The face finder: a one-stage, anchor-free detector with five points for grey pictures.

A backbone of full convolutions where the picture is large and separable ones below, a top-down neck and one shared head at strides 8
and 16; stride 32 only gives context, since points regressed from so coarse a cell were off by a tenth of the eye distance. Each cell
scores whether it is a face and how well its own box fits (quality focal loss, from Generalized Focal Loss, 2020); boxes learn by GIoU,
points by a Huber loss in units of the box. Faces that the teacher missed but a person drew count as faces without points.

    python -m training face --out runs/face-first

and two more rounds with more scenes (`configs/face_scenes.json`), as the README shows.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from edge.cv import cv2
from edge.types import Detection
from edge.vision.face import STRIDES, letterbox, pixel_matrix, select_faces
from training.photos import Photo, load_photos, score_finder
from training.run import Average, Run, cosine_schedule, load_checkpoint, progress, read_config

#: Face sizes (√area, pixels) that each stride learns; they overlap so that no size falls between two.
_RANGES = ((0, 90), (60, 10_000))
_MIRROR = [1, 0, 2, 4, 3]
CANDIDATES = 200
"""Rows that the exported graph gives."""
THRESHOLD, OVERLAP = 0.45, 0.4
"""Least score of a face, and from which overlap two boxes are one face; they go into the bundle."""


@dataclass(frozen=True, slots=True)
class FaceConfig:
    """Everything that decides a face-finder run."""

    widths: list[int]
    """Channels at strides 2, 4, 8, 16, 32."""
    neck: int
    canvas: int
    """Side of the square training picture, pixels."""
    epochs: int
    batch: int
    lr: float
    weight_decay: float
    average: float
    smallest_px: int
    """Smallest face side that augmentation makes."""
    empty_share: float
    """Share of training pictures drawn from those without a face."""
    scene_share: float
    """Share of the others drawn from scenes alone (several, small, masked, blurred faces); the rest come as they come."""
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
        self.stem = nn.Sequential(_dense(1, a, 2), _dense(a, b, 2), Separable(b, b))
        self.stage8 = nn.Sequential(_dense(b, c, 2), Dense(c), Separable(c, c))
        self.stage16 = nn.Sequential(_dense(c, d, 2), Separable(d, d), Separable(d, d), Separable(d, d))
        self.stage32 = nn.Sequential(Separable(d, e, 2), Separable(e, e), Separable(e, e), Separable(e, e))
        self.lateral = nn.ModuleList(nn.Conv2d(width, neck, 1) for width in (c, d, e))
        self.smooth = nn.ModuleList(Separable(neck, neck) for _ in STRIDES)
        self.head = nn.Sequential(Separable(neck, neck), Separable(neck, neck))
        self.point_head = nn.Sequential(Separable(neck, neck), Separable(neck, neck))
        self.box_out, self.point_out = nn.Conv2d(neck, 5, 1), nn.Conv2d(neck, 10, 1)
        nn.init.constant_(self.box_out.bias[0], -4.0)

    def forward(self, picture: torch.Tensor) -> torch.Tensor:
        """Find faces.

        Args:
            picture: `[N,1,H,W]` float 0…255, H and W multiples of 32 and at least 128.

        Returns:
            `[N,CANDIDATES,15]`, the best candidates first: score, box x1, y1, x2, y2 and five points x, y in pixels.
        """
        raw, cells = self._read(picture)
        score, best = raw[..., 0].topk(CANDIDATES, 1)
        # decoded after the choice: that leaves little to do
        rows = _decode(raw.gather(1, best[..., None].expand(-1, -1, 15)), cells[best])
        return torch.cat([score[..., None].sigmoid(), rows], 2)

    def candidates(self, picture: torch.Tensor) -> torch.Tensor:
        """One candidate per cell, `[N,A,15]`: like `forward`, but in the order of the cells and with the score's logit."""
        raw, cells = self._read(picture)
        return torch.cat([raw[..., :1], _decode(raw, cells)], 2)

    def _read(self, picture: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """What the heads say of every cell `[N,A,15]`, and each cell's middle x, y and stride `[A,3]` in pixels."""
        c = self.stage8(self.stem((picture - 127.5) / 64))
        d = self.stage16(c)
        e = self.stage32(d)
        p16 = self.lateral[1](d) + F.interpolate(self.lateral[2](e), scale_factor=2.0, mode="nearest")
        p8 = self.lateral[0](c) + F.interpolate(p16, scale_factor=2.0, mode="nearest")
        raw, cells = [], []
        for level, smooth, stride in zip((p8, p16), self.smooth, STRIDES, strict=True):
            y = self.head(smooth(level))
            y = torch.cat([self.box_out(y), self.point_out(self.point_head(y))], 1)
            height, width = y.shape[2:]
            raw.append(y.flatten(2).transpose(1, 2).float())
            columns = ((torch.arange(width, device=y.device) + 0.5) * stride).expand(height, width)
            rows = ((torch.arange(height, device=y.device) + 0.5) * stride)[:, None].expand(height, width)
            cells.append(torch.stack([columns, rows, torch.full_like(rows, stride)], 2).flatten(0, 1))
        return torch.cat(raw, 1), torch.cat(cells)


def _decode(raw: torch.Tensor, cells: torch.Tensor) -> torch.Tensor:
    """Heads' output `[…,15]` of `cells` `[…,3]` → box x1, y1, x2, y2 and five points x, y in pixels `[…,14]`."""
    place, stride = cells[..., :2], cells[..., 2:]
    middle = place + raw[..., 1:3] * stride
    half = raw[..., 3:5].clamp(-4, 4).exp() * (2.0 * stride)
    points = torch.cat([place] * 5, -1) + raw[..., 5:15] * (4.0 * stride)
    return torch.cat([middle - half, middle + half, points], -1)


def assign(canvas: int, boxes: np.ndarray) -> np.ndarray:
    """Which face each cell of a square canvas learns: `[A]` index into `boxes` (x1,y1,x2,y2), −1 for none.

    A cell is positive when it lies within 1.5 strides of a face's centre (or the nearest cell) and its stride suits the face's size;
    of several faces the smaller wins.
    """
    found = []
    for stride, (low, high) in zip(STRIDES, _RANGES, strict=True):
        side = canvas // stride
        grid = (np.arange(side) + 0.5) * stride
        owner = np.full((side, side), -1)
        area = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
        for i in np.argsort(-area):
            if not low <= np.sqrt(area[i]) <= high:
                continue
            x, y = (boxes[i, 0] + boxes[i, 2]) / 2, (boxes[i, 1] + boxes[i, 3]) / 2
            reach_x, reach_y = (min(1.5 * stride, max(0.5 * stride, 0.35 * extent)) for extent in boxes[i, 2:] - boxes[i, :2])
            owner[np.ix_(np.abs(grid - y) <= reach_y, np.abs(grid - x) <= reach_x)] = i
        found.append(owner.ravel())
    return np.concatenate(found)


class Augment:
    """Draws training pictures: a photo at a random scale on a random background, turned, mirrored, relit, blurred."""

    def __init__(self, photos: list[Photo], config: FaceConfig) -> None:
        self.config = config
        self.full = [p for p in photos if len(p.boxes)]
        self.scenes = [p for p in self.full if p.scene]
        self.empty = [p for p in photos if not len(p.boxes)]
        self.random = np.random.default_rng(config.seed)

    def draw(self, index: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return picture `[S,S]` uint8, boxes `[F,4]` (x1,y1,x2,y2) and points `[F,5,2]`."""
        rng, side = self.random, self.config.canvas
        backdrop = self.empty[rng.integers(len(self.empty))]
        zoom = side / min(backdrop.image.shape) * rng.uniform(0.5, 2.0)
        canvas, _ = self._place(backdrop, zoom, None)
        if rng.random() < self.config.empty_share:
            return self._relight(canvas), np.zeros((0, 4), np.float32), np.zeros((0, 5, 2), np.float32)
        if rng.random() < 0.4:  # a cut-out without a face, so that cut edges do not come to mean one
            distractor = self.empty[rng.integers(len(self.empty))]
            canvas, _ = self._place(distractor, side / max(distractor.image.shape) * rng.uniform(0.15, 0.7), None, canvas)
        photo = self.full[index]
        if self.config.scene_share and rng.random() < self.config.scene_share:
            photo = self.scenes[rng.integers(len(self.scenes))]
        face = photo.boxes[rng.integers(len(photo.boxes))]
        size = float(np.sqrt(face[2] * face[3]))
        wanted = np.exp(rng.uniform(np.log(self.config.smallest_px), np.log(1.05 * side)))
        zoom = float(np.clip(wanted / size, 0.12, 3.0))
        focus = face[:2] + face[2:] / 2
        canvas, matrix = self._place(photo, zoom, focus, canvas)
        centre = (photo.boxes[:, :2] + photo.boxes[:, 2:] / 2) @ matrix[:, :2].T + matrix[:, 2]
        half = photo.boxes[:, 2:] * zoom / 2
        boxes = np.concatenate([centre - half, centre + half], 1)
        points = photo.points @ matrix[:, :2].T + matrix[:, 2]
        if matrix[0, 0] * matrix[1, 1] < 0:
            points = points[:, _MIRROR]
        inside = ((centre > 0) & (centre < side)).all(1) & (np.sqrt(4 * half.prod(1)) >= 10)
        return self._relight(canvas), boxes[inside].astype(np.float32), points[inside].astype(np.float32)

    def _place(
        self, photo: Photo, zoom: float, focus: np.ndarray | None, canvas: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        rng, side = self.random, self.config.canvas
        height, width = photo.image.shape
        focus = np.array([rng.uniform(0, width), rng.uniform(0, height)]) if focus is None else focus
        angle = np.radians(rng.normal(0, 10))
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]) * zoom
        if rng.random() < 0.5:
            turn = turn @ np.diag([-1.0, 1.0])
        target = rng.uniform(0.08, 0.92, 2) * side if zoom * min(height, width) < 2 * side else rng.normal(0.5, 0.12, 2) * side
        matrix = np.column_stack([turn, target - turn @ focus])
        source, scaled = photo.image, matrix
        if zoom < 0.6:  # area averaging first: plain bilinear sampling would alias
            shrink = 0.5 if zoom > 0.3 else 0.25
            source = cv2.resize(source, None, fx=shrink, fy=shrink, interpolation=cv2.INTER_AREA)
            scaled = np.column_stack([turn * (np.array([width, height]) / source.shape[::-1]), matrix[:, 2]])
        scaled = pixel_matrix(scaled)
        if canvas is None:
            return cv2.warpAffine(source, scaled, (side, side), borderMode=cv2.BORDER_REFLECT_101), matrix
        if rng.random() < 0.5:
            fill = int(rng.integers(0, 256))
            return cv2.warpAffine(source, scaled, (side, side), borderValue=fill), matrix
        picture = cv2.warpAffine(source, scaled, (side, side), dst=canvas.copy(), borderMode=cv2.BORDER_TRANSPARENT)
        return picture, matrix

    def _relight(self, picture: np.ndarray) -> np.ndarray:
        rng = self.random
        x = picture.astype(np.float32)
        if rng.random() < 0.8:
            x = 255 * (np.clip(x, 0, 255) / 255) ** rng.uniform(0.6, 1.6)
            x = (x - 128) * rng.uniform(0.5, 1.3) + 128 + rng.uniform(-40, 40)
        if rng.random() < 0.25:
            x = cv2.GaussianBlur(x, (0, 0), rng.uniform(0.4, 2.0))
        if rng.random() < 0.4:
            x += cv2.randn(np.empty_like(x), 0, rng.uniform(1, 12))
        return np.clip(x, 0, 255).astype(np.uint8)


def losses(model: FaceFinder, picture: torch.Tensor, share: torch.Tensor, boxes: torch.Tensor, points: torch.Tensor) -> torch.Tensor:
    """Score, box and point losses; every face weighs the same, however many cells it has.

    A positive cell's score aims at (1 + IoU) / 2 of its own box, so that the better of two boxes wins and small faces, whose boxes overlap
    less, are still faces.

    Args:
        model: the finder in training.
        picture: `[N,1,S,S]` float.
        share: `[N,A]` one over the number of cells of the cell's face; 0 where there is no face.
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
    emphasis = torch.where(positive, 4 * share, 1.0) * focus
    score_loss = (F.binary_cross_entropy_with_logits(score, quality, reduction="none") * emphasis).sum() / count
    target = points[positive]
    known = target.isfinite().all(1)
    size = (truth[:, 2:] - truth[:, :2]).repeat(1, 5)
    apart = F.smooth_l1_loss((out[..., 5:][positive] / size)[known], (target / size)[known], beta=0.01, reduction="none").mean(1)
    return score_loss + 2.0 * ((1 - giou) * weight).sum() / count + 30.0 * (apart * weight[known]).sum() / count


def _giou(a: torch.Tensor, b: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    inner = (torch.minimum(a[:, 2:], b[:, 2:]) - torch.maximum(a[:, :2], b[:, :2])).clamp(min=0).prod(1)
    outer = (torch.maximum(a[:, 2:], b[:, 2:]) - torch.minimum(a[:, :2], b[:, :2])).prod(1)
    union = (a[:, 2:] - a[:, :2]).prod(1) + (b[:, 2:] - b[:, :2]).prod(1) - inner
    overlap = inner / union.clamp(min=1e-6)
    return overlap, overlap - (outer - union) / outer.clamp(min=1e-6)


@torch.no_grad()
def evaluate(model: FaceFinder, photos: list[Photo]) -> dict[str, float]:
    """Recall, false faces and point error, through the runtime's own preparation and selection."""
    model.eval()

    def find(grey: np.ndarray) -> list[Detection]:
        picture, scale = letterbox(grey, 320)
        rows = model(torch.from_numpy(picture[None, None].astype(np.float32)))[0].numpy()
        return select_faces(rows, scale, threshold=THRESHOLD, overlap=OVERLAP)

    return score_finder(find, photos)


def train(folder: Path, out: Path, config: FaceConfig) -> Path:
    """Train a face finder on the photo pack under `folder`; write the run to `out`."""
    run = Run(out, config, seed=config.seed)
    cv2.setRNGSeed(config.seed)
    archive = folder / "faces_in_context.zip"
    photos, valid = load_photos(archive, "train"), load_photos(archive, "valid")
    augment = Augment(photos, config)
    model = FaceFinder(config.widths, config.neck).to(run.device, memory_format=torch.channels_last)
    if config.start:
        model.load_state_dict(load_checkpoint(Path(config.start))["state"], strict=False)
    averaged = FaceFinder(config.widths, config.neck)
    average = Average(model, config.average)
    optimizer = torch.optim.AdamW(model.parameters(), lr=config.lr, weight_decay=config.weight_decay)
    steps = len(augment.full) // config.batch
    schedule = cosine_schedule(optimizer, config.epochs * steps, steps)
    cells = sum((config.canvas // stride) ** 2 for stride in STRIDES)
    for epoch in range(config.epochs):
        model.train()
        order, total = augment.random.permutation(len(augment.full)), 0.0
        for step in progress(range(steps), f"epoch {epoch}"):
            rows = [augment.draw(i) for i in order[step * config.batch : (step + 1) * config.batch]]
            pictures = np.stack([row[0] for row in rows])[:, None].astype(np.float32)
            shares = np.zeros((len(rows), cells), np.float32)
            boxes, points = np.zeros((len(rows), cells, 4), np.float32), np.zeros((len(rows), cells, 10), np.float32)
            for i, (_, face_boxes, face_points) in enumerate(rows):
                owner = assign(config.canvas, face_boxes)
                positive, cells_of = owner >= 0, np.bincount(owner[owner >= 0], minlength=1)
                mine = owner[positive]
                shares[i, positive] = 1 / cells_of[mine]
                boxes[i, positive], points[i, positive] = face_boxes[mine], face_points.reshape(-1, 10)[mine]
            tensors = [torch.from_numpy(t).to(run.device) for t in (pictures, shares, boxes, points)]
            loss = losses(model, tensors[0].contiguous(memory_format=torch.channels_last), *tensors[1:])
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 10.0)
            optimizer.step()
            schedule.step()
            average.update(model)
            total += loss.item()
        if epoch % 3 == 2 or epoch == config.epochs - 1:
            averaged.load_state_dict(average.state)
            run.metrics(epoch=epoch, loss=total / steps, **evaluate(averaged, valid))
            run.save(state=average.state)
        else:
            run.metrics(epoch=epoch, loss=total / steps)
    return out


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
