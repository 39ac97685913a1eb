"""Parity on real faces: of a bundle's graphs with the torch modules they came from (part of every export), and of any two sides that a
user names (`python -m export check`), each a bundle or a folder of trained runs.
"""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import torch

from edge.bundle import HASHES, Bundle
from edge.errors import InputError, UsageError
from edge.pipeline import Pipeline
from edge.vision.search import padded
from export.agreement import Gates, agreement, decisions, failures
from export.checkpoint import checkpoint_pipeline
from export.crops import load_crops
from export.graphs import READINGS
from training.face import FaceFinder
from training.policy import ErvPolicy, ErvProcessor
from training.verifier import Verifier

TOLERANCE = 2e-3
"""Largest absolute difference, relative to the tensor's own size."""


def compare(a: Path, b: Path, data: Path, gates: Gates, *, split: str = "test", faces: int | None = None) -> dict[str, Any]:
    """Compare what two sides decide.

    Args:
        a: the reference, a bundle or a folder of runs.
        b: the one under test, likewise; at least one side is a bundle, whose configuration a checkpoint borrows.
        data: folder of the data packs, or of face crops.
        gates: what must hold.
        split: of the pack.
        faces: look at so many faces only.

    Returns:
        The figures of `agreement`, and `a`, `b`, `passed`, `failures`.

    Raises:
        BundleError: a bundle is damaged.
        InputError: no faces, no bundle, or a side that is neither.
    """
    bundles = [folder for folder in (a, b) if (folder / HASHES).is_file()]
    if not bundles:
        raise InputError(f"neither '{a}' nor '{b}' is a bundle (a folder with {HASHES}): at least one side must be")
    config = Bundle.load(bundles[0]).config
    crops = load_crops(data, split, config.image.size).part(0, faces)
    with _side(a, bundles[0]) as first, _side(b, bundles[0]) as second:
        if first.bundle.config.labels != second.bundle.config.labels:
            raise InputError(f"'{a}' and '{b}' have other labels: there is nothing to compare")
        reference = decisions(first, crops)
        figures = agreement(reference, decisions(second, crops, reference=reference), crops.labels)
    against = failures(figures, gates)
    return {"a": a.name, "b": b.name, **figures, "passed": not against, "failures": against}


def _side(folder: Path, configured: Path) -> Pipeline:
    if (folder / HASHES).is_file():
        return Pipeline.load(folder, device="cpu")
    return checkpoint_pipeline(folder, Bundle.load(configured))


def read_gates(items: list[str]) -> Gates:
    """Gates from `name=value` items, the others as they stand; `UsageError` for an unknown name or no number."""
    known = {field.name for field in fields(Gates)}
    values = {}
    for item in items:
        name, _, value = item.partition("=")
        try:
            values[name] = float(value)
        except ValueError:
            raise UsageError(f"gate '{item}': expected NAME=NUMBER") from None
        if name not in known:
            raise UsageError(f"unknown gate '{name}': expected one of {', '.join(sorted(known))}")
    return Gates(**values)


def report(result: dict[str, Any]) -> str:
    """What `compare` found, as Markdown."""
    lines = [f"# {result['b']} against {result['a']}: {'passed' if result['passed'] else 'FAILED'}", "", f"{result['n']} faces.", ""]
    lines += [f"- {failure}" for failure in result["failures"]] + [""] * bool(result["failures"])
    lines += ["| level | the same |", "|---|---|"]
    lines += [f"| {level} | {result[level]:.2%} |" for level in ("faces", "labels", "streams", "verdicts")]
    if "war_a" in result:
        lines.append(f"| WAR | {result['war_a']:.4f} → {result['war_b']:.4f} |")
    lines += ["", "| tensor | largest difference | relative (RMS over spread) |", "|---|---|---|"]
    lines += [f"| {name} | {error['max']:.3g} | {error['relative']:.3g} |" for name, error in result["tensors"].items()]
    return "\n".join(lines) + "\n"


@torch.no_grad()
def check_parity(
    pipeline: Pipeline, face: FaceFinder | None, policy: ErvPolicy, processor: ErvProcessor, verifier: Verifier, images: np.ndarray
) -> dict[str, float]:
    """Compare torch with ONNX.

    Args:
        pipeline: over the exported graphs.
        face, policy, processor, verifier: what they were exported from; no face finder where one was kept as it was.
        images: `[N,S,S]` uint8 crops.

    Returns:
        Largest relative difference per graph and the share of equal greedy completions.

    Raises:
        InputError: a difference above `TOLERANCE`, or completions that differ.
    """
    found: dict[str, float] = {}
    if face:
        picture = padded(np.tile(images[0], (4, 5)))
        shown = picture[None, None].astype(np.float32)
        wanted, given = face(torch.from_numpy(shown))[0].numpy(), pipeline.finder.session.run({"picture": shown})["faces"][0]
        # rows of nearly equal scores may change places: each of the best is compared with the one nearest to it
        found["face"] = max(_difference(row, given[np.abs(given - row).sum(1).argmin()]) for row in wanted[:50])

    batch = processor(images[:, None], padding=True, return_tensors="pt")
    read = policy.encoder(batch["pixel_values"][:, 0])
    exported = pipeline.encoder.session.run({"pixel_values": batch["pixel_values"][:, 0].numpy()})
    found["visual_tokens"] = _difference(policy.projector(read).numpy(), exported["visual_tokens"])
    for name, key in READINGS.items():
        found[key] = _difference(read[name].numpy(), exported[key])

    ids = policy.generate(**batch, do_sample=False)[:, batch["input_ids"].shape[1] :]
    wanted = [t.split(processor.tokenizer.eos_token)[0] for t in processor.tokenizer.batch_decode(ids, skip_special_tokens=False)]
    written = pipeline.explainer.policy.greedy(exported["visual_tokens"])
    found["equal_completions"] = float(np.mean([a == b for a, b in zip(wanted, written, strict=True)]))

    sentences = [text.replace("<", " <") for text in written[:32]]
    tokens, mask = map(torch.from_numpy, pipeline.explainer.verifier.rows(sentences))
    reading = pipeline.explainer.verifier(sentences)
    pairs = zip(verifier(tokens, mask), (reading.emotions, reading.claims, reading.covered), strict=True)
    found["verifier"] = max(_difference(logits.sigmoid().numpy(), given) for logits, given in pairs)

    worst = max((np.inf if np.isnan(value) else value, name) for name, value in found.items() if name != "equal_completions")
    if not (worst[0] <= TOLERANCE and found["equal_completions"] >= 0.99):
        raise InputError(f"torch and ONNX disagree: {worst[1]} by {worst[0]:.1e}, equal completions {found['equal_completions']:.3f}")
    return found


def _difference(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.abs(a - b).max() / max(1.0, float(np.abs(a).max())))
