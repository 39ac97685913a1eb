"""The course of one face's cues and head as it was measured: what events are held against before anything is said of them.

The tracker (`edge.live.dynamics`) tells that something happened, and roughly when. Here the samples of that time are looked at again, by
another way: rest, top, rise and hold are read off the course itself. What the course does not show, did not happen.
"""

from __future__ import annotations

import math
from collections import deque

import numpy as np

from edge.language.course import HELD
from edge.language.happenings import Happening
from edge.live.trace import GAP_MS, crossing
from edge.types import Event, Face

AGREE = 0.6
"""The course must go so far of what the tracker tells; both are smoothed, in different ways."""
_KEPT_MS, _MOST_MS = 5_000.0, 120_000.0  # samples before the newest; the same while something is under way
_BEFORE_MS, _AFTER_MS, _REST_MS = 700.0, 200.0, 200.0  # around an event; what shows the rest before it
_STEP_MS, _SIGMA_MS, _LIDS_SIGMA_MS = 10.0, 33.0, 15.0
_TOP = 0.8  # the top is the mean of what is at so much of the highest sample: the highest alone is noise
_QUARTERS = 3.0  # of a raised cosine the rise takes so many times what lies between a quarter and three quarters of it
_ANGLES = ("yaw", "pitch")
_BEGUN, _DONE = ("onset", "began"), ("offset", "ended", "done")


class Course:
    """What one face does, from frame to frame."""

    def __init__(self, cues: tuple[str, ...]) -> None:
        self._names = (*cues, *_ANGLES)
        self._samples: deque[tuple[float, np.ndarray]] = deque()
        self._open: dict[tuple[str, str], Event] = {}

    def see(self, face: Face, t_ms: float) -> tuple[np.ndarray, list[Happening]]:
        """Take in a frame.

        Returns:
            `[C]` its cues, NaN where they were not seen clearly; what is over with it, as it was measured.
        """
        found = self.pause() if self._samples and t_ms - self._samples[-1][0] > GAP_MS else []
        seen = np.array([math.nan if face.unclear or name in face.hidden else value for name, value in face.cues.items()])
        self._samples.append((t_ms, np.array([*seen, face.pose.yaw_deg, face.pose.pitch_deg])))
        for event in face.events:
            key = event.kind, event.subject
            if event.phase in _BEGUN:
                self._open[key] = event
            elif event.phase in _DONE:
                self._open.pop(key, None)
                found += self._measure(event, event.t_ms, ended=True)
        self._forget(t_ms)
        return seen, found

    def pause(self) -> list[Happening]:
        """Nothing is seen any more: what is under way was seen until now."""
        found = [one for event in self._open.values() for one in self._measure(event, self._samples[-1][0], ended=False)]
        self._open.clear()
        self._samples.clear()
        return found

    def _forget(self, t_ms: float) -> None:
        since_ms = min([t_ms - _KEPT_MS, *(event.onset_ms - 2 * _BEFORE_MS for event in self._open.values())])
        while self._samples[0][0] < max(since_ms, t_ms - _MOST_MS):
            self._samples.popleft()

    def _measure(self, event: Event, end_ms: float, *, ended: bool) -> list[Happening]:
        """The happening that the course shows, or none."""
        subject = f"{event.subject}{'+' if event.direction > 0 else '-'}"
        lids = event.kind in ("blink", "eyes_closed")
        times, values = self._window(event, end_ms, _LIDS_SIGMA_MS if lids else _SIGMA_MS)
        inside, before = (times >= event.onset_ms) & (times <= end_ms), times < event.onset_ms
        if not inside.any():
            return []
        if event.kind in ("nod", "shake"):
            wide = float(np.ptp(values[inside]))
            return [Happening(event.kind, subject, event.onset_ms, end_ms, ended, wide)] if wide >= AGREE * event.amplitude else []
        if event.kind != "turned_away":
            if before.sum() * _STEP_MS < _REST_MS:
                return []
            values = values - np.median(values[before])
        away = values * event.direction
        highest = away[inside].max()
        top = float(away[inside & (away >= _TOP * highest)].mean()) if highest > 0 else 0.0
        if top <= AGREE * event.amplitude:
            return []
        held_s = float((inside & (away >= HELD * top)).sum()) * _STEP_MS / 1e3
        rise_s = _rise_s(times, away, top, int(np.argmax(inside & (away >= 0.75 * top))))
        return [Happening(event.kind, subject, event.onset_ms, end_ms, ended, top, rise_s, held_s)]

    def _window(self, event: Event, end_ms: float, sigma_ms: float) -> tuple[np.ndarray, np.ndarray]:
        """The smoothed course around an event at even times; empty where too little was seen."""
        if event.subject not in self._names:
            return np.zeros(0), np.zeros(0)
        column = self._names.index(event.subject)
        first, last = event.onset_ms - _BEFORE_MS, end_ms + _AFTER_MS
        known = [(t_ms, row[column]) for t_ms, row in self._samples if first <= t_ms <= last and not math.isnan(row[column])]
        if len(known) < 3:
            return np.zeros(0), np.zeros(0)
        times, values = np.array(known).T
        if np.diff(times).max() > GAP_MS or times[-1] < end_ms - GAP_MS:
            return np.zeros(0), np.zeros(0)
        even = np.arange(times[0], times[-1] + _STEP_MS, _STEP_MS)
        reach = round(3 * sigma_ms / _STEP_MS)
        kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) * _STEP_MS / sigma_ms) ** 2)
        padded = np.pad(np.interp(even, times, values), reach, mode="edge")
        return even, np.convolve(padded, kernel / kernel.sum(), mode="valid")


def _rise_s(times: np.ndarray, away: np.ndarray, top: float, row: int) -> float:
    """Seconds of the rise, as if it were a raised cosine; NaN where its beginning was not seen."""
    high, low = (crossing(times, away, share * top, row, -1) for share in (0.75, 0.25))
    return math.nan if high is None or low is None else _QUARTERS * (high - low) / 1e3


class Spread:
    """How far the cues go from their means, without what jumps from frame to frame (half the mean squared difference is noise)."""

    def __init__(self) -> None:
        self._frames = self._clear = 0
        self._last: np.ndarray | None = None
        self._sums: np.ndarray | None = None

    def see(self, values: np.ndarray) -> None:
        """Take in a frame's cues `[C]`, NaN where one was not seen clearly."""
        if self._last is None or self._sums is None:
            self._last, self._sums = np.full(len(values), math.nan), np.zeros((5, len(values)))
        self._frames += 1
        self._clear += bool(np.isfinite(values).all())
        known, both = np.isfinite(values), np.isfinite(values - self._last)
        self._sums[:3, known] += np.stack([np.ones(known.sum()), values[known], values[known] ** 2])
        self._sums[3:, both] += np.stack([np.ones(both.sum()), (values - self._last)[both] ** 2])
        self._last = values

    @property
    def seen(self) -> float:
        """Share of the frames in which all cues were seen clearly, 0…1."""
        return self._clear / self._frames if self._frames else 0.0

    @property
    def value(self) -> float:
        """Root mean square deviation of the cue that goes farthest; infinite before anything is known."""
        if self._sums is None or self._sums[3].min() < 1:
            return math.inf
        count, total, squares, pairs, jumps = self._sums
        variance = squares / count - (total / count) ** 2 - 0.5 * jumps / pairs
        return float(np.sqrt(np.maximum(variance, 0.0)).max())
