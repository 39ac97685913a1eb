"""The window's keys and its closing button, on a screen that is made up."""

import cv2
import numpy as np
import pytest

from edge import cli
from edge.outputs.window import ESCAPE, NO_KEY, Window

_PICTURE = np.zeros((4, 4, 3), np.uint8)


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
