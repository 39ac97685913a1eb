import itertools
import json
import subprocess
import sys

import cv2
import numpy as np
import pytest
from packs import write_packs

from benchmarks.__main__ import main
from benchmarks.command import distinct
from benchmarks.speed import clock, scaling
from benchmarks.speed.clock import CALLS, interleave, pairs, summary, timed
from benchmarks.speed.stages import ASKED, STAGES


@pytest.fixture
def _brief(monkeypatch):
    """One call of a turn counts: what is told is tried, and not how steady it is."""
    monkeypatch.setattr(clock, "CALLS", 1)


@pytest.mark.usefixtures("_brief")
def test_latency_reports_every_stage_in_milliseconds_and_matmuls(capsys):
    assert main(["latency", "--rounds", "3", "--json"]) == 0
    figures = json.loads(capsys.readouterr().out)
    shipped = figures["variants"]["shipped"]
    assert figures["rounds"] == 3
    assert set(shipped["stages"]) - {ASKED} == set(STAGES)
    for stage in shipped["stages"].values():
        assert 0 < stage["median_ms"] <= stage["p95_ms"]
        assert stage["matmuls"] > 0
        assert "ratio" not in stage, "there is nothing to compare it with"


@pytest.mark.usefixtures("_brief")
def test_latency_sets_variants_against_the_first(capsys, pipeline):
    folder = str(pipeline.bundle.folder)
    assert main(["latency", "--bundle", folder, "--bundle", folder, "--rounds", "2", "--json"]) == 0
    first, second = json.loads(capsys.readouterr().out)["variants"].items()
    assert (first[0], second[0]) == ("models", "models 2")
    assert not any("ratio" in stage for stage in first[1]["stages"].values())
    told = {name: stage["ratio"] for name, stage in second[1]["stages"].items() if "ratio" in stage}
    assert set(told) - {ASKED} == set(STAGES) - {"capture"}, "both take their frames from one source"
    assert all(0 < ratio["low"] <= ratio["median"] <= ratio["high"] for ratio in told.values())


@pytest.mark.usefixtures("_brief")
def test_latency_times_counterfactuals_of_a_bundle_that_tells_them(capsys, pipeline, movable_folder):
    folders = [str(pipeline.bundle.folder), str(movable_folder)]
    assert main(["latency", *(f"--bundle={folder}" for folder in folders), "--rounds", "2", "--json"]) == 0
    without, told = json.loads(capsys.readouterr().out)["variants"].values()
    assert (ASKED in without["stages"]) == bool(pipeline.config.movable)
    assert set(told["stages"]) == {*STAGES, ASKED}
    assert 0 < told["stages"][ASKED]["median_ms"] <= told["stages"][ASKED]["p95_ms"]


def test_bundles_of_one_name_are_told_apart():
    assert distinct(["m", "m 2", "m", "m", "n"]) == ["m", "m 2", "m 3", "m 4", "n"]


@pytest.mark.usefixtures("_brief")
def test_latency_sweeps_batches_faces_and_a_fresh_process(pipeline):
    rows = scaling.batch_sweep(pipeline, 1, rounds=1)
    assert [row["batch"] for row in rows] == [1, 2, 4, 8, 16, 100]
    assert all(row["encode_per_face_ms"] == row["encode_ms"] / row["batch"] for row in rows)
    assert [row["found"] for row in scaling.face_sweep(pipeline, 1, rounds=1)] == [1, 2, 4, 9]
    cold = scaling.cold_start(pipeline.bundle.folder, "cpu", 1, repeats=1)
    assert cold["total_ms"] == pytest.approx(cold["import_ms"] + cold["load_ms"] + cold["first_ms"])


def test_drift_of_the_machine_is_not_in_ratios():
    slower = np.linspace(1, 5, 41)[:, None]
    times = {"matmul": 2 * slower * np.ones((1, 3)), "a": 6 * slower * np.ones((1, 4)), "b": 3 * slower * np.ones((1, 4))}
    found = summary("a", times, "b")
    assert (found["matmuls"], found["ratio"]) == (pytest.approx(3), {"median": 2, "low": 2, "high": 2})
    assert found["median_ms"] == pytest.approx(18)
    assert found["p95_ms"] == pytest.approx(np.percentile(times["a"], 95))
    assert "ratio" not in summary("a", times, "a")


def test_one_disturbed_call_of_a_turn_is_in_the_95th_percentile_and_not_in_the_ratio():
    times = {"matmul": np.ones((10, 3)), "a": np.full((10, 4), 2.0)}
    times["a"][:, 0] = 50
    found = summary("a", times)
    assert (found["median_ms"], found["p95_ms"], found["matmuls"]) == (2, 50, 2)


