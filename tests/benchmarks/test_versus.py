from pathlib import Path

import numpy as np
import pytest

from benchmarks.__main__ import main
from benchmarks.speed import versus
from edge.errors import BackendError

_PIPELINE = """
class Pipeline:
    @classmethod
    def load(cls, bundle, *, device, threads):
        return cls()
    def __enter__(self):
        return self
    def __exit__(self, *_):
        pass
    def __call__(self, picture):
        class Reading:
            latency_ms = {"face": 1.0, "encode": 2.0, "explain": SPENT, "verify": 0.0, "total": 3.0 + SPENT}
        return Reading
"""


def _checkout(folder: Path, spent: float) -> Path:
    (folder / "edge").mkdir(parents=True)
    (folder / "edge" / "__init__.py").touch()
    (folder / "edge" / "pipeline.py").write_text(_PIPELINE.replace("SPENT", str(spent)))
    return folder


def test_each_checkout_runs_its_own_code_and_the_first_is_the_measure(tmp_path):
    both = {name: (_checkout(tmp_path / name, spent), None) for name, spent in (("old", 8.0), ("new", 2.0))}
    figures = versus.measure(both, np.zeros((2, 8, 8, 3), np.uint8), "cpu", 1, rounds=2, calls=1)
    assert figures["new"]["explain"] == {"median_ms": 2.0, "share": 0.25, "turns_ms": [2.0, 2.0]}
    assert figures["old"]["total"]["share"] == 1
    assert figures["new"]["verify"]["share"] is None


def test_a_checkout_that_cannot_read_is_named(tmp_path):
    (tmp_path / "edge").mkdir()
    with pytest.raises(BackendError, match="cannot read a picture"):
        versus.measure({"old": (tmp_path, None)}, np.zeros((1, 8, 8, 3), np.uint8), "cpu", 1, rounds=1, calls=1)
    assert main(["versus", "--old", str(tmp_path / "none")]) == 2
