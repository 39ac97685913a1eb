"""Recognition, calibration and explanation metrics, shared by training, benchmarks and the model card."""

from __future__ import annotations

import numpy as np


def recalls(truth: np.ndarray, answer: np.ndarray, classes: int) -> np.ndarray:
    """Recall per class `[classes]`; NaN for a class without faces. Answers of −1 (unparseable) count as wrong."""
    counts = np.bincount(truth, minlength=classes).astype(float)
    hits = np.bincount(truth[truth == answer], minlength=classes)
    return np.asarray(np.divide(hits, counts, out=np.full(classes, np.nan), where=counts > 0))


def war_uar(truth: np.ndarray, answer: np.ndarray, classes: int) -> tuple[float, float]:
    """Weighted (accuracy) and unweighted (mean over the classes present) average recall, 0…1."""
    if not len(truth):
        return float("nan"), float("nan")
    return float((truth == answer).mean()), float(np.nanmean(recalls(truth, answer, classes)))


def expected_calibration_error(confidence: np.ndarray, correct: np.ndarray, bins: int = 15) -> float:
    """Mean gap between confidence and accuracy over equal-width bins, weighted by their size.

    Source: On Calibration of Modern Neural Networks (ICML 2017), equation 3.
    """
    if not len(confidence):
        return float("nan")
    which = np.minimum((confidence * bins).astype(int), bins - 1)
    gap = np.bincount(which, correct.astype(float) - confidence, minlength=bins)
    return float(np.abs(gap).sum() / len(confidence))


def risk_coverage(confidence: np.ndarray, correct: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Coverage and risk, `[N]` each: the share of answers that are kept, the surest first, and the share of them that is wrong."""
    order = np.argsort(-confidence, kind="stable")
    kept = np.arange(1, len(order) + 1)
    return kept / max(1, len(order)), np.cumsum(~correct[order]) / kept


def selective_accuracy(confidence: np.ndarray, correct: np.ndarray, coverage: float) -> float:
    """Accuracy over the surest `coverage` (0…1) of the answers."""
    if not len(confidence):
        return float("nan")
    order = np.argsort(-confidence, kind="stable")[: max(1, round(len(confidence) * coverage))]
    return float(correct[order].mean())


def coherence(truth: np.ndarray, answer: np.ndarray, judged: np.ndarray) -> dict[str, float]:
    """Explanation metrics of the ERV paper.

    Args:
        truth: `[N]` labels.
        answer: `[N]` the policy's answers, −1 where unparseable.
        judged: `[N]` the label that a judge reads from the rationale alone, −1 where there is none.

    Returns:
        `eea` P(J = truth), `epc` P(J = answer), `fcr` P(answer = truth and J = truth); an unparseable completion is wrong in all.
    """
    there = (answer >= 0) & (judged >= 0)
    return {
        "eea": float((there & (judged == truth)).mean()),
        "epc": float((there & (judged == answer)).mean()),
        "fcr": float((there & (answer == truth) & (judged == truth)).mean()),
    }


def claim_rates(supported: int, contradicted: int, claims: int) -> dict[str, float | None]:
    """`cue_precision` and `contradiction_rate` per claim; None when nothing was claimed."""
    if not claims:
        return {"cue_precision": None, "contradiction_rate": None}
    return {"cue_precision": supported / claims, "contradiction_rate": contradicted / claims}
