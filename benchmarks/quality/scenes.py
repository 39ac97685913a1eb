"""Drawn scenes with a real face: the public-domain portrait's head and variants of it in a grey room, and a camera that shows them."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable

import numpy as np

from edge.cv import cv2
from edge.sources.camera import demo_picture
from edge.sources.picture import read_image

SIZE = (640, 480)
_HEAD = (slice(6, 226), slice(112, 332))
EYES, MOUTH = ((203, 102), (245, 104)), (223, 146)  # where the portrait has them


def head(kind: str = "happy") -> np.ndarray:
    """A head as of `cut`: `happy`, the portrait; `surprised`, the same with an open mouth and raised brows."""
    picture = read_image(demo_picture())
    return cut(_surprise(picture) if kind == "surprised" else picture)


def cut(picture: np.ndarray) -> np.ndarray:
    """The head of a picture like the portrait, `[220,220,4]` uint8 BGRA with a soft rim."""
    patch = picture[_HEAD]
    rim = np.zeros(patch.shape[:2], np.uint8)
    cv2.ellipse(rim, (110, 110), (84, 104), 0, 0, 360, 255, -1)
    return np.dstack([patch, cv2.GaussianBlur(rim, (0, 0), 4)])


def blend(one: np.ndarray, other: np.ndarray, share: float) -> np.ndarray:
    """A head between two."""
    return np.asarray(cv2.addWeighted(one, 1 - share, other, share, 0))


def draw(heads: list[tuple[np.ndarray, float, float, float]], size: tuple[int, int] = SIZE) -> np.ndarray:
    """A frame `[H,W,3]` of a size W, H: heads as (head, x and y of its middle, scale), later ones in front; middles lie in the picture."""
    width, height = size
    canvas = np.full((height, width, 3), 96, np.uint8)
    canvas[height * 5 // 8 :] = 70
    for patch, x, y, scale in heads:
        left, top = math.floor(x - 110 * scale), math.floor(y - 110 * scale)
        extent = math.ceil(220 * scale) + 1
        shift = np.array([[scale, 0, x - 110 * scale - left], [0, scale, y - 110 * scale - top]])
        placed = cv2.warpAffine(patch, shift, (extent, extent), flags=cv2.INTER_LINEAR)
        placed = placed[max(0, -top) : height - top, max(0, -left) : width - left]
        part = canvas[max(0, top) : top + extent, max(0, left) : left + extent]
        share = placed[..., 3:].astype(np.uint16)
        part[:] = (placed[..., :3] * share + part * (255 - share)) // 255
    return canvas


class Grain:
    """Sensor noise: a large field of it, seen through a window that jumps from frame to frame."""

    def __init__(self, deviation: float, seed: int = 0, size: tuple[int, int] = SIZE) -> None:
        self._random = np.random.default_rng(seed)
        self._field = self._random.normal(0, deviation, (size[1] + 160, size[0] + 160, 3)).round().astype(np.int16)

    def __call__(self, frame: np.ndarray) -> np.ndarray:
        """The frame `[H,W,3]` with fresh noise."""
        (height, width), (y, x) = frame.shape[:2], self._random.integers(0, 160, 2)
        return np.asarray(cv2.add(frame, self._field[y : y + height, x : x + width], dtype=cv2.CV_8U))


class DrawnCamera:
    """A camera in OpenCV's protocol that shows drawn frames at its own rate, and can be unplugged.

    Give `camera.open` as a source. Like a driver it delivers a frame at each tick; like a driver it drops those nobody grabbed in time.
    """

    def __init__(self, show: Callable[[int], np.ndarray], fps: float = 30.0) -> None:
        """Args: show: frame number → `[H,W,3]` uint8, a new array or one that is never written to; fps: frames per second."""
        self.show, self.period_s = show, 1 / fps
        self.plugged = threading.Event()
        self.plugged.set()
        self.opened = self.released = 0
        self._next_s = 0.0
        self._number = -1

    def open(self) -> DrawnCamera:
        """Open it again."""
        self.opened += 1
        self._next_s = time.monotonic()
        return self

    def isOpened(self) -> bool:  # noqa: N802 (OpenCV's name)
        """Whether it is plugged in."""
        return self.plugged.is_set()

    def grab(self) -> bool:
        """Wait for the next tick; False when unplugged."""
        late = max(0, int((time.monotonic() - self._next_s) / self.period_s))
        self._number += 1 + late
        self._next_s += (1 + late) * self.period_s
        time.sleep(max(0.0, self._next_s - time.monotonic()))
        return self.plugged.is_set()

    def retrieve(self) -> tuple[bool, np.ndarray | None]:
        """The frame of this tick."""
        return True, self.show(self._number)

    def release(self) -> None:
        """Close it."""
        self.released += 1


def _surprise(picture: np.ndarray) -> np.ndarray:
    """Brows raised by a warp, the mouth painted over and drawn open."""
    (x, y), rows = MOUTH, np.mgrid[: picture.shape[0], : picture.shape[1]].astype(np.float32)
    down, right = rows[0].copy(), rows[1]
    for eye_x, eye_y in EYES:
        down += 5.2 * np.exp(-(((right - eye_x) / 17.5) ** 2) - ((rows[0] - (eye_y - 12)) / 8.8) ** 2)
    picture = np.asarray(cv2.remap(picture, right, down, cv2.INTER_LINEAR))
    mask = np.zeros(picture.shape[:2], np.float32)
    cv2.ellipse(mask, (x, y), (22, 10), 0, 0, 360, 1.0, -1)
    mask = cv2.GaussianBlur(mask, (0, 0), 2)[..., None]
    skin = picture[y + 16, x].astype(np.float32)
    painted = (picture * (1 - mask) + skin * mask).astype(np.uint8)
    cv2.ellipse(painted, (x, y + 5), (9, 12), 0, 0, 360, (30, 20, 40), -1, cv2.LINE_AA)
    return painted
