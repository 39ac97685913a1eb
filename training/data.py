"""Readers for the data packs described in the project's data sheet: FER+ images with votes, landmarks, GoEmotions; FER2013's own tables.

fer2013.csv (emotion,pixels,Usage) and fer2013new.csv (Usage,Image name,ten vote columns)

The folder comes from `--data`, else from `ERV_DATA`, else `../shared/data` beside the checkout.
"""

from __future__ import annotations

import json
import os
import zipfile
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from edge.cv import cv2
from edge.errors import InputError
from edge.language.labels import EMOTIONS_8
from training.clips import table_rows

SPLITS = ("train", "valid", "test")
MARGIN = 1.2
"""Side of a crop of `faces_today` or `faces_elsewhere` over that of FER+'s framing, which is its middle."""
HELD_OUT_EVERY = 10
"""Every so-many-th number of `faces_today` is held out."""
_USAGE = {"train": "Training", "valid": "PublicTest", "test": "PrivateTest"}


def data_folder(given: str | None = None) -> Path:
    """Return the data folder.

    Raises:
        InputError: when neither the argument, `ERV_DATA` nor the default names an existing folder.
    """
    chosen = given or os.environ.get("ERV_DATA") or Path(__file__).resolve().parents[2] / "shared" / "data"
    folder = Path(chosen)
    if not folder.is_dir():
        raise InputError(f"no data folder at '{folder}': pass --data FOLDER or set ERV_DATA")
    return folder


@dataclass(frozen=True, slots=True)
class FerPlus:
    """One split of FER+ with its landmarks."""

    images: np.ndarray
    """`[N,48,48]` uint8, grey."""
    votes: np.ndarray
    """`[N,8]` float32: votes per emotion, those ≤ 1 set to 0."""
    rest: np.ndarray
    """`[N,2]` float32: votes for *unknown* and *not a face*, those ≤ 1 set to 0."""
    landmarks: np.ndarray
    """`[N,P,3]` float32 in pixels of the crop; NaN where no face was found."""
    point_index: np.ndarray
    """`[P]` int: Face Mesh number of each landmark."""
    blendshapes: np.ndarray
    """`[N,B]` float32 coefficients 0…1; all 0 where they are unknown."""
    shape_names: tuple[str, ...] = ()
    """`B` names of the blendshapes."""

    def __len__(self) -> int:
        return len(self.images)

    @property
    def target(self) -> np.ndarray:
        """`[N,8]` float32 vote distribution over the emotions (rows without votes are zero)."""
        return self.votes / np.maximum(self.votes.sum(1, keepdims=True), 1e-6)

    @property
    def label(self) -> np.ndarray:
        """`[N]` int: the FER+ majority label, −1 where the reference protocol drops the face."""
        every = np.concatenate([self.votes, self.rest], 1)
        top = every.argmax(1)
        kept = (every.max(1) > every.sum(1) / 2) & (top < len(EMOTIONS_8))
        return np.where(kept, top, -1)

    def take(self, rows: np.ndarray) -> FerPlus:
        """Return the chosen rows (indices or a boolean mask)."""
        per_face = {name: getattr(self, name)[rows] for name in ("images", "votes", "rest", "landmarks", "blendshapes")}
        return replace(self, **per_face)

    def at(self, size: int) -> FerPlus:
        """The same faces in crops of `size` pixels."""
        scale = size / self.images.shape[1]
        return self if scale == 1 else replace(self, images=resized(self.images, size), landmarks=self.landmarks * scale)


@dataclass(frozen=True, slots=True)
class Today:
    """Faces of `faces_today`: no emotions are known of them."""

    images: np.ndarray
    """`[N,128,128]` uint8, grey, with a margin: FER+'s framing times `MARGIN`."""
    landmarks: np.ndarray
    """`[N,P,3]` float32 in pixels of the crop."""
    point_index: np.ndarray
    """`[P]` int: Face Mesh number of each landmark."""
    blendshapes: np.ndarray
    """`[N,B]` float32 coefficients 0…1."""
    shape_names: tuple[str, ...]
    """`B` names of the blendshapes."""

    def __len__(self) -> int:
        return len(self.images)

    def take(self, rows: np.ndarray) -> Today:
        """Return the chosen rows (indices or a boolean mask)."""
        return replace(self, images=self.images[rows], landmarks=self.landmarks[rows], blendshapes=self.blendshapes[rows])


