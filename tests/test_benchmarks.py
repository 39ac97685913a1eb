import json

import cv2
import pytest

from benchmarks.__main__ import main


def test_latency_reports_every_stage_in_milliseconds_and_matmuls(capsys):
    assert main(["latency", "--rounds", "3", "--json"]) == 0
    figures = json.loads(capsys.readouterr().out)
    assert set(figures["stages"]) == {"face", "align", "encode", "fast", "explain", "verify", "full"}
    for stage in figures["stages"].values():
        assert stage["matmuls"] == pytest.approx(stage["median_ms"] / figures["matmul_ms"])
        assert 0 < stage["median_ms"] <= stage["p95_ms"]


def test_accuracy_reads_a_folder_of_emotion_folders(capsys, tmp_path, portrait):
    for name, crop in (("Happy", portrait[20:200, 130:310]), ("sadness", cv2.flip(portrait[20:200, 130:310], 1)), ("notes", portrait)):
        (tmp_path / name).mkdir()
        cv2.imwrite(str(tmp_path / name / "a.png"), crop)
    assert main(["accuracy", "--data", str(tmp_path), "--closed", "--json"]) == 0
    figures = json.loads(capsys.readouterr().out)
    assert (figures["n"], figures["war"], figures["uar"]) == (2, 0.5, 0.5)
    assert figures["recall"]["happiness"] == 1
    assert figures["recall"]["fear"] is None
    assert figures["cue_precision"] is None


def test_accuracy_on_whole_photos_counts_photos_without_a_face_as_missed(capsys, tmp_path, portrait):
    (tmp_path / "happiness").mkdir()
    cv2.imwrite(str(tmp_path / "happiness" / "a.png"), portrait)
    cv2.imwrite(str(tmp_path / "happiness" / "b.png"), portrait * 0)
    assert main(["accuracy", "--data", str(tmp_path), "--find-faces", "--json"]) == 0
    figures = json.loads(capsys.readouterr().out)
    assert (figures["n"], figures["found"], figures["war"]) == (2, 1, 0.5)


def test_bad_data_is_a_clear_error(capsys, tmp_path):
    assert main(["accuracy", "--data", str(tmp_path)]) == 4
    assert main(["accuracy", "--data", str(tmp_path / "x.npz")]) == 4
    assert main(["faces", "--data", str(tmp_path / "x.zip")]) == 4
    assert "Traceback" not in capsys.readouterr().err
