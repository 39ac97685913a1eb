"""The audit's figures: groups, gaps, what changed photographs change, and two bundles side by side."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.audit.changes import CHANGES
from benchmarks.audit.groups import Split, gap_changes, gaps, mean, means, split
from benchmarks.command import Figures, progress
from benchmarks.quality.interval import difference, share
from benchmarks.quality.photographs import AXES as LABELLED
from benchmarks.quality.photographs import Photographs
from benchmarks.quality.reading import explain_subjects
from edge.language.explain import Subject, subject_of
from edge.pipeline import Pipeline
from edge.sources.camera import Frame
from edge.types import Face, Verdict
from edge.vision import quality
from edge.vision.look import Seen

AXES: dict[str, tuple[str, ...]] = {"all": (), "race": ("race",), "gender": ("gender",), "age": ("age",), "race_gender": ("race", "gender")}
"""How photographs are grouped, and by what."""
OFFSETS = ("cues", "cues_neutral", "action_units")
"""Families whose measures are not shares: of them a group's distance to all photographs is told, and of all the mean."""


def measure(pipelines: dict[str, Pipeline], photographs: Photographs, *, pairs: int = 0) -> Figures:
    """Audit bundles on the same photographs, `pairs` of them changed as well (0: all); a second is what the first is held against.

    Returns:
        `photographs`, `pairs`: how many; `bundles`: name → `commit`, `groups` (axis → group → `n` and family → measure → `share` or `by`
        with `low`, `high`, `n`), `gaps` (axis → family → measure → see `groups.gaps`) and `changes` (change → `label`, `verdict`, `lost`,
        each a share with `gap`, the largest between races); `against`: `None`, or `gaps` (share → by how much the first bundle's between
        races is larger) and `changes` (change → `label`, `verdict`, `lost` → the same of the share).
    """
    chosen = photographs.some(pairs)
    some = photographs.take(chosen)
    splits = {axis: _split(photographs, axis) for axis in AXES}
    bundles: Figures = {}
    seen: list[tuple[Table, dict[str, Table]]] = []
    for name, pipeline in pipelines.items():
        base = observe(pipeline, photographs, title=f"{name}, as they are")
        first = base.take(chosen)
        changes = {way: changed(first, observe(pipeline, some, change, title=f"{name}, {way}")) for way, change in CHANGES.items()}
        every = tables(base, pipeline.config.labels)
        by_axis = {axis: _axis(every, groups) for axis, groups in splits.items()}
        bundles[name] = {
            "commit": str(pipeline.config.provenance.get("commit", "unknown")),
            "groups": {axis: rows for axis, (rows, _) in by_axis.items()},
            "gaps": {axis: apart for axis, (_, apart) in by_axis.items()},
            "changes": _changes(changes, _split(some, "race")),
        }
        seen.append((every["shares"], changes))
    against = _against(seen[0], seen[1], splits["race"]) if len(seen) > 1 else None
    return {"photographs": len(photographs), "pairs": len(chosen), "bundles": bundles, "against": against}


def _split(photographs: Photographs, axis: str) -> Split:
    own = AXES[axis]
    return split([getattr(photographs, part) for part in own], [getattr(photographs, part) for part in LABELLED if part not in own])


def _sheet(families: dict[str, Table]) -> tuple[list[tuple[str, str]], np.ndarray]:
    """Families of measures side by side: family and measure of each column, and `[N,M]` values."""
    columns = {(family, name): values for family, table in families.items() for name, values in table.items()}
    return list(columns), np.stack(list(columns.values()), 1)


def _axis(every: dict[str, Table], groups: Split) -> tuple[Figures, Figures]:
    """Groups and gaps of one axis."""
    names, values = _sheet(every)
    found = means(values, groups)
    low, high = found.interval()
    middle = np.array([family in OFFSETS and len(groups.names) > 1 for family, _ in names]) * mean(values)
    rows: Figures = {}
    for g, group in enumerate(groups.names):
        rows[group] = {"n": int(groups.members[g].sum()), **{family: {} for family in every}}
        for m, (family, name) in enumerate(names):
            rows[group][family][name] = {
                "by" if family in OFFSETS else "share": float(found.value[g, m] - middle[m]),
                "low": float(low[g, m] - middle[m]),
                "high": float(high[g, m] - middle[m]),
                "n": int(found.count[g, m]),
            }
    return rows, _nested(names, gaps(values, groups, found, [family for family, _ in names]), every)


def _changes(changes: dict[str, Table], races: Split) -> Figures:
    names, values = _sheet(changes)
    apart = gaps(values, races, means(values, races))
    shares = [share(np.nan_to_num(column), np.isfinite(column)) for column in values.T]
    return _nested(names, [{**found, "gap": gap} for found, gap in zip(shares, apart, strict=True)], changes)


def _nested(names: list[tuple[str, str]], rows: Sequence[Figures | None], families: dict[str, Table]) -> Figures:
    found: Figures = {family: {} for family in families}
    for (family, name), row in zip(names, rows, strict=True):
        found[family][name] = row
    return found


def _against(now: tuple[Table, dict[str, Table]], before: tuple[Table, dict[str, Table]], races: Split) -> Figures:
    """By how much the first bundle's gaps between races, and its changes, are larger."""
    ours, theirs = (means(np.stack(list(shares.values()), 1), races) for shares, _ in (now, before))
    return {
        "gaps": dict(zip(now[0], gap_changes(ours, theirs, races), strict=True)),
        "changes": {way: {name: _difference(table[name], before[1][way][name]) for name in table} for way, table in now[1].items()},
    }


def _difference(now: np.ndarray, before: np.ndarray) -> Figures | None:
    both = np.isfinite(now) & np.isfinite(before)
    return difference(now[both], before[both]) if both.any() else None


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
