"""The pipeline runs while the kernel kills the process at its first socket and its first file opened for writing."""

import os
import struct
import subprocess
import sys

import pytest

_GUARD = '''
import ctypes, platform, struct, sys
def forbid():
    """seccomp: socket() and open, openat, creat with intent to write end the process."""
    # calls: number of socket(), then each way to open with the place of its flags (None: always for writing, or unreadable to a filter)
    number, calls = {"x86_64": (41, {2: 1, 257: 2, 85: None, 437: None}), "aarch64": (198, {56: 2, 437: None})}[platform.machine()]
    rows = [(0x20, 0, 0, 0)]                                    # load the number of the call
    rows += [(0x15, 0, 1, number), (0x06, 0, 0, 0x80000000)]    # socket: kill
    for call, argument in calls.items():
        if argument is None:
            rows += [(0x15, 0, 1, call), (0x06, 0, 0, 0x80000000)]
        else:                                                   # O_WRONLY | O_RDWR | O_CREAT | O_TRUNC | O_APPEND
            rows += [(0x15, 0, 4, call), (0x20, 0, 0, 16 + 8 * argument), (0x45, 0, 1, 0o3 | 0o100 | 0o1000 | 0o2000),
                     (0x06, 0, 0, 0x80000000), (0x20, 0, 0, 0)]
    rows.append((0x06, 0, 0, 0x7FFF0000))                       # anything else: allow
    code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *row) for row in rows))
    class Program(ctypes.Structure):
        _fields_ = [("length", ctypes.c_ushort), ("rows", ctypes.c_void_p)]
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(38, 1, 0, 0, 0) or libc.prctl(22, 2, ctypes.byref(Program(len(rows), ctypes.addressof(code))), 0, 0):
        sys.exit(77)
forbid()
'''
_SKIP = 77


def _guarded(code: str, *arguments: str) -> subprocess.CompletedProcess:
    done = subprocess.run([sys.executable, "-B", "-c", _GUARD + code, *arguments], capture_output=True, text=True, check=False, timeout=120)
    if done.returncode == _SKIP:
        pytest.skip("this kernel does not allow a seccomp filter")
    return done


def _plain() -> dict[str, str]:
    """The environment of a user who has switched nothing off."""
    return {name: value for name, value in os.environ.items() if "TELEMETRY" not in name}


pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux") or struct.calcsize("P") != 8, reason="seccomp is Linux's")


@pytest.mark.parametrize(
    "deed",
    [
        "import socket; socket.socket()",
        "import sys; open(sys.argv[1], 'w')",
        "import sys; open(sys.argv[1], 'a')",
        "import cv2, numpy, sys; cv2.imwrite(sys.argv[1] + '.png', numpy.zeros((4, 4, 3), 'uint8'))",
    ],
)
def test_the_guard_really_kills(tmp_path, deed):
    assert _guarded(deed, str(tmp_path / "x")).returncode < 0
    assert not list(tmp_path.iterdir())


def test_reading_expressions_opens_no_socket_and_writes_no_file(tmp_path, portrait_path, video):
    code = """
import itertools, os, sys
from edge import Pipeline
picture, video = sys.argv[1:]
with Pipeline.load(device="cpu", threads=1) as pipeline:
    said = [face.explanation.text for reading in pipeline.stream([picture]) for face in reading.faces]
    said += [face.explanation.text for reading in pipeline.stream(video, explain="every", calibrate_s=0.3) for face in reading.faces]
    with pipeline.stream(video, realtime=True, calibrate_s=0.3) as stream:
        said += [face.emotion for reading in stream for face in reading.faces]
        assert stream.baseline() or stream.status.dropped
print(len(said), bool(said[0]))
"""
    before = sorted(p.name for p in tmp_path.iterdir())
    done = _guarded(code, str(portrait_path), str(video))
    assert done.returncode == 0, done.stderr
    count, explained = done.stdout.split()
    assert int(count) > 13
    assert explained == "True"
    assert sorted(p.name for p in tmp_path.iterdir()) == before


def test_the_command_opens_no_socket_and_writes_no_file(portrait_path):
    code = """
import sys
from edge.cli import main
sys.exit(main(["--image", sys.argv[1], "--no-display", "--json"]))
"""
    done = _guarded(code, str(portrait_path))
    assert done.returncode == 0, done.stderr
    assert '"status": "verified"' in done.stdout


def test_the_inference_library_keeps_no_record_of_its_use(tmp_path):
    code = "from edge import Pipeline; Pipeline.load(device='cpu', threads=1).close()"
    surroundings = _plain() | {"HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path)}
    subprocess.run([sys.executable, "-B", "-c", code], check=True, env=surroundings)
    assert not list(tmp_path.iterdir())
