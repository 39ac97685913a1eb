"""The parts of a run, and what changed between two runs: which of it is a regression."""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks.command import Figures

SCHEMA = 9
"""Version of `results.json`; the reports of others are not read."""

_GAINS = {"war": 0.005, "uar": 0.01, "eea": 0.01, "meea": 0.01, "cue_precision": 0.01, "verified_rate": 0.02}
_LOSSES = {"ece": 0.01, "contradiction_rate": 0.01, "verified_and_wrong": 0.01}
"""Figure of accuracy → least change that counts; smaller ones are noise or taste."""

_SLOWER, _LARGER = 1.10, 1.05
"""A stage that takes this many times its matmuls before is slower; a bundle of this many times its bytes is larger."""


@dataclass(frozen=True, slots=True)
class Change:
    """One figure in two runs."""

    figure: str
    before: float
    after: float
    verdict: str
    """`better`, `worse` or `same`."""


def part(results: Figures, name: str) -> Figures | None:
    """The figures of a part, `None` where it was skipped or is not there."""
    figures: Figures | None = (results["parts"].get(name) or {}).get("figures")
    return figures


def stages(results: Figures) -> Figures:
    """The first bundle's stages of latency."""
    found: Figures = next(iter(timed["variants"].values()))["stages"] if (timed := part(results, "latency")) else {}
    return found


def changes(before: Figures, after: Figures) -> list[Change]:
    """Compare the first bundle of two runs, figure by figure; what one of them lacks is left out."""
    old, new = stages(before), stages(after)
    found = [_ratio(f"{stage}, matmuls", old[stage]["matmuls"], new[stage]["matmuls"], _SLOWER) for stage in old if stage in new]
    for name, least in (_GAINS | _LOSSES).items():
        was, now = ((part(results, "accuracy") or {}).get(name) for results in (before, after))
        if was is not None and now is not None:
            loss = now - was if name in _LOSSES else was - now
            found.append(Change(name, was, now, _verdict(loss >= least, loss <= -least)))
    sizes = [next(iter(results["bundles"].values()))["bytes"] / 1e6 for results in (before, after)]
    return [*found, _ratio("bundle, MB", *sizes, _LARGER)]


def _ratio(figure: str, before: float, after: float, limit: float) -> Change:
    return Change(figure, before, after, _verdict(after > limit * before, before > limit * after))


def _verdict(worse: bool, better: bool) -> str:
    return "worse" if worse else "better" if better else "same"
