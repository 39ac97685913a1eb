"""Parity of a bundle's graphs with the torch modules they came from, on real faces: numbers, sentences, token streams."""

from __future__ import annotations

import numpy as np
import torch

from edge.errors import InputError
from edge.face import letterbox
from edge.pipeline import Pipeline
from training.face import FaceFinder
from training.policy import ErvPolicy, ErvProcessor
from training.verifier import Verifier

TOLERANCE = 2e-3
"""Largest absolute difference, relative to the tensor's own size."""


@torch.no_grad()
def check_parity(
    pipeline: Pipeline, face: FaceFinder, policy: ErvPolicy, processor: ErvProcessor, verifier: Verifier, images: np.ndarray
) -> dict[str, float]:
    """Compare torch with ONNX.

    Args:
        pipeline: over the exported graphs.
        face, policy, processor, verifier: what they were exported from.
        images: `[N,48,48]` uint8 faces.

    Returns:
        Largest relative difference per graph and the share of equal greedy completions.

    Raises:
        InputError: a difference above `TOLERANCE`, or completions that differ.
    """
    found: dict[str, float] = {}
    picture, _ = letterbox(np.tile(images[0], (4, 5)), 320)
    shown = picture[None, None].astype(np.float32)
    wanted, given = face(torch.from_numpy(shown))[0].numpy(), pipeline.finder.session.run({"picture": shown})["faces"][0]
    # rows of nearly equal scores may change places: each of the best is compared with the one nearest to it
    found["face"] = max(_difference(row, given[np.abs(given - row).sum(1).argmin()]) for row in wanted[:50])

    batch = processor(images[:, None], padding=True, return_tensors="pt")
    read = policy.encoder(batch["pixel_values"][:, 0])
    exported = pipeline.encoder.session.run({"pixel_values": batch["pixel_values"][:, 0].numpy()})
    found["visual_tokens"] = _difference(policy.projector(read).numpy(), exported["visual_tokens"])
    for name, key in (("emotion", "emotion_logits"), ("cues", "cues"), ("points", "points"), ("pose", "pose")):
        found[key] = _difference(read[name].numpy(), exported[key])

    ids = policy.generate(**batch, do_sample=False)[:, batch["input_ids"].shape[1] :]
    wanted = [t.split(processor.tokenizer.eos_token)[0] for t in processor.tokenizer.batch_decode(ids, skip_special_tokens=False)]
    written = pipeline.explainer.policy.greedy(exported["visual_tokens"])
    found["equal_completions"] = float(np.mean([a == b for a, b in zip(wanted, written, strict=True)]))

    sentences = [text.replace("<", " <") for text in written[:32]]
    rows = pipeline.explainer.verifier.tokenizer.encode_batch(sentences)
    tokens, mask = torch.tensor([r.ids for r in rows]), torch.tensor([r.attention_mask for r in rows])
    emotions, claims = verifier(tokens, mask)
    reading = pipeline.explainer.verifier(sentences)
    found["verifier"] = max(
        _difference(emotions.sigmoid().numpy(), reading.emotions), _difference(claims.sigmoid().numpy(), reading.claims)
    )

    worst = max((np.inf if np.isnan(value) else value, name) for name, value in found.items() if name != "equal_completions")
    if not (worst[0] <= TOLERANCE and found["equal_completions"] >= 0.99):
        raise InputError(f"torch and ONNX disagree: {worst[1]} by {worst[0]:.1e}, equal completions {found['equal_completions']:.3f}")
    return found


def _difference(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.abs(a - b).max() / max(1.0, float(np.abs(a).max())))
