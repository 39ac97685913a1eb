"""Whose data a bundle stands on, and under which licence: the model card's section; `docs/data.md` says more of each."""

from __future__ import annotations

from collections.abc import Iterable

TRAINED = {
    "FER2013": (
        "FER2013 faces",
        "encoder, visibility, policy, verifier, calibration",
        "ICML 2013 challenges (Goodfellow et al. 2013)",
    ),
    "FER+": ("FER+ votes", "emotions of these faces", "Barsoum et al. 2016, Microsoft; MIT"),
    "MediaPipe": (
        "landmarks and blendshapes of faces, computed with MediaPipe",
        "cues, pose, action units",
        "MediaPipe Face Mesh and Face Landmarker, Google; Apache-2.0",
    ),
    "GoEmotions": ("GoEmotions comments", "verifier", "Demszky et al. 2020, Google; Apache-2.0, data CC BY 4.0"),
    "faces_in_context": (
        "whole photographs with face boxes, and what YuNet says of them",
        "face finder and screen; patches that cover faces",
        "Udacity P1_Facial_Keypoints (MIT), Face-Detection-2 (CC BY 4.0), backgrounds of BSDS500 (Berkeley); "
        "YuNet, libfacedetection.train (Apache-2.0): teacher, not shipped",
    ),
    "FairFace": (
        "FairFace faces, training part",
        "encoder, face finder, screen; they have no emotions",
        "FairFace, Kärkkäinen and Joo 2021; CC BY 4.0",
    ),
    "ICT-FaceKit": (
        "how its expressions move a face",
        "moved faces, in training and in counterfactuals (`moves.npz`)",
        "ICT-FaceKit, USC Institute for Creative Technologies; MIT",
    ),
}
"""Word in a bundle's record → what it is, what it is used for, whose it is."""
MEASURED = (
    ("FairFace photographs, validation part", "the audit only", "FairFace, Kärkkäinen and Joo 2021; CC BY 4.0"),
    ("faces from news and films with one rater's label", "validation only, where used", "muxspace/facial_expressions; not passed on"),
    ("MERR explanations", "a foreign judge of texts, validation only", "Emotion-LLaMA's MERR; research use"),
)


def attributions(record: Iterable[str]) -> list[str]:
    """Rows of a Markdown table: what a bundle was trained on, as its record names it, and what it was only measured on."""
    said = list(record)
    trained = [row for word, row in TRAINED.items() if any(word in name for name in said)]
    unknown = [(name, "training", "not described") for name in said if not any(word in name for word in TRAINED)]
    return [f"| {' | '.join(row)} |" for row in (*trained, *unknown, *MEASURED)]
