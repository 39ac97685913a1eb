import json

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from benchmarks.__main__ import main
from benchmarks.speed import roofline
from benchmarks.speed.roofline import Count, count, node_flops
from benchmarks.speed.stages import Scene, demo_frame
from edge.bundle import SHIPPED


def _save(path, nodes, inputs, outputs, weights):
    graph = helper.make_graph(
        nodes,
        "small",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in inputs.items()],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs],
        [numpy_helper.from_array(array, name) for name, array in weights.items()],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9), path)
    return path


def test_convolutions_and_products_are_counted_at_the_shapes_of_the_run(tmp_path):
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["y"], group=2, pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["y"], ["z"]),
        helper.make_node("Flatten", ["z"], ["f"]),
        helper.make_node("Gemm", ["f", "v", "b"], ["o"], transB=1),
    ]
    weights = {
        "w": np.zeros((8, 2, 3, 3), np.float32),
        "v": np.zeros((5, 8 * 6 * 7), np.float32),
        "b": np.zeros(5, np.float32),
    }
    path = _save(tmp_path / "a.onnx", nodes, {"x": ["n", 4, "h", "w_"]}, ["o"], weights)
    cost = count(path, {"x": np.zeros((3, 4, 6, 7), np.float32)})
    conv, gemm = 2 * 3 * 8 * 6 * 7 * (2 * 3 * 3), 2 * 3 * 5 * (8 * 6 * 7)
    assert cost.flops == conv + gemm
    assert cost.weight_bytes == 4 * (8 * 2 * 9 + 5 * 8 * 42 + 5)
    assert cost.edge_bytes == 4 * (3 * 4 * 42 + 3 * 5)


def test_what_cannot_be_counted_is_named_and_leaves_the_sum_empty(tmp_path):
    nodes = [helper.make_node("Einsum", ["x", "w"], ["y"], equation="ij,jk->ik")]
    path = _save(tmp_path / "a.onnx", nodes, {"x": [2, 3]}, ["y"], {"w": np.zeros((3, 4), np.float32)})
    cost = count(path, {"x": np.zeros((2, 3), np.float32)})
    assert cost.flops is None
    assert cost.uncounted == ("Einsum",)


@pytest.mark.parametrize(
    ("operator", "inputs", "outputs", "flops"),
    [
        ("MatMul", [(2, 5, 8), (8, 3)], [(2, 5, 3)], 2 * 2 * 5 * 8 * 3),
        ("QLinearConv", [(1, 4, 9, 9), (), (), (6, 4, 3, 3), (6,), ()], [(1, 6, 7, 7)], 2 * 6 * 49 * 36),
        ("ConvTranspose", [(1, 4, 5, 5), (4, 6, 2, 2)], [(1, 6, 10, 10)], None),
        ("Softmax", [(2, 3)], [(2, 3)], 0),
        ("Loop", [()], [(2, 3)], None),
    ],
)
def test_node_flops(operator, inputs, outputs, flops):
    assert node_flops(operator, inputs, outputs) == flops


def test_twice_the_faces_are_twice_the_work(pipeline):
    scene = Scene.of(pipeline, demo_frame())
    graph, feed, _ = roofline.feeds(scene)["encode"]
    cost = count(pipeline.bundle.graph(graph), feed)
    assert cost.uncounted == ()
    two = {name: array.repeat(2, 0) for name, array in feed.items()}
    assert count(pipeline.bundle.graph(graph), two).flops == pytest.approx(2 * cost.flops, rel=0.01)


def test_roofline_places_every_graph_under_the_measured_ceiling(capsys):
    assert main(["roofline", "--rounds", "3", "--threads", "1", "--profile", "--json"]) == 0
    figures = json.loads(capsys.readouterr().out)
    assert figures["gemm_gflops"] > 1
    assert figures["bandwidth_gbs"] > 0.1
    assert set(figures["stages"]) == {"face", "encode", "prompt", "token", "verify"}
    for stage in figures["stages"].values():
        assert stage["uncounted"] == []
        assert stage["gflops"] == pytest.approx(stage["mflops"] / stage["median_ms"])
        assert stage["share_of_attainable"] >= stage["share_of_gemm"] > 0
        rows = stage["operators"]
        assert rows[-1]["operator"] == "outside"
        assert sum(row["share"] for row in rows) == pytest.approx(1)
    encoder = SHIPPED / "vision_encoder.onnx"
    assert figures["stages"]["encode"]["weight_mb"] > 1.5 * encoder.stat().st_size / 1e6, (
        "the runtime unpacks weights that are stored small"
    )
    assert figures["stages"]["encode"]["operators"][0]["operator"] == "Conv", "the most expensive first"


def test_roofline_of_no_thread_is_a_clear_error(capsys):
    assert main(["roofline", "--threads", "0"]) == 2
    assert "--threads" in capsys.readouterr().err


def test_a_graph_whose_work_or_ceiling_is_unknown_gets_no_share():
    counted = Count(4_000_000, 1_000_000, 0, ())
    placed = roofline._place(counted, 2.0, 8e9, 1e9)
    assert (placed["gflops"], placed["share_of_gemm"], placed["share_of_attainable"], placed["bound"]) == (2.0, 0.25, 0.5, "memory")
    for cost, ceiling in ((Count(None, 1, 1, ("Loop",)), 8e9), (counted, None)):
        placed = roofline._place(cost, 2.0, ceiling, ceiling)
        assert (placed["share_of_gemm"], placed["share_of_attainable"], placed["bound"]) == (None, None, None)
