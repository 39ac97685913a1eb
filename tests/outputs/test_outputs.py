import csv
import io
import json
import math
import socket
import subprocess
import sys
import threading
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edge import ActionUnit, Detection, Event, Explanation, Face, OutputError, Pose, Reading, Statement, UsageError, Verdict
from edge.cli import main
from edge.outputs import CsvSink, JsonLinesSink, LslSink, OscSink
from edge.outputs.layouts import columns
from edge.outputs.lsl import _event, _steady
from edge.outputs.osc import messages

LABELS, CUES, UNITS = ("neutral", "happiness"), ("lip_corners", "jaw_drop"), ("AU12", "AU26")
SAID = (
    Statement("movement", "lip_corners", 1, "strong", 2.5, True, True, (2.4, 99.0)),
    Statement("conclusion", "happiness", 0, "", 0.8, True),
)


def _face(track: int = 1, emotion: str = "happiness", status: Verdict | None = Verdict.VERIFIED) -> Face:
    said = None
    if status:
        said = Explanation('He "smiles", broadly.', "happiness", status, 0.97, 1.0, SAID, 1)
    box = np.array([64, 48, 192, 240], np.float32)
    detection = Detection(box, np.zeros((5, 2), np.float32), 0.9)
    points = np.zeros((3, 2), np.float32)
    return Face(
        track,
        detection,
        emotion,
        0.8,
        {"neutral": 0.2, "happiness": 0.8},
        {"lip_corners": 2.5, "jaw_drop": -0.5},
        points,
        Pose(1, 2, 3),
        said,
        action_units={"AU12": ActionUnit(0.75, 0.75, 0.5)},
    )


def _reading(frame: int = 0, *faces: Face) -> Reading:
    return Reading("clip.avi", frame, frame * 40.0, 640, 480, faces, {"face": 1.0, "total": 5.0})


def test_json_lines_are_the_readings_and_are_on_disk_at_once(tmp_path):
    path, stream = tmp_path / "r.jsonl", io.StringIO()
    readings = [_reading(0, _face()), _reading(1)]
    with JsonLinesSink(path) as sink, JsonLinesSink(stream) as other:
        for i, reading in enumerate(readings, 1):
            sink.write(reading)
            other.write(reading)
            assert len(path.read_text().splitlines()) == i
    assert [json.loads(line) for line in path.read_text().splitlines()] == [r.to_dict() for r in readings]
    assert stream.getvalue() == path.read_text()
    assert not stream.closed


def test_csv_has_a_row_per_face_and_one_for_a_frame_without(tmp_path):
    path = tmp_path / "r.csv"
    with CsvSink(path, LABELS, CUES, UNITS) as sink:
        sink.write(_reading(0, _face(1), _face(2, status=None)))
        sink.write(_reading(1))
        sink.write(_reading(2, _face(1, status=Verdict.REJECTED)))
    with path.open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    assert [(r["frame"], r["faces"], r["track"], r["status"]) for r in rows] == [
        ("0", "2", "1", "verified"), ("0", "2", "2", ""), ("1", "0", "", ""), ("2", "1", "1", "rejected"),
    ]  # fmt: skip
    assert rows[0]["text"] == 'He "smiles", broadly.'
    assert rows[3]["text"] == ""
    assert json.loads(rows[0]["statements"]) == [said.to_dict() for said in SAID]
    assert rows[1]["statements"] == ""
    assert [float(rows[0][c]) for c in ("t_ms", "x1", "y2", "p_happiness", "cue_jaw_drop", "roll", "latency_ms")] == [
        0, 64, 240, 0.8, -0.5, 3, 5,
    ]  # fmt: skip
    assert list(rows[0]) == columns(LABELS, CUES, UNITS)


def test_a_table_that_was_asked_for_no_action_units_has_none(tmp_path):
    with CsvSink(tmp_path / "r.csv", LABELS, CUES) as sink:
        sink.write(_reading(0, _face(1)))
    with (tmp_path / "r.csv").open(newline="", encoding="utf-8") as stream:
        (row,) = csv.DictReader(stream)
    assert row["emotion"] == "happiness"
    assert not [name for name in row if name.startswith("au_")]


