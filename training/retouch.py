"""What a warp alone cannot show: folds of the skin, the light on a moved surface, the inside of a parted mouth, the edge of a closed lid.

Everything is drawn in floats `[S,S]` 0…255 and scales with the face. Free of torch.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from edge.cv import cv2
from training.mesh import BROWS, LID_CORNERS, LIDS, LIP_COLUMNS, LIP_CORNERS, Fit, lip_ring

_SHIFT = 4  # fractional bits of drawn coordinates
_LIGHT = np.array([0.0, -0.6, -0.8], np.float32)
"""Where the light comes from: above and in front, as on most photographs."""
_CHEEKS = (50, 280, 205, 425, 101, 330)


class Crease(NamedTuple):
    """A fold that deepens with some expressions."""

    path: tuple[tuple[int, ...], ...]
    """Points along it; each the mean of some Face Mesh numbers."""
    depth: dict[str, float]
    """Expression → depth at amount 1."""


def _both(path: tuple[tuple[int, ...], ...], other: tuple[tuple[int, ...], ...], depth: dict[str, float]) -> list[Crease]:
    """The same fold on the right (`path`) and on the left (`other`)."""
    return [Crease(path, {f"{n}_R": d for n, d in depth.items()}), Crease(other, {f"{n}_L": d for n, d in depth.items()})]


CREASES: tuple[Crease, ...] = (
    # from the wing of the nose to the lip corner
    *_both(((129,), (203,), (206,), (216,)), ((358,), (423,), (426,), (436,)),
           {"mouthSmile": 0.8, "noseSneer": 0.8, "mouthUpperUp": 0.5, "mouthStretch": 0.3}),
    # across and beside the bridge of the nose
    *_both(((193,), (193, 168), (168,)), ((417,), (417, 168), (168,)), {"noseSneer": 0.9}),
    *_both(((122,), (122, 6), (6,)), ((351,), (351, 6), (6,)), {"noseSneer": 1.1}),
    *_both(((196,), (196, 197), (197,)), ((419,), (419, 197), (197,)), {"noseSneer": 0.8}),
    *_both(((128,), (188, 114), (217, 174)), ((357,), (412, 343), (437, 399)), {"noseSneer": 0.9}),
    # upright between the brows
    *_both(((9, 107), (9, 55), (8, 55), (8, 193)), ((9, 336), (9, 285), (8, 285), (8, 417)), {"browDown": 1.1, "noseSneer": 0.4}),
    # across the forehead
    *_both(((104, 69), (69, 108), (108, 151), (151,)), ((333, 299), (299, 337), (337, 151), (151,)),
           {"browInnerUp": 0.4, "browOuterUp": 0.25}),
    *_both(((104,), (69,), (108,), (151, 9)), ((333,), (299,), (337,), (151, 9)), {"browInnerUp": 0.35, "browOuterUp": 0.2}),
    *_both(((63, 104), (104,), (104, 69), (69,)), ((293, 333), (333,), (333, 299), (299,)), {"browOuterUp": 0.35}),
    # below the eye
    *_both(((110, 228), (24, 229), (23, 230), (22, 231)), ((339, 448), (254, 449), (253, 450), (252, 451)),
           {"eyeSquint": 0.5, "cheekSquint": 0.5, "cheekRaiser": 0.5, "noseSneer": 0.3}),
    # beside and below the lip corner
    *_both(((186, 216), (57, 212), (43, 202)), ((410, 436), (287, 432), (273, 422)), {"mouthDimple": 1.2, "mouthFrown": 0.3}),
    *_both(((43,), (202,), (204, 210)), ((273,), (422,), (424, 430)), {"mouthFrown": 0.9}),
    # above the chin
    Crease(((201, 182), (83, 201), (18,), (313, 421), (421, 406)), {"mouthShrugLower": 1.1}),
)  # fmt: skip


_STROKES = 9
"""Straight strokes of a crease."""


def _curves() -> np.ndarray:
    """`[K,_STROKES + 1,478]` weights of the mesh's points that give points along each crease, on a curve of third degree."""
    rows = np.zeros((len(CREASES), _STROKES + 1, 478), np.float32)
    for k, crease in enumerate(CREASES):
        along = _curve(len(crease.path))
        for i, numbers in enumerate(crease.path):
            for number in numbers:
                rows[k, :, number] += along[:, i] / len(numbers)
    return rows


