"""The calibration figure of the model card: how far confidence can be trusted, and what abstaining buys."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from training.metrics import expected_calibration_error, risk_coverage


def draw_calibration(path: Path, confidence: np.ndarray, right: np.ndarray, bins: int = 10) -> None:
    """Draw reliability, and risk over coverage, of validation faces.

    Args:
        path: the PNG file.
        confidence: `[N]` calibrated probability of the shown label.
        right: `[N]` whether it is the truth.
        bins: of the reliability diagram, equally wide.
    """
    from matplotlib.figure import Figure

    which = np.minimum((confidence * bins).astype(int), bins - 1)
    counts = np.bincount(which, minlength=bins)
    shown = counts > 0
    mean = np.bincount(which, confidence, minlength=bins)[shown] / counts[shown]
    hit = np.bincount(which, right.astype(float), minlength=bins)[shown] / counts[shown]
    coverage, risk = risk_coverage(confidence, right)
    figure = Figure(figsize=(8, 3.4), layout="constrained")
    left, rest = figure.subplots(1, 2)
    left.plot([0, 1], [0, 1], color="0.7", linewidth=1)
    left.scatter(mean, hit, s=10 + 200 * counts[shown] / counts.max(), color="C0")
    left.set(title=f"Reliability (error {expected_calibration_error(confidence, right):.3f})", xlabel="confidence", ylabel="accuracy")
    rest.plot(coverage, risk, color="C0")
    rest.set(
        title="Risk over coverage", xlabel="share of faces answered, the surest first", ylabel="share of wrong answers", ylim=(0, None)
    )
    for axis in (left, rest):
        axis.grid(alpha=0.3)
    figure.savefig(path, dpi=90, metadata={"Software": None})
