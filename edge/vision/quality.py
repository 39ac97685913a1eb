"""Whether a frame shows a face well enough to be read: large enough, turned little enough, sharp enough.

The limits come from FER+ validation faces (1,500, shipped encoder, `python -m benchmarks gates`). Accuracy falls from 0.88 to 0.78 at 20
pixels and 0.72 at 16; from 0.79 at a Gaussian blur of 1.5 pixels of a crop of 48 to 0.68 at 2, where 0.6 of the faces fall under
`MIN_SHARPNESS` and none of the unblurred ones. Of those faces one or two in a hundred are turned further than the limits of pose.
"""

from __future__ import annotations

import numpy as np

from edge.cv import cv2
from edge.types import Pose

MIN_SIDE_PX = 20.0
"""Least side of the encoder's crop in the picture, pixels."""
MAX_YAW_DEG, MAX_PITCH_DEG = 45.0, 30.0
"""Furthest a head may be turned."""
MIN_SHARPNESS = 0.09
"""Least `sharpness`."""

_BORDER = 2
_MEASURED_PX = 48
"""Sharpness is that of the crop in this size, whatever the encoder reads: above it, a face that is small in its picture has none."""


def sharpness(crop: np.ndarray) -> float:
    """Spread of the Laplacian of an aligned crop `[S,S]` uint8 over its contrast; lightly blurred first, so that noise counts little.

    0 for a blank crop; 0.2 to 0.5 for sharp faces.
    """
    small = cv2.resize(crop, (_MEASURED_PX, _MEASURED_PX), interpolation=cv2.INTER_AREA) if crop.shape[0] > _MEASURED_PX else crop
    smooth = cv2.GaussianBlur(small.astype(np.float32), (0, 0), 0.8)
    contrast = float(smooth.std())
    edges = cv2.Laplacian(smooth, cv2.CV_32F)[_BORDER:-_BORDER, _BORDER:-_BORDER]
    return float(edges.std()) / contrast if contrast > 0 else 0.0


def unclear(crop: np.ndarray, side_px: float, pose: Pose) -> tuple[str, ...]:
    """Why a face cannot be read in this frame, any of `size`, `pose`, `blur`; empty when it can.

    Args:
        crop: `[S,S]` uint8 aligned crop.
        side_px: side of the square in the picture that the crop was sampled from, pixels.
        pose: of the head.
    """
    turned = abs(pose.yaw_deg) > MAX_YAW_DEG or abs(pose.pitch_deg) > MAX_PITCH_DEG
    faults = {"size": side_px < MIN_SIDE_PX, "pose": turned, "blur": sharpness(crop) < MIN_SHARPNESS}
    return tuple(name for name, found in faults.items() if found)
