"""The Triton repository: its configuration against Triton's own published schema, its scripts against a stand-in for the server."""

import importlib
import json
import sys
import types
from pathlib import Path

import numpy as np
import onnx
import pytest
from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2

from edge.bundle import GRAPHS, SHIPPED
from edge.engine.backend import OrtSession
from edge.language.explain import subjects_of
from export.__main__ import main
from export.triton import MARKER, SERVED, write_repository


@pytest.fixture(scope="module")
def repository(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("triton") / "models"
    assert main(["triton", str(SHIPPED), "--out", str(out)]) == 0
    return out


def test_every_configuration_is_valid_by_the_published_schema(repository):
    models = [path for path in repository.iterdir() if path.is_dir()]
    assert {path.name for path in models} == {*SERVED.values(), "erv_fast", "erv_explain"}
    for model in models:
        config = text_format.Parse((model / "config.pbtxt").read_text(), model_config_pb2.ModelConfig())
        assert config.name == model.name
        assert config.backend in ("onnxruntime", "python")
        assert config.input
        assert config.output
        assert (model / "1" / ("model.onnx" if config.backend == "onnxruntime" else "model.py")).is_file()


@pytest.mark.parametrize("graph", GRAPHS)
def test_a_graphs_configuration_names_its_tensors(repository, graph):
    config = text_format.Parse((repository / SERVED[graph] / "config.pbtxt").read_text(), model_config_pb2.ModelConfig())
    model = onnx.load(SHIPPED / f"{graph}.onnx").graph
    weights = {tensor.name for tensor in model.initializer}
    assert [value.name for value in config.input] == [value.name for value in model.input if value.name not in weights]
    assert [value.name for value in config.output] == [value.name for value in model.output]
    assert all(len(a.dims) == len(b.type.tensor_type.shape.dim) for a, b in zip(config.output, model.output, strict=True))


def test_graphs_run_on_the_device_that_was_asked_for(tmp_path):
    for gpu, kind in ((True, model_config_pb2.ModelInstanceGroup.KIND_GPU), (False, model_config_pb2.ModelInstanceGroup.KIND_CPU)):
        write_repository(SHIPPED, tmp_path / "models", gpu=gpu)
        text = (tmp_path / "models" / "erv_vision" / "config.pbtxt").read_text()
        assert text_format.Parse(text, model_config_pb2.ModelConfig()).instance_group[0].kind == kind
    assert (tmp_path / "models" / MARKER).is_file()


def test_a_folder_of_something_else_is_not_replaced(tmp_path, capsys):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "a.txt").write_text("a")
    assert main(["triton", str(SHIPPED), "--out", str(tmp_path / "mine")]) == 4
    assert "did not write" in capsys.readouterr().err
    assert (tmp_path / "mine" / "a.txt").is_file()


class _Tensor:
    def __init__(self, name, array):
        self.name, self.array = name, array

    def as_numpy(self):
        return self.array


class _Response:
    def __init__(self, tensors):
        self.tensors = {tensor.name: tensor for tensor in tensors}

    def has_error(self):
        return False


@pytest.fixture
def server(repository, monkeypatch):
    """The part of Triton's Python interface that the scripts use, with ONNX Runtime as the server."""
    module = types.ModuleType("triton_python_backend_utils")

    class Request:
        def __init__(self, model_name, requested_output_names, inputs, preferred_memory):
            self.session = OrtSession(repository / model_name / "1" / "model.onnx", threads=1)
            self.inputs, self.wanted = {tensor.name: tensor.array for tensor in inputs}, requested_output_names

        def exec(self):
            found = self.session.run(self.inputs)
            return _Response([_Tensor(name, found[name]) for name in self.wanted])

    module.Tensor, module.InferenceResponse, module.InferenceRequest = _Tensor, _Response, Request
    module.PreferredMemory, module.TRITONSERVER_MEMORY_CPU = lambda kind, number: kind, 0
    module.get_input_tensor_by_name = lambda request, name: request[name]
    module.get_output_tensor_by_name = lambda response, name: response.tensors[name]
    monkeypatch.setitem(sys.modules, "triton_python_backend_utils", module)

    def load(name):
        folder = repository / name / "1"
        monkeypatch.syspath_prepend(str(folder))
        for stale in ("served", "model"):
            sys.modules.pop(stale, None)
        model = importlib.import_module("model").TritonPythonModel()
        model.initialize({})
        return model

    yield load
    for stale in ("served", "model"):
        sys.modules.pop(stale, None)


def test_the_scripts_decide_what_a_device_decides(server, pipeline):
    crops = np.random.default_rng(0).integers(0, 256, (2, 96, 96), np.uint8)
    (fast,) = server("erv_fast").execute([{"crops": _Tensor("crops", crops)}])
    read = pipeline.encoder(crops)
    assert np.allclose(fast.tensors["probabilities"].array, read.probabilities, atol=1e-4)
    assert np.allclose(fast.tensors["points"].array, read.points_xy, atol=1e-4)

    given = {name: fast.tensors[name] for name in ("visual_tokens", "probabilities", "cues", "pose", "visible")}
    (said,) = server("erv_explain").execute([given])
    wanted_of_all = pipeline.explainer(subjects_of(read, pipeline.bundle.config))
    for text, wanted in zip(said.tensors["explanations"].array, wanted_of_all, strict=True):
        assert json.loads(text)["answer"] == wanted.answer
        assert json.loads(text)["status"] == wanted.status.value
