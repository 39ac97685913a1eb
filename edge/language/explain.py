"""The slow path: decode → verify → verdict, with further candidates when the first is rejected, and abstention when the label is unsure."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np

from edge.bundle import BundleConfig
from edge.language.policy import RationalePolicy
from edge.language.rationale import Completion, parse_completion
from edge.language.verdict import Candidate, decide, rank, sentences_of
from edge.language.verifier import SentenceReading, SentenceVerifier
from edge.types import Explanation, Face, Verdict
from edge.vision.encoder import Encoded, hidden_cues

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Subject:
    """A face to explain."""

    tokens: np.ndarray
    """`[F·T,D]` visual tokens."""
    emotion: str
    confidence: float
    cues: dict[str, float]
    hidden: frozenset[str] = frozenset()
    """Cues that are out of sight."""


def subjects_of(read: Encoded, config: BundleConfig) -> list[Subject]:
    """Every face under its most probable label."""
    names = [cue.name for cue in config.cues]
    return [
        Subject(tokens, config.labels[p.argmax()], float(p.max()), dict(zip(names, map(float, cues), strict=True)), frozenset(hidden))
        for tokens, p, cues, hidden in zip(
            read.tokens, read.probabilities, read.cues, (hidden_cues(row, config) for row in read.visible), strict=True
        )
    ]


def subject_of(face: Face, tokens: np.ndarray) -> Subject:
    """A face that has been read, with its visual tokens."""
    return Subject(tokens, face.emotion, face.confidence, face.cues, frozenset(face.hidden))


class Explainer:
    """Explains faces and checks what it says."""

    def __init__(self, policy: RationalePolicy, verifier: SentenceVerifier, config: BundleConfig) -> None:
        self.policy, self.verifier, self.config = policy, verifier, config
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
        texts = self._timed("explain", lambda: self.policy.greedy(np.stack([s.tokens for s in subjects])))
        return self.judge(texts, subjects)

    def settle(self, first: Explanation, subject: Subject) -> Explanation:
        """Turn a judged draft into the outcome: abstain, keep it, or judge further candidates."""
        if subject.confidence < self.config.verdict.min_confidence:
            return replace(first, status=Verdict.ABSTAINED)
        spec = self.config.policy
        if first.status is Verdict.VERIFIED or spec.candidates == 0:
            return first
        tokens = subject.tokens[None]
        more = self._timed("explain", lambda: self.policy.sample(tokens, spec.candidates, seed=0))
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
        return decide(candidate, subject.emotion, subject.cues, self.config, 1, subject.hidden)

    def read(self, completions: list[Completion]) -> list[Candidate]:
        """Let the verifier read every masked sentence of the completions, as one batch."""
        if not completions:
            return []
        sentences = [sentences_of(done) for done in completions]
        read = self.verifier([s for group in sentences for s in group])
        ends = np.cumsum([len(group) for group in sentences])[:-1]
        parts = zip(np.split(read.emotions, ends), np.split(read.claims, ends), strict=True)
        return [Candidate(d, SentenceReading(e, c)) for d, (e, c) in zip(completions, parts, strict=True)]

    def _timed(self, stage: str, work: Callable[[], T]) -> T:
        started = time.perf_counter()
        result = work()
        self.spent_ms[stage] += (time.perf_counter() - started) * 1e3
        return result
