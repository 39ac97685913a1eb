from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from somebody import head

from benchmarks.quality.scenes import Grain, draw
from edge.sources.camera import Frame
from edge.types import Detection
from edge.vision.again import ALIKE, PEOPLE, VIEW_MS, VIEWS, Left, Views, appearance, recognise
from edge.vision.cut import Cuts
from edge.vision.encoder import FaceEncoder
from edge.vision.finder import FaceFinder, box_overlap
from edge.vision.look import look
from edge.vision.track import BELIEVED_MS, FORGET_MS, KEYFRAME_MS, NEWCOMER_MS, Tracker, moved

STEP_MS = 40.0
_LOOKS = np.random.default_rng(0).integers(0, 256, (4, 48, 48), np.uint8)
_SHOWN = dict(enumerate(_LOOKS))


def _face(x: float) -> Detection:
    return Detection(np.array([x, 0, x + 40, 40], np.float32), np.zeros((5, 2), np.float32), 0.9)


class _Sequence:
    """Keyframes of faces given as (place, look)."""

    def __init__(self) -> None:
        self.tracker, self.t_ms = Tracker(), 0.0

    def __call__(self, *faces: tuple[float, int], after_ms: float = STEP_MS, whole: bool = True) -> list[int]:
        self.t_ms += after_ms
        crops = [_SHOWN[look] for _, look in faces]
        return self.tracker.match([_face(x) for x, _ in faces], crops, self.t_ms, whole=[whole] * len(faces))


def test_faces_keep_their_number_while_they_move_and_whatever_their_order():
    see = _Sequence()
    assert see((0, 0), (100, 1)) == [1, 2]
    assert see((95, 1), (10, 0)) == [2, 1]
    assert see((20, 0), (90, 1), (300, 2)) == [1, 2, 3]


def test_two_faces_that_change_places_are_told_apart_by_their_looks():
    see = _Sequence()
    assert see((0, 0), (20, 1)) == [1, 2]
    assert see((0, 1), (20, 0)) == [2, 1]


def test_a_hidden_face_is_expected_where_its_motion_leads():
    see = _Sequence()
    for x in (0, 12, 24, 36):
        assert see((x, 0)) == [1]
    for _ in range(6):
        assert see() == []
    assert see((118, 0)) == [1]


def test_a_face_that_was_briefly_away_comes_back_under_its_number():
    see = _Sequence()
    see((0, 0))
    see(after_ms=FORGET_MS - 2 * STEP_MS)
    assert see((5, 0)) == [1]


def test_a_newcomer_of_whom_the_finder_is_not_sure_is_shown_when_it_was_found_for_a_while():
    tracker, (look, other) = Tracker(sure=0.95), _LOOKS[:2]
    unsure, sure = _face(0), replace(_face(200), score=0.96)
    seen = [tracker.match([unsure], [look], t_ms) for t_ms in np.arange(0.0, BELIEVED_MS + 1, BELIEVED_MS / 10)]
    assert seen == [[0]] * (len(seen) - 1) + [[1]]
    assert tracker.match([unsure, sure], [look, other], BELIEVED_MS + STEP_MS) == [1, 2]
    for t_ms in (2000.0, 2400.0, 2800.0):  # found in every other frame
        assert tracker.match([_face(600)], [_LOOKS[2]], t_ms) == [0]
        assert tracker.match([], [], t_ms + 200) == []


@pytest.mark.parametrize(("share", "believed"), [(0.9, True), (0.4, False)])
@pytest.mark.parametrize("fps", [25, 60])
def test_a_newcomer_may_be_missed_now_and_then_whatever_the_frame_rate(share, believed, fps):
    tracker, random, shown = Tracker(sure=0.95), np.random.default_rng(fps), set()
    for t_ms in np.arange(0.0, 5000, 1000 / fps):
        found = random.random() < share
        shown.update(tracker.match([_face(0)] * found, [_LOOKS[0]] * found, t_ms))
    assert shown == ({0, 1} if believed else {0})


def test_who_is_known_is_not_taken_for_a_newcomer_of_like_looks():
    tracker, near = Tracker(sure=0.95), [replace(_face(12), score=0.6)]
    changed = _LOOKS[0].copy()
    changed[:20] = _LOOKS[1][:20]
    assert tracker.match([replace(_face(0), score=0.96)], [_LOOKS[0]], 0.0) == [1]
    assert tracker.match([_face(0), *near], [_LOOKS[0], changed], 40.0) == [1, 0]
    assert tracker.match(near, [changed], 80.0) == [1]


