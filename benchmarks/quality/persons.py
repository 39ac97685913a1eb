"""`python -m benchmarks persons`: is what is said to have moved the expression, or how that person's face is built?

Portraits of the photo pack show the same people again and again. A movement that is stated of one of them is held against the same person's
other photographs: it is the expression where the cue lies a deviation beyond what it is there. What the population's mean makes of a face
that is built otherwise shows here, and nowhere else. All of it is the encoder's own reading: whose mistakes are the same in every
photograph of a person are not seen.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.command import Figures, of_pipeline, progress, whole
from benchmarks.quality.again import PORTRAIT
from benchmarks.quality.interval import share
from edge.cv import cv2
from edge.pipeline import Pipeline
from edge.types import Face
from training.photos import open_pack

LEAST_PHOTOGRAPHS, LEAST_AT_REST = 5, 2
"""Of a person, to be held against each other; neutral ones among the others, to tell the person's rest by."""
_BEYOND = 1.0  # deviations, as a claim holds beyond the population's rest


@dataclass(frozen=True, slots=True)
class Portrait:
    """One reading of a person."""

    cues: dict[str, float]
    """In deviations of the population's neutral faces."""
    label: str
    stated: list[tuple[str, int]]
    """Cue and direction of each movement that is stated, in a text that is shown."""


def portrait(face: Face) -> Portrait:
    """What there is to hold against the person's other photographs."""
    shown = face.explanation.statements if face.explanation and face.explanation.text else ()
    return Portrait(dict(face.cues), face.emotion, [(s.subject, s.direction) for s in shown if s.kind in ("movement", "one_sided")])


def load(archive: Path, pipeline: Pipeline, limit: int = 0) -> dict[str, list[Portrait]]:
    """Person → what is read and said of each photograph in which one face is found; of `limit` people, 0: of all."""
    pack, index = open_pack(archive)
    names: dict[str, list[str]] = defaultdict(list)
    for row in sorted(index, key=lambda row: row["file"]):
        if found := PORTRAIT.fullmatch(row["file"]):
            names[found[1]].append(row["file"])
    people: dict[str, list[Portrait]] = {}
    for person in progress(list(names)[: limit or None], "people"):
        pictures = (cv2.imdecode(np.frombuffer(pack.read(name), np.uint8), cv2.IMREAD_COLOR) for name in names[person])
        faces = (pipeline(picture).faces for picture in pictures)
        people[person] = [portrait(seen[0]) for seen in faces if len(seen) == 1 and seen[0].explanation]
    return people


def own_rest(others: list[Portrait], cue: str) -> float:
    """Where a person's cue lies in the middle of other photographs: those that are neutral, or where there are too few, all."""
    rest = [seen for seen in others if seen.label == "neutral"]
    return float(np.median([seen.cues[cue] for seen in (rest if len(rest) >= LEAST_AT_REST else others)]))


def figures(people: dict[str, list[Portrait]]) -> Figures:
    """Hold every stated movement against its person.

    Returns:
        `people`, `photographs` of those that have enough; `holds`, the share of the stated movements beyond the person's own rest by a
        deviation, and of those of neutral faces alone, `neutral`; `by_cue`: cue and side → the same share. Intervals are over people.
    """
    known = [seen for seen in people.values() if len(seen) >= LEAST_PHOTOGRAPHS]
    marks: dict[str, np.ndarray] = defaultdict(lambda: np.zeros((len(known), 2)))
    for i, seen in enumerate(known):
        for k, one in enumerate(seen):
            for cue, direction in one.stated:
                holds = direction * (one.cues[cue] - own_rest(seen[:k] + seen[k + 1 :], cue)) > _BEYOND
                for name in ("all", f"{cue}{'+' if direction > 0 else '-'}", *(["neutral"] if one.label == "neutral" else [])):
                    marks[name][i] += holds, 1

    def told(name: str) -> Figures:
        return share(*marks[name].T)

    by_cue = {name: told(name) for name in sorted(marks) if name not in ("all", "neutral")}
    return {"people": len(known), "photographs": sum(map(len, known)), "holds": told("all"), "neutral": told("neutral"), "by_cue": by_cue}


def measure(pipeline: Pipeline, args: argparse.Namespace) -> Figures:
    """See `figures`."""
    return figures(load(args.data, pipeline, args.people))


def _options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--data", type=Path, required=True, help="faces_in_context.zip")
    parser.add_argument("--people", type=whole, default=0, metavar="N", help="0: all (default)")


COMMAND = of_pipeline(measure, _options)
