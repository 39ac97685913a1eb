"""The visibility network as one more output, `visible`, of a bundle's vision encoder.

`python -m export visibility BUNDLE --run RUN --out DIR` puts it into a finished bundle (or replaces it there) without touching
anything else: labels and cues stay what they were; texts and verdicts change where a cue is found hidden.
"""

from __future__ import annotations

import dataclasses
import shutil
import tempfile
from itertools import chain, count
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from torch import nn
from torch.nn import functional as F

from edge.bundle import HASHES, Bundle
from edge.engine.backend import OrtSession
from edge.errors import InputError
from edge.pipeline import Pipeline
from edge.vision.encoder import INPUT
from export.agreement import ParityError, agreement, decisions
from export.crops import load_crops
from export.graphs import export_graph
from export.publish import write_config
from export.storage import store_weights
from export.strategies import load_graph
from training.augment import SIZE
from training.folders import new_folder
from training.visibility import SIDE, Visibility, load_visibility

OUTPUT = "visible"
FIGURES = "visibility, covered validation faces"
"""Title of what its training measured, on the model card."""
STORED_BITS = 12
VEILED = 0.6
"""Nothing is said of a cue that is hidden with two chances in five. Of training faces that have lids or lips between 0.5 and 0.75 about
half hold a hand there, wear dark glasses or show them from the side."""
CLEAR = 0.8
"""Nothing is said to be at rest that is hidden with one chance in five: what cannot be seen reads as neutral. Of faces that were looked at,
dark glasses and a mouth behind a glass lie between 0.75 and 0.8; above it few are covered, and with 0.9 0.02 fewer true rationales pass."""
TOLERANCE = 2e-3
"""Of a probability, between torch and the finished graph with stored weights."""


class VisibilityGraph(nn.Module):
    """Crops → probability of each cue of being in sight."""

    def __init__(self, network: Visibility) -> None:
        super().__init__()
        self.network = network

    def forward(self, pixel_values: torch.Tensor) -> torch.Tensor:
        return self.network(F.avg_pool2d(pixel_values, SIZE // SIDE)).sigmoid()


def graft(path: Path, network: Visibility, *, stored: bool = False) -> None:
    """Add the network to a vision encoder's graph, in place; one that is there already is replaced.

    Args:
        path: `vision_encoder.onnx`.
        network: trained.
        stored: keep its weights in `STORED_BITS`, as a quantised bundle does.

    Raises:
        InputError: torch and the finished graph disagree.
    """
    with tempfile.TemporaryDirectory() as name:
        alone = Path(name) / "visibility.onnx"
        faces = torch.export.Dim("faces", min=1, max=64)
        export_graph(alone, VisibilityGraph(network), (torch.rand(2, 1, SIZE, SIZE),), {INPUT: {0: faces}}, [OUTPUT])
        part = onnx.load(alone)
    if stored:
        store_weights(part, STORED_BITS)
    whole = load_graph(path)
    graph = whole.graph
    _drop_output(graph, OUTPUT)
    _prefix(part.graph, _free_prefix(graph))
    graph.output.extend(part.graph.output)
    graph.node.extend(part.graph.node)
    graph.initializer.extend(part.graph.initializer)
    onnx.save(whole, str(path))

    crops = np.random.default_rng(0).random((4, 1, SIZE, SIZE), np.float32)
    with torch.no_grad():
        wanted = VisibilityGraph(network)(torch.from_numpy(crops)).numpy()
    error = float(np.abs(OrtSession(path).run({INPUT: crops})[OUTPUT] - wanted).max())
    if not error <= TOLERANCE:
        raise InputError(f"torch and ONNX disagree about which cues are in sight, by {error:.1e}")


def _drop_output(graph: onnx.GraphProto, name: str) -> None:
    """Remove an output, if it is there, and all that only it needs."""
    outputs = [value for value in graph.output if value.name != name]
    needed, nodes = {value.name for value in outputs}, []
    for node in reversed(graph.node):
        if needed & set(node.output):
            needed |= set(node.input)
            nodes.append(node)
    weights = [tensor for tensor in graph.initializer if tensor.name in needed]
    del graph.node[:], graph.initializer[:], graph.output[:]
    graph.node.extend(reversed(nodes))
    graph.initializer.extend(weights)
    graph.output.extend(outputs)


def _free_prefix(graph: onnx.GraphProto) -> str:
    """`visibility/`, or `visibility2/` …: an optimiser may have let the encoder share a node of a network that was there before."""
    names = {name for node in graph.node for name in (node.name, *node.output)} | {tensor.name for tensor in graph.initializer}
    prefixes = (f"visibility{number}/" for number in chain([""], count(2)))
    return next(prefix for prefix in prefixes if not any(name.startswith(prefix) for name in names))


def _prefix(graph: onnx.GraphProto, prefix: str) -> None:
    """Put `prefix` before every name but those of input and output."""

    def renamed(name: str) -> str:
        return name if name in ("", INPUT, OUTPUT) else prefix + name

    for node in graph.node:
        node.name = renamed(node.name or node.output[0]) if node.output[0] != OUTPUT else prefix + OUTPUT
        for names in (node.input, node.output):
            names[:] = [renamed(name) for name in names]
    for tensor in graph.initializer:
        tensor.name = renamed(tensor.name)


def add_visibility(folder: Path, run: Path, out: Path, data: Path, *, faces: int | None = None) -> dict[str, Any]:
    """Write a copy of a bundle with the network of a run in it.

    Args:
        folder: the bundle.
        run: of `python -m training visibility`.
        out: the new bundle; an existing one is replaced at the very end.
        data: data packs (their validation faces) or face crops, to compare both bundles on.
        faces: compare on so many faces only.

    Returns:
        `agreement` of the new bundle with the old one, and `visibility`: what the run measured.

    Raises:
        BundleError: the bundle is damaged.
        InputError: no such run, no faces, or `out` cannot be written.
        ParityError: labels have changed.
    """
    bundle = Bundle.load(folder)
    trained = load_visibility(run)
    crops = load_crops(data, "valid", bundle.config.image.size).part(0, faces)
    with new_folder(out, HASHES, sources=[bundle.folder]) as fresh:
        for path in bundle.folder.iterdir():
            shutil.copyfile(path, fresh / path.name)
        graft(fresh / "vision_encoder.onnx", trained.network, stored=any(title.startswith("quantised") for title in bundle.config.metrics))
        config = bundle.config
        runs = {**config.provenance["runs"], "visibility": trained.record}
        config = dataclasses.replace(
            config,
            verdict=dataclasses.replace(config.verdict, min_visible=trained.threshold, min_said=VEILED, min_rest=CLEAR),
            provenance={**config.provenance, "runs": runs},
            metrics={_before(title): values for title, values in config.metrics.items()} | {FIGURES: trained.figures},
        )
        write_config(fresh, config)
        with Pipeline.load(folder, device="cpu") as before, Pipeline.load(fresh, device="cpu") as after:
            reference = decisions(before, crops)
            figures = agreement(reference, decisions(after, crops, reference=reference), crops.labels)
        if figures["labels"] < 1:
            raise ParityError(f"labels have changed ({figures['labels']:.2%} the same): nothing is written")
    return {"agreement": figures, "visibility": trained.figures}


def _before(title: str) -> str:
    """Figures that rest on size or verdict speak of the bundle as it was."""
    return f"{title}, before the visibility network" if title in ("validation", "quantised", "agreement with float32") else title
