"""The writer: measured cues → a plain rationale, with what each sentence claims.

It never sees the label while it writes evidence: the most salient cues come first, each with an intensity word; pose and absence are
said where they matter; only the closing sentence, which names the emotion, is given one. Style (joining, phrasing, brevity) is drawn at
random, so that a policy learns a language and not a form letter.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

from edge.language.phrases import ABSENCE, CLAUSES, GRADABLE, HEDGED, INTENSITY, INTENSITY_OF_GRADABLE, JOINS, NAMED
from training.phrases import HEAD_LOWERED, HEAD_RAISED, HEAD_TURNED, REST_CUES

CLAIM_FROM = 1.4
"""A cue is worth a claim beyond this many standard deviations."""


@dataclass(frozen=True, slots=True)
class Sentence:
    """A written sentence and the (cue, direction) pairs it claims; direction 0 says that the cue is at rest."""

    text: str
    claims: tuple[tuple[str, int], ...] = ()


def salient(cues: dict[str, float], yaw_deg: float, limit: int) -> list[tuple[str, int, float]]:
    """Choose what to claim: `(cue, direction, |z|)`, the strongest first, at most `limit`.

    Left out: an asymmetric mouth on a turned head, where perspective makes it; the chin when the mouth is open, where the lower lip
    moves instead; a mouth that is merely closed; the second of the two brow heights.
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
        text = rng.choice(JOINS).join(clause for clause, _ in part)
        sentences.append(Sentence(text[0].upper() + text[1:] + ".", tuple(claim for _, claim in part)))
    if not sentences:
        sentences.append(Sentence(rng.choice(ABSENCE), tuple((cue, 0) for cue in REST_CUES)))
    if abs(pose[0]) > 25 and rng.random() < 0.7:
        sentences.append(Sentence(rng.choice(HEAD_TURNED).format(side="left" if pose[0] > 0 else "right")))
    elif abs(pose[1]) > 18 and rng.random() < 0.7:
        sentences.append(Sentence(rng.choice(HEAD_RAISED if pose[1] > 0 else HEAD_LOWERED)))
    return sentences


def name_emotion(emotion: str, certainty: float, rng: random.Random) -> Sentence:
    """The closing sentence; hedged where fewer than 60 % of the crowd agreed (`certainty` 0…1)."""
    return Sentence(rng.choice(HEDGED if certainty < 0.6 else NAMED).format(emotion))


def write_rationale(
    cues: dict[str, float], pose: tuple[float, float, float], emotion: str, certainty: float, rng: random.Random
) -> list[Sentence]:
    """Evidence, then the closing sentence."""
    return [*write_evidence(cues, pose, rng), name_emotion(emotion, certainty, rng)]


def _clause(name: str, direction: int, size: float, rng: random.Random) -> str:
    clause = rng.choice(CLAUSES[name, direction])
    level = 0 if size < 2 else 1 if size < 3 else 2
    following = clause.split("{}")[1].split()
    adverb = rng.choice(INTENSITY_OF_GRADABLE if level == 2 and following and following[0] in GRADABLE else INTENSITY[level])
    return clause.format(adverb)
