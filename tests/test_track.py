import numpy as np

from edge.track import MAX_MISSED, Tracker
from edge.types import Detection


def _face(x: float) -> Detection:
    return Detection(np.array([x, 0, x + 40, 40], np.float32), np.zeros((5, 2), np.float32), 0.9)


def test_faces_keep_their_number_while_they_move_and_whatever_their_order():
    track = Tracker()
    assert track([_face(0), _face(100)]) == [1, 2]
    assert track([_face(95), _face(10)]) == [2, 1]
    assert track([_face(20), _face(90), _face(300)]) == [1, 2, 3]


def test_a_face_that_was_briefly_away_comes_back_under_its_number():
    track = Tracker()
    track([_face(0)])
    for _ in range(MAX_MISSED):
        assert track([]) == []
    assert track([_face(5)]) == [1]


def test_a_face_that_was_long_away_is_a_new_one():
    track = Tracker()
    track([_face(0)])
    for _ in range(MAX_MISSED + 1):
        track([])
    assert track([_face(0)]) == [2]


def test_two_faces_never_share_a_number():
    track = Tracker()
    track([_face(0)])
    assert len(set(track([_face(0), _face(5)]))) == 2
