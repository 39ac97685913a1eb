"""What a recording's readings come to: frames and gaps, people, shares of labels, means of cues. Its memory does not grow with the frames
but for eight bytes each, their times."""

from __future__ import annotations

from array import array
from collections import Counter
from typing import Any

import numpy as np

from edge.types import Face, Reading

GAP = 1.5
"""A step between two frames of more than so many usual ones is a gap."""
_TOLD = 100  # gaps and people that are listed one by one


class Tally:
    """Counts while a recording is read."""

    def __init__(self) -> None:
        self.frames, self.rows, self.with_face = 0, 0, 0
        self.width, self.height = 0, 0
        self._times_ms = array("d")
        self._people: dict[int, _Seen] = {}

    def see(self, reading: Reading) -> None:
        """Take in the next reading."""
        self.frames += 1
        self.rows += max(1, len(reading.faces))
        self.with_face += bool(reading.faces)
        self.width, self.height = reading.width, reading.height
        self._times_ms.append(reading.t_ms)
        for face in reading.faces:
            self._people.setdefault(face.track, _Seen(reading.t_ms)).see(face, reading.t_ms)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types: the part of a record that comes from the readings."""
        steps_ms = np.diff(np.frombuffer(self._times_ms)) if self.frames > 1 else np.zeros(0)
        usual_ms = float(np.median(steps_ms)) if len(steps_ms) else 0.0
        gaps = np.flatnonzero(steps_ms > GAP * usual_ms) if usual_ms > 0 else np.zeros(0, int)
        span_ms = self._times_ms[-1] - self._times_ms[0] + usual_ms if self.frames else 0.0
        people = sorted(self._people.items(), key=lambda one: -one[1].frames)
        return {
            "rows": self.rows,
            "frames_with_face": self.with_face,
            "width": self.width,
            "height": self.height,
            "seconds": round(span_ms / 1e3, 3),
            "fps": round(1e3 / usual_ms, 3) if usual_ms > 0 else None,
            "gaps": len(gaps),
            "longest_gap_s": round(float(steps_ms[gaps].max()) / 1e3, 3) if len(gaps) else 0.0,
            "gaps_after": [[int(i), round(self._times_ms[i], 3), round(self._times_ms[i + 1], 3)] for i in gaps[:_TOLD]],
            "people": len(people),
            "persons": [{"track": track, **seen.to_dict()} for track, seen in people[:_TOLD]],
        }


class _Seen:
    """One person of a recording."""

    def __init__(self, t_ms: float) -> None:
        self.frames = 0
        self._first_ms = self._last_ms = t_ms
        self._unclear, self._verified, self._explained = 0, 0, 0
        self._labels: Counter[str] = Counter()
        self._cues: dict[str, tuple[float, int]] = {}

    def see(self, face: Face, t_ms: float) -> None:
        self.frames += 1
        self._last_ms = t_ms
        self._unclear += bool(face.unclear)
        self._labels[face.emotion] += 1
        if face.explanation:
            self._explained += 1
            self._verified += bool(face.explanation.text)
        if face.unclear:
            return
        for name, value in face.cues.items():
            if name not in face.hidden:
                total, count = self._cues.get(name, (0.0, 0))
                self._cues[name] = total + value, count + 1

    def to_dict(self) -> dict[str, Any]:
        read = self.frames - self._labels[""]
        return {
            "frames": self.frames,
            "first_ms": round(self._first_ms, 3),
            "last_ms": round(self._last_ms, 3),
            "read": round(read / self.frames, 4),
            "unclear": round(self._unclear / self.frames, 4),
            "verified": round(self._verified / self._explained, 4) if self._explained else None,
            "shares": {name: round(count / read, 4) for name, count in sorted(self._labels.items()) if name},
            "mean_cues": {name: round(total / count, 4) for name, (total, count) in sorted(self._cues.items())},
        }
