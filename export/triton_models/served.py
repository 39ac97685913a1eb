"""The bundle's graphs as the runtime's sessions, run by Triton on the same server."""

import json
from pathlib import Path

import numpy as np
import triton_python_backend_utils as pb_utils

from edge.bundle import BundleConfig, read_config
from edge.errors import BackendError


class ServedGraph:
    """A graph in the same model repository."""

    provider = "Triton"

    def __init__(self, model: str, inputs: tuple[str, ...]) -> None:
        self.model, self.inputs = model, inputs
        self.outputs: list[str] = json.loads((Path(__file__).parent / "graphs.json").read_text(encoding="utf-8"))[model]

    def run(self, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Run the graph."""
        tensors = [pb_utils.Tensor(name, np.ascontiguousarray(array)) for name, array in inputs.items()]
        here = pb_utils.PreferredMemory(pb_utils.TRITONSERVER_MEMORY_CPU, 0)
        request = pb_utils.InferenceRequest(
            model_name=self.model, requested_output_names=self.outputs, inputs=tensors, preferred_memory=here
        )
        response = request.exec()
        if response.has_error():
            raise BackendError(f"Triton could not run {self.model}: {response.error().message()}")
        return {name: pb_utils.get_output_tensor_by_name(response, name).as_numpy() for name in self.outputs}

    def run_into(self, inputs: dict[str, np.ndarray], outputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Run the graph, copying the named outputs into the given arrays."""
        found = self.run(inputs)
        for name, array in outputs.items():
            array[...] = found.pop(name)
        return found

    def close(self) -> None:
        """Triton owns the graph."""


def configuration(folder: Path) -> BundleConfig:
    """The bundle's configuration."""
    return read_config(json.loads((folder / "config.json").read_text(encoding="utf-8")))