def test_a_newcomer_that_only_a_fine_look_finds_is_looked_after_until_the_next():
    tracker, unsure, look = Tracker(sure=0.95), _face(0), _LOOKS[0]
    assert tracker.match([unsure], [look], 0.0) == [0]
    for t_ms in (200.0, 400.0, 600.0):
        ((place, believed),) = tracker.unfound([], t_ms)
        assert not believed
        assert tracker.known(look)
        assert not tracker.known(_LOOKS[1])
        assert tracker.match([place], [look], t_ms) == [0]
    assert tracker.match([unsure], [look], BELIEVED_MS) == [1]


def test_the_finder_rests_beside_who_is_not_believed():
    tracker = Tracker(sure=0.5)
    sure, unsure = _face(0), replace(_face(200), score=0.4)
    assert tracker.match([sure, unsure], list(_LOOKS[:2]), 0.0) == [1, 0]
    tracker.settle([1], np.array([[[0.0, 0], [40, 0], [20, 40]]]), 0.0)
    assert [place.score for place in tracker.expected(STEP_MS)] == [sure.score]


def test_who_was_long_away_is_known_again_wherever_they_come_back_and_nobody_else_is():
    see = _Sequence()
    assert see((0, 0), (100, 1)) == [1, 2]
    assert see((100, 1), after_ms=FORGET_MS + 1) == [2]
    assert see((0, 3), (100, 1)) == [3, 2], "somebody else at the place of who left"
    assert see((400, 0), (0, 3), (100, 1), after_ms=60_000) == [1, 3, 2]
    assert see(after_ms=FORGET_MS + 1) == []
    assert see((700, 1), (300, 0)) == [2, 1], "the second time too"


def test_who_is_not_to_be_remembered_comes_back_as_somebody_new():
    see = _Sequence()
    see.tracker = Tracker(remember=False)
    assert see((0, 0), (100, 1)) == [1, 2]
    assert see((100, 1), after_ms=FORGET_MS + 1) == [2]
    assert see((400, 0), (100, 1), after_ms=1000) == [3, 2]


def test_a_face_that_jumps_before_it_is_forgotten_keeps_its_number():
    see = _Sequence()
    see((0, 0))
    assert see((400, 0)) == [1], "a cut"
    see(after_ms=1000)
    assert see((0, 0)) == [1]
    assert see((0, 0), (400, 0)) == [1, 2], "who is in sight does not come back"


def test_a_newcomer_is_compared_when_first_seen_well_and_once():
    see = _Sequence()
    see((0, 0))
    see(after_ms=FORGET_MS + 1)
    assert see((400, 0), whole=False) == [2], "cut off by the border"
    assert see((395, 0)) == [1]
    see(after_ms=FORGET_MS + 1)
    for _ in range(int(NEWCOMER_MS / 200) + 1):
        assert see((0, 0), whole=False, after_ms=200) == [3]
    assert see((0, 0)) == [3], "numbers do not change late"


def test_a_blurred_face_is_neither_remembered_nor_recognised(monkeypatch):
    see = _Sequence()
    blurred = cv2.GaussianBlur(_LOOKS[0], (0, 0), 4)
    monkeypatch.setitem(_SHOWN, 0, blurred)
    assert see((0, 0)) == [1]
    see(after_ms=FORGET_MS + 1)
    assert see((0, 0)) == [2]


def test_what_is_remembered_is_bounded():
    random, views, left = np.random.default_rng(5), Views(), Left()
    for i in range(3 * VIEWS):
        views.take(appearance(random.integers(0, 256, (48, 48), np.uint8)), i * 1000.0)
    assert len(views.kept) == VIEWS
    for number in range(1, 3 * PEOPLE):
        left.add(number, Views([views.kept[0]]))
    left.add(100, Views())
    assert list(left.people) == list(range(2 * PEOPLE, 3 * PEOPLE)), "the first to leave goes first, and who was never seen well"


def test_a_view_like_one_that_is_kept_takes_its_place():
    one, other = (appearance(look) for look in _LOOKS[:2])
    views = Views()
    for view, t_ms in ((one, 0.0), (other, 1000.0), (one, 2000.0)):
        views.take(view, t_ms)
    assert [float(view @ one) > 0.99 for view in views.kept] == [False, True]
    assert not views.due(2000.0 + VIEW_MS - 1)
    assert views.due(2000.0 + VIEW_MS)


def test_light_and_contrast_do_not_change_an_appearance_much_and_another_face_does():
    portrait, other = (cv2.cvtColor(head(kind)[..., :3], cv2.COLOR_BGR2GRAY) for kind in ("happy", "other"))
    dim = (40 + 0.4 * portrait).astype(np.uint8)
    assert float(appearance(portrait) @ appearance(dim)) > 0.95
    assert float(appearance(portrait) @ appearance(other)) < ALIKE
    assert recognise(appearance(dim), {7: Views([appearance(other)]), 3: Views([appearance(portrait)])}) == 3
    assert recognise(appearance(dim), {7: Views([appearance(other)])}) is None
    assert recognise(appearance(dim), {}) is None


