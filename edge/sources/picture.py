"""Pictures in: whatever a caller or a file gives becomes 8-bit BGR, or one clear error."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from edge.cv import cv2
from edge.errors import InputError
from edge.files import read_bounded
from edge.sources.decode import MAX_BYTES, decode
from edge.sources.orientation import upright


def as_bgr(image: np.ndarray) -> np.ndarray:
    """Return a picture as `[H,W,3]` uint8 BGR.

    Args:
        image: `[H,W]` or `[H,W,1]` grey, `[H,W,3]` BGR or `[H,W,4]` BGRA; uint8, or uint16 (scaled by 1/257).

    Raises:
        InputError: not an array of these, empty, or of another type.
    """
    if not isinstance(image, np.ndarray) or image.ndim not in (2, 3):
        raise InputError(f"an image must be an array [H,W] or [H,W,C], got {kind_of(image)}")
    if image.size == 0:
        raise InputError(f"the image is empty: {kind_of(image)}")
    if image.dtype == np.uint16:
        image = np.asarray(cv2.convertScaleAbs(image, alpha=1 / 257)).reshape(image.shape)
    if image.dtype != np.uint8:
        raise InputError(f"an image must be uint8 or uint16, got {kind_of(image)}")
    channels = 1 if image.ndim == 2 else image.shape[2]
    if channels == 1:
        return np.asarray(cv2.cvtColor(image.reshape(image.shape[:2]), cv2.COLOR_GRAY2BGR))
    if channels == 4:
        return np.asarray(cv2.cvtColor(image, cv2.COLOR_BGRA2BGR))
    if channels == 3:
        return np.ascontiguousarray(image)
    raise InputError(f"an image must have 1, 3 or 4 channels, got {kind_of(image)}")


def as_grey(image_bgr: np.ndarray) -> np.ndarray:
    """`[H,W,3]` uint8 BGR → `[H,W]` uint8 grey; all networks read grey."""
    return np.asarray(cv2.cvtColor(image_bgr, cv2.COLOR_BGR2GRAY))


def read_image(path: Path) -> np.ndarray:
    """Decode an image file to `[H,W,3]` uint8 BGR, turned upright as the file says; transparency is ignored.

    Raises:
        InputError: no such file, not a picture, or one that asks for more memory or time than a file of its size may.
    """
    data = read_bounded(path, MAX_BYTES)
    try:
        image = decode(data)
    except InputError as error:
        raise InputError(f"'{path}' {error}") from None
    try:
        return as_bgr(upright(data, image))
    except InputError as error:
        raise InputError(f"'{path}': {error}") from None


def kind_of(image: object) -> str:
    """What was handed in, in a word or two: never its values."""
    return f"shape {image.shape}, {image.dtype}" if isinstance(image, np.ndarray) else type(image).__name__
