"""A run's inputs and outputs: targets that collide are refused before anything is opened, and nothing is changed."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from edge.bundle import SHIPPED
from edge.cli import main
from edge.outputs import options


@pytest.fixture
def place(tmp_path, video, portrait_path, monkeypatch) -> Path:
    """A folder with every kind of file that a run may read, and older ones that it may write; the bundle must never be loaded."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("edge.pipeline.Pipeline.load", lambda *a, **k: pytest.fail("something was opened"))
    for name in ("a.png", "b.png"):
        shutil.copy(portrait_path, name)
    shutil.copytree(SHIPPED, "bundle")
    Path("me.json").write_text(json.dumps({"schema": 1, "frames": 5, "cues": {"lip_corners": 0.1}}))
    os.link("clip.avi", "hard.avi")
    Path("soft.avi").symlink_to("clip.avi")
    os.link("bundle/calibration.png", "card.png")
    Path("out").mkdir()
    Path("out/a.png").write_bytes(b"older")
    Path("old.csv").write_bytes(b"older")
    Path("folder.mp4").mkdir()
    os.mkfifo("pipe.json")
    return tmp_path


_VIDEO = ["--video", "clip.avi", "--explain", "off"]
_CALIBRATE = [*_VIDEO, "--calibrate", "0.2", "--save-baseline"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([*_VIDEO, "--save", "clip.avi"], "overwrite the input of --video"),
        ([*_VIDEO, "--save", "out/../clip.avi"], "overwrite the input of --video"),
        ([*_VIDEO, "--save", "hard.avi"], "overwrite the input of --video"),
        ([*_VIDEO, "--save", "soft.avi"], "overwrite the input of --video"),
        (["--video", "soft.avi", "--save", "hard.avi"], "overwrite the input of --video"),
        (["--camera", "clip.avi", "--save", "hard.avi"], "overwrite the input of --camera"),
        ([*_CALIBRATE, "clip.avi"], "overwrite the input of --video"),
        ([*_CALIBRATE, "me.json", "--baseline", "me.json"], "overwrite the input of --baseline"),
        ([*_VIDEO, "--baseline", "me.json", "--calibrate", "1", "--save-baseline", "./me.json"], "overwrite the input of --baseline"),
        ([*_VIDEO, "--csv", "x.avi", "--save", "x.avi"], "are one file"),
        ([*_CALIBRATE, "x", "--csv", "x"], "are one file"),
        ([*_CALIBRATE, "out/../x.avi", "--save", "x.avi"], "are one file"),
        (["--image", "a.png", "--bundle", "bundle", "--save", "bundle/calibration.png"], "overwrite the input of --bundle"),
        (["--image", "a.png", "--bundle", "bundle", "--save", "card.png"], "overwrite the input of --bundle"),
        (["--image", "a.png", "--bundle", "bundle", "--save", "bundle/new.png"], "lies in the bundle"),
        (["--image", "a.png", "--bundle", "bundle", "--csv", "bundle/new.csv"], "lies in the bundle"),
        (["--image", "a.png", "--save", str(SHIPPED / "calibration.png")], "overwrite the input of --bundle"),
        (["--image", "a.png", "b.png", "--bundle", "bundle", "--save", "bundle/new"], "lies in the bundle"),
        (["--image", "a.png", "b.png", "--save", "."], "exists"),
        (["--image", "a.png", "b.png", "--save", ".", "--overwrite"], "overwrite the input of --image"),
        (["--image", "a.png", "b.png", "--save", "out"], "add --overwrite"),
        (["--image", "a.png", "out/a.png", "--save", "new"], "same name"),
        (["--image", "a.png", "b.png", "--save", "old.csv"], "must be a folder"),
        ([*_VIDEO, "--csv", "old.csv"], "never overwritten"),
        ([*_VIDEO, "--save", "folder.mp4"], "not a file"),
        ([*_CALIBRATE, "out"], "not a file"),
        ([*_CALIBRATE, "pipe.json"], "not a file"),
        ([*_CALIBRATE, "/dev/null"], "not a file"),
        ([*_CALIBRATE, "no/such/me.json"], "no folder"),
        ([*_VIDEO, "--csv", "no/such/x.csv"], "no folder"),
        ([*_VIDEO, "--save", "x" * 300 + ".mp4"], "File name too long"),
        ([*_CALIBRATE, "y" * 5000], "File name too long"),
        ([*_VIDEO, "--csv", "a.png/x.csv"], "Not a directory"),
    ],
)
def test_colliding_targets_are_refused_and_nothing_is_changed(place, capsys, arguments, said):
    def state():
        return {path: path.read_bytes() if path.is_file() else b"" for path in sorted(place.rglob("*"))}

    before = state()
    assert main(arguments) == 2
    printed = capsys.readouterr()
    assert said in printed.err
    assert len(printed.err.splitlines()) == 1
    assert state() == before


def test_a_target_that_is_stdout_is_refused(tmp_path, video):
    with (tmp_path / "o.avi").open("wb") as out:
        command = [sys.executable, "-m", "edge.cli", "--video", str(video), "--json", "--save", str(tmp_path / "o.avi")]
        done = subprocess.run(command, stdout=out, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 2
    assert "are one file" in done.stderr


def test_pictures_are_replaced_when_that_is_asked_for(capsys, tmp_path, portrait_path):
    for name in ("a.png", "b.png"):
        shutil.copy(portrait_path, tmp_path / name)
    arguments = ["--image", str(tmp_path / "a.png"), str(tmp_path / "b.png"), "--explain", "off", "--save", str(tmp_path / "out")]
    assert main(arguments) == 0
    (tmp_path / "out" / "a.png").write_bytes(b"older")
    assert main(arguments) == 2
    assert (tmp_path / "out" / "a.png").read_bytes() == b"older"
    assert main([*arguments, "--overwrite"]) == 0
    assert (tmp_path / "out" / "a.png").read_bytes() != b"older"


def test_the_leftovers_of_killed_runs_are_cleared_or_named(tmp_path, video, caplog):
    (tmp_path / "o.0123abcd.part.mkv").write_bytes(b"perhaps a video")
    (tmp_path / ".me.0123abcd.part.json").write_bytes(b"half a baseline")
    arguments = ["--video", str(video), "--explain", "off", "--save", str(tmp_path / "o.mkv"), "--calibrate", "0.2"]
    assert main([*arguments, "--save-baseline", str(tmp_path / "me.json")]) == 0
    assert (tmp_path / "o.0123abcd.part.mkv").read_bytes() == b"perhaps a video"
    assert "o.0123abcd.part.mkv' is left from a run that was killed" in caplog.text
    assert sorted(path.name for path in tmp_path.iterdir()) == ["clip.avi", "me.json", "o.0123abcd.part.mkv", "o.mkv"]


def test_every_path_of_the_command_is_named_in_the_plan():
    """An option with a path that nobody names would again be on its own."""
    from edge import cli

    takes_paths = {action.option_strings[0] for action in cli._parser()._actions if action.type in (Path, cli._file)}
    assert takes_paths == {"--video", "--image", "--bundle", "--baseline", "--save-baseline", "--save", "--csv", "--summary"}
    source = Path(options.__file__).read_text(encoding="utf-8")
    for option in takes_paths:
        assert f"args.{option[2:].replace('-', '_')}" in source or option == "--image"
