import numpy as np
import onnx
import onnxruntime as ort
import pytest
from floats import float_bundle
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from edge.bundle import GRAPHS
from export.storage import BITS, quantize, store_weights


def _product(weight: np.ndarray) -> onnx.ModelProto:
    rows, columns = weight.shape
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        "product",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", rows])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", columns])],
        [numpy_helper.from_array(weight, "w")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)


def _unpacked(model: onnx.ModelProto, rows: int) -> np.ndarray:
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, {"x": np.eye(rows, dtype=np.float32)})[0]


@pytest.mark.parametrize("bits", BITS)
@pytest.mark.parametrize("shape", [(64, 48), (33, 37)])  # an odd number of weights leaves half a byte over
def test_weights_come_back_within_half_a_step(bits, shape):
    weight = np.random.default_rng(0).normal(0, 0.1, shape).astype(np.float32)
    model = _product(weight)
    store_weights(model, bits)
    onnx.checker.check_model(model)
    step = np.abs(weight) * 2**-10 if bits == 16 else np.abs(weight).max(0) / (2 ** (bits - 1) - 1)
    assert (np.abs(_unpacked(model, shape[0]) - weight) <= step / 2 + 1e-6).all()


def test_a_graph_with_stored_weights_is_as_small_as_it_says():
    whole = onnx.load(float_bundle() / "vision_encoder.onnx")
    for bits, share in ((16, 0.53), (12, 0.41), (8, 0.29)):
        model = onnx.ModelProto()
        model.CopyFrom(whole)
        store_weights(model, bits)
        assert bits / 32 <= model.ByteSize() / whole.ByteSize() <= share


@pytest.mark.parametrize("name", GRAPHS)
def test_stored_weights_are_unpacked_once_when_the_graph_is_loaded(name, tmp_path):
    """Nothing of the unpacking is left in the graph that runs: what is stored costs no time."""
    model = onnx.load(float_bundle() / f"{name}.onnx")
    before = {node.op_type for node in model.graph.node}
    store_weights(model, 12)
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.optimized_model_filepath = str(tmp_path / "run.onnx")
    ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    left = onnx.load(tmp_path / "run.onnx").graph
    assert {node.op_type for node in left.node} <= before
    assert not any(node.output[0] in {t.name for t in onnx.load(float_bundle() / f"{name}.onnx").graph.initializer} for node in left.node)


def test_named_and_small_weights_are_left_alone():
    model = _product(np.ones((64, 48), np.float32))
    store_weights(model, 8, keep=("w",))
    assert [node.op_type for node in model.graph.node] == ["MatMul"]
    small = _product(np.ones((4, 4), np.float32))
    store_weights(small, 8)
    assert [node.op_type for node in small.graph.node] == ["MatMul"]


@given(st.integers(0, 2**32 - 1), st.sampled_from([8, 12]), st.integers(0, 1), st.floats(1e-20, 1e20))
def test_quantised_values_are_symmetric_and_within_their_bits(seed, bits, axis, size):
    values = (np.random.default_rng(seed).normal(size=(5, 7)) * size).astype(np.float32)
    whole, scale = quantize(values, bits, axis)
    assert np.abs(whole).max() <= 2 ** (bits - 1) - 1
    assert (np.abs(whole * scale - values) <= scale * 0.5001).all()
    assert (quantize(-values, bits, axis)[0] == -whole).all()
