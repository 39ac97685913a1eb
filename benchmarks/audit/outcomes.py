"""What a bundle makes of photographs, row by row, and what becomes of it when they are changed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.command import progress
from benchmarks.quality.photographs import Photographs
from benchmarks.quality.reading import explain_subjects
from edge.language.explain import Subject, subject_of
from edge.pipeline import Pipeline
from edge.sources.camera import Frame
from edge.types import Face, Verdict
from edge.vision import quality
from edge.vision.look import Seen

Table = dict[str, np.ndarray]
"""Measure → `[N]` float, NaN where a photograph has no say in it."""


@dataclass(frozen=True, slots=True)
class Outcomes:
    """What was made of N photographs."""

    found: np.ndarray
    """`[N]` bool: a face was found in the middle."""
    unclear: np.ndarray
    """`[N]` bool: a live stream would not read it: turned, blurred, small, or not clear which way up."""
    label: np.ndarray
    """`[N]` str; empty where nothing was read."""
    verdict: np.ndarray
    """`[N]` str, of `Verdict`; empty where nothing was read."""
    cues: Table
    """Deviations from neutral faces; NaN where nothing was read or the cue is hidden."""
    units: Table
    """Intensities of action units, 0…1; none where the bundle tells none."""

    @property
    def read(self) -> np.ndarray:
        """`[N]` bool."""
        return np.asarray(self.label != "")

    def take(self, rows: np.ndarray) -> Outcomes:
        """The chosen rows."""
        cues, units = ({name: values[rows] for name, values in table.items()} for table in (self.cues, self.units))
        return Outcomes(self.found[rows], self.unclear[rows], self.label[rows], self.verdict[rows], cues, units)


def observe(
    pipeline: Pipeline, photographs: Photographs, change: Callable[[np.ndarray], np.ndarray] | None = None, *, title: str = "as they are"
) -> Outcomes:
    """Read and explain the face in the middle of each photograph; explanations are made in batches."""
    faces: list[Face | None] = []
    subjects: list[Subject] = []
    whose: list[int] = []
    unclear = np.zeros(len(photographs), bool)
    for i in progress(range(len(photographs)), title):
        picture = photographs.picture(i)
        picture = change(picture) if change else picture
        seen = pipeline.look(Frame(picture, "image", i, 0.0))
        which = middle_face(seen)
        faces.append(None if which is None else seen.reading.faces[which])
        if which is None:
            continue
        face = seen.reading.faces[which]
        unclear[i] = bool(face.unclear or quality.unclear(seen.crops[which], seen.sides_px[which], face.pose))
        if face.emotion:
            subjects.append(subject_of(face, seen.tokens[which]))
            whose.append(i)
    verdict = np.full(len(photographs), "", "U16")
    verdict[whose] = [explanation.status.value for explanation in explain_subjects(pipeline, subjects, title=f"{title}, explain")[1]]
    return Outcomes(
        np.array([face is not None for face in faces], bool),
        unclear,
        np.array([face.emotion if face else "" for face in faces], "U32"),
        verdict,
        _column(faces, lambda face: {name: z for name, z in face.cues.items() if name not in face.hidden}),
        _column(faces, lambda face: {name: unit.intensity for name, unit in face.action_units.items()}),
    )


def middle_face(seen: Seen) -> int | None:
    """The largest face that lies over the middle of the picture."""
    middle = np.array([seen.reading.width, seen.reading.height]) / 2
    for i, face in enumerate(seen.reading.faces):
        box = face.detection.box_xyxy
        if (box[:2] <= middle).all() and (middle <= box[2:]).all():
            return i
    return None


def tables(outcomes: Outcomes, labels: Sequence[str]) -> dict[str, Table]:
    """Family → measures of photographs.

    Returns:
        `shares`: `found` and `read` of all, `unclear` of the found, `verified`, `rejected` and `abstained` of the read; `labels`, of the
        read; `verified`, of those read under each label; `cues` of the read, `cues_neutral` of those read as neutral, where there is least
        expression; `action_units`.
    """
    found, read = outcomes.found, outcomes.read
    shares = {
        "found": found.astype(float),
        "read": read.astype(float),
        "unclear": np.where(found, outcomes.unclear, np.nan),
        **{verdict.value: np.where(read, outcomes.verdict == verdict.value, np.nan) for verdict in Verdict},
    }
    neutral = outcomes.label == "neutral"
    return {
        "shares": shares,
        "labels": {label: np.where(read, outcomes.label == label, np.nan) for label in labels},
        "verified": {label: np.where(outcomes.label == label, outcomes.verdict == Verdict.VERIFIED.value, np.nan) for label in labels},
        "cues": outcomes.cues,
        "cues_neutral": {cue: np.where(neutral, z, np.nan) for cue, z in outcomes.cues.items()},
        "action_units": outcomes.units,
    }


def changed(before: Outcomes, after: Outcomes) -> Table:
    """What a change of the photographs changes: `label` and `verdict`, of those read both times; `lost`: read before, and no more."""
    both = before.read & after.read
    return {
        "label": np.where(both, before.label != after.label, np.nan),
        "verdict": np.where(both, before.verdict != after.verdict, np.nan),
        "lost": np.where(before.read, ~after.read, np.nan),
    }


def _column(faces: list[Face | None], values: Callable[[Face], dict[str, float]]) -> Table:
    """Name → `[N]`, NaN where a face is not read or has no such value."""
    rows = [values(face) if face and face.emotion else {} for face in faces]
    names = dict.fromkeys(name for row in rows for name in row)
    return {name: np.array([row.get(name, np.nan) for row in rows]) for name in names}
