"""The slow path on a Triton server: visual tokens, probabilities, cues, pose and what is in sight → explanations, one JSON object each."""

import json
from pathlib import Path

import numpy as np
import triton_python_backend_utils as pb_utils
from served import ServedGraph, configuration

from edge.language.explain import Explainer, subjects_of
from edge.language.grammar import load_grammar
from edge.language.policy import RationalePolicy
from edge.language.tokens import load_tokenizer
from edge.language.verifier import INPUTS, SentenceVerifier
from edge.profiles import cache_names
from edge.vision.encoder import Encoded


class TritonPythonModel:
    """Called by Triton."""

    def initialize(self, args: dict) -> None:
        """Read configuration and tokenizers, which lie beside this file."""
        here = Path(__file__).parent
        self.config = configuration(here)
        past, _ = cache_names(self.config.policy.layers)
        decoder = ServedGraph("erv_decoder", ("inputs_embeds", "cache_position", *past))
        grammar, tokenizer = load_grammar(here / "grammar.json"), load_tokenizer(here / "tokenizer.json")
        policy = RationalePolicy(ServedGraph("erv_embed", ("input_ids",)), decoder, tokenizer, self.config.policy, grammar)
        reader = SentenceVerifier(ServedGraph("erv_verifier", INPUTS), load_tokenizer(here / "verifier_tokenizer.json"), self.config)
        self.explainer = Explainer(policy, reader, grammar, self.config)

    def execute(self, requests: list) -> list:
        """Explain every request's faces."""
        return [pb_utils.InferenceResponse([pb_utils.Tensor("explanations", self.explain(request))]) for request in requests]

    def explain(self, request: object) -> np.ndarray:
        """JSON texts `[N]`."""
        names = ("visual_tokens", "probabilities", "cues", "pose", "visible")
        tokens, probabilities, cues, pose, visible = (pb_utils.get_input_tensor_by_name(request, name).as_numpy() for name in names)
        none = np.zeros((len(tokens), 0), np.float32)  # an explanation takes no points and no action units
        subjects = subjects_of(Encoded(tokens, probabilities, cues, none, pose, visible, none), self.config)
        return np.array([json.dumps(found.to_dict()) for found in self.explainer(subjects)], object)
