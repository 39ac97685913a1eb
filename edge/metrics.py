"""Recognition, calibration and explanation metrics, shared by training, benchmarks and the model card."""

from __future__ import annotations

import numpy as np


def recalls(truth: np.ndarray, answer: np.ndarray, classes: int) -> np.ndarray:
    """Recall per class `[classes]`; NaN for a class without faces. Answers of −1 (unparseable) count as wrong."""
    counts = np.bincount(truth, minlength=classes).astype(float)
    hits = np.bincount(truth[truth == answer], minlength=classes)
    return np.divide(hits, counts, out=np.full(classes, np.nan), where=counts > 0)


def war_uar(truth: np.ndarray, answer: np.ndarray, classes: int) -> tuple[float, float]:
    """Weighted (accuracy) and unweighted (mean over the classes present) average recall, 0…1."""
    if not len(truth):
        return float("nan"), float("nan")
    return float((truth == answer).mean()), float(np.nanmean(recalls(truth, answer, classes)))
