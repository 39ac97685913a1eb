"""The face as a mesh: Face Mesh's 478 points, how FACS expressions move them, and how it fits a photograph's landmarks. Free of torch.

Axes are those of the landmarks: x right, y down, z away from the camera; the mesh's unit is the distance between the outer eye corners.
Sides are the subject's own.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.spatial import Delaunay

from edge.vision.warp import cross
from training.cues import RIGID
from training.data import read_pack

#: Inner and outer edge of the lips, column by column: upper lip from the gap outwards, lower lip likewise. The right half, then the left.
LIP_COLUMNS = (
    ((191, 183, 184, 185), (95, 96, 77, 146)), ((80, 42, 74, 40), (88, 89, 90, 91)), ((81, 41, 73, 39), (178, 179, 180, 181)),
    ((82, 38, 72, 37), (87, 86, 85, 84)), ((13, 12, 11, 0), (14, 15, 16, 17)), ((312, 268, 302, 267), (317, 316, 315, 314)),
    ((311, 271, 303, 269), (402, 403, 404, 405)), ((310, 272, 304, 270), (318, 319, 320, 321)),
    ((415, 407, 408, 409), (324, 325, 307, 375)),
)  # fmt: skip
LIP_CORNERS = (78, 308)
#: Upper lid, lower lid, pair by pair from the outer corner to the inner one; then the corners.
LIDS = (
    ((246, 7), (161, 163), (160, 144), (159, 145), (158, 153), (157, 154), (173, 155)),
    ((466, 249), (388, 390), (387, 373), (386, 374), (385, 380), (384, 381), (398, 382)),
)
LID_CORNERS = ((33, 133), (263, 362))
#: Upper and lower edge of the brows.
BROWS = ((70, 46), (63, 53), (105, 52), (66, 65), (107, 55), (300, 276), (293, 283), (334, 282), (296, 295), (336, 285))
_UNDER_BROWS = ((225, 46), (224, 53), (223, 52), (222, 65), (221, 55), (445, 276), (444, 283), (443, 282), (442, 295), (441, 285))
OVAL = (
    10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377,
    152, 148, 176, 149, 150, 136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109,
)  # fmt: skip
POINT_INDEX = np.array((
    0, 1, 2, 4, 5, 6, 7, 8, 9, 10, 13, 14, 17, 18, 19, 21, 33, 37, 39, 40, 45, 46, 48, 50, 52, 53, 54, 55, 58, 61, 63, 64, 65, 66,
    67, 70, 78, 80, 81, 82, 84, 87, 88, 91, 93, 94, 95, 97, 98, 101, 103, 105, 107, 109, 115, 127, 132, 133, 136, 144, 145, 146,
    148, 149, 150, 151, 152, 153, 154, 155, 157, 158, 159, 160, 161, 162, 163, 168, 172, 173, 176, 178, 181, 185, 191, 195, 197,
    199, 200, 205, 220, 234, 246, 249, 251, 263, 267, 269, 270, 275, 276, 278, 280, 282, 283, 284, 285, 288, 291, 293, 294, 295,
    296, 297, 300, 308, 310, 311, 312, 314, 317, 318, 321, 323, 324, 326, 327, 330, 332, 334, 336, 338, 344, 356, 361, 362, 365,
    373, 374, 375, 377, 378, 379, 380, 381, 382, 384, 385, 386, 387, 388, 389, 390, 397, 398, 400, 402, 405, 409, 415, 425, 440,
    454, 466, 469, 470, 471, 472, 474, 475, 476, 477,
))  # fmt: skip
"""Face Mesh numbers of the 172 landmarks in the data packs."""
SKIN = 468
"""The first points are skin; the ten after them belong to the irises, which no expression here moves."""
RINGS = ((1.25, 0.5), (1.7, 0.0))
"""Rings around the face's oval: how far out, and what share of the oval's movement they carry on."""


def lip_ring() -> list[int]:
    """The inner edge of the lips, all around."""
    return [LIP_CORNERS[0], *(up[0] for up, _ in LIP_COLUMNS), LIP_CORNERS[1], *(low[0] for _, low in reversed(LIP_COLUMNS))]


def lid_ring(eye: int) -> list[int]:
    """The edge of the lids of the right (0) or left (1) eye, all around."""
    outer, inner = LID_CORNERS[eye]
    return [outer, *(up for up, _ in LIDS[eye]), inner, *(low for _, low in reversed(LIDS[eye]))]


@dataclass(frozen=True, slots=True)
class Fit:
    """Where the mesh lies in a picture."""

    points: np.ndarray
    """`[478,3]` pixels."""
    turn: np.ndarray
    """`[3,3]` scaled rotation: row vectors of the mesh times this are pixels."""
    scale: float
    """Pixels per unit of the mesh."""
    yaw_deg: float
    pitch_deg: float
    apart: float
    """Root mean square distance of the landmarks from the fitted rigid points, in the mesh's unit."""


