import cv2
import numpy as np
import pytest

from edge.errors import InputError
from training import data
from training.intervene import ONE_SIDED, POINT_INDEX, PROTOTYPES, Mover, at_rest, draw_amounts
from training.mesh import BROWS, LID_CORNERS, LIDS, LIP_COLUMNS, LIP_CORNERS, OVAL, FaceMesh

SIDE, SCALE = 128, 50.0
NAMES = ("jawOpen", "mouthSmile_L", "mouthSmile_R", "eyeBlink_L", "eyeBlink_R", "eyeWide_L", "eyeWide_R", "browInnerUp_L", "browInnerUp_R")
ROW = {int(number): i for i, number in enumerate(POINT_INDEX)}


def _places() -> dict[int, tuple[float, float]]:
    """Where lips, lids, brows and outline of a drawn face lie: x right, y up, in eye-corner distances."""
    at = {LIP_CORNERS[0]: (-0.25, -0.4), LIP_CORNERS[1]: (0.25, -0.4), 61: (-0.28, -0.4), 291: (0.28, -0.4)}
    for x, (up, low) in zip(np.linspace(-0.2, 0.2, 9), LIP_COLUMNS, strict=True):
        at |= {n: (x, -0.395 + 0.02 * i) for i, n in enumerate(up)} | {n: (x, -0.405 - 0.02 * i) for i, n in enumerate(low)}
    for sign, pairs, (outer, inner) in zip((-1, 1), LIDS, LID_CORNERS, strict=True):
        at |= {outer: (sign * 0.5, 0.4), inner: (sign * 0.2, 0.4)}
        for k, (up, low) in enumerate(pairs):
            x, half = sign * (0.46 - 0.037 * k), 0.065 - 0.012 * abs(k - 3)
            at |= {up: (x, 0.4 + half), low: (x, 0.4 - half)}
    for k, (up, low) in enumerate(BROWS):
        x = (-1 if k < 5 else 1) * (0.52 - 0.08 * (k % 5))
        at |= {up: (x, 0.66), low: (x, 0.6)}
    for n, angle in zip(OVAL, np.linspace(0, 2 * np.pi, len(OVAL), endpoint=False), strict=True):
        at[n] = (0.8 * np.sin(angle), 0.9 * np.cos(angle))
    return at


def _synthetic() -> tuple[np.ndarray, np.ndarray]:
    """A mesh `[478,3]` and its fields: a dome with lips, lids and brows, the rest of the points spread over it."""
    at = _places()
    rest = [n for n in range(478) if n not in at]
    taken = np.array(list(at.values()))
    spots = []
    for i in range(4000):  # an even spiral, kept off what is there
        radius, angle = np.sqrt((i + 0.5) / 4000), i * 2.399963
        spot = np.array([0.78 * radius * np.cos(angle), 0.88 * radius * np.sin(angle)])
        holes = (abs(spot[1] + 0.4) < 0.09 and abs(spot[0]) < 0.25) or (abs(spot[1] - 0.4) < 0.08 and 0.18 < abs(spot[0]) < 0.52)
        if not holes and np.linalg.norm(taken - spot, axis=1).min() > 0.02:
            spots.append(spot)
    at |= {n: tuple(spots[k]) for n, k in zip(rest, np.linspace(0, len(spots) - 1, len(rest)).astype(int), strict=True)}
    flat = np.array([at[n] for n in range(478)])
    neutral = np.column_stack([flat, 1.0 - 0.6 * (flat**2).sum(1)]).astype(np.float32)
    fields = np.zeros((len(NAMES), 478, 3), np.float32)
    jaw = np.clip((-0.4 - flat[:, 1]) / 0.02, 0, 1) * np.exp(-((flat[:, 0] / 0.5) ** 2))
    jaw[[n for up, _ in LIP_COLUMNS for n in up]] = 0
    jaw[[n for _, low in LIP_COLUMNS for n in low]] = 1
    fields[0, :, 1] = -0.3 * jaw
    for side, sign in (("L", 1), ("R", -1)):
        near = np.exp(-(((flat - (sign * 0.25, -0.4)) / 0.12) ** 2).sum(1))
        fields[NAMES.index(f"mouthSmile_{side}")] = near[:, None] * (sign * 0.08, 0.1, -0.03)
        up = [pair[0] for pair in LIDS[side == "L"]]
        above = np.clip((0.6 - flat[:, 1]) / 0.15, 0, 1) * (flat[:, 1] > 0.42) * (abs(flat[:, 0] - sign * 0.35) < 0.2)
        above[up] = 1
        fields[NAMES.index(f"eyeBlink_{side}"), :, 1] = -0.11 * above
        fields[NAMES.index(f"eyeWide_{side}"), :, 1] = 0.03 * above
        brow = np.exp(-(((flat - (sign * 0.25, 0.63)) / 0.15) ** 2).sum(1))
        fields[NAMES.index(f"browInnerUp_{side}"), :, 1] = 0.06 * brow
    return neutral, fields


