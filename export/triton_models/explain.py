"""The slow path on a Triton server: visual tokens, probabilities, cues → explanations with their verdicts, one JSON object a face."""

import json
from pathlib import Path

import numpy as np
import triton_python_backend_utils as pb_utils
from served import ServedGraph, configuration

from edge.explain import Explainer, Subject
from edge.policy import RationalePolicy, cache_names, load_tokenizer
from edge.verifier import INPUTS, SentenceVerifier


class TritonPythonModel:
    """Called by Triton."""

    def initialize(self, args: dict) -> None:
        """Read configuration and tokenizers, which lie beside this file."""
        here = Path(__file__).parent
        self.config = configuration(here)
        past, _ = cache_names(self.config.policy.layers)
        decoder = ServedGraph("erv_decoder", ("inputs_embeds", "cache_position", *past))
        policy = RationalePolicy(
            ServedGraph("erv_embed", ("input_ids",)), decoder, load_tokenizer(here / "tokenizer.json"), self.config.policy
        )
        reader = SentenceVerifier(ServedGraph("erv_verifier", INPUTS), load_tokenizer(here / "verifier_tokenizer.json"), self.config)
        self.explainer = Explainer(policy, reader, self.config)

    def execute(self, requests: list) -> list:
        """Explain every request's faces."""
        return [pb_utils.InferenceResponse([pb_utils.Tensor("explanations", self.explain(request))]) for request in requests]

    def explain(self, request: object) -> np.ndarray:
        """JSON texts `[N]`."""
        names = ("visual_tokens", "probabilities", "cues")
        tokens, probabilities, cues = (pb_utils.get_input_tensor_by_name(request, name).as_numpy() for name in names)
        cue_names = [cue.name for cue in self.config.cues]
        subjects = [
            Subject(tokens[i], self.config.labels[row.argmax()], float(row.max()), dict(zip(cue_names, map(float, cues[i]), strict=True)))
            for i, row in enumerate(probabilities)
        ]
        return np.array([json.dumps(found.to_dict()) for found in self.explainer(subjects)], object)
