"""Runs over a study: what is read, what is kept, what is proven, and what is said of what cannot be read."""

import csv
import io
import json
import os
import signal
import struct
import subprocess
import sys
import time
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest
from killing import Stable

from edge.batch import reader as reading
from edge.batch.command import main
from edge.batch.driver import Driver
from edge.batch.progress import Progress, in_words
from edge.batch.reader import Order, Outcome, Reader
from edge.batch.results import Options, identity
from edge.batch.study import find_study
from edge.bundle import SHIPPED
from edge.errors import BackendError, OutputError
from edge.whole import part_name

ROOT = Path(__file__).parents[2]
OPTIONS = Options("csv", "native", "off", 0.0, "cpu")
HERE = ["--workers", "0", "--explain", "off", "--device", "cpu"]


def record(path: Path, portrait: np.ndarray, frames: int = 5, fourcc: str = "MJPG") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*fourcc), 25, (160, 160))
    for i in range(frames):
        writer.write(cv2.resize(portrait[0:480, i : i + 480], (160, 160), interpolation=cv2.INTER_AREA))
    writer.release()
    return path


@pytest.fixture
def study(tmp_path, portrait) -> Path:
    """Two recordings of five and six frames, a picture, a broken file and a text."""
    folder = tmp_path / "study"
    record(folder / "one.avi", portrait)
    record(folder / "day2" / "two.avi", portrait, 6)
    cv2.imwrite(str(folder / "face.png"), cv2.resize(portrait, (256, 256)))
    (folder / "broken.mp4").write_bytes(b"no video")
    (folder / "notes.txt").write_text("notes")
    (folder / ".hidden.avi").write_bytes(b"")
    return folder


@pytest.fixture
def worker(tmp_path, pipeline):
    """A reader into `tmp_path / out`, with the session's pipeline."""

    def make(out: str = "out", options: Options = OPTIONS) -> Reader:
        made = Reader(Order(str(tmp_path / out), None, 1, identity(SHIPPED, options)))
        made._pipeline = pipeline
        return made

    return make


def lines(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def test_a_study_becomes_a_table_each_a_summary_and_a_proof(study, tmp_path, capsys):
    out = tmp_path / "out"
    assert main([str(study), "--out", str(out), *HERE]) == 4
    said = capsys.readouterr()
    assert sorted(said.out.splitlines())[:3] == [
        "done day2/two: 6 frames, 1 person",
        "done face: 1 frame, 1 person",
        "done one: 5 frames, 1 person",
    ]
    assert "failed broken: 'broken.mp4' is not a video" in said.out
    assert "1 of 4 could not be read" in said.err
    assert len(lines(out / "tables/one.csv")) == 5
    assert [row["frame"] for row in lines(out / "tables/day2/two.csv")] == list("012345")
    assert {row["source"] for row in lines(out / "tables/day2/two.csv")} == {"day2/two.avi"}
    summary = {row["name"]: row for row in lines(out / "summary.csv")}
    assert list(summary) == ["broken", "day2/two", "face", "one"]
    assert summary["one"]["seconds"] == "0.2"
    assert summary["one"]["share_happiness"] == "1.0"
    assert float(summary["one"]["mean_cue_lip_corners"]) > 1
    assert summary["broken"]["rows"] == ""
    manifest = json.loads((out / "manifest.json").read_text())
    assert (manifest["done"], manifest["failed"], manifest["frames_decoded"], manifest["rows"]) == (3, 1, 12, 12)
    assert manifest["passed_over"] == ["notes.txt"]
    assert manifest["stopped"] == ""
    proof = {one["name"]: one for one in manifest["records"]}["one"]
    assert proof["sha256"] == reading.sha256_of(study / "one.avi")
    assert proof["table_sha256"] == reading.sha256_of(out / proof["table"])
    assert proof["frames_container"] == proof["frames_decoded"] == proof["rows"] == 5
    assert proof["versions"]["opencv"] == cv2.__version__


def test_what_is_done_is_not_done_again_and_what_changed_is(study, tmp_path, capsys, portrait):
    out = tmp_path / "out"
    main([str(study), "--out", str(out), *HERE])
    before = {path: (path.stat().st_ino, path.read_bytes()) for path in (out / "tables").rglob("*.csv")}
    record(study / "one.avi", portrait, 7)
    (out / "tables/face.csv").write_text("someone wrote here")
    left = part_name(out / "tables/one.csv")  # of a run that was killed
    left.write_text("half")
    capsys.readouterr()
    assert main([str(study), "--out", str(out), *HERE]) == 4
    assert {line.partition(":")[0] for line in capsys.readouterr().out.splitlines()} == {
        "kept day2/two", "done face", "done one", "failed broken",
    }  # fmt: skip
    after = {path: (path.stat().st_ino, path.read_bytes()) for path in (out / "tables").rglob("*.csv")}
    assert after[out / "tables/day2/two.csv"] == before[out / "tables/day2/two.csv"]
    assert after[out / "tables/face.csv"][1] == before[out / "tables/face.csv"][1]
    assert len(lines(out / "tables/one.csv")) == 7
    assert not left.exists()


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--explain", "change"], "its explain is 'off', now 'change'"),
        (["--table", "parquet"], "its table is 'csv', now 'parquet'"),
        (["--min-face", "24"], "its min_face is None, now 24.0"),
    ],
)
def test_a_folder_of_another_run_is_refused(study, tmp_path, capsys, more, said):
    pytest.importorskip("pyarrow", reason="Parquet needs pyarrow")
    out = tmp_path / "out"
    out.mkdir()
    (out / "run.json").write_text(json.dumps(json.loads(json.dumps(_run_of(OPTIONS)))))
    assert main([str(study), "--out", str(out), *HERE, *more]) == 2
    assert said in capsys.readouterr().err
    assert sorted(path.name for path in out.iterdir()) == ["run.json"]


