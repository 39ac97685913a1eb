"""Drawn faces and what is said of them: for tests of texts, without any network."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import numpy as np

from edge.bundle import SCHEMA, BundleConfig, CueSpec, FaceSpec, ImageSpec, PolicySpec, VerdictSpec
from edge.language.explain import Explainer, Subject
from edge.language.grammar import Grammar
from edge.language.labels import EMOTIONS_8, EMOTIONS_11
from edge.language.rationale import write_completion
from edge.language.statements import Facts
from edge.language.verifier import DIRECTIONS, SentenceReading
from training.cues import CUE_NAMES, CUES
from training.writer import Writer, at_random, text_of

ALWAYS = "jaw_drop"
"""A cue that every drawn face shows, and that the deaf verifier finds claimed in every sentence."""


def spoken_faces(grammar: Grammar, count: int, seed: int) -> list[tuple[Subject, str]]:
    """Faces with a completion each, true of them."""
    random_, rng, found = np.random.default_rng(seed), random.Random(seed), []
    writer = Writer(grammar)
    while len(found) < count:
        z = np.clip(random_.normal(0, 1.8, len(CUE_NAMES)), -4, 4)
        odds = random_.dirichlet(np.full(len(EMOTIONS_8), 0.25))
        label = EMOTIONS_8[int(odds.argmax())]
        cues = {**dict(zip(CUE_NAMES, map(float, z), strict=True)), ALWAYS: float(random_.uniform(1.7, 2.9))}
        facts = Facts(
            cues, float(random_.normal(0, 18)), float(random_.normal(0, 12)), dict(zip(EMOTIONS_8, map(float, odds), strict=True))
        )
        if phrases := writer.write(facts, label, at_random(rng)):
            subject = Subject(np.zeros((1, 1), np.float32), label, float(odds.max()), facts)
            found.append((subject, write_completion(text_of(phrases), label)))
    return found


class DeafVerifier:
    """Finds every sentence as good for one emotion as for another, wholly covered, and always the same claim in it."""

    def __call__(self, sentences: list[str]) -> SentenceReading:
        claims = np.zeros((len(sentences), len(CUE_NAMES), len(DIRECTIONS)))
        claims[:, CUE_NAMES.index(ALWAYS), 0] = 1
        return SentenceReading(np.full((len(sentences), len(EMOTIONS_11)), 0.1), claims, np.ones(len(sentences)))


def config_of(**changes: Any) -> BundleConfig:
    """A bundle's configuration that says little."""
    cues = [CueSpec(c.name, c.action_unit, c.formula, 0.0, 1.0, []) for c in CUES]
    config = BundleConfig(
        schema=SCHEMA,
        labels=list(EMOTIONS_8),
        verifier_labels=list(EMOTIONS_11),
        cues=cues,
        image=ImageSpec(48, 1, 1 / 255, []),
        face=FaceSpec(320, 0.5, 0.3),
        policy=PolicySpec(0, 1, 2, 1, 1, 20, 1, 1, 1, 0, 1.0),
        verdict=VerdictSpec(0.5, 0.0, 0.5, 2.0, [0.1] * len(EMOTIONS_11), 64),
        temperature=1.0,
        rigid_shape=[],
        provenance={},
        metrics={},
    )
    return replace(config, **changes)


def explainer_of(grammar: Grammar, **changes: Any) -> Explainer:
    """An explainer that judges and cannot write."""
    return Explainer(None, DeafVerifier(), grammar, config_of(**changes))  # type: ignore[arg-type]
