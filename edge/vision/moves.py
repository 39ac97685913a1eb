"""Taking back one cue of a face: the encoder's points and pose → a mesh over the crop → the crop in which that part is at rest.

The fields of `moves.npz` say how far each point of the mesh goes for one deviation of a cue; they are ICT-FaceKit's (MIT, USC ICT), summed
and scaled by the exporter. A bundle may lack the file.
"""

from __future__ import annotations

import io
import math
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np

from edge.cv import cv2
from edge.errors import BundleError, InputError
from edge.files import read_bounded
from edge.vision.crop import crop_matrix
from edge.vision.warp import cross, eyeball, in_sight, stop_jaw, stop_lids, stop_lips, warp

TURNED_DEG = 35.0
"""A head turned, raised or lowered beyond this is left alone: too much of it is out of sight."""
_LONGEST, _UNPACKED = 1 << 20, 8 << 20
"""Longest file that is read, and what it may unpack to, bytes."""
_FOLDED, _APART = 0.2, 0.2
"""Share of the mesh that may lie back to front; how far the rigid points may lie from where they fit, in eye-corner distances."""
_GROW = 2
"""The crop is enlarged for the move and only what has changed is brought back: squeezed lips and lids would alias."""
_LEAST_DONE = 0.5
"""Less of a move than this, after lids and lips have met, does not take a cue back."""


class UnmovableError(ValueError):
    """Why a face, or a part of it, cannot be moved: one clause."""


@dataclass(frozen=True, slots=True)
class MoveArrays:
    """The arrays of `moves.npz`; V points of the mesh, P of the encoder, L fields."""

    rest: np.ndarray
    """`[V,3]` the mean face from the front, in eye-corner distances: x right, y down, z away from the camera."""
    normals: np.ndarray
    """`[V,3]` of its skin."""
    spread: np.ndarray
    """`[V,P]` weights that carry what is known at the encoder's points on to all."""
    points: np.ndarray
    """`[P]` numbers of the encoder's points, in its order."""
    rigid: np.ndarray
    """Which of the P points expressions hardly move."""
    around: np.ndarray
    """`[T,3]` triangles around the face, `mouth` between the lips, `eyes` between the lids, `skin`; drawn in this order."""
    mouth: np.ndarray
    eyes: np.ndarray
    skin: np.ndarray
    rings: np.ndarray
    """`[2,R]` the edge of each eye's lids, all around."""
    lids: np.ndarray
    """`[2,K,2]` upper and lower lid of each eye."""
    lips: np.ndarray
    """`[C,2,D]` upper and lower lip, column by column, from the gap outwards."""
    gap: np.ndarray
    """`[K,2]` upper and lower lip in the middle of the mouth."""
    cues: np.ndarray
    """`[L]` the cue that a field takes back."""
    sides: np.ndarray
    """`[L]` +1: from above neutral; −1: from below."""
    fields: np.ndarray
    """`[L,V,3]` how far each point goes for one deviation."""
    jaw: np.ndarray
    """`[V,3]` how the jaw closes."""
    closing: np.ndarray
    """`[L]` how much of that goes with a field, for one deviation: it stops where the lips meet."""
    most: np.ndarray
    """`[L]` deviations beyond which no muscle goes."""
    words: np.ndarray
    """`[L]` what is taken back, such as `the raised lip corners`."""
    source: np.ndarray
    """Whose fields these are, and under which licence."""


@dataclass(frozen=True, slots=True)
class Laid:
    """The mesh over one face."""

    points: np.ndarray
    """`[V,3]` pixels of the crop; those of its picture count from the first pixel's middle."""
    turn: np.ndarray
    """`[3,3]` row vectors of the mesh times this are pixels."""
    scale: float
    """Pixels of an eye-corner distance."""
    seen: np.ndarray
    """`[V,1]` share of its movement that each point keeps."""


