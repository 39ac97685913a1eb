"""Whole clips in other people's layouts, made of the repository's own picture, through the command."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from benchmarks.__main__ import main
from benchmarks.quality.clips import _NOTHING, Answered, figures
from edge.spans import Answer
from edge.types import Explanation, Verdict


@pytest.fixture(scope="module")
def face(portrait) -> np.ndarray:
    """The portrait's face, cut out as DFEW does."""
    return cv2.resize(portrait[20:300, 130:410], (224, 224), interpolation=cv2.INTER_AREA)


def _frames(folder: Path, picture: np.ndarray, count: int = 16) -> None:
    folder.mkdir(parents=True)
    for i in range(count):
        cv2.imwrite(str(folder / f"{i:05}.jpg"), picture)


def _recording(path: Path, portrait: np.ndarray, count: int = 16) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), 25, (320, 320))
    for _ in range(count):
        writer.write(cv2.resize(portrait[:480, :480], (320, 320), interpolation=cv2.INTER_AREA))
    writer.release()


def _measured(capsys, *options: object) -> dict:
    assert main(["clips", *map(str, options), "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_dfew_in_its_layout(tmp_path, face, portrait, capsys):
    table = tmp_path / "EmoLabel_DataSplit" / "test(single-labeled)" / "set_1.csv"
    table.parent.mkdir(parents=True)
    table.write_text("video_name,label\n1,1\n2,1\n3,2\n4,5\n")
    _frames(tmp_path / "Clip" / "clip_224x224" / "00001", face)
    _recording(tmp_path / "Clip" / "original" / "2.mp4", portrait)
    _frames(tmp_path / "Clip" / "clip_224x224" / "00003", face)
    _frames(tmp_path / "Clip" / "clip_224x224" / "00004", np.full((224, 224, 3), 128, np.uint8))
    found = _measured(capsys, "--dataset", "dfew", "--data", tmp_path)
    assert (found["n"], found["found"], found["unknown"]) == (4, 3, 0)  # nobody is in the last one: it counts as wrong
    assert (found["war"], found["uar"]) == pytest.approx((0.5, 1 / 3))
    assert found["recall"]["happiness"] == 1
    assert (found["eea"], found["epc"], found["fcr"]) == (0.5, 0.75, 0.5)
    assert found["mepc"] <= found["epc"]
    assert (found["verified"], found["verified_and_wrong"]) == (0.75, 0.25)
    assert found["pooling"]["mean"]["war"] == 0.5


def test_mafw_in_its_layout_with_a_label_that_the_bundle_lacks(tmp_path, face, portrait, capsys):
    table = tmp_path / "Train & Test Set" / "single" / "no_caption" / "set_2" / "test.txt"
    table.parent.mkdir(parents=True)
    table.write_text("00001.mp4 happiness\n00002.mp4 anxiety\n")
    _frames(tmp_path / "data" / "frames" / "00001", face)
    _recording(tmp_path / "data" / "clips" / "00002.mp4", portrait)
    found = _measured(capsys, "--dataset", "mafw", "--data", tmp_path, "--fold", 2)
    assert (found["n"], found["found"], found["unknown"]) == (2, 2, 1)
    assert (found["war"], found["uar"], found["known"]["war"]) == (0.5, 0.5, 1)
    assert found["recall"]["anxiety"] == 0


def test_a_folder_of_ones_own_and_what_is_missing(tmp_path, portrait, capsys):
    _recording(tmp_path / "joy" / "a.mp4", portrait)
    _recording(tmp_path / "angry" / "b.mp4", portrait)
    found = _measured(capsys, "--dataset", tmp_path)
    assert (found["n"], found["war"]) == (2, 0.5)
    for options, said in (
        (["--dataset", "dfew"], "needs --data ROOT"),
        (["--dataset", "dfew", "--data", str(tmp_path)], "set_1.csv"),
        (["--dataset", str(tmp_path / "none")], "no sub-folder named after an emotion"),
    ):
        assert main(["clips", *options]) in (2, 4)
        assert said in capsys.readouterr().err


def test_moments_in_which_a_face_shows_more_count_for_more(pipeline):
    labels = list(pipeline.config.labels)

    def moments(*parts: tuple[str, float, int]) -> np.ndarray:
        rows = []
        for name, value, count in parts:
            row = np.full(len(labels), (1 - value) / (len(labels) - 1))
            row[labels.index(name)] = value
            rows += [row] * count
        return np.array(rows)

    happy = moments(("neutral", 0.9, 60), ("happiness", 0.9, 40))
    answer = Answer("happiness", 0.6, {}, 0, "")
    said = Explanation("", "happiness", Verdict.REJECTED, 0.0, 0.0, (), 1)
    one = figures(
        pipeline, [Answered("happiness", answer, said, True, happy), Answered("happiness", None, _NOTHING, False, np.zeros((0, 0)))]
    )
    assert {name: way["war"] for name, way in one["pooling"].items()} == {
        "by expression": 0.5, "mean": 0.0, "mean of logarithms": 0.0, "highest moment": 0.0,
    }  # fmt: skip
    assert (one["war"], one["found"], one["course"], one["eea"]) == (0.5, 1, 0.5, 0)
