import os
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import cv2
import numpy as np
import pytest

from benchmarks.quality.scenes import DrawnCamera
from edge.errors import BackendError, InputError
from edge.sources.camera import Feed, find_feed, recorded
from edge.sources.capture import FRESH, NewestFrame
from edge.sources.clock import Clock

_FPS = 40


def _numbered(number: int) -> np.ndarray:
    return np.full((24, 32, 3), number % 256, np.uint8)


def _camera(fps: float = _FPS) -> tuple[DrawnCamera, NewestFrame]:
    camera = DrawnCamera(_numbered, fps)
    capture = NewestFrame(find_feed(camera.open))
    capture.start()
    return camera, capture


def _until(condition, seconds: float = 5.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.01)


def test_a_slow_reader_always_gets_a_fresh_frame_and_the_missed_ones_are_counted():
    camera, capture = _camera()
    ages, numbers = [], []
    for _ in range(6):
        frame = capture.next()
        ages.append(time.monotonic() - frame.captured_s)
        numbers.append(frame.index)
        time.sleep(10 / _FPS)
    capture.close()
    assert np.median(ages) <= FRESH / _FPS + 0.1
    assert max(ages) < 0.7, "a queue would be more than a second behind"
    assert np.median(np.diff(numbers)) >= 3, "frames are left out, not queued"
    assert capture.dropped >= 12
    assert camera.released == camera.opened == 1


def test_a_fast_reader_gets_every_frame_once_with_rising_times():
    _, capture = _camera()
    frames = [capture.next() for _ in range(12)]
    capture.close()
    assert len({f.index for f in frames}) == 12
    assert frames[0].t_ms == 0
    passed = np.diff([f.t_ms for f in frames])
    assert (passed > 0).all()
    assert [f.t_ms for f in frames] == pytest.approx([(f.captured_s - frames[0].captured_s) * 1e3 for f in frames], abs=0.01)


def test_a_lost_camera_is_won_back_and_the_state_says_so():
    camera, capture = _camera()
    assert capture.state == "opening" or capture.state == "live"
    before = capture.next()
    camera.plugged.clear()
    _until(lambda: capture.state == "reconnecting")
    assert "stopped delivering" in capture.message
    threading.Timer(0.4, camera.plugged.set).start()
    after = capture.next()
    while after.t_ms - before.t_ms < 300:  # frames from before may still lie there
        after = capture.next()
    assert capture.state == "live"
    assert capture.reconnects == 1
    assert time.monotonic() - after.captured_s < 0.5
    assert after.index > before.index
    capture.close()
    assert camera.released == camera.opened


def test_a_frame_from_before_the_loss_is_not_handed_over_late():
    camera, capture = _camera()
    capture.next()
    camera.plugged.clear()
    _until(lambda: capture.state == "reconnecting")
    time.sleep(0.3)
    lost_s = time.monotonic()
    threading.Timer(0.3, camera.plugged.set).start()
    assert capture.next().captured_s > lost_s
    capture.close()


def test_a_camera_that_stays_away_is_given_up_after_the_readers_patience():
    camera = DrawnCamera(_numbered, _FPS)
    capture = NewestFrame(find_feed(camera.open), patience_s=0.5)
    capture.start()
    capture.next()
    camera.plugged.clear()
    with pytest.raises(InputError, match="did not come back within"):
        list(iter(capture.next, None))
    assert capture.state == "ended"
    assert capture.next() is None
    capture.close()


class _Short:
    """A capture that ends after so many frames, a moment apart."""

    def __init__(self, frames: int, apart_s: float = 0.0) -> None:
        self.left, self.apart_s = frames, apart_s

    def isOpened(self) -> bool:  # noqa: N802 (OpenCV's name)
        return True

    def grab(self) -> bool:
        time.sleep(self.apart_s)
        self.left -= 1
        return self.left >= 0

    def retrieve(self) -> tuple[bool, np.ndarray]:
        return True, _numbered(self.left)

    def release(self) -> None:
        pass


