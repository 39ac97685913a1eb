"""Sessions: one small protocol in front of whatever runs a graph, chosen in one place."""

from __future__ import annotations

import logging
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from edge.errors import BackendError, BundleError, UsageError

if TYPE_CHECKING:
    import onnxruntime

log = logging.getLogger(__name__)

DEVICES = ("auto", "cpu", "cuda", "tensorrt")
_NO_TELEMETRY = ("ORT_DISABLE_TELEMETRY", "ORT_TELEMETRY_DISABLED")  # the name has changed between releases
_PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider", "tensorrt": "TensorrtExecutionProvider"}


class Session(Protocol):
    """Runs one graph."""

    provider: str
    """Execution provider that runs it, as ONNX Runtime names it."""

    def run(self, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Run the graph: input name → array in, output name → array out."""
        ...

    def run_into(self, inputs: dict[str, np.ndarray], outputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Run the graph, writing the named `outputs` into the given arrays; return the outputs that were not named.

        An output array may be an input array too: the graph then updates it in place.
        """
        ...

    def close(self) -> None:
        """Free what the session holds."""
        ...


class OrtSession:
    """An ONNX Runtime session."""

    def __init__(self, path: Path, *, device: str = "cpu", threads: int = 0) -> None:
        """Load a graph.

        Args:
            path: the `.onnx` file.
            device: `cpu`, `cuda` or `tensorrt` (`auto` is resolved by `resolve_device`).
            threads: intra-op threads; 0 leaves the choice to ONNX Runtime.

        Raises:
            BackendError: ONNX Runtime is not installed, or it fell back from the device that was asked for.
            BundleError: the file is not a loadable graph.
        """
        ort = _onnxruntime()
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 3
        # five graphs run in turn, each with threads of its own: those that spin after their run take the cores from the next
        options.add_session_config_entry("session.force_spinning_stop", "1")
        wanted = _PROVIDERS[device]
        chosen = [wanted] if device == "cpu" else [wanted, _PROVIDERS["cpu"]]
        try:
            self.ort: onnxruntime.InferenceSession = ort.InferenceSession(str(path), options, providers=chosen)
        except Exception as error:  # onnxruntime raises its own unrelated classes
            raise BundleError(f"cannot load the graph '{path.name}': {str(error).splitlines()[0]}") from None
        self.provider = self.ort.get_providers()[0]
        if self.provider != wanted:
            raise BackendError(f"'{path.name}' runs on {self.provider}, not on {wanted}: check the driver, or ask for another device")
        self.inputs = tuple(node.name for node in self.ort.get_inputs())
        self.outputs = tuple(node.name for node in self.ort.get_outputs())

    def run(self, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Run the graph: input name → array in, output name → array out."""
        return dict(zip(self.outputs, self.ort.run(None, inputs), strict=True))

    def run_into(self, inputs: dict[str, np.ndarray], outputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Run the graph, writing the named `outputs` into the given arrays; return the outputs that were not named."""
        binding = self.ort.io_binding()
        for name, array in inputs.items():
            binding.bind_input(name, "cpu", 0, array.dtype, array.shape, array.ctypes.data)
        for name, array in outputs.items():
            binding.bind_output(name, "cpu", 0, array.dtype, array.shape, array.ctypes.data)
        rest = [name for name in self.outputs if name not in outputs]
        for name in rest:
            binding.bind_output(name, "cpu")
        self.ort.run_with_iobinding(binding)
        found = dict(zip([*outputs, *rest], binding.get_outputs(), strict=True))
        return {name: found[name].numpy() for name in rest}

    def close(self) -> None:
        """Free the session."""
        del self.ort


def resolve_device(device: str) -> str:
    """Turn `auto` into `cuda` where its provider is there, else `cpu`; check an explicit device.

    Raises:
        UsageError: not a device name.
        BackendError: ONNX Runtime is missing, or has no provider for the explicit device.
    """
    if device not in DEVICES:
        raise UsageError(f"unknown device '{device}': expected one of {', '.join(DEVICES)}")
    there = _onnxruntime().get_available_providers()
    if device == "auto":
        device = "cuda" if _PROVIDERS["cuda"] in there else "cpu"
        log.info("device auto: took %s", device)
    elif _PROVIDERS[device] not in there:
        raise BackendError(
            f"device '{device}' needs {_PROVIDERS[device]}, which this ONNX Runtime lacks: install erv-edge[gpu] on a machine "
            f"with that hardware, or use --device auto"
        )
    return device


def _onnxruntime() -> Any:  # a module; its stubs differ by wheel
    """Import ONNX Runtime with its telemetry off: from 1.31 on its wheels keep a device identifier and report to their maker by default."""
    late = "onnxruntime" in sys.modules
    for name in _NO_TELEMETRY:
        late = late and name not in os.environ
        os.environ.setdefault(name, "1")  # read once, when the library is loaded
    try:
        import onnxruntime
    except ImportError:
        raise BackendError("ONNX Runtime is not installed: pip install 'erv-edge[cpu]' or 'erv-edge[gpu]'") from None
    onnxruntime.disable_telemetry_events()
    if late:
        log.warning("ONNX Runtime was imported before edge and may have reported to its maker: set %s=1", _NO_TELEMETRY[0])
    return onnxruntime
