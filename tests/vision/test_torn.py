"""A face and its mirror image are read alike, and who is torn between two labels is read both ways round."""

from dataclasses import fields, replace

import numpy as np
import pytest

from edge.vision.crop import align
from edge.vision.encoder import FaceEncoder


@pytest.fixture
def crops(pipeline, portrait):
    """The portrait's face as it is, and hardly to be told."""
    (face,) = pipeline.finder(portrait)
    crop, _ = align(portrait[..., 1], face, pipeline.config.image)
    return np.stack([crop, np.roll(crop, 30, 0)])


def _encoder(pipeline, **given):
    return FaceEncoder(pipeline.encoder.session, replace(pipeline.config, image=replace(pipeline.config.image, **given)))


def _mirrored(read, config):
    """What is read of a face, as it would be of its mirror image."""
    sign = np.where([cue.mirrored for cue in config.cues], -1, 1)
    units = read.units.copy()
    for left, right in (unit.columns for unit in config.units if len(unit.columns) == 2):
        units[:, [left, right]] = units[:, [right, left]]
    points = read.points_xy[:, config.image.mirror] * [-1, 1] + [1, 0]
    return replace(read, cues=read.cues * sign, points_xy=points, pose_deg=read.pose_deg * [-1, 1, -1], units=units)


def _alike(one, other, atol):
    return all(np.allclose(getattr(one, field.name), getattr(other, field.name), atol=atol) for field in fields(one))


def test_a_face_and_its_mirror_image_are_read_alike(pipeline, crops):
    config, turned = pipeline.config, np.ascontiguousarray(crops[:, :, ::-1])
    assert {cue.name for cue in config.cues if cue.mirrored} == {"corner_asymmetry"}
    assert sum(len(unit.columns) == 2 for unit in config.units) > 3
    # the halves of these are told apart easily; read as they come, they are not read alike
    once, as_it_comes = _encoder(pipeline, torn=0.0), _encoder(pipeline, torn=0.0, mirror=[], even=0.0)
    assert _alike(once(turned), _mirrored(once(crops), config), 1e-5)
    assert not _alike(as_it_comes(turned), _mirrored(as_it_comes(crops), config), 0.05)
    assert _alike(_encoder(pipeline, torn=1.0)(turned), _mirrored(_encoder(pipeline, torn=1.0)(crops), config), 1e-4)


def test_whose_halves_are_equally_light_is_read_both_ways_round(pipeline, crops):
    once, even = _encoder(pipeline, torn=0.0, even=0.0), _encoder(pipeline, torn=0.0, even=255.0)
    symmetric = ((crops.astype(np.uint16) + crops[:, :, ::-1]) // 2).astype(np.uint8)
    assert _alike(even(symmetric), _mirrored(even(symmetric), pipeline.config), 1e-4)
    assert not _alike(once(symmetric), _mirrored(once(symmetric), pipeline.config), 1e-4)


def test_who_is_torn_is_answered_by_the_mean_and_read_by_both_as_far_as_torn(pipeline, crops):
    as_it_comes = _encoder(pipeline, torn=0.0, mirror=[], even=0.0)
    one, other = as_it_comes(crops), _mirrored(as_it_comes(crops[:, :, ::-1]), pipeline.config)
    lighter = crops[:, :, :48].mean((1, 2), dtype=float) > crops[:, :, 48:].mean((1, 2), dtype=float)
    first, second = (np.where(lighter[:, None], a.probabilities, b.probabilities) for a, b in ((one, other), (other, one)))
    gap = -np.diff(np.sort(first, 1)[:, :-3:-1], axis=1)[:, 0]
    both = _encoder(pipeline, torn=1.0, even=0.0)(crops)
    assert np.allclose(both.probabilities, (first + second) / 2, atol=1e-5)
    a, b = (np.where(lighter[:, None], p.cues, q.cues) for p, q in ((one, other), (other, one)))
    assert np.allclose(both.cues, a + (b - a) * ((1 - gap) / 2)[:, None], atol=1e-4)


def test_what_is_read_does_not_jump_where_the_light_comes_from_the_other_side(pipeline, crops):
    slope = np.linspace(-0.08, 0.08, crops.shape[2])
    light = np.linspace(-1, 1, 161)
    lit = np.stack(
        [np.clip(((crops[0].astype(float) + crops[0][:, ::-1]) / 2 + 0.001 * crops[0]) * (1 + s * slope), 0, 255) for s in light]
    )
    steps = {even: np.abs(np.diff(_encoder(pipeline, torn=0.0, even=even)(lit.astype(np.uint8)).cues, axis=0)).max() for even in (0.0, 8.0)}
    assert steps[8.0] < 0.6 * steps[0.0]


def test_a_bundle_that_does_not_know_its_points_in_a_mirror_is_answered_by_the_mean_and_read_as_it_comes(pipeline, crops):
    old, once = _encoder(pipeline, torn=1.0, mirror=[], even=0.0), _encoder(pipeline, torn=0.0, mirror=[], even=0.0)
    assert not np.allclose(old(crops).probabilities, once(crops).probabilities, atol=1e-4)
    for name in ("tokens", "cues", "points_xy", "pose_deg", "units"):
        assert np.array_equal(getattr(old(crops), name), getattr(once(crops), name))


def test_only_who_is_torn_is_looked_at_twice(pipeline, crops, monkeypatch):
    probabilities = np.sort(_encoder(pipeline, torn=0.0, even=0.0)(crops).probabilities, 1)
    gaps = probabilities[:, -1] - probabilities[:, -2]
    assert gaps[0] > gaps[1], "the second is the one that can hardly be told"
    looked, run = [], pipeline.encoder.session.run
    monkeypatch.setattr(pipeline.encoder.session, "run", lambda inputs: (looked.append(len(inputs["pixel_values"])), run(inputs))[1])
    _encoder(pipeline, torn=float(gaps.mean()), even=0.0)(crops)
    assert looked == [2, 1]


def test_the_shipped_bundle_looks_twice(pipeline):
    assert 0 < pipeline.config.image.torn < 1
    assert pipeline.config.image.mirror
    assert 0 < pipeline.config.image.even < 20
