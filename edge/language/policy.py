"""The policy at run time: visual tokens → a completion, by three graphs' worth of decoding with the KV cache kept in place.

The caches are allocated once per batch at their full length; the decoder graph writes the new positions into them and returns them
as its outputs, which are bound to the same memory. A policy with a vision tower of its own looks at the crop here, when an explanation is
due, so that the fast path stays the small encoder's.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from tokenizers import Tokenizer

from edge.bundle import PolicySpec, check_graph
from edge.engine.backend import Session
from edge.errors import BundleError
from edge.profiles import cache_names
from edge.vision.encoder import softmax


def load_tokenizer(path: Path) -> Tokenizer:
    """Load a `tokenizers` file; `BundleError` when it is none."""
    try:
        return Tokenizer.from_file(str(path))
    except Exception as error:  # tokenizers raises bare Exception
        raise BundleError(f"'{path.name}' is not a tokenizer file: {error}") from None


class RationalePolicy:
    """Decodes completions from the visual tokens of a face."""

    def __init__(
        self,
        embed: Session,
        decoder: Session,
        tokenizer: Tokenizer,
        spec: PolicySpec,
        inputs: tuple[tuple[str, ...], tuple[str, ...]] | None = None,
        tower: Session | None = None,
    ) -> None:
        self.past, self.present = cache_names(spec.layers)
        if inputs:
            check_graph("embed_tokens", {"input_ids"}, inputs[0])
            check_graph("decoder_model_merged", {"inputs_embeds", "cache_position", *self.past}, inputs[1])
        self.embed, self.decoder, self.tokenizer, self.spec, self.tower = embed, decoder, tokenizer, spec, tower

    def greedy(self, tokens: np.ndarray) -> list[str]:
        """The most probable completion of each face.

        Args:
            tokens: `[N,F·T,D]` visual tokens of 1 to `max_frames` frames per face; of a policy with a tower, crops `[N,S,S]` as the
                encoder hands them on.
        """
        return self._decode(tokens, None)

    def sample(self, tokens: np.ndarray, count: int, *, seed: int) -> list[str]:
        """`count` completions of one face `[1,F·T,D]`, sampled together at the bundle's temperature."""
        return self._decode(np.repeat(tokens, count, axis=0), np.random.default_rng(seed))

    def _decode(self, tokens: np.ndarray, random: np.random.Generator | None) -> list[str]:
        spec, count = self.spec, len(tokens)
        before, after = (np.tile(np.array(ids, np.int64), (count, 1)) for ids in ([spec.bos, *spec.prefix], spec.suffix))
        seen = self.tower.run({"pixel_values": tokens[:, None]})["visual_tokens"] if self.tower else tokens
        embeds = np.concatenate([self._embed(before), seen, *([self._embed(after)] if spec.suffix else [])], 1)
        capacity = embeds.shape[1] + spec.max_new_tokens
        caches = [np.zeros((count, spec.kv_heads, capacity, spec.head_dim), np.float32) for _ in self.past]
        logits: np.ndarray | None = None
        written = np.full((count, spec.max_new_tokens), spec.eos, np.int64)
        alive, position = np.ones(count, bool), 0
        for step in range(spec.max_new_tokens):
            length = embeds.shape[1]
            feed = {"inputs_embeds": embeds, "cache_position": np.arange(position, position + length)}
            feed |= dict(zip(self.past, caches, strict=True))
            into = dict(zip(self.present, caches, strict=True))
            logits = self.decoder.run_into(feed, into)["logits"]
            logits[:, spec.image] = -np.inf  # a placeholder is never an answer
            position += length
            chosen = logits.argmax(1) if random is None else _draw(logits / spec.temperature, random)
            written[alive, step] = chosen[alive]
            alive &= chosen != spec.eos
            if not alive.any():
                break
            embeds = self._embed(written[:, step : step + 1])
        return [self._text(row) for row in written]

    def _embed(self, ids: np.ndarray) -> np.ndarray:
        return self.embed.run({"input_ids": ids})["inputs_embeds"]

    def _text(self, ids: np.ndarray) -> str:
        end = np.flatnonzero(ids == self.spec.eos)
        return str(self.tokenizer.decode(ids[: end[0] if len(end) else None].tolist(), skip_special_tokens=False))


def _draw(logits: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """One index per row of `[N,V]`, drawn from the softmax."""
    cumulative = softmax(logits.astype(np.float64)).cumsum(1)
    return np.asarray((random.random((len(logits), 1)) < cumulative).argmax(1))
