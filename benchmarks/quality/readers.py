"""`python -m benchmarks readers`: what two readers saw in faces elsewhere, beside the one label that the pack has, and what a bundle sees.

`readers.csv` has 486 faces of `faces_elsewhere`, all that are labelled disgust or fear and some of every other label. Of each, two of
four vision models named what it shows, and what it may show besides, blind to the labels, to each other and to any bundle. They are readers
and not the truth: where they agree with each other and not with the label, nobody can ask more of a bundle than to agree with either.
"""

from __future__ import annotations

import argparse
import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.command import Figures, of_pipeline
from benchmarks.quality.interval import DRAWS, LEVEL, share
from benchmarks.quality.reading import read_crops
from edge.errors import InputError
from edge.language.labels import EMOTIONS_8
from edge.pipeline import Pipeline
from training.data import elsewhere

LABELS = 7
"""The labels of the pack that a reader may give: all but contempt."""
_SEEN = Path(__file__).with_name("readers.csv")
_OF = 2366
"""Faces of the pack with one of those labels, among which the table's numbers count."""


@dataclass(frozen=True, slots=True)
class Readers:
    """What two readers saw in N faces."""

    face: np.ndarray
    """`[N]` which face of `training.data.elsewhere`."""
    first: np.ndarray
    """`[N,2]` what each saw, index into the labels."""
    perhaps: np.ndarray
    """`[N,2]` what each would have said next; −1: nothing."""

    def both(self, label: int) -> np.ndarray:
        """`[N]` whether both saw it."""
        return np.asarray((self.first == label).all(1))

    def both_perhaps(self, label: int) -> np.ndarray:
        """`[N]` whether both saw it, or would have said it next."""
        return np.asarray(((self.first == label) | (self.perhaps == label)).all(1))


def load_readers(path: Path = _SEEN) -> Readers:
    """Read the table; `InputError` where it names no face or no label."""
    try:
        with path.open(newline="") as table:
            rows = list(csv.DictReader(table))
        if not rows:
            raise ValueError("no row")
        face = np.array([int(row["face"]) for row in rows])
        first, perhaps = (
            np.array([[EMOTIONS_8.index(row[name]) if row[name] else -1 for name in names] for row in rows])
            for names in (("first", "second"), ("first_perhaps", "second_perhaps"))
        )
    except (OSError, KeyError, ValueError) as error:
        raise InputError(f"'{path}' is no table of what readers saw: {error}") from None
    return Readers(face, first, perhaps)


def measure(pipeline: Pipeline, args: argparse.Namespace) -> Figures:
    """The readers' figures and the bundle's (`compare`); `InputError` where the pack is missing, or not the one that was read."""
    faces, saw = elsewhere(args.data, pipeline.config.image.size), load_readers()
    if faces is None:
        raise InputError(f"no faces_elsewhere.zip in '{args.data}'")
    if len(faces.label) != _OF:
        raise InputError(f"faces_elsewhere has {len(faces.label)} faces of seven labels; the readers saw a version of {_OF}")
    seen = read_crops(pipeline, faces.images[saw.face]).encoded.probabilities[:, :LABELS].argmax(1)
    mix = np.bincount(faces.label, minlength=LABELS) / len(faces.label)
    return compare(saw, faces.label[saw.face], seen, mix)


def compare(saw: Readers, truth: np.ndarray, seen: np.ndarray, mix: np.ndarray) -> Figures:
    """Hold readers, labels and a bundle against each other.

    Args:
        saw: what readers saw in N faces.
        truth: `[N]` their labels in the pack; every label is there.
        seen: `[N]` what the bundle sees.
        mix: `[7]` how often the pack has each label.

    Returns:
        `faces`; `first`, `second`, `mean` (of both readers), `agree` (they say the same) and `bundle`: `war`, as the pack is mixed, and
        `uar`, with intervals; `labels`: label → `faces`, the same five as recalls, and of its faces that `both` readers call so, or
        `both_perhaps`, how many `faces` there are and the bundle's `recall`.
    """
    hits = {"first": saw.first[:, 0] == truth, "second": saw.first[:, 1] == truth, "mean": (saw.first == truth[:, None]).mean(1)}
    hits |= {"agree": saw.first[:, 0] == saw.first[:, 1], "bundle": seen == truth}
    scores = {name: _recall(truth, its.astype(float), mix) for name, its in hits.items()}
    labels: Figures = {}
    for label in range(LABELS):
        mine = truth == label
        row = labels[EMOTIONS_8[label]] = {"faces": int(mine.sum()), **{name: float(its[mine].mean()) for name, its in hits.items()}}
        for name, which in (("both", saw.both(label) & mine), ("both_perhaps", saw.both_perhaps(label) & mine)):
            row[name] = {"faces": int(which.sum()), "recall": share(seen[which] == label)}
    return {"faces": len(truth), **scores, "labels": labels}


def _recall(truth: np.ndarray, hit: np.ndarray, mix: np.ndarray) -> Figures:
    """`war`, as the pack is mixed, and `uar` of what hit, with intervals over faces that are drawn anew within their label."""
    rng = np.random.default_rng(0)
    drawn = np.empty((DRAWS, LABELS))
    means = np.empty(LABELS)
    for label in range(LABELS):
        its = hit[truth == label]
        means[label], drawn[:, label] = its.mean(), rng.choice(its, (DRAWS, len(its))).mean(1)

    def told(weights: np.ndarray) -> Figures:
        low, high = np.percentile(drawn @ weights, LEVEL)
        return {"share": float(means @ weights), "low": float(low), "high": float(high)}

    return {"war": told(mix), "uar": told(np.full(LABELS, 1 / LABELS))}


def _options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--data", type=Path, required=True, help="folder of the data packs")


COMMAND = of_pipeline(measure, _options)
