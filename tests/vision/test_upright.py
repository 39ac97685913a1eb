"""Faces that stand on their head or lie on their side are read as they are, or not at all."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.sources.camera import Frame
from edge.types import Detection
from edge.vision import upright
from edge.vision.border import beyond, share_outside


@pytest.fixture(scope="module")
def straight(pipeline, portrait):
    return pipeline(portrait).faces[0]


@pytest.fixture
def unturned(pipeline, monkeypatch):
    """The finder as that of a bundle whose graph knows upright faces only."""
    monkeypatch.setattr(pipeline.finder, "spec", replace(pipeline.finder.spec, any_way=False))


@pytest.mark.parametrize("turns", [1, 2, 3])
def test_a_face_that_is_the_wrong_way_up_is_read_like_the_upright_one(pipeline, portrait, straight, turns):
    (face,) = pipeline(np.ascontiguousarray(np.rot90(portrait, turns))).faces
    assert face.emotion == straight.emotion == "happiness"
    assert abs((face.pose.roll_deg - straight.pose.roll_deg + 90 * turns + 180) % 360 - 180) < 10
    assert -180 <= face.pose.roll_deg < 180
    assert max(abs(face.cues[name] - straight.cues[name]) for name in straight.cues) < 1
    assert face.explanation.status is straight.explanation.status
    size, points = portrait.shape[0], face.detection.points_xy
    for _ in range(turns):  # the picture's quarter turns to the left, undone
        points = np.column_stack([size - points[:, 1], points[:, 0]])
    assert np.abs(points - straight.detection.points_xy).max() < 8


@pytest.mark.usefixtures("unturned")
def test_a_face_that_the_finder_is_sure_of_costs_nothing(pipeline, portrait, monkeypatch):
    monkeypatch.setattr(upright, "SURE", pipeline.finder.spec.threshold)
    monkeypatch.setattr(upright, "four_ways", lambda cell: pytest.fail("it was turned"))
    assert len(pipeline(portrait, explain=False).faces) == 1


@pytest.mark.usefixtures("unturned")
def test_a_face_of_which_nobody_knows_which_way_up_it_is_is_told_and_not_read(pipeline, portrait, monkeypatch):
    monkeypatch.setattr(upright, "SURE", 1.0)
    monkeypatch.setattr(upright, "best_turn", lambda rows: (2, np.full((1, 15), 0.1)))
    (face,) = pipeline(portrait).faces
    assert face.unclear == ("orientation",)
    assert (face.emotion, face.confidence, face.probabilities, face.explanation) == ("", 0.0, {}, None)
    with pipeline.stream(iter([Frame(portrait, "test", i, 40.0 * i) for i in range(3)])) as stream:
        for reading in stream:
            assert reading.faces[0].unclear == ("orientation",)
            assert reading.faces[0].emotion == ""
            assert reading.faces[0].explanation is None


@given(st.integers(0, 3), st.floats(20, 400), st.floats(20, 400), st.floats(10, 300))
def test_what_is_found_in_a_turned_cell_lies_where_it_is_in_the_picture(turn, x, y, side):
    box = np.array([x, y, x + side, y + 0.8 * side])
    points = np.array([[0.3, 0.3], [0.7, 0.3], [0.5, 0.5], [0.4, 0.7], [0.6, 0.7]]) * [side, 0.8 * side] + [x, y]
    matrix = upright.window(box)

    def seen(xy: np.ndarray) -> np.ndarray:
        xy = xy @ matrix[:, :2].T + matrix[:, 2]
        for _ in range(turn):
            xy = np.column_stack([xy[:, 1], upright.CELL - xy[:, 0]])
        return xy

    corners = seen(box.reshape(2, 2))
    found = Detection(np.concatenate([corners.min(0), corners.max(0)]), seen(points), 0.9)
    back = upright.placed(found, turn, matrix)
    assert np.allclose(back.points_xy, points, atol=1e-2)
    assert np.allclose(back.box_xyxy, box, atol=1e-2)


def test_the_cell_with_the_face_wins_only_when_it_wins_clearly():
    rows = np.zeros((2, 15))
    rows[0, :5] = 0.60, 16, 16, 48, 48  # as it is
    rows[1, :5] = 0.64, 80, 16, 112, 48  # a quarter to the left
    assert upright.best_turn(rows)[0] == 0
    rows[1, 0] = 0.66
    turn, mine = upright.best_turn(rows)
    assert turn == 1
    assert mine[0, 1:5].tolist() == [16, 16, 48, 48]


def test_of_a_face_that_is_cut_off_the_mouth_and_chin_are_hidden(pipeline, portrait, straight):
    """The lower 30 % of it: what the crop repeats there is not in sight, and no text speaks of it."""
    top, bottom = straight.detection.box_xyxy[[1, 3]]
    cut = np.ascontiguousarray(portrait[: int(bottom - 0.3 * (bottom - top))])
    (face,) = pipeline(cut).faces
    mouth_and_chin = {"lip_corners", "corner_asymmetry", "chin_raise", "mouth_width", "lip_fullness", "mouth_opening", "jaw_drop"}
    assert mouth_and_chin <= set(face.hidden)
    assert not {"inner_brow", "outer_brow", "brow_gap", "eye_opening"} & set(face.hidden)
    said = face.explanation
    assert said is None or not said.text or not mouth_and_chin & {claim.cue for claim in said.claims}
    assert not straight.hidden
    seen = pipeline.look(Frame(cut, "test", 0, 0.0))
    assert 0.1 < seen.outside[0] < 0.5
    assert pipeline.look(Frame(portrait, "test", 0, 0.0)).outside == (0.0,)


def test_points_near_the_border_count_as_beyond_it():
    points = np.array([[50.0, 40.0], [50.0, 96.0], [3.0, 40.0], [120.0, 40.0], [50.0, 94.0]])
    assert beyond(points, 100.0, 100, 100).tolist() == [False, True, True, True, False]


def test_the_share_of_a_crop_beyond_the_picture():
    back = np.array([[1.0, 0, 0], [0, 1.0, 0]])
    assert share_outside(back, 48, 48, 48) == 0
    assert share_outside(back, 48, 48, 24) == 0.5
    assert share_outside(np.array([[1.0, 0, -100], [0, 1.0, 0]]), 48, 48, 48) == 1
    assert share_outside(back, 48, 24, 24) == 0.75


def test_upside_down_faces_in_a_stream_keep_their_number_and_their_label(pipeline, portrait):
    small = cv2.resize(portrait[::-1, ::-1], (320, 320), interpolation=cv2.INTER_AREA)
    frames = iter([Frame(np.roll(small, i, 1), "test", i, 40.0 * i) for i in range(12)])
    with pipeline.stream(frames, explain="off") as stream:
        read = [(face.track, face.emotion, round(abs(face.pose.roll_deg)) > 165) for reading in stream for face in reading.faces]
    assert len(read) >= 8, "upside down, the finder finds it nearly always"
    assert set(read) == {(1, "happiness", True)}