def load_today(folder: Path, *, held_out: bool) -> Today:
    """The faces of `faces_today` that are trained on, or those that are held out for measuring: every tenth number.

    Raises:
        InputError: the pack is missing or damaged.
    """
    path = folder / "faces_today.zip"
    keys = ("id", "landmarks", "point_index", "blendshapes", "blendshape_names")
    number, landmarks, index, blendshapes, names = read_pack(path.with_suffix(".npz"), *keys)
    chosen = np.flatnonzero((number % HELD_OUT_EVERY == 0) == held_out)
    try:
        with zipfile.ZipFile(path) as pack:
            images = [cv2.imdecode(np.frombuffer(pack.read(f"{n}.jpg"), np.uint8), cv2.IMREAD_GRAYSCALE) for n in number[chosen]]
        return Today(
            np.stack(images), landmarks[chosen].astype(np.float32) / 16, index.astype(int), blendshapes[chosen].astype(np.float32) / 255,
            tuple(str(name) for name in names),
        )  # fmt: skip
    except FileNotFoundError:
        raise InputError(f"no data pack at '{path}'") from None
    except (OSError, KeyError, ValueError, IndexError, zipfile.BadZipFile, cv2.error) as error:
        raise InputError(f"'{path}' is damaged: {error}") from None


def unlabelled(today: Today, size: int) -> FerPlus:
    """Faces of today in FER+'s framing, in crops of `size` pixels, without votes."""
    crops, n = np.stack([reframe(image, size) for image in today.images]), len(today)
    landmarks = _reframed(today.landmarks, today.images.shape[1], size)
    votes = np.zeros((n, len(EMOTIONS_8)), np.float32)
    return FerPlus(crops, votes, np.zeros((n, 2), np.float32), landmarks, today.point_index, today.blendshapes, today.shape_names)


def _reframed(landmarks: np.ndarray, side: int, size: int) -> np.ndarray:
    """Landmarks of a crop with a margin, `side` pixels wide, in the crop of `size` pixels without it."""
    moved = landmarks * (size * MARGIN / side) - np.array([1, 1, 0], np.float32) * size * (MARGIN - 1) / 2
    return np.asarray(moved, np.float32)


def elsewhere(folder: Path, size: int) -> FerPlus | None:
    """The faces of `faces_elsewhere` in FER+'s framing, one person's label as the only vote; `None` where the pack is absent.

    They are for validation only: nothing is trained on them. Contempt is left out.

    Args:
        folder: the data packs.
        size: side of the crop, pixels.

    Raises:
        InputError: the pack is damaged.
    """
    path = folder / "faces_elsewhere.zip"
    if not path.is_file():
        return None
    try:
        with zipfile.ZipFile(path) as pack, np.load(path.with_suffix(".npz")) as known:
            names = [name for name in pack.namelist() if name.endswith(".jpg")]
            emotions = [name.split("/")[-2] for name in names]
            kept = [i for i, emotion in enumerate(emotions) if emotion in EMOTIONS_8 and emotion != "contempt"]
            images = [cv2.imdecode(np.frombuffer(pack.read(names[i]), np.uint8), cv2.IMREAD_GRAYSCALE) for i in kept]
            landmarks, index = known["landmarks"][kept].astype(np.float32) / 16, known["point_index"].astype(int)
            blendshapes, shapes = (
                known["blendshapes"][kept].astype(np.float32) / 255,
                tuple(str(name) for name in known["blendshape_names"]),
            )
    except (OSError, KeyError, ValueError, IndexError, zipfile.BadZipFile, cv2.error) as error:
        raise InputError(f"'{path}' is damaged: {error}") from None
    landmarks = _reframed(landmarks, images[0].shape[0], size)
    votes = np.eye(len(EMOTIONS_8), dtype=np.float32)[[EMOTIONS_8.index(emotions[i]) for i in kept]] * 10
    crops = np.stack([reframe(image, size) for image in images])
    return FerPlus(crops, votes, np.zeros((len(crops), 2), np.float32), landmarks, index, blendshapes, shapes)


def resized(images: np.ndarray, size: int) -> np.ndarray:
    """Square grey pictures `[N,S,S]` uint8 in another size."""
    how = cv2.INTER_AREA if size < images.shape[1] else cv2.INTER_LINEAR
    return np.stack([cv2.resize(image, (size, size), interpolation=how) for image in images]) if len(images) else images


def reframe(crop: np.ndarray, size: int) -> np.ndarray:
    """A crop of `faces_today` or `faces_elsewhere` `[128,128]` in FER+'s framing: its middle, without the margin around it."""
    scale, edge = size * MARGIN / len(crop), size * (MARGIN - 1) / 2
    move = np.array([[scale, 0, -edge], [0, scale, -edge]])
    blurred = cv2.GaussianBlur(crop, (0, 0), 0.45 / scale) if scale < 1 else crop
    return np.asarray(cv2.warpAffine(blurred, move, (size, size), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE))


