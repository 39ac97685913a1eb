"""A line of small models, trained on drawn data: the fixtures of the training and alignment tests."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from packs import write_packs, write_text_encoder
from yunets import with_teacher

from export.__main__ import main as export
from training.__main__ import NEEDS
from training.__main__ import main as train

_SMALL = {
    "face": ["widths=[8,8,8,8,8]", "neck=8", "canvas=64", "steps=8", "batch=4", "check_every=4"],
    "encoder": [
        "widths=[8,8,8,16,16]",
        "depths=[1,1,1,1]",
        "motion=[8,8,8,8]",
        "epochs=24",
        "batch=16",
        "composed=0",
        "nudged=0",
        "evidence_passes=1",
    ],
    "steady": ["steps=4", "fer=8", "today=4", "composed=0", "composed_each=0"],
    "screen": ["widths=[4,8]", "hidden=8", "pictures=20", "least_score=0.001", "steps=10", "batch=8"],
    "visibility": ["widths=[4,8]", "hidden=8", "epochs=1", "batch=16"],
    "grammar": ["precision=0", "contradicted=1", "least_faces=1", 'floor={"": 0.1}'],
    "sft": ["hidden=32", "layers=2", "intermediate=64", "epochs=32", "batch=16", "views=1", "lr=0.01"],
    "verifier": ["steps=2", "batch=16"],
    "distill": ["hidden=32", "layers=1", "heads=2", "intermediate=64", "vocabulary=400", "steps=5", "batch=16", "wider=20", "written=20"],
    "judge": ["epochs=1", "batch=16"],
    "grpo": ["steps=2", "faces=2", "group=4", "save_every=1"],
}


@pytest.fixture(scope="session")
def data(tmp_path_factory) -> Path:
    return write_packs(tmp_path_factory.mktemp("packs"))


@pytest.fixture(scope="session")
def runs(tmp_path_factory, data) -> Path:
    runs = tmp_path_factory.mktemp("runs")
    teacher = write_text_encoder(tmp_path_factory.mktemp("teacher"))
    needs = {
        "face": runs / "face",
        "encoder": runs / "encoder",
        "grammar": runs / "grammar",
        "teacher": runs / "verifier",
        "policy": runs / "sft" / "policy",
        "verifier": runs / "distill",
    }
    for stage, values in _SMALL.items():
        given = {option: needs[option] for option, default, _ in NEEDS.get(stage, ()) if default != ""}
        if stage == "verifier":
            given["teacher"] = teacher
        extra = [f"--{option}={path}" for option, path in given.items()]
        packs = with_teacher(data, tmp_path_factory.mktemp("finder") / "packs") if stage in ("face", "screen") else data
        assert train([stage, "--data", str(packs), "--out", str(runs / stage), *extra, "--set", *values]) == 0
        lines = (runs / stage / "metrics.jsonl").read_text().splitlines()
        assert lines
        assert all(np.isfinite(json.loads(line).get("loss", 0)) for line in lines)
        assert json.loads((runs / stage / "config.json").read_text())["versions"]["torch"]
    return runs


@pytest.fixture(scope="session")
def bundle(runs, data) -> Path:
    parts = [
        f"--{name}={runs / run}"
        for name, run in (
            ("policy", "grpo"),
            ("verifier", "distill"),
            *((part, part) for part in ("face", "screen", "encoder", "grammar", "visibility")),
        )
    ]
    assert export(["bundle", *parts, "--data", str(data), "--out", str(runs / "bundle")]) == 0
    return runs / "bundle"


@pytest.fixture(scope="session")
def small_runs(runs, data, tmp_path_factory) -> tuple[Path, Path]:
    """The runs of an unaligned bundle under the names that `check` and `bundle` look for, and their data."""
    folder = tmp_path_factory.mktemp("named")
    for name, run in (
        ("face", "face"),
        ("screen", "screen"),
        ("encoder", "encoder"),
        ("grammar", "grammar"),
        ("visibility", "visibility"),
        ("sft", "sft"),
        ("verifier", "distill"),
    ):
        (folder / name).symlink_to(runs / run)
    return folder, data
