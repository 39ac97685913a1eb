"""Videos as their containers say that they are to be shown, and only frames that were decoded."""

import logging
import os
import shutil
import struct
import sys
import threading
from fractions import Fraction
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge.errors import InputError
from edge.sources.camera import find_feed, recorded
from edge.sources.capture import NewestFrame
from edge.sources.decoder import squared
from edge.sources.recording import Recording


def _pictures(portrait: np.ndarray, count: int = 12, side: int = 96) -> list[np.ndarray]:
    return [cv2.resize(portrait[0:480, 4 * i : 4 * i + 480], (side, side), interpolation=cv2.INTER_AREA) for i in range(count)]


def _write(
    path: Path, pictures: list[np.ndarray], codec: str = "mpeg2video", *, interlaced: bool = False, aspect: Fraction | None = None
) -> Path:
    """A video with what OpenCV cannot write: fields, and pixels that are not square."""
    av = pytest.importorskip("av", reason="such a video is written by PyAV")
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, 25, options={"flags": "+ildct+ilme"} if interlaced else {})
        stream.height, stream.width = pictures[0].shape[:2]
        stream.pix_fmt, stream.bit_rate = "yuv420p", 4_000_000
        if aspect:
            stream.codec_context.sample_aspect_ratio = aspect
        for picture in pictures:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="bgr24")))
        container.mux(stream.encode())
    return path


def _read(path: Path) -> list[np.ndarray]:
    return [frame.image_bgr for frame in recorded(find_feed(path))]


def test_pixels_that_are_not_square_are_stretched(tmp_path, portrait):
    wide = _pictures(portrait)
    wide = [cv2.GaussianBlur(picture, (0, 0), 2) for picture in wide]  # what is lost on the way is not what this is about
    narrow = [cv2.resize(picture, (64, 96), interpolation=cv2.INTER_AREA) for picture in wide]
    read = _read(_write(tmp_path / "anamorphic.mkv", narrow, "mpeg4", aspect=Fraction(3, 2)))
    assert len(read) == 12
    assert all(image.shape == (96, 96, 3) for image in read)
    assert np.abs(read[5].astype(int) - wide[5]).mean() < 8


@pytest.mark.parametrize(("aspect", "shape"), [(2.0, (8, 12)), (0.5, (16, 6)), (1.005, (8, 6)), (65535.0, (8, 6)), (1e-9, (8, 6))])
def test_nothing_is_scaled_down_and_a_mad_aspect_is_not_believed(aspect, shape):
    assert squared(np.zeros((8, 6, 3), np.uint8), aspect).shape[:2] == shape


@pytest.mark.parametrize(("matrix", "turns"), [((0, 1, -1, 0), 3), ((-1, 0, 0, -1), 2), ((0, -1, 1, 0), 1)])
def test_a_video_filmed_on_its_side_is_turned(tmp_path, portrait, matrix, turns):
    plain, turned = tmp_path / "plain.mp4", tmp_path / "turned.mp4"
    writer = cv2.VideoWriter(str(plain), cv2.VideoWriter.fourcc(*"mp4v"), 25, (96, 64))
    for picture in _pictures(portrait):
        writer.write(picture[:64])
    writer.release()
    data = bytearray(plain.read_bytes())
    at = data.index(b"tkhd") + 4 + 40  # the track's matrix: a, b, u, c, d, v, x, y, w
    a, b, c, d = (value << 16 for value in matrix)
    data[at : at + 36] = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)
    turned.write_bytes(data)
    assert (np.rot90(_read(plain)[3], turns) == _read(turned)[3]).all()


@pytest.mark.parametrize("suffix", ["mpg", "ts"])
def test_an_interlaced_video_is_read_as_what_it_shows(tmp_path, portrait, suffix):
    pictures = _pictures(portrait)
    read = _read(_write(tmp_path / f"fields.{suffix}", pictures, interlaced=True))
    assert len(read) == 12
    for image, picture in zip(read, pictures, strict=True):
        assert np.abs(image.astype(int) - picture).mean() < 12


def test_an_interlaced_video_that_no_decoder_here_can_read_is_an_error_that_says_what_to_do(tmp_path, portrait, monkeypatch):
    path = _write(tmp_path / "fields.mpg", _pictures(portrait), interlaced=True)
    if Recording(cv2.VideoCapture(str(path)), "fields.mpg", str(path))._trusted is False:
        pytest.skip(f"OpenCV {cv2.__version__} reads interlaced video itself")

    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(InputError, match=r"fields\.mpg.*convert interlaced.*erv-edge\[video\].*yadif"):
        _read(path)


class _Stuck:
    """A capture that says True and gives memory that was never filled."""

    def __init__(self, good: int):
        self.good, self.index = good, 0

    def isOpened(self):  # noqa: N802
        return True

    def set(self, *_):
        return True

    def get(self, _):
        return 0.0

    def grab(self):
        self.index += 1
        return self.index <= 20

    def retrieve(self):
        return True, np.full((48, 64, 3), min(self.index, self.good), np.uint8)

    def release(self):
        pass


