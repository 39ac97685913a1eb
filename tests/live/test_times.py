"""Times that callers hand in: what freezes or races the smoothing is refused or told."""

import math

import numpy as np
import pytest

from edge.errors import InputError
from edge.live.scene import Scene
from edge.live.times import Times
from edge.sources.camera import Frame

_BLANK = np.zeros((64, 64, 3), np.uint8)


def _check(times: list[float]) -> None:
    checked = Times()
    for index, t_ms in enumerate(times):
        checked.check(Frame(_BLANK, "mine", index, t_ms))


@pytest.mark.parametrize(
    ("step_ms", "said"),
    [
        (0.0, "have the same t_ms"),
        (0.04, "are its times seconds?"),
        (1 / 30, "are its times seconds?"),
        (40_000.0, "are its times microseconds?"),
    ],
)
def test_times_that_are_hardly_milliseconds_are_told_once(caplog, step_ms, said):
    _check([step_ms * i for i in range(40)])
    assert [said in record.message for record in caplog.records] == [True]


@pytest.mark.parametrize("step_ms", [1.0, 8.3, 33.4, 40.0, 1000.0, 10_000.0])
def test_times_of_any_camera_pass(caplog, step_ms):
    _check([5e5 + step_ms * i for i in range(40)])
    assert not caplog.records


def test_a_few_frames_of_the_same_time_pass(caplog):
    _check([0.0, 0.0, 40.0, 40.0, 80.0] + [80.0 + 40 * i for i in range(1, 20)])
    assert not caplog.records


@pytest.mark.parametrize("t_ms", [39.9, -1.0, math.nan, math.inf, -math.inf])
def test_a_scene_refuses_a_time_that_runs_backwards_or_is_none(pipeline, t_ms):
    with Scene(pipeline, explain="off") as scene:
        scene.read(Frame(_BLANK, "mine", 0, 40.0))
        with pytest.raises(InputError, match="frame 1 of 'mine'"):
            scene.read(Frame(_BLANK, "mine", 1, t_ms))
        assert scene.read(Frame(_BLANK, "mine", 2, 80.0)).t_ms == 80.0, "what was refused has left no trace"


def test_frames_that_a_stream_is_handed_are_checked_too(pipeline):
    frames = iter([Frame(_BLANK, "mine", 0, 40.0), Frame(_BLANK, "mine", 1, 0.0)])
    with pipeline.stream(frames, explain="off") as stream, pytest.raises(InputError, match="runs backwards"):
        list(stream)