@pytest.mark.parametrize("rounds", [6, 20, 60])
def test_the_interval_of_a_ratio_covers_the_truth_as_often_as_it_says(rounds):
    random = np.random.default_rng(rounds)
    covered = []
    for _ in range(1000):
        spent = {name: random.lognormal(0, 0.3, (rounds, 1)) for name in "ab"}
        found = pairs("a", "b", spent)
        covered.append(found["low"] <= 1 <= found["high"])
    assert 0.935 <= np.mean(covered) <= 0.99


def test_few_rounds_have_the_least_and_largest_ratio_for_an_interval():
    found = pairs("a", "b", {"a": np.array([[1.0], [2], [4]]), "b": np.ones((3, 1))})
    assert found == {"median": 2, "low": 1, "high": 4}


def test_stages_take_turns_and_every_other_round_runs_backwards():
    order = []
    stages = [timed(name, lambda name=name: order.append(name)) for name in "ab"]
    times = interleave(stages, 1, rounds=2, warmup=1)
    turn = 1 + CALLS
    assert order == [*"a" * turn, *"b" * turn, *"b" * turn, *"a" * turn, *"a" * turn, *"b" * turn]
    shapes = {name: spent.shape for name, spent in times.items()}
    assert shapes == {"matmul": (2, 3), "a": (2, CALLS), "b": (2, CALLS)}, "a matmul before, between and after"


def test_warm_up_rounds_and_the_first_call_of_a_turn_do_not_count():
    ticks = itertools.count()
    marks = iter(range(1000))

    def stage(calls):
        return {"a": [float(next(marks)) for _ in range(calls)]}

    times = interleave([stage], 1, rounds=2, warmup=1, clock=lambda: float(next(ticks)))
    assert times["a"].tolist() == [[6, 7, 8, 9], [11, 12, 13, 14]], "call 5 and 10 fill the caches, 0 to 4 are the warm-up"
    assert (times["matmul"] == 1000).all(), "one tick between two readings of the clock"


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
    assert (figures["n"], figures["found"], figures["war"], figures["uar"], figures["answer_war"]) == (2, 1, 0.5, 0.5, 0.5)


def test_the_runtimes_crop_of_a_face_is_compared_with_the_given_image(capsys, tmp_path, portrait):
    grey = cv2.cvtColor(portrait, cv2.COLOR_BGR2GRAY)
    faces = np.stack([cv2.resize(grey[30 + i : 206 + i, 130:306], (48, 48), interpolation=cv2.INTER_AREA) for i in range(8)])
    write_packs(tmp_path)
    for name, key in (("ferplus_images", "images"), ("ferplus_landmarks", "landmarks"), ("ferplus_blendshapes", "blendshapes")):
        pack = dict(np.load(tmp_path / f"{name}.npz"))
        for part in [k for k in pack if k.startswith("test_")]:
            pack[part] = pack[part][:8]
        if key == "images":
            pack["test_images"] = faces
        np.savez(tmp_path / f"{name}.npz", **pack)
    assert main(["crop", "--data", str(tmp_path / "ferplus_images.npz"), "--json"]) == 0
    figures = json.loads(capsys.readouterr().out)
    assert (figures["n"], figures["found"], figures["agreement"]) == (8, 1.0, 1.0)


def test_a_device_needs_no_training_packages_to_be_sized():
    code = (
        "import sys, benchmarks.speed.latency, benchmarks.speed.hardware, benchmarks.speed.power, benchmarks.speed.roofline;"
        "print([name for name in ('torch', 'transformers', 'scipy', 'matplotlib', 'training') if name in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"


def test_a_missing_package_is_named():
    code = "import sys; sys.modules['onnx'] = None; from benchmarks.__main__ import main; sys.exit(main(['roofline']))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 3
    assert "needs the package 'onnx'" in done.stderr


def test_bad_data_is_a_clear_error(capsys, tmp_path):
    assert main(["accuracy", "--data", str(tmp_path)]) == 4
    assert main(["accuracy", "--data", str(tmp_path / "x.npz")]) == 4
    (tmp_path / "empty.npz").touch()
    assert main(["accuracy", "--data", str(tmp_path / "empty.npz")]) == 4
    np.savez(tmp_path / "other.npz", test_images=np.zeros((1, 48, 48), np.uint8))
    assert main(["accuracy", "--data", str(tmp_path / "other.npz")]) == 4
    assert main(["latency", "--rounds", "0"]) == 2
    assert main(["latency", "--threads", "0"]) == 2
    assert main(["latency", "--video", str(tmp_path / "none.avi")]) == 4
    assert main(["faces", "--data", str(tmp_path / "x.zip")]) == 4
    assert "Traceback" not in capsys.readouterr().err
