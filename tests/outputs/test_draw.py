from dataclasses import replace

import cv2
import numpy as np
import pytest

from edge.errors import UsageError
from edge.outputs.draw import PANEL_PX, annotate
from edge.outputs.save import VideoSink, check_target, save_picture


def _cue_points(pipeline):
    return {cue.name: cue.points for cue in pipeline.bundle.config.cues}


@pytest.mark.parametrize("shape", [(1, 1), (48, 48), (480, 640), (1080, 1920), (3000, 200)])
def test_annotate_draws_beside_a_frame_of_any_size_and_leaves_it_alone(pipeline, shape):
    frame = np.full((*shape, 3), 90, np.uint8)
    before = frame.copy()
    picture = annotate(frame, pipeline(frame), _cue_points(pipeline))
    assert picture.dtype == np.uint8
    assert picture.shape[1] <= 1280 + PANEL_PX
    assert picture.shape[0] >= 470
    assert (frame == before).all()


def test_annotate_marks_the_face_and_fills_the_panel(pipeline, portrait):
    reading = pipeline(portrait)
    plain = annotate(portrait, pipeline(np.zeros_like(portrait)), _cue_points(pipeline))
    picture = annotate(portrait, reading, _cue_points(pipeline))
    changed = (picture != plain).any(2)
    x1, y1, x2, _ = reading.faces[0].detection.box_xyxy.astype(int)
    assert changed[y1 - 1 : y1 + 2, x1 : x1 + 8].any()
    assert changed[:, portrait.shape[1] :].any()
    assert not changed[300:, 400:512].any(), "far from the face nothing is drawn"
    assert x2 < 400


def test_check_target_wants_a_known_suffix_and_a_folder(tmp_path):
    check_target(tmp_path / "a.PNG", video=False)
    check_target(tmp_path / "a.mp4", video=True)
    for path, video in ((tmp_path / "a.mp4", False), (tmp_path / "a.png", True), (tmp_path / "no" / "a.png", False)):
        with pytest.raises(UsageError, match="--save"):
            check_target(path, video=video)


def test_a_picture_that_cannot_be_written_leaves_the_old_one(tmp_path):
    target = tmp_path / "a.png"
    target.mkdir()
    with pytest.raises(UsageError, match="cannot write"):
        save_picture(target, np.zeros((4, 4, 3), np.uint8))
    assert [p.name for p in tmp_path.iterdir()] == ["a.png"]


def test_a_picture_too_large_for_its_format_is_a_clear_error(tmp_path):
    with pytest.raises(UsageError, match="does not take"):
        save_picture(tmp_path / "a.webp", np.zeros((17000, 10, 3), np.uint8))
    assert not list(tmp_path.iterdir())


def test_a_video_appears_only_when_it_is_complete(tmp_path):
    target = tmp_path / "a.avi"
    with VideoSink(target, 10) as sink:
        sink.write(np.zeros((48, 64, 3), np.uint8))
        sink.write(np.zeros((50, 99, 3), np.uint8))
        assert not target.exists()
    assert target.stat().st_size > 0
    broken = VideoSink(tmp_path / "none.avi", 10)
    broken.write(np.zeros((48, 64, 3), np.uint8))
    broken.__exit__(RuntimeError)
    with VideoSink(tmp_path / "none.avi", 10):
        pass
    assert not (tmp_path / "none.avi").exists()


def test_a_video_keeps_the_time_of_frames_that_come_unevenly(tmp_path):
    with VideoSink(tmp_path / "a.avi", 10) as sink:
        for t_ms in (500, 600, 620, 900, 60_000):  # one too early for the rate, a short and a long gap
            sink.write(np.full((48, 64, 3), 100, np.uint8), t_ms)
    capture = cv2.VideoCapture(str(tmp_path / "a.avi"))
    count = int(capture.get(cv2.CAP_PROP_FRAME_COUNT))
    capture.release()
    assert count == 5 + 20


def test_a_face_that_is_not_read_is_marked_with_the_reason(pipeline, portrait):
    reading = pipeline(portrait)
    unread = replace(reading.faces[0], emotion="", confidence=0.0, probabilities={}, explanation=None, unclear=("blur",))
    picture = annotate(portrait, replace(reading, faces=(unread,)), _cue_points(pipeline))
    assert (picture != annotate(portrait, reading, _cue_points(pipeline))).any()
    assert picture.shape == annotate(portrait, reading, _cue_points(pipeline)).shape
