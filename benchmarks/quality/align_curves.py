"""The figure of an alignment: reward and metrics over steps, one line per recipe."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

SHOWN = ("reward", "judge.mepc", "war", "cue_precision", "contradiction_rate", "words")


def draw_curves(arms: dict[str, list[Path]], measure: Callable[[Path], dict[str, Any]], out: Path) -> None:
    """Measure the checkpoints of each recipe's first run and draw them with the logged reward to `curves.png`, values to `curves.json`."""
    curves = {name: curve(folders[0], measure) for name, folders in arms.items()}
    (out / "curves.json").write_text(json.dumps(curves, indent=1) + "\n")
    draw(curves, out / "curves.png")


def draw(curves: dict[str, list[dict[str, Any]]], path: Path) -> None:
    """Draw the curves of each recipe, one panel a figure."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 6), layout="constrained")
    for axis, key in zip(figure.subplots(2, 3).flat, SHOWN, strict=True):
        for colour, (name, points) in enumerate(curves.items()):
            steps = [(p["step"], p[key]) for p in points if p.get(key) is not None]
            if steps:
                axis.plot(*zip(*steps, strict=True), marker="o" if len(steps) == 1 else None, color=f"C{colour}", label=name)
        axis.set_title(key)
        axis.set_xlabel("step")
        axis.grid(alpha=0.3)
    handles = {label: h for a in figure.axes for h, label in zip(*a.get_legend_handles_labels(), strict=True)}
    figure.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=len(handles))
    figure.savefig(path, dpi=110)


def curve(folder: Path, measure: Callable[[Path], dict[str, Any]]) -> list[dict[str, Any]]:
    """The logged rewards of a run and the figures of its checkpoints, by step; a cold start has the one point of its policy."""
    checkpoints = {int(p.name.split("-")[1]): p for p in (folder / "checkpoints").glob("checkpoint-*")}
    points = [{"step": step, **measure(path)} for step, path in sorted(checkpoints.items())]
    if not points:
        return [{"step": 0, **measure(folder / "policy")}]
    logged = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return points + [{"step": row["step"], "reward": row["reward"]} for row in logged if "reward" in row]
