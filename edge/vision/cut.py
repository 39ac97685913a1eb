"""Where a recording goes over to another scene: from one frame to the next the whole picture changes, and not only what moves in it."""

from __future__ import annotations

import numpy as np

_ROWS, _COLUMNS = 24, 32
_ALIKE = 0.45
"""Correlation of two frames under which they show different scenes: 0.98 of 45,000 pairs of other photographs lie below, of photographs
moved by 3 % of their width 0.015, of those with a hand's width of grey over the middle 0.002."""


class Cuts:
    """Remembers the frame before."""

    def __init__(self) -> None:
        self._before: np.ndarray | None = None

    def __call__(self, grey: np.ndarray) -> bool:
        """Whether a frame `[H,W]` shows another scene than the one before."""
        high, wide = (max(1, extent // count) for extent, count in zip(grey.shape, (_ROWS, _COLUMNS), strict=True))
        sampled = grey[high // 2 :: high, wide // 2 :: wide][:_ROWS, :_COLUMNS].astype(np.float32)
        sampled -= sampled.mean()
        now = sampled / max(float(np.linalg.norm(sampled)), 1e-6)
        before, self._before = self._before, now
        return before is not None and (before.shape != now.shape or float((before * now).sum()) < _ALIKE)
