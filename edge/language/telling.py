"""Tells what happened in a stretch of time, and checks what is told: in the language of `edge.language.course`."""

from __future__ import annotations

import math
from collections.abc import Mapping

from edge.language.course import (
    DONE,
    LASTING,
    LIDS,
    MEMBERS,
    MOST,
    STILL,
    TOLERANCES,
    UPPER,
    SaidOfTime,
    about,
    parse,
    sentence_of,
    sentences_of,
)
from edge.language.happenings import Happening, Index, Stretch
from edge.language.statements import Range
from edge.types import CourseStatement


def check(text: str, known: Stretch, *, exact: bool = False) -> CourseStatement | None:
    """Hold a sentence against a stretch of time.

    Args:
        text: one sentence.
        known: what was measured, or is known.
        exact: what is known is a truth that was made: no tolerance, and nothing that only looks like it.

    Returns:
        The statement, with what it was held against; `None` when the sentence is not of this language.
    """
    said = sentence_of(text)
    if said is None:
        return None
    if said.kind == "still":
        return _still(said, known)
    index = Index(known, exact=exact)
    return _held(text, said, index.joined(said.kind, said.members), index, {} if exact else TOLERANCES)


def verify(text: str, known: Stretch) -> tuple[CourseStatement, ...]:
    """What a text says, if it is read to its last letter and all of it holds; else nothing."""
    if parse(text) is None:
        return ()
    found = [check(sentence, known) for sentence in sentences_of(text)]
    return tuple(one for one in found if one) if all(one and one.holds for one in found) else ()


def write(known: Stretch) -> str:
    """The fullest sentences that hold, in the order of what they tell; empty where there is nothing to say."""
    index = Index(known)
    told = _movements(index)
    for kind, *names in (*((kind,) for kind in DONE), *LASTING):
        found = index.joined(kind, names)
        if found and (best := _fullest(kind, tuple(names), found, index)):
            told.append((0.0 if kind in DONE else math.inf, best))
    still = check(STILL, known)
    if still and still.holds:
        told.append((math.inf, still))
    kept = sorted(told, key=lambda pair: -pair[0])[:MOST]
    return " ".join(one.text for _, one in sorted(kept, key=lambda pair: pair[1].times_ms[:1]))


def _movements(index: Index) -> list[tuple[float, CourseStatement]]:
    """What is told of movements, each with how much it matters: how many cues take part, and how far they go."""
    told: list[tuple[float, CourseStatement]] = []
    moved: list[Happening] = []
    together = {members: index.joined("movement", members) for members in MEMBERS}
    for members, found in together.items():
        if any(set(part) < set(members) and len(together[part]) > len(found) for part in together):
            continue  # fewer cues tell of more
        new = [one for one in found if not any(one.goes_with(other) and _half(one) == _half(other) for other in moved)]
        if not new or any(set(members) & set(one.subject.split()) for one in moved):
            continue
        if best := _fullest("movement", members, found, index):
            moved += found
            told.append((len(members) + max(one.amplitude for one in new), best))
    return told


def _half(moved: Happening) -> bool:
    return moved.subject.split()[0][:-1] in UPPER


def _fullest(kind: str, members: tuple[str, ...], found: list[Happening], index: Index) -> CourseStatement | None:
    """The first sentence about it that holds; they stand in the order of how much they tell."""
    tried = (_held(text, said, found, index, TOLERANCES) for text, said in about(kind, members))
    return next((one for one in tried if one.holds), None)


def _held(
    text: str, said: SaidOfTime, found: list[Happening], index: Index, tolerances: Mapping[str, tuple[float, float]]
) -> CourseStatement:
    """A statement about what its members did, `found`."""
    within = _within(said, tolerances)
    right = [one for one in found if one.fits(within)]
    if "count" in within:
        most = max((index.count(said.kind, name) for name in said.members), default=len(found))
        if within["count"].high < math.inf:  # an exact number speaks of all of it
            holds = float(len(found)) in within["count"] and len(right) == len(found) == most
        else:
            found, holds = right, float(len(right)) in within["count"]
    else:
        found, holds = right[:1] or found[:1], bool(right)
    measured = {name: _worst([one.measures[name] for one in found], bound) for name, bound in within.items() if name != "count"}
    measured |= {"count": float(len(found))} if "count" in within else {}
    return CourseStatement(text, said.kind, said.members, measured, dict(within), holds, tuple((one.start_ms, one.end_ms) for one in found))


def _still(said: SaidOfTime, known: Stretch) -> CourseStatement:
    within = _within(said, TOLERANCES)
    measured = {"lasts_s": (known.end_ms - known.start_ms) / 1e3, "spread": known.spread, "seen": known.seen}
    holds = all(measured[name] in bound for name, bound in within.items()) and {one.subject for one in known.around} <= LIDS
    return CourseStatement(STILL, said.kind, said.members, measured, dict(within), holds, ())


def _within(said: SaidOfTime, tolerances: Mapping[str, tuple[float, float]]) -> dict[str, Range]:
    """What is let through of each measure: the bound less its tolerance."""
    found = {}
    for name, (low, high) in said.bounds:
        least, share = tolerances.get(name, (0.0, 0.0))
        low = low + max(least, share * low) if low > 0 else low
        found[name] = Range(low, high - max(least, share * high) if high < math.inf else high)
    return found


def _worst(values: list[float], bound: Range) -> float:
    """Of several, the measure that is nearest to breaking its bound."""
    return (max(values) if bound.high < math.inf else min(values)) if values else math.nan
