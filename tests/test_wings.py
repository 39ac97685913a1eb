"""The rule of the wings: a module imports only its own wing and what stands below it, and nothing imports in a circle."""

from __future__ import annotations

import ast
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FLOORS = {
    "edge": (
        ("plain", "errors", "stop", "library", "boundary", "arguments", "files", "types", "cv", "whole", "ranges", "bundle", "profiles"),
        ("engine",),
        ("sources",),
        ("vision",),
        ("language",),
        ("live",),
        ("rehearsal", "counterfactual"),
        ("pipeline", "spans"),
        ("clip",),
        ("",),  # `edge` itself, which names what an application imports
        ("outputs", "server"),
        ("tables",),
        ("batch",),
        ("cli",),
    ),
    "benchmarks": (("", "command", "blocks", "pictures"), ("quality",), ("audit",), ("speed",), ("peers",), ("report",), ("__main__",)),
}
"""What stands in a package, from the ground up."""
BELOW = {
    "edge": {"edge"},
    "training": {"edge", "training"},
    "export": {"edge", "training", "export"},
    "benchmarks": {"edge", "training", "benchmarks"},
}
"""What each package may import."""


def imports_of(source: str, modules: set[str]) -> set[str]:
    """Which of these modules a source names in an import, wherever it stands: in a function and under `TYPE_CHECKING` too."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, "imports are absolute here"
            found |= {name if (name := f"{node.module}.{alias.name}") in modules else node.module for alias in node.names}
    return found & modules


def read_graph(root: Path) -> dict[str, set[str]]:
    """Every module of the four packages with those of them that it imports."""
    paths = [path for package in BELOW for path in (root / package).rglob("*.py")]
    sources = {".".join(path.relative_to(root).with_suffix("").parts).removesuffix(".__init__"): path for path in paths}
    return {name: imports_of(path.read_text(encoding="utf-8"), set(sources)) for name, path in sources.items()}


def floor_of(module: str) -> int:
    """Which floor of its package a module stands on; 0 where there is but one."""
    package, *rooms = module.split(".")
    floors = FLOORS.get(package)
    return {room: i for i, floor in enumerate(floors) for room in floor}[rooms[0] if rooms else ""] if floors else 0


def climbs(graph: dict[str, set[str]]) -> list[str]:
    """The imports that lead to a higher floor, or out of the packages that a package may import."""
    found = []
    for module, other in ((module, other) for module, others in graph.items() for other in others):
        here, there = module.split(".")[0], other.split(".")[0]
        if there not in BELOW[here] or (there == here and floor_of(other) > floor_of(module)):
            found.append(f"{module} imports {other}")
    return sorted(found)


@pytest.fixture(scope="module")
def graph() -> dict[str, set[str]]:
    return read_graph(ROOT)


def test_wings_import_only_what_stands_below_them(graph):
    assert len(graph) > 100
    assert climbs(graph) == []


def test_wings_have_a_sentence_each():
    wings = [path for package in FLOORS for path in (ROOT / package).glob("*/__init__.py")]
    assert len(wings) == 14
    for wing in wings:
        assert ast.get_docstring(ast.parse(wing.read_text(encoding="utf-8"))), wing


def test_modules_do_not_import_in_a_circle(graph):
    TopologicalSorter(graph).prepare()


@pytest.mark.parametrize(
    "source",
    [
        "from edge.pipeline import Pipeline",
        "def late():\n    import edge.pipeline",
        "if TYPE_CHECKING:\n    from edge import pipeline",
    ],
)
def test_rule_sees_an_import_wherever_it_stands(source):
    modules = {"edge", "edge.pipeline", "edge.live.scene"}
    graph = {"edge.live.scene": imports_of(source, modules), "edge.pipeline": {"edge.live.scene"}}
    assert climbs(graph) == ["edge.live.scene imports edge.pipeline"]
    with pytest.raises(CycleError):
        TopologicalSorter(graph).prepare()


def test_rule_sees_a_package_that_imports_a_higher_one():
    assert climbs({"training.data": {"export.check"}, "edge.types": {"training.metrics"}}) == [
        "edge.types imports training.metrics",
        "training.data imports export.check",
    ]
