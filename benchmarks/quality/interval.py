"""Shares with their uncertainty: percentile intervals over faces that are drawn anew with replacement (the bootstrap, Efron 1979)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from benchmarks.command import Figures

DRAWS = 1000
LEVEL = (2.5, 97.5)


def share(hits: np.ndarray, counts: np.ndarray | None = None) -> Figures:
    """A share and its 95 % interval: `share`, `low`, `high` (NaN without items), and `n`, the number of items.

    `hits` `[N]` says per face whether, or how many of its `counts` items (one each when `None`), hit; drawn by face.
    """
    hits = np.asarray(hits, float)
    counts = np.ones(len(hits)) if counts is None else np.asarray(counts, float)
    total = float(counts.sum())
    if not total:
        return {"share": float("nan"), "low": float("nan"), "high": float("nan"), "n": 0}
    drawn = draws(len(hits)) @ np.stack([hits, counts], 1)
    low, high = np.percentile(drawn[:, 0] / np.maximum(drawn[:, 1], 1e-9), LEVEL)
    return {"share": float(hits.sum() / total), "low": float(low), "high": float(high), "n": int(total)}


def difference(first: np.ndarray, second: np.ndarray) -> Figures:
    """How far the mean of `first` lies above that of `second`, the same N faces in both: `by`, and its paired 95 % interval."""
    gap = np.asarray(first, float) - np.asarray(second, float)
    low, high = np.percentile(draws(len(gap)) @ gap / len(gap), LEVEL)
    return {"by": float(gap.mean()), "low": float(low), "high": float(high)}


def spread(values: Sequence[float] | np.ndarray) -> Figures:
    """`median`, 95th percentile `p95` and `max`; NaN without values."""
    found = np.percentile(values, (50, 95, 100)).tolist() if len(values) else [float("nan")] * 3
    return dict(zip(("median", "p95", "max"), found, strict=True))


def draws(count: int, seed: int = 0) -> np.ndarray:
    """`[DRAWS,N]`: how often each face is drawn."""
    return np.random.default_rng(seed).multinomial(count, np.full(count, 1 / count), DRAWS).astype(np.float32)
