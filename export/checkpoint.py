"""A pipeline whose networks are the trained torch modules themselves, so that a bundle can be compared with what it came from.

The modules run behind the runtime's session protocol; everything around them (grammar, tokenizers, verdicts) is the runtime's own. The
decoder is `LlamaForCausalLM`, which reads a whole text at every step, not the graph that the exporter writes: that is what is under test.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from edge.bundle import Bundle
from edge.errors import InputError
from edge.language.explain import Explainer
from edge.language.grammar import FILE, load_grammar
from edge.language.policy import RationalePolicy
from edge.language.tokens import parse_tokenizer
from edge.language.verifier import SentenceVerifier
from edge.pipeline import Pipeline
from edge.vision.encoder import FaceEncoder
from edge.vision.finder import FaceFinder
from edge.vision.screen import INPUT, OUTPUTS, Screen
from export.graphs import READINGS, EmbedGraph, VerifierGraph, VisionGraph
from export.visibility import VisibilityGraph
from training.face import load_face
from training.policy import ErvPolicy, load_policy
from training.screen import load_screen
from training.verifier import load_verifier
from training.visibility import load_visibility

POLICIES = ("grpo", "sft")
"""Runs of the policy, the first that is there."""


class TorchSession:
    """A torch module as a session."""

    provider = "torch"

    def __init__(self, module: Callable[..., object], inputs: tuple[str, ...], outputs: tuple[str, ...]) -> None:
        self.module, self.inputs, self.outputs = module, inputs, outputs

    @torch.no_grad()
    def run(self, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Run the module."""
        found = self.module(*(torch.from_numpy(inputs[name]) for name in self.inputs))
        each = found if isinstance(found, tuple) else (found,)
        return {name: value.numpy() for name, value in zip(self.outputs, each, strict=True)}

    def run_into(self, inputs: dict[str, np.ndarray], outputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Run the module, copying the named outputs."""
        found = self.run(inputs)
        for name, array in outputs.items():
            array[...] = found.pop(name)
        return found

    def close(self) -> None:
        """Nothing is held."""


class TorchDecoder(TorchSession):
    """The policy's own decoder, which reads each row's whole text anew at every step; the caches hold nothing but the row's number."""

    def __init__(self, policy: ErvPolicy) -> None:
        super().__init__(policy.decoder, (), ("logits",))
        self.rows: list[torch.Tensor] = []

    @torch.no_grad()
    def run_into(self, inputs: dict[str, np.ndarray], outputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """One step; one that starts at position 0 starts new texts."""
        position, given = inputs["cache_position"], torch.from_numpy(inputs["inputs_embeds"])
        number = next(iter(outputs.values()))
        last = number.shape[2] - 1  # what pads a row stands there
        if (position == 0).any():
            self.rows = [given[row, position[row] < last] for row in range(len(given))]
            number[:, 0, 0, 0] = np.arange(len(given))
        else:
            for row, place in enumerate(position):
                whole = int(number[row, 0, 0, 0])
                self.rows[whole] = torch.cat([self.rows[whole], given[row, place < last]])
        return {"logits": np.stack([self._logits(self.rows[int(n)]) for n in number[:, 0, 0, 0]])}

    def _logits(self, embeds: torch.Tensor) -> np.ndarray:
        return np.asarray(self.module(inputs_embeds=embeds[None]).logits[0, -1].numpy().copy())


def checkpoint_pipeline(runs: Path, bundle: Bundle) -> Pipeline:
    """Put trained parts into a pipeline.

    Args:
        runs: a folder with the runs `face`, `grpo` (or `sft`), `verifier` and `visibility` where there is one (the
            policy brings its encoder).
        bundle: whose configuration is used: a checkpoint has no thresholds of its own.

    Raises:
        InputError: a run is missing or damaged.
    """
    trained = [runs / name / "policy" for name in POLICIES if (runs / name / "policy").is_dir()]
    if not trained:
        raise InputError(f"'{runs}' is neither a bundle nor a folder of runs: it has no {' or '.join(f'{n}/policy' for n in POLICIES)}")
    face, (verifier, tokenizer) = load_face(runs / "face"), load_verifier(runs / "verifier")
    policy, processor = load_policy(trained[0])
    grammar = load_grammar(trained[0] / FILE)
    config, vision = bundle.config, VisionGraph(policy).eval()
    outputs: tuple[str, ...] = ("visual_tokens", *READINGS.values())
    look: Callable[..., object] = vision
    if (runs / "visibility").is_dir():
        sight, outputs = VisibilityGraph(load_visibility(runs / "visibility").network), (*outputs, "visible")

        def look(pixels: torch.Tensor) -> object:
            return *vision(pixels), sight(pixels)

    else:
        config = dataclasses.replace(config, verdict=dataclasses.replace(config.verdict, min_visible=0.0))
    written = RationalePolicy(
        TorchSession(EmbedGraph(policy.get_input_embeddings()), ("input_ids",), ("inputs_embeds",)),
        TorchDecoder(policy),
        parse_tokenizer(processor.tokenizer.backend_tokenizer.to_str()),
        config.policy,
        grammar,
    )
    screened = None
    if config.face.screened:
        look_again = TorchSession(load_screen(runs / "screen"), (INPUT,), OUTPUTS)
        screened = Screen(look_again, config.image, config.face.least_sure)
    reader = TorchSession(VerifierGraph(verifier), ("input_ids", "attention_mask"), ("emotions", "claims", "covered"))
    return Pipeline(
        Bundle(bundle.folder, config),
        FaceFinder(TorchSession(face, ("picture",), ("faces",)), config.face, screen=screened),
        FaceEncoder(TorchSession(look, ("pixel_values",), outputs), config),
        Explainer(written, SentenceVerifier(reader, parse_tokenizer(tokenizer.to_str()), config), grammar, config),
        "torch",
    )
