"""Finding faces in a picture: `looks → face.onnx → select_faces → screen`.

Coordinates count from the edge of the picture: the middle of its first pixel is (0.5, 0.5).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from edge.bundle import FaceSpec, check_graph
from edge.cv import cv2
from edge.engine.backend import Session
from edge.sources.picture import as_grey
from edge.types import Detection
from edge.vision import upright
from edge.vision.crop import crop_face
from edge.vision.search import check_min_face, looks, only_fine, padded
from edge.vision.yunet import yunet_rows

INPUT, OUTPUT = "picture", "faces"
MOST_CANDIDATES = 4096
"""Candidates of a picture that are told apart, the best first."""
_BLEND = 0.6
_WITHIN = 0.75
"""Of a box's area: who lies so far within a surer face is a part of it, an eye or a mouth, and not somebody before it."""


def select_faces(rows: np.ndarray, *, threshold: float, overlap: float) -> list[Detection]:
    """Turn the finder's candidates into faces: greedy non-maximum suppression, in which nothing less sure lies within a face either, then
    each kept face becomes the mean of the candidates that nearly coincide with it, weighted by their scores (blending, as in BlazeFace,
    2019), which steadies box and points.

    Args:
        rows: `[A,15]` score, box (x1,y1,x2,y2), five points (x,y), in pixels of the picture.
        threshold: least score.
        overlap: boxes with a larger intersection over union are one face.

    Returns:
        Faces, largest first.
    """
    rows = rows[np.isfinite(rows).all(1) & (rows[:, 0] >= threshold / 4)]
    rows = rows[(rows[:, 3] > rows[:, 1]) & (rows[:, 4] > rows[:, 2])]
    rows = rows[np.argsort(-rows[:, 0], kind="stable")][:MOST_CANDIDATES]
    kept: list[np.ndarray] = []
    while len(rows) and rows[0, 0] >= threshold:
        shared, area = _shared(rows[0, 1:5], rows[:, 1:5]), _area(rows[:, 1:5])
        both = shared / np.maximum(area[0] + area - shared, 1e-9)
        near = rows[both >= _BLEND]
        kept.append(np.concatenate([rows[0, :1], near[:, 0] @ near[:, 1:] / near[:, 0].sum()]))
        apart = (both <= overlap) & (shared <= _WITHIN * area)
        rows = rows[1:][apart[1:]]  # without the first, whatever the overlap: so this ends
    kept.sort(key=lambda row: -float((row[3] - row[1]) * (row[4] - row[2])))
    return [
        Detection(
            box_xyxy=row[1:5].astype(np.float32),
            points_xy=row[5:15].reshape(5, 2).astype(np.float32),
            score=float(row[0]),
        )
        for row in kept
    ]


