"""Ways in which a camera's face crop is worse than a data set's, at three severities: pure functions on `[S,S]` uint8."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from edge.cv import cv2

Corrupt = Callable[[np.ndarray, int, np.random.Generator], np.ndarray]
"""Crop, severity 1…3, random numbers → crop."""

SEVERITIES = (1, 2, 3)


def blurred(crop: np.ndarray, sigma: float) -> np.ndarray:
    """The crop under a Gaussian of `sigma` pixels; 0: as it is."""
    return np.asarray(cv2.GaussianBlur(crop, (0, 0), sigma * len(crop) / 48)) if sigma else crop


def shrunk(crop: np.ndarray, side: int) -> np.ndarray:
    """The crop as it comes from a face of `side` real pixels."""
    small = cv2.resize(crop, (side, side), interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.resize(small, crop.shape[::-1], interpolation=cv2.INTER_LINEAR))


def pressed(crop: np.ndarray, quality: int) -> np.ndarray:
    """The crop after JPEG."""
    done = cv2.imencode(".jpg", crop, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    return np.asarray(cv2.imdecode(done, cv2.IMREAD_GRAYSCALE))


def _misplaced(crop: np.ndarray, off: tuple[float, float], random: np.random.Generator) -> np.ndarray:
    """Shifted by a share of its side in a random direction, and scaled either way."""
    way, shift = random.uniform(0, 2 * np.pi), off[0] * len(crop)
    return _warp(crop, scale=off[1] ** random.choice([-1, 1]), dx=shift * np.cos(way), dy=shift * np.sin(way))


def _graded(strengths: tuple[Any, Any, Any], corrupt: Callable[[np.ndarray, Any, np.random.Generator], np.ndarray]) -> Corrupt:
    """A corruption by its strength at each severity."""
    return lambda crop, severity, random: corrupt(crop, strengths[severity - 1], random)


SIMPLE: dict[str, Corrupt] = {
    # out of focus: standard deviation, pixels
    "blur": _graded((0.8, 1.4, 2.2), lambda crop, sigma, _: blurred(crop, sigma)),
    # a sensor at high gain: standard deviation, grey levels
    "noise": _graded((8, 16, 28), lambda crop, sigma, random: _grey(crop + random.normal(0, sigma, crop.shape))),
    # the share of the light that is left, with shot noise of 3 grey levels
    "darkness": _graded((0.4, 0.2, 0.1), lambda crop, light, random: _grey(crop * light + random.normal(0, 3, crop.shape))),
    "jpeg": _graded((30, 15, 7), lambda crop, quality, _: pressed(crop, quality)),
    # degrees, to either side
    "rotation": _graded((8, 16, 28), lambda crop, degrees, random: _warp(crop, degrees * random.choice([-1, 1]))),
    # a face of so many pixels, enlarged
    "low resolution": _graded((24, 16, 11), lambda crop, side, _: shrunk(crop, round(side * len(crop) / 48))),
    "crop error": _graded(((0.04, 1.06), (0.08, 1.12), (0.12, 1.18)), _misplaced),
}


COVERS = ("plain", "grain", "skin")
"""What can lie over a part of a face: the crop's mean grey, coarse grain around it, a cheek of another face."""


def covering(kind: str, crop: np.ndarray, other: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """A picture `[S,S]` uint8 of one of `COVERS`, to lie over `crop`; `other` is another face's crop."""
    side, mean = len(crop), float(crop.mean())
    if kind == "grain":
        return _grey(mean + cv2.resize(random.normal(0, 30, (8, 8)), (side, side), interpolation=cv2.INTER_CUBIC))
    if kind == "skin":
        top, left, step = 22 * side // 48, 10 * side // 48, 10 * side // 48
        return np.asarray(cv2.resize(other[top : top + step, left : left + step], (side, side), interpolation=cv2.INTER_CUBIC))
    return np.full_like(crop, round(mean))


def cover(crop: np.ndarray, points: np.ndarray, severity: int, over: np.ndarray) -> np.ndarray:
    """Hide the part of a face `[S,S]` that `[P,2]` pixels show behind a rectangle cut from `over` `[S,S]`.

    Severity 1 and 2 hide the middle half and three quarters of its box, 3 all of it and a tenth more on every side.
    """
    low, high = points.min(0), points.max(0)
    middle, half = (low + high) / 2, (high - low) / 2 * (0.5, 0.75, 1.2)[severity - 1]
    (x1, y1), (x2, y2) = (np.clip(corner, 0, len(crop)).round().astype(int) for corner in (middle - half, middle + half))
    hidden = crop.copy()
    hidden[y1:y2, x1:x2] = over[y1:y2, x1:x2]
    return hidden


def _grey(values: np.ndarray) -> np.ndarray:
    return np.clip(values.round(), 0, 255).astype(np.uint8)


def _warp(crop: np.ndarray, degrees: float = 0.0, scale: float = 1.0, dx: float = 0.0, dy: float = 0.0) -> np.ndarray:
    middle = (len(crop) - 1) / 2
    matrix = cv2.getRotationMatrix2D((middle, middle), float(degrees), float(scale))
    matrix[:, 2] += dx, dy
    return np.asarray(cv2.warpAffine(crop, matrix, crop.shape[::-1], flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE))
