"""A person's own neutral face: cues are then measured against it instead of against the population's.

Some people's lip corners hang and some people's brows sit low; without a baseline that reads as expression. A baseline stays in memory
unless it is saved on request; it holds one number per cue and nothing that would tell whose face it is.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np

from edge.errors import InputError, OutputError
from edge.files import read_json
from edge.ranges import Range, build
from edge.stop import unstopped
from edge.whole import write_whole

SCHEMA = 1
"""Version of the baseline file."""
MIN_FRAMES = 5
"""Fewer clear frames make no baseline."""


@dataclass(frozen=True, slots=True)
class Baseline:
    """One person's neutral face."""

    cues: dict[str, float]
    """Cue → its middle on the neutral face, standard deviations from the population's neutral faces; a cue that was hidden has none."""
    frames: int
    """Clear frames that it was taken from."""

    def apply(self, cues: dict[str, float]) -> dict[str, float]:
        """Cues measured against the population → against this person."""
        return {name: value - self.cues.get(name, 0.0) for name, value in cues.items()}

    def save(self, path: Path | str) -> None:
        """Write it as JSON, whole or not at all.

        Raises:
            OutputError: it cannot be written there.
        """
        text = json.dumps({"schema": SCHEMA, "frames": self.frames, "cues": {n: round(v, 4) for n, v in self.cues.items()}}, indent=1)
        try:
            with unstopped():
                write_whole(Path(path), (text + "\n").encode())
        except OSError as error:
            raise OutputError(f"cannot write the baseline '{path}': {error.strerror or error}") from None

    @classmethod
    def load(cls, path: Path | str) -> Baseline:
        """Read a saved baseline.

        Raises:
            InputError: no such file, or not a baseline.
        """
        try:
            saved = build(_Saved, read_json(path), "it")
        except ValueError as error:
            raise InputError(f"'{path}' is not a baseline file: {error}") from None
        if not saved.cues:
            raise InputError(f"'{path}' is not a baseline file: it has no cues")
        return cls(saved.cues, saved.frames)


@dataclass(frozen=True, slots=True)
class _Saved:
    """The file."""

    schema: Annotated[int, Range(SCHEMA, SCHEMA)]
    frames: Annotated[int, Range(1, 1e9)]
    cues: dict[str, Annotated[float, Range(-1000, 1000)]]


class Calibration:
    """Collects one face's neutral cues for a while; their medians become its baseline."""

    def __init__(self, seconds: float) -> None:
        self.baseline: Baseline | None = None
        """`None` until enough clear frames over enough time were seen."""
        self._wanted_ms = seconds * 1e3
        self._spent_ms = 0.0
        self._last_ms: float | None = None
        self._seen: list[dict[str, float]] = []

    def see(self, cues: dict[str, float], t_ms: float) -> None:
        """Take in the population cues that a clear frame shows; time during which the face was not seen does not count."""
        if self.baseline is not None:
            return
        self._seen.append(cues)
        if self._last_ms is not None:
            self._spent_ms += min(max(t_ms - self._last_ms, 0.0), 200.0)
        self._last_ms = t_ms
        if self._spent_ms >= self._wanted_ms:
            shown = {name: [one[name] for one in self._seen if name in one] for name in {n: None for one in self._seen for n in one}}
            middle = {name: float(np.median(values)) for name, values in shown.items() if len(values) >= MIN_FRAMES}
            if middle:
                self.baseline, self._seen = Baseline(middle, len(self._seen)), []