def _run_of(options: Options) -> dict:
    from dataclasses import asdict

    return asdict(identity(SHIPPED, options))


def test_a_width_of_faces_that_a_recording_is_too_small_for_fails_that_one_alone(study, tmp_path, capsys):
    assert main([str(study), "--out", str(tmp_path / "out"), *HERE, "--min-face", "200"]) == 4
    said = capsys.readouterr().out
    assert "done face: 1 frame, 1 person" in said
    assert "failed one: 'one.avi': min_face 200 px: the picture has only 160×160" in said


def test_places_that_would_lose_something_are_refused(study, tmp_path, capsys):
    full, other = tmp_path / "full", tmp_path / "other"
    full.mkdir()
    (full / "thesis.txt").write_text("precious")
    other.mkdir()
    (other / "run.json").write_text(json.dumps({**_run_of(OPTIONS), "edge": "0.0.1"}))
    (tmp_path / "file").write_text("")
    cases = [
        (full, "holds something that is no run"),
        (other, "its version of erv-edge is 0.0.1"),
        (tmp_path / "file", "is not a folder"),
        (SHIPPED / "out", "lies in the bundle"),
        (study.parent, "lies in --out"),
    ]
    for out, said in cases:
        assert main([str(study), "--out", str(out), *HERE]) == 2
        assert said in capsys.readouterr().err
    assert (full / "thesis.txt").read_text() == "precious"


def test_a_folder_that_another_run_writes_is_refused(study, tmp_path, capsys):
    fcntl = pytest.importorskip("fcntl", reason="locks are POSIX")
    out = tmp_path / "out"
    out.mkdir()
    handle = os.open(out, os.O_RDONLY)
    fcntl.flock(handle, fcntl.LOCK_EX)
    assert main([str(study), "--out", str(out), *HERE]) == 2
    assert "is being written by another run" in capsys.readouterr().err
    os.close(handle)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("file\n", "lists nothing"),
        ("path\none.avi\n", "line 2: expected a column 'file'"),
        ("file,name\none.avi,../up\n", "cannot name a table"),
        ("file,name\none.avi,a\nday2/two.avi,A\n", "would have the same table"),
        ("file\none.avi,x\n", "not as many cells"),
        ("file,rows\none.avi,3\n", "a column 'rows'"),
    ],
)
def test_a_list_that_makes_no_sense_is_one_sentence(study, tmp_path, capsys, text, said):
    (study / "list.csv").write_text(text)
    assert main([str(study / "list.csv"), "--out", str(tmp_path / "out"), *HERE]) in (2, 4)
    error = capsys.readouterr().err
    assert said in error
    assert len(error.splitlines()) == 1
    assert not (tmp_path / "out").exists()


