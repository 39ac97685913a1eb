"""Nothing that is named as a source is waited for without an end, and no name of a file ends the process."""

import os
import time
from pathlib import Path

import cv2
import numpy as np
import pytest

import edge.sources.capture
from edge.errors import InputError
from edge.live.baseline import Baseline
from edge.sources.camera import find_feed, recorded
from edge.sources.capture import NewestFrame
from edge.sources.names import spelled
from edge.sources.picture import read_image

PICTURE = np.full((48, 64, 3), 90, np.uint8)


def write_video(path: Path | str, rate: float, count: int = 3) -> None:
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), rate, (64, 48))
    for _ in range(count):
        writer.write(PICTURE)
    writer.release()


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="pipes with names are POSIX")
@pytest.mark.parametrize("read", [read_image, Baseline.load])
def test_a_pipe_that_nobody_writes_to_is_refused_at_once(tmp_path, read):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(InputError, match="not a regular file"):
        read(tmp_path / "pipe")


def test_a_header_that_promises_a_frame_in_minutes_is_played_nevertheless(tmp_path, monkeypatch):
    monkeypatch.setattr(edge.sources.capture, "_LONGEST_GAP_S", 0.2)
    write_video(tmp_path / "slow.avi", 0.005)
    live = NewestFrame(find_feed(tmp_path / "slow.avi"))
    live.start()
    began_s, times = time.monotonic(), []
    while (frame := live.next()) is not None:
        times.append(frame.t_ms)
    assert times[-1] > 60_000
    assert time.monotonic() - began_s < 30


@pytest.mark.skipif(os.name == "nt", reason="names are text there")
def test_a_video_whose_name_is_not_text_is_read_and_written(tmp_path):
    path = tmp_path / os.fsdecode(b"b\xff.avi")
    write_video(tmp_path / "plain.avi", 10)
    (tmp_path / "plain.avi").rename(path)
    assert len(list(recorded(find_feed(str(path))))) == 3
    headless = tmp_path / os.fsdecode(b"\xfd.mp4")
    headless.write_bytes(b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom" + bytes(64))
    with pytest.raises(InputError, match="moov atom not found"):  # the helper that is asked for the reason reads it, too
        next(recorded(find_feed(headless)))
    other = tmp_path / os.fsdecode(b"\xfe.avi")
    with spelled(other) as name:
        assert name.encode()
        write_video(name, 10)
    assert other.is_file()
    assert not Path(name).is_symlink()
    with spelled(tmp_path / "名前.avi") as name:
        assert name == str(tmp_path / "名前.avi")


@pytest.mark.parametrize("address", ["rtsp://b\udcff/x", "videotestsrc ! b\udcff ! appsink"])
def test_an_address_that_is_not_text_is_refused(address):
    with pytest.raises(InputError, match="UTF-8"):
        find_feed(address)
