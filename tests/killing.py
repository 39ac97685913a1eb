"""Commands that are made to be killed: a process that has everything imported, and forks one child for each.

A child is a process of its own, as one from a shell is; only the seconds that its imports take are saved.

    python tests/killing.py DESCRIPTOR    (of the socket on which `Stable` sends its orders)
"""

from __future__ import annotations

import importlib
import json
import os
import resource
import signal
import socket
import subprocess
import sys
import traceback
from pathlib import Path
from typing import Any

_SIGNALS = [signal.SIGINT, signal.SIGTERM]
_BEFORE = ("edge.batch.run", "edge.cli", "export.__main__", "export.publish", "training.run", "numpy.random", "onnxruntime")
"""What the commands import, each where it needs it."""


class Stable:
    """The process that children are forked from; one at a time. A context manager."""

    def __enter__(self) -> Stable:
        self._socket, other = socket.socketpair()
        environment = {k: v for k, v in os.environ.items() if k not in ("DISPLAY", "WAYLAND_DISPLAY")}
        environment |= {"OPENCV_LOG_LEVEL": "SILENT", "OPENCV_FFMPEG_LOGLEVEL": "-8", "OMP_NUM_THREADS": "1"}
        environment["PYTHONPATH"] = str(Path(__file__).parents[1])
        command = [sys.executable, __file__, str(other.fileno())]
        self._process = subprocess.Popen(command, pass_fds=[other.fileno()], env=environment)
        other.close()
        return self

    def start(self, kind: str, *arguments: str, limit: int = 0) -> Child:
        """Fork a child; `limit` is the size at which its disk is full, bytes."""
        out, err = os.pipe(), os.pipe()
        socket.send_fds(self._socket, [json.dumps([kind, arguments, limit]).encode()], [out[1], err[1]])
        os.close(out[1])
        os.close(err[1])
        return Child(int(self._socket.recv(100)), self._socket, os.fdopen(out[0], "rb"), os.fdopen(err[0], "rb"))

    def __exit__(self, *_: object) -> None:
        self._socket.close()
        self._process.wait()


class Child:
    """A running command."""

    def __init__(self, pid: int, stable: socket.socket, out: Any, err: Any) -> None:
        self.pid, self._stable = pid, stable
        self.out, self.err = out, err
        """Pipes from its stdout and stderr."""

    def kill(self, number: int) -> None:
        """Send a signal; a child that has ended stays there until `wait`."""
        os.kill(self.pid, number)

    def wait(self) -> int:
        """Let it end, and take its exit code; -N when signal N ended it."""
        self._stable.send(b"x")
        return os.waitstatus_to_exitcode(int(self._stable.recv(100)))


def _serve(descriptor: int) -> None:
    for name in _BEFORE:
        importlib.import_module(name)

    stable = socket.socket(fileno=descriptor)
    while True:
        order, files, _, _ = socket.recv_fds(stable, 1 << 16, 2)
        if not order:
            return
        signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)  # until the child can answer them
        if (pid := os.fork()) == 0:
            _become(files, order)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
        for file in files:
            os.close(file)
        stable.send(str(pid).encode())
        stable.recv(1)
        stable.send(str(os.waitpid(pid, 0)[1]).encode())


def _become(files: list[int], order: bytes) -> None:
    code = 1
    try:
        kind, arguments, limit = json.loads(order)
        for number, file in enumerate(files, 1):
            os.dup2(file, number)
            os.close(file)
        sys.stdout, sys.stderr = open(1, "w", closefd=False), open(2, "w", buffering=1, closefd=False)  # noqa: SIM115 (as Python starts)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
        if limit:
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
        code = _COMMANDS[kind](arguments)
        sys.stdout.flush()
    except KeyboardInterrupt:  # before the command has begun to listen
        code = 130
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)


def _read(arguments: list[str]) -> int:
    from edge.cli import main

    return main(arguments)


def _study(arguments: list[str]) -> int:
    from edge.batch.command import main

    return main(arguments)


def _export(arguments: list[str]) -> int:
    from export.__main__ import main

    return main(arguments)


def _train(arguments: list[str]) -> int:
    """What every stage does, without the training: `FOLDER NAME ROUNDS`."""
    import dataclasses

    import torch

    from edge.errors import EdgeError
    from edge.stop import exit_code, stoppable
    from training.run import Run

    folder, name, rounds = Path(arguments[0]), arguments[1], int(arguments[2])
    config = dataclasses.make_dataclass("Config", [("name", str)])(name)
    try:
        with stoppable():
            run = Run(folder, config, seed=1)
            for i in range(rounds):
                run.metrics(round=i)
                run.save(state=torch.full((20_000,), float(i)), name=name)
                run.save_policy(_Written(name), _Written(name, "tokenizer.json"))
                print(i, flush=True)
    except KeyboardInterrupt as stop:
        return exit_code(stop)
    except EdgeError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    return 0


class _Written:
    def __init__(self, text: str, name: str = "config.json") -> None:
        self.text, self.name = text, name

    def save_pretrained(self, folder: Path) -> None:
        (folder / self.name).write_text(self.text * 1000)


_COMMANDS = {"read": _read, "study": _study, "export": _export, "train": _train}


if __name__ == "__main__":
    _serve(int(sys.argv[1]))
