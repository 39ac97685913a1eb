"""What the finder takes for faces, true and false, as the screen sees it: what teaches a network which of them are faces.

`composed picture, perhaps turned → finder, far below its threshold → crops by its points, and laid into its box four ways`. A crop
shows a face when one that is known lies there, the right way up.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch

from edge.bundle import HASHES, Bundle, ImageSpec
from edge.cv import cv2
from edge.engine.backend import OrtSession
from edge.errors import InputError
from edge.types import Detection
from edge.vision.crop import align, pixel_matrix, zoom_of
from edge.vision.finder import FaceFinder as Finder
from edge.vision.finder import box_overlap
from edge.vision.screen import COLLAPSED, SIDE, crop_share, laid, seen_small
from training.compose import Composer, Turns, placed_face, relit
from training.face import SPEC, FinderSession, load_face
from training.pieces import load_sources
from training.run import in_two, load_checkpoint
from training.scenes import draw_scene, turn

NONE, UPRIGHT, TURNED = 0, 1, 2
"""What a crop shows: no face, one the right way up, or one that lies otherwise."""
_CANVAS, _TURNED, _TILT_DEG = 416, 0.5, 25.0
_SAME, _OTHER, _DOUBTED, _SAME_POINTS = 0.45, 0.2, 0.1, 0.3
_UPRIGHT_DEG, _OTHERWISE_DEG, _LEVEL_DEG = 32.0, 58.0, 10.0
_FAIR, _MOST = 0.35, 4  # of what is none and scores less, so many a picture are enough
_TASKS = 8


@dataclass(frozen=True, slots=True)
class Finds:
    """Crops of what was found, one row each."""

    crops: np.ndarray
    """`[N,SIDE,SIDE]` uint8."""
    shows: np.ndarray
    """`[N]` one of `NONE`, `UPRIGHT`, `TURNED`."""
    points: np.ndarray
    """`[N,5,2]` where a face that is the right way up has its five, in fractions of the crop; NaN where unknown, and of what is none."""
    boxes: np.ndarray
    """`[N,4]` its middle x, y, width and height, likewise."""
    find: np.ndarray
    """`[N]` which find each is a crop of."""
    true: np.ndarray
    """`[F]` bool: finds that are faces, however they lie."""
    score: np.ndarray
    """`[F]` the finder's."""


def gather(folder: Path, face: Path, cache: Path, part: str, spec: ImageSpec, count: int, least_score: float, seed: int) -> Finds:
    """What a finder takes for faces in `count` composed pictures.

    Args:
        folder: of the data packs.
        face: run of the finder, or a bundle that has it.
        cache: where the teacher's answers are kept.
        part: of the sources, `train`, `valid` or `test`.
        spec: how crops are made.
        count: of pictures.
        least_score: of a find that is looked at.
        seed: of what is drawn; the same one brings the same finds.

    Raises:
        InputError: a pack or the run is missing or broken, or nothing is found.
    """
    cv2.setNumThreads(1)  # its threads do not outlive the fork into two
    composer = Composer(load_sources(folder, cache, part), Turns(down_share=0.0))
    tasks = [list(range(start, count, _TASKS)) for start in range(_TASKS)]
    found = joined(in_two(partial(_look, face, composer, spec, least_score, seed), tasks))
    if not len(found.crops):
        raise InputError(f"the finder of '{face}' finds nothing in {count} pictures: train it longer, or lower least_score")
    return found


def joined(parts: list[Finds]) -> Finds:
    """Several in one."""
    before = np.cumsum([0, *(len(part.true) for part in parts)])
    moved = [replace(part, find=part.find + first) for part, first in zip(parts, before, strict=False)]
    return Finds(*(np.concatenate([getattr(part, one.name) for part in moved]) for one in fields(Finds)))


@torch.no_grad()
def _look(face: Path, composer: Composer, spec: ImageSpec, least_score: float, seed: int, numbers: list[int]) -> Finds:
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    bundled = (face / HASHES).is_file()
    record = Bundle.load(face).config.provenance["runs"]["face"] if bundled else load_checkpoint(face)["record"]
    session = OrtSession(face / "face.onnx", threads=1) if bundled else FinderSession(load_face(face))
    kinds = record["config"]["kinds"]
    find = Finder(session, replace(SPEC, threshold=least_score))
    shape = (0, SIDE, SIDE)
    crops, shows, points, boxes, finds_of, finds = [np.zeros(shape, np.uint8)], [], [np.zeros((0, 5, 2))], [np.zeros((0, 4))], [], []
    for number in numbers:
        rng = np.random.default_rng([seed, number])
        picture, faces, unsure = _picture(composer, kinds, rng)
        low = 0
        for one in find(picture):
            known, doubted = _known(one, faces, unsure)
            low += int(known is None and not doubted and one.score < _FAIR)
            if doubted or (known is None and one.score < _FAIR and low > _MOST):
                continue
            shown = list(_shown(picture, one, spec, known))
            if not shown:  # it lies askew every way
                continue
            for crop, kind, five, box in shown:
                crops.append(crop[None])
                shows.append(kind)
                points.append(five[None])
                boxes.append(box[None])
                finds_of.append(len(finds))
            finds.append((known is not None, one.score))
    true, score = np.reshape(finds, (-1, 2)).T
    places = (np.concatenate(part).astype(np.float32) for part in (points, boxes))
    return Finds(
        np.concatenate(crops), np.array(shows, np.uint8), *places, np.array(finds_of, int), true.astype(bool), score.astype(np.float32)
    )


