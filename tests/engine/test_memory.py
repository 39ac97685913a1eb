"""Loading a bundle again and again keeps nothing; `ERV_LOADS=200` loads as often as the promise says."""

import os
import sys
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from edge.bundle import SHIPPED
from edge.engine.backend import OrtSession
from edge.engine.fold import folded
from edge.engine.watch import watched
from edge.errors import BundleError, UsageError
from edge.pipeline import Pipeline

LOADS = int(os.environ.get("ERV_LOADS", "20"))


def _resident_mb() -> float:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_loading_a_bundle_again_and_again_keeps_no_memory():
    resident_mb = []
    for _ in range(LOADS + 15):
        Pipeline.load(device="cpu", threads=1).close()
        resident_mb.append(_resident_mb())
    before_mb, after_mb = min(resident_mb[5:15]), min(resident_mb[-10:])  # the allocator swings by 40 MB; five load what is loaded once
    assert after_mb - before_mb <= 10 + 15 * (LOADS < 200)


def test_a_folded_graph_is_the_one_that_onnx_runtime_makes():
    """Not only not the file itself: `folded` falls back to it without a word."""
    if not hasattr(onnxruntime, "ModelCompiler"):
        pytest.skip("this ONNX Runtime folds nothing beforehand")
    whole = folded(SHIPPED / "verifier.onnx")
    assert isinstance(whole, bytes)
    assert len(whole) > 100_000
    onnxruntime.InferenceSession(whole, providers=["CPUExecutionProvider"])


def _endless(path: Path) -> Path:
    """A graph that loops 2^62 times."""
    onnx = pytest.importorskip("onnx")
    helper, kinds = onnx.helper, onnx.TensorProto
    value = helper.make_tensor_value_info
    body = helper.make_graph(
        [helper.make_node("Identity", ["go"], ["on"]), helper.make_node("Add", ["sum", "one"], ["more"])], "body",
        [value("i", kinds.INT64, []), value("go", kinds.BOOL, []), value("sum", kinds.FLOAT, [])],
        [value("on", kinds.BOOL, []), value("more", kinds.FLOAT, [])], [helper.make_tensor("one", kinds.FLOAT, [], [1.0])],
    )  # fmt: skip
    constants = [
        helper.make_tensor("times", kinds.INT64, [], [2**62]),
        helper.make_tensor("yes", kinds.BOOL, [], [True]),
    ]
    loop = helper.make_node("Loop", ["times", "yes", "x"], ["y"], body=body)
    graph = helper.make_graph([loop], "graph", [value("x", kinds.FLOAT, [])], [value("y", kinds.FLOAT, [])], constants)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


def test_a_graph_without_an_end_is_broken_off(tmp_path):
    session = OrtSession(_endless(tmp_path / "endless.onnx"))
    with pytest.raises(BundleError, match=r"has not ended after 0\.5 s"), watched([session], 0.5):
        session.run({"x": np.zeros((), np.float32)})


def test_watching_does_not_break_off_what_ends(tmp_path, pipeline):
    with watched(pipeline.sessions, 60.0):
        pipeline.encoder(np.zeros((1, 96, 96), np.uint8))
    pipeline.encoder(np.zeros((1, 96, 96), np.uint8))


def test_a_call_after_close_is_a_sentence(portrait):
    with Pipeline.load(device="cpu", threads=1) as closed:
        pass
    with pytest.raises(UsageError, match="closed"):
        closed.encoder(np.zeros((1, 96, 96), np.uint8))
    with pytest.raises(UsageError, match="closed"):
        closed(portrait)
    closed.close()


@pytest.mark.parametrize("threads", [-1, 1024, 10**9])
def test_a_number_of_threads_that_makes_no_sense_is_refused(threads):
    with pytest.raises(UsageError, match="threads"):
        Pipeline.load(device="cpu", threads=threads)
