import json
import shutil
from pathlib import Path

import pytest

from edge.bundle import CALIBRATION, FILES, SHIPPED, Bundle, write_hashes
from edge.errors import BackendError, BundleError, UsageError
from edge.pipeline import Pipeline


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    return Path(shutil.copytree(SHIPPED, tmp_path / "bundle"))


def test_the_shipped_bundle_is_whole_small_and_has_no_engine():
    Bundle.load()
    names = {path.name for path in SHIPPED.iterdir()}
    assert names == {*FILES, CALIBRATION, "SHA256SUMS"}
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
