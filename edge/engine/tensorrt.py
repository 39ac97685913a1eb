"""The TensorRT backend: builds an engine of a graph on this machine, keeps it, and runs it behind the `Session` protocol.

Networks are strongly typed: precision is the graph's own, and quantisation is its explicit Q/DQ, which TensorRT 10 and 11 both take.
Building takes minutes on a small device; it happens when a bundle is loaded, never inside a frame.
"""

from __future__ import annotations

import logging
import math
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from edge.engine.cache import EngineCache, EngineKey, engine_key
from edge.engine.cuda import Cuda
from edge.engine.fold import fold_constants
from edge.errors import BackendError, UsageError
from edge.library import load
from edge.profiles import Profile, Shape
from edge.whole import write_whole

log = logging.getLogger(__name__)
WORKSPACE_BYTES = 1 << 30
Progress = Callable[[str, int, int], None]
"""Called with a phase of the build, the step that is done, and how many there are."""


def import_tensorrt() -> Any:
    """The `tensorrt` module.

    Raises:
        BackendError: it is not installed, or too old.
    """
    tensorrt = load(
        "tensorrt",
        name="TensorRT's Python package, which device 'tensorrt' needs,",
        holds="__version__",
        get="pip install tensorrt (on a Jetson it comes with JetPack: make the virtual environment with --system-site-packages)",
        needs="install TensorRT's own libraries, and let LD_LIBRARY_PATH lead to them",
    )
    if int(tensorrt.__version__.split(".")[0]) < 10:
        raise BackendError(f"TensorRT {tensorrt.__version__} is too old: 10 or later is needed (JetPack 6.2 has 10.3)")
    return tensorrt


def build_engine(onnx: Path, profiles: tuple[Profile, ...], key: EngineKey, cache: EngineCache, progress: Progress | None = None) -> bytes:
    """Build an engine; takes minutes.

    Args:
        onnx: the graph, with its constants folded.
        profiles: bounds of its inputs.
        key: of the engine.
        cache: whose timing cache is used and kept.
        progress: told how far the build is.

    Raises:
        BackendError: TensorRT is missing, or cannot build it; its own words follow.
    """
    trt = import_tensorrt()
    logger = trt.Logger(trt.Logger.ERROR)
    builder = trt.Builder(logger)
    network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    parser = trt.OnnxParser(network, logger)
    if not parser.parse_from_file(str(onnx)):
        said = "; ".join(parser.get_error(i).desc() for i in range(parser.num_errors))
        raise BackendError(f"TensorRT {trt.__version__} cannot read '{key.graph}': {said or 'no reason given'}")
    config = builder.create_builder_config()
    config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, WORKSPACE_BYTES)
    config.clear_flag(trt.BuilderFlag.TF32)  # its ten bits of mantissa would change decisions
    inputs = [network.get_input(i) for i in range(network.num_inputs)]
    for profile in profiles:
        whole = profile.filled({tensor.name: tuple(tensor.shape) for tensor in inputs})
        bounds = builder.create_optimization_profile()
        for tensor in inputs:
            bounds.set_shape(tensor.name, whole.least[tensor.name], whole.usual[tensor.name], whole.most[tensor.name])
        config.add_optimization_profile(bounds)
    timing = cache.timing(key)
    known = timing.read_bytes() if timing.is_file() else b""
    config.set_timing_cache(config.create_timing_cache(known), ignore_mismatch=False)
    if progress:
        config.progress_monitor = _monitor(trt, progress)
    engine = builder.build_serialized_network(network, config)
    if engine is None:
        raise BackendError(f"TensorRT {trt.__version__} could not build an engine of '{key.graph}': run with --verbose for its log")
    write_whole(timing, bytes(config.get_timing_cache().serialize()))
    return bytes(engine)


def _monitor(trt: Any, progress: Progress) -> Any:
    """TensorRT's progress callbacks, turned into ours."""

    class Monitor(trt.IProgressMonitor):  # type: ignore[misc]
        def __init__(self) -> None:
            trt.IProgressMonitor.__init__(self)
            self.steps: dict[str, int] = {}

        def phase_start(self, name: str, parent: str | None, steps: int) -> None:
            self.steps[name] = steps

        def phase_finish(self, name: str) -> None:
            progress(name, self.steps[name], self.steps.pop(name))

        def step_complete(self, name: str, step: int) -> bool:
            progress(name, step, self.steps[name])
            return True

    return Monitor()


