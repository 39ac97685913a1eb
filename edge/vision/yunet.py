"""What YuNet's twelve outputs mean (Wu et al., 2023, "YuNet: A Tiny Millisecond-level Face Detector"), for those who bring its graph."""

from __future__ import annotations

import numpy as np

STRIDES = (8, 16, 32)
OUTPUTS = frozenset(f"{part}_{stride}" for part in ("cls", "obj", "bbox", "kps") for stride in STRIDES)
"""Names of its outputs."""


def yunet_rows(outputs: dict[str, np.ndarray], height: int, width: int) -> np.ndarray:
    """One candidate per cell, as the finder's own graph gives them.

    Args:
        outputs: `cls`, `obj` `[1,A,1]`, `bbox` `[1,A,4]` (middle from the cell's corner, log size), `kps` `[1,A,10]`, in strides.
        height: of the picture that it saw, pixels; a multiple of 32.
        width: likewise.

    Returns:
        `[A,15]` score, box (x1,y1,x2,y2), five points (x,y), in pixels.
    """
    rows = []
    for stride in STRIDES:
        y, x = np.mgrid[: height // stride, : width // stride].reshape(2, -1, 1).astype(np.float32)
        corner = np.concatenate([x, y], 1)
        cls, obj, box, points = (outputs[f"{part}_{stride}"][0] for part in ("cls", "obj", "bbox", "kps"))
        score = np.sqrt(np.clip(cls, 0, 1) * np.clip(obj, 0, 1))
        middle, half = corner + box[:, :2], np.exp(np.minimum(box[:, 2:], 8.0)) / 2
        places = np.concatenate([middle - half, middle + half, points + np.tile(corner, 5)], 1) * stride
        rows.append(np.concatenate([score, places], 1))
    return np.concatenate(rows)
