"""The slow path: decode → verify → verdict, with further candidates when the first is rejected, and abstention when the label is unsure."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np

from edge.bundle import BundleConfig
from edge.language.grammar import Grammar, Scope, Walk
from edge.language.policy import RationalePolicy
from edge.language.rationale import Completion, parse_completion
from edge.language.statements import Facts
from edge.language.verdict import Candidate, decide, rank, sentences_of
from edge.language.verifier import SentenceReading, SentenceVerifier
from edge.types import Explanation, Face, Verdict
from edge.vision.encoder import Encoded, dim_cues, hidden_cues, veiled_cues

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Subject:
    """A face to explain."""

    tokens: np.ndarray
    """`[F·T,D]` visual tokens."""
    emotion: str
    """The label that is shown."""
    confidence: float
    """Its calibrated probability."""
    facts: Facts
    """What is measured: all that may be said is held against it."""


def subjects_of(read: Encoded, config: BundleConfig) -> list[Subject]:
    """Every face under its most probable label."""
    names = [cue.name for cue in config.cues]
    return [
        Subject(
            read.tokens[i],
            config.labels[p.argmax()],
            float(p.max()),
            Facts(
                dict(zip(names, map(float, read.cues[i]), strict=True)),
                float(read.pose_deg[i, 0]),
                float(read.pose_deg[i, 1]),
                dict(zip(config.labels, map(float, p), strict=True)),
                frozenset(hidden_cues(read.visible[i], config)),
                frozenset(veiled_cues(read.visible[i], config)),
                frozenset(dim_cues(read.visible[i], config)),
            ),
        )
        for i, p in enumerate(read.probabilities)
    ]


def subject_of(face: Face, tokens: np.ndarray) -> Subject:
    """A face that has been read, with its visual tokens."""
    unseen = frozenset(face.hidden), frozenset(face.veiled), frozenset(face.dim)
    facts = Facts(face.cues, face.pose.yaw_deg, face.pose.pitch_deg, face.probabilities, *unseen)
    return Subject(tokens, face.emotion, face.confidence, facts)


class Explainer:
    """Explains faces and checks what it says."""

    def __init__(self, policy: RationalePolicy, verifier: SentenceVerifier, grammar: Grammar, config: BundleConfig) -> None:
        self.policy, self.verifier, self.grammar, self.config = policy, verifier, grammar, config
        self.spent_ms = {"explain": 0.0, "verify": 0.0}

    def __call__(self, subjects: list[Subject]) -> list[Explanation]:
        """Explain each face; all first candidates are decoded together.

        The times spent decoding and verifying are left in `spent_ms`.
        """
        self.spent_ms = {"explain": 0.0, "verify": 0.0}
        if not subjects:
            return []
        return [self.settle(first, subject) for first, subject in zip(self.draft(subjects), subjects, strict=True)]

    def draft(self, subjects: list[Subject]) -> list[Explanation]:
        """The most probable rationale of each face, judged."""
        return self.judge(self.write(subjects), subjects)

    def write(self, subjects: list[Subject]) -> list[str]:
        """The most probable completion of each face among the phrases that hold of it; what they come to is the policy's own answer."""

        def work() -> list[str]:
            scopes = [self._scope(subject, any_label=True) for subject in subjects]
            return self.policy.greedy(np.stack([s.tokens for s in subjects]), scopes)

        return self._timed("explain", work)

    def _scope(self, subject: Subject, *, any_label: bool) -> Scope:
        """What may be said of a face: what holds of it; where that makes no text, anything, so that there is an answer to be withheld."""
        holding = self.grammar.holding(subject.facts, subject.emotion, any_label=any_label)
        scope = self.grammar.scope(subject.facts.hidden, holding)
        return scope if Walk(scope).edges else self.grammar.scope(subject.facts.hidden)

    def settle(self, first: Explanation, subject: Subject) -> Explanation:
        """Turn a judged draft into the outcome: abstain, keep it, or judge further candidates, which come to the shown label."""
        if subject.confidence < self.config.verdict.min_confidence:
            return replace(first, status=Verdict.ABSTAINED)
        spec = self.config.policy
        if first.status is Verdict.VERIFIED or spec.candidates == 0:
            return first
        tokens = subject.tokens[None]
        scope = self._scope(subject, any_label=False)
        more = self._timed("explain", lambda: self.policy.sample(tokens, spec.candidates, seed=0, scope=scope))
        best = max([first, *self.judge(more, [subject] * len(more))], key=rank)
        return replace(best, attempts=1 + len(more))

    def judge(self, texts: list[str], subjects: list[Subject]) -> list[Explanation]:
        """Parse completions, read all their sentences in one batch, and decide on each (attempts = 1)."""
        labels = tuple(self.config.labels)
        done = [parse_completion(text, labels) for text in texts]
        candidates = self._timed("verify", lambda: self.read(done))
        return [self.decide(candidate, subject) for candidate, subject in zip(candidates, subjects, strict=True)]

    def decide(self, candidate: Candidate, subject: Subject) -> Explanation:
        """Decide on a candidate that has been read (attempts = 1)."""
        return decide(candidate, subject.emotion, subject.facts, self.grammar, self.config, 1)

    def read(self, completions: list[Completion]) -> list[Candidate]:
        """Parse the completions, and let the verifier read their masked sentences, as one batch."""
        if not completions:
            return []
        parsed = [self.grammar.parse(done.rationale) if done.answer else None for done in completions]
        sentences = [sentences_of(*pair) for pair in zip(completions, parsed, strict=True)]
        read = self.verifier([s for group in sentences for s in group])
        ends = np.cumsum([len(group) for group in sentences])[:-1]
        parts = zip(*(np.split(part, ends) for part in (read.emotions, read.claims, read.covered)), strict=True)
        return [Candidate(done, whole, SentenceReading(*part)) for done, whole, part in zip(completions, parsed, parts, strict=True)]

    def _timed(self, stage: str, work: Callable[[], T]) -> T:
        started = time.perf_counter()
        result = work()
        self.spent_ms[stage] += (time.perf_counter() - started) * 1e3
        return result
