"""What is known of a stretch of time: the things that happened, as they were measured."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from edge.language.course import APART_FROM, TOGETHER
from edge.language.statements import Range


@dataclass(frozen=True, slots=True)
class Happening:
    """One thing that happened, as it was measured."""

    kind: str
    """Of an event: `movement`, `blink`, `eyes_closed`, `nod`, `shake`, `turned_away`."""
    subject: str
    """Cue or axis with its direction: `lip_corners+`."""
    start_ms: float
    end_ms: float
    """When it was over, or when it was last seen."""
    ended: bool
    amplitude: float
    """Deviations, degrees."""
    rise_s: float = math.nan
    held_s: float = math.nan
    """Time at `HELD` of its top or more."""

    @property
    def measures(self) -> dict[str, float]:
        """What bounds are held against."""
        lasts_s = (self.end_ms - self.start_ms) / 1e3
        return {"rise_s": self.rise_s, "held_s": self.held_s, "lasts_s": lasts_s, "amplitude": self.amplitude, "degrees": self.amplitude}

    def fits(self, within: Mapping[str, Range]) -> bool:
        """Whether it is inside all bounds; what has not ended is not known to be short."""
        short = "lasts_s" in within and within["lasts_s"].high < math.inf
        return (self.ended or not short) and all(self.measures[name] in bound for name, bound in within.items() if name != "count")

    def shared(self, start_ms: float, end_ms: float) -> float:
        """Its time within an interval, ms."""
        return min(self.end_ms, end_ms) - max(self.start_ms, start_ms)

    def goes_with(self, other: Happening) -> bool:
        """Whether they move together."""
        longest_ms = max(self.end_ms - self.start_ms, other.end_ms - other.start_ms)
        return self.shared(other.start_ms, other.end_ms) >= TOGETHER * longest_ms


@dataclass(frozen=True, slots=True)
class Stretch:
    """What is known of a stretch of time: all that its statements are held against."""

    start_ms: float
    end_ms: float
    happenings: Sequence[Happening] = ()
    """Those that belong to it, in time."""
    around: Sequence[Happening] = ()
    """All that reaches into it, in time."""
    spread: float = math.inf
    """Deviations: of the cue that moves most, from its mean, root mean square."""
    seen: float = 0.0
    """Share of its time in which the face was seen clearly."""


def allot(stretches: Sequence[Stretch], happenings: Iterable[Happening]) -> list[Stretch]:
    """The stretches with what happened: each thing belongs to the stretch in which most of it lies, and is around all that it reaches."""
    own: list[list[Happening]] = [[] for _ in stretches]
    around: list[list[Happening]] = [[] for _ in stretches]
    for one in sorted(happenings, key=lambda happening: happening.start_ms):
        shared = [one.shared(stretch.start_ms, stretch.end_ms) for stretch in stretches]
        for reaching, ms in zip(around, shared, strict=True):
            reaching.extend([one] if ms > 0 else [])
        if shared and max(shared) > 0:
            own[shared.index(max(shared))].append(one)
    parts = zip(stretches, own, around, strict=True)
    return [replace(stretch, happenings=tuple(mine), around=tuple(reaching)) for stretch, mine, reaching in parts]


class Index:
    """Finds what happened at the same time, quickly: an hour of talk has thousands of movements."""

    def __init__(self, known: Stretch, *, exact: bool = False) -> None:
        self._exact = exact
        self._groups: dict[str, list[Happening]] = {}
        own = {id(one) for one in known.happenings}
        for one in known.around:
            for key in (one.kind, f"{one.kind} {one.subject}"):
                self._groups.setdefault(key, []).append(one)
        self._own = {key: [one for one in group if id(one) in own] for key, group in self._groups.items()}
        self._times = {key: np.array([(one.start_ms, one.end_ms) for one in group]) for key, group in self._groups.items()}

    def count(self, kind: str, subject: str) -> int:
        """How often it happened."""
        return len(self._own.get(f"{kind} {subject}", ()))

    def joined(self, kind: str, members: Sequence[str]) -> list[Happening]:
        """What several cues did together, each as one happening; of a single subject what it did, without one all of a kind."""
        alone = members[0] if len(members) == 1 else kind
        others = [key for name in APART_FROM.get(alone, ()) for key in (name, f"movement {name}") if not self._exact]
        found = []
        for first in self._own.get(f"{kind} {members[0]}" if members else kind, ()):
            near = [next((o for o in self._during(f"{kind} {name}", first) if o.goes_with(first)), None) for name in members[1:]]
            group = [first, *(one for one in near if one)]
            if len(group) == max(1, len(members)) and not any(self._during(key, first) for key in others):
                found.append(_merged(group))
        return found

    def _during(self, key: str, one: Happening) -> list[Happening]:
        if key not in self._groups:
            return []
        starts, ends = self._times[key].T
        return [self._groups[key][i] for i in np.flatnonzero((starts < one.end_ms) & (ends > one.start_ms))]


def _merged(group: list[Happening]) -> Happening:
    """What takes the longest rises together, and stays while all do."""
    if len(group) == 1:
        return group[0]
    return Happening(
        group[0].kind,
        " ".join(one.subject for one in group),
        min(one.start_ms for one in group),
        max(one.end_ms for one in group),
        all(one.ended for one in group),
        max(one.amplitude for one in group),
        _known(max, [one.rise_s for one in group]),
        _known(min, [one.held_s for one in group]),
    )


def _known(choose: Callable[[list[float]], float], values: list[float]) -> float:
    """NaN where one of them is."""
    return math.nan if any(math.isnan(value) for value in values) else choose(values)
