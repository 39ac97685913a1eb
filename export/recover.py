"""`python -m export recover BUNDLE --out runs`: the trained encoder, visibility network, verifier and policy back out of a bundle.

Graphs keep the names of their weights, and a normalisation that the exporter folded into its convolution becomes a plain bias again; so a
stage of the language can be trained anew on the very encoder that is shipped, without training that first, a verifier of new words can
be distilled from the one that is shipped, and a policy aligned further. Weights are those that the bundle stores, in as many bits.
"""

from __future__ import annotations

import logging
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from onnx import numpy_helper
from tokenizers import Tokenizer
from torch import nn

from edge.bundle import Bundle
from edge.engine.fold import fold_constants
from edge.errors import InputError
from edge.language.grammar import FILE
from export.recovered_policy import recovered_policy
from export.visibility import FIGURES
from training.cues import CueModel
from training.distill import DistillConfig, small_verifier
from training.network import Encoder
from training.run import Run
from training.visibility import Visibility

log = logging.getLogger(__name__)
PARTS = ("encoder", "visibility", "verifier", "policy")


def recover(folder: Path, out: Path) -> list[str]:
    """Write a run for each part that can be had; return their names.

    Args:
        folder: a bundle.
        out: folder of the runs; `PARTS` in it are written, and must not be there yet.

    Raises:
        BundleError: not a bundle.
        InputError: a run is there already, or the graphs are of other networks.
    """
    bundle = Bundle.load(folder)
    config, records = bundle.config, bundle.config.provenance.get("runs", {})
    if taken := [name for name in PARTS if (out / name).exists()]:
        raise InputError(f"'{out}' holds {', '.join(taken)} already: choose another --out")
    weights = _weights(bundle.graph("vision_encoder")) | _weights(bundle.graph("verifier"))
    try:
        shapes = {name: records[name]["config"] for name in PARTS}
        encoder = Encoder(*(shapes["encoder"][part] for part in ("widths", "depths", "motion")))
        visibility = Visibility(shapes["visibility"]["widths"], shapes["visibility"]["hidden"])
        words = Tokenizer.from_file(str(bundle.folder / "verifier_tokenizer.json"))
        verifier = small_verifier(DistillConfig(**shapes["verifier"]), words.get_vocab_size())
    except (KeyError, TypeError) as error:
        raise InputError(f"the bundle '{folder}' does not tell how its parts were trained: {error}") from None
    mean, std = (np.array([getattr(cue, key) for cue in config.cues], np.float32) for key in ("mean", "std"))
    cue_model = CueModel(np.array(config.rigid_shape), mean, std)
    none = np.zeros(len(config.labels), np.float32)
    origin = {"recovered_from": {"bundle_commit": config.provenance.get("commit")}}
    figures = {"threshold": config.verdict.min_visible, "figures": config.metrics.get(FIGURES, {})}
    parts: dict[str, tuple[nn.Module, str, dict[str, Any]]] = {
        "encoder": (
            encoder,
            "encoder.",
            {"cue_model": cue_model, "units": list(config.units), "offsets": none},
        ),
        "visibility": (visibility, "visibility/network.", figures),
        "verifier": (
            verifier,
            "verifier.",
            {"body": verifier.body.config.to_dict(), "prior": np.array(config.verdict.prior, np.float32), "tokenizer": words.to_str()},
        ),
    }
    for name, (network, prefix, rest) in parts.items():
        fill(network, weights, prefix)
        for buffer, values in (("world", records[name].get("world")), ("doubt", records[name].get("doubt"))):
            if values is not None:
                network.get_buffer(buffer).copy_(torch.tensor(values))
        Run.adopt(out / name, {**records[name], **origin}).save(state=network.state_dict(), **rest)
    parts = [bundle.graph(name) for name in ("vision_encoder", "embed_tokens", "decoder_model_merged")]
    policy = recovered_policy(bundle, encoder, {name: value for part in parts for name, value in _weights(part).items()})
    Run.adopt(out / "policy", {**records["policy"], **origin}).save_policy(*policy, bundle.folder / FILE)
    log.info("recovered %s in '%s'", ", ".join(PARTS), out)
    return list(PARTS)


def fill(network: nn.Module, weights: dict[str, np.ndarray], prefix: str) -> None:
    """Give a network the weights of a graph; a folded normalisation becomes one that only adds.

    Raises:
        InputError: a weight is missing or has another shape.
    """
    state, convolution = network.state_dict(), ""
    for name, module in network.named_modules():
        if isinstance(module, nn.Conv2d):
            convolution = name
        if isinstance(module, nn.BatchNorm2d):
            found = {"weight": np.ones(module.num_features), "bias": _get(weights, f"{prefix}{convolution}.weight_bias")}
            found |= {"running_mean": np.zeros(module.num_features), "running_var": np.full(module.num_features, 1 - module.eps)}
            for key, value in found.items():
                state[f"{name}.{key}"] = torch.from_numpy(np.asarray(value, np.float32).copy())
        else:
            for key, _ in module.named_parameters(name, recurse=False):
                state[key] = torch.from_numpy(_get(weights, f"{prefix}{key}").copy())
    try:
        network.load_state_dict(state)
    except RuntimeError as error:
        raise InputError(f"the graph is of another network: {str(error).splitlines()[-1].strip()}") from None


def _get(weights: dict[str, np.ndarray], name: str) -> np.ndarray:
    if name not in weights:
        raise InputError(f"the graph has no weight '{name}': it was not exported by this project, or by another version of it")
    return weights[name]


def _weights(path: Path) -> dict[str, np.ndarray]:
    """Every weight of a graph by name, unpacked to float32; one that the exporter turned over lost its name, its bias has kept it."""
    with tempfile.TemporaryDirectory(prefix="erv-") as folder:
        plain = Path(folder) / path.name
        fold_constants(path, plain)
        graph = onnx.load(str(plain)).graph
    found = {t.name: numpy_helper.to_array(t).astype(np.float32) for t in graph.initializer if t.data_type == 1}
    products = {node.output[0]: node.input[1] for node in graph.node if node.op_type == "MatMul" and node.input[1] in found}
    for node in graph.node:
        for bias, product in (node.input, node.input[::-1]) if node.op_type == "Add" else ():
            if bias.endswith(".bias") and product in products:
                found.setdefault(f"{bias.removesuffix('bias')}weight", found[products[product]].T)
    return found
