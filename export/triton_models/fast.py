"""The fast path on a Triton server: face crops → visual tokens, probabilities, cues, points, pose, which cues are in sight."""

from pathlib import Path

import triton_python_backend_utils as pb_utils
from served import ServedGraph, configuration

from edge.vision.encoder import FaceEncoder


class TritonPythonModel:
    """Called by Triton."""

    def initialize(self, args: dict) -> None:
        """Read the bundle's configuration, which lies beside this file."""
        config = configuration(Path(__file__).parent)
        self.encoder = FaceEncoder(ServedGraph("erv_vision", ("pixel_values",)), config)

    def execute(self, requests: list) -> list:
        """Read every request's crops."""
        responses = []
        for request in requests:
            read = self.encoder(pb_utils.get_input_tensor_by_name(request, "crops").as_numpy())
            named = {
                "visual_tokens": read.tokens,
                "probabilities": read.probabilities,
                "cues": read.cues,
                "points": read.points_xy,
                "pose": read.pose_deg,
                "visible": read.visible,
            }
            tensors = [pb_utils.Tensor(name, array.astype("float32")) for name, array in named.items()]
            responses.append(pb_utils.InferenceResponse(tensors))
        return responses
