"""What may be said of a stretch of time: a second, small language, beside the grammar that speaks of one face.

It is finite: `NOUNS`, `PACES`, `HOLDS` and the other tables below are all of it, and every sentence that they make is one statement with
typed bounds. The parser is the dictionary of these sentences, the check holds the bounds of a statement against what was measured, and the
writer says the fullest sentences that hold. A measure must lie inside a bound by its tolerance, so that what is said is true though times
are measured in frames.
"""

from __future__ import annotations

import functools
import itertools
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from edge.language.statements import Range
from edge.types import CourseStatement

NOUNS: dict[str, tuple[str, str, str]] = {
    "lip_corners+ mouth_width+ cheek_raise+": ("a smile that lifts the cheeks", "spreads", "stays"),
    "lip_corners+ mouth_width+": ("a smile", "spreads", "stays"),
    "inner_brow+ outer_brow+": ("the brows", "rise", "stay up"),
    "inner_brow- outer_brow-": ("the brows", "come down", "stay down"),
    "mouth_opening+ jaw_drop+": ("the mouth", "falls open", "stays open"),
    "nose_wrinkle+ upper_lip+": ("nose and upper lip", "draw up", "stay up"),
    "mouth_width+": ("the mouth", "widens", "stays wide"),
    "mouth_width-": ("the mouth", "narrows", "stays narrow"),
    "mouth_opening+": ("the lips", "part", "stay apart"),
    "jaw_drop+": ("the jaw", "drops", "stays down"),
    "inner_brow+": ("the inner brows", "rise", "stay up"),
    "inner_brow-": ("the inner brows", "come down", "stay down"),
    "outer_brow+": ("the outer brows", "rise", "stay up"),
    "outer_brow-": ("the outer brows", "come down", "stay down"),
    "eye_opening+": ("the eyelids", "rise", "stay up"),
    "eye_opening-": ("the eyelids", "come down", "stay down"),
    "cheek_raise+": ("the cheeks", "rise", "stay up"),
    "nose_wrinkle+": ("the nose", "wrinkles", "stays wrinkled"),
    "upper_lip+": ("the upper lip", "rises", "stays up"),
}
"""Cues that move together, each with its direction → who, what it does, how it remains; what is told first comes first. A direction that is
missing is never spoken of: lip corners by themselves, say, which a jaw that drops seems to raise."""
UPPER = frozenset(("inner_brow", "outer_brow", "eye_opening"))
"""Half of the face: what goes along with something that is told of the same half is not told, too."""
MOVES = 0.5
"""Deviations that a cue goes at least that is said to move."""
_OPEN, _LIDS = ("mouth_opening+", "jaw_drop+"), ("blink", "eyes_closed")
APART_FROM: dict[str, tuple[str, ...]] = {
    "mouth_width-": _OPEN,
    "inner_brow+": _LIDS,
    "inner_brow-": _LIDS,
    "outer_brow+": _LIDS,
    "outer_brow-": _LIDS,
    "blink": ("lip_corners+", "mouth_width+", "cheek_raise+", "nose_wrinkle+", *_OPEN),
}
"""A cue by itself, or a kind → subjects and kinds that look like it: nothing is said of it while those happen."""
BRIEFLY_S = 1.0
PACES: dict[str, Range] = {
    "within half a second": Range(0.0, 0.5),
    "within a second": Range(0.0, 1.0),
    "slowly over more than a second": Range(1.0, math.inf),
}
"""How it goes → seconds that the rise takes."""
SPELLS: dict[str, float] = {
    "half a minute": 30.0, "twenty seconds": 20.0, "ten seconds": 10.0, "five seconds": 5.0, "three seconds": 3.0, "two seconds": 2.0,
    "a second": 1.0, "half a second": 0.5,
}  # fmt: skip
"""Words for a time, the longest first → seconds."""
HOLDS: dict[str, Range] = {"" if s == 1 else f" for over {words}": Range(s, math.inf) for words, s in SPELLS.items()}
"""How long it stays → seconds at `HELD` of its top or more; what stays without a word on how long does so for over a second."""
_NUMBERS = ("three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")
TIMES: dict[str, int] = {"twice": 2} | {f"{word} times": 3 + i for i, word in enumerate(_NUMBERS)}
_MANY = (*TIMES.items(), *((f"{n} times", n) for n in (15, 20, 30, 40, 50, 75, 100, 150, 200, 300, 500, 1000)))
DONE: dict[str, str] = {"blink": "The eyes blink", "nod": "The head nods", "shake": "The head shakes"}
"""What is counted from below, as some of it may not be seen."""
LASTING: dict[tuple[str, str], str] = {
    ("eyes_closed", "eye_opening-"): "The eyes stay closed",
    ("turned_away", "yaw+"): "The head is turned away to the person's left",
    ("turned_away", "yaw-"): "The head is turned away to the person's right",
    ("turned_away", "pitch+"): "The head is raised far",
    ("turned_away", "pitch-"): "The head is lowered far",
}
STILL = "Apart from the eyelids the face stays still."
LIDS = frozenset(("eye_opening+", "eye_opening-"))
"""What it leaves out."""

