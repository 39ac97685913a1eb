"""However a run ends, what it has recorded is finished and kept: the true command, ended from outside and by its other outputs."""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import cv2
import pytest

from edge import cli
from edge.errors import OutputError
from edge.outputs import files

_ENVIRONMENT = {k: v for k, v in os.environ.items() if k not in ("DISPLAY", "WAYLAND_DISPLAY")}


def _frames(path: Path) -> int:
    capture = cv2.VideoCapture(str(path))
    promised, found = capture.get(cv2.CAP_PROP_FRAME_COUNT), 0
    while capture.grab():
        found += 1
    capture.release()
    assert promised == found
    return found


@pytest.fixture
def long(tmp_path, portrait) -> Path:
    """A minute of the portrait, which nobody waits for."""
    path = tmp_path / "long.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 10, (160, 160))
    for i in range(600):
        writer.write(cv2.resize(portrait[0:480, i % 30 : i % 30 + 480], (160, 160)))
    writer.release()
    return path


def _command(video: Path, *more: str) -> list[str]:
    return [sys.executable, "-m", "edge.cli", "--video", str(video), "--explain", "off", "--json", "--no-display", "--threads", "1", *more]


def _stop(command: list[str], number: int, pid_of=lambda running: running.pid) -> tuple[int, int, str]:
    """Send a signal after the fifth line; exit code, lines, stderr."""
    default = lambda: [signal.signal(n, signal.SIG_DFL) for n in (signal.SIGINT, signal.SIGHUP)]  # noqa: E731 (a background job ignores them)
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=_ENVIRONMENT, preexec_fn=default
    ) as running:
        for _ in range(5):
            assert running.stdout.readline()
        os.kill(pid_of(running), number)
        out, err = running.communicate(timeout=60)
        return running.returncode, 5 + len(out.splitlines()), err


@pytest.mark.parametrize(("name", "code"), [("SIGTERM", 143), ("SIGHUP", 129), ("SIGINT", 130)])
def test_a_signal_ends_a_run_with_everything_that_it_has_recorded(tmp_path, long, name, code):
    given = ["--realtime", "--save", str(tmp_path / "o.mp4"), "--csv", str(tmp_path / "o.csv")]
    given += ["--calibrate", "0.3", "--save-baseline", str(tmp_path / "me.json")]
    found, lines, err = _stop(_command(long, *given), getattr(signal, name))
    assert found == code, err
    assert _frames(tmp_path / "o.mp4") >= 4
    assert "holds what was recorded until then" in err
    assert "Traceback" not in err
    assert json.loads((tmp_path / "me.json").read_text())["frames"] >= 3
    assert lines <= len((tmp_path / "o.csv").read_text().splitlines()) <= lines + 2
    assert sorted(path.name for path in tmp_path.iterdir()) == ["long.avi", "me.json", "o.csv", "o.mp4"]


def test_the_first_process_of_a_container_ends_on_sigterm(tmp_path, long):
    apart = ["unshare", "--user", "--map-root-user", "--pid", "--fork", "--kill-child"]
    if not shutil.which("unshare") or subprocess.run([*apart, "true"], capture_output=True, check=False).returncode:
        pytest.skip("needs unshare and the right to use it")

    def child_of(running) -> int:
        return int(Path(f"/proc/{running.pid}/task/{running.pid}/children").read_text().split()[0])

    found, _, err = _stop([*apart, *_command(long, "--realtime", "--save", str(tmp_path / "o.mkv"))], signal.SIGTERM, child_of)
    assert found == 143, err
    assert _frames(tmp_path / "o.mkv") >= 4


def test_a_reader_that_leaves_early_is_told_what_was_recorded(tmp_path, video):
    command = " ".join(_command(video, "--save", str(tmp_path / "o.mp4"))) + " | head -n 3"
    done = subprocess.run(["bash", "-o", "pipefail", "-c", command], capture_output=True, text=True, check=False, env=_ENVIRONMENT)
    assert done.returncode == 0
    assert 2 <= _frames(tmp_path / "o.mp4") <= 12
    assert "Traceback" not in done.stderr


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full, a disk without room")
def test_a_full_stdout_is_one_sentence(tmp_path, video):
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(_command(video), stdout=full, stderr=subprocess.PIPE, text=True, check=False, env=_ENVIRONMENT)
    assert done.returncode == 4
    assert done.stderr == "edge-run: cannot write to '<stdout>': No space left on device\n"


def test_a_full_disk_under_the_table_keeps_the_video(tmp_path, video, monkeypatch, capsys):
    put, rows = files.put, iter(range(100))

    def full(stream, text):
        if str(getattr(stream, "name", "")).endswith(".csv") and next(rows) > 4:
            raise OutputError("cannot write to 'o.csv': No space left on device")
        return put(stream, text)

    monkeypatch.setattr(files, "put", full)
    given = ["--video", str(video), "--explain", "off", "--no-display", "--json", "--csv", str(tmp_path / "o.csv")]
    assert cli.main([*given, "--save", str(tmp_path / "o.avi")]) == 4
    assert _frames(tmp_path / "o.avi") == 4
    assert "No space left" in capsys.readouterr().err


def test_a_baseline_that_was_not_measured_keeps_the_video(tmp_path, video, capsys):
    given = ["--video", str(video), "--explain", "off", "--no-display", "--calibrate", "60", "--save-baseline", str(tmp_path / "me.json")]
    assert cli.main([*given, "--save", str(tmp_path / "o.avi")]) == 2
    assert _frames(tmp_path / "o.avi") == 12
    assert "is not written" in capsys.readouterr().err


def test_both_errors_are_told_when_the_recording_fails_too(tmp_path, video, monkeypatch, capsys):
    broken = tmp_path / "broken.avi"
    broken.write_bytes(video.read_bytes()[: video.stat().st_size // 2])
    monkeypatch.setattr("edge.outputs.save.check_video", lambda *_: (3, "3 of 5 frames are there"))
    assert cli.main(["--video", str(broken), "--explain", "off", "--no-display", "--save", str(tmp_path / "o.avi")]) == 4
    said = capsys.readouterr().err.splitlines()
    assert "could not be written whole (3 of 5 frames are there)" in said[-1]
    assert "truncated" in said[0]
    assert len(said) == 2