def test_somebody_else_at_the_same_place_is_a_new_face():
    see = _Sequence()
    see((0, 0))
    see(after_ms=500)
    assert see((0, 3)) == [2]


def test_two_faces_never_share_a_number():
    see = _Sequence()
    see((0, 0))
    assert len(set(see((0, 0), (5, 0)))) == 2


def test_a_detection_is_carried_by_a_similarity_and_stays_upright():
    face = Detection(np.array([10, 10, 30, 50], np.float32), np.array([[20, 30]] * 5, np.float32), 0.5)
    turned = moved(face, np.array([[0.0, -2.0, 100.0], [2.0, 0.0, 0.0]]))
    assert turned.box_xyxy == pytest.approx([20, 0, 60, 80])
    assert turned.points_xy[0] == pytest.approx([40, 40])


class _Counting(FaceFinder):
    """A finder that counts its runs."""

    def __init__(self, finder: FaceFinder) -> None:
        super().__init__(finder.session, finder.spec, screen=finder.screen)
        self.runs = 0

    def __call__(self, picture, *, coarse=False):
        self.runs += 1
        return super().__call__(picture, coarse=coarse)


class _Shortsighted(_Counting):
    """A finder whose coarse look sees no face."""

    def __call__(self, picture, *, coarse=False):
        found = super().__call__(picture)
        return [] if coarse else found

    def only_fine(self, face, shape):
        return True


def _follow(pipeline, heads_at, count: int, fps: float = 30.0, kind: type[_Counting] = _Counting):
    """Look at drawn frames; per frame the reading and whether the finder ran."""
    finder, tracker, grain = kind(pipeline.finder), Tracker(), Grain(4)
    encoder: FaceEncoder = pipeline.encoder
    for i in range(count):
        before = finder.runs
        frame = Frame(grain(draw(heads_at(i))), "drawn", i, i * 1000 / fps)
        seen = look(frame, finder, encoder, pipeline.bundle.config, tracker)
        yield frame, seen.reading.faces, finder.runs > before


def test_a_moving_face_is_followed_between_keyframes_as_well_as_it_is_found(pipeline):
    """The box is the last keyframe's, carried; the finder's own differs by a tenth from frame to frame, the points tell more."""
    happy, ran, shared = head(), [], []
    for frame, faces, found in _follow(pipeline, lambda i: [(happy, 200 + 5 * i, 240 + 2 * i, 1 + 0.004 * i)], 30):
        ran.append(found)
        (face,) = faces
        truth = pipeline(frame.image_bgr, explain=False).faces[0]
        assert face.track == 1
        assert face.emotion == "happiness"
        shared.append(box_overlap(face.detection.box_xyxy[None], truth.detection.box_xyxy[None])[0, 0])
        eyes = np.linalg.norm(truth.points_xy[0] - truth.points_xy[3])
        assert np.linalg.norm(face.points_xy - truth.points_xy, axis=1).mean() < 0.03 * eyes
    assert np.mean(shared) > 0.9
    assert min(shared) > 0.8
    assert 30 * 33 / KEYFRAME_MS - 1 <= sum(ran) <= 10, "a moving face needs the finder a few times a second, not thirty"


def test_a_face_that_jumps_or_leaves_is_not_followed_into_nothing(pipeline):
    happy = head()

    def places(i: int):
        return [(happy, 150, 240, 1.0)] if i < 8 else [(happy, 480, 200, 1.0)] if i < 16 else []

    counts = [(len(faces), faces[0].detection.box_xyxy[0] > 300 if faces else None) for _, faces, _ in _follow(pipeline, places, 20)]
    assert counts[:8] == [(1, False)] * 8
    assert counts[8:16] == [(1, True)] * 8
    assert counts[16:] == [(0, None)] * 4


@pytest.mark.parametrize(("fps", "seconds"), [(15, 2), (30, 1), (8, 4)])
def test_two_crossing_faces_keep_their_numbers(pipeline, fps, seconds):
    happy, other, count = head(), head("other"), int(fps * seconds)

    def places(i: int):
        share = i / (count - 1)
        return [(other, 500 - 360 * share, 250, 1.0), (happy, 140 + 360 * share, 240, 1.0)]

    seen = [sorted((float(f.detection.box_xyxy[0]), f.track) for f in faces) for _, faces, _ in _follow(pipeline, places, count, fps)]
    left, right = (track for _, track in seen[0])
    assert [track for _, track in seen[-1]] == [right, left]
    assert {track for faces in seen for _, track in faces} == {left, right}
    assert any(len(faces) == 1 for faces in seen), "one really hides the other"


