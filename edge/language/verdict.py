"""The verdict at run time, without the truth: does the text speak for its answer, and do its claims hold on this face?

*Consistency* reads the masked sentences. Each tells, next to what an empty sentence tells (the prior), how much more likely every
emotion has become; the sentences' evidence adds up (naive Bayes). *Naming* is checked on the plain text: it may call the expression
nothing but the answer. *Grounding* compares the claimed cues with the encoder's.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edge.bundle import BundleConfig
from edge.language.labels import named_emotions
from edge.language.phrases import is_understood
from edge.language.rationale import Completion, masked_sentences
from edge.language.verifier import DIRECTIONS, SentenceReading
from edge.types import Claim, Explanation, Verdict

FLOOR = 1e-3
"""Probabilities below this count as this: no single sentence rules an emotion out."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A completion for one face, with what the verifier read in its masked sentences."""

    completion: Completion
    reading: SentenceReading


def evidence_scores(emotions: np.ndarray, prior: np.ndarray) -> np.ndarray:
    """Log posterior `[E]`, up to a constant, of each emotion given the sentences of a rationale.

    Args:
        emotions: `[S,E]` sentence probabilities.
        prior: `[E]` probabilities of a sentence that says nothing.
    """
    log_prior = np.log(np.maximum(prior, FLOOR))
    gain = np.log(np.maximum(emotions, FLOOR)) - log_prior
    return np.asarray(gain.sum(0) + log_prior)


def judge(emotions: np.ndarray, prior: np.ndarray, count: int) -> int:
    """The label among the first `count` that the sentences speak for most."""
    return int(evidence_scores(emotions, prior)[:count].argmax())


def consistency(emotions: np.ndarray, prior: np.ndarray, answer: int, count: int) -> float:
    """Probability of the answer over that of the emotion the sentences speak for most, 0…1; 0 without sentences."""
    if not len(emotions):
        return 0.0
    scores = evidence_scores(emotions, prior)[:count]
    return float(np.exp(scores[answer] - scores.max()))


def read_claims(claims: np.ndarray, cues: dict[str, float], threshold: float, hidden: frozenset[str] = frozenset()) -> tuple[Claim, ...]:
    """The cues that the sentences claim, each once, with what was measured.

    Args:
        claims: `[S,C,3]` claim probabilities (above, below, at rest), cues in the order of `cues`.
        cues: cue → z-score of this face.
        threshold: probability from which a cue is claimed.
        hidden: cues that are out of sight.
    """
    found = claims.max(0, initial=0) >= threshold
    return tuple(
        Claim(name, direction, cues[name], name not in hidden)
        for row, name in enumerate(cues)
        for column, direction in enumerate(DIRECTIONS)
        if found[row, column]
    )


def grounding(claims: tuple[Claim, ...]) -> float:
    """Share of supported claims, 0…1; 1 when there are none."""
    return sum(claim.supported for claim in claims) / len(claims) if claims else 1.0


def decide(
    candidate: Candidate,
    shown: str,
    cues: dict[str, float],
    config: BundleConfig,
    attempts: int,
    hidden: frozenset[str] = frozenset(),
) -> Explanation:
    """Judge one candidate against the label that is shown and the face that it describes.

    Verified when it is parseable, understood to the last word, answers the shown label, names no other emotion, claims something that can
    be checked, and consistency and grounding reach the bundle's thresholds without a claim that is contradicted or about something that
    is out of sight.
    """
    spec, done = config.verdict, candidate.completion
    claims = read_claims(candidate.reading.claims, cues, spec.claim_threshold, hidden)
    held = grounding(claims)
    spoken = 0.0
    if done.answer:
        answer, count = config.labels.index(done.answer), len(config.labels)
        spoken = consistency(candidate.reading.emotions, np.asarray(spec.prior), answer, count)
    passed = (
        done.answer == shown
        and is_understood(done.rationale)
        and set(named_emotions(done.rationale)) <= {done.answer}
        and spoken >= spec.min_consistency
        and claims
        and held >= spec.min_grounding
        and all(claim.visible and not claim.contradicted for claim in claims)
    )
    status = Verdict.VERIFIED if passed else Verdict.REJECTED
    return Explanation(done.rationale, done.answer, status, spoken, held, claims, attempts)


def rank(explanation: Explanation) -> tuple[bool, float]:
    """Sort key, best last: verified before rejected, then consistency times grounding."""
    return explanation.status is Verdict.VERIFIED, explanation.consistency * explanation.grounding


def sentences_of(completion: Completion) -> list[str]:
    """What the verifier shall read of a completion."""
    return masked_sentences(completion.rationale)
