"""Which way up a face is: the finder also finds faces that stand on their head, and gives them the points of an upright one.

A face that it is not sure of is shown to it four times in one small picture, each time a quarter turn further; it knows an upright face
when it sees one. Photographs of the training pack, chosen on half of its groups and checked on the other (shipped finder): of 221 faces
that are found upside down 214 are turned as they must be and 203 keep their label (96 before), of 362 upright ones none is touched. All
that were upside down score below `SURE`, of the upright ones three in ten.
"""

from __future__ import annotations

import numpy as np

from edge.types import Detection

SURE = 0.82
"""A face with a higher score is upright."""
CELL = 64
"""Side of each of the four, pixels."""

_LEAD = 0.05  # by so much another turn must win
_MARGIN = 1.4  # side of what is shown over the longer side of the face's box


def window(box_xyxy: np.ndarray) -> np.ndarray:
    """The `[2,3]` matrix from picture to a cell that shows a box and a margin around it."""
    low, high = box_xyxy[:2].astype(np.float64), box_xyxy[2:].astype(np.float64)
    zoom = CELL / (_MARGIN * max(float((high - low).max()), 1.0))
    return np.column_stack([zoom * np.eye(2), CELL / 2 - zoom * (low + high) / 2])


def four_ways(cell: np.ndarray) -> np.ndarray:
    """A cell `[S,S]` or `[S,S,3]` as it is and turned to the left by one, two and three quarters: `[2S,2S]`, row by row."""
    turns = [np.rot90(cell, turn) for turn in range(4)]
    return np.vstack([np.hstack(turns[:2]), np.hstack(turns[2:])])


def best_turn(rows: np.ndarray) -> tuple[int, np.ndarray]:
    """The turn with which the face stands upright.

    Args:
        rows: `[A,15]` the finder's candidates in `four_ways`.

    Returns:
        Quarters to the left, 0 unless another turn wins clearly; and the candidates of that cell, in pixels of it.
    """
    parts = [_of_cell(rows, np.array([turn % 2, turn // 2]) * CELL) for turn in range(4)]
    scores = [float(part[:, 0].max(initial=0.0)) for part in parts]
    turn = int(np.argmax(scores))
    turn = turn if scores[turn] > scores[0] + _LEAD else 0
    return turn, parts[turn]


def placed(face: Detection, turn: int, matrix: np.ndarray) -> Detection:
    """A face that was found in a turned cell, in the picture that `matrix` leads from."""
    zoom, shift = matrix[0, 0], matrix[:, 2]
    points, corners = ((_back(xy, turn) - shift) / zoom for xy in (face.points_xy, face.box_xyxy.reshape(2, 2)))
    box = np.concatenate([corners.min(0), corners.max(0)])
    return Detection(box_xyxy=box.astype(np.float32), points_xy=points.astype(np.float32), score=face.score)


def _of_cell(rows: np.ndarray, corner: np.ndarray) -> np.ndarray:
    middles = (rows[:, 1:3] + rows[:, 3:5]) / 2 - corner - CELL / 2
    near = rows[np.isfinite(rows).all(1) & (np.abs(middles) < CELL / 4).all(1)]
    return np.asarray(near - np.concatenate([[0.0], np.tile(corner, 7)]))


def _back(points_xy: np.ndarray, turns: int) -> np.ndarray:
    """Points `[P,2]` of a cell that was turned so many quarters to the left → of the cell before."""
    for _ in range(turns):
        points_xy = np.column_stack([CELL - points_xy[:, 1], points_xy[:, 0]])
    return points_xy
