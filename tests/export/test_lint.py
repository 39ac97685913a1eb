import shutil
from pathlib import Path

import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edge.bundle import SHIPPED, Bundle, write_hashes
from edge.errors import UsageError
from edge.profiles import Profile, graph_profiles
from export.__main__ import main
from export.lint import TARGETS, lint, lint_graph
from export.storage import store_weights

_IMAGE = (Profile("x", {"x": (1, 3, 8, 8)}, {"x": (1, 3, 8, 8)}, {"x": (4, 3, 8, 8)}),)


def _graph(path: Path, nodes: list, weights: dict | None = None, opset: int = 18, kind: int = TensorProto.FLOAT) -> Path:
    tensors = [numpy_helper.from_array(value, name) for name, value in (weights or {}).items()]
    graph = helper.make_graph(
        nodes, "planted", [helper.make_tensor_value_info("x", kind, ["n", 3, 8, 8])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["a", "b", "c", "d"])], tensors,
    )  # fmt: skip
    domains = [helper.make_opsetid("", opset), helper.make_opsetid("com.example", 1)]
    onnx.save(helper.make_model(graph, opset_imports=domains, ir_version=9), path)
    return path


def _found(path: Path, target: str = "trt10.3") -> list[str]:
    return [str(finding) for finding in lint_graph(path, _IMAGE, target)]


@pytest.mark.parametrize("target", TARGETS)
def test_the_shipped_bundle_is_clean(target):
    assert lint(SHIPPED, target) == []


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("bits", [8, 12, 16])
def test_stored_weights_are_clean(target, bits, tmp_path):
    for name in ("vision_encoder", "decoder_model_merged"):
        model = onnx.load(SHIPPED / f"{name}.onnx")
        store_weights(model, bits)
        onnx.save(model, tmp_path / f"{name}.onnx")
        assert lint_graph(tmp_path / f"{name}.onnx", graph_profiles(name, Bundle.load().config), target) == []


@pytest.mark.parametrize("node", [helper.make_node("Det", ["x"], ["y"]), helper.make_node("Wish", ["x"], ["y"], domain="com.example")])
def test_an_unsupported_node_is_caught_by_name(tmp_path, node):
    (finding,) = _found(_graph(tmp_path / "g.onnx", [node]))
    assert node.op_type in finding
    assert "not supported" in finding


def test_a_dynamic_axis_without_bound_is_caught_by_name(tmp_path):
    path = _graph(tmp_path / "g.onnx", [helper.make_node("Relu", ["x"], ["y"])])
    assert _found(path) == []
    (finding,) = lint_graph(path, (Profile("x", {}, {}, {}),), "trt10.3")
    assert "input 'x'" in str(finding)
    open_ended = (Profile("x", {"x": (0, 3, 8, 8)}, {"x": (1, 3, 8, 8)}, {"x": (1, 3, 8, 8)}),)
    (finding,) = lint_graph(path, open_ended, "trt10.3")
    assert "axis 0" in str(finding)
    assert "dynamic axis 'n' without bounds" in str(finding)


def test_a_profile_that_contradicts_a_fixed_axis_is_caught(tmp_path):
    path = _graph(tmp_path / "g.onnx", [helper.make_node("Relu", ["x"], ["y"])])
    wrong = (Profile("x", {"x": (1, 3, 8, 4)}, {"x": (1, 3, 8, 4)}, {"x": (1, 3, 8, 4)}),)
    (finding,) = lint_graph(path, wrong, "trt10.3")
    assert "axis 3" in str(finding)


def _qdq(path: Path, zero: object, scale: object, *, broken: bool = False) -> Path:
    import numpy as np

    nodes = [helper.make_node("QuantizeLinear", ["x", "scale", "zero"], ["q"], axis=1)]
    nodes.append(
        helper.make_node("Cast", ["q"], ["y"], to=1)
        if broken
        else helper.make_node("DequantizeLinear", ["q", "scale", "zero"], ["y"], axis=1)
    )
    return _graph(path, nodes, {"scale": np.float32(scale), "zero": np.asarray(zero)})


def test_an_asymmetric_quantisation_is_caught_by_name(tmp_path):
    import numpy as np

    assert _found(_qdq(tmp_path / "a.onnx", np.int8(0), 0.1)) == []
    findings = _found(_qdq(tmp_path / "b.onnx", np.int8(3), 0.1))
    assert len(findings) == 2
    assert all("asymmetric quantisation" in finding for finding in findings)
    assert any("UINT8" in finding for finding in _found(_qdq(tmp_path / "c.onnx", np.uint8(128), 0.1)))


def test_a_misplaced_quantisation_is_caught(tmp_path):
    import numpy as np

    assert any("misplaced" in finding for finding in _found(_qdq(tmp_path / "a.onnx", np.int8(0), 0.1, broken=True)))
    each = np.zeros(3, np.int8)
    assert any("per tensor" in finding for finding in _found(_qdq(tmp_path / "b.onnx", each, [0.1, 0.2, 0.3])))


def test_types_attributes_and_opsets_are_checked(tmp_path):
    double = _graph(
        tmp_path / "a.onnx", [helper.make_node("Relu", ["x"], ["z"]), helper.make_node("Cast", ["z"], ["y"], to=1)], kind=TensorProto.DOUBLE
    )
    assert any("type FP64" in finding for finding in _found(double))
    import numpy as np

    cubic = helper.make_node("Resize", ["x", "", "scales"], ["y"], mode="cubic")
    assert any("mode 'cubic'" in finding for finding in _found(_graph(tmp_path / "b.onnx", [cubic], {"scales": np.float32([1, 1, 2, 2])})))
    newer = _graph(tmp_path / "c.onnx", [helper.make_node("Relu", ["x"], ["y"])], opset=22)
    assert any("opset 22" in finding for finding in _found(newer))
    assert _found(newer, "trt10.16") == []


def test_the_command_names_what_it_finds_and_fails(tmp_path, capsys):
    copy = Path(shutil.copytree(SHIPPED, tmp_path / "bundle"))
    assert main(["lint", str(copy)]) == 0
    model = onnx.load(copy / "verifier.onnx")
    model.graph.node[-1].op_type = "Det"
    first = model.graph.node[-1]
    first.input[0] = model.graph.node[-1].input[0]
    onnx.save(model, copy / "verifier.onnx")
    write_hashes(copy)
    assert main(["lint", str(copy), "--target", "trt10.3"]) == 1
    assert "trt10.3: verifier: Det" in capsys.readouterr().out
    assert main(["lint", str(copy), "--target", "trt9"]) == 2
    with pytest.raises(UsageError, match="unknown target"):
        lint(copy, "trt9")
