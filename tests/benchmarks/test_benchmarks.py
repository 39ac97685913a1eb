import contextlib
import json
import subprocess
import sys
import time
import zipfile

import cv2
import numpy as np
import pytest
from packs import write_packs

from benchmarks.__main__ import main
from benchmarks.command import distinct
from benchmarks.speed import latency, scaling
from benchmarks.speed.clock import interleave, sit, summary, timed
from benchmarks.speed.stages import STAGES
from edge.pipeline import Pipeline


def test_latency_reports_every_stage_in_milliseconds_and_matmuls(capsys):
    assert main(["latency", "--rounds", "3", "--seconds", "0", "--json"]) == 0
    figures = json.loads(capsys.readouterr().out)
    shipped = figures["variants"]["shipped"]
    assert (figures["sittings"], figures["rounds"]) == (1, 3)
    assert set(shipped["stages"]) == set(STAGES)
    for stage in shipped["stages"].values():
        assert 0 < stage["median_ms"] <= stage["p90_ms"] <= stage["p95_ms"] <= stage["p99_ms"]
        assert stage["median_ms"] == pytest.approx(np.median(stage["raw_ms"]), abs=1e-3)
        assert 0 < stage["quiet_ms"] <= stage["median_ms"]
        assert stage["matmuls"] == pytest.approx(stage["quiet_ms"] / figures["matmul_ms"])
    stages = {name: figures["median_ms"] for name, figures in shipped["stages"].items()}
    assert stages["first_token"] + stages["per_token"] < stages["explain"] < stages["full"]
    assert 0 <= shipped["dropped"]["fast"] <= 1


def test_latency_times_variants_side_by_side(capsys, pipeline):
    folder = str(pipeline.bundle.folder)
    assert (
        main(["latency", "--bundle", folder, "--bundle", folder, "--rounds", "2", "--seconds", "0", "--fps", "0", "--no-raw", "--json"])
        == 0
    )
    figures = json.loads(capsys.readouterr().out)
    assert list(figures["variants"]) == ["models", "models 2"]
    for variant in figures["variants"].values():
        assert "raw_ms" not in variant["stages"]["full"]


def test_bundles_of_one_name_are_told_apart():
    assert distinct(["m", "m 2", "m", "m", "n"]) == ["m", "m 2", "m 3", "m 4", "n"]


def test_latency_sweeps_batches_faces_and_a_fresh_process(pipeline):
    rows = scaling.batch_sweep(pipeline, 1, rounds=2)
    assert [row["batch"] for row in rows] == [1, 2, 4, 8, 16, 100]
    assert rows[-1]["encode_ms"] > rows[0]["encode_ms"]
    assert [row["found"] for row in scaling.face_sweep(pipeline, 1, rounds=1)] == [1, 2, 4, 9]
    cold = scaling.cold_start(None, "cpu", 1, repeats=1)
    assert cold["total_ms"] == pytest.approx(cold["import_ms"] + cold["load_ms"] + cold["first_ms"])


def test_matmuls_come_from_the_quietest_calls():
    undisturbed, disturbed = [[1.0, 1.0]] * 3, [[7.0, 8.0]] * 9
    times = {"matmul": np.array(undisturbed + disturbed), "a": 3 * np.array(disturbed + undisturbed)}
    found = summary("a", times)
    assert found["matmuls"] == found["quiet_ms"] == pytest.approx(3.0), "though each was disturbed at other times"
    assert found["median_ms"] == pytest.approx(21.0), "milliseconds are those of all calls"


def test_the_figures_of_several_sittings_are_those_of_all_their_calls():
    usual = {"matmul": np.full((4, 2), 1.0), "a": np.full((4, 1), 4.0)}
    slow = {"matmul": np.full((4, 2), 2.0), "a": np.full((4, 1), 9.0)}
    laid_better = {"matmul": np.full((4, 2), 1.0), "a": np.full((4, 1), 3.0)}
    found = summary("a", usual, slow, laid_better, raw=True)
    assert (found["matmuls"], found["quiet_ms"], found["median_ms"]) == (3.0, 3.0, 4.0)
    assert found["raw_ms"] == [4.0] * 4 + [9.0] * 4 + [3.0] * 4


