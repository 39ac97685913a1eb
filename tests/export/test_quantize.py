import json
import resource
import shutil
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest
from floats import float_bundle
from packs import draw_face

from edge.bundle import GRAPHS, HASHES, Bundle, write_hashes
from edge.engine.backend import OrtSession
from edge.errors import BundleError, InputError, UsageError
from edge.pipeline import Pipeline
from edge.profiles import graph_profiles
from export.__main__ import main
from export.agreement import Gates, ParityError
from export.crops import load_crops
from export.lint import lint, lint_graph
from export.probe import full_path, paired_time
from export.quantize import quantize
from export.recipe import RECIPES, Recipe, read_recipe
from export.strategies import OPSETS, Strategy, apply, load_graph
from training.folders import new_folder

_STORE = {
    "face": [Strategy("store", 16)],
    "vision_encoder": [Strategy("store", 12)],
    "embed_tokens": [Strategy("store", 16)],
    "decoder_model_merged": [Strategy("store", 12, ("out",)), Strategy("store", 16, ("out",))],
    "verifier": [Strategy("store", 8)],
}


@pytest.fixture(scope="module")
def faces(tmp_path_factory) -> Path:
    folder, rng = tmp_path_factory.mktemp("faces"), np.random.default_rng(0)
    for i in range(24):
        cv2.imwrite(str(folder / f"{i}.png"), draw_face(i % 8, rng))
    return folder


@pytest.fixture(autouse=True)
def _briefly_timed(monkeypatch):
    """A shared machine's timings are no matter for these tests, a few calls will do; that time counts is tested by itself."""
    monkeypatch.setattr("export.quantize.NOISE", 100.0)
    monkeypatch.setattr("export.quantize.paired_time", partial(paired_time, rounds=1, calls=3))
    monkeypatch.setattr("export.quantize.full_path", partial(full_path, rounds=1, calls=1))


def _recipe(graphs: dict, **values: object) -> Recipe:
    return Recipe("test", "", 8, 8, ("trt10.3",), graphs, **values)


def test_a_quantised_bundle_is_small_complete_and_says_what_was_done(faces, tmp_path):
    out = tmp_path / "small"
    done = quantize(float_bundle(), out, faces, _recipe(_STORE))
    bundle = Bundle.load(out)
    assert done["size"] <= 0.45
    assert sum(p.stat().st_size for p in out.iterdir()) <= 0.45 * sum(p.stat().st_size for p in float_bundle().iterdir())
    assert done["agreement"]["labels"] == 1.0
    assert bundle.config.metrics["quantised"]["vision_encoder"] == "weights stored in 12 bits"
    card = (out / "README.md").read_text()
    assert "weights stored in 12 bits" in card
    assert "agreement with float32" in card
    assert [path.name for path in tmp_path.iterdir()] == ["small"]
    assert lint(out, "trt10.3") == lint(out, "trt10.16") == []
    with Pipeline.load(out, device="cpu", threads=1) as pipeline:
        assert pipeline(np.zeros((64, 64), np.uint8)).faces == ()


def test_an_older_bundle_is_replaced_and_something_else_is_not(faces, tmp_path):
    shutil.copytree(float_bundle(), tmp_path / "old")
    quantize(float_bundle(), tmp_path / "old", faces, _recipe(_STORE))
    assert Bundle.load(tmp_path / "old").config.metrics["quantised"]
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("all of it")
    with pytest.raises(InputError, match="did not write"):
        quantize(float_bundle(), tmp_path / "mine", faces, _recipe(_STORE))
    assert (tmp_path / "mine" / "thesis.txt").read_text() == "all of it"


def test_what_does_not_pass_is_not_kept_and_what_is_not_small_is_not_written(faces, tmp_path):
    with pytest.raises(ParityError, match=r"of the bytes \(gate 45%\)"):
        quantize(float_bundle(), tmp_path / "out", faces, _recipe({"verifier": [Strategy("store", 8)]}))
    assert list(tmp_path.iterdir()) == []
    done = quantize(float_bundle(), tmp_path / "out", faces, _recipe({"decoder_model_merged": [Strategy("int4")]}, max_size=1.1))
    assert done["kept"]["decoder_model_merged"] == "float32"
    assert done["trials"][0]["against"]


def test_a_candidate_that_tensorrt_would_not_take_is_refused_for_that_reason(faces, tmp_path):
    done = quantize(
        float_bundle(), tmp_path / "out", faces, _recipe({"verifier": [Strategy("dynamic"), Strategy("store", 8)]}, max_size=1.1)
    )
    assert done["kept"]["verifier"] == "weights stored in 8 bits"
    assert any("not supported" in reason for reason in done["trials"][0]["against"])


