"""`python -m benchmarks accuracy`: recognition, calibration, explanations and verdicts of a bundle, over faces with known labels.

Explanation figures speak of the policy's greedy rationales; `verified_rate` and `abstained_rate` of what the runtime makes of them.
Claims are judged by the landmarks' cues, never by the encoder's.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
from tqdm.auto import tqdm

from edge.cv import cv2
from edge.errors import InputError
from edge.language.explain import Subject, subjects_of
from edge.language.labels import mask_emotions, parse_emotion
from edge.language.rationale import Completion, split_sentences, write_completion
from edge.language.verdict import judge, sentences_of
from edge.pipeline import Pipeline
from edge.sources.picture import as_grey, read_image
from edge.types import Claim, Explanation, Verdict
from edge.vision.realign import realign
from training.cues import CueModel
from training.data import load_ferplus
from training.lies import plain_closing
from training.metrics import claim_rates, coherence, expected_calibration_error, foreign_answers, recalls, selective_accuracy, war_uar

_SUFFIXES = {".png", ".jpg", ".jpeg"}
_BATCH = 64


@dataclass(frozen=True, slots=True)
class Faces:
    """Labelled face crops."""

    crops: np.ndarray
    """`[N,S,S]` uint8."""
    labels: np.ndarray
    """`[N]` index into the bundle's labels."""
    cues: np.ndarray | None
    """`[N,C]` z-scores from landmarks, NaN rows where no landmarks were found; `None` without landmarks."""
    lost: tuple[int, ...] = ()
    """Labels of the photos in which no face was found; they count as wrong."""


def load_pack(path: Path, split: str, pipeline: Pipeline) -> Faces:
    """The FER+ faces of a split that the reference protocol counts, with cues measured from the landmark pack beside it."""
    faces = load_ferplus(path, split).at(pipeline.config.image.size)
    faces = faces.take(faces.label >= 0)
    if not len(faces):
        raise InputError(f"'{path}' has no face in its {split} split that the reference protocol counts")
    if not np.isfinite(faces.landmarks).any():
        return Faces(faces.images, faces.label, None)
    config = pipeline.bundle.config
    mean, std = (np.array([getattr(cue, key) for cue in config.cues]) for key in ("mean", "std"))
    measured, _ = CueModel(np.array(config.rigid_shape), mean, std).measure(faces.landmarks, faces.point_index)
    return Faces(faces.images, faces.label, measured)


def load_folder(folder: Path, pipeline: Pipeline, *, find_faces: bool) -> Faces:
    """Read `folder/<emotion>/*.png|jpg`: face crops, or whole photos whose largest face is taken.

    Raises:
        InputError: no emotion folder with a picture in it.
    """
    config = pipeline.bundle.config
    named = {sub: parse_emotion(sub.name, config.labels) for sub in sorted(folder.iterdir()) if sub.is_dir()} if folder.is_dir() else {}
    pictures = [(p, emotion) for sub, emotion in named.items() if emotion for p in sorted(sub.iterdir()) if p.suffix.lower() in _SUFFIXES]
    if not pictures:
        raise InputError(f"'{folder}' has no sub-folder named after an emotion with pictures in it ({', '.join(config.labels)})")
    crops, labels, lost = [], [], []
    for path, emotion in tqdm(pictures, desc="pictures", leave=False, disable=None):
        grey = as_grey(read_image(path))
        if find_faces:
            found = realign(grey, pipeline.finder(grey), pipeline.encoder, pipeline.config)
            if not found:
                lost.append(config.labels.index(emotion))
                continue
            grey = found[0].crop
        else:
            size = config.image.size
            grey = np.asarray(cv2.resize(grey, (size, size), interpolation=cv2.INTER_AREA)) if grey.shape != (size, size) else grey
        crops.append(grey)
        labels.append(config.labels.index(emotion))
    if not crops:
        raise InputError(f"no face was found in the {len(lost)} photos under '{folder}'")
    return Faces(np.stack(crops), np.array(labels), None, tuple(lost))


