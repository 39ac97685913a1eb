"""The rewards, as plain functions: completions and what is known about each face → one number per completion.

The three published ones are format, accuracy and explanation. The explanation reward has known holes: one on-label sentence among
neutral ones scores 1, naming the emotion is enough, and nothing looks at the face. Here a text that is not of the grammar earns nothing of
any kind; the masked reward hides what is concluded and weighs all evidence; the truth reward holds every statement against the face, as
the landmarks measure it and as the verdict will; the salience reward asks for the movements that stand out most, and for the rest that
speaks most against other labels; the variety reward pays for not saying what is said of the same face again and of other faces as well.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np

from edge.language.grammar import Parsed
from edge.language.labels import EMOTIONS_11
from edge.language.rationale import Completion
from edge.language.statements import CUE_KINDS, Facts, Rules, Said
from edge.language.verdict import evidence_scores
from edge.language.verifier import SentenceReading, sentence_emotions
from training.contrast import Contrast
from training.phrases import ALONE
from training.writer import MOST_TELLING

MAX_WORDS = 36
MOST_SALIENT, MOST_TOLD = 3, 4
"""Movements that a rationale should state, where so many stand out; cues that it should speak of in all, what rests included."""


@dataclass(frozen=True, slots=True)
class Sample:
    """A completion, what is read in it, and the face it speaks of."""

    completion: Completion
    parsed: Parsed | None
    """`None` when it is not of the grammar: then no reward pays."""
    plain: SentenceReading
    """Of the sentences as written."""
    masked: SentenceReading
    """Of the sentences of evidence."""
    label: str
    """The truth."""
    measured: Facts | None
    """By the landmarks; `None` where none are known."""
    read: Facts
    """As the encoder reads the face, which is what the verdict goes by."""


def format_reward(samples: list[Sample]) -> list[float]:
    """1 when the whole completion follows the template and the grammar, else 0."""
    return [float(s.parsed is not None) for s in samples]


def accuracy_reward(samples: list[Sample]) -> list[float]:
    """1 when the answer is the label, else 0."""
    return [float(s.parsed is not None and s.completion.answer == s.label) for s in samples]


def explanation_reward(samples: list[Sample]) -> list[float]:
    """The published reward: matching sentences over those that are not only neutral (over all, when the label is neutral).

    A sentence matches when its emotions (probability over 0.1, the top two at most, the highest when there is none) contain the label.
    Source: Emotion-Coherent Reasoning for Multimodal LLMs via Emotional Rationale Verifier (AAAI 2026), explanation reward.
    """
    return [_explanation(sentence_emotions(s.plain.emotions), EMOTIONS_11.index(s.label)) for s in samples]


def _explanation(emotions: list[list[int]], label: int) -> float:
    neutral = EMOTIONS_11.index("neutral")
    counted = emotions if label == neutral else [e for e in emotions if e != [neutral]]
    return sum(label in e for e in emotions) / len(counted) if counted else 0.0


def masked_reward(samples: list[Sample], prior: np.ndarray, labels: int = 8) -> list[float]:
    """Probability 0…1 of the label given the sentences of evidence, which add up as in the verdict.

    Args:
        samples: completions.
        prior: `[11]` what a sentence that says nothing reads as.
        labels: how many emotions, from the first, the policy can answer.
    """
    found = []
    for s in samples:
        scores = evidence_scores(s.masked.emotions, prior)[:labels]
        odds = np.exp(scores - scores.max())
        pays = s.parsed is not None and len(s.masked.emotions)
        found.append(float(odds[EMOTIONS_11.index(s.label)] / odds.sum()) if pays else 0.0)
    return found


def truth_reward(samples: list[Sample], rules: Rules) -> list[float]:
    """How true all of it is, −1…1: half by the landmarks, statement for statement, half for passing the verdict's rules as a whole."""
    found = []
    for s in samples:
        if s.parsed is None:
            found.append(0.0)
            continue
        passes = all(rules.check(said, s.read, s.completion.answer).holds for said in s.parsed.said)
        marks = [mark for said in s.parsed.said if (mark := _mark(said, s.measured, rules)) is not None]
        found.append(0.5 * float(passes) + 0.5 * (float(np.mean(marks)) if marks else 0.0))
    return found


def _mark(said: Said, measured: Facts | None, rules: Rules) -> float | None:
    """1 where the landmarks support a statement, −2 where they contradict it, 0 between; `None` where they tell nothing."""
    if measured is None:
        return None
    if said.kind in CUE_KINDS:
        claim = rules.claim(said, float(measured.cues[said.subject]))
        return float(claim.supported) - 2 * float(claim.contradicted)
    if said.kind == "pose":
        angle = (measured.yaw_deg if said.subject == "yaw" else measured.pitch_deg) * said.direction
        return 1.0 if angle >= 14 else -2.0 if angle < 0 else 0.0
    return None


def variety_reward(samples: list[Sample]) -> list[float]:
    """1 over how many completions of the batch, of this face and of others, give the same evidence."""
    texts = Counter(s.parsed.evidence for s in samples if s.parsed)
    return [1 / texts[s.parsed.evidence] if s.parsed else 0.0 for s in samples]


def salient_reward(samples: list[Sample], rules: Rules, contrast: Contrast) -> list[float]:
    """Share that the text states of what tells most of the face; 1 when nothing of it can be stated."""
    found = []
    for s in samples:
        most = _most_salient(s.read, rules, contrast)
        parts = s.parsed.said if s.parsed else ()
        said = {(one.subject, -1 if one.kind == "eyes_closed" else one.direction) for one in parts if one.kind in CUE_KINDS}
        found.append(float(np.mean([one in said for one in most]) if most else 1.0) if s.parsed else 0.0)
    return found


def _most_salient(read: Facts, rules: Rules, contrast: Contrast) -> list[tuple[str, int]]:
    """Cue and side of the largest movements that can be stated of a face, then of the rest that tells most, side 0: not of parts of which a
    movement is told, and beside movements not of what is said to rest alone."""
    sizes = {}
    for cue, sides in rules.movement.items():
        for direction in sides:
            kind = "one_sided" if cue == "corner_asymmetry" else "movement"
            if rules.holds(Said(kind, cue, direction, "plain"), read, ""):
                sizes[cue, direction] = min(abs(read.cues[cue]), MOST_TELLING)
    moved = sorted(sizes, key=lambda one: -sizes[one])[:MOST_SALIENT]
    spoken = {cue for cue, _ in moved}
    closed = spoken.union(*(group for group in rules.told_once if spoken.intersection(group)), ALONE if moved else ())
    tells = contrast.of(read)
    rests = [
        cue for cue in sorted(tells, key=lambda one: -tells[one]) if cue not in closed and rules.holds(Said("rest", cue, 0, ""), read, "")
    ]
    return [*moved, *((cue, 0) for cue in rests)][:MOST_TOLD]


def length_reward(samples: list[Sample]) -> list[float]:
    """0 for a rationale of fair length; −1 for one of more than `MAX_WORDS` words."""
    return [-float(len(s.completion.rationale.split()) > MAX_WORDS) for s in samples]