def test_a_slower_candidate_is_not_kept(faces, tmp_path, monkeypatch):
    monkeypatch.setattr("export.quantize.NOISE", 0.01)
    with pytest.raises(ParityError, match="as long"):
        quantize(float_bundle(), tmp_path / "out", faces, _recipe({"verifier": [Strategy("store", 8)]}, max_size=1.1))


@pytest.mark.alone
def test_paired_time_tells_a_slower_session_from_the_same(pipeline):
    session = pipeline.explainer.verifier.session
    feed = {"input_ids": np.full((1, 8), 5), "attention_mask": np.ones((1, 8), np.int64)}

    class Twice:
        def run(self, inputs):
            session.run(inputs)
            return session.run(inputs)

    assert 0.5 < paired_time(session, session, feed) < 1.5
    assert paired_time(session, Twice(), feed) > 1.5


@pytest.mark.parametrize("target", ["avx512_vnni", "arm64"])
def test_the_verifier_goes_through_optimum_and_computes_in_int8(tmp_path, target):
    out = tmp_path / "verifier.onnx"
    apply(Strategy("dynamic", target=target), float_bundle() / "verifier.onnx", out, [])
    assert {"DynamicQuantizeLinear", "MatMulInteger"} <= {node.op_type for node in onnx.load(out).graph.node}
    rng = np.random.default_rng(0)
    feed = {"input_ids": rng.integers(5, 300, (3, 12)), "attention_mask": np.ones((3, 12), np.int64)}
    a, b = OrtSession(float_bundle() / "verifier.onnx").run(feed), OrtSession(out).run(feed)
    assert np.abs(a["emotions"] - b["emotions"]).max() < 0.1


@pytest.mark.parametrize("calibration", ["Entropy", "Percentile"])
def test_static_quantisation_is_explicit_and_symmetric_where_a_gpu_wants_it(tmp_path, calibration):
    out, rng = tmp_path / "vision_encoder.onnx", np.random.default_rng(0)
    feeds = [{"pixel_values": np.stack([draw_face(i, rng, 96)[None]]).astype(np.float32) / 255} for i in range(8)]
    apply(Strategy("static", calibration=calibration, symmetric=True), float_bundle() / "vision_encoder.onnx", out, feeds)
    assert {"QuantizeLinear", "DequantizeLinear"} <= {node.op_type for node in onnx.load(out).graph.node}
    assert lint_graph(out, graph_profiles("vision_encoder", Bundle.load().config), "trt10.3") == []
    a, b = (OrtSession(path).run(feeds[0])["emotion_logits"] for path in (float_bundle() / "vision_encoder.onnx", out))
    assert np.corrcoef(a.ravel(), b.ravel())[0, 1] > 0.95


def test_half_keeps_its_inputs_and_outputs_in_float32(tmp_path):
    out = tmp_path / "verifier.onnx"
    apply(Strategy("half"), float_bundle() / "verifier.onnx", out, [])
    feed = {"input_ids": np.full((2, 8), 5), "attention_mask": np.ones((2, 8), np.int64)}
    a, b = OrtSession(float_bundle() / "verifier.onnx").run(feed), OrtSession(out).run(feed)
    assert b["emotions"].dtype == np.float32
    assert np.abs(a["emotions"] - b["emotions"]).max() < 0.01


