"""Which rest speaks most against another label: of what would have moved, were the face another emotion's, the likelier that one is.

*There is no smile* tells why a face is not happy, *the brows are not raised* why it is not surprised. What is nearly as likely as what is
shown counts most, and it changes little when the picture changes little.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from edge.language.grammar import Grammar
from edge.language.labels import EMOTIONS_8
from edge.language.statements import Facts
from edge.types import UNBOUNDED
from training.cues import CUE_NAMES

_FEWEST = 6
"""With fewer faces of a label nothing is known of it; where none is neutral, all of them stand for that."""
_POWER = 0.3
"""Labels count by this power of their probability: behind a sure answer the others are not nothing."""
_LEAST = 1e-4


@dataclass(frozen=True, slots=True)
class Contrast:
    """How far each cue stands out in faces of each label, in the direction that its words of rest deny."""

    cues: tuple[str, ...]
    """Those that can be said to be at rest."""
    shifts: np.ndarray
    """`[E,R]` deviations from neutral, 0 or more."""

    @classmethod
    def fit(cls, cues: np.ndarray, probabilities: np.ndarray, grammar: Grammar) -> Contrast:
        """Learn it from how N faces are read.

        Args:
            cues: `[N,C]` z-scores.
            probabilities: `[N,E]` of the labels, neutral first.
            grammar: what can be said to be at rest, and what its words deny.
        """
        resting = {s.subject for phrase in grammar.phrases for s in phrase.says if s.kind == "rest"}
        kept = tuple(name for name in CUE_NAMES if name in resting)
        answers, own = probabilities.argmax(1), cues[:, [CUE_NAMES.index(name) for name in kept]]
        neutral = own[answers == 0].mean(0) if (answers == 0).any() else own.mean(0)
        means = [own[answers == i].mean(0) if (answers == i).sum() >= _FEWEST else neutral for i in range(len(EMOTIONS_8))]
        shifts = np.stack([neutral, *means[1:]]) - neutral
        raised = np.array([grammar.rules.rest[name].low <= -UNBOUNDED for name in kept], bool)
        return cls(kept, np.where(raised, np.maximum(shifts, 0.0), np.abs(shifts)))

    def of(self, facts: Facts) -> Mapping[str, float]:
        """Cue → how much its rest tells of this face, 0 or more."""
        odds = np.array([max(_LEAST, facts.probabilities.get(label, 0.0)) for label in EMOTIONS_8]) ** _POWER
        odds[0] = 0.0
        return dict(zip(self.cues, map(float, odds / odds.sum() @ self.shifts), strict=True))
