"""A face brought into the encoder's frame: `crop_matrix → crop_face`.

Coordinates count from the edge of the picture: the middle of its first pixel is (0.5, 0.5).
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from edge.bundle import ImageSpec
from edge.cv import cv2
from edge.types import Detection

_PER_PX = 64  # places to which points are rounded before a crop
_REZOOM, _RESHIFT = 1.6, 0.3  # by so much, and so many sides of the crop, a face is aligned anew at most


def crop_matrix(points_xy: np.ndarray, template_xy: np.ndarray) -> np.ndarray:
    """The similarity that brings five points nearest to their places in the crop (closed-form least squares).

    Args:
        points_xy: `[5,2]` pixels of the picture.
        template_xy: `[5,2]` pixels of the crop.

    Returns:
        `[2,3]` float64 from picture to crop. Points that all coincide give an unturned crop around them.
    """
    z, w = (np.ascontiguousarray(points, np.float64).view(np.complex128).ravel() for points in (points_xy, template_xy))
    z_middle, w_middle = complex(z.sum()) / len(z), complex(w.sum()) / len(w)
    off, wanted = z - z_middle, w - w_middle
    spread = float((off.real**2 + off.imag**2).sum())
    turn = complex((off.conj() * wanted).sum()) / spread if spread > 1e-9 else 1.0 + 0j
    turn = turn if abs(turn) > 1e-9 else 1e-9 + 0j
    shift = w_middle - turn * z_middle
    return np.array([[turn.real, -turn.imag, shift.real], [turn.imag, turn.real, shift.imag]])


def zoom_of(matrix: np.ndarray) -> float:
    """By how much a similarity `[2,3]` enlarges."""
    return math.hypot(matrix[0, 0], matrix[1, 0])


def crop_face(grey: np.ndarray, matrix: np.ndarray, size: int) -> np.ndarray:
    """Sample the crop `[size,size]` uint8 (of a colour picture `[size,size,3]`) that `matrix` describes; beyond the border the edge pixels
    repeat.

    A face much larger than the crop is averaged down first, since plain bilinear sampling would alias.
    """
    zoom = zoom_of(matrix)
    if zoom < 0.5:
        inverse = cv2.invertAffineTransform(matrix)
        corners = np.array([[0, 0], [size, 0], [0, size], [size, size]], np.float64) @ inverse[:, :2].T + inverse[:, 2]
        limit, times = np.array(grey.shape[1::-1]), math.ceil(0.5 / zoom)  # a whole number: OpenCV is many times as fast
        low = np.clip(np.floor(corners.min(0) - 2 / zoom), 0, limit - 1).astype(int)
        high = np.clip(np.ceil(corners.max(0) + 2 / zoom), low + 1, limit).astype(int)
        shape = np.maximum((high - low) // times, 1)
        part = grey[low[1] : low[1] + times * shape[1], low[0] : low[0] + times * shape[0]]
        grey = np.asarray(cv2.resize(part, (int(shape[0]), int(shape[1])), interpolation=cv2.INTER_AREA))
        matrix = np.column_stack([matrix[:, :2] * times, matrix[:, :2] @ low + matrix[:, 2]])
    sampled = cv2.warpAffine(grey, pixel_matrix(matrix), (size, size), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(sampled)


def pixel_matrix(matrix: np.ndarray) -> np.ndarray:
    """A `[2,3]` matrix between coordinates that count from the edge → the same for OpenCV, which counts from the first pixel's middle."""
    moved = np.array(matrix, np.float64)
    moved[:, 2] += (moved[:, 0] + moved[:, 1]) / 2 - 0.5
    return moved


def align(grey: np.ndarray, detection: Detection, spec: ImageSpec) -> tuple[np.ndarray, np.ndarray]:
    """The encoder's crop `[S,S]` uint8 of a found face, and the `[2,3]` matrix from picture to crop.

    Points that differ by what two processors' float32 differ by give the same crop, to the pixel (but where they are about to be rounded
    otherwise).
    """
    points_xy = detection.points_xy if detection.cropped_xy is None else detection.cropped_xy
    matrix = crop_matrix(np.round(points_xy * _PER_PX) / _PER_PX, np.asarray(spec.template_xy))
    return crop_face(grey, matrix, spec.size), matrix


def realigned(detection: Detection, five_xy: np.ndarray, spec: ImageSpec) -> Detection:
    """A found face with its five points where they are seen in its crop; as it is where the two are too far apart to be of the same face.

    Args:
        detection: as it was found.
        five_xy: `[5,2]` pixels of the picture.
        spec: how it was cropped.
    """
    if not detection.upright:
        return detection
    template = np.asarray(spec.template_xy)
    before, after = crop_matrix(detection.points_xy, template), crop_matrix(five_xy, template)
    middle = (before[:, :2] @ five_xy.mean(0) + before[:, 2] - template.mean(0)) / spec.size
    if not 1 / _REZOOM < zoom_of(after) / zoom_of(before) < _REZOOM or math.hypot(*middle) > _RESHIFT:
        return detection
    return replace(detection, points_xy=five_xy.astype(np.float32), cropped_xy=None)