def _curve(count: int) -> np.ndarray:
    """`[_STROKES + 1,count]` weights of a path's points that give points along a curve through them."""
    degree = min(3, count - 1)
    powers = np.vander(np.linspace(0, 1, count), degree + 1)
    return np.vander(np.linspace(0, 1, _STROKES + 1), degree + 1) @ np.linalg.pinv(powers)


_CURVES = _curves()
_LASHES = _curve(9)


def fold(picture: np.ndarray, points: np.ndarray, scale: float, amounts: dict[str, float]) -> np.ndarray:
    """Deepen the folds that the amounts ask for, or smooth them.

    Args:
        picture: `[S,S]` float32, changed in place.
        points: `[478,3]` pixels of the moved face.
        scale: pixels between the outer eye corners.
        amounts: expression → amount; folds of negative depth get lighter.
    """
    depths = [sum(weight * amounts.get(name, 0.0) for name, weight in crease.depth.items()) for crease in CREASES]
    narrow = max(0.014 * scale, 0.5)
    for sign in (1, -1):
        drawn = [k for k, depth in enumerate(depths) if sign * depth > 0.05]
        if not drawn:
            continue
        canvas = np.zeros(picture.shape, np.uint8)
        for k, path in zip(drawn, _fixed(_CURVES[drawn] @ points[:, :2]), strict=True):
            for i in range(_STROKES):  # fades towards both ends
                strength = 150 * min(sign * depths[k], 1.5) * (0.2 + 0.8 * math.sin(math.pi * (i + 0.5) / _STROKES))
                cv2.line(canvas, path[i].tolist(), path[i + 1].tolist(), strength, 1, cv2.LINE_AA, _SHIFT)
        groove, bulge = (cv2.GaussianBlur(canvas, (0, 0), wide).astype(np.float32) for wide in (narrow, 2.6 * narrow))
        picture *= np.exp((0.75 * bulge - groove) * (0.0042 * narrow * sign))
    return picture


