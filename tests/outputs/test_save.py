"""Videos: whole under their name or not at all, however the recording ends."""

import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge.errors import OutputError, UsageError
from edge.outputs import save
from edge.outputs.save import VideoSink, check_video

_FRAME = np.random.default_rng(0).integers(0, 255, (48, 64, 3), np.uint8)
_SUFFIXES = (".mp4", ".avi", ".mkv")


def _record(path: Path, frames: int, fps: float = 10) -> bytes:
    with VideoSink(path, fps) as sink:
        for i in range(frames):
            sink.write(np.roll(_FRAME, i, 1))
    return path.read_bytes()


def _count(path: Path) -> int:
    capture, found = cv2.VideoCapture(str(path)), 0
    while capture.grab():
        found += 1
    capture.release()
    return found


@pytest.mark.parametrize("suffix", _SUFFIXES)
def test_a_video_appears_when_it_is_whole(tmp_path, suffix):
    target = tmp_path / f"a{suffix}"
    with VideoSink(target, 10) as sink:
        sink.write(np.zeros((48, 64, 3), np.uint8))
        sink.write(np.zeros((50, 99, 3), np.uint8))
        assert not target.exists()
        assert sink.frames == 0
    assert (_count(target), sink.frames) == (2, 2)
    sink.close()
    assert [path.name for path in tmp_path.iterdir()] == [target.name]


def test_what_was_recorded_before_an_error_elsewhere_is_kept(tmp_path):
    with pytest.raises(RuntimeError, match="elsewhere"), VideoSink(tmp_path / "a.avi", 10) as sink:  # noqa: PT012
        sink.write(_FRAME)
        raise RuntimeError("elsewhere")
    assert _count(tmp_path / "a.avi") == 1


def test_nothing_recorded_is_no_file_and_leaves_the_older_one(tmp_path):
    with VideoSink(tmp_path / "none.avi", 10):
        pass
    assert not list(tmp_path.iterdir())
    before = _record(tmp_path / "a.avi", 2)
    with pytest.raises(RuntimeError), VideoSink(tmp_path / "a.avi", 10):
        raise RuntimeError
    assert (tmp_path / "a.avi").read_bytes() == before


def test_a_video_keeps_the_time_of_frames_that_come_unevenly(tmp_path):
    with VideoSink(tmp_path / "a.avi", 10) as sink:
        for t_ms in (500, 600, 620, 900, 60_000):  # one too early for the rate, a short and a long gap
            sink.write(np.full((48, 64, 3), 100, np.uint8), t_ms)
    assert _count(tmp_path / "a.avi") == 5 + 20


@pytest.mark.parametrize("suffix", _SUFFIXES)
@pytest.mark.parametrize("fps", [1, 7.5, 23.976, 29.97, 120])
@pytest.mark.parametrize("frames", [1, 2, 61])
def test_every_whole_video_is_found_to_be_whole(tmp_path, suffix, fps, frames):
    _record(tmp_path / f"a{suffix}", frames, fps)
    assert check_video(tmp_path / f"a{suffix}", frames, fps) == (frames, "")


@pytest.mark.parametrize("suffix", _SUFFIXES)
def test_a_video_that_lacks_its_end_or_has_another_speed_is_not_whole(tmp_path, suffix):
    path = tmp_path / f"a{suffix}"
    data = _record(path, 300)
    for share in (0.3, 0.6, 0.9, 0.99):
        path.write_bytes(data[: int(len(data) * share)])
        assert check_video(path, 300, 10)[1]
    path.write_bytes(data)
    assert "frames are there" in check_video(path, 301, 10)[1]
    assert "last frame is at" in check_video(path, 300, 11)[1]


@pytest.mark.parametrize("suffix", _SUFFIXES)
def test_a_disk_that_fills_unseen_leaves_the_older_file_and_what_can_be_read(tmp_path, suffix):
    """As a quota does, which nobody can ask for: OpenCV's writer goes on without a word."""
    target = tmp_path / f"a{suffix}"
    before = _record(target, 3)
    code = f"""
import resource, sys
import numpy as np
from pathlib import Path
from edge.errors import OutputError
from edge.outputs import save
save.room = lambda path: float("inf")
resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, 400_000))
frame = np.random.default_rng(0).integers(0, 255, (240, 320, 3), np.uint8)
try:
    with save.VideoSink(Path({str(target)!r}), 25) as sink:
        for i in range(100):
            sink.write(np.roll(frame, i, 1))
except OutputError as error:
    print(error)
    sys.exit(error.exit_code)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 4, done.stderr
    assert "could not be written whole" in done.stdout
    assert "older file of that name is untouched" in done.stdout
    assert target.read_bytes() == before
    left = [path for path in tmp_path.iterdir() if path != target]
    if suffix == ".mp4":
        assert not left, "an mp4 without its index is of no use to anybody"
    else:
        assert _count(left[0]) > 0
        assert str(left[0]) in done.stdout


@pytest.mark.parametrize("suffix", _SUFFIXES)
def test_a_recording_ends_whole_while_there_is_room_to_finish_it(tmp_path, monkeypatch, suffix):
    left = iter([*[1e12] * 20, 1000])
    monkeypatch.setattr(save, "room", lambda path: next(left))
    target = tmp_path / f"a{suffix}"
    with pytest.raises(OutputError, match="no room for the video"), VideoSink(target, 10) as sink:  # noqa: PT012
        for _ in range(100):
            sink.write(_FRAME)
    assert (_count(target), sink.frames) == (20, 20)


def test_room_knows_the_limit_of_a_process(tmp_path):
    resource = pytest.importorskip("resource", reason="limits of processes are POSIX")
    (tmp_path / "f").write_bytes(bytes(1000))
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (5000, before[1]))
        assert save.room(tmp_path / "f") == 4000
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert save.room(tmp_path / "f") > 5000


def test_a_folder_that_is_gone_is_one_sentence(tmp_path):
    with pytest.raises(UsageError, match="No such file"), VideoSink(tmp_path / "gone" / "a.avi", 10) as sink:
        sink.write(_FRAME)


@pytest.mark.parametrize("suffix", [".mkv", ".avi"])
def test_a_container_that_survives_a_killed_process_can_be_played(tmp_path, suffix):
    code = f"""
import os
import numpy as np
from pathlib import Path
from edge.outputs.save import VideoSink
frame = np.random.default_rng(0).integers(0, 255, (240, 320, 3), np.uint8)
sink = VideoSink(Path({str(tmp_path / f"a{suffix}")!r}), 25)
for i in range(150):
    sink.write(np.roll(frame, i, 1))
os.kill(os.getpid(), 9)
"""
    subprocess.run([sys.executable, "-c", code], check=False)
    (part,) = tmp_path.iterdir()
    assert part.name.startswith("a.")
    assert part.name.endswith(f".part{suffix}")
    assert _count(part) > 20