def test_a_face_hidden_for_a_moment_keeps_its_number(pipeline):
    happy = head()
    seen = [
        [f.track for f in faces]
        for _, faces, _ in _follow(pipeline, lambda i: [] if 10 <= i < 20 else [(happy, 200 + 4 * i, 240, 1.0)], 30, 20)
    ]
    assert seen[9] == [1]
    assert seen[12] == []
    assert seen[-1] == [1]


@pytest.mark.parametrize("again", ["happy", "surprised"])
def test_who_comes_back_elsewhere_and_smaller_gets_their_number_whatever_their_expression(pipeline, again):
    stays, leaves, back = head("other"), head(), head(again)

    def places(i: int):
        here = [(stays, 160 + i, 260, 1.0)]
        return [*here, (leaves, 470, 240, 1.0)] if i < 15 else here if i < 40 else [*here, (back, 420, 140, 0.7)]

    seen = [{f.track: f.detection.box_xyxy[0] for f in faces} for _, faces, _ in _follow(pipeline, places, 50, 10)]
    left, right = sorted(seen[0], key=seen[0].__getitem__)
    assert {left, right} == {1, 2}
    assert set(seen[39]) == {left}
    assert sorted(seen[-1], key=seen[-1].__getitem__) == [left, right]
    assert {track for tracks in seen for track in tracks} == {1, 2}


def test_another_person_who_comes_instead_gets_a_new_number(pipeline):
    first, other = head(), head("other")

    def places(i: int):
        return [(first, 200, 240, 1.0)] if i < 15 else [] if i < 40 else [(other, 420, 200, 0.8), (first, 150, 300, 0.7)][: i // 40]

    seen = [[f.track for f in faces] for _, faces, _ in _follow(pipeline, places, 90, 10)]
    assert (seen[14], seen[39], seen[79], sorted(seen[-1])) == ([1], [], [2], [1, 2])


def test_a_face_that_only_a_fine_look_finds_is_kept_between_two_of_them_and_not_longer_than_it_is_there(pipeline):
    happy = head()
    seen = [
        [f.track for f in faces]
        for _, faces, _ in _follow(pipeline, lambda i: [(happy, 200 + 2 * i, 240, 1.0)] if i < 40 else [], 50, kind=_Shortsighted)
    ]
    assert seen[:40] == [[1]] * 40
    assert seen[45] == []


def test_a_fine_look_is_due_at_first_and_then_now_and_then():
    tracker = Tracker()
    assert [t_ms for t_ms in range(0, 2000, 100) if tracker.fine_due(t_ms)] == [0, 600, 1200, 1800]


GALLERY = Path(__file__).parents[2] / "docs" / "moved.jpg"


def _person(row: int) -> np.ndarray:
    """A photograph of one of ten people, all in the same place."""
    face = cv2.imread(str(GALLERY))[18 + 112 * row : 130 + 112 * row, :112]
    return cv2.copyMakeBorder(cv2.resize(face, (224, 224), interpolation=cv2.INTER_CUBIC), 128, 128, 128, 128, cv2.BORDER_REPLICATE)


def _tracks(pipeline, pictures: list[np.ndarray]) -> list[list[int]]:
    frames = (Frame(picture, "cut", i, 40.0 * i) for i, picture in enumerate(pictures))
    return [[face.track for face in reading.faces] for reading in pipeline.stream(frames, explain="off")]


@pytest.mark.parametrize(("one", "other"), [(2, 9), (9, 1), (0, 8)])
def test_a_cut_ends_who_was_followed(pipeline, one, other):
    seen = _tracks(pipeline, [_person(one)] * 8 + [_person(other)] * 8 + [_person(one)] * 8)
    assert seen[7] == [1]
    assert seen[8] == seen[15] == [2], "somebody else in the same place"
    assert seen[23] == [1], "and who is back after another cut is known again"


def test_a_black_frame_is_no_cut_to_somebody_else(pipeline):
    seen = _tracks(pipeline, [_person(2)] * 8 + [np.zeros_like(_person(2))] + [_person(2)] * 8)
    assert (seen[7], seen[8], seen[9], seen[16]) == ([1], [], [1], [1])


def test_light_a_hand_and_a_swaying_camera_are_no_cuts():
    grey, cuts = cv2.cvtColor(_person(2), cv2.COLOR_BGR2GRAY), Cuts()
    covered = grey.copy()
    covered[200:, 180:300] = 120
    shifted = cv2.warpAffine(grey, np.float32([[1, 0, 9], [0, 1, 3]]), grey.shape[::-1], borderMode=cv2.BORDER_REPLICATE)
    assert not any(map(cuts, [grey, grey // 2, grey, covered, grey, shifted]))
    assert cuts(cv2.cvtColor(_person(9), cv2.COLOR_BGR2GRAY))
