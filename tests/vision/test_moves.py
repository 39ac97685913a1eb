"""The moves of a bundle: a mesh over a face that 23 points tell of, and what it does to the picture."""

import numpy as np
import pytest
from moving import NAMES, ROW, SIDE, drawn_picture, landmarks_of

from edge.errors import BundleError
from edge.vision.moves import Moves, UnmovableError
from export.moves import WORDS, moves_of
from training.cues import CUE_NAMES, POINTS, CueModel, fit_cue_model
from training.intervene import Mover
from training.levers import Steer
from training.mesh import POINT_INDEX, FaceMesh

EDGE = 0.5


@pytest.fixture(scope="module")
def drawn(drawn_fields) -> tuple[np.ndarray, np.ndarray]:
    with np.load(drawn_fields / "facs_displacements.npz") as pack:
        return pack["neutral"], pack["displacement"]


@pytest.fixture(scope="module")
def steer(drawn) -> Steer:
    faces = landmarks_of(drawn[0], 0)[None] + np.random.default_rng(0).normal(0, 0.3, (50, len(POINT_INDEX), 3))
    fitted = fit_cue_model(faces, POINT_INDEX, np.ones(50, bool))
    return Steer(Mover(FaceMesh(NAMES, *drawn, POINT_INDEX)), CueModel(fitted.shape, fitted.mean, np.full(len(CUE_NAMES), 0.03)))


@pytest.fixture(scope="module")
def saved(steer, tmp_path_factory) -> dict[str, np.ndarray]:
    arrays = moves_of(steer)
    return {name: getattr(arrays, name) for name in arrays.__slots__}


@pytest.fixture
def moves(saved, tmp_path) -> Moves:
    np.savez_compressed(tmp_path / "moves.npz", **saved)
    return Moves.load(tmp_path / "moves.npz")


def _points(landmarks: np.ndarray) -> np.ndarray:
    return landmarks[[ROW[number] for number in POINTS], :2]


def _face(drawn, yaw_deg: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    landmarks = landmarks_of(drawn[0], yaw_deg)
    return drawn_picture(landmarks), landmarks


@pytest.mark.parametrize("yaw_deg", [0, 20, -30])
def test_mesh_lies_where_the_whole_face_does_although_few_points_are_known(moves, drawn, yaw_deg):
    _, landmarks = _face(drawn, yaw_deg)
    laid = moves.lay(_points(landmarks), (yaw_deg, 0, 0))
    known = [number for number in POINT_INDEX if number < 468]
    off = laid.points[known, :2] + EDGE - landmarks[[ROW[int(n)] for n in known], :2]
    assert np.abs(off).max() < 0.6


def test_mesh_follows_a_tilted_and_a_raised_head(moves, drawn):
    _, landmarks = _face(drawn)
    centre = np.array([SIDE / 2, SIDE / 2])
    angle = np.radians(15)
    spin = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])  # clockwise in the picture, row vectors
    tilted = (landmarks[:, :2] - centre) @ spin + centre
    laid = moves.lay(tilted[[ROW[n] for n in POINTS]], (0, 0, 15))
    nose = [4, 5, 6, 9, 151]
    assert laid.points[nose, :2] + EDGE == pytest.approx(tilted[[ROW[n] for n in nose]], abs=0.6)
    assert laid.turn[1, :2] / laid.scale == pytest.approx((0, 1) @ spin, abs=0.02), "down is the face's own"


@pytest.mark.parametrize("cue", ["lip_corners", "inner_brow", "outer_brow", "mouth_width"])
@pytest.mark.parametrize("side", [1, -1])
def test_a_cue_goes_back_as_many_deviations_as_it_was_read_away(moves, steer, drawn, cue, side):
    _, landmarks = _face(drawn)
    held = steer.hold(landmarks)
    away, _ = held.to({cue: 1.5 * side})
    there = steer.mover.place(steer.mover.lay(landmarks), away)
    shift = moves.back(moves.lay(_points(there), (0, 0, 0)), cue, 1.5 * side)
    known = [i for i, number in enumerate(POINT_INDEX) if number < 468]
    after = there.copy()
    after[known] += shift[POINT_INDEX[known]]
    row = CUE_NAMES.index(cue)
    went = steer.measure(after[None])[0, row] - steer.measure(there[None])[0, row]
    assert went == pytest.approx(-1.5 * side, abs=0.35)


