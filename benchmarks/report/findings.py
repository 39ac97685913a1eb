"""The parts of a run, and what changed between two runs: which of it is a regression."""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks.command import Figures

SCHEMA = 8
"""Version of `results.json`; the reports of others are not read."""

_GAINS = {"war": 0.005, "uar": 0.01, "eea": 0.01, "meea": 0.01, "cue_precision": 0.01, "verified_rate": 0.02, "own_accepted": 0.02}
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

    def verdict(loss: float, least: float) -> str:
        return "worse" if loss >= least else "better" if loss <= -least else "same"

    found = []
    for stage, old in stages(before).items():
        if new := stages(after).get(stage):
            found.append(_ratio(f"{stage}, matmuls", old["matmuls"], new["matmuls"], _SLOWER))
    rights = [part(results, "accuracy") or {} for results in (before, after)]
    for name, least in (_GAINS | _LOSSES).items():
        was, now = (right.get(name) for right in rights)
        if was is not None and now is not None:
            found.append(Change(name, was, now, verdict(now - was if name in _LOSSES else was - now, least)))
    sizes = [next(iter(results["bundles"].values()))["bytes"] / 1e6 for results in (before, after)]
    return [*found, _ratio("bundle, MB", *sizes, _LARGER)]


def _ratio(figure: str, before: float, after: float, limit: float) -> Change:
    worse, better = after > limit * before, before > limit * after
    return Change(figure, before, after, "worse" if worse else "better" if better else "same")
