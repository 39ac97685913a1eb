"""Several measures of one face over time: smoothed, with the noise of each and the level that it rests at.

Everything goes by time, not by frames: rates may vary and frames be missing.
"""

from __future__ import annotations

import numpy as np

LAG_MS = 70.0
"""A sample is smoothed when what follows it for so long is known."""
GAP_MS = 400.0
"""After a longer pause what was seen before it says nothing."""
SETTLE_MS = 500.0
"""Nothing is told before a level has been seen for so long; levels are learnt from samples at least so old, which no onset has touched."""
_REST_MS, _NOISE_MS, _WANDER_MS = 4000.0, 3000.0, 8000.0  # time constants
_ROWS = 1024  # four seconds at 240 frames a second, and as much again before older ones are let go


class Trace:
    """Measures `[C]` that come one after the other; NaN where one could not be seen."""

    def __init__(self, sigmas_ms: np.ndarray) -> None:
        """Begin empty.

        Args:
            sigmas_ms: `[C]` standard deviations of the Gaussians that smooth each measure.
        """
        self.sigmas_ms = sigmas_ms
        self.times = np.zeros(_ROWS)
        """`[rows]` ms; the first `count` are filled."""
        self.smooth = np.full((_ROWS, len(sigmas_ms)), np.nan)
        """`[rows,C]` smoothed measures; the first `done` are filled."""
        self._raw = np.full((_ROWS, len(sigmas_ms)), np.nan)
        self.count, self.done = 0, 0
        self.level = np.full(len(sigmas_ms), np.nan)
        """`[C]` where each measure rests; NaN until it is known."""
        self._jump, self._jump_ms = np.zeros(len(sigmas_ms)), np.zeros(len(sigmas_ms))
        self._wander, self._wander_ms = np.zeros(len(sigmas_ms)), np.zeros(len(sigmas_ms))
        self._known_ms = np.zeros(len(sigmas_ms))
        self._shrink = np.ones(len(sigmas_ms))

    @property
    def noise(self) -> np.ndarray:
        """`[C]` standard deviation of the smoothed measures at rest: noise from frame to frame, and slow wandering."""
        return np.hypot(self._jump / 1.128 * self._shrink, 1.253 * self._wander)  # mean |difference| and mean |deviation| of a Gaussian

    def add(self, t_ms: float, values: np.ndarray) -> int:
        """Take in a sample; return how many more are smoothed now: they are `smooth[done - n : done]`."""
        if self.count == _ROWS:
            self._forget(_ROWS // 2)
        self.times[self.count], self._raw[self.count] = t_ms, values
        self._listen()
        self.count += 1
        before = self.done
        while self.done < self.count and self.times[self.done] <= t_ms - LAG_MS:
            self._smooth(self.done)
            self.done += 1
        return self.done - before

    def clear(self) -> None:
        """Forget the samples, and where the measures rest; their noise stays known."""
        self.count = self.done = 0
        self.level[:], self._known_ms[:] = np.nan, 0.0

    def rest(self, row: int, still: np.ndarray) -> None:
        """Learn the level from what lies `SETTLE_MS` before a smoothed row.

        Args:
            row: of `smooth`.
            still: `[C]` measures that have not moved since.
        """
        old = int(np.searchsorted(self.times[:row], self.times[row] - SETTLE_MS, side="right")) - 1
        if old < 1:
            return
        value, step_ms = self.smooth[old], self.times[row] - self.times[row - 1]
        seen = still & np.isfinite(value)
        fresh = seen & np.isnan(self.level)
        if fresh.any():
            with np.errstate(all="ignore"):
                self.level[fresh] = np.nanmedian(self.smooth[: row + 1, fresh], 0)
        self._known_ms[seen] += step_ms
        off = value - self.level
        self.level[seen] += (off * np.minimum(1.0, step_ms / np.clip(self._known_ms, SETTLE_MS, _REST_MS)))[seen]
        limit = np.where(self._wander_ms > SETTLE_MS, 3 * self._wander, np.inf)
        self._wander_ms[seen] += step_ms
        share = np.minimum(1.0, step_ms / np.clip(self._wander_ms, 1.0, _WANDER_MS))
        self._wander[seen] += ((np.minimum(np.abs(off), limit) - self._wander) * share)[seen]

    def _listen(self) -> None:
        """Learn the noise from the step to the newest sample."""
        i = self.count
        if i == 0:
            return
        step_ms = self.times[i] - self.times[i - 1]
        jump = np.abs(self._raw[i] - self._raw[i - 1])
        seen = np.isfinite(jump)
        limit = np.where(self._jump_ms > SETTLE_MS, 3 * self._jump, np.inf)
        self._jump_ms[seen] += step_ms
        share = np.minimum(1.0, step_ms / np.clip(self._jump_ms, 1.0, _NOISE_MS))
        self._jump[seen] += ((np.minimum(jump, limit) - self._jump) * share)[seen]

    def _smooth(self, row: int) -> None:
        t_ms = self.times[row]
        first = int(np.searchsorted(self.times[:row], t_ms - LAG_MS, side="left"))
        last = int(np.searchsorted(self.times[: self.count], t_ms + LAG_MS, side="right"))
        raw = self._raw[first:last]
        weight = np.exp(-0.5 * ((self.times[first:last, None] - t_ms) / self.sigmas_ms) ** 2) * np.isfinite(raw)
        total = np.maximum(weight.sum(0), 1e-9)
        self.smooth[row] = np.where(np.isfinite(self._raw[row]), (weight * np.nan_to_num(raw)).sum(0) / total, np.nan)
        self._shrink = np.sqrt((weight**2).sum(0)) / total

    def _forget(self, rows: int) -> None:
        for array in (self.times, self._raw, self.smooth):
            array[:-rows] = array[rows:].copy()
        self.count -= rows
        self.done -= rows


def crossing(times: np.ndarray, values: np.ndarray, level: float, row: int, way: int) -> float | None:
    """When values crossed a level, between two rows.

    Args:
        times: `[N]`.
        values: `[N]`, at or above the level at `row`.
        level: what is crossed.
        row: where to begin.
        way: −1 looks back, 1 ahead.

    Returns:
        The time, interpolated; `None` when they do not fall below it.
    """
    while 0 <= (there := row + way) < len(values):
        if values[there] < level:
            part = (values[row] - level) / (values[row] - values[there])
            return float(times[row] + part * (times[there] - times[row]))
        row = there
    return None
