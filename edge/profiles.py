"""How large a graph's inputs get, from the bundle's own limits: TensorRT plans its kernels within these bounds, and nowhere else."""

from __future__ import annotations

from edge.bundle import TOWER, BundleConfig
from edge.engines import OWN, Profile, Shape
from edge.face import CELL, LEAST
from edge.policy import cache_names, prompt_length

MAX_FACES = 16
"""Faces that one run of a graph takes; a session splits what is more."""
MAX_SENTENCES = 32
"""Sentences likewise."""


def graph_profiles(graph: str, config: BundleConfig) -> tuple[Profile, ...]:
    """The profiles of one of the bundle's graphs: one, but two of the decoder, which reads a prompt and then single tokens.

    The first axis counts faces or sentences.
    """
    policy = config.policy
    if graph == "face":
        long = max(LEAST, -(-config.face.long_side // CELL) * CELL)
        usual = max(LEAST, -(-(config.face.long_side * 3 // 4) // CELL) * CELL)
        return (_profile("picture", {"picture": ((OWN, OWN, LEAST, LEAST), (OWN, OWN, usual, long), (OWN, OWN, long, long))}),)
    if graph in ("vision_encoder", TOWER):
        rest = (OWN, OWN, OWN)
        return (_profile("crops", {"pixel_values": ((1, *rest), (1, *rest), (MAX_FACES, *rest))}),)
    if graph == "embed_tokens":
        return (_profile("ids", {"input_ids": ((1, 1), (1, 1), (MAX_FACES, prompt_length(policy, policy.max_frames)))}),)
    if graph == "verifier":
        longest = config.verdict.max_tokens
        sentences = ((1, 1), (2, min(16, longest)), (MAX_SENTENCES, longest))
        return (_profile("sentences", {"input_ids": sentences, "attention_mask": sentences}),)
    assert graph == "decoder_model_merged", graph
    short, long = prompt_length(policy, 1), prompt_length(policy, policy.max_frames)
    return _decoder("prompt", config, (2, short, long)), _decoder("step", config, (1, 1, 1))


def _decoder(name: str, config: BundleConfig, lengths: tuple[int, int, int]) -> Profile:
    policy = config.policy
    least, most = (prompt_length(policy, frames) + policy.max_new_tokens for frames in (1, policy.max_frames))
    bounds: dict[str, tuple[Shape, Shape, Shape]] = {
        "inputs_embeds": ((1, lengths[0], OWN), (1, lengths[1], OWN), (MAX_FACES, lengths[2], OWN)),
        "cache_position": ((lengths[0],), (lengths[1],), (lengths[2],)),
    }
    usual = (1, OWN, least, OWN)
    bounds |= dict.fromkeys(cache_names(policy.layers)[0], (usual, usual, (MAX_FACES, OWN, most, OWN)))
    return _profile(name, bounds)


def _profile(name: str, bounds: dict[str, tuple[Shape, Shape, Shape]]) -> Profile:
    least, usual, most = ({key: value[i] for key, value in bounds.items()} for i in range(3))
    return Profile(name, least, usual, most)
