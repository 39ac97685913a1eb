"""What a bundle's `config.json` holds that must be measured on validation faces: temperature, prior, verdict thresholds.

FER+ validation faces decide temperature, prior and consistency; the confidence below which the pipeline abstains is the least with which
verified explanations of wrong labels stay rare there and, where the pack is at hand, on faces elsewhere.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from edge.bundle import HASHES, Bundle, BundleConfig, VerdictSpec
from edge.errors import InputError
from edge.language.explain import Explainer, subjects_of
from edge.language.verdict import judge
from edge.pipeline import Pipeline
from edge.types import Explanation, Verdict
from edge.vision.encoder import FaceEncoder, softmax
from export.card import CALIBRATION
from export.plots import draw_calibration
from export.publish import write_config
from export.visibility import CLEAR, VEILED
from training.attacks import DECEITS, TRUE, attempts, judge_suite
from training.certainty import TORN
from training.data import FerPlus, elsewhere, load_ferplus
from training.drafts import Drafts, cases_of, draft
from training.folders import new_folder
from training.language import fit_temperature
from training.metrics import expected_calibration_error, recalls, selective_accuracy, war_uar

FALSE_ACCEPTS = 0.02
"""Share of deceiving texts that the verdict may let through, mean over the attacks that a threshold of consistency can tell apart."""
WORST_ATTACK = 0.045
"""And of each of them alone: under the 0.05 that is asked, which other faces would otherwise pass as often as not."""
UNSURE_SHARE = 0.05
"""At least this share of validation faces lies below the confidence at which the pipeline abstains."""
_LIMITED, _BEFORE = ("validation", "agreement with float32"), ", before it was recalibrated"
"""Figures that hang on the limits of the verdict."""
VERIFIED_AND_WRONG = {"FER+": 0.055, "elsewhere": 0.1}
"""Largest share of all validation faces with a verified explanation of a wrong label."""


@dataclass(frozen=True, slots=True)
class Calibration:
    """What calibration found."""

    config: BundleConfig
    """With the measured values."""
    seen: dict[str, float]
    """The rates seen while choosing them."""
    confidence: np.ndarray
    """`[N]` calibrated confidence on the validation faces."""
    right: np.ndarray
    """`[N]` whether the shown label is the truth."""


def calibrate(pipeline: Pipeline, faces: FerPlus, others: FerPlus | None = None) -> Calibration:
    """Measure temperature, prior and thresholds on labelled validation faces.

    Args:
        pipeline: one over the uncalibrated graphs (temperature 1, thresholds that let everything through).
        faces: validation faces; those without a majority label are left out.
        others: labelled faces from elsewhere, which steer when to abstain; where they are at hand, the encoder's own temperatures, which
            were fitted on both, are left alone.

    Raises:
        InputError: the policy is too young to be calibrated.
    """
    config = pipeline.bundle.config
    drafts = draft(pipeline, faces.take(faces.label >= 0))
    if not any(c.completion.answer for c in drafts.candidates):
        raise InputError("none of the policy's completions follows the template: train it longer before exporting it")
    temperature = (
        1.0 if others is not None else fit_temperature(drafts.logits, drafts.label)
    )  # else the encoder's own, of both worlds, holds
    probabilities = softmax(drafts.logits / temperature)
    confidence, right = probabilities.max(1), probabilities.argmax(1) == drafts.label
    prior = np.concatenate([c.reading.emotions for c in drafts.candidates]).mean(0)
    config = replace(
        config,
        temperature=round(temperature, 4),
        verdict=replace(
            config.verdict,
            min_confidence=round(float(np.quantile(confidence, UNSURE_SHARE)), 3),
            prior=[round(float(v), 5) for v in prior],
        ),
    )
    parts = pipeline.explainer
    explainer = Explainer(parts.policy, parts.verifier, parts.grammar, config)
    verdict, rates = choose_thresholds(explainer, drafts, config.verdict)
    answers = np.array([config.labels.index(c.completion.answer) if c.completion.answer else -1 for c in drafts.candidates])
    read = [judge(c.reading.emotions, prior, len(config.labels)) if c.completion.answer else -1 for c in drafts.candidates]
    uncalibrated = softmax(drafts.logits)
    seen = {
        "temperature": temperature,
        "ece_before": expected_calibration_error(uncalibrated.max(1), right),
        "ece_after": expected_calibration_error(confidence, right),
        "selective_accuracy_80": selective_accuracy(confidence, right, 0.8),
        **_accuracy(probabilities, drafts.label, config.labels),
        "parseable": float((answers >= 0).mean()),
        "mepc": float((np.array(read) == answers).mean()),
        **rates,
    }
    config = replace(config, verdict=verdict)
    least, more = choose_confidence(Explainer(parts.policy, parts.verifier, parts.grammar, config), pipeline.encoder, faces, others)
    config = replace(config, verdict=replace(verdict, min_confidence=max(verdict.min_confidence, least)))
    return Calibration(config, {**seen, **more}, confidence, right)


def choose_confidence(explainer: Explainer, encoder: FaceEncoder, faces: FerPlus, others: FerPlus | None) -> tuple[float, dict[str, float]]:
    """The least confidence with which the limits of `VERIFIED_AND_WRONG` are kept, and what was seen at it.

    Returns:
        It, and per set the shares of all faces that are verified, and verified and wrong.
    """
    config = replace(explainer.config, verdict=replace(explainer.config.verdict, min_confidence=0.0))
    free, encoder = Explainer(explainer.policy, explainer.verifier, explainer.grammar, config), FaceEncoder(encoder.session, config)
    sets = {"FER+": faces.take(faces.label >= 0), **({"elsewhere": others} if others is not None else {})}
    found: dict[str, tuple[np.ndarray, np.ndarray, np.ndarray]] = {}
    for name, group in sets.items():
        subjects = subjects_of(encoder.read(group.images), config)
        shown = [e for i in range(0, len(subjects), 64) for e in free(subjects[i : i + 64])]
        verified = np.array([e.status is Verdict.VERIFIED for e in shown])
        wrong = np.array([s.emotion for s in subjects]) != np.array(config.labels)[group.label]
        found[name] = np.array([s.confidence for s in subjects]), verified, wrong

    def rate(name: str, least: float) -> float:
        confidence, verified, wrong = found[name]
        return float((verified & wrong & (confidence >= least)).mean())

    tried = np.round(np.arange(0.3, 0.96, 0.01), 2)
    least = next((float(t) for t in tried if all(rate(name, t) <= VERIFIED_AND_WRONG[name] for name in found)), float(tried[-1]))
    seen = {f"verified_and_wrong.{name}": rate(name, least) for name in found}
    return least, seen | {f"verified.{name}": float((v & (c >= least)).mean()) for name, (c, v, _) in found.items()}


def recalibrate(folder: Path, data: Path, out: Path) -> dict[str, float]:
    """Write a copy of a bundle that reads torn faces both ways round, says nothing of what may be hidden (`VEILED`, `CLEAR`), and
    abstains below a confidence that is chosen anew for it.

    Args:
        folder: the bundle.
        data: folder of the data packs.
        out: the new bundle; an existing one is replaced at the very end.

    Returns:
        `min_confidence`, and the shares that were seen with it.

    Raises:
        BundleError: the bundle is damaged.
        InputError: a pack is missing, or `out` cannot be written.
    """
    bundle = Bundle.load(folder)
    size, before = bundle.config.image.size, bundle.config
    verdict = replace(before.verdict, min_said=VEILED, min_rest=CLEAR) if before.verdict.min_visible else before.verdict
    config = replace(before, image=replace(before.image, torn=TORN), verdict=verdict)
    faces = load_ferplus(data, "valid").at(size)
    faces = faces.take(faces.label >= 0)
    with Pipeline.load(folder, device="cpu") as pipeline:
        parts, encoder = pipeline.explainer, FaceEncoder(pipeline.encoder.session, config)
        explainer = Explainer(parts.policy, parts.verifier, parts.grammar, config)
        least, seen = choose_confidence(explainer, encoder, faces, elsewhere(data, size))
        probabilities = encoder.read(faces.images).probabilities
    confidence, right = probabilities.max(1), probabilities.argmax(1) == faces.label
    seen |= {"ece": expected_calibration_error(confidence, right), "selective_accuracy_80": selective_accuracy(confidence, right, 0.8)}
    seen |= _accuracy(probabilities, faces.label, config.labels)
    kept = {title: values for title, values in before.metrics.items() if title not in _LIMITED}
    older = {f"{title}{_BEFORE}": before.metrics[title] for title in _LIMITED if title in before.metrics}
    metrics = {"validation": seen, **kept, **{title: values for title, values in older.items() if title not in kept}}
    with new_folder(out, HASHES, sources=[bundle.folder]) as fresh:
        for path in bundle.folder.iterdir():
            shutil.copyfile(path, fresh / path.name)
        draw_calibration(fresh / CALIBRATION, confidence, right)
        write_config(fresh, replace(config, verdict=replace(config.verdict, min_confidence=least), metrics=metrics))
        Pipeline.load(fresh, device="cpu").close()
    return {"min_confidence": least, **seen}


def _accuracy(probabilities: np.ndarray, label: np.ndarray, labels: list[str]) -> dict[str, float]:
    """Right of all faces, the mean over emotions, and right of each emotion's faces."""
    shown = probabilities.argmax(1)
    war, uar = war_uar(label, shown, len(labels))
    each = zip(labels, map(float, recalls(label, shown, len(labels))), strict=True)
    return {"war": war, "uar": uar, **{f"recall.{name}": share for name, share in each if share == share}}