def test_a_list_names_its_tables_and_its_columns_come_into_the_summary(study, tmp_path, capsys):
    (study / "list.csv").write_text("\ufefffile;name;condition\none.avi;p1/first;calm\nmissing.avi;;loud\n", encoding="utf-8")
    out = tmp_path / "out"
    assert main([str(study / "list.csv"), "--out", str(out), *HERE]) == 4
    assert "failed missing: no file at 'missing.avi'" in capsys.readouterr().out
    rows = lines(out / "summary.csv")
    assert [(row["condition"], row["name"], row["status"]) for row in rows] == [("loud", "missing", "failed"), ("calm", "p1/first", "done")]
    assert (out / "tables/p1/first.csv").exists()


def test_a_folder_without_recordings_and_two_files_of_one_name_are_told_before_anything_is_written(study, tmp_path, capsys, portrait):
    (tmp_path / "empty").mkdir()
    assert main([str(tmp_path / "empty"), "--out", str(tmp_path / "out"), *HERE]) == 4
    assert "holds neither recordings nor pictures" in capsys.readouterr().err
    record(study / "one.mkv", portrait)
    assert main([str(study), "--out", str(tmp_path / "out"), *HERE]) == 2
    assert "'one.avi' and 'one.mkv' would have the same table" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_recording_that_breaks_off_keeps_what_could_be_read_and_is_listed(worker, tmp_path, portrait):
    path = record(tmp_path / "study" / "cut.avi", portrait, 40)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    (item,) = find_study(tmp_path / "study", tmp_path / "out").items
    outcome = worker().read(item)
    assert outcome.record["status"] == "partial"
    assert "'cut.avi' is truncated" in outcome.record["reason"]
    assert 0 < outcome.record["rows"] == outcome.record["frames_decoded"] == len(lines(tmp_path / "out/tables/cut.csv")) < 40
    assert worker().read(item).kept


def test_rows_are_the_decoded_frames_at_any_rate_and_a_file_without_a_picture_is_listed(worker, tmp_path, portrait):
    av = pytest.importorskip("av", reason="such files are written by PyAV")
    study = tmp_path / "study"
    study.mkdir()
    times_ms = [0, 33, 80, 100, 180, 700, 720, 800]
    with av.open(str(study / "varying.mkv"), "w") as file:
        stream = file.add_stream("mpeg4", 25)
        stream.width = stream.height = 160
        stream.pix_fmt, stream.codec_context.time_base = "yuv420p", Fraction(1, 1000)
        for i, t_ms in enumerate(times_ms):
            frame = av.VideoFrame.from_ndarray(cv2.resize(portrait[0:480, 4 * i : 4 * i + 480], (160, 160)), format="bgr24")
            frame.pts, frame.time_base = t_ms, Fraction(1, 1000)
            file.mux(stream.encode(frame))
        file.mux(stream.encode())
    with av.open(str(study / "sound.mp4"), "w") as file:
        stream = file.add_stream("aac", 16000)
        sound = av.AudioFrame.from_ndarray(np.zeros((1, 16000), np.float32), format="fltp", layout="mono")
        sound.sample_rate = 16000
        file.mux(stream.encode(sound))
        file.mux(stream.encode())
    record(study / "turned.mp4", portrait, 6, "mp4v")
    data = bytearray((study / "turned.mp4").read_bytes())
    at = data.index(b"tkhd") + 44  # the track's matrix
    data[at : at + 36] = struct.pack(">9i", 0, 1 << 16, 0, -1 << 16, 0, 0, 0, 0, 1 << 30)
    (study / "turned.mp4").write_bytes(data)
    found = {item.name: worker().read(item).record for item in find_study(study, tmp_path / "out").items}
    assert found["sound"]["status"] == "failed"
    assert "'sound.mp4' is not a video" in found["sound"]["reason"]
    for name, frames in (("varying", len(times_ms)), ("turned", 6)):
        rows = lines(tmp_path / "out" / "tables" / f"{name}.csv")
        assert [row["frame"] for row in rows] == [str(i) for i in range(frames)]
        assert found[name]["frames_decoded"] == found[name]["rows"] == frames
    rows = lines(tmp_path / "out" / "tables" / "varying.csv")
    assert [float(row["t_ms"]) for row in rows] == pytest.approx(times_ms, abs=1)
    assert found["varying"]["longest_gap_s"] == pytest.approx(0.52, abs=0.002)


