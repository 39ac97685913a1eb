"""`python -m benchmarks accuracy`: recognition, calibration, explanations and verdicts of a bundle, over faces with known labels.

Explanation figures speak of the policy's greedy rationales, whose claims the landmarks judge; rates of verdicts of what the runtime shows.
"""

from __future__ import annotations

import argparse
from dataclasses import replace

import numpy as np

from benchmarks.command import Figures, of_pipeline
from benchmarks.quality.reading import Faces, Read, data_options, explain, load_faces, verdict_rates
from edge.language.rationale import Completion, split_sentences
from edge.language.verdict import judge, sentences_of
from edge.pipeline import Pipeline
from edge.types import Claim, Explanation
from training.metrics import claim_rates, coherence, expected_calibration_error, recalls, selective_accuracy, war_uar


def measure(pipeline: Pipeline, faces: Faces, *, closed: bool) -> Figures:
    """The figures, flat; `closed` leaves classes without faces out of the head's answer space (the policy's answers stay open)."""
    config = pipeline.bundle.config
    names = list(config.labels)
    truth, count = faces.labels, len(names)
    encoded = pipeline.encoder.read(faces.crops)
    if closed:
        probabilities = np.where(np.bincount(truth, minlength=count) == 0, 0, encoded.probabilities)
        encoded = replace(encoded, probabilities=probabilities / probabilities.sum(1, keepdims=True))
    read = Read(encoded)
    drafts, final = explain(pipeline, read)
    shown = read.shown

    answer = np.array([names.index(d.answer) if d.answer else -1 for d in drafts])
    full, masked = (judged(pipeline, drafts, mask) for mask in (False, True))
    missed = np.full(len(faces.lost), -1)  # a photo in which no face was found has neither label nor text
    every = np.concatenate([truth, np.array(faces.lost, int)])
    answers, heard, heard_masked, labels = (np.concatenate([part, missed]) for part in (answer, full, masked, shown))
    war, uar = war_uar(every, labels, count)
    return {
        "n": len(every),
        "found": len(truth),
        "war": war,
        "uar": uar,
        "recall": dict(zip(names, map(float, recalls(every, labels, count)), strict=True)),
        "ece": expected_calibration_error(read.confidence, shown == truth),
        "selective_accuracy_80": selective_accuracy(read.confidence, shown == truth, 0.8),
        "answer_war": float((answers == every).mean()),
        "parseable": float((answer >= 0).mean()),
        **coherence(every, answers, heard),
        **{f"m{key}": value for key, value in coherence(every, answers, heard_masked).items()},
        **_claims(drafts, faces.cues, [cue.name for cue in config.cues]),
        **verdict_rates(final, shown == truth, len(faces.lost)),
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


def _claims(drafts: list[Explanation], cues: np.ndarray, names: list[str]) -> dict[str, float | None]:
    """Claims of movement; those of rest are easier to fulfil and would flatter the figure."""
    told = [(c, row) for draft, row in zip(drafts, cues, strict=True) if np.isfinite(row).all() for c in draft.claims if c.direction]
    return claim_figures([Claim(c.cue, c.direction, float(row[names.index(c.cue)])) for c, row in told], cues)


def claim_figures(claims: list[Claim], cues: np.ndarray) -> dict[str, float | None]:
    """`training.metrics.claim_rates`, and `claims_per_face` of those whose `[N,C]` cues the landmarks tell."""
    rates = claim_rates(sum(c.supported for c in claims), sum(c.contradicted for c in claims), len(claims))
    known = int(np.isfinite(cues).all(1).sum())
    return {**rates, "claims_per_face": len(claims) / known if known else None}


def _options(parser: argparse.ArgumentParser) -> None:
    data_options(parser, faces=0)
    parser.add_argument("--find-faces", action="store_true", help="the folder holds whole photos: find the largest face first")
    parser.add_argument("--closed", action="store_true", help="leave classes that the data lacks out of the answer space")


def _run(pipeline: Pipeline, args: argparse.Namespace) -> Figures:
    faces = load_faces(args.data, args.split, args.faces, pipeline, find_faces=args.find_faces)
    return measure(pipeline, faces, closed=args.closed)


COMMAND = of_pipeline(_run, _options)
