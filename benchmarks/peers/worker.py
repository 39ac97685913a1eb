"""A rival in a process of its own (see `benchmarks.peers.rivals`), which may be another Python's."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import tempfile
import threading
from pathlib import Path
from typing import Any

from benchmarks.peers import rivals
from benchmarks.peers.rivals import MissingError

_PATIENCE_S = 120.0
"""An answer that takes longer is none: the process is ended."""


class Worker(contextlib.ExitStack):
    """One rival; a context manager that ends its process."""

    def __init__(self, name: str, options: dict[str, Any], python: str, threads: int) -> None:
        """Start one of `rivals.RIVALS`, made with `options`, under the interpreter that has its package; else it is `MissingError`."""
        super().__init__()
        self._log = self.enter_context(tempfile.TemporaryFile(mode="w+", errors="replace"))  # noqa: SIM115
        command = [python, str(Path(rivals.__file__).resolve()), name, json.dumps(options)]
        given = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": self._log}
        try:
            self._process = self.enter_context(subprocess.Popen(command, text=True, env=_environment(threads), **given))
            self.callback(self._process.kill)
            self.about = self._answer()
        except (OSError, MissingError) as error:
            self.close()
            raise MissingError(f"'{python}' does not run: {error.strerror}" if isinstance(error, OSError) else str(error)) from None

    def ask(self, stage: str, image: Path, face: dict[str, Any] | None, calls: int = 1) -> dict[str, Any]:
        """Call a stage on a picture so often: `ms` of every call, by the rival's own clock, and what it `found` last.

        `classify` finds a value per label of the face; `read` the largest face (the one given, when it finds none itself) and its values.
        """
        assert self._process.stdin
        with contextlib.suppress(BrokenPipeError):  # its process ended, which the answer tells
            self._process.stdin.write(json.dumps({"stage": stage, "image": str(image), "face": face, "calls": calls}) + "\n")
            self._process.stdin.flush()
        return self._answer()

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout
        late = threading.Event()
        watch = threading.Timer(_PATIENCE_S, lambda: (late.set(), self._process.kill()))
        watch.start()
        line = self._process.stdout.readline()
        watch.cancel()
        if late.is_set():
            raise MissingError(f"no answer within {_PATIENCE_S:.0f} s")
        if not line:
            raise MissingError(f"its process ended: {self._last_words()}")
        said: dict[str, Any] = json.loads(line)
        if "missing" in said:
            raise MissingError(said["missing"])
        return said

    def _last_words(self) -> str:
        self._process.wait()
        self._log.seek(0)
        lines = self._log.read().strip().splitlines()
        return lines[-1][:200] if lines else f"exit code {self._process.returncode}"


def _environment(threads: int) -> dict[str, str]:
    """As many threads as we have, no GPU, and no way out: a package that wants to fetch weights fails, and says so."""
    counts = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "OPENCV_FOR_THREADS_NUM")
    nowhere = dict.fromkeys(("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"), "http://127.0.0.1:9")
    quiet = {"HF_HUB_OFFLINE": "1", "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1", "PYTHONWARNINGS": "ignore"}
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    own = dict.fromkeys(counts, str(threads)) | {"TF_NUM_INTEROP_THREADS": "1", "NO_PROXY": "", "no_proxy": ""}
    return kept | own | nowhere | quiet
