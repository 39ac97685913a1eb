"""Ways in which a camera's face crop is worse than a data set's, each at three severities; pure functions on `[S,S]` uint8.

Strengths are given for a crop of 48 pixels and scale with its side.
"""

from __future__ import annotations

from collections.abc import Callable

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


def blur(crop: np.ndarray, severity: int, _: np.random.Generator) -> np.ndarray:
    """Out of focus: σ 0.8, 1.4, 2.2 px."""
    return blurred(crop, (0.8, 1.4, 2.2)[severity - 1])


def noise(crop: np.ndarray, severity: int, random: np.random.Generator) -> np.ndarray:
    """A sensor at high gain: Gaussian, σ 8, 16, 28 grey levels."""
    return _grey(crop + random.normal(0, (8, 16, 28)[severity - 1], crop.shape))


def darkness(crop: np.ndarray, severity: int, random: np.random.Generator) -> np.ndarray:
    """Too little light: 40, 20, 10 % of it, with shot noise of 3 grey levels."""
    return _grey(crop * (0.4, 0.2, 0.1)[severity - 1] + random.normal(0, 3, crop.shape))


def jpeg(crop: np.ndarray, severity: int, _: np.random.Generator) -> np.ndarray:
    """Compressed at quality 30, 15, 7."""
    done = cv2.imencode(".jpg", crop, [cv2.IMWRITE_JPEG_QUALITY, (30, 15, 7)[severity - 1]])[1]
    return np.asarray(cv2.imdecode(done, cv2.IMREAD_GRAYSCALE))


def rotation(crop: np.ndarray, severity: int, random: np.random.Generator) -> np.ndarray:
    """Turned by 8, 16, 28 degrees, to either side."""
    return _warp(crop, (8, 16, 28)[severity - 1] * random.choice([-1, 1]), 1.0, 0.0, 0.0)


def low_resolution(crop: np.ndarray, severity: int, _: np.random.Generator) -> np.ndarray:
    """A face of 24, 16, 11 px, enlarged."""
    return shrunk(crop, round((24, 16, 11)[severity - 1] * len(crop) / 48))


def crop_error(crop: np.ndarray, severity: int, random: np.random.Generator) -> np.ndarray:
    """A badly placed crop: shifted by 4, 8, 12 % of its side in a random direction and scaled by 6, 12, 18 % either way."""
    way = random.uniform(0, 2 * np.pi)
    shift = (0.04, 0.08, 0.12)[severity - 1] * len(crop)
    return _warp(crop, 0.0, (1.06, 1.12, 1.18)[severity - 1] ** random.choice([-1, 1]), shift * np.cos(way), shift * np.sin(way))


SIMPLE: dict[str, Corrupt] = {
    "blur": blur,
    "noise": noise,
    "darkness": darkness,
    "jpeg": jpeg,
    "rotation": rotation,
    "low resolution": low_resolution,
    "crop error": crop_error,
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
    """Hide a part of the face behind a rectangle.

    Args:
        crop: `[S,S]` uint8.
        points: `[P,2]` pixels of the crop that show the part.
        severity: 1 and 2 hide the middle half and three quarters of its box, 3 all of it and a tenth more on every side.
        over: `[S,S]` uint8, what the rectangle is cut from.
    """
    low, high = points.min(0), points.max(0)
    middle, half = (low + high) / 2, (high - low) / 2 * (0.5, 0.75, 1.2)[severity - 1]
    (x1, y1), (x2, y2) = (np.clip(corner, 0, len(crop)).round().astype(int) for corner in (middle - half, middle + half))
    hidden = crop.copy()
    hidden[y1:y2, x1:x2] = over[y1:y2, x1:x2]
    return hidden


def _grey(values: np.ndarray) -> np.ndarray:
    return np.clip(values.round(), 0, 255).astype(np.uint8)


def _warp(crop: np.ndarray, degrees: float, scale: float, dx: float, dy: float) -> np.ndarray:
    middle = (len(crop) - 1) / 2
    matrix = cv2.getRotationMatrix2D((middle, middle), float(degrees), float(scale))
    matrix[:, 2] += dx, dy
    return np.asarray(cv2.warpAffine(crop, matrix, crop.shape[::-1], flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE))