def box_overlap(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Intersection over union `[A,B]` of boxes `[A,4]` and `[B,4]` (x1,y1,x2,y2)."""
    inner = _shared(a[:, None], b[None])
    return np.asarray(inner / np.maximum(_area(a)[:, None] + _area(b)[None] - inner, 1e-9))


def _area(boxes: np.ndarray) -> np.ndarray:
    return np.asarray((boxes[..., 2] - boxes[..., 0]) * (boxes[..., 3] - boxes[..., 1]))


def _shared(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    across = np.minimum(a[..., 2], b[..., 2]) - np.maximum(a[..., 0], b[..., 0])
    down = np.minimum(a[..., 3], b[..., 3]) - np.maximum(a[..., 1], b[..., 1])
    return np.asarray(np.maximum(across, 0) * np.maximum(down, 0))


class FaceFinder:
    """Finds faces and their five points in a picture."""

    def __init__(
        self,
        session: Session,
        spec: FaceSpec,
        inputs: tuple[str, ...] = (INPUT,),
        *,
        min_face: float | None = None,
        screen: Callable[[np.ndarray, list[Detection], np.ndarray | None], list[Detection]] | None = None,
    ) -> None:
        """Take a session.

        Args:
            session: of the bundle's `face.onnx`.
            spec: how it is run.
            inputs: the graph's.
            min_face: narrowest wanted face, pixels, or below 1 a share of the picture's width; the bundle's own when `None`.
            screen: which of the finds in a grey picture are faces, given the same picture shrunk, too; all when `None`.

        Raises:
            BundleError: the graph has other inputs.
            UsageError: `min_face` is no width.
        """
        self.input = "input" if spec.yunet else INPUT
        check_graph("face", {self.input}, inputs)
        check_min_face(min_face)
        self.session, self.spec, self.min_face, self.screen = session, spec, min_face, screen

    def __call__(self, picture: np.ndarray, *, coarse: bool = False) -> list[Detection]:
        """Find the faces of a picture.

        Args:
            picture: `[H,W]` grey or `[H,W,3]` BGR uint8.
            coarse: take the coarse look only, whatever the smallest wanted face.

        Returns:
            Faces, largest first; empty when there are none.

        Raises:
            UsageError: `min_face` is wider than this picture, or needs too large a search.
        """
        picture = self._coloured(picture)
        rows, (height, width), shrunk = [], picture.shape[:2], None
        for look in looks(height, width, self.spec, self.min_face)[: 1 if coarse else None]:
            small = cv2.resize(picture, look.size, interpolation=cv2.INTER_AREA) if look.scale < 1 else picture
            shrunk = small if shrunk is None and small.ndim == 2 and look.scale < 1 else shrunk
            for x1, y1, x2, y2 in look.tiles():
                found = self._candidates(padded(small[y1:y2, x1:x2]))
                if look.overlap:  # a larger face is the coarse look's: a tile may have cut it
                    found = found[found[:, 3] - found[:, 1] <= look.overlap]
                found[:, 1:] = (found[:, 1:] + np.tile([x1, y1], 7)) / look.scale
                rows.append(found)
        faces = select_faces(np.concatenate(rows), threshold=self.spec.threshold, overlap=self.spec.overlap)
        faces = [face if self.spec.any_way or face.score >= upright.SURE else self._turned(picture, face) for face in faces]
        return self.screen(as_grey(picture) if picture.ndim == 3 else picture, faces, shrunk) if self.screen else faces

    def rehearse(self, picture: np.ndarray) -> None:
        """Run the graph once on a small picture, however small the faces that are asked for; raises whatever shows that it is no finder."""
        select_faces(self._candidates(padded(self._coloured(picture))), threshold=self.spec.threshold, overlap=self.spec.overlap)

    def only_fine(self, face: Detection, shape: tuple[int, ...]) -> bool:
        """Whether a face in a picture of this shape (height, width) is so small that a coarse look may miss it."""
        width_px = float(face.box_xyxy[2] - face.box_xyxy[0])
        return only_fine(width_px, looks(shape[0], shape[1], self.spec, self.min_face), self.spec)

    def _coloured(self, picture: np.ndarray) -> np.ndarray:
        """The picture in as many channels as the graph takes."""
        if (self.spec.channels == 3) == (picture.ndim == 3):
            return picture
        return as_grey(picture) if picture.ndim == 3 else np.asarray(cv2.cvtColor(picture, cv2.COLOR_GRAY2BGR))

    def _candidates(self, picture: np.ndarray) -> np.ndarray:
        """The graph's rows `[A,15]` of a picture whose sides are multiples of `CELL` from `LEAST` on, in its pixels, without those that
        cannot become a face."""
        fed = picture[None, None] if picture.ndim == 2 else picture.transpose(2, 0, 1)[None]
        outputs = self.session.run({self.input: np.ascontiguousarray(fed, np.float32)})
        rows = yunet_rows(outputs, *picture.shape[:2]) if self.spec.yunet else outputs[OUTPUT][0]
        if rows.shape[1:] != (15,):
            raise ValueError(f"the face finder gives rows of {rows.shape[1:]} values, expected 15")
        return np.asarray(rows[rows[:, 0] >= self.spec.threshold / 4])

    def _turned(self, picture: np.ndarray, face: Detection) -> Detection:
        """A face that lies on its side or stands on its head, with the places of its own eyes and mouth, or told if they are not found; any
        other as it is."""
        matrix = upright.window(face.box_xyxy)
        turn, rows = upright.best_turn(self._candidates(upright.four_ways(crop_face(picture, matrix, upright.CELL))))
        if not turn:
            return face
        if rows[:, 0].max() < self.spec.threshold:
            return replace(face, upright=False)
        best = select_faces(rows, threshold=float(rows[:, 0].max()), overlap=self.spec.overlap)
        return upright.placed(best[0], turn, matrix) if best else replace(face, upright=False)  # none: its box has no area
