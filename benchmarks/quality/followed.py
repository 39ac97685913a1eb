"""What followed from moving one thing in a face: figures over faces before and after, each with its interval. Pure functions."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.command import Figures
from benchmarks.quality.interval import share
from benchmarks.quality.moved import CONTROLS, Item, Outcome
from edge.bundle import UnitSpec
from edge.language.statements import BANDS, CUE_KINDS, Rules
from edge.types import Statement
from training.cues import CUE_NAMES

ABSENT = 0.5
"""A movement is absent where the landmarks say less than so many deviations to its side."""
STILL = 0.5
"""A cue that the landmarks moved by less was not moved."""
TWICE = 2.0
"""Deviations at which sign and text are told."""


@dataclass(frozen=True, slots=True)
class Case:
    """One item beside the face as it was."""

    item: Item
    before: np.ndarray
    """`[C]` cues by the landmarks."""
    was: Outcome
    now: Outcome
    source: str
    emotion: str
    """The face's label; where none is known the one that the bundle shows."""

    @property
    def shift(self) -> np.ndarray:
        """`[C]` by how far the landmarks' cues moved."""
        return self.item.after - self.before

    @property
    def read(self) -> np.ndarray:
        """`[C]` by how far the encoder's did."""
        return np.array([self.now.cues[name] - self.was.cues[name] for name in CUE_NAMES])

    @property
    def cue(self) -> str:
        """The one cue that was moved."""
        return next(iter(self.item.wanted))

    @property
    def row(self) -> int:
        """Of that cue in `[C]`."""
        return CUE_NAMES.index(self.cue)

    @property
    def side(self) -> int:
        """To which it was moved."""
        return 1 if self.item.wanted[self.cue] > 0 else -1


Key = tuple[str, str, int]


def said(outcome: Outcome) -> dict[Key, Statement]:
    """What a shown text says about cues: kind, cue, direction → statement."""
    found = outcome.explanation.statements if outcome.text else ()
    return {(s.kind, s.subject, s.direction): s for s in found if s.kind in CUE_KINDS}


def by_face(cases: list[Case], hits: Iterable[float], counts: Iterable[float] | None = None) -> Figures:
    """`share` over cases; those of one face are drawn together."""
    hits = np.array(list(hits), float)
    counts = np.ones(len(hits)) if counts is None else np.array(list(counts), float)
    rows: dict[tuple[str, int], int] = {}
    place = np.array([rows.setdefault((case.source, case.item.face), len(rows)) for case in cases], int)
    return share(np.bincount(place, hits), np.bincount(place, counts))


def ratio(cases: list[Case], top: np.ndarray, bottom: np.ndarray | None = None) -> Figures:
    """Sum of `top` over sum of `bottom`, or mean of `top`, faces drawn anew: `by`, `low`, `high`, and `n`, the number of cases."""
    bottom = np.ones(len(cases)) if bottom is None else bottom
    found = by_face(cases, top, bottom) if len(cases) and np.sum(bottom) > 0 else share(np.zeros(0))
    return {"by": found["share"], "low": found["low"], "high": found["high"], "n": len(cases)}


def reading(cases: list[Case]) -> Figures:
    """How the encoder's cues follow single cues that were moved.

    Returns:
        `sign` agreement at two deviations and more; `slope`, deviations read for one that the landmarks moved; `specificity`, movement
        read of the moved cue over the mean of the other cues; `moved`, the same by the landmarks: what the move itself does.
    """
    shift, read = (np.array([getattr(case, name) for case in cases]).reshape(len(cases), len(CUE_NAMES)) for name in ("shift", "read"))
    at = (np.arange(len(cases)), np.array([case.row for case in cases], int))
    far = np.array([abs(case.item.wanted[case.cue]) >= TWICE for case in cases], bool)
    chosen = [case for case, is_far in zip(cases, far, strict=True) if is_far]
    others = (np.abs(read).sum(1) - np.abs(read[at])) / (len(CUE_NAMES) - 1)
    apart = (np.abs(shift).sum(1) - np.abs(shift[at])) / (len(CUE_NAMES) - 1)
    return {
        "sign": by_face(chosen, (np.sign(read[at]) == np.sign(shift[at]))[far]),
        "slope": ratio(cases, shift[at] * read[at], shift[at] ** 2),
        "specificity": ratio(cases, np.abs(read[at]), others),
        "moved": ratio(cases, np.abs(shift[at]), apart),
    }


def between(cases: list[Case]) -> Figures:
    """Cue → `slope` of the reading over the landmarks between faces as they are: what `slope` of moved faces is held against."""
    found = {}
    for row, name in enumerate(CUE_NAMES):
        told = [case for case in cases if abs(case.before[row]) < 4]
        z, read = np.array([case.before[row] for case in told]), np.array([case.was.cues[name] for case in told])
        if len(told) > 1:
            z, read = z - z.mean(), read - read.mean()
            found[name] = ratio(told, z * read, z**2)
    return found