def light(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """`[478]` by what factor each point of the skin gets brighter when its normal `[478,3]` changes."""
    facing = np.clip(-1.5 * np.maximum(before[:, 2], after[:, 2]) - 0.3, 0, 1)  # none near the outline
    return np.clip(0.9 * (after - before) @ _LIGHT, -0.22, 0.2) * facing * _OPEN_SKIN


_LIPS = {n for up, low in LIP_COLUMNS for n in (*up, *low)} | set(LIP_CORNERS)
_LID_POINTS = {n for pairs in LIDS for pair in pairs for n in pair} | {n for pair in LID_CORNERS for n in pair}
_ABOVE_EYES = (247, 30, 29, 27, 28, 56, 190, 113, 225, 224, 223, 222, 221, 467, 260, 259, 257, 258, 286, 414, 342, 445, 444, 443, 442, 441)


def _open_skin() -> np.ndarray:
    """`[478]` 1 on skin, less on lips and lids, whose shape the mesh tells too roughly."""
    weight = np.ones(478, np.float32)
    weight[list(_LIPS)] = 0.3
    weight[[*_LID_POINTS, *_ABOVE_EYES, *(n for pair in BROWS for n in pair)]] = 0.2
    return weight


_OPEN_SKIN = _open_skin()


def fill_mouth(picture: np.ndarray, before: np.ndarray, after: np.ndarray, fit: Fit, jaw: np.ndarray) -> np.ndarray:
    """Paint teeth and dark where closed lips have parted; where the mouth stood open already its own inside is kept.

    Args:
        picture: `[S,S]` float32 with the moved face, changed in place; the mouth holds its own stretched inside.
        before: `[478,3]` pixels before the move.
        after: the same after it.
        fit: the pose.
        jaw: `[2]` how far the lower teeth have moved, pixels.
    """
    down = fit.turn[1, :2] / np.linalg.norm(fit.turn[1, :2])
    top, bottom = ([column[side][0] for column in LIP_COLUMNS] for side in (0, 1))
    gap_before = float(np.clip((before[bottom, :2] - before[top, :2]) @ down, 0, None).mean())
    gap_after = float(np.clip((after[bottom, :2] - after[top, :2]) @ down, 0, None).mean())
    kept = np.clip(1.8 * gap_before / max(gap_after, 1e-6) - 0.8, 0, 1)
    if gap_after < 0.012 * fit.scale or kept == 1 or gap_after <= gap_before:
        return picture
    skin, lips = _level(picture, after[list(_CHEEKS)]), _level(picture, after[[12, 15, 11, 16]])
    dark = min(0.28 * skin, 0.5 * lips)
    inside = np.full(picture.shape, dark, np.float32)
    tongue = np.concatenate([after[bottom, :2] * 0.55 + after[top, :2] * 0.45, after[bottom[::-1], :2]])
    cv2.fillPoly(inside, [_fixed(tongue)], dark + 0.14 * skin, cv2.LINE_8, _SHIFT)
    teeth = 0.55 * skin + 0.45 * min(215.0, 1.5 * skin + 40)
    reach = np.array([0.2, 0.65, 0.9, 1, 1, 1, 0.9, 0.65, 0.2])[:, None]
    edge = before[top, :2] + 0.028 * fit.scale * reach * down
    _teeth(inside, after[top, :2], edge, down, teeth)
    edge = before[bottom, :2] + jaw + 0.004 * fit.scale * down
    _teeth(inside, edge, after[bottom, :2], down, 0.85 * teeth)
    inside = cv2.GaussianBlur(inside, (0, 0), max(0.012 * fit.scale, 0.4))
    ring = after[lip_ring(), :2]
    mask = np.zeros(picture.shape, np.uint8)
    cv2.fillPoly(mask, [_fixed(ring)], 255, cv2.LINE_AA, _SHIFT)
    rim = cv2.GaussianBlur(mask, (0, 0), max(0.01 * fit.scale, 0.35)).astype(np.float32) * ((1 - kept) / 255)
    picture += rim * (inside - picture)
    return picture


def _teeth(inside: np.ndarray, upper: np.ndarray, lower: np.ndarray, down: np.ndarray, level: float) -> None:
    """Fill the quads between two lines where the first lies above the second, darker towards the corners."""
    for i in range(len(upper) - 1):
        heights = ((lower[i : i + 2] - upper[i : i + 2]) @ down).clip(0)
        if heights.max() <= 0.2:
            continue
        quad = np.stack([upper[i], upper[i + 1], upper[i + 1] + heights[1] * down, upper[i] + heights[0] * down])
        aside = abs(i + 0.5 - (len(upper) - 1) / 2) / ((len(upper) - 1) / 2)
        cv2.fillConvexPoly(inside, _fixed(quad), level * (1 - 0.45 * aside**2), cv2.LINE_8, _SHIFT)


def lash(picture: np.ndarray, after: np.ndarray, scale: float, closing: tuple[float, float], dark: float) -> np.ndarray:
    """Draw the edge of lids that close.

    Args:
        picture: `[S,S]` float32, changed in place.
        after: `[478,3]` pixels of the moved face.
        scale: pixels between the outer eye corners.
        closing: how far the right and the left eye have closed, 0 to 1.
        dark: brightness of the lashes.
    """
    canvas = np.zeros(picture.shape, np.uint8)
    for eye, closed in enumerate(closing):
        if closed > 0.15:
            outer, inner = LID_CORNERS[eye]
            edge = _LASHES @ after[[outer, *(up for up, _ in LIDS[eye]), inner], :2]
            cv2.polylines(canvas, [_fixed(edge)], False, 255 * closed, 1, cv2.LINE_AA, _SHIFT)
    if canvas.any():
        soft = max(0.012 * scale, 0.45)
        share = np.minimum(cv2.GaussianBlur(canvas, (0, 0), soft).astype(np.float32) * (2 * soft / 255), 0.8)
        picture -= share * np.clip(picture - dark, 0, None)
    return picture


def lash_level(picture: np.ndarray, points: np.ndarray) -> float:
    """How dark the edge of the lids is in a picture `[S,S]` with open eyes, from the mesh's points `[478,3]`."""
    return _level(picture, points[[up for pairs in LIDS for up, _ in pairs]], 20)


def _level(picture: np.ndarray, points: np.ndarray, percentile: int = 50) -> float:
    """Brightness at some points, the median by default."""
    x, y = (np.clip(points[:, axis].round().astype(int), 0, picture.shape[1 - axis] - 1) for axis in (0, 1))
    return float(np.percentile(picture[y, x], percentile))


def _fixed(points: np.ndarray) -> np.ndarray:
    """Pixels as OpenCV draws them: whole numbers with `_SHIFT` fractional bits."""
    return np.round(points * (1 << _SHIFT)).astype(np.int32)
