"""The writer: measured cues → a plain rationale, with what each sentence claims.

It never sees the label while it writes evidence: the most salient cues come first, each with an intensity word; pose and absence are said
where they matter; only the closing sentence, which names the emotion, is given one. Style (order, joining, phrasing, brevity) is drawn at
random, so that a policy learns a language and not a form letter.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

from training.cues import CUE_NAMES

#: (cue, direction) → clauses; `{}` takes an intensity adverb with its leading space, or nothing.
CLAUSES: dict[tuple[str, int], tuple[str, ...]] = {
    ("inner_brow", 1): (
        "the inner brows are{} raised", "the inner ends of the brows are{} lifted", "the brows are{} drawn up in the middle",
        "the inner corners of the eyebrows sit{} high"),
    ("inner_brow", -1): (
        "the inner brows are{} lowered", "the inner ends of the brows are{} pulled down", "the brows are{} pressed down in the middle",
        "the inner corners of the eyebrows sit{} low"),
    ("outer_brow", 1): (
        "the outer brows are{} raised", "the eyebrows arch{} upward", "the outer parts of the brows are{} lifted", "the brows sit{} high on the forehead"),
    ("outer_brow", -1): (
        "the outer brows are{} lowered", "the outer parts of the brows are{} pulled down", "the eyebrows hang{} low over the eyes",
        "the brow line is{} lowered at the sides"),
    ("brow_gap", 1): (
        "the brows are{} spread apart", "the space between the brows is{} wide", "the eyebrows stand{} apart", "the area between the brows is{} smooth and wide"),
    ("brow_gap", -1): (
        "the brows are{} drawn together", "the brows are{} knitted", "the space between the brows is{} narrow", "the eyebrows are{} pulled toward each other"),
    ("eye_opening", 1): (
        "the eyes are{} widened", "the eyes are{} wide open", "the upper eyelids are{} raised", "the eyelids are pulled{} apart"),
    ("eye_opening", -1): (
        "the eyes are{} narrowed", "the eyelids are{} lowered", "the eyes are{} squeezed toward closing", "the eye openings are{} small"),
    ("cheek_raise", 1): (
        "the cheeks are{} raised", "the cheeks are{} pushed up toward the eyes", "the cheeks sit{} high", "the cheeks are{} lifted"),
    ("cheek_raise", -1): (
        "the cheeks hang{} low", "the cheeks are{} lowered", "the cheeks are{} drawn down", "the cheeks sit{} far below the eyes"),
    ("nose_wrinkle", 1): (
        "the nose is{} wrinkled", "the sides of the nose are{} drawn up", "the nostril wings are{} lifted", "the nose is{} scrunched"),
    ("nose_wrinkle", -1): (
        "the nose is{} lengthened", "the nostril wings are{} drawn down", "the sides of the nose are{} pulled down", "the nose is{} stretched"),
    ("upper_lip", 1): (
        "the upper lip is{} raised", "the upper lip is{} pulled up toward the nose", "the upper lip is{} lifted", "the upper lip curls{} upward"),
    ("upper_lip", -1): (
        "the upper lip is{} drawn down", "the upper lip is{} lowered", "the upper lip sits{} far from the nose", "the upper lip is{} lengthened"),
    ("lip_corners", 1): (
        "the lip corners are{} pulled up", "the corners of the mouth turn{} upward", "the mouth curves{} upward", "the lip corners are{} raised"),
    ("lip_corners", -1): (
        "the lip corners are{} pulled down", "the corners of the mouth turn{} downward", "the mouth curves{} downward", "the lip corners{} droop"),
    ("corner_asymmetry", 1): (
        "the left lip corner is{} higher than the right", "the mouth is{} lifted on the left side only", "the left corner of the mouth is{} raised above the other",
        "the mouth is{} skewed upward on the left"),
    ("corner_asymmetry", -1): (
        "the right lip corner is{} higher than the left", "the mouth is{} lifted on the right side only", "the right corner of the mouth is{} raised above the other",
        "the mouth is{} skewed upward on the right"),
    ("chin_raise", 1): (
        "the chin is{} pushed up", "the chin is{} raised toward the lower lip", "the lower lip sits{} close to the chin", "the chin is{} drawn upward"),
    ("chin_raise", -1): (
        "the chin is{} stretched away from the lower lip", "the lower lip sits{} far from the chin", "the chin is{} long below the lip",
        "the chin is{} drawn downward"),
    ("mouth_width", 1): (
        "the mouth is{} stretched wide", "the lips are{} stretched sideways", "the mouth is{} widened", "the lip corners are{} pulled apart"),
    ("mouth_width", -1): (
        "the mouth is{} narrow", "the lips are{} drawn together from the sides", "the mouth is{} small from side to side", "the lips are{} puckered inward"),
    ("lip_fullness", 1): (
        "the lips are{} pushed out", "the lips are{} full and rounded", "both lips are{} thick", "the lips are{} funnelled outward"),
    ("lip_fullness", -1): (
        "the lips are{} pressed thin", "the lips are{} tightened", "the lips are{} pressed together", "both lips are{} thin"),
    ("mouth_opening", 1): (
        "the mouth is{} open", "the lips are{} parted", "the lips are{} apart", "the mouth hangs{} open"),
    ("mouth_opening", -1): (
        "the mouth is{} closed", "the lips are{} shut", "the lips are kept{} closed", "the mouth stays{} shut"),
    ("jaw_drop", 1): (
        "the jaw is{} dropped", "the jaw hangs{} low", "the lower face is{} stretched downward", "the jaw is{} lowered"),
    ("jaw_drop", -1): (
        "the jaw is{} clenched upward", "the lower face is{} shortened", "the jaw is{} raised", "the jaw is{} drawn up tight"),
}  # fmt: skip

ABSENCE = (
    "The face is relaxed.", "No part of the face stands out.", "The features are at rest.", "The face shows no strong movement.",
    "Brows, eyes and mouth are at rest.",
)  # fmt: skip
_TURNED = ("The head is turned to the {side}.", "The face is seen from the side, turned {side}.", "The head faces {side}.")
_RAISED = ("The head is raised.", "The head is tipped back.")
_LOWERED = ("The head is lowered.", "The head is tipped forward.")
_TIMES = {0: ("", "", " slightly", " a little"), 1: ("", " clearly", " visibly"), 2: (" strongly", " markedly")}
_VERY = (" very", " strikingly")
_GRADABLE = {"high", "low", "wide", "narrow", "small", "far", "close", "thin", "thick", "full", "open", "long"}
_JOINS = (" and ", ", and ", " while ")
_NAMED = (
    "This reads as {}.", "The expression looks like {}.", "Together this suggests {}.", "This points to {}.", "It is an expression of {}.",
    "The face shows {}.",
)  # fmt: skip
_HEDGED = (
    "The signs are mixed, but {} fits best.", "This may be {}.", "It is hard to be sure, but this leans toward {}.", "This could be {}.",
)  # fmt: skip

CLAIM_FROM = 1.4
"""A cue is worth a claim beyond this many standard deviations."""


@dataclass(frozen=True, slots=True)
class Sentence:
    """A written sentence and the (cue, direction) pairs it claims."""

    text: str
    claims: tuple[tuple[str, int], ...] = ()


def salient(cues: dict[str, float], yaw_deg: float, limit: int) -> list[tuple[str, int, float]]:
    """Choose what to claim: `(cue, direction, |z|)`, the strongest first, at most `limit`.

    Left out: an asymmetric mouth on a turned head, where perspective makes it; the chin when the mouth is open, where the lower lip moves instead;
    a measure beside a stronger one that says nearly the same.
    """
    ranked = sorted(((abs(z), name, 1 if z > 0 else -1) for name, z in cues.items() if abs(z) >= CLAIM_FROM), reverse=True)
    chosen: list[tuple[str, int, float]] = []
    for size, name, direction in ranked:
        if name == "corner_asymmetry" and abs(yaw_deg) > 12:
            continue
        if name == "chin_raise" and cues["mouth_opening"] > 1:
            continue
        if name == "mouth_opening" and direction < 0 and size < 2:
            continue
        taken = {other for other, _, _ in chosen}
        if (name == "outer_brow" and "inner_brow" in taken) or (name == "inner_brow" and "outer_brow" in taken):
            continue
        chosen.append((name, direction, size))
        if len(chosen) == limit:
            break
    return chosen


def write_evidence(cues: dict[str, float], pose: tuple[float, float, float], rng: random.Random) -> list[Sentence]:
    """Write the sentences about what is visible.

    Args:
        cues: cue → z-score.
        pose: yaw, pitch, roll in degrees.
        rng: decides the style.
    """
    limit = rng.choice((2, 3, 3, 4))
    picked = salient(cues, pose[0], limit)
    clauses = [(_clause(name, direction, size, rng), (name, direction)) for name, direction, size in picked]
    sentences = []
    while clauses:
        take = min(len(clauses), rng.choice((1, 2, 2)))
        part, clauses = clauses[:take], clauses[take:]
        text = rng.choice(_JOINS).join(clause for clause, _ in part)
        sentences.append(Sentence(text[0].upper() + text[1:] + ".", tuple(claim for _, claim in part)))
    if not sentences:
        sentences.append(Sentence(rng.choice(ABSENCE)))
    if abs(pose[0]) > 25 and rng.random() < 0.7:
        sentences.append(Sentence(rng.choice(_TURNED).format(side="left" if pose[0] > 0 else "right")))
    elif abs(pose[1]) > 18 and rng.random() < 0.7:
        sentences.append(Sentence(rng.choice(_RAISED if pose[1] > 0 else _LOWERED)))
    return sentences


def name_emotion(emotion: str, certainty: float, rng: random.Random) -> Sentence:
    """The closing sentence; hedged where fewer than 60 % of the crowd agreed (`certainty` 0…1)."""
    return Sentence(rng.choice(_HEDGED if certainty < 0.6 else _NAMED).format(emotion))


def write_rationale(
    cues: dict[str, float], pose: tuple[float, float, float], emotion: str, certainty: float, rng: random.Random
) -> list[Sentence]:
    """Evidence, then the closing sentence."""
    return [*write_evidence(cues, pose, rng), name_emotion(emotion, certainty, rng)]


def _clause(name: str, direction: int, size: float, rng: random.Random) -> str:
    clause = rng.choice(CLAUSES[name, direction])
    level = 0 if size < 2 else 1 if size < 3 else 2
    following = clause.split("{}")[1].split()
    adverb = rng.choice(_VERY if level == 2 and following and following[0] in _GRADABLE else _TIMES[level])
    return clause.format(adverb)


assert {name for name, _ in CLAUSES} == set(CUE_NAMES), "every cue needs its clauses"
