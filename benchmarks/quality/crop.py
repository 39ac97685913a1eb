"""`python -m benchmarks crop`: does a face that the runtime finds and crops read like the same face given as a FER+ image?"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from benchmarks.command import Figures, of_pipeline, progress
from benchmarks.quality.reading import framed
from edge.errors import InputError
from edge.pipeline import Pipeline
from training.data import load_ferplus, resized


def measure(pipeline: Pipeline, pack: Path, split: str) -> Figures:
    """Compare readings of the faces that the reference protocol counts, each set into a picture; `InputError` if none is found.

    Returns:
        `n`, `found` (share in which a face was found and read), and over those: `agreement` of the labels, `war_image` of the image given,
        `war_cropped` of the runtime's own crop, `cue_correlation` between the two, mean over the cues.
    """
    faces = load_ferplus(pack, split)
    faces = faces.take(faces.label >= 0)
    names, size = list(pipeline.bundle.config.labels), pipeline.config.image.size
    rows, cues = [], []
    for image, label in zip(progress(faces.images, "faces"), faces.label, strict=True):
        seen = pipeline.look(framed(image)).reading.faces
        if seen and seen[0].emotion:  # else there is none, or it is not clear which way up it is
            read = pipeline.encoder(resized(image[None], size))
            rows.append((read.probabilities[0].argmax(), names.index(seen[0].emotion), label))
            cues.append((read.cues[0], list(seen[0].cues.values())))
    if not rows:
        raise InputError(f"the bundle's face finder found none of the {len(faces)} faces")
    given, cropped, truth = np.array(rows).T
    pairs = np.array(cues)
    return {
        "n": len(faces),
        "found": len(rows) / len(faces),
        "agreement": float((given == cropped).mean()),
        "war_image": float((given == truth).mean()),
        "war_cropped": float((cropped == truth).mean()),
        "cue_correlation": float(np.mean([np.corrcoef(pairs[:, 0, k], pairs[:, 1, k])[0, 1] for k in range(pairs.shape[2])])),
    }


def _options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--data", type=Path, required=True, help="ferplus_images.npz")
    parser.add_argument("--split", choices=("train", "valid", "test"), default="test")


COMMAND = of_pipeline(lambda pipeline, args: measure(pipeline, args.data, args.split), _options)