def measure(pipeline: Pipeline, faces: Faces, *, closed: bool) -> dict[str, Any]:
    """Measure a bundle on faces.

    Args:
        pipeline: the loaded bundle.
        faces: what to read.
        closed: leave classes without faces out of the head's answer space (the policy's answers stay open).

    Returns:
        The benchmark's flat object; figures that cannot be measured are None.
    """
    config = pipeline.bundle.config
    names = list(config.labels)
    truth, count = faces.labels, len(names)
    read = pipeline.encoder.read(faces.crops)
    probabilities = read.probabilities
    if closed:
        absent = np.bincount(truth, minlength=count) == 0
        probabilities = np.where(absent, 0, probabilities)
        probabilities = probabilities / probabilities.sum(1, keepdims=True)
    shown, confidence = probabilities.argmax(1), probabilities.max(1)
    subjects = subjects_of(replace(read, probabilities=probabilities), config)
    drafts: list[Explanation] = []
    for i in tqdm(range(0, len(subjects), _BATCH), desc="explain", leave=False, disable=None):
        drafts += pipeline.explainer.draft(subjects[i : i + _BATCH])
    final = [pipeline.explainer.settle(d, s) for d, s in zip(tqdm(drafts, desc="settle", leave=False, disable=None), subjects, strict=True)]

    answer = np.array([names.index(d.answer) if d.answer else -1 for d in drafts])
    right = (answer == truth) & (answer == shown)
    full, masked = (judged(pipeline, drafts, mask) for mask in (False, True))
    missed = np.full(len(faces.lost), -1)  # a photo in which no face was found has neither label nor text
    every = np.concatenate([truth, np.array(faces.lost, int)])
    answers, heard, heard_masked, labels = (np.concatenate([part, missed]) for part in (answer, full, masked, shown))
    war, uar = war_uar(every, labels, count)
    status = [e.status for e in final]
    return {
        "n": len(every),
        "found": len(truth),
        "war": war,
        "uar": uar,
        "recall": dict(zip(names, map(float, recalls(every, labels, count)), strict=True)),
        "ece": expected_calibration_error(confidence, shown == truth),
        "selective_accuracy_80": selective_accuracy(confidence, shown == truth, 0.8),
        "answer_war": float((answers == every).mean()),
        "parseable": float((answer >= 0).mean()),
        **coherence(every, answers, heard),
        **{f"m{key}": value for key, value in coherence(every, answers, heard_masked).items()},
        **_claims(drafts, faces.cues, [cue.name for cue in config.cues]),
        "verified_rate": status.count(Verdict.VERIFIED) / len(every),
        "verified_and_wrong": sum(s is Verdict.VERIFIED and w for s, w in zip(status, shown != truth, strict=True)) / len(every),
        "abstained_rate": status.count(Verdict.ABSTAINED) / len(every),
        **_verdicts(pipeline, drafts, subjects, answer, right),
    }


def judged(pipeline: Pipeline, drafts: list[Explanation], mask: bool) -> np.ndarray:
    """The label that the verifier reads from each rationale alone `[N]`, −1 without one; `mask` hides the emotion words."""
    config, verifier = pipeline.bundle.config, pipeline.explainer.verifier
    found = np.full(len(drafts), -1)
    prior = np.asarray(config.verdict.prior)
    for i, draft in enumerate(drafts):
        if draft.draft:
            done = Completion(draft.draft, draft.answer)
            sentences = sentences_of(done, pipeline.explainer.grammar.parse(draft.draft)) if mask else split_sentences(draft.draft)
            found[i] = judge(verifier(sentences).emotions, prior, len(config.labels))
    return found


def _claims(drafts: list[Explanation], cues: np.ndarray | None, names: list[str]) -> dict[str, float | None]:
    """Claims of movement; those of rest are easier to fulfil and would flatter the figure."""
    if cues is None:
        return claim_rates(0, 0, 0)
    claims = [
        Claim(claim.cue, claim.direction, float(row[names.index(claim.cue)]))
        for draft, row in zip(drafts, cues, strict=True)
        if np.isfinite(row).all()
        for claim in draft.claims
        if claim.direction
    ]
    rates = claim_rates(sum(c.supported for c in claims), sum(c.contradicted for c in claims), len(claims))
    return {**rates, "claims_per_face": len(claims) / max(1, int(np.isfinite(cues).all(1).sum()))}


def _verdicts(
    pipeline: Pipeline, drafts: list[Explanation], subjects: list[Subject], answer: np.ndarray, right: np.ndarray
) -> dict[str, float]:
    """How often the verdict accepts a right-answered own rationale, and rejects one given another face's (different) answer.

    The swapped rationale is judged as if its new answer were the shown label: as it stands (`swap_rejected`), and with a closing for that
    answer, so that only its evidence can give it away (`swap_rejected_renamed`).
    """
    names, grammar, random = pipeline.bundle.config.labels, pipeline.explainer.grammar, Random(0)
    accepted = np.array([d.status is Verdict.VERIFIED for d in drafts])
    foreign = foreign_answers(answer, np.random.default_rng(0))
    swaps = [(d, replace(s, emotion=names[f])) for d, s, f in zip(drafts, subjects, foreign, strict=True) if d.answer and f >= 0]

    def renamed(text: str, answer: str) -> str:
        parsed = grammar.parse(text)
        return f"{parsed.evidence} {plain_closing(grammar, answer, random)}" if parsed else mask_emotions(text)

    def rejected(closed: Callable[[str, str], str]) -> float:
        texts = [write_completion(closed(draft.draft, face.emotion), face.emotion) for draft, face in swaps]
        judged = pipeline.explainer.judge(texts, [face for _, face in swaps])
        return float(np.mean([e.status is not Verdict.VERIFIED for e in judged])) if swaps else float("nan")

    return {
        "own_accepted": float(accepted[right].mean()) if right.any() else float("nan"),
        "swap_rejected": rejected(lambda text, _: text),
        "swap_rejected_renamed": rejected(renamed),
    }


def run(pipeline: Pipeline, data: Path, *, split: str, find_faces: bool, closed: bool) -> dict[str, Any]:
    """Measure on a pack (`.npz`) or a folder of emotion folders."""
    faces = load_pack(data, split, pipeline) if data.suffix == ".npz" else load_folder(data, pipeline, find_faces=find_faces)
    return measure(pipeline, faces, closed=closed)
