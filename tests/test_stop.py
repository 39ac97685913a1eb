"""Signals end a command as Ctrl-C does, and wait for what must not be cut in two."""

import os
import signal
import subprocess
import sys
import threading
from contextlib import nullcontext

import pytest

from edge.stop import Stopped, exit_code, stoppable, unstopped


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_a_signal_is_an_interrupt_with_the_exit_code_of_its_number(number):
    given = signal.signal(number, signal.default_int_handler)  # under nohup a hang-up is ignored, and stays so
    try:
        with pytest.raises(KeyboardInterrupt) as stop, stoppable():
            os.kill(os.getpid(), number)
        assert signal.getsignal(number) is signal.default_int_handler
    finally:
        signal.signal(number, given)
    assert exit_code(stop.value) == 128 + number
    assert exit_code(KeyboardInterrupt()) == 130


@pytest.mark.parametrize("handled", [True, False])
def test_a_signal_waits_for_what_must_not_be_cut(handled):
    done = []

    def work():
        with unstopped():
            with unstopped():
                os.kill(os.getpid(), signal.SIGINT)
                os.kill(os.getpid(), signal.SIGINT)
                done.append(1)
            done.append(2)
        done.append(3)

    with pytest.raises(Stopped), stoppable() if handled else nullcontext():
        work()
    assert done == [1, 2]
    with unstopped():
        pass  # nothing waits any more


def test_an_ignored_signal_stays_ignored():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with stoppable():
            os.kill(os.getpid(), signal.SIGHUP)
    finally:
        signal.signal(signal.SIGHUP, before)


def test_other_threads_change_no_handlers():
    before, seen = signal.getsignal(signal.SIGTERM), []

    def work():
        with stoppable(), unstopped():
            seen.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [before]


def test_an_import_that_a_signal_meets_is_no_missing_package(tmp_path):
    """A compiled module turns the interrupt within its import into an ImportError, as if it were not installed."""
    (tmp_path / "onnxruntime.py").write_text(
        "import os, signal\ntry:\n    os.kill(os.getpid(), signal.SIGTERM)\n    for _ in range(1000): pass\n"
        "except KeyboardInterrupt:\n    raise ImportError from None\ndef disable_telemetry_events(): pass\n"
    )
    code = "import sys; from edge.cli import main; sys.exit(main(['--demo', '--no-display']))"
    path = os.pathsep.join([str(tmp_path), *sys.path])
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, env={**os.environ, "PYTHONPATH": path})
    assert done.returncode == 143, done.stderr
    assert not done.stderr
