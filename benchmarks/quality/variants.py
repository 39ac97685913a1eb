"""`python -m benchmarks variants --bundle A --bundle B …`: how large each bundle is, and how far it agrees with the first one."""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from benchmarks.command import Command, Figures, bundle_options, loaded
from benchmarks.quality.reading import Faces, data_options, explain, load_faces, read_crops, verdict_rates
from edge.bundle import FILES, GRAPHS
from edge.pipeline import Pipeline
from training.metrics import war_uar


def size(folder: Path) -> Figures:
    """`bytes` of the bundle, and of every graph."""
    return {
        "bytes": sum((folder / name).stat().st_size for name in FILES),
        "graphs": {name: (folder / f"{name}.onnx").stat().st_size for name in GRAPHS},
    }


def measure(variants: dict[str, Pipeline], faces: Faces) -> Figures:
    """Compare bundles over the same faces; the first is what the others are held against.

    Returns:
        Name → `bytes`, `graphs`, `war`, `uar`, `verified_rate`, and `agreement` of the labels, `equal_texts`, `probability_gap` (mean over
        faces of the largest difference of a probability) with the first one; `None` for a bundle of other labels.
    """
    reads = {name: read_crops(pipeline, faces.crops) for name, pipeline in variants.items()}
    told = {name: explain(pipeline, reads[name], title=name) for name, pipeline in variants.items()}
    texts = {name: np.array([draft.draft for draft in drafts]) for name, (drafts, _) in told.items()}
    first = next(iter(variants))
    rows: Figures = {}
    for name, pipeline in variants.items():
        read, labels = reads[name], pipeline.config.labels
        war, uar = war_uar(faces.labels, read.shown, len(labels))
        verified = verdict_rates(told[name][1], read.shown == faces.labels)["verified_rate"]
        rows[name] = {**size(pipeline.bundle.folder), "n": len(faces.labels), "war": war, "uar": uar, "verified_rate": verified}
        rows[name] |= dict.fromkeys(("agreement", "equal_texts", "probability_gap"))
        if labels == variants[first].config.labels:
            gap = np.abs(read.encoded.probabilities - reads[first].encoded.probabilities).max(1)
            rows[name] |= {"agreement": float((read.shown == reads[first].shown).mean()), "probability_gap": float(gap.mean())}
            rows[name]["equal_texts"] = float((texts[name] == texts[first]).mean())
    return rows


def _options(parser: argparse.ArgumentParser) -> None:
    data_options(parser, faces=500)
    bundle_options(parser, several=True)


def _run(args: argparse.Namespace) -> Figures:
    with loaded(args.bundle, args.device, args.threads) as variants:
        return measure(variants, load_faces(args.data, args.split, args.faces, next(iter(variants.values()))))


COMMAND = Command(_options, _run)
