"""One face's probabilities over time: steady on a still face, quick to follow a changing one."""

from __future__ import annotations

import math

import numpy as np

TAU_MS = 120.0
"""Time constant of the smoothing: two thirds of a change are in after this long, nine tenths after twice as long."""
LEAD = 0.15
"""Another label is shown once it is ahead of the shown one by this much probability."""
HOLD_MS = 500.0
"""A face that cannot be read keeps its last reading this long; then nothing is said about it."""


class LabelSmoother:
    """Exponential smoothing in time, whatever the frame rate, with hysteresis on the label; one per face."""

    def __init__(self) -> None:
        self.shown = -1
        """Index of the shown label; −1 while nothing is said."""
        self.probabilities = np.zeros(0)
        """`[E]` smoothed, sum 1; empty before the first clear frame."""
        self._last_ms = -math.inf

    def see(self, probabilities: np.ndarray, t_ms: float) -> None:
        """Take in the probabilities `[E]` of a clear frame."""
        passed_ms = max(t_ms - self._last_ms, 0.0)
        if self.shown < 0 or passed_ms > HOLD_MS:  # what was seen so long ago says nothing about now
            self.probabilities, self.shown = probabilities.astype(np.float64), int(probabilities.argmax())
        else:
            self.probabilities = self.probabilities + (1 - math.exp(-passed_ms / TAU_MS)) * (probabilities - self.probabilities)
            best = int(self.probabilities.argmax())
            if self.probabilities[best] - self.probabilities[self.shown] > LEAD:
                self.shown = best
        self._last_ms = t_ms

    def miss(self, t_ms: float) -> None:
        """The face cannot be read in this frame."""
        if t_ms - self._last_ms > HOLD_MS:
            self.shown, self.probabilities = -1, np.zeros(0)
