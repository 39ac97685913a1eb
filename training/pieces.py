"""What the finder's scenes are made of, part by part: photos with the teacher's faces, single heads, pictures without a face."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np

from edge.cv import cv2
from edge.vision.finder import box_overlap
from training.compose import Piece, Sources
from training.photos import Photo, load_photos
from training.profiles import turned_further
from training.teacher import SURE, ask_photos, load_heads, shifted

PARTS = {"train": 0, "valid": 1, "test": 2}


def load_sources(folder: Path, cache: Path, part: str) -> Sources:
    """The sources of one part; those of training have half profiles turned farther, too.

    The pack of photos has two parts only: validation and test share its held-out sources, by halves.

    Args:
        folder: of the data packs.
        cache: where the teacher's answers are kept.
        part: `train`, `valid` or `test`.

    Raises:
        InputError: a pack is missing or broken.
    """
    archive, teacher = folder / "faces_in_context.zip", folder / "yunet_n_dynamic.onnx"
    heads = load_heads(folder, cache)
    mine = heads.take(PARTS[part])
    if part == "train":
        mine = turned_further(mine, seed=0)
    photos = load_photos(archive, "train" if part == "train" else "valid")
    with zipfile.ZipFile(archive) as pack:

        def read(name: str) -> np.ndarray:
            return cv2.imdecode(np.frombuffer(pack.read(name), np.uint8), cv2.IMREAD_COLOR)

        asked = ask_photos([photo.name for photo in photos], read, cache, teacher)
    if part != "train":
        photos = photos[PARTS[part] - 1 :: 2]
    pieces = [piece(photo, asked[photo.name], heads.shift) for photo in photos if not photo.checked_empty]
    return Sources(pieces, mine, [photo.image for photo in photos if photo.checked_empty])


def piece(photo: Photo, asked: np.ndarray, shift: np.ndarray) -> Piece:
    """A photo with its known faces and what else the teacher says `[F,15]`: new faces where it is sure, else places not to ask about."""
    known = np.concatenate([photo.boxes[:, :2], photo.boxes[:, :2] + photo.boxes[:, 2:]], 1)
    new = asked
    if len(known) and len(asked):
        new = asked[box_overlap(asked[:, 1:5], known).max(1) < 0.3]
    sure = new[:, 0] >= SURE
    points = np.concatenate([photo.points, new[sure, 5:].reshape(-1, 5, 2)])
    return Piece(photo.image, np.concatenate([known, new[sure, 1:5]]), shifted(points, shift), new[~sure, 1:5])
