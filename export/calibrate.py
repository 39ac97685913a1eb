"""What a bundle's `config.json` holds that must be measured on validation faces: temperature, prior, verdict thresholds."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from scipy.optimize import minimize_scalar

from edge.bundle import BundleConfig, VerdictSpec
from edge.encoder import softmax
from edge.errors import InputError
from edge.explain import Explainer, Subject
from edge.metrics import expected_calibration_error, foreign_answers
from edge.pipeline import Pipeline
from edge.rationale import parse_completion
from edge.verdict import Candidate, consistency, grounding, judge, read_claims
from training.data import FerPlus

OWN_ACCEPTED = 0.93
"""Share of right-answered own rationales that the consistency threshold alone lets through."""
UNSURE_SHARE = 0.05
"""Share of validation faces below the confidence at which the pipeline abstains."""


def fit_temperature(logits: np.ndarray, label: np.ndarray) -> float:
    """The temperature with the lowest negative log likelihood (On Calibration of Modern Neural Networks, 2017)."""

    def loss(log_t: float) -> float:
        chosen = softmax(logits / np.exp(log_t))[np.arange(len(label)), label]
        return float(-np.log(np.maximum(chosen, 1e-12)).mean())

    return float(np.exp(minimize_scalar(loss, bounds=(-1.5, 2.0), method="bounded").x))


def calibrate(pipeline: Pipeline, faces: FerPlus, seed: int = 1) -> tuple[BundleConfig, dict[str, float]]:
    """Measure temperature, prior and thresholds on labelled validation faces.

    Args:
        pipeline: one over the uncalibrated graphs (temperature 1, thresholds that let everything through).
        faces: validation faces; those without a majority label are left out.
        seed: of the swapped answers.

    Returns:
        The configuration with the measured values, and the rates seen while choosing them.
    """
    label = faces.label
    kept = label >= 0
    images, label = faces.images[kept], label[kept]
    config = pipeline.bundle.config
    raw = pipeline.encoder(images)
    logits = np.log(np.maximum(raw.probabilities, 1e-12))
    temperature = fit_temperature(logits, label)
    probabilities = softmax(logits / temperature)
    confidence, shown = probabilities.max(1), probabilities.argmax(1)

    names = [cue.name for cue in config.cues]
    cues = [dict(zip(names, map(float, row), strict=True)) for row in raw.cues]
    subjects = [Subject(raw.tokens[i], config.labels[shown[i]], float(confidence[i]), cues[i]) for i in range(len(images))]
    candidates = draft_all(pipeline.explainer, subjects)
    if not any(c.completion.answer for c in candidates):
        raise InputError("none of the policy's completions follows the template: train it longer before exporting it")
    prior = np.concatenate([c.reading.emotions for c in candidates]).mean(0)
    answers = np.array([config.labels.index(c.completion.answer) if c.completion.answer else -1 for c in candidates])
    own = np.array([score(c, prior, a, config) for c, a in zip(candidates, answers, strict=True)])
    foreign = foreign_answers(answers, np.random.default_rng(seed))
    swapped = np.array([score(c, prior, a, config) for c, a in zip(candidates, foreign, strict=True)])
    right = (answers == label) & (answers >= 0)
    if not right.any():
        raise InputError("the policy answers no validation face correctly: train it longer before exporting it")
    threshold = float(np.quantile(own[right], 1 - OWN_ACCEPTED))

    spec = replace(
        config.verdict,
        min_consistency=round(threshold, 4),
        min_grounding=0.5,
        min_confidence=round(float(np.quantile(confidence, UNSURE_SHARE)), 3),
        prior=[round(float(v), 5) for v in prior],
    )
    judged = np.array(
        [judge(c.reading.emotions, prior, len(config.labels)) if a >= 0 else -1 for c, a in zip(candidates, answers, strict=True)]
    )
    seen = {
        "temperature": temperature,
        "ece_before": expected_calibration_error(raw.probabilities.max(1), shown == label),
        "ece_after": expected_calibration_error(confidence, shown == label),
        "parseable": float((answers >= 0).mean()),
        "masked_consistency_accepts_own_right": float((own[right] >= threshold).mean()),
        "masked_consistency_rejects_swapped": float((swapped < threshold).mean()),
        "mepc": float((judged == answers).mean()),
        "grounded": float(np.mean([_grounded(c, cues[i], spec) for i, c in enumerate(candidates)])),
    }
    return replace(config, temperature=round(temperature, 4), verdict=spec), seen


def draft_all(explainer: Explainer, subjects: list[Subject], batch: int = 64) -> list[Candidate]:
    """Greedy completions of many faces, with what the verifier reads in them."""
    labels = tuple(explainer.config.labels)
    found: list[Candidate] = []
    for start in range(0, len(subjects), batch):
        texts = explainer.policy.greedy(np.stack([s.tokens for s in subjects[start : start + batch]]))
        found += explainer.read([parse_completion(text, labels) for text in texts])
    return found


def score(candidate: Candidate, prior: np.ndarray, answer: int, config: BundleConfig) -> float:
    """Masked consistency of a candidate with an answer; 0 when there is no answer."""
    return consistency(candidate.reading.emotions, prior, answer, len(config.labels)) if answer >= 0 else 0.0


def _grounded(candidate: Candidate, cues: dict[str, float], spec: VerdictSpec) -> bool:
    claims = read_claims(candidate.reading.claims, cues, spec.claim_threshold)
    return grounding(claims) >= spec.min_grounding and not any(c.contradicted for c in claims)
