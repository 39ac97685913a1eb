"""The verifier at run time: sentences → emotion probabilities and claimed cues."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edge.bundle import BundleConfig, check_graph
from edge.engine.backend import Session
from edge.language.tokens import Tokenizer

INPUTS = ("input_ids", "attention_mask")

DIRECTIONS = (1, -1, 0)
"""What the last axis of the claims says of a cue: above neutral, below it, at rest."""

EMOTION_FROM = 0.1
"""Probability above which a sentence counts as speaking of an emotion (ERV, section on the verifier)."""


@dataclass(frozen=True, slots=True)
class SentenceReading:
    """What the verifier read in S sentences."""

    emotions: np.ndarray
    """`[S,E]` probability per emotion, independent of each other (sigmoid)."""
    claims: np.ndarray
    """`[S,C,3]` probability that the sentence claims a cue above neutral, below it, at rest."""
    covered: np.ndarray
    """`[S]` probability that the sentence is one, and says nothing beyond its claims and its emotion."""


class SentenceVerifier:
    """Reads sentences, all of a batch at once."""

    def __init__(self, session: Session, tokenizer: Tokenizer, config: BundleConfig, inputs: tuple[str, ...] = INPUTS) -> None:
        check_graph("verifier", set(INPUTS), inputs)
        self.session, self.tokenizer, self.config = session, tokenizer, config

    def __call__(self, sentences: list[str]) -> SentenceReading:
        """Read sentences; each is cut at the bundle's `max_tokens`."""
        if not sentences:
            cues = len(self.config.cues)
            return SentenceReading(np.zeros((0, len(self.config.verifier_labels))), np.zeros((0, cues, len(DIRECTIONS))), np.zeros(0))
        ids, mask = self.rows(sentences)
        out = self.session.run({"input_ids": ids, "attention_mask": mask})
        return SentenceReading(out["emotions"], out["claims"], out["covered"])

    def rows(self, sentences: list[str]) -> tuple[np.ndarray, np.ndarray]:
        """Token ids `[S,L]` of the sentences, 0 behind the shorter ones, and `[S,L]` 1 where a token stands."""
        rows = [self.tokenizer.encode(sentence, self.config.verdict.max_tokens) for sentence in sentences]
        longest = max(map(len, rows))
        ids = np.array([row + [0] * (longest - len(row)) for row in rows], np.int64)
        return ids, np.array([[1] * len(row) + [0] * (longest - len(row)) for row in rows], np.int64)


def sentence_emotions(probabilities: np.ndarray) -> list[list[int]]:
    """The paper's rule: emotions above 0.1; none → the highest; more than two → the top two.

    Args:
        probabilities: `[S,E]`.

    Returns:
        Indices per sentence, the most probable first.
    """
    order = np.argsort(-probabilities, axis=1, kind="stable")
    counts = np.clip((probabilities > EMOTION_FROM).sum(1), 1, 2)
    return [row[:count].tolist() for row, count in zip(order, counts, strict=True)]