def load_ferplus(source: Path, split: str) -> FerPlus:
    """Load one split of the FER+ pack: images, votes, landmarks.

    Args:
        source: the data folder, or an `.npz` in the layout of `ferplus_images.npz`; a folder with the original `fer2013.csv` and
            `fer2013new.csv` will do. Landmarks are read from the file beside it whose
            name has `landmarks` for `images`; without one they are unknown (NaN). The same for `blendshapes` (0).
        split: `train`, `valid` or `test`.

    Raises:
        InputError: unknown split, or a pack is missing or broken.
    """
    if split not in SPLITS:
        raise InputError(f"unknown split '{split}': expected one of {', '.join(SPLITS)}")
    path = source if source.suffix == ".npz" else source / "ferplus_images.npz"
    if not path.exists() and (source / "fer2013.csv").is_file():
        return load_fer2013(source / "fer2013.csv", source / "fer2013new.csv", split)
    images, votes = read_pack(path, f"{split}_images", f"{split}_votes")
    beside = path.with_name(path.name.replace("images", "landmarks"))
    if beside == path or (path == source and not beside.is_file()):
        return keep_votes(images, votes)
    landmarks, index = read_pack(beside, f"{split}_landmarks", "point_index")
    faces = replace(keep_votes(images, votes), landmarks=landmarks.astype(np.float32), point_index=index.astype(int))
    shapes = beside.with_name(path.name.replace("images", "blendshapes"))
    if not shapes.is_file():
        return faces
    coefficients, names = read_pack(shapes, f"{split}_blendshapes", "blendshape_names")
    return replace(faces, blendshapes=coefficients.astype(np.float32) / 255, shape_names=tuple(str(name) for name in names))


def load_fer2013(pixels: Path, votes: Path, split: str) -> FerPlus:
    """Read the original tables: FER2013's pixels and FER+'s votes, row by row; faces that FER+ removed are left out.

    Args:
        pixels: `fer2013.csv`.
        votes: `fer2013new.csv`.
        split: `train`, `valid` or `test`.

    Raises:
        InputError: a table is missing, they differ in length, or a row is broken.
    """
    faces, counts = list(table_rows(pixels)), list(table_rows(votes))
    if len(faces) != len(counts):
        raise InputError(f"'{pixels}' has {len(faces)} rows and '{votes}' {len(counts)}: they must belong together")
    images, found = [], []
    for number, (face, row) in enumerate(zip(faces, counts, strict=True), 2):
        try:
            if face["Usage"] != _USAGE[split] or not row["Image name"]:
                continue
            images.append(np.array(face["pixels"].split(), np.uint8).reshape(48, 48))
            found.append([int(value) for key, value in row.items() if key not in ("Usage", "Image name")])
            if len(found[-1]) != 10:
                raise ValueError("ten vote columns are needed")
        except (KeyError, ValueError, AttributeError, TypeError, OverflowError) as error:
            raise InputError(f"line {number} of '{pixels}' or '{votes}' is broken: {error}") from None
    if not images:
        raise InputError(f"'{pixels}' has no face of the {split} split")
    return keep_votes(np.stack(images), np.array(found))


def keep_votes(images: np.ndarray, votes: np.ndarray) -> FerPlus:
    """Faces with their ten vote columns, single votes set to 0 as the reference protocol wants it, landmarks unknown."""
    votes = np.where(votes <= 1, 0, votes).astype(np.float32)
    unknown = np.full((len(images), 1, 3), np.nan, np.float32)
    return FerPlus(images, votes[:, :8], votes[:, 8:], unknown, np.zeros(1, int), np.zeros((len(images), 0), np.float32))


def read_pack(path: Path, *keys: str) -> list[np.ndarray]:
    """Read arrays of an `.npz` pack, or say which pack is missing, broken, or lacks what."""
    try:
        with np.load(path) as pack:
            return [pack[key] for key in keys]
    except FileNotFoundError:
        raise InputError(f"no data pack at '{path}'") from None
    except KeyError as error:
        raise InputError(f"the data pack '{path}' lacks {error}") from None
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise InputError(f"'{path}' is not a readable .npz pack: {error}") from None


def load_goemotions(folder: Path, split: str) -> list[tuple[str, list[str]]]:
    """Return `(comment, label names)` pairs of a GoEmotions split (`train`, `dev` or `test`)."""
    root = folder / "goemotions"
    try:
        names = (root / "labels.txt").read_text().split()
        lines = (root / f"{split}.tsv").read_text(encoding="utf-8").splitlines()
    except FileNotFoundError as error:
        raise InputError(f"GoEmotions file missing: '{error.filename}'") from None
    rows = (line.split("\t") for line in lines if line)
    return [(text, [names[int(i)] for i in ids.split(",")]) for text, ids, *_ in rows]


#: MERR's labels → the eleven. *worried* reads as anxiety; *doubt* (20 of 2,272) has no counterpart and is left out.
MERR = {
    "neutral": "neutral", "happy": "happiness", "surprise": "surprise", "sad": "sadness", "angry": "anger", "fear": "fear",
    "contempt": "contempt", "worried": "anxiety",
}  # fmt: skip


def load_merr(folder: Path) -> list[tuple[str, str]]:
    """Return `(explanation, label)` pairs written by a large model: for validation only, never for training.

    Raises:
        InputError: the file is missing or broken.
    """
    path = folder / "merr_explanations.jsonl"
    try:
        rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line]
        return [(row["explanation"], MERR[row["emotion"]]) for row in rows if row["emotion"] in MERR]
    except FileNotFoundError:
        raise InputError(f"no explanations at '{path}'") from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"'{path}' is not a readable file of explanations: {error!r}") from None
