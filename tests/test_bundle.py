import json
import shutil
from pathlib import Path

import pytest

from edge.bundle import AUDIT, CALIBRATION, FILES, MOVES, SCREEN, SHIPPED, Bundle, write_hashes
from edge.errors import BackendError, BundleError, UsageError
from edge.pipeline import Pipeline


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    return Path(shutil.copytree(SHIPPED, tmp_path / "bundle"))


def test_the_shipped_bundle_is_whole_small_and_has_no_engine():
    Bundle.load()
    names = {path.name for path in SHIPPED.iterdir()}
    assert names - {AUDIT, MOVES, f"{SCREEN}.onnx"} == {*FILES, CALIBRATION, "SHA256SUMS"}
    assert sum(path.stat().st_size for path in SHIPPED.iterdir()) <= 8_000_000


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_named(copy, name):
    (copy / name).unlink()
    with pytest.raises(BundleError, match=name):
        Bundle.load(copy)


@pytest.mark.parametrize("name", ["verifier.onnx", "config.json"])
def test_a_changed_file_is_named(copy, name):
    data = bytearray((copy / name).read_bytes())
    data[len(data) // 2] ^= 1
    (copy / name).write_bytes(data)
    with pytest.raises(BundleError, match=f"{name} does not match"):
        Bundle.load(copy)


def test_a_missing_folder_and_a_folder_without_hashes_are_named(tmp_path):
    with pytest.raises(BundleError, match="no bundle folder"):
        Bundle.load(tmp_path / "nowhere")
    with pytest.raises(BundleError, match="SHA256SUMS"):
        Bundle.load(tmp_path)


def _edit(folder: Path, **values: object) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, **values}))
    write_hashes(folder)


def test_another_schema_version_is_refused(copy):
    _edit(copy, schema=99)
    with pytest.raises(BundleError, match="schema 99"):
        Bundle.load(copy)


def test_an_older_bundle_is_told_how_to_become_a_new_one(tmp_path):
    """It lacks files that this version has, but that is not what is wrong with it."""
    (tmp_path / "config.json").write_text('{"schema": 1, "labels": ["neutral"]}')
    (tmp_path / "SHA256SUMS").write_text("")
    with pytest.raises(BundleError, match="bundle schema 1: this runtime reads schema 2 to 3; export it again with 'python -m export"):
        Bundle.load(tmp_path)


def test_a_grammar_that_is_none_is_refused(copy):
    (copy / "grammar.json").write_text('{"version": 1, "phrases": {}, "moves": {}, "rules": {}}')
    write_hashes(copy)
    with pytest.raises(BundleError, match=r"grammar\.json' is not a grammar of rationales"):
        Pipeline.load(copy, device="cpu")


def test_a_grammar_that_speaks_of_another_bundles_cues_is_refused(copy):
    path = copy / "grammar.json"
    path.write_text(path.read_text(encoding="utf-8").replace('"lip_corners"', '"tail"'), encoding="utf-8")
    write_hashes(copy)
    with pytest.raises(BundleError, match="speaks of 'tail', which the configuration does not have"):
        Pipeline.load(copy, device="cpu")


def test_a_tokenizer_of_another_grammar_is_refused(copy):
    path = copy / "grammar.json"
    path.write_text(path.read_text(encoding="utf-8").replace("there is no smile", "there is no grin"), encoding="utf-8")
    write_hashes(copy)
    with pytest.raises(BundleError, match="does not match the tokenizer: it has no token 'there is no grin'"):
        Pipeline.load(copy, device="cpu")


@pytest.mark.parametrize(
    "values",
    [
        {"labels": ["neutral", "happiness"]},
        {"verifier_labels": ["anger"]},
        {"cues": []},
        {"image": {"size": 64, "channels": 1, "scale": 1.0, "template_xy": []}},
        {"face": {"long_side": "wide", "threshold": 0.5, "overlap": 0.4}},
        {"policy": {}},
    ],
)
def test_a_configuration_that_does_not_fit_its_graphs_is_refused_at_once(copy, values):
    _edit(copy, **values)
    with pytest.raises(BundleError, match=r"configuration|graph"):
        Pipeline.load(copy, device="cpu")


def test_a_configuration_that_is_no_object_is_refused(copy):
    (copy / "config.json").write_text("[]")
    write_hashes(copy)
    with pytest.raises(BundleError, match="schema None"):
        Bundle.load(copy)


def test_no_file_of_the_bundle_knows_where_it_was_made():
    root = str(SHIPPED.parents[1]).encode()
    for path in SHIPPED.iterdir():
        data = path.read_bytes()
        assert root not in data, path.name
        assert b"site-packages" not in data, path.name


def test_an_unknown_or_missing_key_is_refused(copy):
    _edit(copy, surprise_key=1)
    with pytest.raises(BundleError, match="surprise_key"):
        Bundle.load(copy)


def test_a_graph_with_other_inputs_is_refused(copy):
    shutil.copy(copy / "vision_encoder.onnx", copy / "verifier.onnx")
    write_hashes(copy)
    with pytest.raises(BundleError, match="verifier"):
        Pipeline.load(copy, device="cpu")


@pytest.mark.parametrize("content", [b"", b"not a graph", b"\x08\x07" * 40])
def test_a_file_that_is_no_graph_is_refused(copy, content):
    (copy / "face.onnx").write_bytes(content)
    write_hashes(copy)
    with pytest.raises(BundleError, match=r"face\.onnx"):
        Pipeline.load(copy, device="cpu")


def test_an_explicit_device_that_is_not_there_is_an_error_and_never_a_fallback():
    import onnxruntime

    if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        pytest.skip("this machine's ONNX Runtime has CUDA")
    with pytest.raises(BackendError, match=r"cuda.*erv-edge\[gpu\]"):
        Pipeline.load(device="cuda")
    with pytest.raises(UsageError, match="unknown device"):
        Pipeline.load(device="tpu")
