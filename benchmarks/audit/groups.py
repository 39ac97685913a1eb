"""Means of groups, and the largest gap between groups: with an interval, with what chance alone would show, and with a test.

The largest of many differences is large by chance: with seven groups of 240 and a share of 0.7 it is 0.08 where all are alike. So it is
tested by shuffling who belongs to which group (a permutation test), among photographs that are alike in what else is known, and looked at
in every shuffling anew. Where several measures are looked at together, `p_family` counts the shufflings in which any of them has as large a
gap in its own standard deviations (single-step maxT, Westfall & Young 1993).
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.command import Figures
from benchmarks.quality.interval import LEVEL, draws

LEAST = 40
"""Photographs that a group needs to be compared with others."""
LEAST_MEASURED = 20
"""… of which so many have a say in the measure."""
SHUFFLES = 1000


@dataclass(frozen=True, slots=True)
class Split:
    """N photographs in G groups."""

    names: tuple[str, ...]
    group: np.ndarray
    """`[N]` index of the name."""
    alike: np.ndarray
    """`[N]`: photographs of one number are alike in what else is known."""

    @property
    def members(self) -> np.ndarray:
        """`[G,N]` bool."""
        return np.asarray(self.group == np.arange(len(self.names))[:, None])

    @property
    def compared(self) -> np.ndarray:
        """`[G]` bool: the groups that are large enough."""
        return np.asarray(self.members.sum(1) >= LEAST)


@dataclass(frozen=True, slots=True)
class Means:
    """M measures of G groups; NaN where a group has none."""

    value: np.ndarray
    """`[G,M]`."""
    count: np.ndarray
    """`[G,M]` photographs that were measured."""
    drawn: np.ndarray
    """`[G,D,M]`, of groups drawn anew with replacement; the same draws for every table of these photographs."""

    def interval(self) -> np.ndarray:
        """`[2,G,M]`: lowest and highest value of each mean."""
        return _percentiles(self.drawn, axis=1)


def split(own: Sequence[np.ndarray], others: Sequence[np.ndarray]) -> Split:
    """Photographs by what `own` says of them (`[N]` str each, joined by a space), alike in `others`."""
    count = len((*own, *others)[0])
    text = _joined(own, count)
    names = sorted(map(str, np.unique(text)), key=_in_order)
    group = np.array([names.index(name) for name in text])
    return Split(tuple(names), group, np.unique(_joined(others, count), return_inverse=True)[1].ravel())


def mean(values: np.ndarray) -> np.ndarray:
    """The mean of each measure `[N,M]` over those who have a say; NaN where nobody has."""
    return _ratio(np.nan_to_num(values).sum(0), np.isfinite(values).sum(0))


def means(values: np.ndarray, groups: Split) -> Means:
    """The mean of each measure `[N,M]` in each group; NaN where a photograph has no say."""
    known, filled = np.isfinite(values), np.nan_to_num(values)
    members = groups.members.astype(float)
    count = members @ known
    drawn = []
    for number, member in enumerate(groups.members):
        weights = draws(int(member.sum()), number)
        drawn.append(_ratio(weights @ filled[member], weights @ known[member]))
    return Means(_ratio(members @ filled, count), count.astype(int), np.stack(drawn))


def gaps(
    values: np.ndarray, groups: Split, found: Means, family: Sequence[str] | None = None, *, shuffles: int = SHUFFLES
) -> list[Figures | None]:
    """The largest gap of each measure between groups of `LEAST` photographs and more; `None` where fewer than two can be compared.

    `values` and `found` are those of `means`; `family` names each measure's family, one for all when `None`.

    Returns:
        Per measure `by`, `low`, `high` (between these two groups), `highest`, `lowest` (their names), `chance` (the mean largest gap when
        groups are shuffled), `p` (how often that is as large) and `p_family`.
    """
    kept = _comparable(groups, found)
    if groups.compared.sum() < 2:
        return [None] * values.shape[1]
    value = np.where(kept, found.value, np.nan)
    gap = _range(value, axis=0)
    shuffled = _shuffled(values, groups, kept, shuffles)
    kinds = np.array(family if family is not None else [""] * values.shape[1])
    with np.errstate(invalid="ignore", divide="ignore"):
        spread = np.sqrt(mean((values - mean(values)) ** 2))
        shuffled_z, gap_z = np.nan_to_num(shuffled / spread, nan=0.0, posinf=0.0), gap / spread
    largest = {kind: shuffled_z[:, kinds == kind].max(1) for kind in set(kinds.tolist())}
    rows: list[Figures | None] = []
    for m in range(values.shape[1]):
        if not np.isfinite(gap[m]) or np.isfinite(value[:, m]).sum() < 2:
            rows.append(None)
            continue
        top, bottom = int(np.nanargmax(value[:, m])), int(np.nanargmin(value[:, m]))
        low, high = _percentiles(found.drawn[top, :, m] - found.drawn[bottom, :, m], axis=0)
        least = gap[m] - 1e-9
        rows.append(
            {
                "by": float(gap[m]),
                "low": float(low),
                "high": float(high),
                "highest": groups.names[top],
                "lowest": groups.names[bottom],
                "chance": float(np.nanmean(shuffled[:, m])),
                "p": _p(shuffled[:, m] >= least),
                "p_family": _p(largest[str(kinds[m])] >= gap_z[m] - 1e-9) if spread[m] > 0 else 1.0,
            }
        )
    return rows


def gap_changes(now: Means, before: Means, groups: Split) -> list[Figures | None]:
    """How much larger the largest gap of each measure is `now` than `before`: `by`, and its interval over the same draws of photographs."""
    kept = _comparable(groups, now) & _comparable(groups, before)
    if groups.compared.sum() < 2:
        return [None] * now.value.shape[1]

    def larger(now: np.ndarray, before: np.ndarray, kept: np.ndarray) -> np.ndarray:
        return _range(np.where(kept, now, np.nan), axis=0) - _range(np.where(kept, before, np.nan), axis=0)

    by, drawn = larger(now.value, before.value, kept), larger(now.drawn, before.drawn, kept[:, None])
    low, high = _percentiles(drawn, axis=0)
    return [
        {"by": float(b), "low": float(lo), "high": float(hi)} if np.isfinite(b) else None for b, lo, hi in zip(by, low, high, strict=True)
    ]


def _comparable(groups: Split, found: Means) -> np.ndarray:
    """`[G,M]` bool: the groups that are large enough for each measure."""
    return np.asarray(groups.compared[:, None] & (found.count >= LEAST_MEASURED))


def _shuffled(values: np.ndarray, groups: Split, kept: np.ndarray, shuffles: int) -> np.ndarray:
    """`[S,M]` largest gaps between the groups `kept` `[G,M]` after shuffling the groups among photographs that are alike."""
    random = np.random.default_rng(0)
    inside = groups.compared[groups.group]
    group, alike, some = groups.group[inside], groups.alike[inside], values[inside]
    both = np.concatenate([np.nan_to_num(some), np.isfinite(some)], 1).astype(np.float32)
    home = np.argsort(alike, kind="stable")
    names, count = np.flatnonzero(groups.compared), values.shape[1]
    found, other = np.empty((shuffles, count)), np.empty_like(group)
    for s in range(shuffles):
        other[home] = group[np.argsort(alike + random.random(len(group)))]  # in random order among those alike
        sums = (other == names[:, None]).astype(np.float32) @ both
        found[s] = _range(np.where(kept[names], _ratio(sums[:, :count], sums[:, count:]), np.nan), axis=0)
    return found


def _in_order(name: str) -> tuple[int, str]:
    """Years by number; *more than* so many, and names, after them."""
    first = re.match(r"\d+", name)
    return int(first.group()) if first else 1000, name


def _joined(parts: Sequence[np.ndarray], count: int) -> np.ndarray:
    return np.array([" ".join(row) or "all" for row in zip(*parts, strict=True)] if parts else ["all"] * count)


def _ratio(total: np.ndarray, count: np.ndarray) -> np.ndarray:
    return np.divide(total, count, out=np.full(np.broadcast(total, count).shape, np.nan), where=count > 0)


def _range(value: np.ndarray, axis: int) -> np.ndarray:
    """Largest less smallest, whatever is NaN left out; NaN where all is."""
    return np.asarray(np.fmax.reduce(value, axis) - np.fmin.reduce(value, axis))


def _percentiles(drawn: np.ndarray, axis: int) -> np.ndarray:
    """Percentiles over an axis, of the draws in which anything was measured; NaN where there are none."""
    if np.isfinite(drawn).all():
        return np.percentile(drawn, LEVEL, axis=axis)  # far faster
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # of measures that nobody has
        return np.asarray(np.nanpercentile(drawn, LEVEL, axis=axis))


def _p(hits: np.ndarray) -> float:
    return float((1 + hits.sum()) / (1 + len(hits)))