_ANY = Range(-math.inf, math.inf)
HELD = 0.6
"""What stays is at this share of its top or more."""
TOLERANCES: dict[str, tuple[float, float]] = {
    "rise_s": (0.1, 0.15), "held_s": (0.12, 0.05), "lasts_s": (0.15, 0.05), "amplitude": (0.7, 0.0),
}  # fmt: skip
"""How far a measure must lie inside a bound of a statement, and as a share of the bound; the larger counts. Of seconds about twice what the
runtime errs by: two to four frames of a camera, and more where a slow course crosses noise. Of deviations what an encoder lets a cue move
along with others that do: brows with a jaw that drops, or with lids that close."""
SATURATED = frozenset(("mouth_opening+", "jaw_drop+", "mouth_width-"))
"""Of these an encoder sees the beginning of a large movement more than its end, so that it seems to be there sooner and to stay longer:
tolerances are twice as wide."""
TOGETHER = 0.5
"""Cues move together when they share so much of the time that either takes."""
STILL_S, SPREAD = 2.0, 0.6
"""A face is still when none of its cues deviates more from its mean than this, over at least so long (deviations, root mean square)."""
SEEN = 0.9
"""And it was seen clearly for this share of the time."""
MOST = 4
"""Sentences of one stretch of time."""


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
        return {"rise_s": self.rise_s, "held_s": self.held_s, "lasts_s": lasts_s, "amplitude": self.amplitude}

    def fits(self, within: Mapping[str, Range]) -> bool:
        """Whether it is inside all bounds; what has not ended is not known to be short."""
        short = within.get("lasts_s", _ANY).high < math.inf
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
    touching: frozenset[str] = frozenset()
    """Subjects of all that happens in it or reaches into it."""
    spread: float = math.inf
    """Deviations: of the cue that moves most, from its mean, root mean square."""
    seen: float = 0.0
    """Share of its time in which the face was seen clearly."""


class SaidOfTime(NamedTuple):
    """A statement as a sentence makes it."""

    kind: str
    members: tuple[str, ...] = ()
    """Cues or an axis, with direction."""
    bounds: tuple[tuple[str, Range], ...] = ()
    """Measure → its range. With a `count` it speaks of all that the members did, else of one."""


def sentence_of(text: str) -> SaidOfTime | None:
    """What a sentence states; `None` when it is not of this language."""
    return _sentences().get(text)


def parse(text: str) -> tuple[SaidOfTime, ...] | None:
    """Read a text to its last letter; `None` when it is not of this language, or says two things of the same."""
    said = [sentence_of(part) for part in _apart(text)]
    whole = [one for one in said if one is not None]
    about = [member for one in whole for member in (one.members or (one.kind,))]
    return tuple(whole) if len(whole) == len(said) and len(set(about)) == len(about) else None


