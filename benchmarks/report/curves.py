"""`python -m benchmarks curves`: what the report draws of recognition: confusion, reliability, risk and coverage."""

from __future__ import annotations

import argparse

import numpy as np

from benchmarks.command import Command, Figures, bundle_options, of_pipeline
from benchmarks.quality.reading import data_options, load_faces, read_crops
from edge.pipeline import Pipeline
from training.metrics import expected_calibration_error

_BINS = 10


def measure(labels: list[str], truth: np.ndarray, shown: np.ndarray, confidence: np.ndarray) -> Figures:
    """Confusion, reliability and risk–coverage.

    Args:
        labels: names of the classes.
        truth: `[N]` index of the class.
        shown: `[N]` index of the label that is shown.
        confidence: `[N]` its probability.

    Returns:
        `labels`; `confusion` `[truth][shown]` counts; `reliability`: bins with `from`, `to`, `count`, `confidence`, `accuracy`, the empty
        ones left out; `risk_coverage`: rows of `coverage`, `risk` (share of wrong labels among the surest) and `confidence`, the least
        among them; `aurc`, the area under that curve; `ece`.
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
    surest = np.argsort(-confidence, kind="stable")
    risk = np.cumsum(~right[surest]) / np.arange(1, len(truth) + 1)
    at = np.unique(np.linspace(1, len(truth), min(40, len(truth))).astype(int)) - 1
    rows = [{"coverage": (i + 1) / len(truth), "risk": float(risk[i]), "confidence": float(confidence[surest[i]])} for i in map(int, at)]
    return {
        "n": len(truth),
        "labels": list(labels),
        "confusion": confusion.tolist(),
        "reliability": reliability,
        "risk_coverage": rows,
        "aurc": float(risk.mean()),
        "ece": expected_calibration_error(confidence, right),
    }


def _options(parser: argparse.ArgumentParser) -> None:
    data_options(parser, faces=0)
    bundle_options(parser)


def _run(pipeline: Pipeline, args: argparse.Namespace) -> Figures:
    faces = load_faces(args.data, args.split, args.faces, pipeline)
    read = read_crops(pipeline, faces.crops)
    return measure(list(pipeline.bundle.config.labels), faces.labels, read.shown, read.confidence)


COMMAND = Command(_options, of_pipeline(_run))
