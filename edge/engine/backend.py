"""Sessions: one small protocol in front of whatever runs a graph, chosen in one place."""

from __future__ import annotations

import hashlib
import importlib.util
import logging
import os
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from edge.engine.cache import cache_folder
from edge.engine.fold import folded
from edge.errors import BackendError, BundleError, UsageError
from edge.library import load
from edge.profiles import OWN, Profile

if TYPE_CHECKING:
    import onnxruntime

log = logging.getLogger(__name__)

DEVICES = ("auto", "cpu", "cuda", "tensorrt")
_NO_TELEMETRY = ("ORT_DISABLE_TELEMETRY", "ORT_TELEMETRY_DISABLED")  # the name has changed between releases
_PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider", "tensorrt": "TensorrtExecutionProvider"}


class Session(Protocol):
    """Runs one graph."""

    provider: str
    """What runs it: an execution provider as ONNX Runtime names it, or `TensorRT`."""
    inputs: tuple[str, ...]
    """Names of the graph's inputs."""

    def run(self, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Run the graph: input name → array in, output name → array out."""
        ...

    def run_into(self, inputs: dict[str, np.ndarray], outputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Run the graph, writing the named `outputs` into the given arrays; return the outputs that were not named.

        An output array may be an input array too: the graph then updates it in place.
        """
        ...

    def close(self) -> None:
        """Free what the session holds; a later run is a `UsageError`."""
        ...


class OrtSession:
    """An ONNX Runtime session."""

    def __init__(self, path: Path, *, device: str = "cpu", threads: int = 0, profiles: tuple[Profile, ...] = ()) -> None:
        """Load a graph.

        Args:
            path: the `.onnx` file.
            device: `cpu`, `cuda` or `tensorrt` (`auto` is resolved by `resolve_device`).
            threads: intra-op threads; 0 leaves the choice to ONNX Runtime.
            profiles: bounds of the inputs; ONNX Runtime's TensorRT provider plans its engines within them.

        Raises:
            BackendError: ONNX Runtime is not installed, or it fell back from the device that was asked for.
            BundleError: the file is not a loadable graph.
        """
        ort = _onnxruntime()
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads or allowed_threads()
        options.log_severity_level = 4  # what goes wrong is raised, and told once
        # five graphs run in turn, each with threads of its own: those that spin after their run take the cores from the next
        options.add_session_config_entry("session.force_spinning_stop", "1")
        wanted = _PROVIDERS[device]
        chosen: list[Any] = [wanted] if device == "cpu" else [wanted, _PROVIDERS["cpu"]]
        if device == "tensorrt":
            chosen = [(wanted, tensorrt_options(path, profiles)), _PROVIDERS["cuda"], _PROVIDERS["cpu"]]
        graph = path if device == "tensorrt" else folded(path)  # that provider names its engines by the file
        try:
            self.ort: onnxruntime.InferenceSession | _Closed = ort.InferenceSession(
                graph if isinstance(graph, bytes) else str(graph), options, providers=chosen
            )
        except Exception as error:  # onnxruntime raises its own unrelated classes
            raise BundleError(f"cannot load the graph '{path.name}': {str(error).splitlines()[0]}") from None
        self.provider = self.ort.get_providers()[0]
        if self.provider != wanted:
            raise BackendError(f"'{path.name}' runs on {self.provider}, not on {wanted}: check the driver, or ask for another device")
        self._options = ort.RunOptions()
        self._options.add_run_config_entry("gpu_graph_id", "0")  # what it is anyway: looking for one that is not set raises inside
        self._binding: onnxruntime.IOBinding | None = None
        self._bound: dict[str, np.ndarray] = {}
        self._order: list[str] = []
        self._one_at_a_time = threading.Lock()
        self.runs = 0
        """Runs that have ended."""
        self.inputs = tuple(node.name for node in self.ort.get_inputs())
        self.outputs = tuple(node.name for node in self.ort.get_outputs())

    def run(self, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Run the graph: input name → array in, output name → array out."""
        found = self.ort.run(None, inputs, self._options)
        self.runs += 1
        return dict(zip(self.outputs, found, strict=True))

    def run_into(self, inputs: dict[str, np.ndarray], outputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Run the graph, writing the named `outputs` into the given arrays; return the outputs that were not named."""
        rest = [name for name in self.outputs if name not in outputs]
        with self._one_at_a_time:
            if self._binding is None or self._bound.keys() != inputs.keys() | outputs.keys():
                self._binding, self._bound, self._order = self.ort.io_binding(), {}, [*outputs, *rest]
            binding = self._binding
            for bind, arrays in ((binding.bind_input, inputs), (binding.bind_output, outputs)):
                for name, array in arrays.items():
                    if self._bound.get(name) is not array:  # what was bound for the run before, as caches are, stays bound
                        bind(name, "cpu", 0, array.dtype, array.shape, array.ctypes.data)
                        self._bound[name] = array
            for name in rest:
                binding.bind_output(name, "cpu")
            self.ort.run_with_iobinding(binding, self._options)
            self.runs += 1
            if not rest:
                return {}
            found = dict(zip(self._order, binding.get_outputs(), strict=True))
            return {name: found[name].numpy() for name in rest}

    def halt(self) -> None:
        """Break off the run under way and every later one; callable from any thread."""
        self._options.terminate = True

    def close(self) -> None:
        """Free the session; a later run is a `UsageError`."""
        self.ort, self._binding, self._bound = _Closed(), None, {}


class _Closed:
    """Stands where a session was."""

    def __getattr__(self, name: str) -> Any:
        raise UsageError("the pipeline is closed: load another one")


def allowed_threads() -> int:
    """Threads for a process that may not run on all cores (a container's cpuset); 0, ONNX Runtime's choice, for any other.

    Left to choose, it plans a thread for every core of the host, pins each to its own and prints an error for all it may not use.
    """
    if not hasattr(os, "sched_getaffinity"):
        return 0
    allowed = len(os.sched_getaffinity(0))
    return allowed if allowed < (os.cpu_count() or 1) else 0


class SplitSession:
    """Runs batches larger than a session's profiles in parts, each as large as they allow."""

    def __init__(self, session: Session, profiles: tuple[Profile, ...]) -> None:
        self.session, self.profiles, self.provider, self.inputs = session, profiles, session.provider, session.inputs

    def run(self, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Run the graph: input name → array in, output name → array out."""
        return self.run_into(inputs, {})

    def run_into(self, inputs: dict[str, np.ndarray], outputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Run the graph, writing the named `outputs` into the given arrays; return the outputs that were not named."""
        parts = []
        for part in split_batch(inputs, self.profiles):
            fed = {name: array[part] if is_batched(name, self.profiles) else array for name, array in inputs.items()}
            into = {name: array[part] for name, array in outputs.items()}
            parts.append(self.session.run_into(fed, into) if into else self.session.run(fed))
        return parts[0] if len(parts) == 1 else {name: np.concatenate([found[name] for found in parts]) for name in parts[0]}

    def close(self) -> None:
        """Free what the session holds."""
        self.session.close()


def split_batch(inputs: dict[str, np.ndarray], profiles: tuple[Profile, ...]) -> list[slice]:
    """How to cut the first axis of a batch so that every part lies within the profiles; one slice when nothing needs cutting.

    Only inputs whose first axis is bounded above 1 are batched: what has one row belongs to all.
    """
    name = next((name for name in inputs if is_batched(name, profiles)), None)
    if name is None:
        return [slice(None)]
    count, most = len(inputs[name]), max(profile.most[name][0] for profile in profiles)
    return [slice(i, i + most) for i in range(0, max(1, count), most)] if count > most else [slice(None)]


def is_batched(name: str, profiles: tuple[Profile, ...]) -> bool:
    """Whether an input's first axis counts faces or sentences."""
    return all(len(p.most[name]) > 1 and p.least[name][0] == 1 and p.most[name][0] > 1 for p in profiles)


def resolve_device(device: str) -> str:
    """Turn `auto` into `cuda` where its provider is there, else `cpu`; check an explicit device.

    `tensorrt` is run by TensorRT itself where its Python package is installed, else by ONNX Runtime's provider for it.

    Raises:
        UsageError: not a device name.
        BackendError: ONNX Runtime is missing, or nothing here can run on the explicit device.
    """
    if device not in DEVICES:
        raise UsageError(f"unknown device '{device}': expected one of {', '.join(DEVICES)}")
    there = _onnxruntime().get_available_providers()
    if device == "auto":
        device = "cuda" if _PROVIDERS["cuda"] in there else "cpu"
        log.info("device auto: took %s", device)
    elif device == "tensorrt" and _PROVIDERS[device] not in there:
        from edge.engine.cuda import Cuda
        from edge.engine.tensorrt import import_tensorrt

        import_tensorrt()  # each says in one sentence what is missing
        Cuda().close()
    elif _PROVIDERS[device] not in there:
        raise BackendError(
            f"device '{device}' needs {_PROVIDERS[device]}, which this ONNX Runtime lacks: install erv-edge[gpu] on a machine "
            f"with that hardware, or use --device auto"
        )
    return device


def open_session(graph: str, path: Path, *, device: str, threads: int, profiles: tuple[Profile, ...]) -> Session:
    """Open a graph on a device that `resolve_device` has found: with TensorRT itself where it is installed, else with ONNX Runtime."""
    if device != "tensorrt":
        return OrtSession(path, device=device, threads=threads)
    if importlib.util.find_spec("tensorrt"):
        from edge.engine.tensorrt import TensorrtSession

        return SplitSession(TensorrtSession(graph, path, profiles), profiles)
    return SplitSession(OrtSession(path, device=device, threads=threads, profiles=profiles), profiles)


def tensorrt_options(path: Path, profiles: tuple[Profile, ...]) -> dict[str, str]:
    """Options of ONNX Runtime's TensorRT provider: bounded shapes, engines and timings kept in a folder of this graph alone.

    The provider names its engines by the graph's structure and not by its weights, so the folder is named by the file's hash.
    """
    if not profiles:
        return {}
    own = {node.name: tuple(node.shape) for node in OrtSession(path).ort.get_inputs()}
    whole = [
        profile.filled({name: tuple(d if isinstance(d, int) else OWN for d in shape) for name, shape in own.items()})
        for profile in profiles
    ]

    def written(part: str) -> str:
        rows = [(name, shape) for profile in whole for name, shape in getattr(profile, part).items()]
        return ",".join(f"{name}:{'x'.join(map(str, shape))}" for name, shape in rows)

    folder = cache_folder() / "onnxruntime" / f"{path.stem}-{hashlib.sha256(path.read_bytes()).hexdigest()[:20]}"
    return {
        "trt_engine_cache_enable": "1", "trt_engine_cache_path": str(folder),
        "trt_timing_cache_enable": "1", "trt_timing_cache_path": str(folder.parent),
        "trt_profile_min_shapes": written("least"), "trt_profile_opt_shapes": written("usual"), "trt_profile_max_shapes": written("most"),
    }  # fmt: skip


def no_telemetry() -> None:
    """Switch off the telemetry of an ONNX Runtime that is imported later; from 1.31 on its wheels report to their maker by default."""
    for name in _NO_TELEMETRY:
        os.environ.setdefault(name, "1")  # read once, when the library is loaded


def _onnxruntime() -> Any:  # a module; its stubs differ by wheel
    """Import ONNX Runtime with its telemetry off."""
    late = "onnxruntime" in sys.modules and not any(name in os.environ for name in _NO_TELEMETRY)
    no_telemetry()
    onnxruntime = load(
        "onnxruntime",
        name="ONNX Runtime",
        holds="disable_telemetry_events",
        get="pip install 'erv-edge[cpu]' or 'erv-edge[gpu]'",
        remove="onnxruntime onnxruntime-gpu",
    )
    onnxruntime.disable_telemetry_events()
    if late:
        log.warning("ONNX Runtime was imported before edge and may have reported to its maker: set %s=1", _NO_TELEMETRY[0])
    return onnxruntime
