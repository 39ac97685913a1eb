"""`python -m benchmarks counterfactual`: what the runtime takes back of a face by the encoder's 23 points, beside the trainer's mover.

Every cue that stands out is taken back twice: as `Pipeline.counterfactual` does it, from the crop, the points that the encoder reads and
`moves.npz` of the bundle; and as training and `intervene` move faces, by 172 landmarks, with folds, light, teeth and lids drawn. Both go
back by as many deviations. Needs the `training` extra.
"""

from __future__ import annotations

import argparse
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks import pictures
from benchmarks.command import Figures, of_pipeline, progress
from benchmarks.quality.moved import Subject, chosen, source_options
from edge.counterfactual import CONTROL
from edge.cv import cv2
from edge.errors import UsageError
from edge.pipeline import Pipeline
from edge.types import FOLLOWED
from edge.vision.encoder import Encoded
from edge.vision.moves import Laid, UnmovableError
from training.cues import CUE_NAMES
from training.levers import LEVERS, Steer

FACES = 20
OUT = 1.0
"""Deviations from which a cue stands out."""
SHOWN = "today"
"""The source whose faces may be drawn (FairFace, CC BY 4.0)."""
_ZOOM = 2
_EVEN = 1e-4


@dataclass(frozen=True, slots=True)
class Pair:
    """One cue of one face, taken back both ways."""

    face: int
    cue: str
    measured: float
    """As the encoder reads it, deviations."""
    ours: np.ndarray
    """`[S,S]` uint8."""
    trainers: np.ndarray
    control: np.ndarray

    @property
    def kind(self) -> str:
        """Cue and side."""
        return f"{self.cue}{'+' if self.measured > 0 else '-'}"


def measure(pipeline: Pipeline, args: argparse.Namespace) -> Figures:
    """Take back what stands out in so many faces of each source, both ways, and compare what the encoder makes of it.

    Returns:
        `faces`, `moves`; `refused`: reason → how often; `all` and `cues` (`lip_corners+`): `n`, what share of its way the reading went,
        `followed` and the trainer's `followed_trainer`, and over moves the correlation of both ways in the reading (`reading`), in the
        answer's probability (`probability`) and its log odds (`odds`); `counts`: share of the moves whose reading followed far enough;
        `control`: change of the answer's probability with nothing taken back, `mean` and `p95`, beside `moved`, the mean of the moves.

    Raises:
        UsageError: the bundle has no moves, there is no face of today to be drawn, or the sheet cannot be written.
    """
    if pipeline.moves is None:
        raise UsageError(f"bundle '{pipeline.bundle.folder}' has no moves: add them with 'python -m export moves'")
    steer, found = chosen(pipeline, args)
    crops = np.stack([subject.crop(subject.image, pipeline.config.image.size) for subject in found])
    before = pipeline.encoder.read(crops)
    refused: Counter[str] = Counter()
    pairs: list[Pair] = []
    for i, subject in enumerate(progress(found, "taking back")):
        try:
            laid = pipeline.moves.lay(before.points_xy[i] * crops.shape[1], map(float, before.pose_deg[i]))
        except UnmovableError as error:
            refused[str(error).partition(" by ")[0]] += 1
            continue
        pairs += _pairs(pipeline, steer, i, subject, crops[i], laid, before, refused)
    figures: Figures = {"faces": len({pair.face for pair in pairs}), "moves": len(pairs), "refused": refused}
    if not pairs:
        return figures
    ours, trainers, control = (
        _change(pairs, before, pipeline.encoder.read(np.stack([getattr(pair, way) for pair in pairs])))
        for way in ("ours", "trainers", "control")
    )
    measured, kinds = np.array([pair.measured for pair in pairs]), np.array([pair.kind for pair in pairs])
    still, moved = np.abs(control[0]), np.abs(ours[0])
    if args.sheet:
        _draw(args.sheet, crops, [pair for pair in pairs if found[pair.face].source == SHOWN])
    return {
        **figures,
        "all": _compared(ours, trainers, measured),
        "cues": {str(kind): _compared(*(each[..., kinds == kind] for each in (ours, trainers, measured))) for kind in np.unique(kinds)},
        "counts": float((-ours[2] / measured >= FOLLOWED).mean()),
        "control": {"mean": float(still.mean()), "p95": float(np.percentile(still, 95)), "moved": float(moved.mean())},
    }


