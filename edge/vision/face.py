"""Finding a face and bringing it into the encoder's frame.

`letterbox → face.onnx → select_faces` finds; `crop_matrix → crop_face` aligns. All but the session are pure functions. Coordinates
count from the edge of the picture: the middle of its first pixel is (0.5, 0.5).
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from edge.bundle import FaceSpec, ImageSpec, check_graph
from edge.cv import cv2
from edge.engine.backend import Session
from edge.profiles import CELL, LEAST
from edge.types import Detection
from edge.vision import upright

STRIDES = (8, 16)
"""Cell sizes of the finder's two levels, pixels."""
INPUT, OUTPUT = "picture", "faces"
_BLEND = 0.6


def letterbox(grey: np.ndarray, long_side: int) -> tuple[np.ndarray, float]:
    """Scale a picture down so that its long side is at most `long_side`, and pad right and below.

    Args:
        grey: `[H,W]` uint8.
        long_side: pixels.

    Returns:
        `[h,w]` uint8 and the scale (≤ 1) from `grey` to it.
    """
    height, width = grey.shape
    scale = min(1.0, long_side / max(height, width))
    size = max(1, round(width * scale)), max(1, round(height * scale))
    small = cv2.resize(grey, size, interpolation=cv2.INTER_AREA) if scale < 1 else grey
    right, below = (max(LEAST, -(-extent // CELL) * CELL) - extent for extent in size)
    return np.asarray(cv2.copyMakeBorder(small, 0, below, 0, right, cv2.BORDER_CONSTANT, value=127)), scale


def select_faces(rows: np.ndarray, scale: float, *, threshold: float, overlap: float) -> list[Detection]:
    """Turn the finder's candidates into faces: greedy non-maximum suppression, then each kept face becomes the mean of the candidates
    that nearly coincide with it, weighted by their scores (blending, as in BlazeFace, 2019), which steadies box and points.

    Args:
        rows: `[A,15]` score, box (x1,y1,x2,y2), five points (x,y), in pixels of the letterboxed picture.
        scale: what `letterbox` returned.
        threshold: least score.
        overlap: boxes with a larger intersection over union are one face.

    Returns:
        Faces in pixels of the original picture, largest first.
    """
    rows = rows[np.isfinite(rows).all(1) & (rows[:, 0] >= threshold / 4)]
    rows = rows[(rows[:, 3] > rows[:, 1]) & (rows[:, 4] > rows[:, 2])]
    rows = rows[np.argsort(-rows[:, 0], kind="stable")][:512]
    kept: list[np.ndarray] = []
    while len(rows) and rows[0, 0] >= threshold:
        shared = box_overlap(rows[:1, 1:5], rows[:, 1:5])[0]
        near = rows[shared >= _BLEND]
        kept.append(np.concatenate([rows[0, :1], np.average(near[:, 1:], axis=0, weights=near[:, 0])]))
        rows = rows[1:][shared[1:] <= overlap]  # without the first, whatever the overlap: so this ends
    kept.sort(key=lambda row: -float((row[3] - row[1]) * (row[4] - row[2])))
    return [
        Detection(
            box_xyxy=(row[1:5] / scale).astype(np.float32),
            points_xy=(row[5:15].reshape(5, 2) / scale).astype(np.float32),
            score=float(row[0]),
        )
        for row in kept
    ]


def box_overlap(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Intersection over union `[A,B]` of boxes `[A,4]` and `[B,4]` (x1,y1,x2,y2)."""
    low, high = np.maximum(a[:, None, :2], b[None, :, :2]), np.minimum(a[:, None, 2:], b[None, :, 2:])
    inner = np.clip(high - low, 0, None).prod(2)
    union = (a[:, 2:] - a[:, :2]).prod(1)[:, None] + (b[:, 2:] - b[:, :2]).prod(1)[None] - inner
    return np.asarray(inner / np.maximum(union, 1e-9))


def crop_matrix(points_xy: np.ndarray, template_xy: np.ndarray) -> np.ndarray:
    """The similarity that brings five points nearest to their places in the crop (closed-form least squares).

    Args:
        points_xy: `[5,2]` pixels of the picture.
        template_xy: `[5,2]` pixels of the crop.

    Returns:
        `[2,3]` float64 from picture to crop. Points that all coincide give an unturned crop around them.
    """
    z = points_xy[:, 0] + 1j * points_xy[:, 1].astype(np.float64)
    w = template_xy[:, 0] + 1j * template_xy[:, 1].astype(np.float64)
    spread = (np.abs(z - z.mean()) ** 2).sum()
    turn = ((z - z.mean()).conj() * (w - w.mean())).sum() / spread if spread > 1e-9 else 1.0 + 0j
    turn = turn if abs(turn) > 1e-9 else 1e-9 + 0j
    shift = w.mean() - turn * z.mean()
    return np.array([[turn.real, -turn.imag, shift.real], [turn.imag, turn.real, shift.imag]])


def crop_face(grey: np.ndarray, matrix: np.ndarray, size: int) -> np.ndarray:
    """Sample the crop `[size,size]` uint8 that `matrix` describes; beyond the border the edge pixels repeat.

    A face much larger than the crop is averaged down first, since plain bilinear sampling would alias.
    """
    zoom = float(np.hypot(matrix[0, 0], matrix[1, 0]))
    if zoom < 0.5:
        inverse = cv2.invertAffineTransform(matrix)
        corners = np.array([[0, 0], [size, 0], [0, size], [size, size]], np.float64) @ inverse[:, :2].T + inverse[:, 2]
        limit = np.array(grey.shape[::-1])
        low = np.clip(np.floor(corners.min(0) - 2 / zoom), 0, limit - 1).astype(int)
        high = np.clip(np.ceil(corners.max(0) + 2 / zoom), low + 1, limit).astype(int)
        part = grey[low[1] : high[1], low[0] : high[0]]
        shape = np.maximum(np.round((high - low) * zoom * 2), 1).astype(int)
        grey = np.asarray(cv2.resize(part, (int(shape[0]), int(shape[1])), interpolation=cv2.INTER_AREA))
        matrix = np.column_stack([matrix[:, :2] * ((high - low) / shape), matrix[:, :2] @ low + matrix[:, 2]])
    sampled = cv2.warpAffine(grey, pixel_matrix(matrix), (size, size), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(sampled)


def pixel_matrix(matrix: np.ndarray) -> np.ndarray:
    """A `[2,3]` matrix between coordinates that count from the edge → the same for OpenCV, which counts from the first pixel's middle."""
    return np.column_stack([matrix[:, :2], matrix[:, 2] + matrix[:, :2].sum(1) / 2 - 0.5])


class FaceFinder:
    """Finds faces and their five points in a grey picture."""

    def __init__(self, session: Session, spec: FaceSpec, inputs: tuple[str, ...] = (INPUT,)) -> None:
        check_graph("face", {INPUT}, inputs)
        self.session, self.spec = session, spec

    def __call__(self, grey: np.ndarray) -> list[Detection]:
        """Find the faces of `[H,W]` uint8, largest first; empty when there are none."""
        picture, scale = letterbox(grey, self.spec.long_side)
        found = select_faces(self._candidates(picture), scale, threshold=self.spec.threshold, overlap=self.spec.overlap)
        return [face if face.score >= upright.SURE else self._turned(grey, face) for face in found]

    def _candidates(self, picture: np.ndarray) -> np.ndarray:
        """The graph's rows `[A,15]` of `[h,w]` uint8 whose sides are multiples of `CELL` from `LEAST` on."""
        return np.asarray(self.session.run({INPUT: picture[None, None].astype(np.float32)})[OUTPUT][0])

    def _turned(self, grey: np.ndarray, face: Detection) -> Detection:
        """A face that lies on its side or stands on its head, with the places of its own eyes and mouth, or told if they are not found; any
        other as it is."""
        matrix = upright.window(face.box_xyxy)
        turn, rows = upright.best_turn(self._candidates(upright.four_ways(crop_face(grey, matrix, upright.CELL))))
        if not turn:
            return face
        if rows[:, 0].max() < self.spec.threshold:
            return replace(face, upright=False)
        best = select_faces(rows, 1.0, threshold=float(rows[:, 0].max()), overlap=self.spec.overlap)
        return upright.placed(best[0], turn, matrix) if best else replace(face, upright=False)  # none: its box has no area


def align(grey: np.ndarray, detection: Detection, spec: ImageSpec) -> tuple[np.ndarray, np.ndarray]:
    """The encoder's crop `[S,S]` uint8 of a found face, and the `[2,3]` matrix from picture to crop."""
    matrix = crop_matrix(detection.points_xy, np.asarray(spec.template_xy))
    return crop_face(grey, matrix, spec.size), matrix
