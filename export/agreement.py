"""Whether two pipelines decide the same, over real faces, at four levels: tensors, labels, token streams, verdicts.

A tensor may differ and nothing come of it; a verdict may change though every tensor is close. What a user sees is decided at the later
levels, so each has its own gate.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from edge.errors import EdgeError
from edge.language.explain import subjects_of
from edge.language.rationale import parse_completion
from edge.pipeline import Pipeline
from edge.types import Detection
from edge.vision.encoder import Encoded
from edge.vision.finder import box_overlap
from export.crops import Crops, scenes
from training.metrics import war_uar

BATCH = 64
SCENES = 48
_SAME_BOX = 0.8
TENSORS = {
    "visual tokens": "tokens",
    "emotion probabilities": "probabilities",
    "cues": "cues",
    "points": "points_xy",
    "pose": "pose_deg",
    "visible": "visible",
}


class ParityError(EdgeError):
    """Two bundles that decide differently, by a gate that was set for them."""


@dataclass(frozen=True, slots=True)
class Gates:
    """What must hold for a comparison to pass."""

    tensors: float = 0.05
    """Largest relative error (root mean square, over the tensor's spread) of any tensor."""
    faces: float = 0.98
    """Least share of pictures in which the same faces are found."""
    labels: float = 0.995
    """Least share of equal labels."""
    streams: float = 0.98
    """Least share of equal token streams."""
    verdicts: float = 0.99
    """Least share of equal verdicts."""
    war: float = 0.003
    """Largest change of the share of right labels; only judged on labelled faces."""

    def halved(self) -> Gates:
        """Gates for one graph of several, which leave the others as much room again."""
        shares = {name: 1 - (1 - getattr(self, name)) / 2 for name in ("faces", "labels", "streams", "verdicts")}
        return Gates(tensors=self.tensors, war=self.war, **shares)


@dataclass(frozen=True, slots=True)
class Decisions:
    """All that a pipeline made of the same faces."""

    found: list[list[Detection]]
    """Per scene, the faces found."""
    read: Encoded
    labels: np.ndarray
    """`[N]` index of the most probable label."""
    streams: list[str]
    """Greedy completions, as written."""
    sentences: np.ndarray
    """`[S,E]` what the verifier read in the reference's sentences."""
    claims: np.ndarray
    """`[S,C,K]` likewise."""
    verdicts: list[str]


def decisions(pipeline: Pipeline, crops: Crops, *, reference: Decisions | None = None) -> Decisions:
    """Read, explain and judge every face.

    Args:
        pipeline: the bundle, or a checkpoint, under test.
        crops: faces.
        reference: what another pipeline made of them; its texts are then also read by this pipeline's verifier, so that the verifiers
            are compared on the same sentences.
    """
    images, explainer, config = crops.images, pipeline.explainer, pipeline.bundle.config
    found = [pipeline.finder(picture) for picture in scenes(images, min(SCENES, len(images)))]
    read = pipeline.encoder.read(images)
    labels, subjects = read.probabilities.argmax(1), subjects_of(read, config)
    streams: list[str] = []
    verdicts: list[str] = []
    for i in range(0, len(subjects), BATCH):
        group = subjects[i : i + BATCH]
        texts = explainer.write(group)
        drafts = explainer.judge(texts, group)
        streams += texts
        verdicts += [explainer.settle(draft, subject).status.value for draft, subject in zip(drafts, group, strict=True)]
    common = [parse_completion(text, tuple(config.labels)) for text in (reference.streams if reference else streams)[:BATCH]]
    candidates = explainer.read(common)
    sentences = np.concatenate([c.reading.emotions for c in candidates])
    claims = np.concatenate([c.reading.claims for c in candidates])
    return Decisions(found, read, labels, streams, sentences, claims, verdicts)


def agreement(a: Decisions, b: Decisions, truth: np.ndarray | None) -> dict[str, Any]:
    """Compare two pipelines' decisions on the same faces.

    Args:
        a: the reference.
        b: the one under test.
        truth: `[N]` right labels, where known.

    Returns:
        `tensors` (per tensor the largest absolute error `max` and the relative error `relative`), the shares `faces`, `labels`, `streams`,
        `verdicts`, and on labelled faces `war_a`, `war_b`.
    """
    pairs = {name: (getattr(a.read, key), getattr(b.read, key)) for name, key in TENSORS.items()}
    untold = [side for side in (a, b) if (side.read.visible == 1).all()]
    if len(untold) == 1:  # one of them does not tell which cues are in sight: there is nothing to compare
        del pairs["visible"]
    pairs |= {"sentence emotions": (a.sentences, b.sentences), "sentence claims": (a.claims, b.claims)}
    figures: dict[str, Any] = {
        "n": len(a.labels),
        "not compared": ["visible"] * (len(untold) == 1),
        "tensors": {name: difference(*pair) for name, pair in pairs.items()},
        "faces": float(np.mean([_same_faces(x, y) for x, y in zip(a.found, b.found, strict=True)])),
        "labels": float((a.labels == b.labels).mean()),
        "streams": float(np.mean([x == y for x, y in zip(a.streams, b.streams, strict=True)])),
        "verdicts": float(np.mean([x == y for x, y in zip(a.verdicts, b.verdicts, strict=True)])),
    }
    if truth is not None:
        count = a.read.probabilities.shape[1]
        figures |= {"war_a": war_uar(truth, a.labels, count)[0], "war_b": war_uar(truth, b.labels, count)[0]}
    return figures


def failures(figures: dict[str, Any], gates: Gates) -> list[str]:
    """The gates that a comparison does not pass, in words; empty when it passes."""
    found = [
        f"{name} differs by {error['relative']:.3g} of its spread (gate {gates.tensors:g})"
        for name, error in figures["tensors"].items()
        if not error["relative"] <= gates.tensors
    ]
    for level in ("faces", "labels", "streams", "verdicts"):
        if not figures[level] >= getattr(gates, level):
            found.append(f"{figures[level]:.2%} of the {level} are the same (gate {getattr(gates, level):.2%})")
    if "war_a" in figures and not abs(figures["war_a"] - figures["war_b"]) <= gates.war:
        found.append(f"WAR goes from {figures['war_a']:.4f} to {figures['war_b']:.4f} (gate {gates.war:g})")
    return found


def difference(a: np.ndarray, b: np.ndarray) -> dict[str, float]:
    """`max` absolute difference, and `relative`: its root mean square over the spread of `a`; infinite for other shapes."""
    if a.shape != b.shape:
        return {"max": float("inf"), "relative": float("inf")}
    if not a.size:
        return {"max": 0.0, "relative": 0.0}
    gap = b.astype(np.float64) - a
    return {"max": float(np.abs(gap).max()), "relative": float(np.sqrt((gap**2).mean()) / max(float(a.std()), 1e-9))}


def _same_faces(a: list[Detection], b: list[Detection]) -> bool:
    if len(a) != len(b) or not a:
        return len(a) == len(b)
    shared = box_overlap(np.stack([d.box_xyxy for d in a]), np.stack([d.box_xyxy for d in b]))
    return bool((shared.max(1) >= _SAME_BOX).all() and (shared.max(0) >= _SAME_BOX).all())
