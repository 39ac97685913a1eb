"""The policy back out of a bundle's graphs: the inverse of `export.graphs.DecoderGraph`, which folds norms and fuses projections."""

from __future__ import annotations

import dataclasses

import numpy as np
import torch
from tokenizers import Tokenizer

from edge.bundle import Bundle
from edge.errors import InputError
from training.constraint import IMAGE_TOKEN, SPECIAL, wrapped
from training.network import Encoder
from training.policy import ErvPolicy, ErvProcessor
from training.sft import SftConfig, configure, new_policy

Weights = dict[str, np.ndarray]


def recovered_policy(bundle: Bundle, encoder: Encoder, weights: Weights) -> tuple[ErvPolicy, ErvProcessor]:
    """The policy of a bundle without a vision tower, and its processor.

    Args:
        bundle: the bundle.
        encoder: recovered already.
        weights: of the graphs of encoder, embeddings and decoder.

    Raises:
        InputError: the bundle's policy is another kind of network.
    """
    spec = bundle.config.policy
    if spec.tower or not spec.constrained:
        raise InputError("the bundle's policy is a large one: it is a model of its own, and nothing of it is recovered")
    tokenizer = wrapped(Tokenizer.from_file(str(bundle.folder / "tokenizer.json")))
    if tokenizer.convert_tokens_to_ids([IMAGE_TOKEN, *SPECIAL[:3]]) != [spec.image, SPECIAL.index("<pad>"), spec.bos, spec.eos]:
        raise InputError("the bundle's tokenizer has other special tokens than its configuration")
    shape = dataclasses.replace(
        configure(None, []),
        hidden=weights["table.weight"].shape[1],
        layers=spec.layers,
        heads=weights["gather.0"].shape[0] // spec.head_dim,
        kv_heads=spec.kv_heads,
        intermediate=weights["narrow.0"].shape[0],
    )
    policy = new_policy(encoder, tokenizer, shape)
    found = {name: weights[name] for name in policy.state_dict() if name.startswith("projector.")}
    found |= {f"decoder.{name}": value for name, value in _decoder(weights, shape).items()}
    try:
        missing, unknown = policy.load_state_dict({name: torch.tensor(value) for name, value in found.items()}, strict=False)
    except RuntimeError:
        raise InputError("the bundle's policy is another kind of network, or of another version of this project") from None
    if unknown or any(not name.startswith("encoder.") for name in missing):
        raise InputError("the bundle's decoder is another kind of network")
    return policy, ErvProcessor(tokenizer)


def _decoder(weights: Weights, shape: SftConfig) -> Weights:
    """The decoder's own weights: norms that were folded into the layer behind them are 1 now, but for the last, whose layer is tied."""
    table, ones = weights["table.weight"], np.ones(shape.hidden, np.float32)
    last = (weights["out"] * table.T).sum(1) / np.square(table).sum(0)
    found = {"model.embed_tokens.weight": table, "lm_head.weight": table, "model.norm.weight": last}
    size = weights["gather.0"].shape[0] // shape.heads
    for i in range(shape.layers):
        q, k, v = np.split(weights[f"attend.{i}"].T, np.cumsum([shape.heads * size, shape.kv_heads * size]))
        gate, up = np.split(weights[f"widen.{i}"].T, 2)
        parts = {f"self_attn.{name}_proj": part for name, part in zip("qkvo", (q, k, v, weights[f"gather.{i}"].T), strict=True)}
        parts |= {"mlp.gate_proj": gate, "mlp.up_proj": up, "mlp.down_proj": weights[f"narrow.{i}"].T}
        parts |= dict.fromkeys(("input_layernorm", "post_attention_layernorm"), ones)
        found |= {f"model.layers.{i}.{name}.weight": part for name, part in parts.items()}
    return found
