"""What a bundle says of labelled faces before anything is decided: the material of calibration and of the attack suite. Free of torch."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edge.bundle import BundleConfig
from edge.language.explain import Explainer, Subject, subjects_of
from edge.language.rationale import parse_completion
from edge.language.verdict import Candidate
from edge.pipeline import Pipeline
from training.cues import CueModel
from training.data import FerPlus
from training.lies import Case


@dataclass(frozen=True, slots=True)
class Drafts:
    """Labelled faces with what the uncalibrated pipeline says of them."""

    label: np.ndarray
    """`[N]`."""
    logits: np.ndarray
    """`[N,E]` of the emotion head, up to a constant."""
    subjects: list[Subject]
    candidates: list[Candidate]
    measured: np.ndarray
    """`[N,C]` z-scores from landmarks, NaN rows where there are none."""


def draft(pipeline: Pipeline, faces: FerPlus, batch: int = 64) -> Drafts:
    """Read faces and write their most probable rationales, verifier's reading included."""
    config = pipeline.bundle.config
    raw = pipeline.encoder.read(faces.images)
    subjects = subjects_of(raw, config)
    explainer, labels = pipeline.explainer, tuple(config.labels)
    candidates: list[Candidate] = []
    for start in range(0, len(subjects), batch):
        texts = explainer.write(subjects[start : start + batch])
        candidates += explainer.read([parse_completion(text, labels) for text in texts])
    logits = np.log(np.maximum(raw.probabilities, 1e-12)) * config.temperature
    return Drafts(faces.label, logits, subjects, candidates, measured_cues(config, faces))


def measured_cues(config: BundleConfig, faces: FerPlus) -> np.ndarray:
    """z-scores `[N,C]` from the landmarks, by the bundle's own standardisation."""
    if not np.isfinite(faces.landmarks).any():
        return np.full((len(faces), len(config.cues)), np.nan)
    mean, std = (np.array([getattr(cue, key) for cue in config.cues]) for key in ("mean", "std"))
    return CueModel(np.array(config.rigid_shape), mean, std).measure(faces.landmarks, faces.point_index)[0]


def cases_of(explainer: Explainer, drafts: Drafts, limit: int = 1000, seed: int = 0) -> list[Case]:
    """Rationales of faces whose answer is right and shown, with landmarks; at most `limit` of a fixed shuffle."""
    labels = list(explainer.config.labels)
    found = []
    for i in np.random.default_rng(seed).permutation(len(drafts.label)):
        candidate, subject = drafts.candidates[i], drafts.subjects[i]
        if candidate.completion.answer == subject.emotion == labels[drafts.label[i]] and np.isfinite(drafts.measured[i]).all():
            own = explainer.decide(candidate, subject)
            measured = dict(zip(subject.facts.cues, map(float, drafts.measured[i]), strict=True))
            found.append(Case(own, subject, measured, explainer.grammar))
    return found[:limit]