@dataclass(frozen=True, slots=True)
class _Face:
    """A face that is known to lie in a picture."""

    box_xyxy: np.ndarray
    points_xy: np.ndarray
    """`[5,2]`; NaN where unknown."""
    roll_deg: float


def _picture(composer: Composer, kinds: dict[str, float], rng: np.random.Generator) -> tuple[np.ndarray, list[_Face], np.ndarray]:
    """A composed picture, perhaps turned, its faces, and the boxes `[U,4]` of what may be one."""
    scene = draw_scene(composer, rng, _CANVAS, kinds)
    picture, turn_deg = relit(rng, scene.picture), 0.0
    known, unsure = list(zip(scene.boxes, scene.points, strict=True)), list(scene.unsure)
    if rng.random() < _TURNED:
        turn_deg = 90.0 * int(rng.integers(4)) + float(rng.normal(0, _TILT_DEG))
        matrix = turn(_CANVAS, turn_deg)
        picture = cv2.warpAffine(picture, pixel_matrix(matrix), (_CANVAS, _CANVAS), borderMode=cv2.BORDER_REPLICATE)
        known = [placed_face(box, points, matrix, turn_deg) for box, points in known]
        unsure = [placed_face(box, np.full((5, 2), np.nan), matrix, turn_deg)[0] for box in unsure]
    faces = [
        _Face(box, points, _roll(points) if np.isfinite(points).all() else turn_deg + own)
        for (box, points), own in zip(known, scene.turns_deg, strict=True)
    ]
    return picture, faces, np.reshape(unsure, (-1, 4))


def _shown(
    picture: np.ndarray, find: Detection, spec: ImageSpec, face: _Face | None
) -> Iterator[tuple[np.ndarray, int, np.ndarray, np.ndarray]]:
    """The crops of a find, what each shows, where it has its five points, and its box (`Finds`); `face` is the one that lies there, `None`
    where none does."""
    ways, small = [find] if crop_share(find, spec) >= COLLAPSED else [], seen_small(spec)
    if face is None or box_overlap(face.box_xyxy[None], find.box_xyxy[None])[0, 0] >= _SAME:
        ways += [laid(find, quarters, spec) for quarters in range(4)]
    for way in ways:
        apart = 180.0 if face is None else abs((_roll(way.points_xy) - face.roll_deg + 180) % 360 - 180)
        if _UPRIGHT_DEG < apart < _OTHERWISE_DEG:
            continue
        crop, matrix = align(picture, way, small)
        five, box = np.full((5, 2), np.nan), np.full(4, np.nan)
        if face and apart <= _UPRIGHT_DEG:
            five = (face.points_xy @ matrix[:, :2].T + matrix[:, 2]) / SIDE
            if abs((face.roll_deg + 45) % 90 - 45) <= _LEVEL_DEG:  # else the box is that of a turned ellipse
                low, high = face.box_xyxy[:2], face.box_xyxy[2:]
                on_its_side = abs((face.roll_deg + 90) % 180 - 90) > 45
                size = zoom_of(matrix) * (high - low)[:: -1 if on_its_side else 1]
                box = np.concatenate([matrix[:, :2] @ ((low + high) / 2) + matrix[:, 2], size]) / SIDE
        yield crop, NONE if face is None else UPRIGHT if apart <= _UPRIGHT_DEG else TURNED, five, box


def _roll(points: np.ndarray) -> float:
    """By how much a face is turned in the picture, degrees clockwise: the way from one eye to the other."""
    x, y = points[1] - points[0]
    return float(np.degrees(np.arctan2(y, x)))


def _known(find: Detection, faces: list[_Face], unsure: np.ndarray) -> tuple[_Face | None, bool]:
    """The face that lies there, if one does; and whether nobody can say."""
    shared = box_overlap(np.reshape([face.box_xyxy for face in faces], (-1, 4)), find.box_xyxy[None])[:, 0]
    best = int(shared.argmax()) if len(shared) else 0
    if len(shared) and shared[best] >= _SAME:
        return faces[best], False
    if len(shared) and shared[best] >= _OTHER:
        apart = np.linalg.norm(find.points_xy - faces[best].points_xy, axis=1).mean()  # NaN where they are unknown
        same = apart < _SAME_POINTS * np.ptp(faces[best].points_xy, axis=0).max()  # in a box that is too large, or too small
        return (faces[best], False) if same else (None, True)
    return None, bool(len(unsure) and box_overlap(unsure, find.box_xyxy[None]).max() >= _DOUBTED)
