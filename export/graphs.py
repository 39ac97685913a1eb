"""The five graphs of a bundle, from trained torch modules to ONNX, with names and dynamic axes of the contract.

The decoder is written out here for inference: fixed-length caches that are updated by scatter, norms folded into the layers behind them,
fused projections, rotary tables. It computes what `LlamaForCausalLM` computes; the parity check holds it to that.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import onnx
import torch
from torch import nn
from torch.nn import functional as F
from transformers import LlamaModel

from edge.errors import InputError
from edge.profiles import cache_names
from edge.vision.screen import INPUT, OUTPUTS, SIDE
from training.augment import SIZE
from training.face import FaceFinder
from training.network import Encoder
from training.policy import ErvPolicy
from training.screen import Screen
from training.verifier import Verifier

OPSET = 18
READINGS = {"emotion": "emotion_logits", "cues": "cues", "points": "points", "pose": "pose", "units": "units"}
"""Output of the encoder → its name in the graph."""


class VisionGraph(nn.Module):
    """Encoder and projector."""

    def __init__(self, policy: ErvPolicy) -> None:
        super().__init__()
        self.encoder, self.projector = policy.encoder, policy.projector

    def forward(self, pixel_values: torch.Tensor) -> tuple[torch.Tensor, ...]:
        read = self.encoder(pixel_values)
        return self.projector(read), *(read[name] for name in READINGS)


class ReadingsGraph(nn.Module):
    """Encoder without a projector, for a policy with a vision tower: the crop is handed on in place of visual tokens."""

    def __init__(self, encoder: Encoder) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, pixel_values: torch.Tensor) -> tuple[torch.Tensor, ...]:
        read = self.encoder(pixel_values)
        return pixel_values[:, 0] + 0.0, *(read[name] for name in READINGS)


class DecoderGraph(nn.Module):
    """One decoding step of a Llama-type model over fixed-length caches.

    Inputs: `inputs_embeds [N,L,D]`, `cache_position [N,L]`, caches `[N,K,S,H]`. Outputs: `logits [N,V]` of the last position and the caches
    with positions `cache_position` written. Each row stands where it stands: what pads a shorter one goes to the last position, which no
    other sees.
    """

    def __init__(self, model: LlamaModel, head: nn.Linear, positions: int) -> None:
        super().__init__()
        config = model.config
        self.heads, self.kv_heads = config.num_attention_heads, config.num_key_value_heads
        self.head_dim = config.head_dim
        self.epsilon = config.rms_norm_eps
        self.sizes = [self.heads * self.head_dim, self.kv_heads * self.head_dim, self.kv_heads * self.head_dim]
        self.attend, self.gather, self.widen, self.narrow = (nn.ParameterList() for _ in range(4))
        for layer in model.layers:
            attention, mlp = layer.self_attn, layer.mlp
            qkv = torch.cat([attention.q_proj.weight, attention.k_proj.weight, attention.v_proj.weight])
            self.attend.append((qkv * layer.input_layernorm.weight).T.contiguous())
            self.gather.append(attention.o_proj.weight.T.contiguous())
            up = torch.cat([mlp.gate_proj.weight, mlp.up_proj.weight])
            self.widen.append((up * layer.post_attention_layernorm.weight).T.contiguous())
            self.narrow.append(mlp.down_proj.weight.T.contiguous())
        self.out = nn.Parameter((head.weight * model.norm.weight).T.contiguous())
        cos, sin = model.rotary_emb(torch.zeros(1), torch.arange(positions)[None])
        half = self.head_dim // 2
        self.register_buffer("cos", cos[0])
        self.register_buffer("sin", torch.cat([-sin[0, :, :half], sin[0, :, half:]], 1))

    def forward(self, inputs_embeds: torch.Tensor, cache_position: torch.Tensor, *past: torch.Tensor) -> tuple[torch.Tensor, ...]:
        n, length, _ = inputs_embeds.shape
        capacity, half = past[0].shape[2], self.head_dim // 2
        cos, sin = self.cos[cache_position][:, None], self.sin[cache_position][:, None]
        visible = torch.arange(capacity)[None, None] <= cache_position[:, :, None]
        bias = torch.where(visible, 0.0, -1e9)[:, None, None]
        index = cache_position[:, None, :, None].expand(n, self.kv_heads, length, self.head_dim)

        def rotate(x: torch.Tensor) -> torch.Tensor:
            return x * cos + torch.cat([x[..., half:], x[..., :half]], -1) * sin

        x, present = inputs_embeds, []
        for i in range(len(self.attend)):
            q, k, v = (self._norm(x) @ self.attend[i]).split(self.sizes, 2)
            q, k, v = (t.unflatten(2, (-1, self.head_dim)).transpose(1, 2) for t in (q, k, v))
            keys = past[2 * i].scatter(2, index, rotate(k))
            values = past[2 * i + 1].scatter(2, index, v)
            present += [keys, values]
            # query heads that share a key head become rows of one product
            q = rotate(q).reshape(n, self.kv_heads, -1, length, self.head_dim) * self.head_dim**-0.5
            scores = q @ keys[:, :, None].transpose(3, 4) + bias
            mixed = (scores.softmax(-1) @ values[:, :, None]).reshape(n, self.heads, length, self.head_dim)
            x = x + mixed.transpose(1, 2).flatten(2) @ self.gather[i]
            gate, up = (self._norm(x) @ self.widen[i]).chunk(2, 2)
            x = x + (F.silu(gate) * up) @ self.narrow[i]
        return (self._norm(x[:, -1]) @ self.out, *present)

    def _norm(self, x: torch.Tensor) -> torch.Tensor:
        return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + self.epsilon)


class EmbedGraph(nn.Module):
    """Token ids → embeddings."""

    def __init__(self, table: nn.Module) -> None:
        super().__init__()
        self.table = table

    def forward(self, input_ids: torch.Tensor) -> torch.Tensor:
        return self.table(input_ids)


class VerifierGraph(nn.Module):
    """Sentences → probabilities."""

    def __init__(self, verifier: Verifier) -> None:
        super().__init__()
        self.verifier = verifier

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return tuple(logits.sigmoid() for logits in self.verifier(input_ids, attention_mask))


def export_graphs(folder: Path, face: FaceFinder | None, policy: ErvPolicy, verifier: Verifier) -> None:
    """Write the float32 graphs into `folder`; without a face finder, all but that."""
    export_readers(folder, face, VisionGraph(policy), verifier)
    positions = policy.config.get_text_config().max_position_embeddings
    export_language(folder, policy.decoder.model, policy.decoder.lm_head, longest=128, capacity=256, positions=positions)


def export_face(path: Path, face: FaceFinder) -> None:
    """Write the face finder, for pictures whose sides are multiples of 32 from 128 on."""
    high, wide = torch.export.Dim("high", min=4, max=64), torch.export.Dim("wide", min=4, max=64)
    export_graph(path, face, (torch.rand(1, 1, 256, 320),), {"picture": {2: 32 * high, 3: 32 * wide}}, ["faces"])


def export_screen(path: Path, screen: Screen) -> None:
    """Write the screen of finds, for any number of crops."""
    count = torch.export.Dim("crops", min=1, max=64)
    export_graph(path, screen, (torch.rand(2, 1, SIDE, SIDE) * 255,), {INPUT: {0: count}}, list(OUTPUTS))


def export_readers(folder: Path, face: FaceFinder | None, vision: nn.Module, verifier: Verifier) -> None:
    """Write face finder (where there is one to write), encoder and verifier."""
    count, length = torch.export.Dim("faces", min=1, max=64), torch.export.Dim("length", min=1, max=128)
    sentences = torch.export.Dim("sentences", min=1, max=512)
    verifier.body.config._attn_implementation = "eager"

    if face:
        export_face(folder / "face.onnx", face)
    export_graph(
        folder / "vision_encoder.onnx", vision, (torch.rand(2, 1, SIZE, SIZE),), {"pixel_values": {0: count}},
        ["visual_tokens", *READINGS.values()],
    )  # fmt: skip
    export_graph(
        folder / "verifier.onnx", VerifierGraph(verifier), (torch.ones(2, 7, dtype=torch.long), torch.ones(2, 7, dtype=torch.long)),
        {"input_ids": {0: sentences, 1: length}, "attention_mask": {0: sentences, 1: length}}, ["emotions", "claims", "covered"],
    )  # fmt: skip


def export_language(folder: Path, model: LlamaModel, head: nn.Linear, *, longest: int, capacity: int, positions: int) -> None:
    """Write token embeddings and decoder.

    Args:
        folder: where to.
        model: the Llama-type language model.
        head: its output layer.
        longest: prompt, in tokens.
        capacity: of the caches, in tokens.
        positions: of the rotary tables.
    """
    config = model.config
    count, length = torch.export.Dim("faces", min=1, max=64), torch.export.Dim("length", min=1, max=longest)
    room = torch.export.Dim("capacity", min=2, max=capacity)
    ids = torch.ones(2, 3, dtype=torch.long)
    table = EmbedGraph(model.get_input_embeddings())
    export_graph(folder / "embed_tokens.onnx", table, (ids,), {"input_ids": {0: count, 1: length}}, ["inputs_embeds"])
    past, present = cache_names(config.num_hidden_layers)
    caches = tuple(torch.zeros(2, config.num_key_value_heads, 24, config.head_dim) for _ in past)
    export_graph(
        folder / "decoder_model_merged.onnx", DecoderGraph(model, head, positions),
        (torch.rand(2, 3, config.hidden_size), torch.arange(3).repeat(2, 1), *caches),
        {"inputs_embeds": {0: count, 1: length}, "cache_position": {0: count, 1: length}, "past": tuple({0: count, 2: room} for _ in past)},
        ["logits", *present], ["inputs_embeds", "cache_position", *past],
    )  # fmt: skip


def export_graph(
    path: Path, module: nn.Module, example: tuple[torch.Tensor, ...], dynamic: dict[str, Any], outputs: list[str],
    inputs: list[str] | None = None,
) -> None:  # fmt: skip
    """Write one module as ONNX; `InputError` when it is too large for one file."""
    names = inputs or list(dynamic)
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # the exporter's own deprecations
        program = torch.onnx.export(
            module.eval(), example, input_names=names, output_names=outputs, dynamic_shapes=dynamic, opset_version=OPSET,
            dynamo=True, verbose=False,
        )  # fmt: skip
    model = program.model_proto
    strip(model)
    if model.ByteSize() >= onnx.checker.MAXIMUM_PROTOBUF:
        raise InputError(
            f"{path.name} would have {model.ByteSize() / 1e9:.1f} GB: a graph of a bundle may have 2 at most; take a smaller model"
        )
    onnx.save(model, str(path))


def strip(model: onnx.ModelProto) -> None:
    """Remove what the exporter notes about where each node came from: the paths of this machine, and half the file's text."""
    graph = model.graph
    for part in (model, graph, *graph.node, *graph.value_info, *graph.input, *graph.output, *graph.initializer, *model.functions):
        del part.metadata_props[:]
        part.doc_string = ""
    del graph.value_info[:]
