"""No option of a command ends in a traceback, whatever it is given; the whole table, in processes: `python tests/table.py`."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from table import CODES, furnish, rows, spread

import edge.pipeline
from edge.boundary import CAUSED, explained, guarded
from edge.cli import main
from edge.errors import EdgeError, UsageError
from edge.outputs.options import Outputs
from edge.pipeline import Pipeline

if sys.platform != "linux":
    pytest.skip("the table is made of POSIX files", allow_module_level=True)

ROWS = 1000


@pytest.fixture
def furnished(tmp_path, monkeypatch) -> Path:
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    furnish(tmp_path)
    return tmp_path


def test_no_option_ends_in_a_traceback_whatever_it_is_given(furnished, monkeypatch, pipeline, capfd):
    load = Pipeline.load

    def loaded(bundle=None, *, device="auto", threads=0, min_face=None, remember=True):
        if bundle is None and device == "auto" and threads == 0 and min_face is None:
            return pipeline
        return load(bundle, device=device, threads=threads, min_face=min_face, remember=remember)

    monkeypatch.setattr(edge.pipeline.Pipeline, "load", staticmethod(loaded))
    monkeypatch.setattr(pipeline, "close", lambda: None)
    monkeypatch.setattr(Outputs, "hold", lambda self: None)
    codes = []
    for row in spread(list(rows(furnished)), ROWS):
        try:
            code = main(row)
        except SystemExit as stop:
            code = stop.code
        said = capfd.readouterr().err
        assert code in CODES, row
        assert "Traceback" not in said, row
        assert code == 0 or "edge-run: " in said, row
        codes.append(code)
    assert len(codes) == ROWS
    assert {0, 2, 4} <= set(codes)


def _edge_run(command: str, cwd: Path, **env: str) -> subprocess.CompletedProcess[str]:
    """Run a shell command in which `$RUN` is edge-run."""
    run = f"{sys.executable} -m edge.cli --no-display --explain off"
    places = {"PYTHONPATH": str(Path(__file__).parents[1]), "RUN": run, **env}
    return subprocess.run(
        ["bash", "-c", command], cwd=cwd, env={**os.environ, **places}, capture_output=True, text=True, errors="replace", timeout=60,
        check=False,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("command", "code", "said"),
    [
        ("$RUN --image picture.png > /dev/full", 4, "No space"),
        ("$RUN --image picture.png --json > /dev/full", 4, "No space"),
        ("$RUN --help > /dev/full", None, ""),
        ("$RUN --image picture.png >&-", 0, ""),
        ("$RUN --image picture.png 2> /dev/full", 0, ""),
        ("$RUN --image none.png 2> /dev/full", 4, ""),
        ("$RUN --image none.png 2>&-", 4, ""),
        ("$RUN --image picture.png <&- >&- 2>&-", 0, ""),
        ("mkdir gone && cd gone && rmdir ../gone && $RUN --image picture.png", 4, "picture.png"),
        ("mkdir gone && cd gone && rmdir ../gone && $RUN --image ../picture.png --save x.png", 4, "No such file"),
        ("EDGE_TOKEN=$'b\\xff' $RUN --serve 0", 2, "EDGE_TOKEN"),
    ],
)
def test_a_stream_or_a_folder_that_is_full_closed_or_gone_is_a_sentence(furnished, command, code, said):
    done = _edge_run(command, furnished)
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr
    assert said in done.stderr
    assert len(done.stderr.splitlines()) <= 1
    assert done.stdout == "" or code == 0, done.stdout
    assert code is None or done.returncode == code, done.stderr


@pytest.mark.parametrize("kind", CAUSED)
def test_what_a_machine_can_cause_is_told_in_one_sentence(capsys, kind):
    def work() -> int:
        raise UnicodeEncodeError("utf-8", "b\udcff", 1, 2, "surrogates not allowed") if kind is UnicodeError else kind("too much of it")

    assert guarded("name", work) in CODES
    said = capsys.readouterr().err
    assert said.startswith("name: ")
    assert len(said.splitlines()) == 1


def test_a_name_that_is_too_long_is_told_in_short():
    try:
        Path("x" * 5000).stat()
    except OSError as error:
        said = str(explained(error))
    assert "too long" in said.lower()
    assert len(said) < 400


def test_an_error_of_ours_keeps_its_traceback():
    def bug() -> int:
        raise AttributeError("no such thing")

    with pytest.raises(AttributeError):
        guarded("name", bug)


def test_a_command_that_is_interrupted_says_so_by_its_code(capsys):
    def work() -> int:
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(5)
        return 0

    assert guarded("name", work) == 130
    assert capsys.readouterr().err == ""


def test_a_display_that_never_answers_is_given_up(furnished, monkeypatch):
    import edge.cli

    monkeypatch.setattr(edge.cli, "_DISPLAY_S", 2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        number = silent.getsockname()[1] - 6000
        monkeypatch.setenv("DISPLAY", f"127.0.0.1:{number}")
        monkeypatch.setenv("QT_QPA_PLATFORM", "xcb")
        start_s = time.monotonic()
        assert not edge.cli._has_display()
        assert time.monotonic() - start_s < 60
        silent.setblocking(False)
        silent.accept()[0].close()  # it has tried


def test_a_host_that_is_no_name_is_told(pipeline):
    from edge.outputs import OscSink
    from edge.server import Server

    for host in ("..", f"{'a' * 70}.example", "b\udcff"):
        done: list[type] = []

        def listen(host: str = host, done: list[type] = done) -> None:
            try:
                Server(pipeline.bundle.config, host=host, port=0).close()
            except EdgeError as error:
                done.append(type(error))

        thread = threading.Thread(target=listen, daemon=True)
        thread.start()
        thread.join(20)
        assert done == [UsageError], host
        with pytest.raises(UsageError, match="cannot send"):
            OscSink(host, 9)