def test_the_standard_error_tells_how_far_repeated_runs_are_apart():
    """Many runs, whose stage is slower by another share in every sitting."""
    random = np.random.default_rng(0)

    def run(sittings):
        slower = 1 + 0.1 * random.random(sittings)
        return [{"matmul": 1 + 0.02 * random.random((50, 2)), "a": slow * (3 + 0.02 * random.random((50, 5)))} for slow in slower]

    for sittings in (7, 21):
        found = [summary("a", *run(sittings)) for _ in range(60)]
        spread = np.std([figures["matmuls"] for figures in found])
        assert 0.5 < np.mean([figures["matmuls_se"] for figures in found]) / spread < 2
    steady = {"matmul": np.full((4, 2), 1.0), "a": np.full((4, 1), 3.0)}
    assert summary("a", *[steady] * 3)["matmuls_se"] == 0
    assert summary("a", *[steady] * 2)["matmuls_se"] is None, "two sittings tell nothing"


@pytest.mark.parametrize(("seconds", "count"), [(0.0, 1), (0.5, 2), (0.8, 4)])
def test_a_long_measurement_is_cut_into_sittings_with_stages_of_their_own(monkeypatch, seconds, count):
    monkeypatch.setattr("benchmarks.speed.clock._SITTING_S", 0.2)
    events = []

    @contextlib.contextmanager
    def stages():
        events.append("prepared")
        yield [timed("a", lambda: time.sleep(0.001))]
        events.append("cleaned up")

    started = time.perf_counter()
    sittings = sit(stages, 1, rounds=9, seconds=seconds)
    assert time.perf_counter() - started >= seconds
    assert events == ["prepared", "cleaned up"] * count
    assert len(sittings) == count
    assert sum(len(times["a"]) for times in sittings) >= 9


def test_sittings_that_take_long_to_prepare_last_longer(monkeypatch):
    monkeypatch.setattr("benchmarks.speed.clock._SITTING_S", 0.1)

    @contextlib.contextmanager
    def stages():
        time.sleep(0.1)
        yield [timed("a", lambda: None)]

    assert len(sit(stages, 1, rounds=1, seconds=1.0)) == 2, "of half a second each: five times as long as it took"


def test_every_sitting_of_latency_loads_the_bundles_anew(monkeypatch):
    monkeypatch.setattr("benchmarks.speed.clock._SITTING_S", 1.0)
    monkeypatch.setattr("benchmarks.speed.clock._PREPARED", 0)
    loads = []

    @contextlib.contextmanager
    def load():
        with Pipeline.load(threads=1) as fresh:
            loads.append(fresh)
            yield {"shipped": fresh}

    figures = latency.measure(load, 1, rounds=2, seconds=2.0, fps=0)
    assert figures["sittings"] == 2
    assert len(set(map(id, loads))) == 2
    assert len(figures["matmul_raw_ms"]) == figures["rounds"] * 10, "before, between and after nine stages"


def test_measurements_pooled_are_one_of_all_their_calls(pipeline):
    @contextlib.contextmanager
    def load():
        yield {"shipped": pipeline}

    parts = [latency.measure(load, 1, rounds=rounds, fps=fps) for rounds, fps in ((1, 30.0), (2, 0.0))]
    parts[1]["variants"]["shipped"]["provider"] = "FasterExecutionProvider"
    figures = latency.pool(parts)
    assert (figures["sittings"], figures["rounds"], figures["threads"]) == (2, 3, 1)
    assert (figures["before"], figures["after"]) == (parts[0]["before"], parts[1]["after"])
    assert figures["matmul_raw_ms"] == parts[0]["matmul_raw_ms"] + parts[1]["matmul_raw_ms"]
    found, (first, second) = figures["variants"]["shipped"], (part["variants"]["shipped"] for part in parts)
    assert found["provider"] == "CPUExecutionProvider, FasterExecutionProvider"
    assert found["dropped"] == first["dropped"]
    raw = first["stages"]["fast"]["raw_ms"] + second["stages"]["fast"]["raw_ms"]
    assert found["stages"]["fast"]["raw_ms"] == raw
    assert found["stages"]["fast"]["matmuls"] == pytest.approx(np.percentile(raw, 1) / np.percentile(figures["matmul_raw_ms"], 1))


