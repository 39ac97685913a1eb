"""Records are equal when their values are."""

from dataclasses import replace

import numpy as np


def test_readings_and_faces_are_compared_by_value(pipeline, portrait):
    one, other = pipeline(portrait), pipeline(portrait)
    assert one == other
    assert hash(one) == hash(other)
    assert one.latency_ms != other.latency_ms, "how long it took is not what was read"
    (face,) = one.faces
    assert face in other.faces
    assert hash(face) == hash(other.faces[0])
    assert face.detection == other.faces[0].detection
    assert len({one, other}) == 1


def test_what_differs_is_not_equal(pipeline, portrait):
    reading = pipeline(portrait, explain=False)
    (face,) = reading.faces
    moved = replace(face, points_xy=face.points_xy + np.float32(1))
    assert moved != face
    assert replace(reading, faces=(moved,)) != reading
    assert replace(face, cues=face.cues | {"jaw_drop": 9.0}) != face
    assert replace(face.detection, score=0.1) != face.detection
    assert reading != "a reading"
    assert face != face.detection
