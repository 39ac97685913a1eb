"""Facial cues: signed, standardised measures of the face, named after FACS action units.

`landmarks → frontal → raw measures → z-scores against neutral faces`. The head's rotation is removed first, by fitting
the rigid part of the face to a mean shape (Kabsch, least squares), which also gives the pose. Every measure is divided by
the distance between the outer eye corners. Sides are the subject's own: Face Mesh numbers 33…/61 lie on the subject's right,
263…/291 on the left.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

#: A face as the formulas see it: Face Mesh number(s) → `[N,2]` mean position, x right, y down, in eye-corner distances.
At = Callable[..., np.ndarray]


@dataclass(frozen=True, slots=True)
class Cue:
    """One signed measure of the face."""

    name: str
    """Identifier, used in the bundle and in JSON."""
    action_unit: str
    """FACS action units that move it: `+` for a rise of the measure, `-` for a fall."""
    formula: str
    """The measure in words, for the bundle's configuration and the model card."""
    measure: Callable[[At], np.ndarray]
    """`[N]` raw measure of frontal faces, in outer-eye-corner distances."""
    points: tuple[int, ...]
    """Face Mesh numbers that show the cue, for drawing (all of them in `POINTS`)."""
    mirrored: bool = False
    """Whether the sign flips in a mirror image."""


def _drop(at: At, upper: tuple[int, ...], lower: tuple[int, ...]) -> np.ndarray:
    """How far `lower` lies below `upper`."""
    return at(*lower)[:, 1] - at(*upper)[:, 1]


def _span(at: At, a: int, b: int) -> np.ndarray:
    return np.linalg.norm(at(a) - at(b), axis=1)


def _eye_opening(at: At) -> np.ndarray:
    right = (_span(at, 159, 145) + _span(at, 158, 153) + _span(at, 160, 144)) / _span(at, 33, 133)
    left = (_span(at, 386, 374) + _span(at, 385, 380) + _span(at, 387, 373)) / _span(at, 362, 263)
    return (right + left) / 6


CUES: tuple[Cue, ...] = (
    Cue("inner_brow", "AU1+ AU4-", "height of the inner brows above the inner eye corners",
        lambda at: _drop(at, (55, 107, 285, 336), (133, 362)), (55, 285)),
    Cue("outer_brow", "AU2+ AU4-", "height of the outer brows above the outer eye corners",
        lambda at: _drop(at, (70, 63, 105, 300, 293, 334), (33, 263)), (70, 300)),
    Cue("brow_gap", "AU4-", "distance between the inner ends of the brows",
        lambda at: (_span(at, 55, 285) + _span(at, 107, 336)) / 2, (55, 285)),
    Cue("eye_opening", "AU5+ AU7- AU43-", "opening of the eyelids over eye width, mean of both eyes",
        _eye_opening, (159, 145, 386, 374)),
    Cue("cheek_raise", "AU6+", "how near the cheeks are to the lower eyelids, negated",
        lambda at: -_drop(at, (145, 374), (205, 425)), (145, 374)),
    Cue("nose_wrinkle", "AU9+", "how near the nostril wings are to the inner eye corners, negated",
        lambda at: -_drop(at, (133, 362), (48, 64, 278, 294)), (2, 133, 362)),
    Cue("upper_lip", "AU10+", "how near the upper lip is to the base of the nose, negated",
        lambda at: -_drop(at, (2,), (0, 37, 267)), (2, 0)),
    Cue("lip_corners", "AU12+ AU15-", "height of the lip corners above the middle of the lips",
        lambda at: _drop(at, (61, 291), (0, 13, 14, 17)), (61, 291)),
    Cue("corner_asymmetry", "AU12/14 unilateral", "how much higher the subject's left lip corner is than the right",
        lambda at: _drop(at, (291,), (61,)), (61, 291), mirrored=True),
    Cue("chin_raise", "AU17+", "how near the lower lip is to the chin, negated",
        lambda at: -_drop(at, (17, 84, 314), (152, 148, 377)), (17, 152)),
    Cue("mouth_width", "AU20+ AU12+ AU18-", "distance between the lip corners",
        lambda at: _span(at, 61, 291), (61, 291)),
    Cue("lip_fullness", "AU22+ AU24-", "thickness of both lips",
        lambda at: _drop(at, (0,), (13,)) + _drop(at, (14,), (17,)), (0, 13, 14, 17)),
    Cue("mouth_opening", "AU25+ AU26+ AU27+", "distance between the inner edges of the lips",
        lambda at: _drop(at, (82, 13, 312), (87, 14, 317)), (13, 14)),
    Cue("jaw_drop", "AU26+ AU27+", "distance from the base of the nose to the chin",
        lambda at: _drop(at, (2,), (152, 148, 377)), (2, 152)),
)  # fmt: skip
CUE_NAMES: tuple[str, ...] = tuple(cue.name for cue in CUES)
MIRROR_SIGN = np.array([-1.0 if cue.mirrored else 1.0 for cue in CUES], np.float32)
SIDED = np.array([*(MIRROR_SIGN < 0), True, False, True])
"""Which of the cues and the pose's three angles a mirror turns round."""