def test_stages_take_turns_and_every_other_round_runs_backwards():
    order = []
    stages = [timed(name, lambda name=name: order.append(name)) for name in "ab"]
    times = interleave(stages, 1, rounds=2, warmup=0, turn_ms=0)
    assert order == ["a", "b", "b", "a"]
    assert {name: spent.shape for name, spent in times.items()} == {"matmul": (2, 3), "a": (2, 1), "b": (2, 1)}, (
        "a matmul before, between and after"
    )


def test_a_quick_stage_is_called_more_often_and_the_first_call_of_a_turn_does_not_count():
    called = {"0": 0, "4": 0, "30": 0}

    def work(name: str) -> None:
        called[name] += 1
        time.sleep(int(name) / 1e3)

    times = interleave([timed(name, lambda name=name: work(name)) for name in called], 1, rounds=2, warmup=0, turn_ms=20)
    assert times["0"].shape == (2, 24)
    assert 2 <= times["4"].shape[1] <= 5
    assert times["30"].shape == (2, 2)
    assert called["0"] == 5 + 2 * 25, "five to learn how long it takes"


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
    for name, key in (("ferplus_images", "images"), ("ferplus_landmarks", "landmarks")):
        pack = dict(np.load(tmp_path / f"{name}.npz"))
        for part in [k for k in pack if k.startswith("test_")]:
            pack[part] = pack[part][:8]
        if key == "images":
            pack["test_images"] = faces
        np.savez(tmp_path / f"{name}.npz", **pack)
    assert main(["crop", "--data", str(tmp_path / "ferplus_images.npz"), "--json"]) == 0
    figures = json.loads(capsys.readouterr().out)
    assert (figures["n"], figures["found"], figures["agreement"]) == (8, 1.0, 1.0)


def test_point_errors_are_told_apart_on_photos_of_the_portrait(capsys, tmp_path, portrait, pipeline):
    found = pipeline.finder(cv2.cvtColor(portrait, cv2.COLOR_BGR2GRAY))[0]
    box = [*found.box_xyxy[:2].tolist(), *(found.box_xyxy[2:] - found.box_xyxy[:2]).tolist()]
    rng, index = np.random.default_rng(0), []
    with zipfile.ZipFile(tmp_path / "photos.zip", "w") as pack:
        for i in range(12):
            pack.writestr(f"portrait/{i}.png", cv2.imencode(".png", portrait)[1].tobytes())
            points = (found.points_xy + rng.normal(0, 3, (5, 2))).ravel().tolist()
            faces = [{"box": box, "points": points, "score": 0.9}]
            index.append(
                {"file": f"portrait/{i}.png", "group": str(i), "kind": "keypoint_extent", "given_boxes": [], "teacher_faces": faces}
            )
        pack.writestr("index.json", json.dumps(index))
    assert main(["points", "--data", str(tmp_path / "photos.zip"), "--split", "all", "--json"]) == 0
    figures = json.loads(capsys.readouterr().out)
    assert figures["faces"] == 12
    assert figures["teacher"] > 3 * figures["finder"], "here only the teacher errs from photo to photo"


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
    assert main(["latency", "--seconds", "nan"]) == 2
    assert main(["latency", "--video", str(tmp_path / "none.avi")]) == 4
    assert main(["faces", "--data", str(tmp_path / "x.zip")]) == 4
    assert "Traceback" not in capsys.readouterr().err
