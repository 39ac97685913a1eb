"""Action units at run time: which are told, of which side, and what valence and arousal come to."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from edge.bundle import UnitSpec, read_config
from edge.errors import BundleError
from edge.files import read_json
from edge.types import CIRCUMPLEX, ActionUnit
from edge.vision.encoder import FaceEncoder, action_units

SMILE = UnitSpec("AU12", "lip corner puller", "lip_corners", [1, 0], [2.0, 4.0], 0.9)
CHEEKS = UnitSpec("AU06", "cheek raiser", "cheek_raise", [], [4.0], 0.8)


@pytest.fixture
def config(pipeline):
    return replace(pipeline.config, units=[SMILE, CHEEKS])


def test_sides_are_told_apart_and_stay_between_0_and_1(config):
    cues = {cue.name: 1.0 for cue in config.cues}
    read = action_units(cues, np.array([6.0, 1.0]), (), config)
    assert read == {"AU12": ActionUnit(1.0, 0.5, 1.0), "AU06": ActionUnit(0.25)}
    below = action_units({**cues, "cheek_raise": -3.0}, np.array([-1.0, -1.0]), (), config)
    assert below == {"AU12": ActionUnit(0.0, 0.0, 0.0), "AU06": ActionUnit(0.0)}


def test_what_is_out_of_sight_is_not_told(config):
    cues = {cue.name: 1.0 for cue in config.cues}
    assert list(action_units(cues, np.zeros(2), ("lip_corners",), config)) == ["AU06"]


def test_a_bundle_of_schema_2_has_none(pipeline):
    values = read_json(pipeline.bundle.folder / "config.json")
    values.pop("units", None)
    older = read_config({**values, "schema": 2})
    assert older.units == []
    assert action_units(dict.fromkeys((cue.name for cue in older.cues), 0.0), np.zeros(0), (), older) == {}


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"cue": "ears"}, "ears"),
        ({"full": [1.0]}, "AU12"),
        ({"full": [0.0, 1.0]}, "full"),
        ({"columns": [0, 1, 2]}, "columns"),
        ({"reliability": 1.5}, "reliability"),
    ],
)
def test_a_malformed_unit_is_refused(pipeline, wrong, says):
    values = read_json(pipeline.bundle.folder / "config.json")
    unit = {"name": "AU12", "meaning": "smile", "cue": "lip_corners", "columns": [0, 1], "full": [1.0, 1.0], "reliability": 0.9}
    with pytest.raises(ValueError, match=says):
        read_config({**values, "units": [{**unit, **wrong}]})


def test_a_unit_that_the_graph_does_not_read_is_an_error_and_not_a_zero(pipeline, config):
    missing = replace(config, units=[replace(SMILE, columns=[998, 999])])
    with pytest.raises(BundleError, match="does not read"):
        FaceEncoder(pipeline.encoder.session, missing)(np.zeros((1, config.image.size, config.image.size), np.uint8))


def test_valence_and_arousal_are_the_expectation_over_the_labels(pipeline, portrait):
    (face, *_) = pipeline(portrait, explain=False).faces
    assert face.valence == pytest.approx(sum(CIRCUMPLEX[name][0] * p for name, p in face.probabilities.items()))
    assert face.valence > 0.3, "the portrait smiles"
    assert replace(face, probabilities={}).valence is None
    assert replace(face, probabilities={"boredom": 1.0}).arousal is None, "a label without a place has none"
