"""A recording's frames as its container says that they are to be shown: turned as it was filmed, with square pixels."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from edge.cv import cv2
from edge.errors import InputError
from edge.sources.picture import as_bgr

MAX_FRAME_PIXELS = 11_000_000
"""Largest frame of a recording or a camera; of the codecs that are made for 8K, `MAX_VIDEO_PIXELS`."""
MAX_VIDEO_PIXELS = 36_000_000
_VIDEO = {"avc1", "h264", "hev1", "hvc1", "hevc", "av01", "vp09", "vp90"}
_WIDEST = 4.0  # pixels further from square than this are a broken header


class Decoder(Protocol):
    """What decodes a recording."""

    length: int
    """Frames that it promises; 0 when it has no end that it knows of."""
    rate: float
    """Frames per second as the header says; 0 where it says nothing."""

    def grab(self) -> bool:
        """Decode the next frame; False when there is none any more."""
        ...

    def retrieve(self) -> np.ndarray | None:
        """The frame `[H,W,3]` BGR uint8 as it is to be shown."""
        ...

    def position_ms(self) -> float:
        """The frame's own time, or the one that follows from its number and `rate`."""
        ...

    def release(self) -> None:
        """Close the file."""
        ...


class CvDecoder:
    """OpenCV."""

    def __init__(self, capture: cv2.VideoCapture) -> None:
        self._capture = capture
        capture.set(cv2.CAP_PROP_ORIENTATION_AUTO, 1)
        count, rate = capture.get(cv2.CAP_PROP_FRAME_COUNT), capture.get(cv2.CAP_PROP_FPS)
        self.length = int(count) if 0 < count < 2**53 else 0
        self.rate = float(rate) if rate > 0 else 0.0

    def grab(self) -> bool:
        return bool(self._capture.grab())

    def retrieve(self) -> np.ndarray | None:
        good, image = self._capture.retrieve()
        if not good or image is None:
            return None
        across, down = self._capture.get(cv2.CAP_PROP_SAR_NUM), self._capture.get(cv2.CAP_PROP_SAR_DEN)
        if round(self._capture.get(cv2.CAP_PROP_ORIENTATION_META)) % 180:
            across, down = down, across
        return squared(as_bgr(image), across / down if across > 0 and down > 0 else 1.0)

    def position_ms(self) -> float:
        return float(self._capture.get(cv2.CAP_PROP_POS_MSEC))

    def release(self) -> None:
        self._capture.release()


def check_capture(capture: cv2.VideoCapture, name: str) -> None:
    """Release a capture and raise `InputError` when its header promises frames that are larger than is read."""
    width, height = (int(capture.get(side)) for side in (cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT))
    codec = int(capture.get(cv2.CAP_PROP_FOURCC)) & 0xFFFFFFFF
    try:
        check_frame(width, height, codec.to_bytes(4, "little").decode("latin-1"), name)
    except InputError:
        capture.release()
        raise


def check_frame(width: int, height: int, codec: str, name: str) -> None:
    """Raise `InputError` when frames of a codec are larger than is read."""
    limit = MAX_VIDEO_PIXELS if codec.lower() in _VIDEO else MAX_FRAME_PIXELS
    if width * height > limit:
        raise InputError(f"'{name}' has frames of {width}×{height} pixels: at most {limit} are read")


def squared(image_bgr: np.ndarray, aspect: float) -> np.ndarray:
    """Stretch a picture whose pixels are `aspect` times as wide as high, so that they are square; nothing is scaled down.

    Raises:
        InputError: it would become larger than is read.
    """
    if not 1 / _WIDEST <= aspect <= _WIDEST or abs(aspect - 1) < 0.01:
        return image_bgr
    height, width = image_bgr.shape[:2]
    size = (round(width * aspect), height) if aspect > 1 else (width, round(height / aspect))
    if size[0] * size[1] > MAX_VIDEO_PIXELS:
        raise InputError(f"a frame has {size[0]}×{size[1]} pixels when they are made square: at most {MAX_VIDEO_PIXELS} are read")
    return np.asarray(cv2.resize(image_bgr, size, interpolation=cv2.INTER_LINEAR))