def test_a_file_may_be_named_by_a_text(tmp_path):
    reading = _reading(0, _face())
    for format in ("native", "openface"):
        for kind, place in ((Path, tmp_path / "path"), (str, tmp_path / "text")):
            place.mkdir(exist_ok=True)
            with CsvSink(kind(place / f"{format}.csv"), LABELS, CUES, format=format) as sink:
                sink.write(reading)
    with JsonLinesSink(str(tmp_path / "text" / "r.jsonl")) as lines, JsonLinesSink(tmp_path / "path" / "r.jsonl") as other:
        lines.write(reading)
        other.write(reading)
    for path in (tmp_path / "path").iterdir():
        assert (tmp_path / "text" / path.name).read_bytes() == path.read_bytes()
    assert len(list((tmp_path / "text").iterdir())) == 4
    CsvSink(str(tmp_path / "empty.csv"), LABELS, CUES).close()
    assert not (tmp_path / "empty.csv").exists(), "a table without a row is removed"


@pytest.mark.parametrize("format", ["foo", "OpenFace", "", None])
def test_a_format_that_there_is_not_is_refused_and_nothing_is_written(tmp_path, format):
    with pytest.raises(UsageError, match=r"no table format .* expected one of native, openface, pyfeat"):
        CsvSink(tmp_path / "r.csv", LABELS, CUES, format=format)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("kind", [JsonLinesSink, lambda path: CsvSink(path, LABELS, CUES)])
def test_a_recording_never_overwrites_a_file(tmp_path, kind):
    path = tmp_path / "r"
    path.write_text("precious")
    with pytest.raises(UsageError, match="exists"):
        kind(path)
    assert path.read_text() == "precious"
    with pytest.raises(UsageError, match="cannot write"):
        kind(tmp_path / "no" / "folder")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full, a disk without room")
def test_a_full_disk_is_one_sentence():
    with suppress(OSError), Path("/dev/full").open("w") as full, pytest.raises(OutputError, match="No space left"):
        JsonLinesSink(full).write(_reading())


def test_osc_arrives_at_a_real_receiver():
    server = pytest.importorskip("pythonosc.osc_server", reason="OSC needs python-osc")
    dispatcher, got = __import__("pythonosc.dispatcher").dispatcher.Dispatcher(), []
    dispatcher.set_default_handler(lambda address, *values: got.append((address, values)))
    receiver = server.ThreadingOSCUDPServer(("127.0.0.1", 0), dispatcher)
    thread = threading.Thread(target=receiver.serve_forever, daemon=True)
    thread.start()
    try:
        with OscSink("127.0.0.1", receiver.server_address[1]) as sink:
            sink.write(_reading(7, _face(3)))
            sink.write(_reading(8))
            _wait_for(lambda: len(got) >= 9)
        sink.write(_reading(9))  # closed: nothing is sent, nothing fails
    finally:
        receiver.shutdown()
        receiver.server_close()
        thread.join()
    found = dict(got)
    assert sorted(address for address, _ in got) == [
        "/edge/cues", "/edge/explanation", "/edge/face", "/edge/frame", "/edge/frame", "/edge/pose", "/edge/probabilities",
        "/edge/statement", "/edge/statement",
    ]  # fmt: skip
    assert {values[0] for address, values in got if address == "/edge/frame"} == {7, 8}
    assert found["/edge/face"][:2] == (3, "happiness")
    assert found["/edge/face"][2:] == pytest.approx((0.8, 0.1, 0.1, 0.2, 0.4))
    assert found["/edge/probabilities"] == pytest.approx((3, 0.2, 0.8))
    assert found["/edge/explanation"] == (3, "verified", 'He "smiles", broadly.')
    statements = [values for address, values in got if address == "/edge/statement"]
    assert statements[0] == (3, 0, "movement", "lip_corners", 1, "strong", 2.5, 1)
    assert statements[1] == (3, 1, "conclusion", "happiness", 0, "", pytest.approx(0.8), 1)


def test_osc_sends_no_statement_of_a_text_that_is_withheld():
    addresses = [address for address, _ in messages(_face(status=Verdict.REJECTED), 640, 480)]
    assert "/edge/explanation" in addresses
    assert "/edge/statement" not in addresses