#: Face Mesh numbers of the points that the encoder predicts, and each one's partner in a mirror image.
POINTS: tuple[int, ...] = (
    33, 133, 362, 263, 159, 145, 386, 374, 70, 105, 55, 285, 334, 300, 1, 2, 61, 291, 0, 13, 14, 17, 152,
)  # fmt: skip
_PARTNERS = {33: 263, 133: 362, 159: 386, 145: 374, 70: 300, 105: 334, 55: 285, 61: 291}
_PARTNERS |= {b: a for a, b in _PARTNERS.items()}
POINT_MIRROR = np.array([POINTS.index(_PARTNERS.get(p, p)) for p in POINTS])

_NOSE = (1,) * 11 + (133, 362)  # from below the nose's tip a bit towards the eyes lies the tip, 4, which is none of `POINTS`
_OF_FIVE = ((33, 133, 159, 145), (362, 263, 386, 374), _NOSE, (61,), (291,))
FIVE = tuple(tuple(POINTS.index(point) for point in points) for points in _OF_FIVE)
"""Which of `POINTS` are the five of the crop rule (`five_points`), each the mean of some."""

#: The part of the face that expressions hardly move: eye corners, nose bridge, temples, forehead.
RIGID = (33, 133, 362, 263, 168, 6, 197, 195, 5, 127, 356, 234, 454, 10, 151, 9, 54, 284)

_PLAIN, _MOST = 4.0, 10.0


