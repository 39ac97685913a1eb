from dataclasses import replace

import numpy as np
import pytest

from edge.errors import OutputError, UsageError
from edge.outputs.draw import PANEL_PX, annotate
from edge.outputs.save import check_target, save_picture


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


def test_check_target_wants_a_known_suffix(tmp_path):
    check_target(tmp_path / "a.PNG", video=False)
    check_target(tmp_path / "a.mp4", video=True)
    for path, video in ((tmp_path / "a.mp4", False), (tmp_path / "a.png", True)):
        with pytest.raises(UsageError, match="--save"):
            check_target(path, video=video)


def test_a_picture_that_cannot_be_written_leaves_the_old_one(tmp_path):
    target = tmp_path / "a.png"
    target.mkdir()
    with pytest.raises(OutputError, match="cannot write"):
        save_picture(target, np.zeros((4, 4, 3), np.uint8))
    assert [p.name for p in tmp_path.iterdir()] == ["a.png"]


def test_a_picture_too_large_for_its_format_is_a_clear_error(tmp_path):
    with pytest.raises(UsageError, match="does not take"):
        save_picture(tmp_path / "a.webp", np.zeros((17000, 10, 3), np.uint8))
    assert not list(tmp_path.iterdir())


def test_a_face_that_is_not_read_is_marked_with_the_reason(pipeline, portrait):
    reading = pipeline(portrait)
    unread = replace(reading.faces[0], emotion="", confidence=0.0, probabilities={}, explanation=None, unclear=("blur",))
    picture = annotate(portrait, replace(reading, faces=(unread,)), _cue_points(pipeline))
    assert (picture != annotate(portrait, reading, _cue_points(pipeline))).any()
    assert picture.shape == annotate(portrait, reading, _cue_points(pipeline)).shape