@pytest.mark.parametrize("damage", ["truncated", "corrupted", "empty", "opset"])
def test_a_damaged_graph_is_named_and_nothing_is_written(tmp_path, damage):
    data = bytearray((float_bundle() / "verifier.onnx").read_bytes())
    source, out = tmp_path / "verifier.onnx", tmp_path / "new.onnx"
    if damage == "opset":
        model = onnx.load(float_bundle() / "verifier.onnx")
        model.opset_import[0].version = OPSETS.start - 2
        onnx.save(model, source)
    else:
        data[40:60] = b"\xff" * 20
        source.write_bytes({"truncated": data[: len(data) // 2], "corrupted": data, "empty": b""}[damage])
    with pytest.raises(BundleError, match=r"'verifier\.onnx' (is no valid ONNX graph|has opset 11)"):
        apply(Strategy("store", 8), source, out, [])
    assert [path.name for path in tmp_path.iterdir()] == ["verifier.onnx"]


@pytest.mark.parametrize("damage", ["truncated", "hash"])
def test_a_damaged_bundle_is_refused_by_the_command_and_nothing_is_written(faces, tmp_path, capsys, damage):
    copy = Path(shutil.copytree(float_bundle(), tmp_path / "bundle"))
    data = (copy / "verifier.onnx").read_bytes()
    (copy / "verifier.onnx").write_bytes(data[: len(data) // 2])
    if damage == "truncated":
        write_hashes(copy)
    assert main(["quantize", str(copy), "--data", str(faces), "--out", str(tmp_path / "out")]) == 3
    assert "verifier.onnx" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["bundle"]


def test_faces_that_are_not_there_are_named_and_nothing_is_written(tmp_path, capsys):
    (tmp_path / "none").mkdir()
    assert main(["quantize", str(float_bundle()), "--data", str(tmp_path / "none"), "--out", str(tmp_path / "out")]) == 4
    assert "neither ferplus_images.npz nor a picture" in capsys.readouterr().err
    cv2.imwrite(str(tmp_path / "none" / "one.png"), np.zeros((48, 48), np.uint8))
    assert main(["quantize", str(float_bundle()), "--data", str(tmp_path / "none"), "--out", str(tmp_path / "out")]) == 4
    assert "at least 3 are needed" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["none"]


def test_a_full_disk_is_named_and_leaves_the_old_bundle_alone(tmp_path):
    """The operating system itself refuses to write on, at a megabyte."""
    out = Path(shutil.copytree(float_bundle(), tmp_path / "out"))
    before = (out / "SHA256SUMS").read_text()
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, limit[1]))
    try:
        with pytest.raises(InputError, match=r"cannot write .*File too large; nothing was changed"), new_folder(out, HASHES) as fresh:
            apply(Strategy("store", 12), float_bundle() / "vision_encoder.onnx", fresh / "vision_encoder.onnx", [])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
    assert (out / "SHA256SUMS").read_text() == before
    Bundle.load(out)
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


@pytest.mark.parametrize("path", sorted(RECIPES.glob("*.json")), ids=lambda path: path.stem)
def test_every_stored_recipe_can_be_read(path):
    recipe = read_recipe(path.stem)
    assert recipe.name == path.stem
    assert set(recipe.graphs) == set(GRAPHS)


@pytest.mark.parametrize(
    ("text", "said"),
    [("{", "malformed"), ('{"graphs": {"nose": []}}', "unknown graph nose"), ('{"graphs": {"face": [{"kind": "magic"}]}}', "kind 'magic'"),
     ('{"name": "x", "note": "", "calibration": 0, "judged": 1, "targets": [], "graphs": {}}', "at least one face")],
)  # fmt: skip
def test_a_malformed_recipe_is_refused(tmp_path, text, said):
    (tmp_path / "r.json").write_text(text)
    with pytest.raises(UsageError, match=said):
        read_recipe(str(tmp_path / "r.json"))
    with pytest.raises(UsageError, match="no recipe 'soup'"):
        read_recipe("soup")


def test_faces_are_read_from_a_folder_and_brought_to_size(tmp_path):
    (tmp_path / "a").mkdir()
    cv2.imwrite(str(tmp_path / "a" / "x.jpg"), np.full((90, 60, 3), 50, np.uint8))
    crops = load_crops(tmp_path, "test", 48)
    assert crops.images.shape == (1, 48, 48)
    assert crops.labels is None
    with pytest.raises(InputError, match="no faces at"):
        load_crops(tmp_path / "nowhere", "test", 48)


def test_a_graph_that_is_not_there_is_an_input_error(tmp_path):
    with pytest.raises(InputError, match="cannot read the graph"):
        load_graph(tmp_path / "none.onnx")


def test_the_report_on_stdout_is_json_alone(faces, tmp_path, capfd):
    recipe = tmp_path / "r.json"
    graphs = {"verifier": [{"kind": "store", "bits": 8}]}
    values = {"name": "r", "note": "", "calibration": 4, "judged": 4, "targets": [], "max_size": 1.0, "graphs": graphs}
    recipe.write_text(json.dumps(values))
    assert main(["quantize", str(float_bundle()), "--data", str(faces), "--out", str(tmp_path / "o"), "--recipe", str(recipe)]) == 0
    out, err = capfd.readouterr()
    assert json.loads(out)["kept"]["verifier"] == "weights stored in 8 bits"
    assert "| verifier | weights stored in 8 bits |" in err


def test_a_recipe_brings_its_own_gates(tmp_path):
    (tmp_path / "r.json").write_text(
        json.dumps({"name": "r", "note": "", "calibration": 8, "judged": 8, "targets": [], "gates": {"streams": 0.5}, "graphs": {}})
    )
    assert read_recipe(str(tmp_path / "r.json")).gates == Gates(streams=0.5)
    (tmp_path / "r.json").write_text(
        json.dumps({"name": "r", "note": "", "calibration": 8, "judged": 8, "targets": [], "gates": {"noses": 1}, "graphs": {}})
    )
    with pytest.raises(UsageError, match="noses"):
        read_recipe(str(tmp_path / "r.json"))
