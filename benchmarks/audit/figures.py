"""The audit's figures: groups, gaps, what changed photographs change, and two bundles side by side."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from benchmarks.audit.changes import CHANGES
from benchmarks.audit.groups import Split, gap_changes, gaps, mean, means, split
from benchmarks.audit.outcomes import Table, changed, observe, tables
from benchmarks.command import Figures
from benchmarks.quality.interval import difference, share
from benchmarks.quality.photographs import AXES as LABELLED
from benchmarks.quality.photographs import Photographs
from edge.pipeline import Pipeline

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
