"""`python -m benchmarks gates`: what the limits of `edge.vision.quality` cost and save, on faces made smaller and blurred step by step."""

from __future__ import annotations

import argparse

import numpy as np

from benchmarks.command import Command, Figures, bundle_options, of_pipeline
from benchmarks.quality.accuracy import Faces
from benchmarks.quality.reading import data_options, load_faces, read_crops
from edge.cv import cv2
from edge.pipeline import Pipeline
from edge.vision.encoder import hidden_cues
from edge.vision.quality import MAX_PITCH_DEG, MAX_YAW_DEG, MIN_SHARPNESS, sharpness

SIDES_PX = (48, 32, 24, 20, 16, 12)
BLURS_PX = (0.0, 0.5, 1.0, 1.5, 2.0, 3.0)
"""Standard deviations of a Gaussian, pixels of a crop of 48."""


def measure(pipeline: Pipeline, faces: Faces) -> Figures:
    """Read labelled crops at every size and blur.

    Returns:
        `n`; `size` and `blur`, rows with `war` and `unsharp`, the share of crops under the limit of sharpness; `turned`, the share of
        faces beyond the limits of pose, and `war_turned`, `war_facing`; `hidden`, the share of faces with a cue that counts as covered.
    """
    read = read_crops(pipeline, faces.crops)
    right = read.shown == faces.labels
    yaw, pitch, _ = np.abs(read.encoded.pose_deg).T
    turned = (yaw > MAX_YAW_DEG) | (pitch > MAX_PITCH_DEG)

    def row(crops: np.ndarray) -> Figures:
        unsharp = np.mean([sharpness(crop) < MIN_SHARPNESS for crop in crops])
        return {"war": float((read_crops(pipeline, crops).shown == faces.labels).mean()), "unsharp": float(unsharp)}

    size = pipeline.bundle.config.image.size
    return {
        "n": len(right),
        "size": [{"side_px": side, **row(np.stack([_shrunk(crop, side, size) for crop in faces.crops]))} for side in SIDES_PX],
        "blur": [{"sigma_px": sigma, **row(np.stack([_blurred(crop, sigma) for crop in faces.crops]))} for sigma in BLURS_PX],
        "turned": float(turned.mean()),
        "war_turned": float(right[turned].mean()) if turned.any() else None,
        "hidden": float(np.mean([bool(hidden_cues(row, pipeline.bundle.config)) for row in read.encoded.visible])),
        "war_facing": float(right[~turned].mean()) if (~turned).any() else None,
    }


def _shrunk(crop: np.ndarray, side: int, size: int) -> np.ndarray:
    small = cv2.resize(crop, (side, side), interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.resize(small, (size, size), interpolation=cv2.INTER_LINEAR))


def _blurred(crop: np.ndarray, sigma: float) -> np.ndarray:
    return np.asarray(cv2.GaussianBlur(crop, (0, 0), sigma * len(crop) / 48)) if sigma else crop


def _options(parser: argparse.ArgumentParser) -> None:
    data_options(parser, faces=1500, split="valid")
    bundle_options(parser)


COMMAND = Command(_options, of_pipeline(lambda pipeline, args: measure(pipeline, load_faces(args.data, args.split, args.faces, pipeline))))
