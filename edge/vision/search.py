"""At which sizes a picture is searched: small enough to be quick, large enough that the smallest wanted face is seen.

The graph finds faces from `least_px` of what it sees, so the picture is scaled until the smallest wanted face is that wide, never enlarged
and never made smaller than for the coarse look: a graph is surest of faces that are larger than the least. Where that is much larger than
the coarse look, both are taken: the fine one in tiles, for the small faces, the coarse one for those that are too large for a tile.
Pure functions.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from edge.bundle import FaceSpec
from edge.cv import cv2
from edge.errors import UsageError
from edge.profiles import CELL, LEAST, TILE

MOST_PIXELS = 10_000_000
"""Pixels of the finest look, at most: about two seconds on two cores of 2023, and 400 MB."""
USUAL_LEAST_PX = 20.0
"""Narrowest face that a graph of unknown reach is trusted with, pixels."""
_ONE_LOOK = 1.5
_WELL = 3.0  # a face this many times as wide as the least is found at any look


@dataclass(frozen=True, slots=True)
class Look:
    """One size at which a picture is searched."""

    scale: float
    """From the picture to what the graph sees; at most 1."""
    size: tuple[int, int]
    """Width and height of the scaled picture, pixels."""
    overlap: int
    """Of its tiles, and the widest face that it answers for, pixels; 0: one tile, and every face."""

    def tiles(self) -> list[tuple[int, int, int, int]]:
        """Parts x1, y1, x2, y2 of the scaled picture, none wider or higher than `TILE`."""
        across, down = (_cuts(extent, self.overlap) for extent in self.size)
        return [(x1, y1, x2, y2) for y1, y2 in down for x1, x2 in across]


def check_min_face(min_face: float | None) -> None:
    """Raise `UsageError` for what is no width of a face."""
    if min_face is not None and not (isinstance(min_face, int | float | np.number) and 0 < min_face < math.inf):
        raise UsageError(f"min_face {min_face!r}: expected a share of the picture's width above 0 and below 1, or pixels from 1")


def looks(height: int, width: int, spec: FaceSpec, min_face: float | None = None) -> list[Look]:
    """The looks that a picture needs, the coarse one first.

    Args:
        height: of the picture, pixels.
        width: likewise.
        spec: of the bundle's finder.
        min_face: narrowest wanted face, pixels, or below 1 a share of the picture's width; the bundle's own when `None`.

    Raises:
        UsageError: wider than the picture, or so narrow that the work would pass `MOST_PIXELS`.
    """
    coarse = _look(height, width, min(1.0, spec.long_side / max(height, width)), 0)
    least_px = spec.least_px or (USUAL_LEAST_PX if min_face is not None else 0.0)
    if not least_px:
        return [coarse]
    asked = spec.min_face if min_face is None else min_face
    wanted_px = asked if asked >= 1 else asked * width
    if wanted_px > max(height, width):
        raise UsageError(
            f"min_face {wanted_px:g} px: the picture has only {width}×{height}; choose less, or a share of its width such as 0.025"
        )
    scale = max(coarse.scale, min(1.0, least_px / wanted_px))
    if (scale * height) * (scale * width) > MOST_PIXELS:
        least = least_px * math.sqrt(height * width / MOST_PIXELS)
        text = f"min_face {wanted_px:g} px in {width}×{height} takes a search of {scale**2 * height * width / 1e6:.1f} million pixels"
        raise UsageError(f"{text}, at most {MOST_PIXELS / 1e6:.0f} are searched: choose {math.ceil(least)} px or more")
    if max(height, width) * scale <= _ONE_LOOK * spec.long_side:
        return [_look(height, width, scale, 0)]
    return [coarse, _look(height, width, scale, min(TILE // 2, math.ceil(_WELL * least_px * scale / coarse.scale)))]


def only_fine(width_px: float, looks: list[Look], spec: FaceSpec) -> bool:
    """Whether a face of the picture is so narrow that the coarse look may miss it."""
    return len(looks) > 1 and width_px * looks[0].scale < _WELL * (spec.least_px or USUAL_LEAST_PX)


def padded(picture: np.ndarray) -> np.ndarray:
    """A picture `[h,w]` or `[h,w,3]` uint8 with grey to the right and below, so that its sides are whole cells and not too short."""
    below, right = (max(LEAST, -(-extent // CELL) * CELL) - extent for extent in picture.shape[:2])
    return np.asarray(cv2.copyMakeBorder(picture, 0, below, 0, right, cv2.BORDER_CONSTANT, value=(127, 127, 127)))


def _look(height: int, width: int, scale: float, overlap: int) -> Look:
    return Look(scale, (max(1, round(width * scale)), max(1, round(height * scale))), overlap)


def _cuts(extent: int, overlap: int) -> list[tuple[int, int]]:
    """Equal parts of at most `TILE` that overlap by as much or more."""
    count = 1 if extent <= TILE or not overlap else math.ceil((extent - overlap) / (TILE - overlap))
    if count == 1:
        return [(0, extent)]
    starts = [round(i * (extent - TILE) / (count - 1)) for i in range(count)]
    return [(start, start + TILE) for start in starts]
