"""The times that callers hand in with their frames: smoothing, identities and calibration live on them, so they are looked at."""

from __future__ import annotations

import logging
import math
from collections import deque

import numpy as np

from edge.errors import InputError
from edge.sources.camera import Frame

log = logging.getLogger(__name__)

_ENOUGH = 10  # steps after which units are judged
_FASTEST_MS, _SLOWEST_MS = 1.0, 10_000.0  # steps beyond these are hardly milliseconds of a camera


class Times:
    """Checks that the times of one scene's frames rise, and once tells when they hardly are milliseconds."""

    def __init__(self) -> None:
        self._last_ms = -math.inf
        self._steps_ms: deque[float] = deque(maxlen=_ENOUGH)
        self._told = False

    def check(self, frame: Frame) -> None:
        """Take in the next frame.

        Raises:
            InputError: its time is no number, or lies before the last frame's.
        """
        if not isinstance(frame.t_ms, int | float | np.number) or not math.isfinite(frame.t_ms):
            raise InputError(f"frame {frame.index} of '{frame.source}' has no time: t_ms is {frame.t_ms}, expected milliseconds")
        if frame.t_ms < self._last_ms:
            raise InputError(
                f"frame {frame.index} of '{frame.source}' runs backwards: t_ms {frame.t_ms:g} came after {self._last_ms:g}; "
                f"a scene's times rise, another recording needs a scene of its own"
            )
        if math.isfinite(self._last_ms):
            self._steps_ms.append(frame.t_ms - self._last_ms)
        self._last_ms = frame.t_ms
        if len(self._steps_ms) == _ENOUGH and not self._told:
            self._judge(frame.source)

    def _judge(self, source: str) -> None:
        usual_ms = sorted(self._steps_ms)[_ENOUGH // 2]
        if _FASTEST_MS <= usual_ms <= _SLOWEST_MS:
            return
        self._told = True
        if not max(self._steps_ms):
            log.warning(
                "'%s': %d frames have the same t_ms: labels freeze, nothing is calibrated; give each its own time", source, _ENOUGH + 1
            )
        else:
            unit = "seconds" if usual_ms < _FASTEST_MS else "microseconds"
            log.warning("'%s': its frames are %g ms apart: are its times %s? t_ms is in milliseconds", source, usual_ms, unit)
