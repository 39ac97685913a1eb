"""The rewards, as plain functions: completions and what is known about each face → one number per completion.

The three published ones are format, accuracy and explanation. The explanation reward has known holes: one on-label sentence among
neutral ones scores 1, naming the emotion is enough, and nothing looks at the face. The masked reward hides the emotion words and weighs all
evidence; the grounding reward holds the claims against the face's measured cues; the length guard takes the profit out of piling up
sentences.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edge.language.labels import EMOTIONS_11
from edge.language.rationale import Completion, split_sentences
from edge.language.verdict import evidence_scores, read_claims
from edge.language.verifier import SentenceReading, sentence_emotions

MAX_WORDS = 60
MAX_SENTENCES = 5


@dataclass(frozen=True, slots=True)
class Sample:
    """A parsed completion, what the verifier reads in it, and the face it speaks of."""

    completion: Completion
    plain: SentenceReading
    """Of the sentences as written."""
    masked: SentenceReading
    """Of the sentences with every emotion word hidden."""
    label: str
    """The truth."""
    cues: dict[str, float]
    """Measured cues of the face; empty when none could be measured."""


def format_reward(samples: list[Sample]) -> list[float]:
    """1 when the whole completion follows the template, else 0."""
    return [float(bool(s.completion.answer)) for s in samples]


def accuracy_reward(samples: list[Sample]) -> list[float]:
    """1 when the answer is the label, else 0."""
    return [float(s.completion.answer == s.label) for s in samples]


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
    """Probability 0…1 of the label given the masked sentences, whose evidence adds up as in the verdict.

    Args:
        samples: parsed completions.
        prior: `[11]` what a sentence that says nothing reads as.
        labels: how many emotions, from the first, the policy can answer.
    """
    found = []
    for s in samples:
        scores = evidence_scores(s.masked.emotions, prior)[:labels]
        odds = np.exp(scores - scores.max())
        found.append(float(odds[EMOTIONS_11.index(s.label)] / odds.sum()) if len(s.masked.emotions) else 0.0)
    return found


def grounding_reward(samples: list[Sample], claim_threshold: float = 0.5) -> list[float]:
    """Supported claims minus twice the contradicted ones, over all claims, −2…1; 0 when nothing can be held against the face."""
    found = []
    for s in samples:
        claims = read_claims(s.masked.claims, s.cues, claim_threshold) if s.cues else ()
        found.append(sum(c.supported - 2 * c.contradicted for c in claims) / len(claims) if claims else 0.0)
    return found


def length_reward(samples: list[Sample], claim_threshold: float = 0.5) -> list[float]:
    """0 for a rationale of fair length that says each thing once and something at all; −1 for any other."""
    return [-float(_unfair(s, claim_threshold)) for s in samples]


def _unfair(sample: Sample, claim_threshold: float) -> bool:
    text = sample.completion.rationale
    sentences = split_sentences(text)
    said = sample.masked.claims >= claim_threshold
    return (
        len(text.split()) > MAX_WORDS
        or len(sentences) > MAX_SENTENCES
        or len(set(sentences)) < len(sentences)
        or bool((said.sum(0) > 1).any())
        or not said.any()
    )
