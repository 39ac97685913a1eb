"""What followed from moving one thing in a face: figures over faces before and after, each with its interval. Pure functions."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.command import Figures
from benchmarks.quality.interval import share
from benchmarks.quality.moved import CONTROLS, Item, Outcome
from edge.bundle import UnitSpec
from edge.language.statements import CUE_KINDS, Rules
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


Key = tuple[str, str, int]


def said(outcome: Outcome) -> dict[Key, Statement]:
    """What a shown text says about cues: kind, cue, direction → statement."""
    found = outcome.explanation.statements if outcome.text else ()
    return {(s.kind, s.subject, s.direction): s for s in found if s.kind in CUE_KINDS}


def by_face(cases: list[Case], hits: Iterable[float], counts: Iterable[float] | None = None) -> Figures:
    """`share` over cases; those of one face are drawn together."""
    hits = np.array(list(hits), float)
    counts = np.ones(len(hits)) if counts is None else np.array(list(counts), float)
    faces = [(case.source, case.item.face) for case in cases]
    rows = {face: i for i, face in enumerate(dict.fromkeys(faces))}
    place = np.array([rows[face] for face in faces], int)
    return share(np.bincount(place, hits, len(rows)), np.bincount(place, counts, len(rows))) if len(hits) else share(hits, counts)


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
    rows = np.array([CUE_NAMES.index(case.cue) for case in cases], int)
    shift, read = (np.array([getattr(case, name) for case in cases]).reshape(len(cases), len(CUE_NAMES)) for name in ("shift", "read"))
    at = (np.arange(len(cases)), rows)
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
        `grows`: where it was and is stated and has moved outwards, the intensity is no less; `gone`: an undone movement is no longer
        stated; `kept`: what was stated of cues that have not moved still is; `turned`: its opposite is.
    """
    raised = [case for case in moves if case.now.text and _stands(case, rules)]
    may = [_read_stands(case, rules) for case in raised]
    present = [("movement", case.cue, _side(case)) in said(case.now) or _other_words(case) for case in raised]
    outward = [case for case in moves if (band := _bands(case)) and band[1] is not None and _outward(case)]
    back = [case for case in undone if case.now.text]
    both = [case for case in moves if case.was.text and case.now.text]
    still = [_unmoved(case) for case in both]
    now = [said(case.now) for case in both]
    far = [case for case in moves if case.now.text and abs(case.item.wanted[case.cue]) >= TWICE]
    return {
        "present": by_face(raised, present),
        "may": by_face(raised, may),
        "present_of_may": by_face(raised, np.array(present, bool) & np.array(may, bool), may),
        "opposite": by_face(far, [_opposite(case) for case in far]),
        "grows": by_face(outward, [_ORDER[_bands(case)[1]] >= _ORDER[_bands(case)[0]] for case in outward]),
        "gone": by_face(back, [not any(key in said(case.now) for key in _named(case.was) if key[1] == case.cue) for case in back]),
        "kept": by_face(both, [sum(k in n for k in s) for s, n in zip(still, now, strict=True)], [len(s) for s in still]),
        "turned": by_face(both, [sum(_turn(k) in n for k in s) for s, n in zip(still, now, strict=True)], [len(s) for s in still]),
    }


_ORDER = {"slight": 0, "plain": 1, "strong": 2}


def _side(case: Case) -> int:
    return 1 if case.item.wanted[case.cue] > 0 else -1


def _limit(case: Case, rules: Rules) -> float:
    """Least deviations that the rules let be stated of the moved cue on the side to which it moved; infinite where nothing may be."""
    return min((r.low for r in rules.movement.get(case.cue, {}).get(_side(case), {}).values()), default=np.inf)


def _stands(case: Case, rules: Rules) -> bool:
    row = CUE_NAMES.index(case.cue)
    return abs(case.item.wanted[case.cue]) >= TWICE and case.item.after[row] * _side(case) >= _limit(case, rules)


def _read_stands(case: Case, rules: Rules) -> bool:
    return case.now.cues[case.cue] * _side(case) >= _limit(case, rules)


def _other_words(case: Case) -> bool:
    """Said as lids that are closed or as one side that is higher."""
    kinds = {("one_sided", case.cue, _side(case)), ("eyes_closed", case.cue, 0), ("eyes_closed", case.cue, -1)}
    return bool(kinds & said(case.now).keys())


def _opposite(case: Case) -> bool:
    after = case.item.after[CUE_NAMES.index(case.cue)]
    return abs(after) >= 1 and ("movement", case.cue, -int(np.sign(after))) in said(case.now)


def _bands(case: Case) -> tuple[str, str | None] | None:
    was, now = (said(outcome).get(("movement", case.cue, _side(case))) for outcome in (case.was, case.now))
    return (was.band, now.band if now else None) if was else None


def _outward(case: Case) -> bool:
    row = CUE_NAMES.index(case.cue)
    return abs(case.item.after[row]) > abs(case.before[row])


def _named(outcome: Outcome) -> list[Key]:
    """Movements that texts of faces as they are state and the landmarks do not show, of all (cue, side) that are absent.

    Returns:
        `all`; `emotions`: shown label → the same; `smile`: raised lip corners that are absent, on faces that are shown as happiness, and on
        others.
    """
    return [key for key in said(outcome) if key[0] in ("movement", "one_sided", "eyes_closed")]


def _unmoved(case: Case) -> list[Key]:
    """Statements about cues that have not moved by the landmarks."""
    return [key for key in said(case.was) if abs(case.shift[CUE_NAMES.index(key[1])]) < STILL]


