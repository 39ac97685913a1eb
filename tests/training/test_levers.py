import numpy as np
import pytest
from moving import NAMES, drawn_mesh, landmarks_of

from training.cues import CUE_NAMES, CueModel, fit_cue_model
from training.intervene import AMOUNTS, Mover
from training.levers import LEVERS, Steer, lever
from training.mesh import POINT_INDEX, FaceMesh


@pytest.fixture(scope="module")
def steer() -> Steer:
    neutral, fields = drawn_mesh()
    faces = landmarks_of(neutral, 0)[None] + np.random.default_rng(0).normal(0, 0.3, (50, len(POINT_INDEX), 3))
    fitted = fit_cue_model(faces, POINT_INDEX, np.ones(50, bool))
    return Steer(Mover(FaceMesh(NAMES, neutral, fields, POINT_INDEX)), CueModel(fitted.shape, fitted.mean, np.full(len(CUE_NAMES), 0.03)))


@pytest.fixture(scope="module")
def landmarks() -> np.ndarray:
    return landmarks_of(drawn_mesh()[0], 0)


@pytest.mark.parametrize("by", [0.5, 1.0, -1.0])
@pytest.mark.parametrize("cue", ["inner_brow", "outer_brow", "lip_corners", "mouth_width"])
def test_a_cue_moves_by_what_is_asked(steer, landmarks, cue, by):
    held = steer.hold(landmarks)
    amounts, after = held.to({cue: by})
    row = CUE_NAMES.index(cue)
    assert after[row] - held.cues[row] == pytest.approx(by, abs=0.2)
    moved = steer.measure(steer.mover.place(steer.mover.lay(landmarks), amounts)[None])[0]
    assert np.allclose(moved, after, atol=1e-4)
    assert abs(by) > 0.5 * np.delete(np.abs(after - held.cues), row).max(), "a smile may widen the mouth"


def test_several_cues_move_together(steer, landmarks):
    held = steer.hold(landmarks)
    _, after = held.to({"inner_brow": 1.0, "lip_corners": -1.0})
    change = dict(zip(CUE_NAMES, after - held.cues, strict=True))
    assert change["inner_brow"] == pytest.approx(1, abs=0.2)
    assert change["lip_corners"] == pytest.approx(-1, abs=0.2)


def test_what_no_muscle_can_do_is_refused(steer, landmarks):
    assert steer.hold(landmarks).to({"inner_brow": 9.0}) is None
    assert steer.hold(landmarks).to({"jaw_drop": -2.0}) is None, "closed lips stay where they are"


def test_levers_name_expressions_that_can_be_moved(steer):
    for cue in LEVERS:
        for up in (True, False):
            amounts = lever(steer.mover.names, cue, up, 1.0)
            assert set(amounts) <= set(NAMES)
            assert all(AMOUNTS[0] <= amount <= AMOUNTS[1] for amount in amounts.values())
