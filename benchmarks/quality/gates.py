"""`python -m benchmarks gates`: what the limits of `edge.vision.quality` cost and save, on faces made smaller and blurred step by step."""

from __future__ import annotations

import numpy as np

from benchmarks.command import Figures
from benchmarks.quality.corruptions import blurred, shrunk
from benchmarks.quality.reading import Faces, over_faces, read_crops
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

    return {
        "n": len(right),
        "size": [{"side_px": side, **row(np.stack([shrunk(crop, side) for crop in faces.crops]))} for side in SIDES_PX],
        "blur": [{"sigma_px": sigma, **row(np.stack([blurred(crop, sigma) for crop in faces.crops]))} for sigma in BLURS_PX],
        "turned": float(turned.mean()),
        "war_turned": float(right[turned].mean()) if turned.any() else None,
        "hidden": float(np.mean([bool(hidden_cues(row, pipeline.bundle.config)) for row in read.encoded.visible])),
        "war_facing": float(right[~turned].mean()) if (~turned).any() else None,
    }


COMMAND = over_faces(measure, faces=1500, split="valid")
