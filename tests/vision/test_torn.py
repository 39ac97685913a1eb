"""Who is torn between two labels is read in the mirror, too."""

from dataclasses import replace

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


def _encoder(pipeline, torn):
    return FaceEncoder(pipeline.encoder.session, replace(pipeline.config, image=replace(pipeline.config.image, torn=torn)))


def test_its_answer_is_the_mean_of_both_and_the_same_from_either_side(pipeline, crops):
    mirrored = np.ascontiguousarray(crops[:, :, ::-1])
    one, twice = _encoder(pipeline, 0.0), _encoder(pipeline, 1.0)
    mean = (one(crops).probabilities + one(mirrored).probabilities) / 2
    assert np.abs(one(crops).probabilities - one(mirrored).probabilities).max() > 1e-3
    for seen in (crops, mirrored):
        assert np.allclose(twice(seen).probabilities, mean, atol=1e-5)
        assert np.array_equal(twice(seen).cues, one(seen).cues)


def test_only_who_is_torn_is_looked_at_twice(pipeline, crops, monkeypatch):
    probabilities = np.sort(_encoder(pipeline, 0.0)(crops).probabilities, 1)
    gaps = probabilities[:, -1] - probabilities[:, -2]
    assert gaps[0] > gaps[1], "the second is the one that can hardly be told"
    looked, run = [], pipeline.encoder.session.run
    monkeypatch.setattr(pipeline.encoder.session, "run", lambda inputs: (looked.append(len(inputs["pixel_values"])), run(inputs))[1])
    _encoder(pipeline, float(gaps.mean()))(crops)
    assert looked == [2, 1]


def test_the_shipped_bundle_looks_twice(pipeline):
    assert 0 < pipeline.config.image.torn < 1
