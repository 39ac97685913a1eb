"""The verdict at run time, without the truth: is everything understood that the text says, does it hold on this face, and does it speak for
the answer?

*Grounding* holds every statement against the face by its rule; a text of the grammar is read exactly, one of another writer by the verifier
network, which must also say that nothing in it was passed over. *Consistency* reads the masked evidence. Each sentence tells, next to what
an empty sentence tells (the prior), how much more likely every emotion has become; the sentences' evidence adds up (naive Bayes).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from edge.bundle import BundleConfig
from edge.language.grammar import Grammar, Parsed
from edge.language.labels import named_emotions
from edge.language.rationale import Completion, masked_sentences
from edge.language.statements import CUE_KINDS, Facts
from edge.language.verifier import DIRECTIONS, SentenceReading
from edge.types import AT_REST, Claim, Explanation, Statement, Verdict

FLOOR = 1e-3
"""Probabilities below this count as this: no single sentence rules an emotion out."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A completion for one face: as the grammar reads it, and what the verifier read in its masked sentences."""

    completion: Completion
    parsed: Parsed | None
    """`None` when it is not of the grammar."""
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
    """The cues that the verifier network finds claimed, each once, with what was measured.

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


def state(candidate: Candidate, shown: str, facts: Facts, grammar: Grammar, threshold: float) -> tuple[Statement, ...]:
    """Everything that a candidate says, held against the face: by the grammar's rules, or by the claims that the network reads."""
    if candidate.parsed:
        return tuple(grammar.rules.check(said, facts, shown) for said in candidate.parsed.said)
    claims = read_claims(candidate.reading.claims, dict(facts.cues), threshold, facts.hidden | facts.veiled)
    claims = tuple(c if c.direction or c.cue not in facts.dim else replace(c, visible=False) for c in claims)
    return tuple(
        Statement("movement", c.cue, c.direction, "plain", c.measured, c.supported, c.visible)
        if c.direction
        else Statement("rest", c.cue, 0, "", c.measured, c.supported, c.visible, (-AT_REST, AT_REST))
        for c in claims
    )


def grounding(statements: tuple[Statement, ...]) -> float:
    """Share of statements that hold, 0…1; 1 when there are none."""
    return sum(s.holds for s in statements) / len(statements) if statements else 1.0


def is_understood(candidate: Candidate, config: BundleConfig) -> bool:
    """Whether all of a text was read: by the grammar, or by the network with nothing left over and no emotion named but the answer."""
    done = candidate.completion
    if candidate.parsed:
        return candidate.parsed.conclusion == done.answer
    covered = candidate.reading.covered
    return (
        bool(len(covered)) and bool((covered >= config.verdict.min_covered).all()) and set(named_emotions(done.rationale)) <= {done.answer}
    )


def decide(candidate: Candidate, shown: str, facts: Facts, grammar: Grammar, config: BundleConfig, attempts: int) -> Explanation:
    """Judge one candidate against the label that is shown and the face that it describes.

    Verified when it follows the template, answers the shown label, is understood to the last word, says something of the face, each of its
    statements holds, and its masked evidence speaks for the answer.
    """
    spec, done = config.verdict, candidate.completion
    statements = state(candidate, shown, facts, grammar, spec.claim_threshold) if done.answer else ()
    spoken = 0.0
    if done.answer:
        answer, count = config.labels.index(done.answer), len(config.labels)
        spoken = consistency(candidate.reading.emotions, np.asarray(spec.prior), answer, count)
    passed = (
        done.answer == shown
        and is_understood(candidate, config)
        and any(s.kind in CUE_KINDS for s in statements)
        and all(s.holds for s in statements)
        and spoken >= spec.min_consistency
    )
    status = Verdict.VERIFIED if passed else Verdict.REJECTED
    return Explanation(done.rationale, done.answer, status, spoken, grounding(statements), statements, attempts)


def rank(explanation: Explanation) -> tuple[bool, float]:
    """Sort key, best last: verified before rejected, then consistency times grounding."""
    return explanation.status is Verdict.VERIFIED, explanation.consistency * explanation.grounding


def sentences_of(completion: Completion, parsed: Parsed | None) -> list[str]:
    """What the verifier shall read: the evidence of a text of the grammar, every sentence of another, emotion words masked."""
    return masked_sentences(parsed.evidence if parsed else completion.rationale)
