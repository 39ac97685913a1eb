"""The photo pack: whole pictures with their faces, split by source, and the measures of a face finder over them. No torch."""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tqdm.auto import tqdm

from edge.cv import cv2
from edge.errors import InputError
from edge.types import Detection
from edge.vision.finder import box_overlap


@dataclass(frozen=True, slots=True)
class Photo:
    """A photo with its faces."""

    name: str
    image: np.ndarray
    """`[H,W]` uint8 grey."""
    boxes: np.ndarray
    """`[F,4]` x, y, w, h in pixels."""
    points: np.ndarray
    """`[F,5,2]` eye, eye, nose, mouth corner, mouth corner (image left first); NaN where only a box is known."""
    checked_empty: bool
    """Known to hold no face."""
    scene: bool
    """From the scene pictures, not a portrait."""


def open_pack(archive: Path) -> tuple[zipfile.ZipFile, list[dict[str, Any]]]:
    """The photo pack, and its index: a row for each picture.

    Raises:
        InputError: the archive is missing or not readable.
    """
    try:
        pack = zipfile.ZipFile(archive)
        return pack, json.loads(pack.read("index.json"))
    except (OSError, KeyError, ValueError, zipfile.BadZipFile) as error:
        raise InputError(f"'{archive}' is not a readable photo pack: {error}") from None


def load_photos(archive: Path, split: str) -> list[Photo]:
    """Read one split (`train`, `valid` or `all`) of the photo pack.

    The split hashes the `group` (a video, a person), so that no source is on both sides; the background photos are independent of
    each other and go by file.

    Raises:
        InputError: the archive is missing or not readable.
    """
    pack, index = open_pack(archive)
    photos = []
    for row in tqdm(index, desc="photos", leave=False, disable=None):
        source = row["file"] if row["kind"] == "no_face" else row["group"]
        held_out = int(hashlib.sha256(source.encode()).hexdigest(), 16) % 6 == 0
        if split != "all" and held_out != (split == "valid"):
            continue
        image = cv2.imdecode(np.frombuffer(pack.read(row["file"]), np.uint8), cv2.IMREAD_GRAYSCALE)
        boxes = [face["box"] for face in row["teacher_faces"]]
        points = [np.reshape(face["points"], (5, 2)) for face in row["teacher_faces"]]
        if row["kind"] == "face_box":
            for given in row["given_boxes"]:
                known = np.reshape(np.array(boxes, np.float32), (-1, 4))
                if not len(known) or box_overlap(_xyxy(np.array([given])), _xyxy(known)).max() < 0.2:
                    boxes.append(given)
                    points.append(np.full((5, 2), np.nan))
        photos.append(
            Photo(
                row["file"],
                image,
                np.array(boxes, np.float32).reshape(-1, 4),
                np.array(points, np.float32).reshape(-1, 5, 2),
                row["kind"] == "no_face",
                row["kind"] == "face_box",
            )
        )
    return photos


def _xyxy(boxes: np.ndarray) -> np.ndarray:
    return np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], 1)


_SIZES = ((24, 48), (48, 80), (80, 320))


def score_finder(find: Callable[[np.ndarray], list[Detection]], photos: list[Photo]) -> dict[str, float]:
    """Measure a face finder.

    Returns:
        `recall` of teacher faces of 24 px and more at IoU 0.5; `false_per_empty`, faces found per checked face-free photo;
        `point_error`, mean distance of the five points over the eye distance, of the faces found, and its median per size of face;
        `faces` and `empty`, how many there were.
    """
    hits = total = false = empty = 0
    errors, sizes = [], []
    for photo in tqdm(photos, desc="photos", leave=False, disable=None):
        found = find(photo.image)
        if photo.checked_empty:
            empty, false = empty + 1, false + len(found)
        known = np.isfinite(photo.points).all((1, 2)) & (photo.boxes[:, 2:].max(1, initial=0) >= 24)
        total += int(known.sum())
        if not found or not known.any():
            continue
        overlap = box_overlap(_xyxy(photo.boxes[known]), np.stack([d.box_xyxy for d in found]))
        for i, points in enumerate(photo.points[known]):
            row = overlap[i].copy()
            if row.max() >= 0.5:
                overlap[:, int(row.argmax())] = 0  # a found face answers for one
                hits += 1
                distance = np.linalg.norm(found[int(row.argmax())].points_xy - points, axis=1).mean()
                errors.append(distance / np.linalg.norm(points[0] - points[1]))
                sizes.append(photo.boxes[known][i, 2:].max())
    return {
        "recall": hits / max(1, total),
        "false_per_empty": false / max(1, empty),
        "point_error": float(np.mean(errors)) if errors else float("nan"),
        **{
            f"median_point_error_{low}_{high}px": float(np.median(part)) if len(part) else float("nan")
            for low, high in _SIZES
            for part in [np.array(errors)[(np.array(sizes) >= low) & (np.array(sizes) < high)]]
        },
        "faces": total,
        "empty": empty,
    }