def test_a_file_that_changes_while_it_is_read_gives_no_table(worker, tmp_path, study):
    (item,) = (item for item in find_study(study, tmp_path).items if item.name == "one")

    def grow(_: float) -> None:
        with (study / "one.avi").open("ab") as file:
            file.write(b"more")

    outcome = worker().read(item, grow)
    assert outcome.record["status"] == "failed"
    assert "'one.avi' changed while it was read" in outcome.record["reason"]
    assert not list((tmp_path / "out").rglob("*.csv*"))


def test_a_table_that_lacks_a_frame_is_not_kept(worker, tmp_path, study, monkeypatch):
    (item,) = (item for item in find_study(study, tmp_path).items if item.name == "one")
    write = reading.CsvSink.write
    monkeypatch.setattr(reading.CsvSink, "write", lambda self, one: write(self, one) if one.frame != 3 else None)
    outcome = worker().read(item)
    assert outcome.record["reason"] == "'one.avi': 5 frames were decoded and 4 written: the table is not kept"
    assert not list((tmp_path / "out").rglob("*.csv*"))


def test_a_full_disk_ends_the_run_and_what_was_finished_stays(worker, tmp_path, study, monkeypatch):
    one, other = (item for item in find_study(study, tmp_path).items if item.name in ("one", "face"))
    done = worker().read(one)
    resource = pytest.importorskip("resource", reason="limits of processes are POSIX")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, before[1]))
    try:
        outcome = worker().read(other)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    assert isinstance(outcome.stop, OutputError)
    assert "what was finished before is kept" in str(outcome.stop)
    assert worker().read(one).kept
    assert done.record["status"] == "done"
    assert [path.name for path in (tmp_path / "out" / "tables").iterdir()] == [f"{one.name}.csv"]


def test_gaps_and_people_are_counted_by_time():
    from edge.batch.tally import Tally
    from edge.types import Reading

    tally = Tally()
    for i, t_ms in enumerate([0, 40, 80, 120, 200, 240, 740, 780]):
        tally.see(Reading("a", i, t_ms, 64, 48, ()))
    found = tally.to_dict()
    assert (found["gaps"], found["longest_gap_s"], found["gaps_after"]) == (2, 0.5, [[3, 120, 200], [5, 240, 740]])
    assert (found["seconds"], found["fps"], found["people"], found["rows"]) == (0.82, 25.0, 0, 8)


def test_parquet_has_the_rows_of_the_csv(worker, tmp_path, study):
    parquet = pytest.importorskip("pyarrow.parquet", reason="Parquet needs pyarrow")
    items = [item for item in find_study(study, tmp_path).items if item.name in ("one", "face")]
    for item in items:
        worker("a").read(item)
        assert worker("b", Options("parquet", "native", "off", 0.0, "cpu")).read(item).record["status"] == "done"
        table = parquet.read_table(tmp_path / "b/tables" / f"{item.name}.parquet").to_pylist()
        rows = lines(tmp_path / "a/tables" / f"{item.name}.csv")
        assert [{k: "" if v is None else str(v) for k, v in row.items()} for row in table] == [
            {k: v if not _is_number(v) else str(type(table[i][k])(v)) for k, v in row.items()} for i, row in enumerate(rows)
        ]


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def test_the_time_left_follows_what_was_read_and_not_what_was_kept():
    from edge.batch.study import Item

    items = [Item(name, name, name, size) for name, size in (("a", 100), ("b", 300), ("c", 600))]
    progress = Progress(items, io.StringIO())
    started = progress._started
    assert progress.left_s({}, started + 5) is None
    progress.done("c", kept=True)
    assert progress.left_s({"a": 0.5}, started + 10) == pytest.approx(70)
    progress.done("a", kept=False)
    assert progress.left_s({}, started + 10) == pytest.approx(30)
    progress.show({})
    assert progress._stream.getvalue() == ""  # no terminal
    assert [in_words(s) for s in (40, 720, 12600)] == ["40 s", "12 min", "3.5 h"]


