from dataclasses import replace

import cv2
import numpy as np
import pytest

from edge.sources.camera import Frame
from edge.vision.crop import align
from edge.vision.look import look
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


def test_what_was_read_of_a_face_that_is_cropped_right_is_kept(pipeline, portrait, monkeypatch):
    grey = cv2.cvtColor(portrait, cv2.COLOR_BGR2GRAY)
    (found,) = pipeline.finder(grey)
    (right,) = realign(grey, [found], pipeline.encoder, pipeline.config)
    assert right.read is not None
    side = float(np.ptp(found.points_xy, axis=0).max())
    (wrong,) = realign(grey, [replace(found, points_xy=found.points_xy + np.float32(0.2 * side))], pipeline.encoder, pipeline.config)
    assert wrong.read is None
    assert np.linalg.norm(wrong.place.points_xy - right.place.points_xy, axis=1).max() < 0.1 * side
    runs, run = [], pipeline.encoder.session.run
    monkeypatch.setattr(pipeline.encoder.session, "run", lambda inputs: (runs.append(1), run(inputs))[1])
    pipeline(portrait, explain=False)
    assert len(runs) == 1, "the encoder looks once"


def test_each_face_has_what_is_read_of_its_own_crop_whether_it_was_read_on_the_way_or_not(pipeline, portrait):
    picture = np.full((512, 1024, 3), 180, np.uint8)
    picture[:, :512], picture[:, 512:] = portrait, portrait[:, ::-1]
    places = pipeline.finder(cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY))
    off = replace(places[0], points_xy=places[0].points_xy + np.float32(12))

    class Given:
        def __call__(self, picture, *, coarse=False):
            return [off, *places[1:]]

    seen = look(Frame(picture, "image", 0, 0.0), Given(), pipeline.encoder, pipeline.config, None)
    assert len(seen.reading.faces) == 2
    assert np.allclose(seen.tokens, pipeline.encoder(seen.crops).tokens, atol=1e-4)


def test_a_crop_does_not_hang_on_the_last_bits_of_its_points(pipeline, portrait):
    grey, spec = cv2.cvtColor(portrait, cv2.COLOR_BGR2GRAY), pipeline.config.image
    face, rng = _surest(pipeline.finder(grey)), np.random.default_rng(0)
    crop, matrix = align(grey, face, spec)
    near = [align(grey, replace(face, points_xy=face.points_xy + rng.normal(0, 2e-5, (5, 2)).astype(np.float32)), spec) for _ in range(50)]
    same = [np.array_equal(crop, other) and np.array_equal(matrix, there) for other, there in near]
    assert np.mean(same) > 0.9, "but for points that lie between two places"
