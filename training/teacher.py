"""What the teacher (YuNet) says of every source picture, asked once and kept beside the run: it is slow, and it never changes its mind.

Nothing of it is shipped: it only says where faces are in pictures whose makers did not. Where its file is missing, the packs' own boxes
must do.
"""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from tqdm.auto import tqdm

from edge.cv import cv2
from edge.engine.backend import OrtSession
from edge.errors import EdgeError, InputError
from edge.vision.finder import box_overlap
from edge.vision.yunet import yunet_rows
from training.cues import five_points
from training.data import read_pack

SURE, UNSURE = 0.6, 0.25
"""From where the teacher's faces are faces, and below which they are none; between, nobody is asked."""
_POINTS_SURE = 0.8
_FACE_SIDE, _MARGIN = 128, 64
#: Face Mesh numbers around the face, clockwise in the picture from the forehead's middle.
OVAL = (10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377,
        152, 148, 176, 149, 150, 136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109)  # fmt: skip


class Teacher:
    """YuNet by its file, at any size."""

    def __init__(self, path: Path, *, threads: int = 1) -> None:
        try:
            self.session = OrtSession(path, threads=threads)
        except EdgeError as error:
            raise InputError(f"no teacher at '{path}': {error}") from None

    def __call__(self, picture: np.ndarray, threshold: float = UNSURE) -> np.ndarray:
        """Faces `[F,15]` (score, x1, y1, x2, y2, five points) of `[H,W]` or `[H,W,3]` uint8."""
        return suppress(self.rows(picture), threshold)

    def rows(self, picture: np.ndarray) -> np.ndarray:
        """What it says of every cell `[A,15]`, of the picture with black below and to the right up to whole cells."""
        colour = picture if picture.ndim == 3 else cv2.cvtColor(picture, cv2.COLOR_GRAY2BGR)
        height, width = (-(-extent // 32) * 32 for extent in picture.shape[:2])
        padded = np.zeros((height, width, 3), np.float32)
        padded[: picture.shape[0], : picture.shape[1]] = colour
        outputs = self.session.run({"input": np.ascontiguousarray(padded.transpose(2, 0, 1)[None])})
        return yunet_rows(outputs, height, width)


def suppress(rows: np.ndarray, threshold: float, overlap: float = 0.45) -> np.ndarray:
    """The best of the rows `[A,15]` that overlap."""
    rows = rows[rows[:, 0] >= threshold]
    rows = rows[np.argsort(-rows[:, 0])][:2000]
    kept = []
    while len(rows):
        kept.append(rows[0])
        rows = rows[box_overlap(rows[:1, 1:5], rows[:, 1:5])[0] <= overlap]
    return np.stack(kept) if kept else np.zeros((0, 15), np.float32)


@dataclass(frozen=True, slots=True)
class Heads:
    """`faces_today`: single faces with landmarks, in crops of 128×128."""

    images: np.ndarray
    """`[N,128,128]` uint8 grey."""
    boxes: np.ndarray
    """`[N,4]` x1, y1, x2, y2 in pixels of the crop, as the teacher draws them."""
    points: np.ndarray
    """`[N,5,2]` from the landmarks."""
    outline: np.ndarray
    """`[N,O,2]` the face's oval, in its order around the face: where masks are drawn."""
    yaw_deg: np.ndarray
    """`[N]` how far the head is turned."""
    part: np.ndarray
    """`[N]` 0 train, 1 validation, 2 test."""
    marks: np.ndarray
    """`[N,V,3]` the landmarks, z away from the camera, pixels."""
    index: np.ndarray
    """`[V]` which of Face Mesh's points they are."""
    shift: np.ndarray
    """`[5]` complex: how the landmarks' points differ from the teacher's, see `shifted`."""

    def take(self, part: int) -> Heads:
        """One part."""
        mine = self.part == part
        names = ("images", "boxes", "points", "outline", "yaw_deg", "part", "marks")
        return replace(self, **{name: getattr(self, name)[mine] for name in names})


def load_heads(folder: Path, cache: Path) -> Heads:
    """Read the crops of `faces_today` with the teacher's boxes, which `cache` keeps; by number, a twelfth each is held out for validation
    and for tests.

    Raises:
        InputError: a pack is missing or broken.
    """
    number, landmarks, index = read_pack(folder / "faces_today.npz", "id", "landmarks", "point_index")
    marks, row = landmarks.astype(np.float32) / 16, {int(mesh): i for i, mesh in enumerate(index)}
    try:
        with zipfile.ZipFile(folder / "faces_today.zip") as pack:
            read = (np.frombuffer(pack.read(f"{i}.jpg"), np.uint8) for i in tqdm(number, desc="faces", leave=False, disable=None))
            images = np.stack([cv2.imdecode(data, cv2.IMREAD_GRAYSCALE) for data in read])
    except (OSError, KeyError, ValueError, cv2.error, zipfile.BadZipFile) as error:
        raise InputError(f"'{folder / 'faces_today.zip'}' is not a readable pack: {error}") from None
    points, teacher = five_points(marks, index).astype(np.float32), folder / "yunet_n_dynamic.onnx"
    rows = np.full((len(images), 15), np.nan, np.float32)
    if teacher.is_file():
        rows = _kept(cache / "heads.npy", lambda: np.stack(list(_ask_heads(images, teacher))))
    outline = marks[:, [row[mesh] for mesh in OVAL if mesh in row], :2]
    held = np.array([int(hashlib.sha256(str(i).encode()).hexdigest(), 16) % 12 for i in number])
    across = marks[:, row[263]] - marks[:, row[33]]
    return Heads(
        images,
        _boxes(points, rows, outline),
        points,
        outline,
        np.degrees(np.arctan2(across[:, 2], across[:, 0])),
        np.select([held == 0, held == 1], [1, 2], 0),
        marks,
        index,
        points_shift(points, rows),
    )


def _ask_heads(images: np.ndarray, path: Path) -> Iterator[np.ndarray]:
    teacher, side = Teacher(path), _FACE_SIDE + 2 * _MARGIN
    for image in tqdm(images, desc="teacher", leave=False, disable=None):
        framed = np.full((side, side), int(image.mean()), np.uint8)
        framed[_MARGIN:-_MARGIN, _MARGIN:-_MARGIN] = image
        faces = teacher(framed)
        off = np.linalg.norm((faces[:, 1:3] + faces[:, 3:5]) / 2 - side / 2, axis=1)
        best = faces[off < _FACE_SIDE / 3][:1]
        row = best[0] if len(best) else np.full(15, np.nan, np.float32)
        row[1:] -= _MARGIN
        yield row.astype(np.float32)


def _boxes(points: np.ndarray, rows: np.ndarray, outline: np.ndarray) -> np.ndarray:
    """The teacher's boxes where it is sure; elsewhere those that it draws around such points in the mean (linear least squares), or, where
    nobody was asked, the outline's own."""
    sure = np.nan_to_num(rows[:, 0]) >= SURE
    if not sure.any():
        return np.concatenate([outline.min(1), outline.max(1)], 1)
    x = np.concatenate([points.reshape(len(points), 10), np.ones((len(points), 1), np.float32)], 1)
    fit, *_ = np.linalg.lstsq(x[sure], rows[sure, 1:5], rcond=None)
    return np.where(sure[:, None], rows[:, 1:5], x @ fit).astype(np.float32)


def ask_photos(names: list[str], read: Callable[[str], np.ndarray], cache: Path, path: Path) -> dict[str, np.ndarray]:
    """The teacher's faces `[F,15]` of photos by name, score `UNSURE` and above, in pixels of the photo that `read` gives; asked at its own
    and at twice its size. Without a teacher's file nobody is asked."""
    if not path.is_file():
        return {name: np.zeros((0, 15), np.float32) for name in names}

    def ask() -> np.ndarray:
        teacher, found = Teacher(path), [np.zeros((0, 16), np.float32)]
        for number, name in enumerate(tqdm(names, desc="teacher", leave=False, disable=None)):
            image = read(name)
            double = teacher(cv2.resize(image, None, fx=2, fy=2, interpolation=cv2.INTER_LINEAR))
            double[:, 1:] /= 2
            faces = suppress(np.concatenate([teacher(image), double]), UNSURE)
            found.append(np.column_stack([np.full(len(faces), number), faces]))
        return np.concatenate(found).astype(np.float32)

    rows = _kept(cache / f"photos-{hashlib.sha256(json.dumps(names).encode()).hexdigest()[:12]}.npy", ask)
    return {name: rows[rows[:, 0] == number, 1:] for number, name in enumerate(names)}


def points_shift(points: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """How the landmarks' five points differ from the teacher's in the mean, `[5]` complex, in the frame of the teacher's eyes."""
    sure = np.nan_to_num(rows[:, 0]) >= _POINTS_SURE
    if not sure.any():
        return np.zeros(5, complex)
    mine, its = (p[..., 0] + 1j * p[..., 1] for p in (points[sure], rows[sure, 5:].reshape(-1, 5, 2)))
    eyes = its[:, 1:2] - its[:, :1]
    moved = (mine - its) / eyes
    return np.asarray(np.median(moved.real, 0) + 1j * np.median(moved.imag, 0))


def shifted(points: np.ndarray, shift: np.ndarray) -> np.ndarray:
    """The teacher's points `[F,5,2]`, moved to where landmarks would lie."""
    its = points[..., 0] + 1j * points[..., 1]
    moved = its + (its[:, 1:2] - its[:, :1]) * shift
    return np.stack([moved.real, moved.imag], -1).astype(np.float32)


def _kept(path: Path, make: Callable[[], np.ndarray]) -> np.ndarray:
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        made, part = make(), path.with_suffix(".part")
        with part.open("wb") as file:
            np.save(file, made)
        part.replace(path)
    return np.asarray(np.load(path))
