"""What teaches the screen: heads turned farther, and crops whose points move with them."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch

from edge.vision.screen import SIDE
from training.cues import five_points
from training.finds import NONE, UPRIGHT, Finds
from training.pieces import load_sources
from training.profiles import FROM_DEG, MOST_DEG, turned_further
from training.screen import draw


@pytest.fixture(scope="module")
def heads(data, tmp_path_factory):
    return load_sources(data, tmp_path_factory.mktemp("teacher"), "train").heads


@pytest.mark.parametrize("side", [-1, 1])
def test_a_half_profile_is_turned_on(heads, side):
    marks, c, s = heads.marks.copy(), np.cos(np.radians(FROM_DEG + 8)), side * np.sin(np.radians(FROM_DEG + 8))
    middle = marks[:3].mean(1, keepdims=True)
    marks[:3] = (marks[:3] - middle) @ np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]]) + middle
    yaw_deg = np.where(np.arange(len(marks)) < 3, side * (FROM_DEG + 8), 0.0)
    half = replace(heads, marks=marks, points=five_points(marks, heads.index), yaw_deg=yaw_deg)
    more = turned_further(half, seed=1)
    new = slice(len(heads.images), None)
    assert len(more.images[new]) == 3
    assert (more.images[: len(heads.images)] == heads.images).all()
    assert (side * more.yaw_deg[new] > FROM_DEG + 20).all()
    assert (np.abs(more.yaw_deg) <= MOST_DEG).all()
    for i, (image, points, box) in enumerate(zip(more.images[new], more.points[new], more.boxes[new], strict=True)):
        assert (image != heads.images[i]).mean() > 0.05
        apart, before = (np.linalg.norm(p[1] - p[0]) for p in (points, half.points[i]))
        assert apart < 0.9 * before, "the eyes come nearer to each other"
        assert (box[:2] <= points.min(0)).all()
        assert (points.max(0) <= box[2:]).all()


def test_heads_that_look_ahead_stay_as_they_are(heads):
    ahead = replace(heads, yaw_deg=np.zeros(len(heads.yaw_deg)))
    assert turned_further(ahead, seed=1) is ahead


def test_the_points_of_a_crop_move_with_it():
    crops, points = np.full((2, SIDE, SIDE), 40, np.uint8), np.full((2, 5, 2), np.nan, np.float32)
    points[0] = np.array([(0.3, 0.35), (0.7, 0.35), (0.5, 0.55), (0.35, 0.75), (0.65, 0.75)])
    cv2.circle(crops[0], tuple(round(float(v) * SIDE) for v in points[0, 0]), 3, 255, -1)
    boxes = np.array([(*points[0, 0], 0.8, 1.0), [np.nan] * 4], np.float32)
    shows, true = np.array([UPRIGHT, NONE], np.uint8), np.array([True, False])
    found = Finds(crops, shows, points, boxes, np.arange(2), true, np.full(2, 0.5, np.float32))
    drawn, shows, moved, boxed = draw(found, 64, torch.Generator().manual_seed(0))
    faces = shows == UPRIGHT
    assert int(faces.sum()) == 32
    assert moved[~faces].isnan().all()
    assert boxed[~faces].isnan().all()
    nearest = (moved[faces] - boxed[faces, None, :2]).norm(dim=2).min(1).values
    assert nearest.max() < 1e-4, "the box was put around the first eye, and stays there"
    assert (boxed[faces, 2] / boxed[faces, 3]).numpy() == pytest.approx(0.8)
    assert (moved[faces, 0, 0] < moved[faces, 1, 0]).all(), "the left eye stays the first one, in a mirror too"
    nearer = []
    for crop, place in zip(drawn[faces, 0].numpy(), moved[faces].numpy(), strict=True):
        smooth = cv2.GaussianBlur(np.abs(crop - np.median(crop)), (0, 0), 2)
        y, x = np.unravel_index(smooth.argmax(), smooth.shape)
        nearer.append(np.linalg.norm(place[:2] - (np.array([x, y]) + 0.5) / SIDE, axis=1).min())
    assert np.median(nearer) < 0.04, "the disc lies where one of the eyes is said to be"
