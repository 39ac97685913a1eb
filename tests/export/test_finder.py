"""Another face finder in a finished bundle: a trained one, or a YuNet that somebody brings."""

import numpy as np
import pytest
from yunets import drawn_yunet

from edge.bundle import SHIPPED, Bundle
from edge.pipeline import Pipeline
from export.__main__ import main as export
from export.bundle import kept_finder


def test_a_yunet_of_ones_own_enters_a_bundle_with_its_hash_and_licence(tmp_path):
    file = drawn_yunet(tmp_path / "mine.onnx")
    assert export(["finder", str(SHIPPED), str(file), "--out", str(tmp_path / "new")]) == 0
    config = Bundle.load(tmp_path / "new").config
    assert (config.face.yunet, config.face.channels) == (True, 3)
    card = (tmp_path / "new" / "README.md").read_text()
    assert "brought as `mine.onnx`" in card
    assert config.provenance["runs"]["face"]["sha256"] in card
    assert kept_finder(tmp_path / "new") == (config.face, {"face": config.provenance["runs"]["face"]})
    picture = np.zeros((128, 128, 3), np.uint8)
    picture[32:64, 64:96] = 255
    with Pipeline.load(tmp_path / "new", device="cpu") as pipeline:
        found = pipeline.finder(picture)
    assert len(found) == 1
    spread = np.log(2)
    low, high = np.array([2, 1]) + spread - 1, np.array([2, 1]) + spread + 1
    assert found[0].box_xyxy == pytest.approx(np.concatenate([low, high]) * 32, abs=1e-3)


def test_what_is_no_yunet_is_refused_and_nothing_is_written(tmp_path, capsys):
    few = drawn_yunet(tmp_path / "few.onnx", outputs=2)
    (tmp_path / "text.onnx").write_text("no graph")
    for source in (few, tmp_path / "text.onnx", tmp_path / "gone"):
        assert export(["finder", str(SHIPPED), str(source), "--out", str(tmp_path / "new")]) == 4
        said = capsys.readouterr().err
        assert source.name in said
        assert "Traceback" not in said
    assert not (tmp_path / "new").exists()


def test_a_trained_finder_enters_a_bundle_and_the_rest_stays(runs, bundle, tmp_path):
    assert export(["finder", str(bundle), str(runs / "face"), "--out", str(tmp_path / "new")]) == 0
    old, new = Bundle.load(bundle), Bundle.load(tmp_path / "new")
    assert new.config.provenance["runs"]["face"]["config"]["canvas"] == 64
    for name in ("vision_encoder", "verifier", "decoder_model_merged"):
        assert old.graph(name).read_bytes() == new.graph(name).read_bytes()
    assert export(["finder", str(bundle), str(tmp_path), "--out", str(tmp_path / "other")]) == 4