@pytest.mark.parametrize("good", [1, 9])
def test_a_frame_is_not_believed_because_a_call_returned_true(monkeypatch, good):
    """Whether the frames are bad from the first one on or only later."""

    class Other(_Stuck):
        length, rate = 20, 25.0

        def __init__(self, _):
            super().__init__(99)

        def retrieve(self):
            return np.full((48, 64, 3), 100 + self.index, np.uint8)

        def position_ms(self):
            return 40.0 * self.index

    asked = []
    monkeypatch.setattr("edge.sources.recording.of_frames", lambda path, first, last: asked.append((first, last)) or ["swscaler: no"])
    monkeypatch.setattr("edge.sources.recording.AvDecoder", Other)
    recording, seen = Recording(_Stuck(good), "a.mp4", "a.mp4"), []
    while recording.grab():
        seen.append(int(recording.retrieve()[1][0, 0, 0]))
    assert seen == list(range(1, good + 1) if good > 1 else []) + list(range(101 + (good if good > 1 else 0), 121))
    assert len(asked) == 1


def test_a_still_is_asked_about_seldom(monkeypatch):
    asked = []
    monkeypatch.setattr("edge.sources.recording.of_frames", lambda path, first, last: asked.append(last) or [])
    recording = Recording(_Stuck(1), "a.mp4", "a.mp4")
    while recording.grab():
        assert recording.retrieve()[1][0, 0, 0] == 1
    assert asked == [2, 16]


def test_a_decoder_that_cannot_be_asked_is_told(monkeypatch, caplog):
    monkeypatch.setattr("edge.sources.recording.of_frames", lambda *_: None)
    monkeypatch.setattr("edge.sources.recording.of_ending", lambda *_: None)
    recording = Recording(_Stuck(20), "a.mp4", "a.mp4")
    recording.length = 100
    recording.check_whole(20)
    Recording(_Stuck(1), "b.mp4", "b.mp4")
    assert ["a.mp4" in record.message or "frame 2" in record.message for record in caplog.records] == [True, True]


def test_a_network_stream_that_never_changes_is_told_once(monkeypatch, caplog):
    monkeypatch.setattr("edge.sources.recording._STILL", 10)
    recording = Recording(_Stuck(1), "rtsp://camera")
    while recording.grab():
        recording.retrieve()
    assert [record.message.split(":")[0] for record in caplog.records] == ["'rtsp"]


@pytest.fixture(scope="module")
def clip(tmp_path_factory, portrait) -> Path:
    path = tmp_path_factory.mktemp("clip") / "clip.mkv"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 25, (96, 96))
    for picture in _pictures(portrait, 50):
        writer.write(picture)
    writer.release()
    return path


def test_a_whole_file_that_promises_more_than_it_has_is_whole(clip, tmp_path, monkeypatch):
    """As when an edit list hides frames, the rate varies, or the sound is longer than the picture."""
    path = tmp_path / "short.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 10, (96, 96))
    for picture in _read(clip)[:12]:
        writer.write(picture)
    writer.release()
    data = bytearray(path.read_bytes())
    at = data.index(b"strh") + 8 + 32
    assert struct.unpack("<I", data[at : at + 4]) == (12,)
    data[at : at + 4] = struct.pack("<I", 60)
    path.write_bytes(data)
    feed = find_feed(path)
    assert feed.open().length == 60
    assert len(_read(path)) == 12
    played = NewestFrame(feed)
    played.start()
    assert list(iter(played.next, None))[-1].index == 11


@pytest.mark.parametrize("share", [0.3, 0.9])
def test_a_file_that_is_cut_off_is_told_with_the_decoders_words(clip, tmp_path, share):
    cut, read = tmp_path / "cut.mkv", []
    cut.write_bytes(clip.read_bytes()[: int(share * clip.stat().st_size)])
    with pytest.raises(InputError, match=r"cut\.mkv' is truncated: \d+ of 50 frames could be decoded \(matroska.*: .*\)"):
        read.extend(recorded(find_feed(cut)))
    assert 10 < len(read) < 50


