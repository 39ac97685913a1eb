from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from edge.errors import OutputError, UsageError
from edge.outputs.draw import PANEL_PX, annotate
from edge.outputs.save import check_target, save_picture
from edge.types import Detection, Explanation, Face, Pose, Reading, Statement, Verdict


def _cue_points(pipeline):
    return {cue.name: cue.points for cue in pipeline.bundle.config.cues}


@pytest.mark.parametrize("shape", [(1, 1), (48, 48), (480, 640), (1080, 1920), (3000, 200)])
def test_annotate_draws_beside_a_frame_of_any_size_and_leaves_it_alone(pipeline, shape):
    frame = np.full((*shape, 3), 90, np.uint8)
    before = frame.copy()
    picture = annotate(frame, pipeline(frame), _cue_points(pipeline))
    assert picture.dtype == np.uint8
    assert picture.shape[1] <= 1280 + PANEL_PX
    assert picture.shape[0] >= 600
    assert (frame == before).all()


def test_annotate_marks_the_face_and_fills_the_panel(pipeline, portrait):
    reading = pipeline(portrait)
    plain = annotate(portrait, pipeline(np.zeros_like(portrait)), _cue_points(pipeline))
    picture = annotate(portrait, reading, _cue_points(pipeline))
    changed = (picture != plain).any(2)
    scale = picture.shape[0] / portrait.shape[0]
    x1, y1, x2, y2 = (reading.faces[0].detection.box_xyxy * scale).astype(int)
    width = picture.shape[1] - PANEL_PX
    assert changed[y1 - 1 : y1 + 2, x1 : x1 + 8].any()
    assert changed[:, width:].any()
    assert not changed[y2 + 60 :, x2 + 60 : width].any(), "far from the face nothing is drawn"
    assert y2 + 60 < picture.shape[0] - 100
    assert x2 + 60 < width - 100


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


def _said(*statements: Statement, status: Verdict = Verdict.VERIFIED, text: str = "The mouth is open.") -> Reading:
    points = np.array([[10, 10], [60, 60], [90, 20]], np.float32)
    said = Explanation(text, "happiness", status, 1.0, 1.0, statements, 1)
    detection = Detection(np.array([10, 10, 90, 90], np.float32), np.zeros((5, 2), np.float32), 0.9)
    probabilities = dict.fromkeys(("neutral", "happiness", "c", "d", "e", "f", "g", "h"), 0.125)
    face = Face(1, detection, "happiness", 0.9, probabilities, {"mouth_opening": 3.0}, points, Pose(0, 0, 0), said)
    return Reading("image", 0, 0.0, 100, 100, (face,))


def _panel(*statements: Statement, **options) -> np.ndarray:
    return annotate(np.zeros((100, 100, 3), np.uint8), _said(*statements, **options), {"mouth_opening": [1]})


_OPEN = Statement("movement", "mouth_opening", 1, "plain", 3.0, True)


def test_the_panel_tells_every_statement_its_measure_and_whether_it_holds():
    bare = _panel()
    for said in (
        _OPEN,
        replace(_OPEN, direction=-1),
        replace(_OPEN, measured=2.0),
        replace(_OPEN, holds=False),
        Statement("pose", "yaw", 1, "plain", 25.0, True),
        Statement("conclusion", "happiness", 0, "", 0.9, True),
        Statement("covered", "eyes", 0, "", 1.0, True),
    ):
        assert (_panel(said) != bare).any(), said
        assert (said == _OPEN) == (_panel(said) == _panel(_OPEN)).all()
        assert (_panel(said, status=Verdict.REJECTED) == _panel(status=Verdict.REJECTED)).all(), "what is withheld is not told in pieces"


@pytest.mark.parametrize("text", ["The mouth is open.", "The mouth is open, and the brows are lifted. " * 6])
def test_the_panel_holds_the_longest_rationale_and_counts_what_it_cannot_hold(text):
    nine = [Statement("rest", name, 0, "", 0.1, True) for name in "abcdefghi"]
    whole = [_OPEN, *nine, Statement("conclusion", "happiness", 0, "", 0.9, True), Statement("certainty", "", 0, "sure", 0.9, True)]
    foot = slice(-46, None)
    panels = [_panel(*whole[:n], text=text) for n in range(len(whole) + 1)]
    assert all((a != b).any() for a, b in pairwise(panels)), "each has its line"
    crowded = _panel(*whole * 5, text=text)
    assert crowded.shape == panels[0].shape, "a video's frames are of one size"
    assert (crowded[foot] == panels[0][foot]).all(), "nothing is written over the notice"
