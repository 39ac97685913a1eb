"""The window's keys and its closing button, on a screen that is made up."""

import contextlib
import os
import shutil
import subprocess
import sys
import time

import cv2
import numpy as np
import pytest

from edge import cli
from edge.outputs.window import ESCAPE, NO_KEY, Window

_PICTURE = np.zeros((4, 4, 3), np.uint8)
_SCREEN = ("Xvfb", "openbox", "wmctrl")


class Screen:
    """Stands in for OpenCV's window: `visible` says what it answers after each picture, the last one for ever."""

    def __init__(self, monkeypatch, visible, keys=()):
        self.shown, self.visible, self.keys = 0, list(visible), list(keys)
        monkeypatch.setattr(cv2, "imshow", self._show)
        monkeypatch.setattr(cv2, "waitKey", lambda ms: self.keys.pop(0) if self.keys else -1)
        monkeypatch.setattr(cv2, "getWindowProperty", self._property)
        monkeypatch.setattr(cv2, "destroyAllWindows", lambda: None)

    def _show(self, name, picture):
        self.shown += 1

    def _property(self, name, which):
        value = self.visible.pop(0) if len(self.visible) > 1 else self.visible[0]
        if value is None:
            raise cv2.error("no such window")
        return value


@pytest.mark.parametrize("gone", [0.0, -1.0, None])
def test_a_closed_window_is_an_escape(monkeypatch, gone):
    Screen(monkeypatch, [0.0, 1.0, gone])
    window = Window()
    assert [window.show(_PICTURE) for _ in range(3)] == [NO_KEY, NO_KEY, ESCAPE]


def test_a_backend_that_cannot_tell_never_closes(monkeypatch):
    Screen(monkeypatch, [-1.0])
    window = Window()
    assert {window.show(_PICTURE) for _ in range(5)} == {NO_KEY}


def test_a_picture_waits_for_a_key_or_for_the_window_to_be_closed(monkeypatch):
    Screen(monkeypatch, [1.0], keys=[-1, -1, ord("n")])
    assert Window().show(_PICTURE, wait=True) == ord("n")
    Screen(monkeypatch, [1.0, 1.0, 0.0])
    assert Window().show(_PICTURE, wait=True) == ESCAPE


def test_closing_the_window_ends_the_command_and_keeps_the_recording(monkeypatch, tmp_path, video):
    screen = Screen(monkeypatch, [1.0, 1.0, 1.0, 0.0])
    monkeypatch.setattr(cli, "_has_display", lambda: True)
    assert cli.main(["--video", str(video), "--explain", "off", "--save", str(tmp_path / "a.avi")]) == 0
    assert screen.shown == 4
    capture = cv2.VideoCapture(str(tmp_path / "a.avi"))
    assert int(capture.get(cv2.CAP_PROP_FRAME_COUNT)) == 4
    capture.release()


@pytest.mark.alone
@pytest.mark.skipif(not all(map(shutil.which, _SCREEN)), reason=f"needs {', '.join(_SCREEN)}")
def test_a_real_window_is_closed_by_its_button(tmp_path):
    path = tmp_path / "minutes.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 10.0, (160, 120))
    for _ in range(1200):
        writer.write(np.zeros((120, 160, 3), np.uint8))
    writer.release()
    read, write = os.pipe()
    with contextlib.ExitStack() as running:

        def start(*command: str, **options) -> subprocess.Popen:
            process = running.enter_context(subprocess.Popen(command, **options))
            running.callback(process.kill)
            return process

        start("Xvfb", "-displayfd", str(write), "-screen", "0", "800x600x24", pass_fds=[write], stderr=subprocess.DEVNULL)
        screen = {**os.environ, "DISPLAY": f":{os.read(read, 8).decode().strip()}"}
        start("openbox", env=screen, stderr=subprocess.DEVNULL)
        camera = [sys.executable, "-m", "edge.cli", "--video", str(path), "--realtime", "--explain", "off"]
        command = start(*camera, env=screen, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        for _ in range(300):
            if "erv-edge" in subprocess.run(["wmctrl", "-l"], env=screen, capture_output=True, text=True).stdout:
                break
            time.sleep(0.1)
        for _ in range(20):  # a click while the window is still opening is lost, and people click again
            subprocess.run(["wmctrl", "-c", "erv-edge"], env=screen, check=False)
            with contextlib.suppress(subprocess.TimeoutExpired):
                assert command.wait(1) == 0, command.stderr.read()
                break
        assert command.poll() == 0