def test_killed_at_any_moment_a_run_goes_on_to_the_same_tables(tmp_path, portrait):
    """Also in the moments between two files of one recording."""
    study, out, whole = tmp_path / "study", tmp_path / "out", tmp_path / "whole"
    for i in range(6):
        record(study / f"{i}.avi", portrait, 4 + i)
    with Stable() as stable:
        assert _run(stable, study, whole)[0] == 0
        for wait_s in (0.0, 0.01, 0.03, 0.1):
            assert _run(stable, study, out, wait_s)[0] in (0, -9)
            finished = {path.stem for path in (out / "records").glob("*.json")}
            before = {path.name: path.stat().st_ino for path in (out / "tables").glob("*.csv") if path.stem in finished}
            assert finished
            for path in out.rglob("*.csv"):
                assert path.name.startswith(".") or path.read_bytes() == (whole / path.relative_to(out)).read_bytes()
        code, said = _run(stable, study, out)
    assert code == 0
    assert said.count("kept") == len(finished)
    for path in (whole / "tables").iterdir():
        assert (out / "tables" / path.name).read_bytes() == path.read_bytes()
        if path.name in before:
            assert (out / "tables" / path.name).stat().st_ino == before[path.name]
    assert not list(out.rglob(".*"))


def _run(stable: Stable, study: Path, out: Path, kill_after_s: float | None = None) -> tuple[int, str]:
    """Read the study; when told to, kill it (-9) so long after the first recording that it has not found done."""
    child = stable.start("study", str(study), "--out", str(out), *HERE)
    with child.out, child.err:
        if kill_after_s is not None:
            while (child.out.readline() or b"done").startswith(b"kept"):
                pass
            time.sleep(kill_after_s)
            child.kill(signal.SIGKILL)
        said = child.out.read().decode()
        return child.wait(), said


def test_two_workers_of_ray_give_the_tables_of_one_process(study, tmp_path, monkeypatch, capsys):
    pytest.importorskip("ray", reason="a cluster needs ray")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    here, there = tmp_path / "here", tmp_path / "there"
    assert main([str(study), "--out", str(here), *HERE]) == 4
    code = "import sys; from edge.batch.command import main; sys.exit(main(sys.argv[1:]))"
    command = [sys.executable, "-c", code, str(study), "--out", str(there), "--workers", "2", *HERE[2:]]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 4, done.stderr
    assert "failed broken" in done.stdout
    for path in (here / "tables").rglob("*.csv"):
        assert (there / path.relative_to(here)).read_bytes() == path.read_bytes()


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--workers", "99999999999"], "99999999999 workers of 1 CPUs: at most"),
        (["--workers", "1", "--cpus", "1e300"], "1 workers of 1e+300 CPUs: at most"),
        (["--workers", "0", "--threads", "100000"], "100000 threads: expected 0"),
        (["--workers", "0", "--gpus", "1"], "--workers 0 reads in this process"),
    ],
)
def test_resources_that_make_no_sense_end_the_run_at_once(study, tmp_path, capfd, more, said):
    if more[1] != "0":
        pytest.importorskip("ray", reason="a cluster needs ray")
    assert main([str(study), "--out", str(tmp_path / "out"), "--device", "cpu", *more]) == 2
    assert said in capfd.readouterr().err
    assert not (tmp_path / "out" / "tables").exists()


def _vanish(line, order, given) -> None:
    """A process of Ray's that ends as its cluster does, after one outcome."""
    line.send(("ready", None))
    (item, *_) = line.recv()
    line.send(("outcome", Outcome(item.name, {"status": "done"})))
    line.send(("watch", {}))


def test_a_cluster_that_goes_away_is_one_sentence_and_what_came_before_is_kept(study, tmp_path):
    order = Order(str(tmp_path / "out"), None, 1, identity(SHIPPED, OPTIONS))
    driver = Driver(order, address="there:6379", workers=2, cpus=1.0, gpus=0.0, drive=_vanish)
    outcomes = driver.read(find_study(study, tmp_path / "out").items, lambda _: None)
    assert next(outcomes).record == {"status": "done"}
    with pytest.raises(BackendError, match="the cluster at 'there:6379' is gone; what was finished is kept"):
        next(outcomes)
    driver.close()


def test_without_ray_it_is_named_and_nothing_is_begun(study, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "ray", None)
    assert main([str(study), "--out", str(tmp_path / "out"), "--workers", "2"]) == 3
    assert "erv-edge[batch]" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
