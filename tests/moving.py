"""A face of few lines as a mesh, the fields that move it, and its picture: what the mover needs, without the data packs."""

from __future__ import annotations

import zipfile
from pathlib import Path

import cv2
import numpy as np

from training.mesh import BROWS, LID_CORNERS, LIDS, LIP_COLUMNS, LIP_CORNERS, OVAL, POINT_INDEX

SIDE, SCALE = 128, 50.0
NAMES = (
    "jawOpen", "mouthSmile_L", "mouthSmile_R", "eyeBlink_L", "eyeBlink_R", "eyeWide_L", "eyeWide_R", "browInnerUp_L", "browInnerUp_R",
    "browOuterUp_L", "browOuterUp_R", "browDown_L", "browDown_R", "mouthFrown_L", "mouthFrown_R", "mouthStretch_L", "mouthStretch_R",
    "mouthUpperUp_L", "mouthUpperUp_R", "mouthLowerDown_L", "mouthLowerDown_R", "noseSneer_L", "noseSneer_R", "mouthPucker",
    "mouthShrugLower", "mouthRollLower", "cheekRaiser_L", "cheekRaiser_R",
)  # fmt: skip
ROW = {int(number): i for i, number in enumerate(POINT_INDEX)}


def places() -> dict[int, tuple[float, float]]:
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


def drawn_mesh() -> tuple[np.ndarray, np.ndarray]:
    """A mesh `[478,3]` and its fields: a dome with lips, lids and brows, the rest of the points spread over it."""
    at = places()
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
        for name, (dx, dy) in {"mouthFrown": (0.02, -0.06), "mouthStretch": (0.08, -0.02)}.items():
            fields[NAMES.index(f"{name}_{side}")] = near[:, None] * (sign * dx, dy, -0.02)
        lips = np.exp(-(((flat - (sign * 0.1, -0.4)) / 0.15) ** 2).sum(1))
        fields[NAMES.index(f"mouthUpperUp_{side}"), :, 1] = 0.06 * lips * (flat[:, 1] > -0.4)
        fields[NAMES.index(f"mouthLowerDown_{side}"), :, 1] = -0.06 * lips * (flat[:, 1] < -0.4)
        fields[NAMES.index(f"noseSneer_{side}"), :, 1] = 0.08 * np.exp(-(((flat - (sign * 0.1, -0.1)) / 0.1) ** 2).sum(1))
        fields[NAMES.index(f"browOuterUp_{side}"), :, 1] = 0.08 * np.exp(-(((flat - (sign * 0.45, 0.63)) / 0.12) ** 2).sum(1))
        fields[NAMES.index(f"browDown_{side}"), :, :2] = np.exp(-(((flat - (sign * 0.2, 0.63)) / 0.15) ** 2).sum(1))[:, None] * (
            -sign * 0.03,
            -0.03,
        )
        brow = np.exp(-(((flat - (sign * 0.25, 0.63)) / 0.15) ** 2).sum(1))
        fields[NAMES.index(f"browInnerUp_{side}"), :, 1] = 0.06 * brow
    middle = np.exp(-((flat - (0, -0.45)) ** 2 / (0.2**2, 0.12**2)).sum(1))
    fields[NAMES.index("mouthShrugLower"), :, 1] = 0.08 * middle * (flat[:, 1] < -0.4)
    fields[NAMES.index("mouthRollLower"), :, 2] = -0.05 * middle
    fields[NAMES.index("mouthPucker"), :, 0] = -0.25 * flat[:, 0] * np.exp(-(((flat[:, 1] + 0.4) / 0.1) ** 2))
    return neutral, fields


def landmarks_of(points: np.ndarray, yaw_deg: float, side: int = SIDE) -> np.ndarray:
    """The mesh's points as landmarks `[172,3]` of a picture."""
    angle = np.radians(yaw_deg)
    turn = np.array([[np.cos(angle), 0, -np.sin(angle)], [0, 1, 0], [np.sin(angle), 0, np.cos(angle)]])
    laid = (points * (1, -1, -1))[POINT_INDEX] @ turn.T
    return ((laid * SCALE + (SIDE / 2, SIDE / 2, 0)) * side / SIDE).astype(np.float32)


def drawn_picture(landmarks: np.ndarray, side: int = SIDE) -> np.ndarray:
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


def write_moving_packs(folder: Path, count: int = 8) -> Path:
    """Fields, pictures and landmarks of one drawn face with grain, in the layout of the data packs; the first face has no landmarks."""
    neutral, fields = drawn_mesh()
    np.savez(folder / "facs_displacements.npz", names=np.array(NAMES), neutral=neutral, displacement=fields)
    landmarks = landmarks_of(neutral, 0, 48)
    image, random = drawn_picture(landmarks, 48), np.random.default_rng(0)
    votes = np.zeros((count, 10), np.uint8)
    votes[:, 0] = 8
    images = np.stack([np.clip(image + random.normal(0, 6, image.shape), 0, 255).astype(np.uint8) for _ in votes])
    np.savez(folder / "ferplus_images.npz", test_images=images, test_votes=votes)
    many = np.repeat(landmarks[None], count, 0) + random.normal(0, 0.1, (count, *landmarks.shape))
    many[0] = np.nan
    np.savez(folder / "ferplus_landmarks.npz", test_landmarks=many.astype(np.float16), point_index=POINT_INDEX)
    return folder


def write_moving_crops(folder: Path, count: int = 40) -> Path:
    """The drawn face in the layouts of `faces_today` (ids from 1, all at rest, grown up) and `faces_elsewhere` (neutral and anger)."""
    landmarks = landmarks_of(drawn_mesh()[0], 0)
    names = np.array(["_neutral", "mouthSmileLeft", "jawOpen"])
    points = np.repeat((landmarks * 16).astype(np.int16)[None], count, 0)
    about = {"landmarks": points, "blendshapes": np.full((count, 3), 2, np.uint8), "blendshape_names": names, "point_index": POINT_INDEX}
    grey = drawn_picture(landmarks)
    data = cv2.imencode(".jpg", grey)[1].tobytes()
    ids = np.arange(1, count + 1, dtype=np.int32)
    sides = {"race": ids % 7, "gender": ids % 2, "age": np.full(count, 4)}
    np.savez(folder / "faces_today.npz", id=ids, **about, **{key: values.astype(np.uint8) for key, values in sides.items()})
    np.savez(folder / "faces_elsewhere.npz", **about)
    with zipfile.ZipFile(folder / "faces_today.zip", "w") as today, zipfile.ZipFile(folder / "faces_elsewhere.zip", "w") as elsewhere:
        for number in ids:
            today.writestr(f"{number}.jpg", data)
            elsewhere.writestr(f"{'neutral' if number % 2 else 'anger'}/{number}.jpg", data)
    return folder
