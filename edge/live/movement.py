"""One measure's movements: when it leaves its rest, how far it goes, when it is back."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from edge.live.trace import SETTLE_MS, Trace, crossing

BACK = 0.25
"""A movement is over when less than this share of it is left."""
_ON_MS = 30.0  # a measure that is away for less is noise
_TOP_MS = 200.0  # without rising any more: that was the top
_HELD_MS = 20_000.0  # what lasts longer slowly becomes the new rest
_HELD_TAU_MS = 30_000.0
_HIGHER = 1.05
_BEGUN = 0.7
"""A quarter of the way so far, less this times the rest of it, is where it began: 1.0 of a parabola, 0.33 of a straight course."""
_HIGH = 0.8
"""The top of a rise is the mean of what is at so much of the farthest it went: the highest sample alone is noise."""
_PARTS = np.arange(0.85, 0.14, -0.05)
"""Parts of the top that a rise passes, by which it is measured."""
_STEPS = np.linspace(0.0, 1.0, 101)
_SHAPE = (0.25 - 0.25 * np.cos(np.pi * _STEPS)) + 0.5 * _STEPS**3 * (10 - 15 * _STEPS + 6 * _STEPS**2)
_PASSED = np.interp(_PARTS, _SHAPE, _STEPS)
"""Share of a rise's time in which it comes to each part: between a raised cosine and the smoothest course there is (minimum jerk, Flash and
Hogan 1985), of which less is seen at its ends."""
_WIDER = 3.5
"""A Gaussian makes a rise longer: the squares of its time and of so many standard deviations add up. 4.0 of courses as above; less of lids,
whose first and last movement an encoder hardly sees."""
_LEAST_PARTS = 5


@dataclass(slots=True)
class Movement:
    """A movement under way, in the order in which its fields become known."""

    direction: int
    """+1 or −1."""
    rest: float
    """Where it began."""
    onset_ms: float
    """When it began, as far as is known."""
    top: float
    """How far it has gone."""
    mark: float
    """The same, but for the last twentieth, in which noise would go on rising."""
    top_at_ms: float
    """When it got there."""
    top_ms: float = 0.0
    """When its rise had ended, once that is known."""
    offset_ms: float = 0.0
    """When it was back."""
    seen_ms: float = 0.0
    """Newest sample."""
    onset_told: bool = False
    apex_told: bool = False

    @property
    def has_apex(self) -> bool:
        """Whether it has hardly risen any more for a while."""
        return self.seen_ms - self.top_at_ms >= _TOP_MS


class Watch:
    """Follows one column of a trace."""

    def __init__(self, column: int, name: str) -> None:
        self.column, self.name = column, name
        self.now: Movement | None = None
        self._away_ms: float | None = None
        """Since when it has been away from its rest."""
        self._ended_ms = -np.inf

    def is_still(self, t_ms: float) -> bool:
        """Whether it has rested for so long that a level can be learnt from it."""
        return self.now is None and self._away_ms is None and t_ms - self._ended_ms > 1.5 * SETTLE_MS

    def see(self, trace: Trace, row: int, threshold: float) -> Movement | None:
        """Take in a smoothed row; return a movement that has ended with it.

        Args:
            trace: holds the column.
            row: of `trace.smooth`.
            threshold: deviation from the rest that counts as away.
        """
        value, t_ms = float(trace.smooth[row, self.column]), float(trace.times[row])
        if np.isnan(value):
            return None
        if self.now is None:
            self._look(trace, row, value - float(trace.level[self.column]), threshold)
            return None
        return self._follow(trace, row, value, t_ms, threshold)

    def _look(self, trace: Trace, row: int, off: float, threshold: float) -> None:
        t_ms = float(trace.times[row])
        if not abs(off) > threshold:
            self._away_ms = None
            return
        if self._away_ms is None:
            self._away_ms = t_ms
        if t_ms - self._away_ms < _ON_MS:
            return
        self._away_ms = None
        way, rest = (1 if off > 0 else -1), float(trace.level[self.column])
        course = self._course(trace, row, way, rest)
        quarter = crossing(trace.times[: row + 1], course, BACK * abs(off), row, -1)
        began = t_ms if quarter is None else quarter - _BEGUN * (t_ms - quarter)
        self.now = Movement(way, rest, began, abs(off), abs(off), t_ms, seen_ms=t_ms)

    def _follow(self, trace: Trace, row: int, value: float, t_ms: float, threshold: float) -> Movement | None:
        moving = self.now
        assert moving is not None
        step_ms, moving.seen_ms = t_ms - moving.seen_ms, t_ms
        if t_ms - moving.onset_ms > _HELD_MS:
            moving.rest += (value - moving.rest) * min(1.0, step_ms / _HELD_TAU_MS)
        away = (value - moving.rest) * moving.direction
        moving.top = max(moving.top, away)
        if away > _HIGHER * moving.mark:
            moving.mark, moving.top_at_ms = away, t_ms
        if moving.has_apex and not moving.top_ms:
            self._measure_rise(trace, row, moving)
        if away >= min(BACK * moving.top, 0.5 * threshold):
            return None
        if not moving.top_ms:
            self._measure_rise(trace, row, moving)
        self._measure_fall(trace, row, moving)
        self.now, self._ended_ms = None, t_ms
        return moving

    def _measure_rise(self, trace: Trace, row: int, moving: Movement) -> None:
        times, course = trace.times[: row + 1], self._course(trace, row, moving.direction, moving.rest)
        moving.top_ms = moving.top_at_ms
        top = int(np.searchsorted(times, moving.top_at_ms))
        if rise := _rise(times, course, top, moving.top, trace.sigmas_ms[self.column]):
            moving.onset_ms, moving.top_ms = rise[0], min(moving.top_at_ms, rise[1])

    def _measure_fall(self, trace: Trace, row: int, moving: Movement) -> None:
        moving.offset_ms = moving.seen_ms
        # from the newest row back in time the course rises to where it began to fall
        times, course = -trace.times[row::-1], self._course(trace, row, moving.direction, moving.rest)[::-1]
        high = int(np.argmax(course >= _HIGH * moving.top))
        if fall := _rise(times, course, high, moving.top, trace.sigmas_ms[self.column]):
            moving.offset_ms = -fall[0]

    def _course(self, trace: Trace, row: int, way: int, rest: float) -> np.ndarray:
        """`[row + 1]` how far away it was; where it could not be seen, not at all."""
        return np.nan_to_num((trace.smooth[: row + 1, self.column] - rest) * way)


def _rise(times: np.ndarray, course: np.ndarray, row: int, highest: float, sigma_ms: float) -> tuple[float, float] | None:
    """When a rise began and ended; `None` where too little of it was seen.

    A line through the times at which it comes to each part of its top, by the median of the slopes of all pairs (Theil 1950, Sen 1968): a
    face that wavers before it goes down, or rises in two steps, does not turn it.

    Args:
        times: `[N]`; mirrored, with the course, a fall is a rise.
        course: `[N]`, smoothed.
        row: where it is up.
        highest: how far it went.
        sigma_ms: of the Gaussian that smoothed it.
    """
    up = course[row:][times[row:] <= times[row] + _TOP_MS]
    up = up[up >= _HIGH * highest]
    if not len(up):
        return None
    levels = _PARTS * up.mean()
    found = np.array([crossing(times, course, level, row, -1) if course[row] >= level else None for level in levels], float)
    known = np.isfinite(found)
    if known.sum() < _LEAST_PARTS:
        return None
    when, passed = found[known], _PASSED[known]
    first, second = np.triu_indices(len(when), 1)
    lasts_ms = float(np.median((when[first] - when[second]) / (passed[first] - passed[second])))
    middle_ms = float(np.median(when - (passed - 0.5) * lasts_ms))
    lasts_ms = math.sqrt(max(lasts_ms**2 - (_WIDER * sigma_ms) ** 2, 0.0))
    return middle_ms - 0.5 * lasts_ms, middle_ms + 0.5 * lasts_ms
