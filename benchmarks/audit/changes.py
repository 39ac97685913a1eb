"""The same photograph under other light, with other skin, mirrored, the expression as it was: pure functions on `[H,W,3]` BGR uint8."""

from __future__ import annotations

import functools
from collections.abc import Callable

import numpy as np

from edge.cv import cv2

Change = Callable[[np.ndarray], np.ndarray]

STOP = 1.0
"""How far light is taken away or added, in stops: half, and twice of it."""
TONE = 12.0
"""How far the median lightness of the skin is moved, in CIELAB's L* (0 to 100)."""
_CORE, _HEAD = (0.20, 0.26), (0.50, 0.60)
"""Half axes of the ellipse that shows little but skin, and of the one beyond which nothing is changed, in sides of a photograph whose face
lies in the middle with a quarter of margin around it."""
_FOLD = 5
"""Dark lines up to that many pixels across lie in skin, and go with it; brows, eyes and open mouths are larger."""
_LEAST_SPREAD = (12.0, 5.0, 5.0)
"""Of skin in L*, a*, b*: so much it differs within any face."""


def expose(picture: np.ndarray, stops: float) -> np.ndarray:
    """More or less light on everything: a gain in linear light (sRGB, IEC 61966-2-1); what is too bright is cut off."""
    levels = np.arange(256) / 255
    linear = np.where(levels <= 0.04045, levels / 12.92, ((levels + 0.055) / 1.055) ** 2.4) * 2.0**stops
    linear = np.minimum(linear, 1)
    table = np.where(linear <= 0.0031308, linear * 12.92, 1.055 * linear ** (1 / 2.4) - 0.055)
    return np.asarray(cv2.LUT(picture, (table * 255).round().astype(np.uint8)))


def retone(picture: np.ndarray, by: float) -> np.ndarray:
    """Darker or lighter skin of the face in the middle: its L* is scaled, so that its median moves `by`."""
    lab = cv2.cvtColor(picture.astype(np.float32) / 255, cv2.COLOR_BGR2LAB)
    share = skin(lab)
    inside = share > 0.5
    middle = max(float(np.median(lab[..., 0][inside])) if inside.any() else 50.0, 1.0)
    factor = np.clip(middle + by, 1, 100) / middle
    lab[..., 0] = np.clip(lab[..., 0] * (1 + share * (factor - 1)), 0, 100)
    return np.asarray((np.clip(cv2.cvtColor(lab, cv2.COLOR_LAB2BGR), 0, 1) * 255).round().astype(np.uint8))


def skin(lab: np.ndarray) -> np.ndarray:
    """How far each pixel of `[H,W,3]` float32 L*a*b* is skin, `[H,W]` 0…1: like the middle of the face, fading out where the head ends."""
    height, width = lab.shape[:2]
    core = lab[_ellipse(height, width, *_CORE) < 1]
    middle = np.median(core, axis=0)
    spread = np.maximum(1.48 * np.median(np.abs(core - middle), axis=0), np.float32(_LEAST_SPREAD))
    far = (((lab - middle) / spread) ** 2).sum(2)
    like = cv2.morphologyEx(np.clip((12 - far) / 6, 0, 1), cv2.MORPH_CLOSE, np.ones((_FOLD, _FOLD), np.uint8))
    return np.asarray(cv2.GaussianBlur(like * np.clip((1 - _ellipse(height, width, *_HEAD)) / 0.4, 0, 1), (0, 0), 2.0))


@functools.cache
def _ellipse(height: int, width: int, across: float, along: float) -> np.ndarray:
    """`[H,W]` float32: 0 in the middle, 1 on the ellipse."""
    y, x = np.mgrid[:height, :width].astype(np.float32)
    return np.hypot(((x + 0.5) / width - 0.5) / across, ((y + 0.5) / height - 0.5) / along)


CHANGES: dict[str, Change] = {
    "darkened": lambda picture: expose(picture, -STOP),
    "brightened": lambda picture: expose(picture, STOP),
    "darker skin": lambda picture: retone(picture, -TONE),
    "lighter skin": lambda picture: retone(picture, TONE),
    "mirrored": lambda picture: np.ascontiguousarray(picture[:, ::-1]),
}
"""What is done to a photograph."""
