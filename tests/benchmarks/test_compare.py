import json
import stat
import sys

import cv2
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from benchmarks.__main__ import main
from benchmarks.peers import compare, rivals, worker
from benchmarks.peers.rivals import MissingError
from benchmarks.peers.worker import Worker
from benchmarks.quality.reading import Faces

LABELS = "angry,happy,sad"


@pytest.fixture
def classifier(tmp_path):
    """An ONNX classifier that calls a dark crop angry, a middling one happy and a bright one sad."""
    weights = {
        "w": np.array([[-2.0, 0.0, 2.0]], np.float32),
        "b": np.array([0.8, 0.2, -1.2], np.float32),
    }
    nodes = [
        helper.make_node("GlobalAveragePool", ["x"], ["m"]),
        helper.make_node("Flatten", ["m"], ["f"]),
        helper.make_node("Gemm", ["f", "w", "b"], ["o"]),
        helper.make_node("Softmax", ["o"], ["p"]),
    ]
    graph = helper.make_graph(
        nodes,
        "brightness",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 1, 32, 32])],
        [helper.make_tensor_value_info("p", TensorProto.FLOAT, ["n", 3])],
        [numpy_helper.from_array(array, name) for name, array in weights.items()],
    )
    path = tmp_path / "brightness.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9), path)
    return path


@pytest.fixture
def picture(tmp_path, portrait):
    path = tmp_path / "frame.npy"
    np.save(path, portrait)
    return path


def _options(classifier):
    return {"file": str(classifier), "labels": LABELS, "size": "32", "colour": "grey"}


def test_a_rival_in_another_process_reads_and_times_itself(classifier, picture, tmp_path):
    whole = {"box": [0, 0, 48, 48], "points": None}
    for level, answer in ((10, 0), (128, 1), (250, 2)):
        np.save(tmp_path / "level.npy", np.full((48, 48, 3), level, np.uint8))
        with Worker("onnx", _options(classifier), sys.executable, 1) as rival:
            assert np.argmax(rival.ask("classify", tmp_path / "level.npy", whole)["found"]) == answer
    with Worker("onnx", _options(classifier), sys.executable, 1) as rival:
        assert rival.about["labels"] == LABELS.split(",")
        spent = rival.ask("classify", picture, {"box": [100.0, 20.0, 300.0, 220.0], "points": None}, 5)["ms"]
        assert len(spent) == 5
        assert min(spent) > 0
        assert rival.ask("read", picture, None)["found"] == [None, None], "it finds no faces itself"
        with pytest.raises(MissingError, match="failed on a picture"):
            rival.ask("classify", tmp_path / "none.npy", whole)


def test_what_is_not_there_is_missing_with_its_reason(tmp_path, classifier):
    tries = [
        ("yunet", {"file": str(tmp_path / "none.onnx")}, sys.executable, "no model file"),
        ("onnx", {"file": str(classifier)}, sys.executable, "does not load: .* argument: 'labels'"),
        ("onnx", {"file": __file__, "labels": LABELS}, sys.executable, "does not load"),
        ("onnx", _options(classifier), str(tmp_path / "python"), "does not run"),
    ]
    for name, options, python, reason in tries:
        with pytest.raises(MissingError, match=reason):
            Worker(name, options, python, 1)


def test_a_package_that_would_fetch_its_weights_is_missing(tmp_path):
    with pytest.raises(MissingError, match="weights not at hand"):
        rivals._weights(tmp_path / "weights.h5")


def test_a_rival_that_dies_or_hangs_is_named(tmp_path, monkeypatch):
    program = tmp_path / "python"
    program.write_text("#!/bin/sh\necho 'cannot load libcudart' >&2\nexit 7\n")
    program.chmod(program.stat().st_mode | stat.S_IEXEC)
    with pytest.raises(MissingError, match="libcudart"):
        Worker("fer", {}, str(program), 1)
    program.write_text("#!/bin/sh\nexec sleep 60\n")
    monkeypatch.setattr(worker, "_PATIENCE_S", 0.3)
    with pytest.raises(MissingError, match="no answer"):
        Worker("fer", {}, str(program), 1)


