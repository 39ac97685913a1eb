"""Means over equal steps of time, in bounded memory: when there are too many steps, two become one."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

MOST = 600
"""Steps at most; at least half as many once a recording is long."""
STEP_MS = 100.0
"""Of the first ones."""
_FIRST = 32


class Means:
    """Collects named values that come one after the other."""

    def __init__(self, start_ms: float) -> None:
        self.start_ms, self.step_ms = start_ms, STEP_MS
        self.steps = 0
        self._sums: dict[str, np.ndarray] = {}
        """Name → `[2,rows]` float32: sum and count of each step."""

    def see(self, t_ms: float, values: Mapping[str, float]) -> None:
        """Take in values at a time that is not before the last one; NaN where one was not seen."""
        while (step := int((t_ms - self.start_ms) / self.step_ms)) >= MOST:
            self._sums = {name: sums[:, 0::2] + sums[:, 1::2] for name, sums in self._sums.items()}
            self.step_ms *= 2
        self.steps = step + 1
        for name, value in values.items():
            if value == value:
                sums = self._room(name, step)
                sums[:, step] += value, 1

    def means(self) -> dict[str, np.ndarray]:
        """Name → `[steps]`; NaN where nothing was seen."""
        found = {}
        for name in self._sums:
            total, count = self._room(name, self.steps - 1)[:, : self.steps]
            found[name] = np.where(count > 0, total / np.maximum(count, 1), np.nan)
        return found

    def _room(self, name: str, step: int) -> np.ndarray:
        sums = self._sums.get(name, np.zeros((2, _FIRST), np.float32))
        while sums.shape[1] <= step:
            sums = np.pad(sums, ((0, 0), (0, sums.shape[1])))
        self._sums[name] = sums
        return sums