@dataclass(frozen=True, slots=True)
class CueModel:
    """What standardises a face: the rigid mean shape and the neutral faces' statistics."""

    shape: np.ndarray
    """`[R,3]` mean rigid shape, frontal, centred, unit size."""
    mean: np.ndarray
    """`[C]` mean raw measure of neutral faces."""
    std: np.ndarray
    """`[C]` standard deviation of the same."""

    def measure(self, landmarks: np.ndarray, point_index: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Measure faces.

        Args:
            landmarks: `[N,P,3]` pixels; NaN rows stay NaN.
            point_index: `[P]` Face Mesh numbers.

        Returns:
            z-scores `[N,C]`, beyond ±4 as their logarithm (`compressed`), and pose `[N,3]`, degrees: yaw (to the subject's left positive),
            pitch (up positive), roll (clockwise in the picture positive).
        """
        frontal, pose = frontalise(landmarks, point_index, self.shape)
        raw = raw_measures(frontal, point_index)
        return compressed((raw - self.mean) / self.std).astype(np.float32), pose


def compressed(z: np.ndarray) -> np.ndarray:
    """Deviations as they are up to 4, and from there on as their logarithm grows, 10 at the most: a mouth that shouts, fifteen deviations
    open, is told from one that speaks, and still does not outweigh the rest of the face."""
    size = np.abs(z)
    return np.asarray(np.where(size <= _PLAIN, z, np.sign(z) * np.minimum(_PLAIN * (1 + np.log(np.maximum(size, _PLAIN) / _PLAIN)), _MOST)))


def fit_cue_model(landmarks: np.ndarray, point_index: np.ndarray, neutral: np.ndarray) -> CueModel:
    """Fit the mean shape on all faces and the statistics on the `neutral` ones (boolean `[N]`).

    Mean and deviation are the robust ones (median; 0.7413 × interquartile range), since some landmarks are wrong.
    """
    known = np.isfinite(landmarks).all((1, 2))
    shape = _mean_shape(_rigid(landmarks[known], point_index))
    frontal, _ = frontalise(landmarks[known & neutral], point_index, shape)
    raw = raw_measures(frontal, point_index)
    low, mid, high = np.percentile(raw, [25, 50, 75], axis=0)
    return CueModel(shape, mid.astype(np.float32), (0.7413 * (high - low)).astype(np.float32))


def raw_measures(frontal: np.ndarray, point_index: np.ndarray) -> np.ndarray:
    """`[N,C]` raw measures of frontal faces `[N,P,3]`."""
    row = {int(number): i for i, number in enumerate(point_index)}
    flat = frontal[..., :2]
    scale = np.linalg.norm(flat[:, row[33]] - flat[:, row[263]], axis=1)[:, None, None]
    flat = flat / scale

    def at(*numbers: int) -> np.ndarray:
        return flat[:, [row[n] for n in numbers]].mean(1)

    return np.stack([cue.measure(at) for cue in CUES], 1)


def frontalise(landmarks: np.ndarray, point_index: np.ndarray, shape: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rotate faces `[N,P,3]` to the front; return them with the pose `[N,3]` in degrees (see `CueModel.measure`)."""
    rotation = np.full((len(landmarks), 3, 3), np.nan)
    rigid = _rigid(landmarks, point_index)
    known = np.isfinite(rigid).all((1, 2))
    rotation[known] = _kabsch(rigid[known], shape)
    frontal = landmarks @ rotation
    yaw = np.degrees(np.arctan2(-rotation[:, 0, 2], rotation[:, 2, 2]))
    pitch = np.degrees(np.arcsin(np.clip(rotation[:, 1, 2], -1, 1)))
    roll = np.degrees(np.arctan2(rotation[:, 1, 0], rotation[:, 1, 1]))
    return frontal, np.stack([yaw, pitch, roll], 1).astype(np.float32)


def _rigid(landmarks: np.ndarray, point_index: np.ndarray) -> np.ndarray:
    row = {int(number): i for i, number in enumerate(point_index)}
    points = landmarks[:, [row[n] for n in RIGID]].astype(np.float64)
    points = points - points.mean(1, keepdims=True)
    return points / np.sqrt((points**2).sum((1, 2), keepdims=True))


def _kabsch(points: np.ndarray, shape: np.ndarray) -> np.ndarray:
    """Rotations `[N,3,3]` such that `points @ R` lies nearest to `shape` (row vectors)."""
    u, _, vt = np.linalg.svd(np.swapaxes(points, 1, 2) @ shape)
    flip = np.ones((len(points), 3))
    flip[:, 2] = np.sign(np.linalg.det(u @ vt))
    return (u * flip[:, None]) @ vt


def _mean_shape(rigid: np.ndarray) -> np.ndarray:
    """Generalised Procrustes mean, turned so that the eye line is level and the face symmetric."""
    shape = np.median(rigid, 0)
    for _ in range(5):
        shape = np.median(rigid @ _kabsch(rigid, shape), 0)
        mirror = [RIGID.index({**_PARTNERS, 127: 356, 356: 127, 234: 454, 454: 234, 54: 284, 284: 54}.get(n, n)) for n in RIGID]
        shape = (shape + shape[mirror] * np.array([-1, 1, 1])) / 2
        shape -= shape.mean(0)
        shape /= np.sqrt((shape**2).sum())
    return shape


def mean_five_points(landmarks: np.ndarray, point_index: np.ndarray) -> np.ndarray:
    """Where eyes, nose tip and mouth corners of a levelled mean face lie in the crop: the crop rule that the data implies.

    Args:
        landmarks: `[N,P,3]` pixels of the crop.
        point_index: `[P]` Face Mesh numbers.

    Returns:
        `[5,2]` pixels: eye, eye, nose tip, mouth corner, mouth corner, image left first.
    """
    five = five_points(landmarks[np.isfinite(landmarks).all((1, 2))], point_index)
    z = five[..., 0] + 1j * five[..., 1]
    centre = z.mean(1, keepdims=True)
    size = np.sqrt((np.abs(z - centre) ** 2).mean(1, keepdims=True))
    level = np.exp(-1j * np.angle(z[:, 1] - z[:, 0]))[:, None]
    mean = ((z - centre) / size * level).mean(0) * np.median(size) + np.median(centre.real) + 1j * np.median(centre.imag)
    return np.stack([mean.real, mean.imag], 1)


def five_points(landmarks: np.ndarray, point_index: np.ndarray) -> np.ndarray:
    """Eye, eye, nose tip, mouth corner, mouth corner of each face, image left first: `[N,5,2]` float64 of landmarks `[N,P,3]`."""
    row = {int(number): i for i, number in enumerate(point_index)}
    flat = landmarks[..., :2].astype(np.float64)

    def at(*numbers: int) -> np.ndarray:
        return flat[:, [row[n] for n in numbers]].mean(1)

    return np.stack([at(33, 133, 159, 145), at(362, 263, 386, 374), at(4), at(61), at(291)], 1)