def check(text: str, known: Stretch, *, tolerances: Mapping[str, tuple[float, float]] = TOLERANCES) -> CourseStatement | None:
    """Hold a sentence against a stretch of time.

    Args:
        text: one sentence.
        known: what was measured, or is known.
        tolerances: how far measures must lie inside a bound; none for a truth that is made.

    Returns:
        The statement, with what it was held against; `None` when the sentence is not of this language.
    """
    said = sentence_of(text)
    if said is None:
        return None
    wide = 2.0 if SATURATED & set(said.members) else 1.0
    within = {name: _inside(bound, *tolerances.get(name, (0.0, 0.0)), wide if name.endswith("_s") else 1.0) for name, bound in said.bounds}
    found = joined(known.happenings, said.kind, said.members)
    if said.kind == "still":
        measured = {"lasts_s": (known.end_ms - known.start_ms) / 1e3, "spread": known.spread, "seen": known.seen}
        holds = all(measured[name] in bound for name, bound in within.items()) and known.touching <= LIDS
    else:
        right = [one for one in found if one.fits(within)]
        if "count" in within:
            most = max((sum(h.subject == name for h in known.happenings) for name in said.members), default=len(found))
            exact = within["count"].high < math.inf  # then all of it is spoken of
            holds = float(len(found)) in within["count"] and (not exact or len(right) == len(found) == most)
        else:
            found, holds = right[:1] or found[:1], bool(right)
        measured = _worst([one.measures for one in found], within) | {"count": float(len(found))}
    shown = {name: measured.get(name, math.nan) for name in within}
    times = tuple((one.start_ms, one.end_ms) for one in found)
    return CourseStatement(text, said.kind, said.members, shown, dict(within), holds, times)


def verify(text: str, known: Stretch) -> tuple[CourseStatement, ...]:
    """What a text says, if it is read to its last letter and all of it holds; else nothing."""
    if parse(text) is None:
        return ()
    found = [check(sentence, known) for sentence in _apart(text)]
    return tuple(one for one in found if one) if all(one and one.holds for one in found) else ()


def write(known: Stretch) -> str:
    """The fullest sentences that hold, in the order of what they tell; empty where there is nothing to say."""
    told: list[tuple[float, CourseStatement]] = []
    moved: list[Happening] = []
    together = {members: joined(known.happenings, "movement", members) for members in _MEMBERS}
    for members, found in together.items():
        if any(set(part) < set(members) and len(together[part]) > len(found) for part in together):
            continue  # fewer cues tell of more
        new = [one for one in found if not any(one.goes_with(other) and _half(one) == _half(other) for other in moved)]
        if new and not any(set(members) & set(one.subject.split()) for one in moved) and (best := _fullest("movement", members, known)):
            moved += found
            told.append((len(members) + max(one.amplitude for one in new), best))
    for kind, *names in (*((kind,) for kind in DONE), *LASTING):
        if best := _fullest(kind, tuple(names), known):
            told.append((0.0 if kind in DONE else math.inf, best))
    if still := _fullest("still", (), known):
        told.append((math.inf, still))
    kept = sorted(told, key=lambda pair: -pair[0])[:MOST]
    return " ".join(one.text for _, one in sorted(kept, key=lambda pair: pair[1].times_ms[:1]))


def allot(stretches: Sequence[Stretch], happenings: Iterable[Happening]) -> list[Stretch]:
    """The stretches with what happened: each thing belongs to the stretch in which most of it lies, and touches all that it reaches."""
    own: list[list[Happening]] = [[] for _ in stretches]
    touching: list[set[str]] = [set() for _ in stretches]
    for one in sorted(happenings, key=lambda happening: happening.start_ms):
        shared = [one.shared(stretch.start_ms, stretch.end_ms) for stretch in stretches]
        for subjects, ms in zip(touching, shared, strict=True):
            subjects.update([one.subject] if ms > 0 else [])
        if shared and max(shared) > 0:
            own[shared.index(max(shared))].append(one)
    parts = zip(stretches, own, touching, strict=True)
    return [replace(stretch, happenings=tuple(mine), touching=frozenset(subjects)) for stretch, mine, subjects in parts]


def joined(happenings: Iterable[Happening], kind: str, members: Sequence[str]) -> list[Happening]:
    """What several cues did together, each as one happening; of a single subject what it did, without one all of a kind."""
    everything = list(happenings)
    of_kind = [one for one in everything if one.kind == kind]
    others = APART_FROM.get(members[0] if len(members) == 1 else kind, ())
    found = []
    for first in (one for one in of_kind if not members or one.subject == members[0]):
        near = [next((one for one in of_kind if one.subject == name and one.goes_with(first)), None) for name in members[1:]]
        group = [first, *(one for one in near if one)]
        alike = any({one.kind, one.subject} & set(others) and one.shared(first.start_ms, first.end_ms) > 0 for one in everything)
        if len(group) == max(1, len(members)) and not alike:
            found.append(_merged(group))
    return found


