import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest
from floats import float_bundle
from onnx import numpy_helper
from packs import draw_face

from edge.bundle import write_hashes
from edge.errors import UsageError
from export.__main__ import main
from export.agreement import Gates, difference
from export.check import read_gates


@pytest.fixture(scope="module")
def faces(tmp_path_factory) -> Path:
    folder, rng = tmp_path_factory.mktemp("faces"), np.random.default_rng(0)
    for i in range(16):
        cv2.imwrite(str(folder / f"{i}.png"), draw_face(i % 8, rng))
    return folder


def _disturbed(tmp_path: Path, graph: str, name: str, amount: float) -> Path:
    """The shipped bundle with noise on one weight."""
    copy = Path(shutil.copytree(float_bundle(), tmp_path / "disturbed"))
    model = onnx.load(copy / f"{graph}.onnx")
    tensor = next(t for t in model.graph.initializer if t.name == name)
    values = numpy_helper.to_array(tensor)
    noise = np.random.default_rng(0).normal(0, amount * values.std(), values.shape).astype(np.float32)
    tensor.CopyFrom(numpy_helper.from_array(values + noise, name))
    onnx.save(model, copy / f"{graph}.onnx")
    write_hashes(copy)
    return copy


def test_a_bundle_agrees_with_itself_at_every_level(faces, tmp_path, capsys):
    report = tmp_path / "report.md"
    assert main(["check", str(float_bundle()), str(float_bundle()), "--data", str(faces), "--report", str(report)]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["passed"]
    assert found["n"] == 16
    assert {found[level] for level in ("faces", "labels", "streams", "verdicts")} == {1.0}
    assert all(error["max"] == 0 for error in found["tensors"].values())
    assert "passed" in report.read_text()
    assert "| verdicts | 100.00% |" in report.read_text()


def test_another_decoder_is_told_by_its_streams_and_another_encoder_by_its_tensors(faces, tmp_path, capsys):
    other = _disturbed(tmp_path, "decoder_model_merged", "out", 0.5)
    assert main(["check", str(float_bundle()), str(other), "--data", str(faces)]) == 1
    found = json.loads(capsys.readouterr().out)
    assert found["labels"] == 1.0
    assert found["streams"] < 0.98
    assert any("streams" in failure for failure in found["failures"])
    shutil.rmtree(other)
    other = _disturbed(tmp_path, "vision_encoder", "encoder.motion.gather.0.weight", 1.0)
    assert main(["check", str(float_bundle()), str(other), "--data", str(faces), "--gate", "streams=0", "verdicts=0"]) == 1
    assert any(failure.startswith("cues differs") for failure in json.loads(capsys.readouterr().out)["failures"])


def test_a_bundle_agrees_with_the_checkpoints_it_came_from(small_runs, tmp_path, capsys):
    runs, data = small_runs
    names = ("face", "screen", "encoder", "grammar", "verifier", "visibility")
    parts = [*(f"--{name}={runs / name}" for name in names), f"--policy={runs / 'sft'}"]
    bundle = tmp_path / "bundle"
    assert main(["bundle", *parts, "--data", str(data), "--out", str(bundle)]) == 0
    capsys.readouterr()
    for sides in ((runs, bundle), (bundle, runs)):
        assert main(["check", *map(str, sides), "--data", str(data)]) == 0
        found = json.loads(capsys.readouterr().out)
        assert found["streams"] >= 0.98
        assert found["war_a"] == pytest.approx(found["war_b"], abs=0.003)
    assert main(["check", str(float_bundle()), str(bundle), "--data", str(data), "--faces", "4"]) == 1


def test_sides_that_cannot_be_compared_are_named(faces, tmp_path, capsys):
    assert main(["check", str(tmp_path), str(tmp_path), "--data", str(faces)]) == 4
    assert "at least one side" in capsys.readouterr().err
    assert main(["check", str(float_bundle()), str(tmp_path), "--data", str(faces)]) == 4
    assert "neither a bundle nor a folder of runs" in capsys.readouterr().err


def test_gates_are_read_and_unknown_ones_refused():
    assert read_gates(["labels=0.9"]) == Gates(labels=0.9)
    for item, said in (("noses=1", "unknown gate"), ("labels=high", "NAME=NUMBER"), ("labels", "NAME=NUMBER")):
        with pytest.raises(UsageError, match=said):
            read_gates([item])


def test_halved_gates_leave_half_the_room():
    half = Gates(labels=0.9, streams=0.5).halved()
    assert half.labels == pytest.approx(0.95)
    assert half.streams == pytest.approx(0.75)


def test_difference_is_relative_to_the_spread_and_infinite_for_other_shapes():
    a = np.array([0.0, 2.0])
    assert difference(a, a + 0.1) == pytest.approx({"max": 0.1, "relative": 0.1})
    assert difference(a, np.zeros(3))["max"] == float("inf")
    assert difference(np.zeros((0, 2)), np.zeros((0, 2))) == {"max": 0.0, "relative": 0.0}
