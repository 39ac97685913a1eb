"""What happens in one face over time: movements, blinks, closed eyes, nods, shakes, turning away; told as events.

`cues → trace → movements`; the column of the eyes' opening becomes blinks and closed eyes; the pose goes to `edge.live.head`. An event is
told when it is sure, about a tenth of a second late, and says itself when it happened.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence

import numpy as np

from edge.live.head import AWAY_DEG, Away, Swings
from edge.live.movement import Movement, Watch
from edge.live.trace import GAP_MS, Trace
from edge.types import Blinks, Event, Face

LEAST = 0.6
"""Deviations that a movement goes at least, as the encoder reads them: it shows half of what the landmarks do."""
NOISES = 6.0
"""And it goes at least so many standard deviations of the smoothed cue at rest."""
EYES_LEAST, EYES_NOISES = 0.45, 4.5
"""The same for the opening of the eyes: a blink is short, and some encoders show little of it."""
EYES = "eye_opening"
BLINK_MS = 600.0
"""Eyes that close and open again within this have blinked."""
CLOSED = 1.5
"""Deviations from their rest by which eyes that stay there count as closed."""
LONG_MS = 500.0
"""Eyes that are closed for longer are told, and are no blink."""
BLINK_FPS = 15.0
"""Under so many frames a second a blink may fall between two."""
_SIGMA_MS, _EYES_SIGMA_MS = 33.0, 15.0
_RATE_STEPS = 30


class Dynamics:
    """Follows one face."""

    def __init__(self, cues: Sequence[str]) -> None:
        self._cues = tuple(cues)
        self._eyes = self._cues.index(EYES) if EYES in self._cues else -1
        sigmas = np.full(len(self._cues), _SIGMA_MS)
        if self._eyes >= 0:
            sigmas[self._eyes] = _EYES_SIGMA_MS
        self._least, self._noises = np.full(len(self._cues), LEAST), np.full(len(self._cues), NOISES)
        if self._eyes >= 0:
            self._least[self._eyes], self._noises[self._eyes] = EYES_LEAST, EYES_NOISES
        self._trace = Trace(sigmas)
        self._watches = [Watch(column, self._cues[column]) for column in range(len(self._cues))]
        self._swings, self._away = (Swings("pitch"), Swings("yaw")), Away()
        self._steps_ms: deque[float] = deque(maxlen=_RATE_STEPS)
        self._last_ms: float | None = None
        self._closed = False
        self._blinks, self._blinked_ms, self._watched_ms = 0, 0.0, 0.0

    def see(self, face: Face, t_ms: float, *, clear: bool) -> tuple[Event, ...]:
        """Take in a frame.

        Args:
            face: as the encoder read it: its cues measured against the population, its pose.
            t_ms: time of the frame.
            clear: whether it shows the face well enough to be read.
        """
        step_ms = None if self._last_ms is None else t_ms - self._last_ms
        if step_ms is not None and step_ms <= 0:
            return ()
        self._last_ms = t_ms
        found: list[Event] = []
        if face.detection.upright and clear and abs(face.pose.yaw_deg) < AWAY_DEG[0]:  # beyond, the pose is too rough
            for swings, angle in zip(self._swings, (face.pose.pitch_deg, face.pose.yaw_deg), strict=True):
                found += swings.see(t_ms, angle)
        if face.detection.upright:
            found += self._away.see(t_ms, face.pose.yaw_deg, face.pose.pitch_deg)
        if step_ms is not None and step_ms > GAP_MS:
            self._restart()
        elif step_ms is not None:
            self._steps_ms.append(step_ms)
            if clear and EYES not in face.hidden and not self.no_blinks:
                self._watched_ms += step_ms
        seen = [face.cues[name] if clear and name not in face.hidden else np.nan for name in self._cues]
        new = self._trace.add(t_ms, np.array(seen))
        for row in range(self._trace.done - new, self._trace.done):
            found += self._look(row)
        return tuple(found)

    @property
    def fps(self) -> float:
        """Frames a second, by the middle of the last steps; 0 before there are enough."""
        steps_ms = sorted(self._steps_ms)
        return 1e3 / steps_ms[len(steps_ms) // 2] if len(steps_ms) >= _RATE_STEPS // 2 else 0.0

    @property
    def no_blinks(self) -> str:
        """Why blinks cannot be told; empty when they can."""
        if self._eyes < 0:
            return f"the bundle has no cue {EYES}"
        fps = self.fps
        if not fps:
            return "too few frames so far"
        # a rate that is rounded in its header must not flicker
        return "" if fps > BLINK_FPS - 0.5 else f"{fps:.1f} frames a second: blinks need {BLINK_FPS:g}"

    @property
    def blinks(self) -> Blinks | None:
        """The blinks so far; `None` when they cannot be told."""
        if self.no_blinks:
            return None
        return Blinks(self._blinks, self._watched_ms / 1e3, self._blinked_ms / self._blinks if self._blinks else None)

    def _restart(self) -> None:
        """A pause: what was under way is not known to have ended, and is told no more."""
        self._trace.clear()
        self._watches = [Watch(column, name) for column, name in enumerate(self._cues)]
        self._closed = False
        self._steps_ms.clear()

    def _look(self, row: int) -> Iterator[Event]:
        trace = self._trace
        trace.rest(row, np.array([watch.is_still(trace.times[row]) for watch in self._watches]))
        thresholds = np.maximum(self._least, self._noises * trace.noise)
        for watch in self._watches:
            before = watch.now
            ended = watch.see(trace, row, float(thresholds[watch.column]))
            moving = ended or watch.now
            if moving is None:
                continue
            if watch.column == self._eyes and moving.direction < 0:
                yield from self._closing(watch, moving, ended is not None)
            else:
                yield from _told(watch.name, moving, new=before is None, ended=ended is not None)

    def _closing(self, watch: Watch, moving: Movement, ended: bool) -> Iterator[Event]:
        """Eyes that narrow: a blink, closed for long, or a movement like others, which is told when it can be no blink any more."""
        lasts_ms = (moving.offset_ms if ended else moving.seen_ms) - moving.onset_ms
        if self._closed:
            if ended:
                self._closed = False
                yield _closed("ended", moving, moving.offset_ms)
            return
        if ended and lasts_ms <= BLINK_MS and not moving.onset_told:
            if not self.no_blinks:
                self._blinks += 1
                self._blinked_ms += lasts_ms
                yield Event(
                    "blink", "done", EYES, -1, moving.offset_ms, moving.onset_ms, moving.top, moving.top_ms - moving.onset_ms, lasts_ms
                )
            return
        if moving.top >= CLOSED and lasts_ms > LONG_MS and not ended and not moving.onset_told and self._are_closed(watch, moving):
            self._closed = True
            yield _closed("began", moving, moving.onset_ms)
            return
        if lasts_ms > BLINK_MS or ended:
            yield from _told(watch.name, moving, new=not moving.onset_told, ended=ended)

    def _are_closed(self, watch: Watch, moving: Movement) -> bool:
        """Whether they are as far closed now as they were: a squint after a blink is not."""
        now = self._trace.smooth[self._trace.done - 1, watch.column]
        return bool((moving.rest - now) >= 0.7 * moving.top)


def _told(name: str, moving: Movement, *, new: bool, ended: bool) -> Iterator[Event]:
    """What of a movement has become known."""
    if new or not moving.onset_told:
        moving.onset_told = True
        yield Event("movement", "onset", name, moving.direction, moving.onset_ms, moving.onset_ms, moving.top)
    rise_ms = moving.top_ms - moving.onset_ms
    if (moving.top_ms and not moving.apex_told) or (ended and not moving.apex_told):
        moving.apex_told = True
        yield Event("movement", "apex", name, moving.direction, moving.top_ms, moving.onset_ms, moving.top, rise_ms)
    if ended:
        lasts_ms = moving.offset_ms - moving.onset_ms
        yield Event("movement", "offset", name, moving.direction, moving.offset_ms, moving.onset_ms, moving.top, rise_ms, lasts_ms)


def _closed(phase: str, moving: Movement, t_ms: float) -> Event:
    lasts_ms = moving.offset_ms - moving.onset_ms if phase == "ended" else None
    return Event("eyes_closed", phase, EYES, -1, t_ms, moving.onset_ms, moving.top, None, lasts_ms)