def _turned(points: np.ndarray, yaw_deg: float, side: int = SIDE) -> np.ndarray:
    """The mesh's points as landmarks `[172,3]` of a picture."""
    angle = np.radians(yaw_deg)
    turn = np.array([[np.cos(angle), 0, -np.sin(angle)], [0, 1, 0], [np.sin(angle), 0, np.cos(angle)]])
    laid = (points * (1, -1, -1))[POINT_INDEX] @ turn.T
    return ((laid * SCALE + (SIDE / 2, SIDE / 2, 0)) * side / SIDE).astype(np.float32)


def _picture(landmarks: np.ndarray, side: int = SIDE) -> np.ndarray:
    """Bright skin with white eyes, dark brows and lips, on a grey ground."""

    def outline(numbers):
        return np.round(landmarks[[ROW[n] for n in numbers], :2] * 16 - 8).astype(np.int32)

    image = np.full((side, side), 90, np.uint8)
    cv2.fillPoly(image, [outline(OVAL)], 170, cv2.LINE_AA, 4)
    for eye, (outer, inner) in enumerate(LID_CORNERS):
        ring = [outer, *(up for up, _ in LIDS[eye]), inner, *(low for _, low in reversed(LIDS[eye]))]
        edge = outline(ring)
        cv2.fillPoly(image, [np.round(edge.mean(0) + 0.8 * (edge - edge.mean(0))).astype(np.int32)], 255, cv2.LINE_AA, 4)
    for pairs in (BROWS[:5], BROWS[5:]):
        cv2.fillPoly(image, [outline([up for up, _ in pairs] + [low for _, low in reversed(pairs)])], 40, cv2.LINE_AA, 4)
    lips = [61, *(up[3] for up, _ in LIP_COLUMNS), 291, *(low[3] for _, low in reversed(LIP_COLUMNS))]
    cv2.fillPoly(image, [outline(lips)], 110, cv2.LINE_AA, 4)
    return image


@pytest.fixture(scope="module")
def mesh() -> np.ndarray:
    return _synthetic()[0]


@pytest.fixture(scope="module")
def mover() -> Mover:
    neutral, fields = _synthetic()
    return Mover(FaceMesh(NAMES, neutral, fields, POINT_INDEX))


@pytest.fixture
def face(mesh) -> tuple[np.ndarray, np.ndarray]:
    landmarks = _turned(mesh, 0)
    return _picture(landmarks), landmarks


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
    small = _turned(mesh, 0, 48)
    image = _picture(small, 48)
    moved, points = mover.move(image, small, {"jawOpen": 0.5})
    large = _turned(mesh, 0)
    wanted, expected = mover.move(cv2.resize(image, (SIDE, SIDE), interpolation=cv2.INTER_CUBIC), large, {"jawOpen": 0.5})
    assert np.abs(points * SIDE / 48 - expected).max() < 0.6
    wanted = cv2.resize(wanted, (48, 48), interpolation=cv2.INTER_AREA)
    assert np.abs(moved.astype(int) - wanted).mean() < 3
    assert np.array_equal(moved[:20], image[:20]), "what does not move is as it was, to the pixel"


@pytest.mark.parametrize("yaw_deg", [-25, 25])
def test_turned_head_moves_in_its_own_pose(mover, mesh, yaw_deg):
    landmarks = _turned(mesh, yaw_deg)
    fit = mover.mesh.fit(landmarks)
    assert fit.yaw_deg == pytest.approx(yaw_deg, abs=0.5)
    assert fit.apart < 0.01
    _, points = mover.move(_picture(landmarks), landmarks, {"mouthSmile_L": 1.0})
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
    landmarks = _turned(mesh, yaw_deg)
    with pytest.raises(ValueError, match=f"turned by {abs(yaw_deg)}°, more than 35°"):
        mover.move(_picture(landmarks), landmarks, {"jawOpen": 0.3})


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
