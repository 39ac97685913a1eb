"""What changed between two runs, and which of it is a regression; and the figures that a model card quotes."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from benchmarks.command import Figures

_ACCURACY = {"war": 0.005, "uar": 0.01, "eea": 0.01, "meea": 0.01, "cue_precision": 0.01, "verified_rate": 0.02, "own_accepted": 0.02}
_ERRORS = {"ece": 0.01, "contradiction_rate": 0.01, "verified_and_wrong": 0.01}
"""Figure → least change that counts; smaller ones are noise or taste."""

_SLOWER = 1.10
"""A stage that takes this many times its matmuls before is slower."""
_NOISE = 3.0
"""A change of matmuls counts from so many standard errors of the difference; nine in ten repeated figures are closer (docs/results.md)."""


@dataclass(frozen=True, slots=True)
class Change:
    """One figure in two runs."""

    figure: str
    before: float
    after: float
    verdict: str
    """`better`, `worse`, `same`, or `unclear`: a difference that would count, were it not within the noise of the runs."""


def part(results: Figures, name: str) -> Figures | None:
    """The figures of a part, `None` where it was skipped or is not there."""
    figures: Figures | None = (results["parts"].get(name) or {}).get("figures")
    return figures


def changes(before: Figures, after: Figures) -> list[Change]:
    """Compare the first bundle of two runs, figure by figure; what one of them lacks is left out."""
    found = []
    for stage, old in _stages(before).items():
        new = _stages(after).get(stage)
        if new:
            found.append(Change(f"{stage}, matmuls", old["matmuls"], new["matmuls"], _speed(old, new)))
    old_accuracy, new_accuracy = part(before, "accuracy") or {}, part(after, "accuracy") or {}
    for name, least in (_ACCURACY | _ERRORS).items():
        old, new = old_accuracy.get(name), new_accuracy.get(name)
        if old is not None and new is not None:
            gain = (new - old) * (-1 if name in _ERRORS else 1)
            found.append(Change(name, old, new, "worse" if gain <= -least else "better" if gain >= least else "same"))
    sizes = [next(iter(results["bundles"].values()))["bytes"] / 1e6 for results in (before, after)]
    verdict = "worse" if sizes[1] > 1.05 * sizes[0] else "better" if sizes[1] < sizes[0] / 1.05 else "same"
    return [*found, Change("bundle, MB", sizes[0], sizes[1], verdict)]


def _speed(old: Figures, new: Figures) -> str:
    """The verdict on a stage; without a standard error the limit alone counts."""
    ratio = new["matmuls"] / old["matmuls"]
    if 1 / _SLOWER <= ratio <= _SLOWER:
        return "same"
    noise = _NOISE * math.hypot(*(figures["matmuls_se"] or 0.0 for figures in (old, new)))
    return "unclear" if abs(new["matmuls"] - old["matmuls"]) < noise else "worse" if ratio > 1 else "better"


def _stages(results: Figures) -> dict[str, Figures]:
    measured = part(results, "latency")
    if not measured:
        return {}
    stages: dict[str, Figures] = next(iter(measured["variants"].values()))["stages"]
    return stages


def card_figures(results: Figures) -> dict[str, dict[str, Any]]:
    """Title → figures, in the form that the model card's writer takes: what was measured, and nothing else."""
    tables: dict[str, dict[str, Any]] = {}
    found, split = part(results, "accuracy"), results["options"]["split"]
    if found:
        tables[f"recognition and explanations, {split} split"] = found
    timed, machine = part(results, "latency"), part(results, "hardware")
    if timed:
        where = f"latency on {(machine or {}).get('cpu') or 'an unnamed processor'}, {timed['threads']} threads, milliseconds"
        stages = next(iter(timed["variants"].values()))["stages"]
        tables[where] = {name: stage["median_ms"] for name, stage in stages.items()}
    robust = part(results, "robustness")
    if robust:
        tables["accuracy under the strongest corruption"] = {
            "clean": robust["clean"]["war"],
            **{name: rows[max(rows)]["war"] for name, rows in robust["corrupted"].items()},
        }
        for kind, row in robust["mouth_hidden"].items():
            tables[f"with the mouth hidden ({kind})"] = row
    return tables