class Moves:
    """The moves of a bundle."""

    def __init__(self, arrays: MoveArrays) -> None:
        self.arrays = arrays
        self._rows = {(str(cue), int(side)): i for i, (cue, side) in enumerate(zip(arrays.cues, arrays.sides, strict=True))}
        self._apart = [np.abs(arrays.rest[pairs[:, 1], 1] - arrays.rest[pairs[:, 0], 1]) for pairs in arrays.lids]

    @classmethod
    def load(cls, path: Path) -> Moves:
        """Read `moves.npz`.

        Raises:
            BundleError: it cannot be read, or its arrays do not fit each other.
        """
        try:
            data = read_bounded(path, _LONGEST)
            with zipfile.ZipFile(io.BytesIO(data)) as archive:
                if sum(part.file_size for part in archive.infolist()) > _UNPACKED:
                    raise ValueError(f"it unpacks to more than {_UNPACKED} bytes")
            with np.load(io.BytesIO(data), allow_pickle=False) as found:
                arrays = {name: found[name] for name in found.files}
            return cls(_checked(arrays))
        except (ValueError, OSError, InputError, zipfile.BadZipFile) as error:
            raise BundleError(f"'{path}' does not hold the moves of a face: {error}; export the bundle again") from None

    @property
    def known(self) -> Mapping[tuple[str, int], int]:
        """Cue and side (+1 above neutral, −1 below) of everything that can be taken back."""
        return self._rows

    def check_points(self, count: int) -> None:
        """Raise `ValueError` when they are for an encoder of another number of points."""
        if count != len(self.arrays.points):
            raise ValueError(f"moves.npz is for an encoder of {len(self.arrays.points)} points, this one gives {count}")

    def words(self, cue: str, side: int) -> str:
        """What is taken back, such as `the raised lip corners`."""
        return str(self.arrays.words[self._rows[cue, side]])

    def lay(self, points_xy: np.ndarray, pose_deg: Iterable[float]) -> Laid:
        """Lay the mesh over a face.

        Args:
            points_xy: `[P,2]` the encoder's points, pixels of the crop from its edge.
            pose_deg: yaw, pitch, roll.

        Raises:
            UnmovableError: the head is turned too far, or the points form no face.
        """
        yaw, pitch, roll = pose_deg
        if (turned := max(abs(yaw), abs(pitch))) > TURNED_DEG:
            raise UnmovableError(f"the head is turned by {turned:.0f}°, more than {TURNED_DEG:.0f}°")
        own = self.arrays
        turn = _rotation(yaw, pitch, roll).T
        seen = points_xy - 0.5
        flat = (own.rest[own.points] @ turn)[:, :2]
        matrix = crop_matrix(seen[own.rigid], flat[own.rigid].astype(np.float64))  # from the picture to the mesh
        back = np.linalg.inv(np.vstack([matrix, [0, 0, 1]]))[:2]
        scale = math.hypot(back[0, 0], back[1, 0])
        turn = np.column_stack([turn[:, :2] @ back[:, :2].T, turn[:, 2] * scale])
        laid = own.rest @ turn + np.append(back[:, 2], 0)
        off = seen - laid[own.points, :2]
        apart = float(np.sqrt((off[own.rigid] ** 2).sum(1).mean())) / scale
        laid[:, :2] += own.spread @ off
        a, b, c = (laid[own.skin[:, i], :2] for i in range(3))
        if apart > _APART or not np.isfinite(laid).all() or float((cross(b - a, c - a) > 0).mean()) > _FOLDED:
            raise UnmovableError("the points that were read do not form a face")
        return Laid(laid, turn, scale, in_sight(own.normals @ (turn / scale)))

    def back(self, laid: Laid, cue: str, measured: float) -> np.ndarray:
        """By how much each point of the mesh moves `[V,3]`, pixels, to take a cue back to neutral.

        Args:
            laid: the mesh over the face.
            cue: which has a field on that side.
            measured: deviations from neutral.

        Raises:
            UnmovableError: no muscle goes so far, or lids or lips meet long before.
        """
        own, row = self.arrays, self._rows[cue, 1 if measured > 0 else -1]
        amount = abs(measured)
        if amount > own.most[row]:
            raise UnmovableError(f"no muscle goes so far: {amount:.1f} deviations, at most {own.most[row]:.1f}")
        down = laid.turn[1] / laid.scale
        shift = amount * (own.fields[row] @ laid.turn)
        jaw = amount * own.closing[row] * (own.jaw @ laid.turn)
        asked = (shift + jaw) * laid.seen
        shift += stop_jaw(laid.points, shift, jaw, down, own.gap)
        shift *= laid.seen
        for pairs, apart in zip(own.lids, self._apart, strict=True):
            stop_lids(laid.points, shift, down, pairs, laid.scale * apart)
        stop_lips(laid.points, shift, down, own.lips.tolist())
        if float((shift * asked).sum()) < _LEAST_DONE * float((asked**2).sum()):
            raise UnmovableError("lips or lids meet long before it is taken back")
        return np.asarray(shift)

    def draw(self, crop: np.ndarray, laid: Laid, shift: np.ndarray, *, there_and_back: bool = False) -> np.ndarray:
        """The crop `[S,S]` uint8 with the points of the mesh moved.

        Args:
            crop: `[S,S]` uint8.
            laid: the mesh over its face.
            shift: `[V,3]` pixels.
            there_and_back: move it and move it back: what drawing alone does to the picture.
        """
        before, after = (_GROW * (points[:, :2] + 0.5) - 0.5 for points in (laid.points, laid.points + shift))
        order = np.argsort(-laid.points[self.arrays.skin, 2].mean(1))  # what is nearer lies over what is farther
        large = cv2.resize(crop, None, fx=_GROW, fy=_GROW, interpolation=cv2.INTER_CUBIC).astype(np.float32)
        picture = self._drawn(large, before, after, order)
        if there_and_back:
            picture = self._drawn(picture, after, before, order)
        changed = crop + cv2.resize(picture - large, crop.shape[::-1], interpolation=cv2.INTER_AREA)
        return np.asarray(np.clip(np.round(changed), 0, 255).astype(np.uint8))

    def _drawn(self, picture: np.ndarray, source: np.ndarray, target: np.ndarray, order: np.ndarray) -> np.ndarray:
        own, shade = self.arrays, np.zeros(len(source), np.float32)
        inside = eyeball(source, target, own.rings.tolist())
        layers = [(own.around, source, shade), (own.mouth, source, shade), (own.eyes, inside, shade), (own.skin[order], source, shade)]
        return warp(picture, target, layers)


