"""`python -m benchmarks crop`: does a face that the runtime finds and crops read like the same face given as a FER+ image?

Each FER+ image is enlarged and set into a grey picture; the pipeline finds, aligns and reads it like any photo.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from tqdm.auto import tqdm

from benchmarks.command import Command, Figures, bundle_options, of_pipeline
from benchmarks.quality.reading import framed
from edge.errors import InputError
from edge.pipeline import Pipeline
from training.data import load_ferplus, resized


def measure(pipeline: Pipeline, pack: Path, split: str) -> Figures:
    """Compare readings of the faces that the reference protocol counts.

    Returns:
        `n`, `found` (share in which a face was found and read), and over those: `agreement` of the labels, `war_image` of the image given,
        `war_cropped` of the runtime's own crop, `cue_correlation` between the two, mean over the cues.

    Raises:
        InputError: no face was found in any picture.
    """
    faces = load_ferplus(pack, split)
    faces = faces.take(faces.label >= 0)
    label, names = faces.label, list(pipeline.bundle.config.labels)
    given, cropped, kept, cues = [], [], [], []
    for i, image in enumerate(tqdm(faces.images, desc="faces", leave=False, disable=None)):
        seen = pipeline.look(framed(image)).reading
        if not seen.faces or not seen.faces[0].emotion:  # none, or it is not clear which way up it is
            continue
        read = pipeline.encoder(resized(image[None], pipeline.config.image.size))
        kept.append(i)
        given.append(int(read.probabilities[0].argmax()))
        cropped.append(names.index(seen.faces[0].emotion))
        cues.append((read.cues[0], list(seen.faces[0].cues.values())))
    if not kept:
        raise InputError(f"the bundle's face finder found none of the {len(label)} faces")
    a, b, truth = np.array(given), np.array(cropped), label[kept]
    pairs = np.array(cues)
    return {
        "n": len(label),
        "found": len(kept) / len(label),
        "agreement": float((a == b).mean()),
        "war_image": float((a == truth).mean()),
        "war_cropped": float((b == truth).mean()),
        "cue_correlation": float(np.mean([np.corrcoef(pairs[:, 0, k], pairs[:, 1, k])[0, 1] for k in range(pairs.shape[2])])),
    }


def _options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--data", type=Path, required=True, help="ferplus_images.npz")
    parser.add_argument("--split", choices=("train", "valid", "test"), default="test")
    bundle_options(parser)


COMMAND = Command(_options, of_pipeline(lambda pipeline, args: measure(pipeline, args.data, args.split)))
