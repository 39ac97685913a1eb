"""What of a face lies beyond the picture's border: there the crop only repeats the edge, and the encoder guesses from the rest."""

from __future__ import annotations

import numpy as np

NEAR = 0.05
"""A point so near the border, in sides of the crop, counts as beyond it: where a face is cut off, its points are not found more exactly.
Photographs of the training pack, cut through the face: with the lower 30 % of the box gone, the middle of the mouth's points lies between
0.05 within and 0.05 beyond the border (4 of 5 faces); with 15 % gone, which leaves the mouth in sight, 0.08 to 0.16 within."""

_GRID = 12


def beyond(points_xy: np.ndarray, side_px: float, width: int, height: int) -> np.ndarray:
    """Which points `[…,2]`, pixels of the picture, lie beyond its border or nearly so: `[…]` bool.

    Args:
        points_xy: the encoder's points.
        side_px: side of the square in the picture that the crop was sampled from.
        width: of the picture, pixels.
        height: of the picture, pixels.
    """
    near = NEAR * side_px
    return np.asarray(((points_xy < near) | (points_xy > np.array([width, height]) - near)).any(-1))


def share_outside(back: np.ndarray, size: int, width: int, height: int) -> float:
    """Which share of a crop, 0…1, lies beyond the picture.

    Args:
        back: `[2,3]` from crop to picture.
        size: side of the crop, pixels.
        width: of the picture, pixels.
        height: of the picture, pixels.
    """
    steps = (np.arange(_GRID) + 0.5) * size / _GRID
    grid = np.stack(np.meshgrid(steps, steps), -1).reshape(-1, 2) @ back[:, :2].T + back[:, 2]
    return float(((grid < 0) | (grid > np.array([width, height]))).any(-1).mean())
