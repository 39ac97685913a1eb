"""`python -m benchmarks curves`: what the report draws of recognition: confusion, reliability, risk and coverage."""

from __future__ import annotations

import numpy as np

from benchmarks.command import Figures
from benchmarks.quality.reading import Faces, over_faces, read_crops
from edge.pipeline import Pipeline
from training.metrics import expected_calibration_error, risk_coverage

_BINS = 10


def measure(pipeline: Pipeline, faces: Faces) -> Figures:
    """Read the faces; see `curves`."""
    read = read_crops(pipeline, faces.crops)
    return curves(list(pipeline.config.labels), faces.labels, read.shown, read.confidence)


def curves(labels: list[str], truth: np.ndarray, shown: np.ndarray, confidence: np.ndarray) -> Figures:
    """Of N faces, by indices of the true and the shown label and the shown one's probability.

    Returns:
        `labels`; `confusion` `[truth][shown]` counts; `reliability`: the bins that are not empty; `risk_coverage`: rows of `coverage` and
        `risk` (share of wrong labels among the surest); `aurc`, the area under that curve; `ece`.
    """
    confusion = np.zeros((len(labels), len(labels)), int)
    np.add.at(confusion, (truth, shown), 1)
    right = truth == shown
    which = np.minimum((confidence * _BINS).astype(int), _BINS - 1)
    reliability = []
    for i in np.unique(which).tolist():
        there = which == i
        means = {"confidence": float(confidence[there].mean()), "accuracy": float(right[there].mean())}
        reliability.append({"from": i / _BINS, "to": (i + 1) / _BINS, "count": int(there.sum()), **means})
    coverage, risk = risk_coverage(confidence, right)
    at = np.unique(np.linspace(1, len(truth), min(40, len(truth))).astype(int)) - 1
    return {
        "n": len(truth),
        "labels": labels,
        "confusion": confusion.tolist(),
        "reliability": reliability,
        "risk_coverage": [{"coverage": coverage[i], "risk": risk[i]} for i in at],
        "aurc": float(risk.mean()),
        "ece": expected_calibration_error(confidence, right),
    }


COMMAND = over_faces(measure, faces=0)
