"""A rival in a process of its own (see `benchmarks.peers.rivals`), which may be another Python's."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
import threading
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from benchmarks.peers import rivals

_PATIENCE_S = 120.0
"""An answer that takes longer is none: the process is ended."""


class RivalMissing(Exception):  # noqa: N818  (it is a finding, not a fault)
    """The rival cannot be measured; the message says why."""


class Worker:
    """One rival; a context manager."""

    def __init__(self, name: str, options: dict[str, Any], python: str, threads: int) -> None:
        """Start it.

        Args:
            name: one of `rivals.RIVALS`.
            options: of its constructor.
            python: the interpreter that has its package.
            threads: that it may use.

        Raises:
            RivalMissing: it does not start, its package or weights are not there.
        """
        self._log = tempfile.TemporaryFile(mode="w+", errors="replace")  # noqa: SIM115  (closed with the process)
        command = [python, str(Path(rivals.__file__).resolve()), name, json.dumps(options)]
        try:
            self._process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._log, text=True, env=_environment(threads)
            )
        except OSError as error:
            self._log.close()
            raise RivalMissing(f"'{python}' does not run: {error.strerror}") from None
        self.about: dict[str, Any] = {}
        try:
            self.about = self._answer()
        except RivalMissing:
            self.close()
            raise

    def time(self, stage: str, image: Path, face: dict[str, Any], calls: int) -> list[float]:
        """Milliseconds of every call of a stage, by the rival's own clock."""
        spent: list[float] = self._ask(stage, image, face, calls)["ms"]
        return spent

    def read(self, image: Path, face: dict[str, Any] | None) -> tuple[dict[str, Any] | None, np.ndarray | None]:
        """The largest face that it finds (or the one given, when it finds none itself) and its values per label."""
        found, values = self._ask("read", image, face)["found"]
        return found, None if values is None else np.array(values)

    def classify(self, image: Path, face: dict[str, Any]) -> np.ndarray:
        """Its values per label for a face that is given."""
        return np.array(self._ask("classify", image, face)["found"])

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout, self._log):
            if stream:
                stream.close()

    def _ask(self, stage: str, image: Path, face: dict[str, Any] | None, calls: int = 1) -> dict[str, Any]:
        assert self._process.stdin
        request = json.dumps({"stage": stage, "image": str(image), "face": face, "calls": calls})
        try:
            self._process.stdin.write(request + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise RivalMissing(f"its process ended: {self._last_words()}") from None
        return self._answer()

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout
        late = threading.Event()
        watch = threading.Timer(_PATIENCE_S, lambda: (late.set(), self._process.kill()))
        watch.start()
        try:
            line = self._process.stdout.readline()
        finally:
            watch.cancel()
        if late.is_set():
            raise RivalMissing(f"no answer within {_PATIENCE_S:.0f} s")
        if not line:
            raise RivalMissing(f"its process ended: {self._last_words()}")
        said: dict[str, Any] = json.loads(line)
        if "missing" in said:
            raise RivalMissing(said["missing"])
        return said

    def _last_words(self) -> str:
        self._process.wait()
        self._log.seek(0)
        lines = self._log.read().strip().splitlines()
        return lines[-1][:200] if lines else f"exit code {self._process.returncode}"

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


def _environment(threads: int) -> dict[str, str]:
    """As many threads as we have, no GPU, and no way out: a package that wants to fetch weights fails, and says so."""
    counts = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "OPENCV_FOR_THREADS_NUM")
    nowhere = dict.fromkeys(("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"), "http://127.0.0.1:9")
    quiet = {"HF_HUB_OFFLINE": "1", "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1", "PYTHONWARNINGS": "ignore"}
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    own = dict.fromkeys(counts, str(threads)) | {"TF_NUM_INTEROP_THREADS": "1", "NO_PROXY": "", "no_proxy": ""}
    return kept | own | nowhere | quiet
