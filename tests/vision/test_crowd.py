"""Many faces, and faces far away, as people point a camera at a room."""

import cv2
import numpy as np
import pytest

from edge.sources.camera import demo_picture
from edge.sources.picture import read_image


def _head(portrait, rng, side_px):
    head = cv2.resize(portrait[10:230, 110:330], (side_px, side_px), interpolation=cv2.INTER_AREA)
    return cv2.convertScaleAbs(head[:, ::-1] if rng.random() < 0.5 else head, alpha=rng.uniform(0.7, 1.1))


def test_a_hundred_faces_in_a_picture_are_found(pipeline, portrait):
    rng, picture = np.random.default_rng(0), np.full((2000, 2000, 3), 110, np.uint8)
    for row in range(0, 2000, 200):
        for column in range(0, 2000, 200):
            side_px = int(rng.integers(150, 200))
            picture[row : row + side_px, column : column + side_px] = _head(portrait, rng, side_px)
    faces = pipeline(picture, explain=False).faces
    places = {tuple((face.detection.points_xy.mean(0) // 200).astype(int)) for face in faces}
    assert len(places) >= 90
    assert len(faces) <= 102


@pytest.mark.parametrize(("width", "height", "face_px"), [(640, 480, 32), (1280, 720, 64), (1920, 1080, 96), (3840, 2160, 192)])
def test_a_face_of_a_twentieth_of_the_width_is_found(pipeline, width, height, face_px):
    portrait = read_image(demo_picture())
    box = pipeline(portrait, explain=False).faces[0].detection.box_xyxy
    scale = face_px / float(box[2] - box[0])
    small = cv2.resize(portrait, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    scene = np.full((height, width, 3), 127, np.uint8)
    y, x = (height - small.shape[0]) // 2, (width - small.shape[1]) // 2
    scene[y : y + small.shape[0], x : x + small.shape[1]] = small
    middle = (box[:2] + box[2:]) / 2 * scale + [x, y]
    boxes = [face.detection.box_xyxy for face in pipeline(scene, explain=False).faces]
    assert any((found[:2] < middle).all() and (middle < found[2:]).all() for found in boxes)
