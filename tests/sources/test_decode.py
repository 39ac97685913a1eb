"""Pictures that anybody may have made: what decoding takes is bounded, whoever imported OpenCV first."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time

import cv2
import numpy as np
import pytest
from hostile import ROUNDS, gif, jpeg, many_scans, mutated, png, stated, two_headers

from edge.errors import InputError
from edge.sources.camera import find_feed, recorded
from edge.sources.complaints import of_opening
from edge.sources.decode import MAX_SCANS, decode, demand_of
from edge.sources.decoder import MAX_FRAME_PIXELS, MAX_VIDEO_PIXELS, squared
from edge.sources.helper import Helper, TooLargeError
from edge.sources.picture import read_image

LINUX = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="this kernel bounds no address space")
GREETING = np.full((64, 64, 3), 128, np.uint8)


@pytest.fixture
def read(tmp_path):
    def from_bytes(data: bytes) -> np.ndarray:
        path = tmp_path / "picture"
        path.write_bytes(data)
        return read_image(path)

    return from_bytes


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (two_headers(30_000, 30_000), "30000×30000 pixels"),
        (stated(jpeg(GREETING), 9000, 9000), "9000×9000 pixels in .* bytes"),
        (stated(jpeg(GREETING, cv2.IMWRITE_JPEG_PROGRESSIVE, 1), 6000, 6000), "6000×6000 pixels in .* bytes"),
        (many_scans(64, 64, MAX_SCANS + 1), "65 scans"),
        (png(30_000, 30_000, 16), "30000×30000 pixels"),
        (png(6000, 6000, 16), "6000×6000 pixels in .* bytes"),
        (gif(30_000, 30_000), "memory or time"),
        (gif(65_535, 65_535), "memory or time"),
        (b"", "is empty"),
        (b"\xff\xd8\xff", "is not a picture that OpenCV can decode$"),
        (b"nothing of the kind", "is not a picture that OpenCV can decode$"),
        (b"RIFF\0\0\0\0AVI LIST", "is not a picture that OpenCV can decode$"),
        *((cv2.imencode(suffix, GREETING)[1].tobytes()[:28], "is damaged, or takes more memory") for suffix in (".webp", ".bmp", ".tiff")),
    ],
    ids=lambda value: "" if isinstance(value, bytes) else value,
)
def test_a_picture_that_asks_for_too_much_is_refused_at_once(read, data, words):
    began = time.thread_time()
    with pytest.raises(InputError, match=words):
        read(data)
    assert time.thread_time() - began < 0.5


def test_a_header_hides_neither_in_a_marker_nor_in_another_header(read):
    assert read(two_headers(48, 40)).shape == (40, 48, 3), "the decoder takes the second"
    assert demand_of(two_headers(300, 200)).width == 300
    assert demand_of(png(8, 8, before=b"IHDR\0\0\0\x01IHDR" + (1 << 20).to_bytes(4, "big") * 2)).width == 1 << 20


def test_as_many_scans_as_are_allowed_are_read(read):
    assert read(many_scans(64, 64, MAX_SCANS)).shape == (64, 64, 3)


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".bmp", ".tiff", ".gif", ".ppm"])
def test_every_format_is_read_as_opencv_reads_it(read, portrait, suffix):
    data = cv2.imencode(suffix, portrait)[1].tobytes()
    assert np.array_equal(read(data), cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR))


@LINUX
def test_the_helper_is_held_to_its_memory_and_works_on(read):
    with pytest.raises(InputError, match="memory"):
        read(cv2.imencode(".tiff", np.zeros((9000, 9000, 3), np.uint8))[1].tobytes())
    assert read(cv2.imencode(".tiff", GREETING)[1].tobytes()).shape == (64, 64, 3)


def test_the_helper_is_held_to_its_time_and_works_on():
    helper = Helper()
    slow = cv2.imencode(".webp", np.random.default_rng(0).integers(0, 256, (3000, 3000, 3), np.uint8))[1].tobytes()
    with pytest.raises(TooLargeError):
        helper.decode(slow, cv2.IMREAD_COLOR, 1 << 30, 0.05)
    small = cv2.imencode(".webp", GREETING)[1].tobytes()
    assert helper.decode(small, cv2.IMREAD_COLOR, 1 << 30, 20).shape == (64, 64, 3)
    helper.close()


def test_no_process_takes_code_from_the_folder_where_it_is_started(tmp_path):
    """The helper and the trial of the display import `cv2` and `numpy`; a folder may hold files of these names."""
    mark = tmp_path / "mark"
    for name in ("cv2", "numpy", "runpy", "struct"):
        (tmp_path / f"{name}.py").write_text(f"open({str(mark)!r}, 'a').write({name!r})\n")
    (tmp_path / "a.ppm").write_bytes(cv2.imencode(".ppm", GREETING)[1].tobytes())
    code = """
