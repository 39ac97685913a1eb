"""One distribution for all of a time: means of calibrated probabilities, in which moments count by how much expression they show."""

from __future__ import annotations

from collections.abc import Mapping

NEUTRAL = "neutral"
FAINT = 0.1
"""What a moment counts that is neutral beyond doubt; one that is surely not counts one more. For most of the time that an expression takes
up, a face is at rest or on its way: a plain mean over time answers *neutral* too often, and one of logarithms more often still
(`python -m benchmarks clips --dataset made`); the highest moment would let one frame decide."""


class Pool:
    """Collects probabilities."""

    def __init__(self) -> None:
        self._sums: dict[str, float] = {}

    def see(self, probabilities: Mapping[str, float], lasts_ms: float) -> None:
        """Take in a moment; one without probabilities counts nothing."""
        weight = lasts_ms * (1.0 - probabilities.get(NEUTRAL, 0.0) + FAINT)
        for name, value in probabilities.items():
            self._sums[name] = self._sums.get(name, 0.0) + weight * value

    @property
    def probabilities(self) -> dict[str, float]:
        """Label → probability, sum 1; empty before anything was seen."""
        total = sum(self._sums.values())
        return {name: value / total for name, value in self._sums.items()} if total > 0 else {}

    def __getitem__(self, label: str) -> float:
        """How much speaks for a label: time that is weighted, ms."""
        return self._sums.get(label, 0.0)