def _pairs(
    pipeline: Pipeline, steer: Steer, face: int, subject: Subject, crop: np.ndarray, laid: Laid, before: Encoded, refused: Counter[str]
) -> list[Pair]:
    """Every cue of a face that stands out and can be taken back both ways."""
    moves, names, found = pipeline.moves, [cue.name for cue in pipeline.config.cues], []
    assert moves
    for cue in LEVERS:
        z = float(before.cues[face, names.index(cue)])
        if abs(z) < OUT or (cue, 1 if z > 0 else -1) not in moves.known:
            continue
        try:
            shift = moves.back(laid, cue, z)
            there = subject.held.to({cue: -z})
            if there is None:
                raise UnmovableError("the trainer's mover cannot take it there")
            picture, _ = steer.mover.move(subject.image, subject.landmarks, there[0])
        except ValueError as error:
            refused[str(error).partition(":")[0]] += 1
            continue
        control = moves.draw(crop, laid, CONTROL * shift, there_and_back=True)
        found.append(Pair(face, cue, z, moves.draw(crop, laid, shift), subject.crop(picture, len(crop)), control))
    return found


def _change(pairs: list[Pair], before: Encoded, now: Encoded) -> np.ndarray:
    """`[3,M]` change of the answer's probability, of its log odds, and of the cue's reading."""
    faces, columns = np.array([(pair.face, CUE_NAMES.index(pair.cue)) for pair in pairs]).T
    rows, answers = np.arange(len(pairs)), before.probabilities[faces].argmax(1)
    p, q = before.probabilities[faces, answers], now.probabilities[rows, answers]
    odds = [np.log(x + _EVEN) - np.log(1 - x + _EVEN) for x in (p, q)]
    return np.stack([q - p, odds[1] - odds[0], now.cues[rows, columns] - before.cues[faces, columns]])


def _compared(ours: np.ndarray, trainers: np.ndarray, measured: np.ndarray) -> Figures:
    """Both ways' changes `[3,M]` of cues that stood at `[M]` `measured` deviations."""
    followed = [float(np.average(-way[2] / measured, weights=measured**2)) for way in (ours, trainers)]
    alike = {name: _alike(a, b) for name, a, b in zip(("probability", "odds", "reading"), ours, trainers, strict=True)}
    return {"n": len(measured), "followed": followed[0], "followed_trainer": followed[1], **alike}


def _alike(a: np.ndarray, b: np.ndarray) -> float:
    """Correlation; NaN of fewer than three, or where nothing varies."""
    return float(np.corrcoef(a, b)[0, 1]) if len(a) > 2 and a.std() > 0 and b.std() > 0 else float("nan")


def _draw(path: Path, crops: np.ndarray, pairs: list[Pair]) -> None:
    """Ten faces with the furthest of their moves, each another cue and side as far as there are so many."""
    if not pairs:
        raise UsageError(f"--sheet draws faces of '{SHOWN}' only, which may be shown: none of them was taken back")
    taken: list[Pair] = []
    for pair in sorted(pairs, key=lambda pair: -abs(pair.measured)):
        if len(taken) < 10 and all(pair.face != other.face and pair.kind != other.kind for other in taken):
            taken.append(pair)
    cells = []
    for pair in taken:
        row = cv2.resize(np.hstack([crops[pair.face], pair.ours, pair.trainers]), None, fx=_ZOOM, fy=_ZOOM, interpolation=cv2.INTER_CUBIC)
        cells.append(pictures.titled(row, f"{pair.cue} {pair.measured:+.1f}: as it is, runtime, trainer"))
    cells += [np.full_like(cells[0], 255)] * (-len(cells) % 2)
    pictures.save(path, np.vstack([np.hstack(two) for two in zip(cells[::2], cells[1::2], strict=True)]))


def _options(parser: argparse.ArgumentParser) -> None:
    source_options(parser, FACES)
    parser.add_argument("--sheet", type=Path, metavar="FILE", help="also draw ten faces of today, taken back both ways (FairFace)")


COMMAND = of_pipeline(measure, _options)
