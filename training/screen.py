"""The screen: a small network that tells which of the finder's finds are faces, and where their points and boxes are.

It sees crops of a find, by the finder's own points and laid into its box four ways, and learns on what the finder takes for faces far below
its threshold (`training.finds`). Beside the finder's score it counts as much as validation finds ask for.

    python -m training screen --face runs/face --out runs/screen
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from edge.bundle import HASHES
from edge.vision.screen import SIDE
from training.augment import degrade, draw_uniform, relight
from training.compose import MIRROR
from training.data import load_ferplus
from training.finds import NONE, TURNED, UPRIGHT, Finds, gather
from training.levelled import crop_spec
from training.run import Average, Run, cosine_schedule, descend, load_checkpoint, progress, read_config
from training.visibility import body

_VALID = 5
"""Of the pictures, so many times fewer for validation."""
_MOST = 4.0
"""Log odds that the screen gives at most."""
_SHARES = {UPRIGHT: 0.5, NONE: 0.375, TURNED: 0.125}
"""What the crops of a step show."""


@dataclass(frozen=True, slots=True)
class ScreenConfig:
    """Everything that decides a run."""

    widths: list[int]
    """Channels; the resolution is halved before each of them and once at the end."""
    hidden: int
    """Width of the layer before the last."""
    pictures: int
    """Composed pictures in which the finder looks."""
    least_score: float
    """Of a find that is looked at: far below the finder's threshold, so that there are false ones."""
    steps: int
    batch: int
    """Crops a step: half of them faces the right way up, most others none."""
    place_weight: float
    """Of how far points and box are off, in fractions of the crop, beside the cross-entropy."""
    lr: float
    weight_decay: float
    average: float
    """Decay of the moving average of the weights."""
    seed: int