def _rotation(yaw_deg: float, pitch_deg: float, roll_deg: float) -> np.ndarray:
    """`[3,3]` that turns column vectors of a frontal face, with the signs of `edge.types.Pose`: the product of the head's three turns."""
    (a, b, c), (p, q, r) = (f(np.radians([yaw_deg, pitch_deg, roll_deg])) for f in (np.cos, np.sin))
    yaw = np.array([[a, 0, -p], [0, 1, 0], [p, 0, a]])
    pitch = np.array([[1, 0, 0], [0, b, q], [0, -q, b]])
    roll = np.array([[c, -r, 0], [r, c, 0], [0, 0, 1]])
    return np.asarray(yaw @ pitch @ roll)


_SHAPES = {
    "rest": "V3", "normals": "V3", "spread": "VP", "points": "P", "rigid": "*", "around": "*3", "mouth": "*3", "eyes": "*3", "skin": "*3",
    "rings": "2*", "lids": "2*2", "lips": "*2*", "gap": "*2", "cues": "L", "sides": "L", "fields": "LV3", "jaw": "V3", "closing": "L",
    "most": "L", "words": "L", "source": "",
}  # fmt: skip
"""Array → its axes: V, P and L of `MoveArrays`, a number, or `*` for any."""
_TEXTS = ("cues", "words", "source")
_NUMBERS = ("points", "around", "mouth", "eyes", "skin", "rings", "lids", "lips", "gap")
"""Arrays that hold numbers of the mesh's points."""


def _checked(arrays: dict[str, np.ndarray]) -> MoveArrays:
    """Arrays of a file, in the types they are computed with; `ValueError` where they do not fit."""
    if {*arrays} != {*_SHAPES}:
        raise ValueError(f"it holds {', '.join(sorted(arrays))[:80]}, expected {', '.join(_SHAPES)}")
    sizes = {axis: arrays[name].shape[:1] for axis, name in (("V", "rest"), ("P", "points"), ("L", "cues"))}
    found = {}
    for name, axes in _SHAPES.items():
        array = arrays[name]
        known = [sizes.get(axis, (int(axis),) if axis.isdigit() else None) for axis in axes]
        if array.ndim != len(axes) or any(k is not None and k != (n,) for k, n in zip(known, array.shape, strict=True)):
            raise ValueError(f"{name} has the shape {array.shape}")
        if array.dtype.kind not in ("U" if name in _TEXTS else "iu" if name in (*_NUMBERS, "rigid", "sides") else "f"):
            raise ValueError(f"{name} holds {array.dtype}")
        if name in _TEXTS:
            found[name] = array
        elif array.dtype.kind == "f":
            if not (np.abs(array) <= 1e3).all():
                raise ValueError(f"{name} holds what is no number of a face")
            found[name] = array.astype(np.float32)
        else:
            found[name] = array.astype(np.intp)
    if any(found[name].size and not 0 <= found[name].min() <= found[name].max() < sizes["V"][0] for name in _NUMBERS):
        raise ValueError("a triangle or ring names a point that the mesh lacks")
    if (
        found["rigid"].size < 3
        or not 0 <= found["rigid"].min() <= found["rigid"].max() < len(found["points"])
        or not {*found["sides"]} <= {1, -1}
    ):
        raise ValueError("rigid or sides are out of range")
    return MoveArrays(**{field.name: found[field.name] for field in fields(MoveArrays)})
