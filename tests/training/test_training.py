"""The whole line on data and models made on the spot: train every part, export, run."""

import json
from dataclasses import replace

import numpy as np
import pytest

from benchmarks.__main__ import main as benchmark
from edge.bundle import Bundle
from edge.cli import main as edge_run
from edge.errors import InputError, UsageError
from edge.pipeline import Pipeline
from export.__main__ import main as export
from training.__main__ import main as train
from training.data import load_ferplus
from training.encoder import EncoderConfig
from training.photos import load_photos
from training.policy import TOKENS_PER_FRAME
from training.run import read_config


def test_a_bundle_made_from_scratch_loads_and_reads(bundle, data):
    config = Bundle.load(bundle).config
    assert config.metrics["parity"]["equal_completions"] >= 0.99
    assert config.provenance["runs"]["encoder"]["seed"] == 1
    with Pipeline.load(bundle, device="cpu") as pipeline:
        read = pipeline.encoder(load_ferplus(data, "test").at(config.image.size).images)
        assert read.tokens.shape == (48, TOKENS_PER_FRAME, 32)
        assert np.allclose(read.probabilities.sum(1), 1, atol=1e-5)


def test_a_bundle_made_from_scratch_runs_and_is_measured(bundle, data, capsys, portrait_path):
    assert edge_run(["--image", str(portrait_path), "--bundle", str(bundle), "--json"]) == 0
    capsys.readouterr()
    assert benchmark(["accuracy", "--data", str(data / "ferplus_images.npz"), "--bundle", str(bundle), "--json"]) == 0
    figures = json.loads(capsys.readouterr().out)
    wanted = "n war uar recall ece eea epc fcr meea mepc mfcr cue_precision contradiction_rate verified_rate abstained_rate answer_war"
    assert set(wanted.split()) <= set(figures)
    assert figures["n"] == 48


def test_measured_results_enter_configuration_and_card(bundle, tmp_path):
    (tmp_path / "r.json").write_text('{"war": 0.5, "attacks": {"swap": {"rate": 0.25}}}')
    assert export(["measured", str(bundle), f"FER+ test={tmp_path / 'r.json'}"]) == 0
    assert Bundle.load(bundle).config.metrics["FER+ test"]["war"] == 0.5
    card = (bundle / "README.md").read_text()
    assert "### FER+ test" in card
    assert "| attacks.swap.rate | 0.25 |" in card
    assert export(["measured", str(bundle), f"x={tmp_path / 'none.json'}"]) == 4


def test_the_reference_protocol_keeps_clear_majorities_only(data):
    faces = load_ferplus(data, "train")
    assert (faces.label == np.arange(96) % 8).all()
    assert np.allclose(faces.target.sum(1), 1)
    votes = faces.votes.copy()
    votes[0], votes[1] = 0, 4
    changed = replace(faces, votes=votes)
    assert changed.label[:2].tolist() == [-1, -1]


def test_no_source_is_on_both_sides_of_the_photo_split(data):
    sides = [{p.name for p in load_photos(data / "faces_in_context.zip", split)} for split in ("train", "valid")]
    assert not sides[0] & sides[1]
    assert len(sides[0] | sides[1]) == 48


def test_missing_or_broken_data_is_named(tmp_path, capsys):
    with pytest.raises(InputError, match="ferplus_images"):
        load_ferplus(tmp_path, "train")
    (tmp_path / "ferplus_images.npz").write_text("no pack")
    with pytest.raises(InputError, match="not a readable"):
        load_ferplus(tmp_path, "train")
    with pytest.raises(InputError, match="unknown split"):
        load_ferplus(tmp_path, "dev")
    assert train(["encoder", "--data", str(tmp_path / "gone"), "--out", str(tmp_path / "run")]) == 4
    assert "pass --data" in capsys.readouterr().err


def test_unknown_configuration_keys_are_named():
    with pytest.raises(UsageError, match="epoch"):
        read_config(EncoderConfig, "encoder", None, ["epoch=3"])
    with pytest.raises(UsageError, match="configuration"):
        read_config(EncoderConfig, "encoder", None, ["epochs=many"])
