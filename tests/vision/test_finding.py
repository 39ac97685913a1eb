from dataclasses import replace

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.sources.camera import Frame
from edge.vision.crop import align, crop_face, crop_matrix, realigned
from edge.vision.finder import box_overlap, select_faces
from edge.vision.look import look
from training.cues import FIVE

_TEMPLATE = np.array([[15, 18], [33, 18], [24, 29], [17, 37], [31, 37]], float)


@given(st.floats(0.1, 20), st.floats(-3, 3), st.floats(-500, 500), st.floats(-500, 500))
def test_crop_matrix_undoes_any_similarity(scale, angle, x, y):
    turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    points = _TEMPLATE @ turn.T + [x, y]
    matrix = crop_matrix(points, _TEMPLATE)
    assert np.allclose(points @ matrix[:, :2].T + matrix[:, 2], _TEMPLATE, atol=1e-5)


def test_crop_matrix_of_coinciding_points_is_finite():
    assert np.isfinite(crop_matrix(np.zeros((5, 2)), _TEMPLATE)).all()


@pytest.mark.parametrize("scale", [1, 2, 5, 12])
def test_crop_face_gives_the_same_picture_from_any_size_of_face(scale, portrait):
    grey = cv2.cvtColor(portrait, cv2.COLOR_BGR2GRAY)
    small = cv2.resize(grey[40:232, 128:320], (48, 48), interpolation=cv2.INTER_AREA)
    large = cv2.resize(small, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)
    crop = crop_face(large, crop_matrix(_TEMPLATE * scale, _TEMPLATE), 48)
    assert np.abs(crop.astype(int) - small).mean() < 4


def test_crop_face_repeats_the_edge_beyond_the_border():
    grey = np.full((20, 20), 77, np.uint8)
    assert (crop_face(grey, np.array([[1.0, 0, 60], [0, 1.0, 60]]), 48) == 77).all()
    assert (crop_face(grey, np.array([[0.1, 0, 60], [0, 0.1, 60]]), 48) == 77).all()


def test_select_faces_blends_coinciding_boxes_drops_weak_ones_and_scales_back():
    rows = np.zeros((4, 15), np.float32)
    rows[:, 0] = [0.9, 0.8, 0.7, 0.2]
    rows[:, 1:5] = [[10, 10, 30, 30], [11, 11, 31, 31], [50, 50, 90, 90], [0, 0, 5, 5]]
    found = select_faces(rows, threshold=0.5, overlap=0.4)
    mean = (0.9 * 10 + 0.8 * 11) / 1.7  # two nearly coinciding candidates, weighted by score
    assert found[0].box_xyxy.tolist() == [50, 50, 90, 90]
    assert np.allclose(found[1].box_xyxy, [mean, mean, mean + 20, mean + 20], atol=1e-4)
    assert [round(d.score, 1) for d in found] == [0.7, 0.9]


@pytest.mark.parametrize(
    ("score", "inside", "left"), [(0.8, [60, 60, 80, 80], 1), (0.8, [85, 85, 105, 105], 2), (0.95, [60, 60, 80, 80], 2)]
)
def test_what_lies_within_a_surer_face_is_a_part_of_it(score, inside, left):
    rows = np.zeros((2, 15), np.float32)
    rows[:, 0] = [0.9, score]
    rows[:, 1:5] = [[10, 10, 100, 100], inside]
    assert len(select_faces(rows, threshold=0.5, overlap=0.4)) == left


def test_select_faces_ignores_broken_candidates():
    rows = np.full((2, 15), np.nan, np.float32)
    rows[1] = 0.9  # a box without extent
    assert select_faces(rows, threshold=0.5, overlap=0.4) == []


@given(st.lists(st.tuples(*[st.floats(-100, 100)] * 2, *[st.floats(1, 100)] * 2), min_size=1, max_size=5))
def test_box_overlap_is_one_with_itself_and_symmetric(boxes):
    b = np.array([[x, y, x + w, y + h] for x, y, w, h in boxes])
    overlap = box_overlap(b, b)
    assert np.allclose(np.diag(overlap), 1)
    assert np.allclose(overlap, overlap.T)
    assert ((overlap >= 0) & (overlap <= 1 + 1e-9)).all()


def test_finder_finds_the_portrait_in_colour_grey_and_small(find, portrait):
    for scale in (1.0, 0.5, 0.25):
        picture = cv2.resize(portrait, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        for faces in (find(picture), find(cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY))):
            assert len(faces) == 1
            x1, y1, x2, y2 = faces[0].box_xyxy / scale
            assert x1 < 200 < x2
            assert y1 < 110 < y2


def test_align_levels_a_turned_face(pipeline, find, portrait):
    grey = cv2.cvtColor(portrait, cv2.COLOR_BGR2GRAY)
    turned = cv2.warpAffine(grey, cv2.getRotationMatrix2D((220.0, 120.0), 15, 1), grey.shape[::-1], borderMode=cv2.BORDER_REFLECT)
    crops = [align(g, find(g)[0], pipeline.bundle.config.image)[0] for g in (grey, turned)]
    labels = [pipeline.encoder(c[None]).probabilities[0].argmax() for c in crops]
    assert labels[0] == labels[1]
    assert np.corrcoef(crops[0].ravel(), crops[1].ravel())[0, 1] > 0.85


@pytest.mark.parametrize(("zoom", "turn_deg", "shift"), [(1.2, 0, 0.0), (0.85, 0, 0.1), (1.0, 12, 0.0)])
def test_a_face_whose_points_are_rough_is_aligned_again_by_the_encoder(pipeline, find, portrait, zoom, turn_deg, shift):
    (face,) = find(portrait)
    middle, side = face.points_xy.mean(0), float(face.box_xyxy[2] - face.box_xyxy[0])
    turn = cv2.getRotationMatrix2D((0, 0), turn_deg, zoom)[:, :2]
    off = replace(face, points_xy=((face.points_xy - middle) @ turn.T + middle + shift * side).astype(np.float32))

    class Given:
        def __init__(self, detection):
            self.detection = detection

        def __call__(self, picture, *, coarse=False):
            return [self.detection]

    def found(detection, config):
        seen = look(Frame(portrait, "image", 0, 0.0), Given(detection), pipeline.encoder, config, None)
        return seen.reading.faces[0].detection.points_xy

    config = replace(pipeline.config, face=replace(pipeline.config.face, rough=False, screened=False))
    rough = replace(config, face=replace(config.face, rough=True), image=replace(config.image, five=list(map(list, FIVE))))
    assert np.array_equal(found(off, config), off.points_xy)
    wanted = found(face, rough)
    before, after = (np.linalg.norm(points - wanted, axis=1).mean() / side for points in (off.points_xy, found(off, rough)))
    assert after < 0.6 * before


def test_points_that_are_of_another_place_align_nothing(pipeline, find, portrait):
    (face,) = find(portrait)
    image = pipeline.config.image
    assert realigned(face, face.points_xy + 200, image) is face
    assert realigned(face, face.points_xy * 3, image) is face
    assert (realigned(face, face.points_xy + 3, image).points_xy == face.points_xy + 3).all()
