import cv2
import numpy as np
import pytest
from moving import NAMES, ROW, SCALE, SIDE, drawn_mesh, drawn_picture, landmarks_of

from edge.errors import InputError
from training import data
from training.intervene import ONE_SIDED, POINT_INDEX, PROTOTYPES, Mover, at_rest, draw_amounts
from training.mesh import LIP_COLUMNS, FaceMesh


@pytest.fixture(scope="module")
def mesh() -> np.ndarray:
    return drawn_mesh()[0]


@pytest.fixture(scope="module")
def mover() -> Mover:
    neutral, fields = drawn_mesh()
    return Mover(FaceMesh(NAMES, neutral, fields, POINT_INDEX))


@pytest.fixture
def face(mesh) -> tuple[np.ndarray, np.ndarray]:
    landmarks = landmarks_of(mesh, 0)
    return drawn_picture(landmarks), landmarks


def test_jaw_parts_the_lips_over_a_dark_mouth(mover, face):
    image, landmarks = face
    moved, points = mover.move(image, landmarks, {"jawOpen": 0.6})
    assert points[ROW[14], 1] - landmarks[ROW[14], 1] == pytest.approx(0.6 * 0.3 * SCALE, abs=0.5)
    assert np.abs(points[ROW[13]] - landmarks[ROW[13]]).max() < 0.5
    x, y = points[[ROW[13], ROW[14]], :2].mean(0).round().astype(int)
    assert moved[y, x] < 70
    assert image[y, x] > 100
    still = np.abs(moved.astype(int) - image) == 0
    assert still[: SIDE // 2].all()
    assert still[:, :8].all()


def test_moves_stay_on_their_side(mover, face):
    image, landmarks = face
    moved, points = mover.move(image, landmarks, {"mouthSmile_L": 1.0})
    assert points[ROW[291], 1] < landmarks[ROW[291], 1] - 3
    assert np.abs(points[ROW[61]] - landmarks[ROW[61]]).max() < 0.1
    changed = np.abs(moved.astype(int) - image) > 30  # more than folds, which lie anywhere on a drawn mesh
    assert changed[70:, 70:].any()
    assert not changed[:, :62].any()


def test_lids_close_over_the_eyes(mover, face):
    image, landmarks = face
    moved, points = mover.move(image, landmarks, {"eyeBlink_L": 1.0, "eyeBlink_R": 1.0})
    assert (image > 230).sum() > 40
    assert (moved > 230).sum() < 0.15 * (image > 230).sum()
    assert (points[ROW[145], 1] - points[ROW[159], 1]) < 0.2 * (landmarks[ROW[145], 1] - landmarks[ROW[159], 1])
    assert points[ROW[145], 1] - points[ROW[159], 1] > -0.01, "they stop where they meet"


def test_lips_do_not_pass_each_other(mover, face):
    image, landmarks = face
    _, open_points = mover.move(image, landmarks, {"jawOpen": 0.2})
    _, closed = mover.move(image, open_points, {"jawOpen": -1.0})
    for up, low in LIP_COLUMNS:
        assert closed[ROW[low[0]], 1] - closed[ROW[up[0]], 1] > -0.05


def test_brows_keep_their_height(mover, face):
    image, landmarks = face
    moved, points = mover.move(image, landmarks, {"browInnerUp_L": 1.0, "browInnerUp_R": 1.0})
    before, after = (p[ROW[65], 1] - p[ROW[66], 1] for p in (landmarks, points))
    assert after == pytest.approx(before, rel=0.25)
    x, y = points[[ROW[66], ROW[65]], :2].mean(0).round().astype(int)
    assert moved[y, x] < 80


@pytest.mark.parametrize("amounts", [{}, {"jawOpen": 0.0}, {"mouthSmile_L": 0.0, "eyeBlink_R": 0.0}])
def test_nothing_asked_is_nothing_moved(mover, face, amounts):
    image, landmarks = face
    moved, points = mover.move(image, landmarks, amounts)
    assert np.array_equal(moved, image)
    assert np.array_equal(points, landmarks)
    assert moved is not image


def test_a_move_there_and_back_gives_the_face_again(mover, face):
    image, landmarks = face
    amounts = {"mouthSmile_L": 0.7, "mouthSmile_R": 0.7, "browInnerUp_L": 0.5, "browInnerUp_R": 0.5}
    there, points = mover.move(image, landmarks, amounts)
    back, again = mover.move(there, points, {name: -amount for name, amount in amounts.items()})
    assert np.abs(again - landmarks).max() < 0.25
    assert np.abs(back.astype(float) - image).mean() < 0.35 * np.abs(there.astype(float) - image).mean()


def test_small_picture_moves_like_a_large_one(mover, mesh):
    small = landmarks_of(mesh, 0, 48)
    image = drawn_picture(small, 48)
    moved, points = mover.move(image, small, {"jawOpen": 0.5})
    large = landmarks_of(mesh, 0)
    wanted, expected = mover.move(cv2.resize(image, (SIDE, SIDE), interpolation=cv2.INTER_CUBIC), large, {"jawOpen": 0.5})
    assert np.abs(points * SIDE / 48 - expected).max() < 0.6
    wanted = cv2.resize(wanted, (48, 48), interpolation=cv2.INTER_AREA)
    assert np.abs(moved.astype(int) - wanted).mean() < 3
    assert np.array_equal(moved[:20], image[:20]), "what does not move is as it was, to the pixel"


@pytest.mark.parametrize("yaw_deg", [-25, 25])
def test_turned_head_moves_in_its_own_pose(mover, mesh, yaw_deg):
    landmarks = landmarks_of(mesh, yaw_deg)
    fit = mover.mesh.fit(landmarks)
    assert fit.yaw_deg == pytest.approx(yaw_deg, abs=0.5)
    assert fit.apart < 0.01
    _, points = mover.move(drawn_picture(landmarks), landmarks, {"mouthSmile_L": 1.0})
    shift = points[ROW[291]] - landmarks[ROW[291]]
    angle = np.radians(yaw_deg)
    field = mover.mesh.fields[NAMES.index("mouthSmile_L"), 291] * SCALE
    assert shift[0] == pytest.approx(np.cos(angle) * field[0] - np.sin(angle) * field[2], abs=0.3)


def _missing(landmarks):
    landmarks[5] = np.nan


def _outside(landmarks):
    landmarks[:, 0] += 70


def _folded(landmarks):
    landmarks[:] = landmarks[np.random.default_rng(0).permutation(len(landmarks))]


def _flat(landmarks):
    landmarks[:] = 0


@pytest.mark.parametrize(
    ("damage", "reason"), [(_missing, "missing"), (_outside, "outside the picture"), (_folded, "folded|turned"), (_flat, "missing")]
)
def test_landmarks_that_are_no_face_are_refused(mover, face, damage, reason):
    image, landmarks = face
    damage(landmarks)
    with pytest.raises(ValueError, match=reason):
        mover.move(image, landmarks, {"jawOpen": 0.3})


def test_mirrored_numbering_is_refused(mover, face):
    """Right for left: every triangle lies back to front."""
    image, landmarks = face
    landmarks[:, 0] = SIDE - landmarks[:, 0]
    with pytest.raises(ValueError, match=r"folded|turned"):
        mover.move(image, landmarks, {"jawOpen": 0.3})


@pytest.mark.parametrize("yaw_deg", [-45, 50])
def test_head_turned_too_far_is_refused(mover, mesh, yaw_deg):
    landmarks = landmarks_of(mesh, yaw_deg)
    with pytest.raises(ValueError, match=f"turned by {abs(yaw_deg)}°, more than 35°"):
        mover.move(drawn_picture(landmarks), landmarks, {"jawOpen": 0.3})


@pytest.mark.parametrize(
    ("amounts", "reason"),
    [({"jawOpen": 1.6}, "amount of jawOpen"), ({"jawOpen": np.nan}, "amount of jawOpen"), ({"jawopen": 0.5}, "no expression 'jawopen'")],
)
def test_amounts_out_of_range_are_refused(mover, face, amounts, reason):
    with pytest.raises(ValueError, match=reason):
        mover.move(*face, amounts)


@pytest.mark.parametrize("image", [np.zeros((SIDE, SIDE), np.float32), np.zeros((SIDE, SIDE, 3), np.uint8), np.zeros((SIDE, 90), np.uint8)])
def test_pictures_of_another_kind_are_refused(mover, face, image):
    with pytest.raises(ValueError, match="square grey uint8"):
        mover.move(image, face[1], {"jawOpen": 0.3})


@pytest.mark.parametrize("emotion", PROTOTYPES)
def test_amounts_are_drawn_from_the_prototype(emotion):
    rng = np.random.default_rng(0)
    drawn = [draw_amounts(emotion, rng) for _ in range(200)]
    for name, (low, high) in PROTOTYPES[emotion].items():
        amounts = [a[key] for a in drawn for key in (name, f"{name}_L", f"{name}_R") if key in a]
        assert min(amounts) >= 0.7 * low - 1e-9
        assert max(amounts) <= 1.3 * high + 1e-9
        assert max(amounts) - min(amounts) > 0.6 * (high - low)
    sides = [{name[-1] for name in a if name[-2:] in ("_L", "_R")} for a in drawn]
    assert all(len(s) == (1 if emotion in ONE_SIDED else 2) for s in sides)
    if emotion in ONE_SIDED:
        assert {"L"} in sides
        assert {"R"} in sides


def test_emotion_without_a_prototype_is_refused():
    with pytest.raises(ValueError, match="no prototype of 'pride'"):
        draw_amounts("pride", np.random.default_rng(0))


def test_faces_at_rest_are_told_from_others():
    names = ["_neutral", "mouthSmileLeft", "jawOpen", "mouthLeft"]
    rows = np.array([[0, 3, 2, 1], [0, 200, 2, 1], [0, 3, 90, 1], [0, 3, 2, 200], [0, 0, 0, 0]], np.uint8)
    assert at_rest(rows, names).tolist() == [True, False, False, False, False]
    assert at_rest(rows / 255, names).tolist() == [True, False, False, False, False]


def test_missing_pack_is_told(tmp_path):
    with pytest.raises(InputError, match="no data pack"):
        Mover.load(tmp_path)


def test_real_fields_can_all_be_moved():
    try:
        folder = data.data_folder()
        mover = Mover.load(folder)
    except InputError as error:
        pytest.skip(f"needs facs_displacements.npz: {error}")
    assert len(mover.names) == 57
    landmarks = (mover.mesh.neutral[POINT_INDEX] * SCALE + (64, 64, 0)).astype(np.float32)
    image = cv2.GaussianBlur(np.random.default_rng(0).integers(0, 255, (SIDE, SIDE), np.uint8), (0, 0), 3)
    for prototype in PROTOTYPES:
        moved, points = mover.compose(image, landmarks, prototype, np.random.default_rng(1))
        assert np.abs(points - landmarks).max() > 1
        assert (moved != image).any()
    for name in mover.names:
        mover.move(image, landmarks, {name: 1.0})