@pytest.mark.parametrize("frames", [0, 3])
def test_a_source_that_ends_at_once_each_time_is_opened_again_less_and_less(frames):
    """A function that opens a short file; or a device that grabs and never has a picture."""
    opened = []

    def give() -> _Short:
        opened.append(time.monotonic())
        short = _Short(frames or 3)
        if not frames:
            short.retrieve = lambda: (False, None)
        return short

    capture = NewestFrame(find_feed(give))
    capture.start()
    _until(lambda: len(opened) >= 4)
    capture.close()
    assert (np.diff(opened[:4]) > [0.24, 0.49, 0.99]).all()


def test_a_source_that_was_steady_is_opened_again_at_once(monkeypatch):
    monkeypatch.setattr("edge.sources.capture._STEADY_S", 0.2)
    opened = []
    capture = NewestFrame(find_feed(lambda: (opened.append(time.monotonic()), _Short(12, 0.03))[1]))
    capture.start()
    _until(lambda: len(opened) >= 4)
    capture.close()
    assert np.diff(opened)[2] < 0.8, "it lasts 0.4 s; waits that grew would have come to 0.5 s"


def test_a_camera_that_was_never_there_is_not_waited_for():
    camera = DrawnCamera(_numbered, _FPS)
    camera.plugged.clear()
    capture = NewestFrame(find_feed(camera.open))
    capture.start()
    started = time.monotonic()
    with pytest.raises(InputError, match="delivers frames"):
        capture.next()
    assert time.monotonic() - started < 2
    capture.close()


def test_a_silent_camera_counts_as_lost_though_its_driver_says_nothing(monkeypatch):
    monkeypatch.setattr("edge.sources.capture.SILENT_S", 0.2)
    camera, capture = _camera()
    capture.next()
    stuck = threading.Event()
    camera.show = lambda number: (stuck.wait(5), _numbered(number))[1]
    _until(lambda: capture.state == "reconnecting")
    stuck.set()
    _until(lambda: capture.state == "live")
    capture.close()


def test_an_error_in_the_callers_own_capture_reaches_the_reader():
    camera = DrawnCamera(_numbered, _FPS)
    camera.show = lambda number: 1 // 0
    capture = NewestFrame(find_feed(camera.open))
    capture.start()
    with pytest.raises(ZeroDivisionError):
        capture.next()
    capture.close()
    assert camera.released == 1


def test_closing_leaves_no_thread_and_no_handle(video):
    threads, handles = threading.active_count(), len(os.listdir("/proc/self/fd")) if Path("/proc/self/fd").is_dir() else 0
    for _ in range(3):
        _, capture = _camera()
        capture.next()
        capture.close()
        capture.close()
        played = NewestFrame(find_feed(video))
        played.start()
        played.next()
        played.close()
    assert threading.active_count() == threads
    if handles:
        assert len(os.listdir("/proc/self/fd")) == handles


def test_a_file_in_real_time_is_played_at_its_own_speed_and_ends(video):
    capture = NewestFrame(find_feed(video))
    started, frames = time.monotonic(), []
    capture.start()
    while (frame := capture.next()) is not None:
        frames.append((frame.index, frame.t_ms, time.monotonic() - started))
    assert 1.1 <= time.monotonic() - started < 10, "twelve frames at ten a second"
    assert all(t_ms == index * 100 for index, t_ms, _ in frames)
    assert all(now >= t_ms / 1e3 - 0.01 for _, t_ms, now in frames)
    assert capture.state == "ended"
    assert capture.reconnects == 0