def test_osc_without_a_receiver_is_no_error_and_a_host_that_is_none_is():
    pytest.importorskip("pythonosc", reason="OSC needs python-osc")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with OscSink("127.0.0.1", port) as sink:
        for i in range(20):
            sink.write(_reading(i, _face()))
    with pytest.raises(UsageError, match="cannot send"):
        OscSink("no host at all", 9000)


@pytest.fixture
def pylsl(tmp_path, monkeypatch):
    (tmp_path / "lsl.cfg").write_text("[multicast]\nResolveScope = machine\n")
    monkeypatch.setenv("LSLAPICFG", str(tmp_path / "lsl.cfg"))  # nothing leaves this machine
    try:
        import pylsl
    except (ImportError, RuntimeError) as error:
        pytest.skip(f"Lab Streaming Layer needs pylsl with liblsl: {error}")
    return pylsl


def test_lsl_gives_each_person_a_stream_until_they_leave(pylsl):
    name, happened = f"edge-people-{time.monotonic_ns()}", Event("movement", "onset", "lip_corners", 1, 60.0, 60.0, 2.0)
    with LslSink(name, LABELS, CUES, UNITS, people=2) as sink:
        inlets = [pylsl.StreamInlet(_resolved(pylsl, one)) for one in (f"{name}-1", f"{name}-2", f"{name}-events")]
        for inlet in inlets:
            inlet.open_stream(timeout=10)
        larger = replace(_face(7), events=(happened,))
        for reading in (
            _reading(0, _face(4)),
            _reading(1, _face(7), _face(4), _face(9)),
            _reading(2, larger),
            _reading(3, larger, _face(9)),
        ):
            sink.write(reading)
        one, two = ([inlet.pull_sample(timeout=10) for _ in range(4)] for inlet in inlets[:2])
        said = [inlets[2].pull_sample(timeout=10) for _ in range(6)]
        for inlet in inlets:
            inlet.close_stream()
    assert [sample[0] for sample, _ in one] == pytest.approx([4, 4, math.nan, 9], nan_ok=True)
    assert [sample[0] for sample, _ in two] == pytest.approx([math.nan, 7, 7, 7], nan_ok=True), "the third person found no place until then"
    markers = [json.loads(sample[0]) for sample, _ in said]
    assert [(m["track"], m.get("left")) for m in markers[:2]] == [(4, None), (7, None)]
    assert {"track": None, "left": 4} in markers
    told = next(i for i, m in enumerate(markers) if "event" in m)
    assert markers[told] == {"track": 7, "event": happened.to_dict()}
    assert two[2][1] - said[told][1] == pytest.approx(0.02, abs=0.003), "stamped when it happened, not when it was seen"
    with pytest.raises(UsageError, match="1 to 16 people"):
        LslSink(name, LABELS, CUES, people=0)


def test_lsl_arrives_at_a_real_inlet(pylsl):
    name = f"edge-test-{time.monotonic_ns()}"
    with LslSink(name, LABELS, CUES, UNITS) as sink:
        numbers = pylsl.StreamInlet(_resolved(pylsl, name))
        events = pylsl.StreamInlet(_resolved(pylsl, f"{name}-events"))
        for inlet in (numbers, events):
            inlet.open_stream(timeout=10)
        labels = numbers.info(timeout=10).desc().child("channels").first_child()
        names = []
        while not labels.empty():
            names.append(labels.child_value("label"))
            labels = labels.next_sibling()
        for reading in (_reading(0, _face(4)), _reading(1, _face(4)), _reading(2)):
            sink.write(reading)
        samples = [numbers.pull_sample(timeout=10) for _ in range(3)]
        said = [json.loads(events.pull_sample(timeout=10)[0][0]) for _ in range(2)]
        assert events.pull_sample(timeout=0.2) == (None, None), "nothing has changed between the first two readings"
        numbers.close_stream()
        events.close_stream()
    assert names == sink.channels
    wanted = [4, 0.9, 0.8, 0.2, 0.8, 2.5, -0.5, 1, 2, 3, 0.8 * 0.81, 0.8 * 0.51, 0.75, math.nan]
    assert samples[0][0] == pytest.approx(wanted, nan_ok=True), "AU26 is out of sight: not a number, and not 0"
    assert all(math.isnan(v) for v in samples[2][0])
    assert abs(samples[2][1] - pylsl.local_clock()) < 10
    assert said[0].pop("statements") == [statement.to_dict() for statement in SAID]
    assert said == [
        {"track": 4, "emotion": "happiness", "confidence": 0.8, "status": "verified", "text": 'He "smiles", broadly.'},
        {"track": None, "left": 4},
    ]  # fmt: skip