import os, sys
from pathlib import Path
import cv2
from edge.sources.picture import read_image
from edge.cli import _has_display
os.chdir(sys.argv[1])
os.environ["PYTHONPATH"] = sys.argv[1]
print(read_image(Path("a.ppm")).shape)
_has_display()
"""
    command, surroundings = [sys.executable, "-c", code, str(tmp_path)], {**os.environ, "DISPLAY": ":7777"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=surroundings, timeout=60)
    assert done.stdout.strip() == "(64, 64, 3)", done.stderr
    assert not mark.exists()


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs pipes with names")
def test_what_is_no_file_of_bounded_length_is_not_read(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with open(tmp_path / "sparse.jpg", "wb") as file:
        file.truncate(60 << 30)
    for name, words in (("pipe", "not a regular file"), ("sparse.jpg", "longer than"), (".", "directory|regular")):
        began = time.thread_time()
        with pytest.raises(InputError, match=words):
            read_image(tmp_path / name)
        assert time.thread_time() - began < 0.5


@LINUX
def test_the_helper_that_is_asked_for_a_reason_decodes_no_giant_frame_either(tmp_path):
    (tmp_path / "giant.mkv").write_bytes(png(12_000, 9_000))
    assert any("get_buffer() failed" in line for line in of_opening(str(tmp_path / "giant.mkv")))


def test_frames_that_grow_giant_when_their_pixels_are_made_square_are_refused():
    with pytest.raises(InputError, match=f"{MAX_VIDEO_PIXELS} are read"):
        squared(np.zeros((3000, 5000, 3), np.uint8), 3.9)
    assert squared(np.zeros((30, 50, 3), np.uint8), 3.9).shape == (30, 195, 3)


def test_a_recording_of_giant_frames_is_refused(tmp_path):
    path = tmp_path / "giant.png"
    path.write_bytes(png(9000, 6000))
    with pytest.raises(InputError, match=f"{MAX_FRAME_PIXELS} are read|OpenCV can decode"):
        next(recorded(find_feed(path)))


_PEAK = """
import json, os, sys, threading, time
import cv2
from pathlib import Path
from edge import EdgeError, Pipeline
from edge.sources.camera import find_feed, recorded
def now_mb(process):
    try:
        return next(int(line.split()[1]) / 1024 for line in open(f"/proc/{process}/smaps_rollup") if line.startswith("Pss:"))
    except (OSError, StopIteration):  # it has just ended
        return 0
def watch():
    while True:
        children = open("/proc/self/task/%d/children" % os.getpid()).read().split()
        together[now] = max(together.get(now, 0), sum(map(now_mb, [os.getpid(), *children])))
        time.sleep(0.004)
now, together = "nothing", {}
threading.Thread(target=watch, daemon=True).start()
with Pipeline.load(device="cpu", threads=1) as pipeline:
    for now in sys.argv[1:]:
        for read in (lambda: next(pipeline.stream([Path(now)], explain="off")), lambda: next(recorded(find_feed(Path(now))))):
            try:
                read()
            except EdgeError as error:
                pass
print(json.dumps({Path(name).name: round(peak) for name, peak in together.items()}))
"""


@LINUX
def test_no_picture_or_frame_of_four_mebibytes_takes_half_a_gigabyte(tmp_path):
    """The largest that are let in of each kind, one after another; the helpers' memory counts too."""
    flat = {side: np.full((side, side, 3), 128, np.uint8) for side in (3316, 4000, 4800, 5100, 6400)}
    worst = {
        "frame.jpg": jpeg(
            flat[3316], cv2.IMWRITE_JPEG_PROGRESSIVE, 1, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444
        ),
        "baseline.jpg": jpeg(flat[6400], cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444),
        "progressive.jpg": jpeg(
            flat[4800], cv2.IMWRITE_JPEG_PROGRESSIVE, 1, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444
        ),
        "8.png": png(6400, 6400),
        "16.png": png(4700, 4700, 16),
        **{f"flat{suffix}": cv2.imencode(suffix, flat[5100])[1].tobytes() for suffix in (".webp", ".gif")},
        **{f"small{suffix}": cv2.imencode(suffix, flat[4000])[1].tobytes() for suffix in (".tiff",)},
        "huge.gif": gif(30_000, 30_000),
        "huge.png": png(14_000, 14_000, 16),
    }
    for name, data in worst.items():
        assert len(data) <= 4 << 20
        (tmp_path / name).write_bytes(data)
    names = [str(tmp_path / name) for name in worst]
    done = subprocess.run([sys.executable, "-c", _PEAK, *names], capture_output=True, text=True, check=False, timeout=900)
    assert done.returncode == 0, done.stderr
    together = json.loads(done.stdout)
    assert max(together.values()) <= 500, together


def test_mutated_pictures_are_read_or_refused():
    rng = np.random.default_rng(7)
    face = rng.integers(0, 256, (48, 64, 3), np.uint8)
    kinds = [cv2.imencode(suffix, face)[1].tobytes() for suffix in (".jpg", ".png", ".webp", ".bmp", ".tiff", ".gif", ".ppm")]
    kinds += [jpeg(face, cv2.IMWRITE_JPEG_PROGRESSIVE, 1), png(48, 48, 16), two_headers(48, 40), many_scans(32, 32, 20)]
    outcomes = {"read": 0, "refused": 0}
    for i in range(300 * ROUNDS):
        data = mutated(kinds[i % len(kinds)], rng)
        try:
            image = decode(data)
        except InputError:
            outcomes["refused"] += 1
        else:
            outcomes["read"] += 1
            assert image.size
            assert image.nbytes <= 300_000_000
    assert min(outcomes.values()) > 50 * ROUNDS, outcomes
