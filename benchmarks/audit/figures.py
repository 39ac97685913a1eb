"""The audit's figures: groups, gaps, what changed photographs change, and two bundles side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.audit.changes import CHANGES
from benchmarks.audit.groups import Means, Split, gap_changes, gaps, means, split
from benchmarks.audit.outcomes import Outcomes, Table, changed, observe, tables
from benchmarks.command import Figures
from benchmarks.quality.interval import difference, share
from benchmarks.quality.photographs import AXES as LABELLED
from benchmarks.quality.photographs import Photographs
from edge.pipeline import Pipeline

AXES: dict[str, tuple[str, ...]] = {"all": (), "race": ("race",), "gender": ("gender",), "age": ("age",), "race_gender": ("race", "gender")}
"""How photographs are grouped, and by what."""
OFFSETS = ("cues", "cues_neutral", "action_units")
"""Families whose measures are not shares: of them a group's distance to all photographs is told, and of all the mean."""


def measure(pipelines: dict[str, Pipeline], photographs: Photographs, *, pairs: int = 0, seed: int = 0) -> Figures:
    """Audit bundles on the same photographs, `pairs` of them changed as well (0: all); a second is what the first is held against.

    Returns:
        `photographs`, `pairs`: how many; `bundles`: name → `commit`, `groups` (axis → group → `n` and family → measure → `share` or `by`
        with `low`, `high`, `n`), `gaps` (axis → family → measure → see `groups.gaps`) and `changes` (change → `label`, `verdict`, `lost`,
        each a share with `gap`, the largest between races); `against`: `None`, or `gaps` (axis → family → measure → by how much the first
        bundle's is larger) and `changes` (change → `label`, `verdict`, `lost` → the same of the share).
    """
    chosen = photographs.some(pairs)
    seen = {name: look_at(pipeline, photographs, chosen, name) for name, pipeline in pipelines.items()}
    return of_seen(seen, photographs, chosen, seed)


@dataclass(frozen=True, slots=True)
class Looked:
    """What a bundle made of the photographs."""

    labels: tuple[str, ...]
    """That it knows."""
    commit: str
    """At which it was exported."""
    base: Outcomes
    """Of all photographs as they are."""
    changes: dict[str, Table]
    """Change → what it changed, of the chosen ones (see `outcomes.changed`)."""


def look_at(pipeline: Pipeline, photographs: Photographs, chosen: np.ndarray, name: str) -> Looked:
    """Show a bundle all photographs as they are, and the chosen rows changed."""
    base = observe(pipeline, photographs, title=f"{name}, as they are")
    some, first = photographs.take(chosen), base.take(chosen)
    changes = {way: changed(first, observe(pipeline, some, change, title=f"{name}, {way}")) for way, change in CHANGES.items()}
    return Looked(tuple(pipeline.config.labels), str(pipeline.config.provenance.get("commit", "unknown")), base, changes)


def of_seen(seen: dict[str, Looked], photographs: Photographs, chosen: np.ndarray, seed: int = 0) -> Figures:
    """The figures that `measure` returns."""
    splits = {axis: _split(photographs, axis) for axis in AXES}
    some = _split(photographs.take(chosen), "race")
    found, held = {}, []
    for name, looked in seen.items():
        every = tables(looked.base, looked.labels)
        by_axis = {axis: _axis(every, groups, seed) for axis, groups in splits.items()}
        found[name] = {
            "commit": looked.commit,
            "groups": {axis: row[0] for axis, row in by_axis.items()},
            "gaps": {axis: row[1] for axis, row in by_axis.items()},
            "changes": _changes(looked.changes, some, seed),
        }
        held.append((every, {axis: row[2] for axis, row in by_axis.items()}, looked.changes))
    figures: Figures = {"photographs": len(photographs), "pairs": len(chosen), "bundles": found, "against": None}
    if len(held) > 1:
        figures["against"] = _against(held[0], held[1], splits)
    return figures


def _split(photographs: Photographs, axis: str) -> Split:
    own = AXES[axis]
    parts = {part: getattr(photographs, part) for part in LABELLED}
    return split([parts[part] for part in own], [value for part, value in parts.items() if part not in own])


def _sheet(families: dict[str, Table], count: int) -> tuple[list[tuple[str, str]], np.ndarray]:
    """Families of measures side by side: family and measure of each column, and `[N,M]` values."""
    columns = {(family, name): values for family, table in families.items() for name, values in table.items()}
    return list(columns), np.stack(list(columns.values()), 1) if columns else np.zeros((count, 0))


def _axis(every: dict[str, Table], groups: Split, seed: int) -> tuple[Figures, Figures, Means]:
    """Groups, gaps and means of one axis."""
    names, values = _sheet(every, len(groups.group))
    found = means(values, groups, seed=seed)
    low, high = found.interval()
    rows: Figures = {}
    for g, group in enumerate(groups.names):
        rows[group] = {"n": int(groups.members[g].sum()), **{family: {} for family in every}}
        for m, (family, name) in enumerate(names):
            middle = _mean(values[:, m]) if family in OFFSETS and len(groups.names) > 1 else 0.0
            rows[group][family][name] = {
                "by" if family in OFFSETS else "share": float(found.value[g, m] - middle),
                "low": float(low[g, m] - middle),
                "high": float(high[g, m] - middle),
                "n": int(found.count[g, m]),
            }
    return rows, _nested(names, gaps(values, groups, found, [family for family, _ in names], seed=seed), every), found


def _changes(tables_: dict[str, Table], races: Split, seed: int) -> Figures:
    names, values = _sheet(tables_, len(races.group))
    apart = gaps(values, races, means(values, races, seed=seed), seed=seed)
    return _nested(names, [{**_share(column, seed), "gap": gap} for column, gap in zip(values.T, apart, strict=True)], tables_)


def _nested(names: list[tuple[str, str]], rows: Sequence[Figures | None], families: dict[str, Table]) -> Figures:
    found: Figures = {family: {} for family in families}
    for (family, name), row in zip(names, rows, strict=True):
        found[family][name] = row
    return found


Held = tuple[dict[str, Table], dict[str, Means], dict[str, Table]]
"""A bundle's tables, its means by axis, and its tables of changes."""


def _against(now: Held, before: Held, splits: dict[str, Split]) -> Figures:
    ours, theirs = (_sheet(held[0], 0)[0] for held in (now, before))
    shared = [name for name in ours if name in theirs]
    apart = {}
    for axis, groups in splits.items():
        first, second = (held[1][axis].take([names.index(n) for n in shared]) for held, names in ((now, ours), (before, theirs)))
        apart[axis] = _nested(shared, gap_changes(first, second, groups), now[0])
    return {
        "gaps": apart,
        "changes": {way: {name: _difference(table[name], before[2][way][name]) for name in table} for way, table in now[2].items()},
    }


def _difference(now: np.ndarray, before: np.ndarray) -> Figures | None:
    both = np.isfinite(now) & np.isfinite(before)
    return difference(now[both], before[both]) if both.any() else None


def _share(column: np.ndarray, seed: int) -> Figures:
    known = np.isfinite(column)
    return share(np.nan_to_num(column), known, seed=seed)


def _mean(column: np.ndarray) -> float:
    known = column[np.isfinite(column)]
    return float(known.mean()) if len(known) else float("nan")