def test_what_is_no_video_is_told_with_the_decoders_words(clip, tmp_path):
    headless = tmp_path / "headless.mp4"
    headless.write_bytes(b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom" + bytes(64))
    with pytest.raises(InputError, match=r"headless\.mp4' is not a video that OpenCV can decode \(.*moov atom not found\)"):
        _read(headless)


@pytest.mark.parametrize(
    "name",
    ["12:30.mkv", "file:a.mkv", "a\nb.mkv", "a,b;c.mkv", "concat:a|b.mkv", "Wow ! Great.mkv", "٣.mkv", "日本 русский.mkv", "%03d.mkv"],
)
def test_any_name_is_a_file_name(clip, tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    shutil.copy(clip, name)
    for source in (name, Path(name), tmp_path / name):
        feed = find_feed(source)
        assert not feed.live
        assert feed.name == str(source)
        assert next(recorded(feed)).image_bgr.shape == (96, 96, 3)


def test_digits_of_another_script_are_no_camera(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match="no video file at '٣'"):
        find_feed("٣")


@pytest.mark.parametrize("source", ["Part 1: the end://of.mkv", "://x.mkv", "1a://x.mkv"])
def test_what_is_no_scheme_makes_no_address(source):
    with pytest.raises(InputError, match="no video file at"):
        find_feed(source)


class _Plain(SimpleHTTPRequestHandler):
    """A web server without byte ranges, as `python -m http.server`."""

    def log_message(self, *_):
        pass


def test_a_file_behind_an_address_is_played_once_though_its_format_tells_no_length(tmp_path, portrait):
    _write(tmp_path / "clip.ts", _pictures(portrait, 30))
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Plain, directory=str(tmp_path)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    played = NewestFrame(find_feed(f"http://127.0.0.1:{server.server_port}/clip.ts"), patience_s=5)
    played.start()
    try:
        frames = list(islice(iter(played.next, None), 200))
        assert frames
        assert frames[-1].index < 30
        assert played.reconnects == 0
    finally:
        played.close()
        server.shutdown()
        server.server_close()


class _Elsewhere(_Plain):
    """Sends everybody to another server."""

    to, asked = "", [""]

    def do_GET(self):
        self.asked.append(self.headers.get("Authorization", ""))
        self.send_response(302)
        self.send_header("Location", self.to)
        self.end_headers()


def test_a_password_is_not_handed_to_another_server(tmp_path):
    (tmp_path / "clip.ts").write_bytes(bytes(99))
    seen = []

    class There(_Plain):
        def do_GET(self):
            seen.append(self.headers.get("Authorization"))
            super().do_GET()

    servers = [ThreadingHTTPServer(("127.0.0.1", 0), handler) for handler in (_Elsewhere, partial(There, directory=str(tmp_path)))]
    for server in servers:
        threading.Thread(target=server.serve_forever, daemon=True).start()
    _Elsewhere.to, _Elsewhere.asked = f"http://127.0.0.1:{servers[1].server_port}/clip.ts", []
    assert find_feed(f"http://me:PW@127.0.0.1:{servers[0].server_port}/clip.ts").ends()
    assert _Elsewhere.asked == ["Basic bWU6UFc="]
    assert seen == [None]


def _avi(path: Path, count: int, *, scale: int, rate: int) -> Path:
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 10, (64, 64))
    for i in range(count):
        writer.write(np.full((64, 64, 3), 20 * i, np.uint8))
    writer.release()
    data = bytearray(path.read_bytes())
    at = data.index(b"strh") + 8 + 20
    data[at : at + 8] = struct.pack("<II", scale, rate)
    path.write_bytes(data)
    return path


@pytest.mark.parametrize(("scale", "rate"), [(1, 1_000_000), (1, 1), (1000, 1), (2**32 - 1, 1)])
def test_a_mad_frame_rate_in_the_header_gives_no_times_outside_the_recording(tmp_path, caplog, scale, rate):
    with caplog.at_level(logging.WARNING):
        times = [frame.t_ms for frame in recorded(find_feed(_avi(tmp_path / "mad.avi", 12, scale=scale, rate=rate)))]
    assert times == [100.0 * i for i in range(12)]
    assert [record.message.split(";")[1] for record in caplog.records] == [" its times are counted at 10"]


@pytest.mark.parametrize(("scale", "rate", "step_ms"), [(1, 10, 100.0), (1, 25, 40.0), (1001, 30000, 33.367)])
def test_a_frame_rate_that_may_be_true_is_taken(tmp_path, caplog, scale, rate, step_ms):
    times = [frame.t_ms for frame in recorded(find_feed(_avi(tmp_path / "sane.avi", 12, scale=scale, rate=rate)))]
    assert times == pytest.approx([step_ms * i for i in range(12)], abs=0.01)
    assert not caplog.records


def test_a_slow_recording_whose_headers_agree_keeps_its_times(tmp_path):
    path = _avi(tmp_path / "slow.avi", 4, scale=2, rate=1)
    data = bytearray(path.read_bytes())
    data[32:36] = struct.pack("<I", 2_000_000)
    path.write_bytes(data)
    assert [frame.t_ms for frame in recorded(find_feed(path))] == [0.0, 2000.0, 4000.0, 6000.0]


def test_the_helper_that_asks_the_decoder_hears_it_whatever_the_caller_has_silenced(clip, tmp_path, monkeypatch):
    from edge.sources.complaints import of_ending, of_opening

    monkeypatch.setenv("OPENCV_FFMPEG_LOGLEVEL", "-8")
    monkeypatch.setenv("OPENCV_LOG_LEVEL", "SILENT")
    (tmp_path / "cv2.py").write_text("raise SystemExit('the folder that one works in is not a place to import from')")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "junk.mp4").write_bytes(b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom" + os.urandom(64))
    assert of_opening(str(tmp_path / "junk.mp4"))
    assert of_ending(str(clip), 2000.0) == []