class FaceMesh:
    """Mesh, displacement fields and topology."""

    def __init__(self, names: tuple[str, ...], neutral: np.ndarray, displacement: np.ndarray, point_index: np.ndarray) -> None:
        """Prepare what all faces share.

        Args:
            names: the expressions.
            neutral: `[478,3]` the face at rest, y up and z towards the camera, as the pack has it.
            displacement: `[E,478,3]` likewise.
            point_index: `[P]` Face Mesh numbers of the landmarks that will be given.
        """
        turn = np.array([1, -1, -1], np.float32)
        self.names = names
        self.neutral = neutral.astype(np.float32) * turn
        self.fields = displacement.astype(np.float32) * turn
        self.fields[:, SKIN:] = 0
        for up, low in LIP_COLUMNS:  # upper and lower edge share a vertex in the pack: each takes its own lip's movement
            self.fields[:, up[0]], self.fields[:, low[0]] = self.fields[:, up[1]], self.fields[:, low[1]]
        for bad, good in ((184, 185), (408, 409)):
            self.fields[:, bad] = self.fields[:, good]
        for upper, lower in BROWS:  # hair does not stretch: the lower edge of a brow goes with the upper one
            self.fields[:, lower] = 0.75 * self.fields[:, upper] + 0.25 * self.fields[:, lower]
        for skin, brow in _UNDER_BROWS:
            self.fields[:, skin] = 0.4 * self.fields[:, brow] + 0.6 * self.fields[:, skin]
        lips = [LIP_CORNERS[0], LIP_CORNERS[1], *(n for up, low in LIP_COLUMNS for n in (*up, *low))]
        for i, name in enumerate(names):
            if name.startswith("noseSneer"):  # bares the teeth in the pack; of a person's nose wrinkling the lips take less
                self.fields[i, lips] *= 0.45
        self.point_index = point_index.astype(int)
        self._row = {int(number): i for i, number in enumerate(self.point_index)}
        self._rigid = [self._row[n] for n in RIGID]
        opened = self.opened = self._opened()
        self.triangles = _triangulate(opened)
        self._spread = spread(opened, self.point_index)
        self._smooth_normals = _normal_matrix(self.triangles)

    def _opened(self) -> np.ndarray:
        """The mesh with parted lips and wide eyes, so that no two points coincide."""
        amounts = {"jawOpen": 0.6, "eyeWide_L": 1.0, "eyeWide_R": 1.0}
        moved = self.neutral.copy()
        for name, amount in amounts.items():
            moved += amount * self.fields[self.names.index(name)]
        return moved

    def field(self, amounts: dict[str, float]) -> np.ndarray:
        """`[478,3]` sum of displacements, in the mesh's unit."""
        rows = [self.names.index(name) for name in amounts]
        return np.tensordot(np.array(list(amounts.values()), np.float32), self.fields[rows], 1)

    def fit(self, landmarks: np.ndarray) -> Fit:
        """Lay the mesh into a picture: a similarity from the points that expressions hardly move, the rest of the difference spread.

        Args:
            landmarks: `[P,3]` pixels.
        """
        mesh, seen = self.neutral[list(RIGID)].astype(np.float64), landmarks[self._rigid].astype(np.float64)
        weight = np.ones(len(mesh))
        for _ in range(2):  # the second time without what fits worst
            turn, scale, shift = _similarity(mesh, seen, weight)
            apart = np.linalg.norm(mesh @ turn + shift - seen, axis=1)
            weight = 1 / (1 + (apart / (0.08 * scale)) ** 2)
        rotation = turn / scale
        laid = self.neutral @ turn.astype(np.float32) + shift.astype(np.float32)
        points = laid + self._spread @ (landmarks - laid[self.point_index])
        yaw = float(np.degrees(np.arctan2(-rotation[2, 0], rotation[2, 2])))
        pitch = float(np.degrees(np.arcsin(np.clip(rotation[2, 1], -1, 1))))
        return Fit(points.astype(np.float32), turn.astype(np.float32), scale, yaw, pitch, float(np.sqrt((apart**2).mean()) / scale))

    def jaw(self, amounts: dict[str, float], fit: Fit) -> np.ndarray:
        """`[2]` pixels by which the lower teeth move: with the jaw alone."""
        alone = {name: amount for name, amount in amounts.items() if name.startswith("jaw")}
        return (self.field(alone)[15] @ fit.turn)[:2] if alone else np.zeros(2, np.float32)

    def ring(self, points: np.ndarray, moved: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """What surrounds the face: ring points, where they move to, and the triangles between the rings (numbered from 478 on)."""
        oval = points[list(OVAL), :2]
        centre = oval.mean(0)
        still = [centre + out * (oval - centre) for out, _ in RINGS]
        gone = [s + share * (moved[list(OVAL), :2] - oval) for s, (_, share) in zip(still, RINGS, strict=True)]
        return np.concatenate(still), np.concatenate(gone), RING_TRIANGLES

    def normals(self, *faces: np.ndarray) -> list[np.ndarray]:
        """Smooth unit normals `[478,3]` of faces `[478,3]`, towards the camera."""
        crossed = []
        for points in faces:
            a, b, c = (points[self.triangles[:, i]] for i in range(3))
            p, q = (b - a).T, (c - a).T
            crossed += [p[1] * q[2] - p[2] * q[1], p[2] * q[0] - p[0] * q[2], p[0] * q[1] - p[1] * q[0]]
        normal = (self._smooth_normals @ np.stack(crossed, 1)).reshape(478, len(faces), 3)
        normal /= np.maximum(np.linalg.norm(normal, axis=2, keepdims=True), 1e-6)
        return [normal[:, i] for i in range(len(faces))]


def load_mesh(folder: Path, point_index: np.ndarray) -> FaceMesh:
    """Read `facs_displacements.npz`.

    Raises:
        InputError: the pack is missing or broken.
    """
    names, neutral, displacement = read_pack(folder / "facs_displacements.npz", "names", "neutral", "displacement")
    return FaceMesh(tuple(map(str, names)), neutral, displacement, point_index)


def _similarity(mesh: np.ndarray, seen: np.ndarray, weight: np.ndarray) -> tuple[np.ndarray, float, np.ndarray]:
    """Scaled rotation, scale and shift that bring `mesh` nearest to `seen` (Umeyama 1991), row vectors."""
    w = (weight / weight.sum())[:, None]
    a, b = (w * mesh).sum(0), (w * seen).sum(0)
    u, d, vt = np.linalg.svd((w * (mesh - a)).T @ (seen - b))
    sign = np.array([1, 1, np.sign(np.linalg.det(u @ vt))])
    scale = float((d * sign).sum() / (w * (mesh - a) ** 2).sum())
    turn = scale * (u * sign) @ vt
    return turn, scale, b - a @ turn


def _triangulate(opened: np.ndarray) -> np.ndarray:
    """`[T,3]` triangles of the skin, without mouth and eyes, all turned the same way."""
    found = Delaunay(opened[:SKIN, :2]).simplices
    holes = [set(lip_ring()), set(lid_ring(0)), set(lid_ring(1)), set(OVAL)]
    kept = np.array([t for t in found.tolist() if not any(set(t) <= hole for hole in holes)])
    flat = opened[:, :2]
    area = cross(flat[kept[:, 1]] - flat[kept[:, 0]], flat[kept[:, 2]] - flat[kept[:, 0]])
    kept[area > 0] = kept[area > 0][:, ::-1]
    return kept


def spread(opened: np.ndarray, point_index: np.ndarray) -> np.ndarray:
    """`[478,P]` weights that carry what is known at the landmarks on to all points: radial basis |r|, linear part exact."""
    points = opened.astype(np.float64)
    known = points[point_index]

    def basis(a: np.ndarray) -> np.ndarray:
        return np.linalg.norm(a[:, None] - known[None], axis=2)

    count = len(known)
    system = np.zeros((count + 4, count + 4))
    system[:count, :count] = basis(known)
    system[:count, count:] = np.column_stack([np.ones(count), known])
    system[count:, :count] = system[:count, count:].T
    right = np.column_stack([basis(points), np.ones(len(points)), points])
    return np.linalg.solve(system, right.T)[:count].T.astype(np.float32)


def _normal_matrix(triangles: np.ndarray) -> np.ndarray:
    """`[478,T]` sums the triangles' normals around each point, smoothed over its neighbours twice."""
    touch = np.zeros((478, len(triangles)), np.float32)
    touch[triangles.T, np.arange(len(triangles))] = 1
    near = ((touch @ touch.T) > 0).astype(np.float32)
    near /= np.maximum(near.sum(1, keepdims=True), 1)
    return near @ near @ touch


def _ring_triangles() -> np.ndarray:
    n, rows = len(OVAL), []
    circles = [list(OVAL), *(list(range(478 + n * i, 478 + n * (i + 1))) for i in range(len(RINGS)))]
    for inner, outer in itertools.pairwise(circles):
        for i in range(n):
            j = (i + 1) % n
            rows += [(inner[i], outer[i], outer[j]), (inner[i], outer[j], inner[j])]
    return np.array(rows)


RING_TRIANGLES = _ring_triangles()


def _strips(columns: Sequence[tuple[int, int]]) -> np.ndarray:
    rows = []
    for (a, b), (c, d) in itertools.pairwise(columns):
        rows += [(a, b, c), (c, b, d)]
    return np.array(rows)


MOUTH = _strips([(78, 78), *((up[0], low[0]) for up, low in LIP_COLUMNS), (308, 308)])
"""Triangles of the gap between the lips, `EYES` of what lies between the lids: the skin has holes there."""
EYES = np.concatenate([_strips([(o, o), *LIDS[eye], (i, i)]) for eye, (o, i) in enumerate(LID_CORNERS)])
GAP = np.array([(up[0], low[0]) for up, low in LIP_COLUMNS[3:6]])
"""Upper and lower lip in the middle of the mouth."""