def ready_engine(
    graph: str, onnx: Path, profiles: tuple[Profile, ...], cuda: Cuda, *, cache: EngineCache | None = None, progress: Progress | None = None
) -> bytes:
    """The engine of a graph for this machine: from the cache if it is exactly that one, else built and kept."""
    cache = cache or EngineCache()
    key = engine_key(graph, onnx, profiles, tensorrt=import_tensorrt().__version__, capability=cuda.capability)
    if engine := cache.load(key):
        log.debug("engine of %s: %s", graph, cache.path(key))
        return engine
    log.warning("building the TensorRT engine of '%s' for this GPU: once, it takes minutes", graph)
    with tempfile.TemporaryDirectory() as name:
        folded = Path(name) / onnx.name
        fold_constants(onnx, folded)
        engine = build_engine(folded, profiles, key, cache, progress)
    cache.store(key, engine)
    return engine


class TensorrtSession:
    """Runs an engine. The arrays stay the caller's: what goes in is copied to the device, and what comes out is copied back."""

    provider = "TensorRT"

    def __init__(self, graph: str, onnx: Path, profiles: tuple[Profile, ...], *, progress: Progress | None = None) -> None:
        """Load the graph's engine, building it first where this machine has none.

        Raises:
            BackendError: TensorRT, the CUDA runtime or the GPU is not there, or the engine cannot be built or loaded.
        """
        trt = import_tensorrt()
        self.cuda, self.profiles = Cuda(), profiles
        self.runtime = trt.Runtime(trt.Logger(trt.Logger.ERROR))
        self.engine = self.runtime.deserialize_cuda_engine(ready_engine(graph, onnx, profiles, self.cuda, progress=progress))
        if self.engine is None:
            raise BackendError(f"TensorRT cannot load its engine of '{graph}': remove it from '{EngineCache().folder}' and try again")
        names = [self.engine.get_tensor_name(i) for i in range(self.engine.num_io_tensors)]
        inward = {name: self.engine.get_tensor_mode(name) == trt.TensorIOMode.INPUT for name in names}
        self.inputs = tuple(name for name in names if inward[name])
        self.outputs = tuple(name for name in names if not inward[name])
        self.types = {name: np.dtype(trt.nptype(self.engine.get_tensor_dtype(name))) for name in names}
        self.contexts = [self.engine.create_execution_context() for _ in profiles]
        for i, context in enumerate(self.contexts):
            context.set_optimization_profile_async(i, self.cuda.stream.value or 0)
        self.buffers: dict[str, tuple[int, int]] = {}

    def run(self, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Run the graph: input name → array in, output name → array out."""
        return self.run_into(inputs, {})

    def run_into(self, inputs: dict[str, np.ndarray], outputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Run the graph, writing the named `outputs` into the given arrays; return the outputs that were not named."""
        if not self.contexts:
            raise UsageError("the pipeline is closed: load another one")
        shapes: dict[str, Shape] = {name: array.shape for name, array in inputs.items()}
        fitting = [i for i, profile in enumerate(self.profiles) if profile.fits(shapes)]
        if not fitting:
            raise BackendError(f"inputs {shapes} lie outside the engine's profiles")
        context = self.contexts[fitting[-1]]  # the last one is the narrowest
        for name, array in inputs.items():
            sent = np.ascontiguousarray(array, self.types[name])
            context.set_input_shape(name, sent.shape)
            context.set_tensor_address(name, self._room(name, sent.nbytes))
            self.cuda.upload(self.buffers[name][0], sent)
            self.cuda.wait()  # `sent` may be a temporary
        found = {}
        for name in self.outputs:
            shape = tuple(context.get_tensor_shape(name))
            found[name] = outputs[name] if name in outputs else np.empty(shape, self.types[name])
            context.set_tensor_address(name, self._room(name, math.prod(shape) * self.types[name].itemsize))
        if not context.execute_async_v3(self.cuda.stream.value or 0):
            raise BackendError("TensorRT could not run the engine")
        for name, array in found.items():
            self.cuda.download(array, self.buffers[name][0])
        self.cuda.wait()
        return {name: array for name, array in found.items() if name not in outputs}

    def _room(self, name: str, size: int) -> int:
        """Address of the tensor's memory, made larger where it is too small."""
        address, there = self.buffers.get(name, (0, -1))
        if there < size:
            if there >= 0:
                self.cuda.free(address)
            self.buffers[name] = self.cuda.allocate(size), size
        return self.buffers[name][0]

    def close(self) -> None:
        """Free memory, contexts and engine."""
        for address, _ in self.buffers.values():
            self.cuda.free(address)
        self.buffers = {}
        self.contexts = []
        del self.engine, self.runtime
        self.cuda.close()