def test_compare_measures_us_and_a_rival_on_the_same_faces(pipeline, portrait, classifier):
    grey = cv2.cvtColor(portrait, cv2.COLOR_BGR2GRAY)
    face = cv2.resize(grey[30:206, 130:306], (96, 96), interpolation=cv2.INTER_AREA)
    names = list(pipeline.bundle.config.labels)
    labels = np.array([names.index("happiness"), names.index("happiness"), names.index("fear")])
    faces = Faces(np.stack([face, face, face]), labels, np.full((3, 1), np.nan))
    wanted = {
        "brightness": ("onnx", _options(classifier), sys.executable),
        "nothing": ("yunet", {"file": "none"}, sys.executable),
    }
    with compare.Rivals(wanted, 1) as running:
        figures = compare.measure(pipeline, running, 1, rounds=2, faces=faces)
    assert list(figures["missing"]) == ["nothing"]
    ours, theirs = figures["systems"]["erv-edge"], figures["systems"]["brightness"]
    assert set(ours["stages"]) == {"find", "classify", "read"}
    assert set(theirs["stages"]) == {"classify", "read"}
    assert "ratio" not in ours["stages"]["read"]
    assert all(0 < stage["ratio"]["low"] <= stage["ratio"]["high"] for stage in theirs["stages"].values()), "over our whole fast path"
    assert ours["accuracy"]["n"] == 3
    assert ours["accuracy"]["war"] == pytest.approx(2 / 3)
    assert theirs["accuracy"]["n"] == 2, "fear is not among its labels"
    assert theirs["accuracy"]["war"] == 1, "the portrait is middling bright, which it calls happy"
    assert theirs["accuracy"]["ours"]["war"] == 1


def test_a_rival_that_dies_while_it_is_timed_is_missing(pipeline, classifier, monkeypatch):
    asked = []

    def dies(worker, stage, image, face, calls=1):
        asked.append(stage)
        if len(asked) > 4:
            raise MissingError("its process ended: killed")
        return {"ms": [1.0] * calls, "found": None}

    monkeypatch.setattr(Worker, "ask", dies)
    with compare.Rivals({"brightness": ("onnx", _options(classifier), sys.executable)}, 1) as running:
        figures = compare.measure(pipeline, running, 1, rounds=2)
    assert figures["missing"] == {"brightness": "its process ended: killed"}
    assert set(figures["systems"]) == {"erv-edge"}
    assert len(asked) == 5, "it is not asked again"


def test_a_rival_that_fails_on_a_face_is_missing(pipeline, classifier, monkeypatch):
    ask = Worker.ask

    def dies(worker, stage, image, face, calls=1):
        if not image.name.startswith("frame"):
            raise MissingError("it died")
        return ask(worker, stage, image, face, calls)

    monkeypatch.setattr(Worker, "ask", dies)
    faces = Faces(np.full((2, 96, 96), 128, np.uint8), np.array([0, 1]), np.full((2, 1), np.nan))
    with compare.Rivals({"brightness": ("onnx", _options(classifier), sys.executable)}, 1) as running:
        figures = compare.measure(pipeline, running, 1, rounds=1, faces=faces)
    assert figures["missing"] == {"brightness": "it died"}
    assert set(figures["systems"]) == {"erv-edge"}


def test_compare_takes_its_rivals_from_the_command(capsys, classifier):
    given = ["--onnx", str(classifier), f"labels={LABELS}", "size=32", "colour=grey", "--rounds", "1", "--threads", "1"]
    assert main(["compare", *given, "--json"]) == 0
    figures = json.loads(capsys.readouterr().out)
    assert "brightness" in figures["systems"]
    assert "accuracy" not in figures["systems"]["brightness"]
    assert "OpenCV YuNet" in figures["missing"]
    assert main(["compare", "--python", "nobody=python3"]) == 2
    assert main(["compare", "--onnx", str(classifier), "labels"]) == 2
    assert "NAME=VALUE" in capsys.readouterr().err