def choose_thresholds(explainer: Explainer, drafts: Drafts, spec: VerdictSpec) -> tuple[VerdictSpec, dict[str, float]]:
    """The consistency that accepts most true rationales while letting through at most `FALSE_ACCEPTS` of the deceiving ones.

    `cues_of_another_face` has no say: its texts speak for the right label, so that only the statements can give them away, which must be
    true anyway.

    Returns:
        The verdict with its thresholds, and the accept rates at them: `own` and each attack. Where no thresholds keep the limits, those
        with the fewest false accepts.

    Raises:
        InputError: no face is answered correctly.
    """
    cases = cases_of(explainer, drafts)
    if not cases:
        raise InputError("the policy answers no validation face correctly: train it longer before exporting it")
    judged = judge_suite(explainer, attempts(cases, list(explainer.config.labels)))
    best: tuple[tuple[float, ...], float, dict[str, float]] | None = None
    for least in np.unique(np.round(np.geomspace(0.001, 1, 120), 4)):
        rates = {name: _passing(group, float(least)) for name, group in judged.items()}
        deceits = [rates[name] for name in DECEITS if name != "cues_of_another_face" and not np.isnan(rates[name])] or [0.0]
        kept = np.mean(deceits) <= FALSE_ACCEPTS and max(deceits) <= WORST_ATTACK
        merit = (1.0, rates[TRUE]) if kept else (0.0, -float(np.mean(deceits)))
        if best is None or merit > best[0]:
            best = merit, float(least), rates
    assert best is not None
    verdict = replace(spec, min_consistency=best[1])
    return verdict, {("own_accepted" if name == TRUE else f"false_accepts.{name}"): rate for name, rate in best[2].items()}


def _passing(judged: list[Explanation], least: float) -> float:
    """Share of texts, judged without thresholds, that pass with this consistency."""
    if not judged:
        return float("nan")
    return float(np.mean([e.status is Verdict.VERIFIED and e.consistency >= least for e in judged]))
