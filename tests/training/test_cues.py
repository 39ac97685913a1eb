import numpy as np
import pytest

from training.cues import _PARTNERS, CUE_NAMES, MIRROR_SIGN, POINTS, RIGID, compressed, fit_cue_model, frontalise, mean_five_points

_INDEX = np.array(sorted({*RIGID, *POINTS, 107, 336, 63, 293, 158, 153, 160, 144, 385, 380, 387, 373, 205, 425, 48, 64, 278, 294,
                          37, 267, 84, 314, 148, 377, 82, 312, 87, 317, 4}))  # fmt: skip
_SIDES = _PARTNERS | {107: 336, 63: 293, 158: 385, 153: 380, 160: 387, 144: 373, 205: 425, 48: 278, 64: 294, 37: 267, 84: 314, 148: 377,
                      82: 312, 87: 317, 127: 356, 234: 454, 54: 284}  # fmt: skip
_SIDES |= {b: a for a, b in _SIDES.items()}
_SWAP = np.array([int(np.searchsorted(_INDEX, _SIDES.get(int(n), int(n)))) for n in _INDEX])
_FLIP = np.array([-1.0, 1.0, 1.0])


def _faces(count: int, noise: float = 0.6, seed: int = 0) -> np.ndarray:
    """Symmetric random heads around a common one, in pixels, the subject's right on the image left."""
    rng = np.random.default_rng(seed)
    head = rng.normal(0, 10, (len(_INDEX), 3))
    right = [n for n in _SIDES if n in (33, 133, 159, 145, 70, 105, 55, 61, 127, 234, 54)]
    for n in right:
        head[np.searchsorted(_INDEX, n), 0] = -abs(head[np.searchsorted(_INDEX, n), 0]) - 3
    head = (head + head[_SWAP] * _FLIP) / 2
    for n in right:  # the averaging keeps the sides apart
        head[np.searchsorted(_INDEX, n), 0] -= 4
        head[np.searchsorted(_INDEX, _SIDES[n]), 0] += 4
    return head + rng.normal(0, noise, (count, len(_INDEX), 3))


def _turn(yaw: float, pitch: float, roll: float) -> np.ndarray:
    y, p, r = np.radians([yaw, pitch, roll])
    ry = np.array([[np.cos(y), 0, np.sin(y)], [0, 1, 0], [-np.sin(y), 0, np.cos(y)]])
    rx = np.array([[1, 0, 0], [0, np.cos(p), -np.sin(p)], [0, np.sin(p), np.cos(p)]])
    rz = np.array([[np.cos(r), -np.sin(r), 0], [np.sin(r), np.cos(r), 0], [0, 0, 1]])
    return rz @ ry @ rx


@pytest.fixture(scope="module")
def model():
    faces = _faces(200)
    return fit_cue_model(faces, _INDEX, np.ones(len(faces), bool))


@pytest.mark.parametrize("angles", [(20, 0, 0), (0, 15, 0), (0, 0, 25), (-15, 10, -20)])
def test_cues_do_not_change_when_the_head_turns_grows_or_moves(model, angles):
    faces = _faces(20, seed=0)
    moved = faces @ _turn(*angles).T * 1.7 + [30, -4, 2]
    assert np.allclose(model.measure(faces, _INDEX)[0], model.measure(moved, _INDEX)[0], atol=1e-3)


def test_roll_is_read_in_degrees_clockwise_in_the_picture(model):
    faces = _faces(20)
    pose = model.measure(faces, _INDEX)[1]
    rolled = model.measure(faces @ _turn(0, 0, 12).T, _INDEX)[1]
    assert np.allclose((rolled - pose)[:, 2], 12, atol=1.0)


def test_mirroring_flips_the_sided_cues_and_nothing_else(model):
    faces = _faces(20, seed=0)
    mirrored = (faces * _FLIP)[:, _SWAP]
    here, there = model.measure(faces, _INDEX)[0], model.measure(mirrored, _INDEX)[0]
    sided = np.array(CUE_NAMES) == "corner_asymmetry"
    assert (np.where(sided, -1, 1) == MIRROR_SIGN).all()
    assert np.allclose(here[:, ~sided], there[:, ~sided], atol=0.05)
    assert np.corrcoef(here[:, sided].ravel(), -there[:, sided].ravel())[0, 1] > 0.9


def test_neutral_faces_are_standard(model):
    z, _ = model.measure(_faces(400), _INDEX)
    assert np.abs(np.median(z, 0)).max() < 0.2
    assert 0.7 < 0.7413 * np.subtract(*np.percentile(z, [75, 25], axis=0)).mean() < 1.3


def test_a_shout_is_told_from_a_word():
    word, shout, never = compressed(np.array([4.5, 15.0, 1e6]))
    assert 4 < word < 5 < 8 < shout < never == 10
    assert (compressed(np.array([-4.0, 0.3, 4.0])) == [-4.0, 0.3, 4.0]).all()
    assert np.isnan(compressed(np.array([np.nan]))).all()


def test_faces_without_landmarks_stay_unknown(model):
    faces = _faces(3)
    faces[1] = np.nan
    z, pose = model.measure(faces, _INDEX)
    assert np.isnan(z[1]).all()
    assert np.isnan(pose[1]).all()
    assert np.isfinite(z[[0, 2]]).all()


def test_frontalise_returns_rigid_rotations(model):
    faces = _faces(5)
    frontal, _ = frontalise(faces, _INDEX, model.shape)
    assert np.allclose(np.linalg.norm(frontal, axis=2), np.linalg.norm(faces, axis=2))


def test_mean_five_points_are_level_and_centred_on_the_data():
    faces = _faces(50) @ _turn(0, 0, 9).T + [24, 24, 0]
    five = mean_five_points(faces, _INDEX)
    assert abs(five[0, 1] - five[1, 1]) < 0.5
    assert five.shape == (5, 2)
