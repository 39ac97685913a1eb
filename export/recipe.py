"""Recipes: what to try on each graph, as JSON files. Those for the common machines are stored in `recipes/`."""

from __future__ import annotations

import platform
from dataclasses import dataclass, field
from pathlib import Path

from edge.bundle import GRAPHS
from edge.errors import InputError, UsageError
from edge.files import read_json
from export.agreement import Gates
from export.strategies import Strategy

RECIPES = Path(__file__).parent / "recipes"
_CPUS = {"x86_64": "x86-64", "amd64": "x86-64", "aarch64": "aarch64", "arm64": "aarch64"}


@dataclass(frozen=True, slots=True)
class Recipe:
    """What to try on each graph."""

    name: str
    note: str
    calibration: int
    """Faces that activation ranges are chosen on."""
    judged: int
    """Faces that candidates are judged on."""
    targets: tuple[str, ...]
    """TensorRT versions that every graph must pass `lint` for."""
    graphs: dict[str, list[Strategy]]
    """Graph → candidates, the smallest first; a graph that is not named, or none of whose candidates passes, stays in float32."""
    device: str = "cpu"
    """What the candidates are timed and judged on."""
    max_size: float = 0.45
    """Largest size of the quantised bundle, of the float32 one."""
    gates: Gates = field(default_factory=Gates)
    """What the quantised bundle must keep to; each graph alone must keep to half the room."""
    every: bool = False
    """Try every candidate, and not only up to the first that passes."""


def read_recipe(given: str) -> Recipe:
    """Read a recipe: `auto` (this machine's kind of CPU), the name of a stored one, or a JSON file.

    Raises:
        UsageError: there is none of that name, or it is malformed.
    """
    name = _CPUS.get(platform.machine().lower(), "x86-64") if given == "auto" else given
    path = RECIPES / f"{name}.json"
    path = path if path.is_file() else Path(given)
    if not path.is_file():
        stored = ", ".join(sorted(p.stem for p in RECIPES.glob("*.json")))
        raise UsageError(f"no recipe '{given}': expected auto, a JSON file, or one of {stored}")
    try:
        values = read_json(path)
        if unknown := set(values["graphs"]) - set(GRAPHS):
            raise ValueError(f"unknown graph {', '.join(sorted(unknown))}")
        graphs = {
            graph: [Strategy(**{**entry, "keep": tuple(entry.get("keep", ()))}) for entry in entries]
            for graph, entries in values.pop("graphs").items()
        }
        gates, targets = Gates(**values.pop("gates", {})), tuple(values.pop("targets"))
        recipe = Recipe(graphs=graphs, targets=targets, gates=gates, **values)
    except (InputError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise UsageError(f"the recipe '{path}' is malformed: {error}") from None
    if min(recipe.calibration, recipe.judged) < 1:
        raise UsageError(f"the recipe '{path}' needs at least one face to calibrate with and one to judge on")
    return recipe
