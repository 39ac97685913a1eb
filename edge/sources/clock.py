"""When the frames of a recording were taken: by its own times, and by counting where those are missing or mad."""

from __future__ import annotations

import logging
from pathlib import Path

from edge.sources.recording import Recording

log = logging.getLogger(__name__)

USUAL = (5.0, 240.0)
"""Frames per second that nobody doubts."""
_MOST = 1000.0  # no camera of ours is faster: a header that says so is broken
_STEP_MS = 40.0  # where nothing else is known


class Clock:
    """Times of a recording's frames."""

    def __init__(self, recording: Recording) -> None:
        self._recording = recording
        self._last_ms, self._index = -1.0, -1
        rate, second = recording.rate, 0.0
        if recording.path and not USUAL[0] <= rate <= USUAL[1]:
            second = avi_rate(Path(recording.path))
        contradicted = USUAL[0] <= second <= USUAL[1] and not 0.5 < second / max(rate, 1e-9) < 2
        self._mad = rate > _MOST or (rate > 0 and contradicted)
        self._step_ms = 1000 / second if contradicted else 1000 / rate if 1 <= rate <= _MOST else _STEP_MS

    def __call__(self) -> float:
        """Milliseconds of the frame just grabbed, to the microsecond; they always rise."""
        own = self._recording.position_ms
        self._index += 1
        if self._mad and self._counted(own):
            own = self._index * self._step_ms
        if own <= self._last_ms:
            own = self._last_ms + self._step_ms if self._last_ms >= 0 else 0.0
        self._last_ms = round(float(own), 3)
        return self._last_ms

    def _counted(self, own_ms: float) -> bool:
        """Whether a time is the frame's number over the mad rate, and not one that the container holds."""
        if self._index == 0:
            return False
        by_rate = self._index * 1000 / self._recording.rate
        if abs(own_ms - by_rate) > 1e-3 + 0.01 * by_rate:
            return False
        if self._index == 1:
            log.warning(
                "'%s': its header says %g frames a second; its times are counted at %g", self._recording.name, self._recording.rate,
                1000 / self._step_ms,
            )  # fmt: skip
        return True


def avi_rate(path: Path) -> float:
    """Frames per second as an AVI's main header says; FFmpeg takes the stream header's. 0 where there is none."""
    try:
        with path.open("rb") as file:
            head = file.read(36)
    except OSError:
        return 0.0
    step_us = int.from_bytes(head[32:36], "little")
    found = head[:4] == b"RIFF" and head[8:12] == b"AVI " and head[24:28] == b"avih" and step_us
    return 1e6 / step_us if found else 0.0