def test_an_event_is_new_when_what_is_said_changes_and_not_with_its_numbers():
    face = _face(4)
    moved = replace(face.explanation, statements=(replace(SAID[0], measured=2.6), SAID[1]))
    same = replace(face, confidence=0.81, explanation=moved)
    other = replace(face, explanation=replace(face.explanation, draft="She smiles."))
    assert _event(same) != _event(face)
    assert _steady(_event(same)) == _steady(_event(face)) != _steady(_event(other))
    assert _event(_face(4, status=Verdict.REJECTED))["statements"] == []


def test_outputs_import_no_extra_before_it_is_used():
    code = "import sys, edge.cli, edge.outputs; print({'aiohttp', 'pylsl', 'pythonosc', 'paho', 'cv2', 'edge.server'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "set()"


@pytest.mark.parametrize(
    ("module", "option", "extra"),
    [
        ("pylsl", ["--lsl", "x"], "lsl"),
        ("pythonosc", ["--osc", "127.0.0.1:9"], "osc"),
        ("aiohttp", ["--serve", "0"], "serve"),
        ("paho", ["--mqtt", "127.0.0.1/t"], "mqtt"),
    ],
)
def test_a_missing_extra_names_itself(module, option, extra):
    code = f"import sys; sys.modules['{module}'] = None; from edge.cli import main; sys.exit(main(['--demo', *{option}]))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 3
    assert f"erv-edge[{extra}]" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_command_writes_a_table_beside_its_output(tmp_path, capsys, video):
    path = tmp_path / "r.csv"
    assert main(["--video", str(video), "--explain", "off", "--json", "--no-display", "--csv", str(path)]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    with path.open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    assert [int(r["frame"]) for r in rows] == [line["frame"] for line in lines]
    assert [r["emotion"] for r in rows] == [line["faces"][0]["emotion"] for line in lines]


@pytest.mark.parametrize(
    "arguments",
    [
        ["--csv", "x.csv"],
        ["--serve", "0", "--json"],
        ["--demo", "--serve", "99999"],
        ["--demo", "--serve", ":80"],
        ["--demo", "--osc", "9000"],
        ["--demo", "--mqtt", "127.0.0.1"],
        ["--demo", "--mqtt", "127.0.0.1:0/t"],
        ["--demo", "--mqtt", "me:secret@127.0.0.1/t"],
        ["--demo", "--mqtt", "127.0.0.1/t/#"],
        ["--demo", "--mqtt", "a..b/t"],
        ["--serve", "0", "--mqtt", "127.0.0.1/t"],
    ],
)
def test_outputs_that_make_no_sense_are_usage_errors(capsys, arguments):
    try:
        code = main(arguments)
    except SystemExit as stop:
        code = stop.code
    assert code == 2
    assert "edge-run" in capsys.readouterr().err


@pytest.mark.parametrize("receiver", ["9000", ":9000", "localhost:99999", "localhost:0", "localhost:00", "localhost:", "localhost:x"])
def test_what_is_no_receiver_is_told_which_form_is_expected(capsys, receiver):
    with pytest.raises(SystemExit):
        main(["--demo", "--osc", receiver])
    said = capsys.readouterr().err
    assert f"expected HOST:PORT, e.g. 127.0.0.1:9000, with a port from 1 to 65535, got '{receiver}'" in said


@pytest.mark.parametrize(("option", "needed"), [(["--lsl-people", "3"], "--lsl NAME"), (["--overwrite"], "--save F")])
def test_an_option_that_needs_another_one_is_not_ignored(capsys, option, needed):
    assert main(["--demo", *option]) == 2
    assert f"needs {needed}: it " in capsys.readouterr().err


def _resolved(pylsl, name: str):
    found = pylsl.resolve_byprop("name", name, timeout=10)
    if not found:
        pytest.skip("this machine's network does not carry LSL's discovery, not even to itself")
    return found[0]


def _wait_for(condition, seconds: float = 5.0) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "waited in vain"
        time.sleep(0.01)
