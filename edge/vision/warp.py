"""Moving parts of a face in its picture: where a mesh's points stop, and the picture drawn anew between them. Pure functions."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edge.cv import cv2

STILL_PX = 0.02
"""What moves by less stays where it is."""

Triangles = np.ndarray
"""`[T,3]` numbers of the mesh's points."""


def cross(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Cross product `[…]` of plane vectors `[…,2]`: twice the area between them, with its sign."""
    return np.asarray(a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0])


def in_sight(normals: np.ndarray) -> np.ndarray:
    """Share `[V,1]` of its movement that each point keeps: none on the far side of a turned head, where it would tear the outline.

    Args:
        normals: `[V,3]` of the skin, z away from the camera.
    """
    sideways = -normals[:, 2] / np.maximum(np.hypot(normals[:, 0], normals[:, 2]), 1e-3)
    return np.asarray(np.clip(2.5 * sideways - 0.25, 0, 1)[:, None].astype(np.float32))


def stop_jaw(points: np.ndarray, shift: np.ndarray, jaw: np.ndarray, down: np.ndarray, pairs: np.ndarray) -> np.ndarray:
    """As much of the closing movement of the jaw `[V,3]` as the gap between the lips leaves room for.

    Args:
        points: `[V,3]` pixels of the mesh.
        shift: `[V,3]` what moves otherwise.
        jaw: `[V,3]` what the jaw would.
        down: `[3]` the face's own down, of length 1.
        pairs: `[K,2]` inner edge of the upper lip and of the lower one, in the middle.
    """
    up, low = pairs.T
    gap, asked = (float((moved[low] - moved[up]).mean(0) @ down) for moved in (points + shift, jaw))
    return np.asarray(jaw * float(np.clip(gap / max(-asked, 1e-6), 0, 1)))


def stop_lids(points: np.ndarray, shift: np.ndarray, down: np.ndarray, pairs: np.ndarray, usual: np.ndarray) -> float:
    """Scale the movement of one eye's lids to this face's opening, and stop them where they meet.

    Args:
        points: `[V,3]` pixels of the mesh.
        shift: `[V,3]` what moves, changed in place.
        down: `[3]` the face's own down, of length 1.
        pairs: `[K,2]` upper and lower lid.
        usual: `[K]` how far these are apart on the mean face, pixels.

    Returns:
        How far the eye has closed, 0 to 1.
    """
    up, low = pairs.T
    opening = np.clip((points[low] - points[up]) @ down, 0, None)
    asked = (shift[low] - shift[up]) @ down
    allowed = np.where(asked < 0, np.maximum(asked * opening / (0.85 * usual), -opening), asked)
    shift[up] -= (allowed - asked)[:, None] * down
    return float(np.clip(-allowed.sum() / max(opening.sum(), 1e-6), 0, 1))


def stop_lips(points: np.ndarray, shift: np.ndarray, down: np.ndarray, columns: Sequence[tuple[Sequence[int], Sequence[int]]]) -> None:
    """Stop the lips where they meet: what is left over moves both, half and half.

    Args:
        points: `[V,3]` pixels of the mesh.
        shift: `[V,3]` what moves, changed in place.
        down: `[3]` the face's own down, of length 1.
        columns: upper lip and lower lip, each from the gap outwards.
    """
    for up, low in columns:
        gap = float((points[low[0]] - points[up[0]]) @ down)
        over = -(max(gap, 0.0) + float((shift[low[0]] - shift[up[0]]) @ down))
        if over > 0:
            shift[list(up)] -= 0.5 * over * down
            shift[list(low)] += 0.5 * over * down


def eyeball(source: np.ndarray, target: np.ndarray, rings: Sequence[Sequence[int]]) -> np.ndarray:
    """Where the inside of the eyes comes from `[V,2]`: it stays while lids close over it, and is stretched when they open.

    Args:
        source: `[V,2]` pixels before the move.
        target: `[V,2]` after it.
        rings: the edge of each eye's lids, all around.
    """
    where = source.copy()
    for ring in map(list, rings):
        outwards = ((target[ring] - source[ring]) * (source[ring] - source[ring].mean(0))).sum(1) > 0
        where[ring] = np.where(outwards[:, None], source[ring], target[ring])
    return where


def warp(picture: np.ndarray, target: np.ndarray, layers: Sequence[tuple[Triangles, np.ndarray, np.ndarray]]) -> np.ndarray:
    """Draw triangles of `target` `[V,2]`, each layer over the one before, with what lies under the same triangle of its source.

    Args:
        picture: `[S,S]` float32.
        target: `[V,2]` pixels.
        layers: triangles `[T,3]`, source `[V,2]`, and by what share each point gets brighter `[V]`.
    """
    corners, values = [], []
    for triangles, source, shade in layers:
        value = np.column_stack([source - target, shade]).astype(np.float32)
        moves = np.asarray((np.abs(value) > (STILL_PX, STILL_PX, 0.004)).any(1))
        used = triangles[moves[triangles].any(1)]
        corners.append(target[used])
        values.append(value[used])
    corner, value = np.concatenate(corners).astype(np.float32), np.concatenate(values)
    seen = np.abs(cross(corner[:, 1] - corner[:, 0], corner[:, 2] - corner[:, 0])) > 0.02
    corner, value = corner[seen], value[seen]
    a, ab, ac = corner[:, 0], corner[:, 1] - corner[:, 0], corner[:, 2] - corner[:, 0]
    area = cross(ab, ac)[:, None]
    owner = np.full(picture.shape, -1, np.float32)
    for number, points in enumerate(np.round(corner * 16).astype(np.int32)):
        cv2.fillConvexPoly(owner, points, number, cv2.LINE_8, 4)
    y, x = np.nonzero(owner >= 0)
    i = owner[y, x].astype(np.intp)
    first, second = value[:, 1] - value[:, 0], value[:, 2] - value[:, 0]
    right = (first * ac[:, 1:] - second * ab[:, 1:]) / area  # change of the value per pixel to the right, and down
    down = (second * ab[:, :1] - first * ac[:, :1]) / area
    table = np.concatenate([right, down, value[:, 0] - right * a[:, :1] - down * a[:, 1:], value.min(1), value.max(1)], 1)[i]
    found = table[:, :3] * x[:, None].astype(np.float32) + table[:, 3:6] * y[:, None].astype(np.float32) + table[:, 6:9]
    # drawn edges reach half a pixel beyond the triangle
    found = np.minimum(np.maximum(found, table[:, 9:12]), table[:, 12:15])
    size = picture.shape[0]
    grid = np.arange(size, dtype=np.float32)
    map_x, map_y = np.tile(grid, (size, 1)), np.tile(grid[:, None], (1, size))
    bright = np.ones_like(picture)
    map_x[y, x] += found[:, 0]
    map_y[y, x] += found[:, 1]
    bright[y, x] += found[:, 2]
    drawn = cv2.remap(picture, map_x, map_y, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(drawn * bright)