def test_the_picture_changes_where_the_cue_is_and_nowhere_else(moves, drawn):
    image, landmarks = _face(drawn)
    laid = moves.lay(_points(landmarks), (0, 0, 0))
    lips = moves.draw(image, laid, moves.back(laid, "lip_corners", 1.5))
    changed = np.abs(lips.astype(int) - image)
    assert changed[70:].max() > 40
    assert not changed[:58].any()
    assert not changed[:, [0, -1]].any()


def test_nothing_moved_is_the_same_picture_and_there_and_back_nearly_so(moves, drawn):
    image, landmarks = _face(drawn)
    laid = moves.lay(_points(landmarks), (0, 0, 0))
    shift = moves.back(laid, "inner_brow", 1.5)
    assert (moves.draw(image, laid, np.zeros_like(shift)) == image).all()
    once, twice = moves.draw(image, laid, shift), moves.draw(image, laid, shift, there_and_back=True)
    far, near = (np.abs(picture.astype(float) - image).mean() for picture in (once, twice))
    assert near < 0.35 * far


def test_what_cannot_be_taken_back_is_refused_with_a_reason(moves, drawn):
    _, landmarks = _face(drawn)
    points = _points(landmarks)
    with pytest.raises(UnmovableError, match="turned by 40°, more than 35°"):
        moves.lay(points, (-40, 0, 0))
    with pytest.raises(UnmovableError, match="turned by 36°"):
        moves.lay(points, (0, 36, 0))
    with pytest.raises(UnmovableError, match="do not form a face"):
        moves.lay(np.random.default_rng(0).uniform(0, SIDE, points.shape), (0, 0, 0))
    laid = moves.lay(points, (0, 0, 0))
    with pytest.raises(UnmovableError, match="no muscle goes so far: 90"):
        moves.back(laid, "inner_brow", 90.0)
    with pytest.raises(UnmovableError, match="lips or lids meet"):
        moves.back(laid, "mouth_opening", 4.0)  # its lips are closed


def test_every_move_has_words_and_names_a_cue(saved):
    for cue, side, words in zip(saved["cues"], saved["sides"], saved["words"], strict=True):
        assert WORDS[str(cue)][int(side)] == words
    assert {*WORDS} <= {*CUE_NAMES}


BROKEN = {
    "a triangle of no point": lambda saved: saved | {"skin": saved["skin"] + len(saved["rest"])},
    "no number": lambda saved: saved | {"rest": saved["rest"] * np.nan},
    "a field of another mesh": lambda saved: saved | {"fields": saved["fields"][:, :-1]},
    "points of another encoder": lambda saved: saved | {"points": saved["points"][:-1]},
    "a side that is none": lambda saved: saved | {"sides": saved["sides"] * 2},
    "numbers for words": lambda saved: saved | {"words": np.zeros(len(saved["words"]))},
    "an array too few": lambda saved: {name: array for name, array in saved.items() if name != "most"},
    "an array too many": lambda saved: saved | {"more": np.zeros(1)},
    "a bomb": lambda saved: saved | {"rest": np.zeros((2_000_000, 3), np.float32)},
    "an object": lambda saved: saved | {"cues": np.array([{}] * len(saved["cues"]), object)},
}


@pytest.mark.parametrize("kind", BROKEN)
def test_a_damaged_file_is_refused(saved, tmp_path, kind):
    np.savez_compressed(tmp_path / "moves.npz", **BROKEN[kind](saved))
    with pytest.raises(BundleError, match=r"moves\.npz' does not hold the moves of a face"):
        Moves.load(tmp_path / "moves.npz")


@pytest.mark.parametrize("data", [b"", b"PK\x03\x04" + bytes(90), b"no archive at all"])
def test_what_is_no_archive_is_refused(tmp_path, data):
    (tmp_path / "moves.npz").write_bytes(data)
    with pytest.raises(BundleError, match=r"moves\.npz"):
        Moves.load(tmp_path / "moves.npz")