class Screen(nn.Module):
    """Grey crops → the log odds that they show a face the right way up, or one however it lies, and the five points and the box of one that
    is."""

    def __init__(self, widths: list[int], hidden: int) -> None:
        super().__init__()
        self.body = body(widths)
        flat = widths[-1] * (SIDE // 2 ** (len(widths) + 1)) ** 2
        self.head = nn.Sequential(nn.Linear(flat, hidden), nn.ReLU(), nn.Linear(hidden, 17))
        # what the log odds count beside the finder's, and what is added: 1 and 0 until they are fitted
        self.register_buffer("beside", torch.tensor([1.0, 0.0]))

    def read(self, crops: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """`[N,1,48,48]`, 0…255 → logits `[N,3]` of what it shows, points `[N,5,2]` and box `[N,4]` (`training.finds`)."""
        centred = crops - crops.mean((2, 3), keepdim=True)
        scaled = centred / (centred.square().mean((2, 3), keepdim=True) + 65.0).sqrt()
        read = self.head(self.body(scaled).flatten(1))
        return read[:, :3], 0.5 + read[:, 3:13].reshape(-1, 5, 2), 0.5 + read[:, 13:]

    def forward(self, crops: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """`[N,1,48,48]`, 0…255 → `[N]` log odds of a face the right way up, `[N]` of a face at all, `[N,5,2]` points, `[N,4]` box."""
        logits, points, boxes = self.read(crops)
        upright = logits[:, UPRIGHT] - logits[:, [NONE, TURNED]].logsumexp(1)
        at_all = logits[:, [UPRIGHT, TURNED]].logsumexp(1) - logits[:, NONE]
        return self._beside(upright), self._beside(at_all), points, boxes

    def _beside(self, log_odds: torch.Tensor) -> torch.Tensor:
        return (self.beside[0] * log_odds + self.beside[1]).clamp(-_MOST, _MOST)


def draw(found: Finds, count: int, generator: torch.Generator) -> tuple[torch.Tensor, ...]:
    """Crops of finds `[N,1,S,S]`, 0…1, as other cameras may give them; what each shows `[N]`; points `[N,5,2]` and box `[N,4]`, NaN where
    unknown."""
    rows = {kind: torch.from_numpy(np.flatnonzero(found.shows == kind)) for kind in _SHARES}
    chosen = torch.cat(
        [part[torch.randint(len(part), (int(count * _SHARES[kind]),), generator=generator)] for kind, part in rows.items() if len(part)]
    )
    n, crops = len(chosen), torch.from_numpy(found.crops[chosen.numpy()])[:, None].float() / 255
    angle, zoom = torch.deg2rad(draw_uniform(n, -8, 8, generator=generator)), draw_uniform(n, 0.9, 1.08, generator=generator)
    flip = torch.where(draw_uniform(n, 0, 1, generator=generator) < 0.5, -1.0, 1.0)
    cos, sin, shift = torch.cos(angle) * zoom, torch.sin(angle) * zoom, draw_uniform(n, -0.06, 0.06, 2, generator=generator)
    matrix = torch.stack([torch.stack([cos * flip, sin, shift[:, 0]], 1), torch.stack([-sin * flip, cos, shift[:, 1]], 1)], 1)
    grid = F.affine_grid(matrix, list(crops.shape), align_corners=False)
    crops = F.grid_sample(crops, grid, padding_mode="border", align_corners=False)
    points, boxes = (torch.from_numpy(part[chosen.numpy()]) for part in (found.points, found.boxes))
    places = torch.cat([points, boxes[:, None, :2]], 1)  # the matrix leads from the new crop to the old one, both from -1 to 1
    places = torch.linalg.solve(matrix[:, :, :2], (2 * places - 1 - matrix[:, None, :, 2]).transpose(1, 2)).transpose(1, 2) / 2 + 0.5
    points = torch.where(flip[:, None, None] < 0, places[:, MIRROR], places[:, :5])
    boxes = torch.cat([places[:, 5], boxes[:, 2:] / zoom[:, None]], 1)
    return degrade(relight(crops, generator), generator).clamp(0, 1), torch.from_numpy(found.shows)[chosen].long(), points, boxes


def best_way(model: Screen, found: Finds) -> np.ndarray:
    """`[F]` log odds of each find, of its surest crop."""
    best = np.full(len(found.true), -np.inf, np.float32)
    np.maximum.at(best, found.find, _seen(model, found)[0])
    return best


def point_error(model: Screen, found: Finds) -> float:
    """How far the points are off in the mean, over the distance of the eyes, of faces whose points are known."""
    known = np.isfinite(found.points).all((1, 2))
    off = np.linalg.norm(_seen(model, found)[2][known] - found.points[known], axis=2).mean(1)
    return float((off / np.linalg.norm(found.points[known, 0] - found.points[known, 1], axis=1)).mean())


def box_error(model: Screen, found: Finds) -> float:
    """How far middle, width and height of the box are off in the mean, in fractions of the crop."""
    known = np.isfinite(found.boxes).all(1)
    return float(np.abs(_seen(model, found)[3][known] - found.boxes[known]).mean())


@torch.no_grad()
def _seen(model: Screen, found: Finds) -> list[np.ndarray]:
    model.eval()
    device = next(model.parameters()).device
    parts = [model(part.to(device).float()) for part in torch.from_numpy(found.crops)[:, None].split(512)]
    return [torch.cat(part).cpu().numpy() for part in zip(*parts, strict=True)]


def area(sure: np.ndarray, true: np.ndarray) -> float:
    """Area under the curve that tells true finds from false ones."""
    rank = np.argsort(np.argsort(sure)) + 1.0
    n = int(true.sum())
    return float((rank[true].sum() - n * (n + 1) / 2) / max(1, n * int((~true).sum())))


def fit_beside(sure: np.ndarray, odds: np.ndarray, true: np.ndarray) -> tuple[float, float]:
    """Weight and bias of the screen's log odds, such that they and the finder's add up: logistic regression, over the finder's weight."""
    seen = torch.from_numpy(np.column_stack([odds, sure, np.ones_like(odds)])).double()
    weight = torch.zeros(3, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS([weight], max_iter=200, line_search_fn="strong_wolfe")

    def loss() -> torch.Tensor:
        optimizer.zero_grad()
        found = F.binary_cross_entropy_with_logits(seen @ weight, torch.from_numpy(true).double())
        found.backward()
        return found

    optimizer.step(loss)
    own, its, bias = weight.detach().tolist()
    return its / max(own, 1e-3), bias / max(own, 1e-3)


def train(folder: Path, out: Path, config: ScreenConfig, *, face: str) -> Path:
    """Train on what the finder of `face`, a run or a bundle, finds in pictures composed from the packs under `folder`; write the run to
    `out`."""
    run = Run(out, config, seed=config.seed)
    cache = (out if (Path(face) / HASHES).is_file() else Path(face)) / "teacher"
    spec, shares = crop_spec(load_ferplus(folder, "train")), {"train": 1, "valid": _VALID}
    found, others = (
        gather(folder, Path(face), cache, part, spec, config.pictures // share, config.least_score, config.seed)
        for part, share in shares.items()
    )
    score = others.score.astype(np.float64).clip(1e-6, 1 - 1e-6)
    odds = np.log(score / (1 - score))
    model = Screen(config.widths, config.hidden).to(run.device, memory_format=torch.channels_last)
    average, averaged = Average(model, config.average), Screen(config.widths, config.hidden).to(run.device)
    optimizer = torch.optim.AdamW(model.parameters(), lr=config.lr, weight_decay=config.weight_decay)
    schedule = cosine_schedule(optimizer, config.steps, min(200, config.steps // 10))
    generator = torch.Generator().manual_seed(config.seed)
    model.train()
    for _ in progress(range(config.steps), "steps", config.steps):
        crops, shows, points, boxes = (part.to(run.device) for part in draw(found, config.batch, generator))
        with torch.autocast(run.device.type, torch.bfloat16):
            logits, *seen = model.read((crops * 255).contiguous(memory_format=torch.channels_last))
        apart = [
            (own.float() - wanted).nan_to_num().abs().sum() / wanted.isfinite().sum().clamp(min=1)
            for own, wanted in zip(seen, (points, boxes), strict=True)
        ]
        loss = F.cross_entropy(logits.float(), shows) + config.place_weight * sum(apart)
        descend(loss, optimizer, schedule)
        average.update(model)
    averaged.load_state_dict(average.state)
    sure = best_way(averaged, others)
    averaged.beside.copy_(torch.tensor(fit_beside(sure, odds, others.true)))
    together = best_way(averaged, others) + odds
    figures = {"finder": area(odds, others.true), "screen": area(sure, others.true), "together": area(together, others.true)}
    figures |= {"points": point_error(averaged, others), "box": box_error(averaged, others)}
    run.metrics(loss=loss.item(), finds=len(found.true), held_out=len(others.true), **figures, beside=averaged.beside.tolist())
    run.save(state=averaged.state_dict(), figures=figures)
    return out


def load_screen(folder: Path) -> Screen:
    """Load a trained screen."""
    checkpoint = load_checkpoint(folder)
    config = checkpoint["record"]["config"]
    model = Screen(config["widths"], config["hidden"])
    model.load_state_dict(checkpoint["state"])
    return model.eval()


def configure(given: Path | None, overrides: list[str]) -> ScreenConfig:
    """The resolved configuration."""
    return read_config(ScreenConfig, "screen", given, overrides)
