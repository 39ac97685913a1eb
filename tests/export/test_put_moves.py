"""Moves in a finished bundle, and in one that is being made."""

import dataclasses
import hashlib
import shutil

import numpy as np
import pytest
from taking import write_fields

from edge.bundle import HASHES, MOVES, SHIPPED, Bundle, write_hashes
from edge.errors import BundleError
from edge.pipeline import Pipeline
from export.__main__ import main as export
from export.card import write_card
from export.moves import add_moves
from export.publish import write_config


@pytest.fixture
def bare(tmp_path):
    """The shipped bundle without moves."""
    folder = tmp_path / "bare"
    shutil.copytree(SHIPPED, folder)
    (folder / MOVES).unlink(missing_ok=True)
    write_hashes(folder)
    write_config(folder, dataclasses.replace(Bundle.load(folder).config, movable=[]))
    return folder


def test_moves_enter_a_bundle_with_hash_card_and_licence_and_the_rest_stays(bare, drawn_fields, tmp_path, capsys):
    assert export(["moves", str(bare), "--data", str(drawn_fields), "--out", str(tmp_path / "new")]) == 0
    assert "lip_corners+" in capsys.readouterr().out
    old, new = Bundle.load(bare), Bundle.load(tmp_path / "new")
    assert "lip_corners" in new.config.movable
    assert old.config.movable == []
    digest = hashlib.sha256((new.folder / MOVES).read_bytes()).hexdigest()
    assert f"{digest}  {MOVES}" in (new.folder / HASHES).read_text()
    assert (new.folder / MOVES).stat().st_size <= 100_000
    with np.load(new.folder / MOVES) as found:
        assert "MIT" in str(found["source"])
    card = (new.folder / "README.md").read_text()
    assert "ICT-FaceKit" in card.partition("## Counterfactuals")[2].partition("\n## ")[0]
    assert "MIT" in card.partition("## Data")[2]
    assert hashlib.sha256((drawn_fields / "facs_displacements.npz").read_bytes()).hexdigest() in card
    for path in bare.iterdir():
        if path.name not in ("config.json", "README.md", HASHES):
            assert path.read_bytes() == (new.folder / path.name).read_bytes(), path.name
    write_card(bare, old.config)
    assert "## Counterfactuals" not in (bare / "README.md").read_text()


def test_a_bundle_of_before_loads_and_a_missing_or_changed_file_is_named(bare, movable_folder, tmp_path):
    with Pipeline.load(bare, device="cpu") as pipeline:
        assert pipeline.moves is None
    broken = tmp_path / "broken"
    shutil.copytree(movable_folder, broken)
    data = bytearray((broken / MOVES).read_bytes())
    data[len(data) // 2] ^= 1
    (broken / MOVES).write_bytes(data)
    with pytest.raises(BundleError, match=r"moves\.npz does not match its SHA-256"):
        Pipeline.load(broken, device="cpu")
    write_hashes(broken)
    with pytest.raises(BundleError, match=r"moves\.npz' does not hold the moves of a face"):
        Pipeline.load(broken, device="cpu")
    (broken / MOVES).unlink()
    write_hashes(broken)
    with pytest.raises(BundleError, match=r"moves\.npz"):
        Pipeline.load(broken, device="cpu")


def test_moves_for_another_encoder_are_refused_when_the_bundle_is_loaded(movable_folder, tmp_path):
    folder = tmp_path / "other"
    shutil.copytree(movable_folder, folder)
    with np.load(folder / MOVES) as found:
        arrays = {name: found[name] for name in found.files}
    arrays |= {"points": arrays["points"][:-1], "spread": arrays["spread"][:, :-1]}
    np.savez_compressed(folder / MOVES, **arrays)
    write_hashes(folder)
    with pytest.raises(BundleError, match=r"moves\.npz is for an encoder of 22 points, this one gives 23"):
        Pipeline.load(folder, device="cpu")


def test_without_the_pack_nothing_is_written(bare, tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    assert export(["moves", str(bare), "--data", str(tmp_path / "empty"), "--out", str(tmp_path / "new")]) == 4
    assert "facs_displacements.npz" in capsys.readouterr().err
    assert not (tmp_path / "new").exists()


def test_a_bundle_that_is_being_made_gets_moves_where_the_pack_is(bare, tmp_path):
    config = Bundle.load(bare).config
    assert add_moves(bare, config, tmp_path) == config
    assert not (bare / MOVES).exists()
    told = add_moves(bare, config, write_fields(tmp_path))
    assert told.movable
    assert (bare / MOVES).exists()