#: Cue → action unit that its lever moves by FACS → side of the cue on which it does.
_UNITS = {
    "inner_brow": {"AU1": 1}, "outer_brow": {"AU2": 1}, "brow_gap": {"AU4": -1}, "eye_opening": {"AU5": 1, "AU43": -1, "AU45": -1},
    "nose_wrinkle": {"AU9": 1}, "upper_lip": {"AU10": 1}, "lip_corners": {"AU12": 1, "AU15": -1},
    "mouth_width": {"AU20": 1, "AU18": -1}, "mouth_opening": {"AU25": 1}, "jaw_drop": {"AU26": 1},
}  # fmt: skip


def units(cases: list[Case], specs: Sequence[UnitSpec]) -> Figures:
    """Action unit → share of the faces on which the encoder's own columns of it rise when a lever raises it by two deviations or more.

    Units without a column are read from a cue and left out.
    """
    found = {}
    for spec in specs:
        unit = f"AU{int(spec.name.removeprefix('AU'))}" if spec.name.removeprefix("AU").isdigit() else spec.name  # bundles write AU01
        raised = [case for case in cases if _UNITS.get(case.cue, {}).get(unit, 0) * case.item.wanted[case.cue] >= TWICE]
        if spec.columns and raised:
            found[spec.name] = by_face(raised, [(case.now.units - case.was.units)[spec.columns].sum() > 0 for case in raised])
    return found


def text(moves: list[Case], undone: list[Case], rules: Rules) -> Figures:
    """How shown texts follow single cues that were moved, and single cues that the text named brought back to neutral.

    Returns:
        `present`: after two deviations and more a movement that lies beyond the rule's limit by the landmarks is stated; `may`: the encoder
        reads it beyond that limit too; `present_of_may`; `opposite`: the other side of a movement that the landmarks show is stated;
        `grows`: where it was stated, has moved outwards and is stated still, the intensity is no less; `gone`: an undone movement is no
        longer stated; `kept`: what was stated of cues that have not moved still is.
    """
    far = [case for case in moves if case.now.text and abs(case.item.wanted[case.cue]) >= TWICE]
    raised = [case for case in far if case.item.after[case.row] * case.side >= _limit(case, rules)]
    may = np.array([case.now.cues[case.cue] * case.side >= _limit(case, rules) for case in raised], bool)
    present = np.array([_stated(case) for case in raised], bool)
    bands = [(case, said(case.was).get(key), said(case.now).get(key)) for case in moves for key in [("movement", case.cue, case.side)]]
    outward = [(case, was, now) for case, was, now in bands if was and now and abs(case.item.after[case.row]) > abs(case.before[case.row])]
    order = BANDS["movement"].index
    back = [case for case in undone if case.now.text]
    both = [case for case in moves if case.was.text and case.now.text]
    still = [[key for key in said(case.was) if abs(case.shift[CUE_NAMES.index(key[1])]) < STILL] for case in both]
    return {
        "present": by_face(raised, present),
        "may": by_face(raised, may),
        "present_of_may": by_face(raised, present & may, may),
        "opposite": by_face(far, [_opposite(case) for case in far]),
        "grows": by_face([case for case, *_ in outward], [order(now.band) >= order(was.band) for _, was, now in outward]),
        "gone": by_face(back, [not any(key in said(case.now) for key in _named(case.was) if key[1] == case.cue) for case in back]),
        "kept": by_face(both, [len(said(case.now).keys() & keys) for case, keys in zip(both, still, strict=True)], map(len, still)),
    }


def _limit(case: Case, rules: Rules) -> float:
    """Least deviations that the rules let be stated of the moved cue on the side to which it moved; infinite where nothing may be."""
    return min((r.low for r in rules.movement.get(case.cue, {}).get(case.side, {}).values()), default=np.inf)


def _stated(case: Case) -> bool:
    """As a movement, as lids that are closed or as one side that is higher."""
    kinds = {(kind, case.cue, case.side) for kind in ("movement", "one_sided")}
    return bool((kinds | {("eyes_closed", case.cue, 0), ("eyes_closed", case.cue, -1)}) & said(case.now).keys())


def _opposite(case: Case) -> bool:
    after = case.item.after[case.row]
    return abs(after) >= 1 and ("movement", case.cue, -int(np.sign(after))) in said(case.now)


def _named(outcome: Outcome) -> list[Key]:
    """What a shown text says has moved."""
    return [key for key in said(outcome) if key[0] in ("movement", "one_sided", "eyes_closed")]


