"""One face's probabilities over time: steady on a still face, quick to follow a changing one."""

from __future__ import annotations

import math

import numpy as np

TAU_MS = 120.0
"""Time constant of the shown probabilities: two thirds of a change are in after this long, nine tenths after twice as long."""
LEAD = 0.35
"""Another label is shown at once when these put it ahead of the shown one by this much."""
SLOW_TAU_MS, SLOW_LEAD = 1000.0, 0.1
"""It is also shown when it is ahead by so little, but over a longer time. On a face halfway between two labels, sensor noise reaches
neither (a single lead of 0.15 flickered 18 times a minute there); a clear change is shown within 170 ms."""
HOLD_MS = 500.0
"""A face that cannot be read keeps its last reading this long; then nothing is said about it."""


class LabelSmoother:
    """Exponential smoothing in time, whatever the frame rate, with hysteresis on the label; one per face."""

    def __init__(self) -> None:
        self.shown = -1
        """Index of the shown label; −1 while nothing is said."""
        self.probabilities = np.zeros(0)
        """`[E]` smoothed, sum 1; empty while nothing is said."""
        self._slow = np.zeros(0)
        self._last_ms = -math.inf

    def see(self, probabilities: np.ndarray, t_ms: float) -> None:
        """Take in the probabilities `[E]` of a clear frame."""
        passed_ms = max(t_ms - self._last_ms, 0.0)
        if self.shown < 0 or passed_ms > HOLD_MS:  # what was seen so long ago says nothing about now
            self.probabilities = self._slow = probabilities.astype(np.float64)
            self.shown = int(probabilities.argmax())
        else:
            self.probabilities = _toward(self.probabilities, probabilities, passed_ms / TAU_MS)
            self._slow = _toward(self._slow, probabilities, passed_ms / SLOW_TAU_MS)
            for values, lead in ((self.probabilities, LEAD), (self._slow, SLOW_LEAD)):
                best = int(values.argmax())
                if values[best] - values[self.shown] > lead:
                    self.shown = best
                    self._slow = self.probabilities  # the time before the change speaks no longer
                    break
        self._last_ms = t_ms

    def miss(self, t_ms: float) -> None:
        """The face cannot be read in this frame."""
        if t_ms - self._last_ms > HOLD_MS:
            self.shown, self.probabilities = -1, np.zeros(0)


def _toward(old: np.ndarray, new: np.ndarray, steps: float) -> np.ndarray:
    """Exponential smoothing over `steps` time constants."""
    return np.asarray(old + (1 - math.exp(-steps)) * (new - old))
