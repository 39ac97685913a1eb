"""What may be said of a stretch of time: a second, small language, beside the grammar that speaks of one face.

It is finite: `NOUNS`, `PACES`, `HOLDS` and the other tables below are all of it, and every sentence that they make is one statement with
typed bounds. The parser is the dictionary of these sentences; `edge.language.telling` holds the bounds against what was measured, and says
the fullest sentences that hold. A measure must lie inside a bound by its tolerance, so that what is said is true though times are measured
in frames.
"""

from __future__ import annotations

import functools
import itertools
import math
import re
from collections.abc import Iterator
from typing import NamedTuple

from edge.language.statements import Range

NOUNS: dict[str, tuple[str, str, str]] = {
    "lip_corners+ mouth_width+ cheek_raise+": ("a smile that lifts the cheeks", "spreads", "stays"),
    "lip_corners+ mouth_width+": ("a smile", "spreads", "stays"),
    "inner_brow+ outer_brow+": ("the brows", "rise", "stay up"),
    "inner_brow- outer_brow-": ("the brows", "come down", "stay down"),
    "mouth_opening+ jaw_drop+": ("the mouth", "falls open", ""),
    "nose_wrinkle+ upper_lip+": ("nose and upper lip", "draw up", "stay up"),
    "mouth_width+": ("the mouth", "widens", "stays wide"),
    "mouth_opening+": ("the lips", "part", ""),
    "jaw_drop+": ("the jaw", "drops", ""),
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
missing is never spoken of: lip corners by themselves, say, which a jaw that drops seems to raise. Of a mouth that opens only the time is
spoken of, not its rise and how it remains: an encoder sees the beginning of so large a movement, and hardly its end."""
MEMBERS = tuple(tuple(name.split()) for name in NOUNS)
UPPER = frozenset(("inner_brow", "outer_brow", "eye_opening"))
"""Half of the face: what goes along with something that is told of the same half is not told, too."""
MOVES = 0.5
"""Deviations that a cue goes at least that is said to move."""
_OPEN, _LIDS, _SMILE = ("mouth_opening+", "jaw_drop+"), ("blink", "eyes_closed"), ("lip_corners+", "mouth_width+", "cheek_raise+")
APART_FROM: dict[str, tuple[str, ...]] = {
    "mouth_width+": _OPEN,
    "cheek_raise+": _OPEN,
    "nose_wrinkle+": _OPEN,
    "upper_lip+": _OPEN,
    "mouth_opening+": _SMILE,
    "inner_brow+": _LIDS,
    "inner_brow-": _LIDS,
    "outer_brow+": _LIDS,
    "outer_brow-": _LIDS,
    "blink": (*_SMILE, *_OPEN, "nose_wrinkle+", "inner_brow+", "inner_brow-", "outer_brow+", "outer_brow-"),
    "nod": (*_SMILE, *_OPEN, *_LIDS),
    "shake": (*_SMILE, *_OPEN, *_LIDS),
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
SWINGS = Range(6.0, math.inf)
"""Degrees that a head swings at least that is said to nod or shake."""
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

HELD = 0.6
"""What stays is at this share of its top or more."""
TOLERANCES: dict[str, tuple[float, float]] = {
    "rise_s": (0.1, 0.15), "held_s": (0.12, 0.05), "lasts_s": (0.3, 0.05), "amplitude": (0.7, 0.0), "degrees": (3.0, 0.0),
}  # fmt: skip
"""How far a measure must lie inside a bound of a statement, and as a share of the bound; the larger counts. Of seconds about twice what the
runtime errs by: two to four frames of a camera, and more where a slow course crosses noise. Of deviations and
degrees what an encoder lets one thing move along with others that do: brows with a jaw that drops, a head with lids that close."""
TOGETHER = 0.5
"""Cues move together when they share so much of the time that either takes."""
STILL_S, SPREAD = 2.0, 0.6
"""A face is still when none of its cues deviates more from its mean than this, over at least so long (deviations, root mean square)."""
SEEN = 0.9
"""And it was seen clearly for this share of the time."""
MOST = 4
"""Sentences of one stretch of time."""


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
    said = [sentence_of(part) for part in sentences_of(text)]
    whole = [one for one in said if one is not None]
    about = [(one.kind, member) for one in whole for member in (one.members or ("",))]
    return tuple(whole) if len(whole) == len(said) and len(set(about)) == len(about) else None


def sentences_of(text: str) -> list[str]:
    """The sentences of a text, of this language or not."""
    return re.split(r"(?<=\.) ", text)


def about(kind: str, members: tuple[str, ...]) -> list[tuple[str, SaidOfTime]]:
    """All that can be said of members, or of a kind without any, with what it states; what tells most first."""
    return _about().get((kind, members), [])


@functools.cache
def _sentences() -> dict[str, SaidOfTime]:
    """The whole language."""
    found: dict[str, SaidOfTime] = {}
    for text, said in _all():
        assert text not in found, f"'{text}' would have two meanings"
        found[text] = said
    return found


@functools.cache
def _about() -> dict[tuple[str, tuple[str, ...]], list[tuple[str, SaidOfTime]]]:
    found: dict[tuple[str, tuple[str, ...]], list[tuple[str, SaidOfTime]]] = {}
    for text, said in _sentences().items():
        found.setdefault((said.kind, said.members), []).append((text, said))
    return found


def _all() -> Iterator[tuple[str, SaidOfTime]]:
    """Every sentence; of the same subject, what tells most first."""
    some = Range(1, math.inf)
    counts = [(f", {words}", (("count", Range(n, n)),)) for words, n in TIMES.items()]
    for (who, does, stays), members in zip(NOUNS.values(), MEMBERS, strict=True):
        ways: list[tuple[str, tuple[tuple[str, Range], ...]]] = [(" briefly", (("lasts_s", Range(0, BRIEFLY_S)),))]
        paces = [(f" {words}", (("rise_s", bound),)) for words, bound in PACES.items()]
        if stays:
            holds = [(f" and {stays}{words}", (("held_s", bound),)) for words, bound in HOLDS.items()]
            ways += [(pace + hold, (*a, *b)) for (hold, b), (pace, a) in itertools.product(holds, paces)]
            ways += [*holds, *paces]
        else:
            ways += [(f" for over {words}", (("lasts_s", Range(seconds, math.inf)),)) for words, seconds in SPELLS.items()]
        ways.append(("", ()))
        for (times, number), (way, bounds) in itertools.product([*counts, ("", ())], ways):
            moves = ("amplitude", Range(MOVES, math.inf))
            yield f"{who} {does}{way}{times}.".capitalize(), SaidOfTime("movement", members, (*bounds, moves, *number))
    for kind, does in DONE.items():
        swings = () if kind == "blink" else (("degrees", SWINGS),)
        for words, n in reversed(_MANY):
            yield f"{does} at least {words}.", SaidOfTime(kind, (), (*swings, ("count", Range(n, math.inf))))
        yield f"{does}.", SaidOfTime(kind, (), (*swings, ("count", some)))
    for (kind, member), does in LASTING.items():
        for words, seconds in SPELLS.items():
            yield f"{does} for over {words}.", SaidOfTime(kind, (member,), (("lasts_s", Range(seconds, math.inf)),))
    quiet = (("lasts_s", Range(STILL_S, math.inf)), ("spread", Range(0, SPREAD)), ("seen", Range(SEEN, 1.0)))
    yield STILL, SaidOfTime("still", (), quiet)
