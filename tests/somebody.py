"""Heads for drawn scenes: those of the benchmarks, and somebody else's."""

import cv2
import numpy as np

from benchmarks.quality import scenes
from edge.sources.camera import demo_picture
from edge.sources.picture import read_image


def head(kind: str = "happy") -> np.ndarray:
    """As `scenes.head`; `other` is somebody else: mirrored, with a beard and glasses."""
    if kind != "other":
        return scenes.head(kind)
    mirrored = scenes.cut(_disguise(read_image(demo_picture())))
    mirrored[..., :3] = mirrored[:, ::-1, :3].copy()
    return mirrored


def _disguise(picture: np.ndarray) -> np.ndarray:
    (x, y), mask = scenes.MOUTH, np.zeros(picture.shape[:2], np.float32)
    cv2.ellipse(mask, (x, y + 12), (33, 26), 0, 0, 180, 1.0, -1)
    cv2.ellipse(mask, (x, y - 10), (21, 5), 0, 0, 360, 1.0, -1)
    cv2.ellipse(mask, (x, y + 2), (17, 10), 0, 0, 360, 0.0, -1)
    mask = 0.85 * cv2.GaussianBlur(mask, (0, 0), 2)[..., None]
    bearded = (picture * (1 - mask) + np.array([25, 30, 40], np.float32) * mask).astype(np.uint8)
    for eye in scenes.EYES:
        cv2.circle(bearded, eye, 13, (20, 20, 20), 2, cv2.LINE_AA)
    return bearded
