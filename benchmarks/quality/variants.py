"""`python -m benchmarks variants --bundle A --bundle B …`: how large each bundle is, and how far it agrees with the first one."""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from benchmarks.command import Command, Figures, bundle_options, loaded
from benchmarks.quality.reading import Faces, data_options, explain, load_faces, read_crops
from edge.bundle import FILES, GRAPHS
from edge.pipeline import Pipeline
from edge.types import Verdict
from training.metrics import war_uar


def size(folder: Path) -> Figures:
    """`bytes` of the bundle, and of every graph."""
    return {
        "bytes": sum((folder / name).stat().st_size for name in FILES),
        "graphs": {name: (folder / f"{name}.onnx").stat().st_size for name in GRAPHS},
    }


def measure(variants: dict[str, Pipeline], faces: Faces) -> Figures:
    """Compare bundles of one label list over the same faces; the first is what the others are held against.

    Returns:
        Name → `bytes`, `graphs`, `war`, `uar`, `verified_rate`, and `agreement` of the labels, `equal_texts`, `probability_gap` (mean over
        faces of the largest difference of a probability) with the first one. A bundle of other labels has `None` for these three.
    """
    first: Pipeline | None = None
    rows: Figures = {}
    for name, pipeline in variants.items():
        read = read_crops(pipeline, faces.crops)
        drafts, final = explain(pipeline, read, title=name)
        texts = [draft.draft for draft in drafts]
        if first is None:
            first, start, start_texts = pipeline, read, texts
        war, uar = war_uar(faces.labels, read.shown, len(pipeline.bundle.config.labels))
        rows[name] = {
            **size(pipeline.bundle.folder),
            "n": len(faces.labels),
            "war": war,
            "uar": uar,
            "verified_rate": float(np.mean([e.status is Verdict.VERIFIED for e in final])),
            **dict.fromkeys(("agreement", "equal_texts", "probability_gap")),
        }
        if pipeline.config.labels == first.config.labels:
            gap = np.abs(read.encoded.probabilities - start.encoded.probabilities).max(1)
            rows[name] |= {"agreement": float((read.shown == start.shown).mean()), "probability_gap": float(gap.mean())}
            rows[name]["equal_texts"] = float(np.mean([a == b for a, b in zip(texts, start_texts, strict=True)]))
    return rows


def _options(parser: argparse.ArgumentParser) -> None:
    data_options(parser, faces=500)
    bundle_options(parser, several=True)


def _run(args: argparse.Namespace) -> Figures:
    with loaded(args.bundle, args.device, args.threads) as variants:
        faces = load_faces(args.data, args.split, args.faces, next(iter(variants.values())))
        return measure(variants, faces)


COMMAND = Command(_options, _run)
