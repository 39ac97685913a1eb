"""What a head does over time: nods, shakes, and turning away."""

from __future__ import annotations

from edge.live.trace import GAP_MS
from edge.types import Event

SWING_DEG = {"pitch": 6.0, "yaw": 8.0}
"""A swing of a nod or shake is at least so wide; the pose that is read of a face that speaks and smiles moves by less."""
SWING_MS = 700.0
"""And no longer: what sways slower is posture."""
AWAY_DEG, BACK_DEG = (35.0, 25.0), (30.0, 20.0)
"""Yaw and pitch beyond which a head is turned away, and within which it is back."""
AWAY_MS = 500.0
"""For so long, to count either way."""
_TURN_DEG = 2.0  # a movement has turned when it is so far back
_STILL_DEG, _NOISE_DEG = 1.0, 0.5
_PAUSE_MS = 450.0  # after which a nod or shake is over
_LEAST = {"pitch": 2, "yaw": 3}  # swings: a nod goes down and up, a shake there, across, and back


class Swings:
    """One axis: its turning points, and the swings between them."""

    def __init__(self, axis: str) -> None:
        self.axis = axis
        self._last_ms: float | None = None
        self._from = self._far = (0.0, 0.0)
        self._swings: list[tuple[float, float, float]] = []

    def see(self, t_ms: float, angle_deg: float) -> list[Event]:
        """Take in an angle; what has ended with it."""
        found = []
        if self._last_ms is None or t_ms - self._last_ms > GAP_MS:
            found = self._end()
            self._from = self._far = (t_ms, angle_deg)
        self._last_ms = t_ms
        if abs(self._far[1] - self._from[1]) < _TURN_DEG and abs(angle_deg - self._from[1]) < _STILL_DEG and not self._swings:
            self._from = self._far = (t_ms, self._from[1])  # it has not left yet
            return found
        way = 1 if self._far[1] >= self._from[1] else -1
        if (angle_deg - self._far[1]) * way > _NOISE_DEG:
            self._far = (t_ms, angle_deg)
        elif abs(angle_deg - self._far[1]) >= _TURN_DEG:
            found += self._turn()
            self._far = (t_ms, angle_deg)
        if self._swings and t_ms - self._swings[-1][1] > _PAUSE_MS and t_ms - self._far[0] > _PAUSE_MS:
            found += self._turn() + self._end()
        return found

    def _turn(self) -> list[Event]:
        """The angle has turned, at its farthest point: a swing is over."""
        start, stop = self._from, self._far
        self._from = stop
        if abs(stop[1] - start[1]) < SWING_DEG[self.axis] or stop[0] - start[0] > SWING_MS:
            return self._end()
        self._swings.append((start[0], stop[0], stop[1] - start[1]))
        return []

    def _end(self) -> list[Event]:
        """No further swing follows: what were those before?"""
        swings, self._swings = self._swings, []
        if len(swings) < _LEAST[self.axis]:
            return []
        begun, ended, wide = swings[0][0], swings[-1][1], max(abs(swing[2]) for swing in swings)
        kind = "nod" if self.axis == "pitch" else "shake"
        way = 1 if swings[0][2] > 0 else -1
        return [Event(kind, "done", self.axis, way, ended, begun, wide, duration_ms=ended - begun)]


class Away:
    """Whether the head is turned away."""

    def __init__(self) -> None:
        self._began: tuple[float, str, int] | None = None
        self._since_ms: float | None = None
        self._widest = 0.0

    def see(self, t_ms: float, yaw_deg: float, pitch_deg: float) -> list[Event]:
        """Take in a pose; what has begun or ended with it."""
        angles = {"yaw": yaw_deg, "pitch": pitch_deg}
        limits = BACK_DEG if self._began else AWAY_DEG
        axis = max(angles, key=lambda name: abs(angles[name]) / limits[name == "pitch"])
        is_away = abs(angles[axis]) > limits[axis == "pitch"]
        if self._began:
            self._widest = max(self._widest, abs(angles[self._began[1]]))
        if is_away == bool(self._began):
            self._since_ms = None
            return []
        if self._since_ms is None:
            self._since_ms = t_ms
        if t_ms - self._since_ms < AWAY_MS:
            return []
        since_ms, self._since_ms = self._since_ms, None
        if self._began:
            begun_ms, axis, way = self._began
            self._began = None
            return [Event("turned_away", "ended", axis, way, since_ms, begun_ms, self._widest, duration_ms=since_ms - begun_ms)]
        way = 1 if angles[axis] > 0 else -1
        self._began, self._widest = (since_ms, axis, way), abs(angles[axis])
        return [Event("turned_away", "began", axis, way, since_ms, since_ms, self._widest)]
