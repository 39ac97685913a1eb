"""Names and addresses are other people's data: on terminals, in logs, in tables, in readings."""

from __future__ import annotations

import csv
import json
import logging
import re
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge import Reading
from edge.cli import main
from edge.errors import EdgeError, InputError
from edge.outputs.files import CsvSink
from edge.outputs.layouts import guarded
from edge.plain import PlainFormatter, is_address, plain, without_secrets
from edge.sources.camera import find_feed, pictures

EVIL = "a\x1b]0;title\x07\x1b[2J\nedge-run: all is well\r\x9b31m\u202egnp\u2028.png"


@given(st.text(max_size=60))
def test_a_plain_text_is_one_line_and_commands_no_terminal(text):
    shown = plain(text)
    assert plain(shown) == shown
    assert not re.search(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]", shown)


@pytest.mark.parametrize(
    "name", ["clip.mp4", "Größe, 100%: «a b».png", "写真.jpg", "صورة.png", "a\u202fb.png", "👩\u200d👧.png", "12:30.avi"]
)
def test_harmless_names_stay_as_they_are(name):
    assert plain(name) == name
    assert not is_address(name)


def test_errors_and_logs_are_plain(caplog):
    assert str(InputError(f"no file '{EVIL}'")) == plain(f"no file '{EVIL}'")
    record = logging.LogRecord("edge", logging.WARNING, "", 0, "%s is back", (EVIL,), None)
    assert "\n" not in PlainFormatter("%(message)s").format(record)
    assert "\x1b" not in PlainFormatter("%(message)s").format(record)


SECRETS = [
    ("rtsp://user:PW123@10.0.0.1/x?k=SECRET", "rtsp://10.0.0.1/x"),
    ("rtsp:/user:PW123@10.0.0.1/x?k=SECRET", "rtsp:/10.0.0.1/x"),
    ("RTSP://user:PW@123@10.0.0.1:554/x#SECRET", "RTSP://10.0.0.1:554/x"),
    ("rtsp://user:PW/123@10.0.0.1/x", "rtsp://10.0.0.1/x"),
    ("http://PW123@[::1]:8080/x.jpg?k=SECRET", "http://[::1]:8080/x.jpg"),
    ("http://user:PW?123@host/x", "http://host/x"),
    ("rtsp://camera.local:554/live@2", "rtsp://camera.local:554/live@2"),
    ("rtsp://[fe80::1]/live", "rtsp://[fe80::1]/live"),
]


@pytest.mark.parametrize(("address", "shown"), SECRETS)
def test_an_address_keeps_its_host_and_path_only(address, shown):
    assert without_secrets(address) == shown
    assert str(EdgeError(f"cannot read '{address}': check it")) == f"cannot read '{shown}': check it"


@given(st.text(max_size=40), st.text(max_size=20))
def test_any_address_can_be_shown(user, rest):
    without_secrets(f"rtsp://{user}@{rest}")
    assert "SECRET" not in without_secrets(f"rtsp://me:SECRET@{rest.replace('@', '')}")


@pytest.mark.parametrize("option", ["--video", "--image", "--camera", "--bundle", "--baseline", "--save", "--csv", "--nonsense", ""])
@pytest.mark.parametrize("address", ["rtsp://user:PW123@127.0.0.1:9/x?k=SECRET", "http://user:PW123@127.0.0.1:9/x.jpg?k=SECRET"])
def test_no_option_repeats_a_password(option, address, tmp_path, monkeypatch, video):
    monkeypatch.chdir(tmp_path)
    given_ = [option, address] if option else [address]
    source = [] if option in ("--video", "--image", "--camera") else ["--video", str(video), "--max-frames", "1"]
    command = [sys.executable, "-m", "edge.cli", *source, *given_, "--no-display", "--json", "--verbose"]
    surroundings = {"PYTHONPATH": str(Path(__file__).parents[1]), "PATH": ""}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=surroundings, timeout=60)
    assert done.returncode in (2, 3, 4), done.stderr
    assert "PW123" not in done.stdout + done.stderr
    assert "SECRET" not in done.stdout + done.stderr
    if option in ("--video", "--image"):
        assert "127.0.0.1" in done.stderr
        assert "--camera" in done.stderr


def test_an_address_where_a_file_belongs_is_told_so_and_keeps_its_secret():
    for source in (Path("rtsp://user:PW123@host/x"), "sftp://user:PW123@host/x"):
        with pytest.raises(InputError, match="host/x") as caught:
            find_feed(source)
        assert "PW123" not in str(caught.value)
    with pytest.raises(InputError, match="addresses go to --camera"):
        next(pictures([Path("http://user:PW123@host/x.jpg")]))


def test_names_with_colons_are_files(tmp_path, portrait_path, capsys):
    for name in ("a:b.png", "http:x.png", "c,d.png"):
        (tmp_path / name).write_bytes(portrait_path.read_bytes())
        assert main(["--image", str(tmp_path / name), "--json", "--explain", "off", "--no-display"]) == 0
        assert json.loads(capsys.readouterr().out)["source"] == str(tmp_path / name)


def test_a_name_forges_no_line_and_commands_no_terminal(tmp_path, portrait_path, capsys):
    (tmp_path / EVIL).write_bytes(portrait_path.read_bytes())
    (tmp_path / f"b{EVIL}").write_text("no picture")
    assert main(["--image", str(tmp_path / EVIL), str(tmp_path / f"b{EVIL}"), "--explain", "off", "--no-display"]) == 4
    told = capsys.readouterr()
    assert len(told.out.splitlines()) == 1
    assert len(told.err.splitlines()) == 1
    assert "\x1b" not in told.out + told.err
    with pytest.raises(SystemExit):
        main([f"--{EVIL}"])
    assert "\x1b" not in capsys.readouterr().err


@pytest.mark.parametrize("name", ['=HYPERLINK("http://x","y")', "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "＝1", "'=1", "plain", "a=1", ""])
def test_a_cell_is_no_formula_and_can_be_read_back(tmp_path, name):
    path = tmp_path / "t.csv"
    with CsvSink(path, ["happiness"], ["smile"]) as sink:
        sink.write(Reading(name, 0, 0.0, 1, 1, ()))
    with path.open(newline="", encoding="utf-8") as file:
        (row,) = csv.DictReader(file)
    assert row["source"] == guarded(name)
    assert row["source"][:1] not in {*"=+-@\t\r\n＝＋－＠"}
    assert (row["source"][1:] if row["source"].startswith("'") else row["source"]) == name


def test_numbers_below_zero_stay_numbers(tmp_path, pipeline, portrait):
    path = tmp_path / "t.csv"
    config = pipeline.bundle.config
    with CsvSink(path, config.labels, [cue.name for cue in config.cues]) as sink:
        sink.write(pipeline(portrait))
    with path.open(newline="", encoding="utf-8") as file:
        (row,) = csv.DictReader(file)
    cues = [float(value) for name, value in row.items() if name.startswith("cue_")]
    assert min(cues) < 0
