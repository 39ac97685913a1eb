"""Libraries that are missing, cannot be loaded, or lie there in part: each is told for what it is."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from edge.engine.backend import OrtSession, allowed_threads
from edge.errors import BackendError
from edge.library import load

_GL = 'raise ImportError("libGL.so.1: cannot open shared object file: No such file or directory")'


@pytest.mark.parametrize(
    ("package", "code", "said"),
    [
        ("cv2", _GL, ("OpenCV is installed but cannot be loaded (libGL.so.1", "apt-get install libgl1")),
        (
            "cv2",
            'raise ImportError("numpy.core.multiarray failed to import")',
            ("cannot be loaded (numpy.core.multiarray", "pip uninstall opencv"),
        ),
        ("cv2", "", ("OpenCV is not whole", "pip uninstall opencv-python opencv-python-headless")),
        ("cv2", "import gone_with_the_wheel", ("'gone_with_the_wheel'",)),
        ("onnxruntime", "", ("ONNX Runtime is not whole", "pip uninstall onnxruntime onnxruntime-gpu")),
        (
            "onnxruntime",
            'raise ImportError("libcudart.so.12: no such file")',
            ("ONNX Runtime is installed but cannot be loaded (libcudart",),
        ),
    ],
)
def test_a_library_that_is_there_and_does_not_work_is_told_with_its_cause_in_one_sentence(tmp_path, package, code, said):
    (tmp_path / package).mkdir()
    (tmp_path / package / "__init__.py").write_text(code)
    paths = os.pathsep.join([str(tmp_path), str(Path(__file__).parents[1])])
    done = subprocess.run(
        [sys.executable, "-m", "edge.cli", "--demo", "--explain", "off"],
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": paths},
    )
    assert done.returncode == 3
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1
    for words in said:
        assert words in done.stderr
    assert "not installed" not in done.stderr
    assert "bundle" not in done.stderr


def test_a_library_that_is_not_there_is_told_with_its_command():
    with pytest.raises(BackendError, match="Nothing is not installed: pip install nothing"):
        load("nothing_of_this_name", name="Nothing", holds="it", get="pip install nothing")


def test_a_shared_library_that_is_missing_is_told_apart_from_a_broken_package(tmp_path, monkeypatch):
    (tmp_path / "lost_liblsl.py").write_text('raise RuntimeError("LSL binary library file was not found.")')
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(BackendError, match=r"cannot be loaded \(LSL binary.*\): set PYLSL_LIB"):
        load("lost_liblsl", name="pylsl", holds="it", get="pip install pylsl", needs="set PYLSL_LIB")


def test_a_process_on_few_cores_plans_for_those(monkeypatch):
    monkeypatch.setattr(os, "cpu_count", lambda: 64)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {3, 4, 9}, raising=False)
    assert allowed_threads() == 3
    graph = Path(__file__).parents[1] / "edge" / "models" / "face.onnx"
    session = OrtSession(graph)
    assert session.ort.get_session_options().intra_op_num_threads == 3
    session.close()
    asked = OrtSession(graph, threads=2)
    assert asked.ort.get_session_options().intra_op_num_threads == 2
    asked.close()
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(64)))
    assert allowed_threads() == 0, "on a whole machine the choice is ONNX Runtime's"