def necessity(named: list[Case], unnamed: list[Case]) -> Figures:
    """Undoing what the text names against undoing as much that it does not name, on the same faces.

    Returns:
        `more`: share of faces on which the first lowers the answer's probability more; `by_named`, `by_unnamed`: mean fall; `ratio` of the
        two, where the second is surely above 0.
    """
    pairs = _pairs(named, unnamed)
    first = [case for case, _ in pairs]
    falls = np.array([[_fall(a), _fall(b)] for a, b in pairs]).reshape(-1, 2)
    other = ratio(first, falls[:, 1])
    return {
        "more": by_face(first, falls[:, 0] > falls[:, 1]),
        "by_named": ratio(first, falls[:, 0]),
        "by_unnamed": other,
        "ratio": ratio(first, falls[:, 0], falls[:, 1]) if other["low"] > 0 else ratio([], falls[:0, 0]),
    }


def _pairs(cases: list[Case], others: list[Case]) -> list[tuple[Case, Case]]:
    """Each case and the other of its face and answer, where there is one."""
    known = {(case.source, case.item.face, case.item.answer): case for case in others}
    return [(case, known[key]) for case in cases if (key := (case.source, case.item.face, case.item.answer)) in known]


def _fall(case: Case) -> float:
    return case.was.probabilities[case.item.answer] - case.now.probabilities[case.item.answer]


def sufficiency(built: list[Case], otherwise: list[Case]) -> Figures:
    """Faces at rest moved to the cues that a text names for another face, and by as much in cues that it does not name.

    Returns:
        `raised`: share in which the answer's probability rises; `more`: rises more than with the other cues.
    """
    paired = _pairs(built, otherwise)
    return {
        "raised": by_face(built, [_fall(case) < 0 for case in built]),
        "more": by_face([case for case, _ in paired], [_fall(case) < _fall(other) for case, other in paired]),
    }


def controls(cases: list[Case]) -> Figures:
    """What must change nothing → share of changed `label`s, changed `statements` (of all that both texts make about cues), and
    `verdict`s."""
    found = {}
    for name in CONTROLS:
        chosen = [case for case in cases if case.item.kind == name]
        both = [case for case in chosen if case.was.text and case.now.text]
        keys = [(_seen(case.was, name == "mirror"), said(case.now).keys()) for case in both]
        found[name] = {
            "label": by_face(chosen, [case.was.label != case.now.label for case in chosen]),
            "statements": by_face(both, [len(a ^ b) for a, b in keys], [len(a | b) for a, b in keys]),
            "verdict": by_face(chosen, [case.was.explanation.status != case.now.explanation.status for case in chosen]),
        }
    return found


def _seen(outcome: Outcome, mirrored: bool) -> set[Key]:
    return {(kind, cue, -side if mirrored and cue == "corner_asymmetry" else side) for kind, cue, side in said(outcome)}


def absent(cases: list[Case]) -> Figures:
    """Movements that texts of faces as they are state and the landmarks do not show, over all (cue, side) that are absent.

    Returns:
        `all`; `smile_of_happy`, `smile_of_others`: raised lip corners, on faces that are shown as happiness or not.
    """
    texts = [case for case in cases if case.was.text]
    movements = {(cue, side) for cue in CUE_NAMES for side in (1, -1)}
    smile = {("lip_corners", 1)}

    def rate(chosen: list[Case], wanted: set[tuple[str, int]]) -> Figures:
        spoken = [{(cue, side or -1) for _, cue, side in _named(case.was)} for case in chosen]
        gone = [{(cue, side) for cue, side in wanted if case.before[CUE_NAMES.index(cue)] * side < ABSENT} for case in chosen]
        return by_face(chosen, [len(told & its) for told, its in zip(spoken, gone, strict=True)], map(len, gone))

    return {
        "all": rate(texts, movements),
        "smile_of_happy": rate([case for case in texts if case.was.label == "happiness"], smile),
        "smile_of_others": rate([case for case in texts if case.was.label != "happiness"], smile),
    }


def conflict(cases: list[Case]) -> Figures:
    """A smile under lowered brows, on faces at rest.

    Returns:
        `happiness`, `anger`: the label; `shown`: a text is; of those `smile`, `brows`: stated; `false`: the opposite of one is.
    """
    texts = [case for case in cases if case.now.text]

    def stated(*keys: Key) -> Figures:
        return by_face(texts, [any(key in said(case.now) for key in keys) for case in texts])

    return {
        **{label: by_face(cases, [case.now.label == label for case in cases]) for label in ("happiness", "anger")},
        "shown": by_face(cases, [case.now.text for case in cases]),
        "smile": stated(("movement", "lip_corners", 1), ("movement", "mouth_width", 1)),
        "brows": stated(*(("movement", cue, -1) for cue in ("inner_brow", "outer_brow", "brow_gap"))),
        "false": stated(
            ("movement", "lip_corners", -1), ("rest", "lip_corners", 0), ("movement", "inner_brow", 1), ("movement", "outer_brow", 1)
        ),
    }
