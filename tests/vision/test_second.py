from dataclasses import replace

import cv2
import numpy as np
import pytest

from edge.types import Detection
from edge.vision.second import second_look
from training.cues import FIVE


@pytest.fixture(scope="module")
def looked(pipeline, portrait):
    """Look again at a found face, in the portrait or in another picture."""
    grey = cv2.cvtColor(portrait, cv2.COLOR_BGR2GRAY)
    face = replace(pipeline.config.face, rough=True, least_sure=0.8)
    config = replace(pipeline.config, face=face, image=replace(pipeline.config.image, five=list(map(list, FIVE))))

    def look(found, picture=grey, least_sure=0.8):
        return second_look(picture, found, pipeline.encoder, replace(config, face=replace(face, least_sure=least_sure)))

    return look


def _surest(faces):
    return max(faces, key=lambda face: face.score)


def _moved(face, shift_xy, score):
    return Detection(face.box_xyxy + np.tile(shift_xy, 2).astype(np.float32), face.points_xy + np.float32(shift_xy), score)


def test_what_the_encoder_sees_no_face_in_is_none_unless_the_finder_is_sure(pipeline, portrait, looked):
    face = _surest(pipeline.finder(cv2.cvtColor(portrait, cv2.COLOR_BGR2GRAY)))
    curtain = (-150.0, -20.0)
    assert len(looked([replace(face, score=0.5), _moved(face, curtain, 0.5)])) == 1
    assert len(looked([face, _moved(face, curtain, 0.9)])) == 2
    assert len(looked([face, _moved(face, curtain, 0.5)], least_sure=0.0)) == 2
    assert looked([]) == []


@pytest.mark.parametrize("quarters", [0, 1, 2, 3])
def test_a_face_whose_points_tell_nothing_is_found_whichever_way_it_lies(pipeline, portrait, looked, quarters):
    grey = cv2.cvtColor(portrait, cv2.COLOR_BGR2GRAY)
    face = _surest(pipeline.finder(grey))
    x1, y1, x2, y2 = face.box_xyxy
    side, points = len(grey), face.points_xy
    for _ in range(quarters):
        x1, y1, x2, y2 = y1, side - x2, y2, side - x1
        points = np.column_stack([points[:, 1], side - points[:, 0]])
    box = np.array([x1, y1, x2, y2], np.float32)
    lost = Detection(box, np.tile((box[:2] + box[2:]) / 2, (5, 1)) + np.float32([[-2, -2], [2, -2], [0, 0], [-2, 2], [2, 2]]), 0.8)
    (again,) = looked([lost], np.ascontiguousarray(np.rot90(grey, quarters)))
    eyes = np.linalg.norm(points[0] - points[1])
    assert np.linalg.norm(again.points_xy - points, axis=1).max() < 0.25 * eyes
    assert looked([replace(lost, score=0.5)], np.ascontiguousarray(np.rot90(grey, quarters))) == []


def test_of_two_boxes_around_one_face_the_surer_is_kept(pipeline, portrait, looked):
    face = _surest(pipeline.finder(cv2.cvtColor(portrait, cv2.COLOR_BGR2GRAY)))
    middle = face.points_xy.mean(0)
    wider = replace(
        face, box_xyxy=face.box_xyxy + np.float32([-40, -40, 40, 40]), points_xy=(face.points_xy - middle) * 1.3 + middle, score=0.7
    )
    (kept,) = looked([wider, face])
    assert kept.box_xyxy.tolist() == face.box_xyxy.tolist()
    (alone,) = looked([wider])
    assert alone.box_xyxy.tolist() == wider.box_xyxy.tolist()
    assert kept.score > alone.score > 0.7, "what the encoder sees of it counts"


def test_what_a_part_of_a_face_shows_is_no_sign_of_a_second_one(pipeline, portrait, looked):
    """Points that meet in the middle of a wide box give a crop that shows a part: the encoder may see a face in it, the box is of none."""
    face = _surest(pipeline.finder(cv2.cvtColor(portrait, cv2.COLOR_BGR2GRAY)))
    around = replace(face, box_xyxy=face.box_xyxy + np.float32([-90, -56, 200, 130]), score=0.55)
    assert looked([around]) == []