def test_a_truncated_file_says_so_after_its_last_frame_in_real_time_too(video, tmp_path):
    broken = tmp_path / "broken.avi"
    broken.write_bytes(video.read_bytes()[: video.stat().st_size // 2])
    for read in (_every_frame, _in_real_time):
        frames = []
        with pytest.raises(InputError, match="truncated"):
            frames.extend(read(find_feed(broken)))
        assert 0 < len(frames) < 12


def _every_frame(feed: Feed):
    return recorded(feed)


def _in_real_time(feed: Feed):
    capture = NewestFrame(feed)
    capture.start()
    while (frame := capture.next()) is not None:
        yield frame


def test_timestamps_are_the_recordings_own_and_always_rise(video):
    capture = find_feed(video).open()
    clock, times = Clock(capture), []
    while capture.grab():
        times.append(clock())
    assert times == [i * 100 for i in range(12)]
    assert capture.length == 12
    again = [clock() for _ in range(3)]
    assert again[0] > times[-1], "a container without further times goes on at its rate"
    assert (np.diff(again) > 0).all()
    capture.release()


class _Mjpeg(BaseHTTPRequestHandler):
    """A network camera: motion JPEG."""

    running = threading.Event()

    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
        self.end_headers()
        number = 0
        while self.running.is_set():
            data = cv2.imencode(".jpg", np.full((48, 64, 3), 40 + number % 100, np.uint8))[1].tobytes()
            try:
                self.wfile.write(b"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n%s\r\n" % (len(data), data))
            except OSError:
                return
            number += 1
            time.sleep(0.03)

    def log_message(self, *_):
        pass


def test_a_network_camera_is_read_and_won_back():
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Mjpeg)
    _Mjpeg.running.set()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    capture = NewestFrame(find_feed(f"http://user:secret@127.0.0.1:{server.server_port}/live.mjpg"))
    capture.start()
    try:
        frame = capture.next()
        assert frame.image_bgr.shape == (48, 64, 3)
        assert frame.source == f"http://127.0.0.1:{server.server_port}/live.mjpg"
        _Mjpeg.running.clear()
        _until(lambda: capture.state == "reconnecting", 10)
        _Mjpeg.running.set()
        _until(lambda: capture.reconnects == 1 and capture.state == "live", 10)
        assert capture.next().index > frame.index
    finally:
        _Mjpeg.running.clear()
        capture.close()
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize("user", ["admin:hunter2", "admin:p@hunter2", "admin:hunter2?"])
@pytest.mark.parametrize("query", ["", "?user=admin&password=hunter2"])
def test_a_password_in_an_address_is_not_repeated(user, query):
    feed = find_feed(f"rtsp://{user}@10.0.0.9/live{query}")
    assert feed.live
    assert feed.name == "rtsp://10.0.0.9/live"
    assert "hunter2" not in feed.trouble
    with pytest.raises(InputError) as refused:
        find_feed(f"gopher://{user}@10.0.0.9/live{query}")
    assert "hunter2" not in str(refused.value)


@pytest.mark.parametrize(
    ("source", "said"),
    [
        (-1, "no camera -1"),
        ("-1", "no camera -1"),
        ("/dev/video977", "no camera at '/dev/video977'"),
        ("gopher://x/y", "expected csi://N or one of"),
        ("csi://first", "expected csi://N or one of"),
        ("gone.mp4", "no video file at 'gone.mp4'"),
        (Path("gone.mp4"), "no video file at 'gone.mp4'"),
    ],
)
def test_a_source_that_is_none_is_named(source, said):
    with pytest.raises(InputError, match=said):
        find_feed(source)


@pytest.mark.skipif("GStreamer:                   YES" in cv2.getBuildInformation(), reason="this OpenCV has GStreamer")
@pytest.mark.parametrize("source", ["csi://0", "videotestsrc ! videoconvert ! appsink"])
def test_gstreamer_is_asked_for_where_it_is_missing(source):
    with pytest.raises(BackendError, match="GStreamer"):
        find_feed(source)


def test_a_camera_on_the_csi_connector_goes_through_the_jetsons_own_source(monkeypatch):
    opened = []
    monkeypatch.setattr("edge.sources.camera.cv2.getBuildInformation", lambda: "    GStreamer:    YES (1.20.3)")
    monkeypatch.setattr("edge.sources.camera.cv2.VideoCapture", lambda *arguments: opened.append(arguments))
    feed = find_feed("csi://1")
    feed.open()
    ((pipeline, backend),) = opened
    assert feed.live
    assert feed.name == "csi://1"
    assert "nvarguscamerasrc sensor-id=1 " in pipeline
    assert "format=BGR !" in pipeline
    assert backend == cv2.CAP_GSTREAMER
