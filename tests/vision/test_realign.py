from dataclasses import replace

import cv2
import numpy as np
import pytest

from edge.vision.realign import realign


@pytest.fixture(scope="module")
def looked(pipeline, portrait):
    """Look again at what was found in the portrait."""
    grey = cv2.cvtColor(portrait, cv2.COLOR_BGR2GRAY)
    return lambda found: [face.place for face in realign(grey, found, pipeline.encoder, pipeline.config)]


def _surest(faces):
    return max(faces, key=lambda face: face.score)


def test_of_two_boxes_around_one_face_the_surer_is_kept(pipeline, portrait, looked):
    face = _surest(pipeline.finder(cv2.cvtColor(portrait, cv2.COLOR_BGR2GRAY)))
    middle = face.points_xy.mean(0)
    wider = replace(
        face, box_xyxy=face.box_xyxy + np.float32([-40, -40, 40, 40]), points_xy=(face.points_xy - middle) * 1.3 + middle, score=0.7
    )
    (kept,) = looked([wider, face])
    assert kept.box_xyxy.tolist() == face.box_xyxy.tolist()
    far_larger = replace(face, box_xyxy=face.box_xyxy + np.float32([-110, -90, 110, 90]), points_xy=face.points_xy + 90, score=0.6)
    (kept,) = looked([far_larger, face])
    assert kept.box_xyxy.tolist() == face.box_xyxy.tolist()
    (alone,) = looked([wider])
    assert alone.box_xyxy.tolist() == wider.box_xyxy.tolist()