def _turn(key: Key) -> Key:
    return key[0], key[1], -key[2] if key[2] else 99


def necessity(named: list[Case], unnamed: list[Case]) -> Figures:
    """Undoing what the text names against undoing as much that it does not name, on the same faces.

    Returns:
        `more`: share of faces on which the first lowers the answer's probability more; `by_named`, `by_unnamed`: mean fall; `ratio` of the
        two, where the second is surely above 0; `changed`, `changed_unnamed`: the label is another.
    """
    others = {(case.source, case.item.face): case for case in unnamed}
    pairs = [(case, others[key]) for case in named if (key := (case.source, case.item.face)) in others]
    first = [case for case, _ in pairs]
    falls = np.array([[_fall(a), _fall(b)] for a, b in pairs]).reshape(-1, 2)
    other = ratio(first, falls[:, 1])
    return {
        "more": by_face(first, falls[:, 0] > falls[:, 1]),
        "by_named": ratio(first, falls[:, 0]),
        "by_unnamed": other,
        "ratio": ratio(first, falls[:, 0], falls[:, 1]) if other["low"] > 0 else ratio([], falls[:0, 0]),
        "changed": by_face(first, [a.now.label != a.was.label for a, _ in pairs]),
        "changed_unnamed": by_face(first, [b.now.label != b.was.label for _, b in pairs]),
    }


def _fall(case: Case) -> float:
    return case.was.probabilities[case.item.answer] - case.now.probabilities[case.item.answer]


def sufficiency(built: list[Case], otherwise: list[Case]) -> Figures:
    """Faces at rest moved to the cues that a text names for another face, and by as much in cues that it does not name.

    Returns:
        `raised`: share in which the answer's probability rises; `more`: rises more than with the other cues; `by`, `by_otherwise`: mean
        rise; `becomes`: the label becomes the answer.
    """
    others = {(case.source, case.item.face, case.item.answer): case for case in otherwise}
    paired = [(case, other) for case in built if (other := others.get((case.source, case.item.face, case.item.answer)))]
    return {
        "raised": by_face(built, [_fall(case) < 0 for case in built]),
        "more": by_face([case for case, _ in paired], [_fall(case) < _fall(other) for case, other in paired]),
        "by": ratio(built, np.array([-_fall(case) for case in built])),
        "by_otherwise": ratio([other for _, other in paired], np.array([-_fall(other) for _, other in paired])),
        "becomes": by_face(built, [case.now.label == case.item.answer for case in built]),
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
            "turned": by_face(both, [sum(_turn(k) in b for k in a) for a, b in keys], [len(a) for a, _ in keys]),
            "verdict": by_face(chosen, [case.was.explanation.status != case.now.explanation.status for case in chosen]),
        }
    return found


def _seen(outcome: Outcome, mirrored: bool) -> set[Key]:
    return {(kind, cue, -side if mirrored and cue == "corner_asymmetry" else side) for kind, cue, side in said(outcome)}


def absent(cases: list[Case]) -> Figures:
    """Movements that texts state and the landmarks do not show, over all (cue, side) that may be stated and are absent.

    Args:
        cases: faces as they are (`was`, `before`).

    Returns:
        `all`; `emotions`: shown label → the same; `smile`: raised lip corners that are absent, on faces that are shown as happiness, and on
        others.
    """
    texts = [case for case in cases if case.was.text]

    def rate(chosen: list[Case], cues: tuple[str, ...], sides: tuple[int, ...]) -> Figures:
        hits, counts = [], []
        for case in chosen:
            spoken = {(cue, side or -1) for _, cue, side in _named(case.was)}
            gone = [(c, s) for c in cues for s in sides if case.before[CUE_NAMES.index(c)] * s < ABSENT]
            hits.append(sum(pair in spoken for pair in gone))
            counts.append(len(gone))
        return by_face(chosen, hits, counts)

    labels = sorted({case.was.label for case in texts})
    happy = [case.was.label == "happiness" for case in texts]
    return {
        "all": rate(texts, CUE_NAMES, (1, -1)),
        "emotions": {label: rate([c for c in texts if c.was.label == label], CUE_NAMES, (1, -1)) for label in labels},
        "smile": {
            "happiness": rate([c for c, h in zip(texts, happy, strict=True) if h], ("lip_corners",), (1,)),
            "other": rate([c for c, h in zip(texts, happy, strict=True) if not h], ("lip_corners",), (1,)),
        },
    }


def conflict(cases: list[Case]) -> Figures:
    """A smile under lowered brows, on faces at rest.

    Returns:
        `happiness`, `anger`: the label; `shown`: a text is; of those `smile`, `brows`, `both`: stated; `false`: the opposite of one is.
    """
    texts = [case for case in cases if case.now.text]
    keys = [said(case.now).keys() for case in texts]
    smile = [bool({("movement", "lip_corners", 1), ("movement", "mouth_width", 1)} & k) for k in keys]
    brows = [bool({("movement", "inner_brow", -1), ("movement", "outer_brow", -1), ("movement", "brow_gap", -1)} & k) for k in keys]
    wrong = {("movement", "lip_corners", -1), ("movement", "inner_brow", 1), ("movement", "outer_brow", 1), ("rest", "lip_corners", 0)}
    return {
        **{label: by_face(cases, [case.now.label == label for case in cases]) for label in ("happiness", "anger")},
        "shown": by_face(cases, [case.now.text for case in cases]),
        "smile": by_face(texts, smile),
        "brows": by_face(texts, brows),
        "both": by_face(texts, np.array(smile, bool) & np.array(brows, bool)),
        "false": by_face(texts, [bool(wrong & k) for k in keys]),
    }