def _apart(text: str) -> list[str]:
    return re.split(r"(?<=\.) ", text)


def _half(moved: Happening) -> bool:
    return moved.subject.split()[0][:-1] in UPPER


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
        max(one.rise_s for one in group),
        min(one.held_s for one in group),
    )


def _fullest(kind: str, members: tuple[str, ...], known: Stretch) -> CourseStatement | None:
    """The first sentence about it that holds; they stand in the order of how much they tell."""
    return next((found for text in _about().get((kind, members), ()) if (found := check(text, known)) and found.holds), None)


def _inside(bound: Range, least: float, share: float, wide: float) -> Range:
    low = bound.low + wide * max(least, share * bound.low) if bound.low > 0 else bound.low
    return Range(low, bound.high - wide * max(least, share * bound.high) if bound.high < math.inf else bound.high)


def _worst(measures: list[dict[str, float]], within: Mapping[str, Range]) -> dict[str, float]:
    """Of several, the measure that is nearest to breaking its bound."""
    worst = {}
    for name, bound in within.items():
        if name != "count" and measures:
            values = [one[name] for one in measures]
            worst[name] = max(values) if bound.high < math.inf else min(values)
    return worst


@functools.cache
def _sentences() -> dict[str, SaidOfTime]:
    """The whole language."""
    found: dict[str, SaidOfTime] = {}
    for text, said in _all():
        assert text not in found, f"'{text}' would have two meanings"
        found[text] = said
    return found


@functools.cache
def _about() -> dict[tuple[str, tuple[str, ...]], list[str]]:
    """Kind and members → what can be said of them, what tells most first."""
    found: dict[tuple[str, tuple[str, ...]], list[str]] = {}
    for text, said in _sentences().items():
        found.setdefault((said.kind, said.members), []).append(text)
    return found


_MEMBERS = tuple(tuple(name.split()) for name in NOUNS)


def _all() -> Iterator[tuple[str, SaidOfTime]]:
    """Every sentence; of the same subject, what tells most first."""
    some = Range(1, math.inf)
    counts = [(f", {words}", (("count", Range(n, n)),)) for words, n in TIMES.items()]
    for (who, does, stays), members in zip(NOUNS.values(), _MEMBERS, strict=True):
        ways: list[tuple[str, tuple[tuple[str, Range], ...]]] = [(" briefly", (("lasts_s", Range(0, BRIEFLY_S)),))]
        paces = [(f" {words}", (("rise_s", bound),)) for words, bound in PACES.items()]
        holds = [(f" and {stays}{words}", (("held_s", bound),)) for words, bound in HOLDS.items()]
        ways += [(pace + hold, (*a, *b)) for (hold, b), (pace, a) in itertools.product(holds, paces)]
        ways += [*holds, *paces, ("", ())]
        for (times, number), (way, bounds) in itertools.product([*counts, ("", ())], ways):
            moves = ("amplitude", Range(MOVES, math.inf))
            yield f"{who} {does}{way}{times}.".capitalize(), SaidOfTime("movement", members, (*bounds, moves, *number))
    for kind, does in DONE.items():
        for words, n in reversed(_MANY):
            yield f"{does} at least {words}.", SaidOfTime(kind, (), (("count", Range(n, math.inf)),))
        yield f"{does}.", SaidOfTime(kind, (), (("count", some),))
    for (kind, member), does in LASTING.items():
        for words, seconds in SPELLS.items():
            yield f"{does} for over {words}.", SaidOfTime(kind, (member,), (("lasts_s", Range(seconds, math.inf)),))
    quiet = (("lasts_s", Range(STILL_S, math.inf)), ("spread", Range(0, SPREAD)), ("seen", Range(SEEN, 1.0)))
    yield STILL, SaidOfTime("still", (), quiet)
