"""Real faces for calibration and comparison: a split of the FER+ pack, or any folder of face crops."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edge.cv import cv2
from edge.errors import InputError
from edge.sources.picture import as_grey, read_image
from training.data import load_ferplus

PACK = "ferplus_images.npz"
_SUFFIXES = {".png", ".jpg", ".jpeg", ".bmp", ".webp"}


@dataclass(frozen=True, slots=True)
class Crops:
    """Face crops, labelled or not."""

    images: np.ndarray
    """`[N,S,S]` uint8, grey."""
    labels: np.ndarray | None
    """`[N]` index into the eight emotions; `None` for a folder of pictures."""

    def __len__(self) -> int:
        return len(self.images)

    def part(self, start: int, stop: int | None = None) -> Crops:
        """The faces from `start` to `stop`."""
        return Crops(self.images[start:stop], None if self.labels is None else self.labels[start:stop])


def load_crops(source: Path, split: str, size: int) -> Crops:
    """Load faces.

    Args:
        source: a folder with the FER+ pack (or the `.npz` itself), of which the faces that the reference protocol counts are taken; or a
            folder of face crops, searched with its sub-folders and scaled to `size`.
        split: of the pack: `train`, `valid` or `test`.
        size: side of the crops, pixels.

    Raises:
        InputError: nothing is there, or what is there cannot be read.
    """
    if source.suffix == ".npz" or (source / PACK).is_file():
        faces = load_ferplus(source, split).at(size)
        counted = faces.label >= 0
        if not counted.any():
            raise InputError(f"'{source}' has no face in its {split} split that the reference protocol counts")
        return Crops(faces.images[counted], faces.label[counted])
    if not source.is_dir():
        raise InputError(f"no faces at '{source}': expected a folder with {PACK}, that file, or a folder of face crops")
    paths = sorted(path for path in source.rglob("*") if path.suffix.lower() in _SUFFIXES)
    if not paths:
        raise InputError(f"'{source}' holds neither {PACK} nor a picture ({', '.join(sorted(_SUFFIXES))})")
    return Crops(np.stack([_resized(as_grey(read_image(path)), size) for path in paths]), None)


def scenes(images: np.ndarray, count: int, seed: int = 0) -> list[np.ndarray]:
    """`count` grey pictures `[240,320]` uint8 with one to four of the faces at random places and sizes, for the face finder."""
    rng = np.random.default_rng(seed)
    pictures = []
    for i in range(count):
        picture = cv2.GaussianBlur(rng.integers(40, 200, (240, 320), np.uint8), (0, 0), 6)
        for corner in range(1 + i % 4):  # one a quarter, so that they do not hide each other
            side = int(rng.integers(40, 110))
            x, y = 160 * (corner % 2) + int(rng.integers(0, 160 - side)), 120 * (corner // 2) + int(rng.integers(0, 120 - side))
            picture[y : y + side, x : x + side] = cv2.resize(images[int(rng.integers(len(images)))], (side, side))
        pictures.append(np.asarray(picture))
    return pictures


def _resized(grey: np.ndarray, size: int) -> np.ndarray:
    return grey if grey.shape == (size, size) else np.asarray(cv2.resize(grey, (size, size), interpolation=cv2.INTER_AREA))
