"""The policy at run time: visual tokens → a completion, by three graphs' worth of decoding with the KV cache kept in place.

Decoding follows the grammar. What it forces is appended without asking the network, so that only choices cost a step; each face of a batch
goes its own way, and one that is done leaves it. A policy with a tokenizer of its own, such as a large one, writes freely instead.

The caches are allocated once per batch at their full length; the decoder graph writes the new positions into them and returns them
as its outputs, which are bound to the same memory. A policy with a vision tower of its own looks at the crop here, when an explanation is
due, so that the fast path stays the small encoder's.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from edge.bundle import PolicySpec, check_graph
from edge.engine.backend import Session
from edge.errors import BundleError
from edge.language.grammar import Edge, Grammar, Scope, Walk
from edge.language.rationale import ANSWER, END_ANSWER, END_THINK, THINK, write_completion
from edge.language.tokens import Tokenizer
from edge.profiles import cache_names
from edge.vision.encoder import softmax


class Vocabulary(Protocol):
    """What knows the ids of tokens: the runtime's tokenizer, or one that is trained."""

    def token_to_id(self, token: str) -> int | None:
        """The id of a token; `None` when there is no such token."""
        ...


class Written(Protocol):
    """A completion in the making."""

    @property
    def ended(self) -> bool:
        """Whether nothing more is to be chosen: the completion is whole, at its limit, or there is nothing that could be said."""
        ...

    def pending(self) -> list[int]:
        """Token ids to be read by the network before it is asked again."""
        ...

    def options(self) -> np.ndarray | None:
        """`[K]` ids that may come next; any when `None`."""
        ...

    def take(self, token: int) -> None:
        """Go on with an id."""
        ...

    @property
    def text(self) -> str:
        """What stands there; empty when it was not finished."""
        ...


class _Constrained:
    """A completion that follows the grammar."""

    def __init__(self, scope: Scope, ids: np.ndarray, think: int) -> None:
        self._walk, self._ids, self._pending = Walk(scope), ids, [think]
        self._force()

    @property
    def ended(self) -> bool:
        return not self._walk.edges

    def pending(self) -> list[int]:
        found, self._pending = self._pending, []
        return found

    def options(self) -> np.ndarray:
        return self._ids[[edge.number for edge in self._walk.edges]]

    def take(self, token: int) -> None:
        self._go(next(edge for edge in self._walk.edges if self._ids[edge.number] == token))
        self._force()

    @property
    def text(self) -> str:
        walk = self._walk
        return write_completion(walk.text, walk.scope.grammar.conclusion(walk.taken)) if walk.ended else ""

    def _force(self) -> None:
        while len(self._walk.edges) == 1:
            self._go(self._walk.edges[0])

    def _go(self, edge: Edge) -> None:
        self._walk.take(edge)
        self._pending.append(int(self._ids[self._walk.taken[-1]]))


class _Free:
    """A completion of a policy that writes as it likes."""

    def __init__(self, tokenizer: Tokenizer, spec: PolicySpec) -> None:
        self._tokenizer, self._spec, self._done = tokenizer, spec, False
        self._ids: list[int] = []

    @property
    def ended(self) -> bool:
        return self._done or len(self._ids) >= self._spec.max_new_tokens

    def pending(self) -> list[int]:
        return self._ids[-1:]

    def options(self) -> None:
        return None

    def take(self, token: int) -> None:
        self._done = token == self._spec.eos
        if not self._done:
            self._ids.append(token)

    @property
    def text(self) -> str:
        return self._tokenizer.decode(self._ids) if self._done else ""


class RationalePolicy:
    """Decodes completions from the visual tokens of a face."""

    def __init__(
        self,
        embed: Session,
        decoder: Session,
        tokenizer: Tokenizer,
        spec: PolicySpec,
        grammar: Grammar,
        inputs: tuple[tuple[str, ...], tuple[str, ...]] | None = None,
        tower: Session | None = None,
    ) -> None:
        self.past, self.present = cache_names(spec.layers)
        if inputs:
            check_graph("embed_tokens", {"input_ids"}, inputs[0])
            check_graph("decoder_model_merged", {"inputs_embeds", "cache_position", *self.past}, inputs[1])
        self.embed, self.decoder, self.tokenizer, self.spec, self.grammar, self.tower = embed, decoder, tokenizer, spec, grammar, tower
        self._rows: dict[int, np.ndarray] = {}
        """Embeddings of the grammar's tokens, as far as they were needed."""
        self._ids: np.ndarray = np.zeros(0, np.int64)
        self._think = spec.bos
        if spec.constrained:
            self._ids, self._think = phrase_ids(tokenizer, grammar)

    def greedy(self, tokens: np.ndarray, scopes: Sequence[Scope] | None = None) -> list[str]:
        """The most probable completion of each face.

        Args:
            tokens: `[N,F·T,D]` visual tokens of 1 to `max_frames` frames per face; of a policy with a tower, crops `[N,S,S]` as the
                encoder hands them on.
            scopes: what may be said of each face; anything of the grammar when `None`.

        Returns:
            Completions; empty where the limit was reached, or nothing could be said.
        """
        return self._decode(tokens, scopes, None)

    def sample(self, tokens: np.ndarray, count: int, *, seed: int, scope: Scope | None = None) -> list[str]:
        """`count` completions of one face `[1,F·T,D]`, sampled together at the bundle's temperature."""
        return self._decode(np.repeat(tokens, count, axis=0), [scope] * count if scope else None, np.random.default_rng(seed))

    def _decode(self, tokens: np.ndarray, scopes: Sequence[Scope] | None, random: np.random.Generator | None) -> list[str]:
        spec, count = self.spec, len(tokens)
        written: list[_Constrained] | list[_Free]
        if spec.constrained:
            free = self.grammar.scope()
            written = [_Constrained(scopes[i] if scopes else free, self._ids, self._think) for i in range(count)]
        else:
            written = [_Free(self.tokenizer, spec) for _ in range(count)]
        before, after = (np.tile(np.array(ids, np.int64), (count, 1)) for ids in ([spec.bos, *spec.prefix], spec.suffix))
        seen = self.tower.run({"pixel_values": tokens[:, None]})["visual_tokens"] if self.tower else tokens
        prompt = np.concatenate([self._embed(before), seen, *([self._embed(after)] if spec.suffix else [])], 1)
        room = prompt.shape[1] + spec.max_new_tokens + 1  # the last position is nobody's: what pads a row is written there
        caches = [np.zeros((count, spec.kv_heads, room, spec.head_dim), np.float32) for _ in self.past]
        rows, at, logits = np.arange(count), np.zeros(count, np.int64), np.zeros((0, 0), np.float32)
        while True:
            chunks = [written[row].pending() for row in rows]
            stands = at + prompt.shape[1]
            alive = np.array([not written[r].ended and s + len(c) < room for r, c, s in zip(rows, chunks, stands, strict=True)], bool)
            if not alive.all():
                rows, at, chunks = rows[alive], at[alive], [c for c, a in zip(chunks, alive, strict=True) if a]
                caches, prompt = [np.ascontiguousarray(cache[alive]) for cache in caches], prompt[alive]
            if not len(rows):
                return [w.text for w in written]
            embeds, position = self._chunk(chunks, prompt, at, room)
            logits = self._step(embeds, position, caches, logits)
            at = position[:, -1] + 1
            prompt = prompt[:, :0]
            for row, scores in zip(rows, logits, strict=True):
                written[row].take(self._choose(scores, written[row].options(), random))

    def _chunk(self, chunks: list[list[int]], prompt: np.ndarray, at: np.ndarray, room: int) -> tuple[np.ndarray, np.ndarray]:
        """What each row reads next, `[N,L,D]`, and where it stands `[N,L]`; shorter rows are padded in front."""
        longest = max(map(len, chunks))
        ids = np.full((len(chunks), longest), self.spec.eos, np.int64)
        position = np.full((len(chunks), longest), room - 1, np.int64)
        start = at + prompt.shape[1]
        for row, chunk in enumerate(chunks):
            if chunk:
                ids[row, -len(chunk) :] = chunk
                position[row, -len(chunk) :] = start[row] + np.arange(len(chunk))
        if not prompt.shape[1]:
            return self._embed(ids), position
        stands = at[:, None] + np.arange(prompt.shape[1])
        return (np.concatenate([prompt, self._embed(ids)], 1), np.concatenate([stands, position], 1)) if longest else (prompt, stands)

    def _step(self, embeds: np.ndarray, position: np.ndarray, caches: list[np.ndarray], logits: np.ndarray) -> np.ndarray:
        """The next token's `[N,V]`, written over those of the step before where they are as many."""
        feed = {"inputs_embeds": embeds, "cache_position": position} | dict(zip(self.past, caches, strict=True))
        into = dict(zip(self.present, caches, strict=True)) | ({"logits": logits} if len(logits) == len(embeds) else {})
        logits = self.decoder.run_into(feed, into).get("logits", logits)
        logits[:, self.spec.image] = -np.inf  # a placeholder is never an answer
        return logits

    def _choose(self, scores: np.ndarray, options: np.ndarray | None, random: np.random.Generator | None) -> int:
        """One id: the most probable of the options, or one that is drawn from them."""
        kept = scores if options is None else scores[options]
        if random is None:
            place = int(kept.argmax())
        else:
            cumulative = softmax(kept.astype(np.float64) / self.spec.temperature).cumsum()
            place = min(int(np.searchsorted(cumulative, random.random(), side="right")), len(kept) - 1)
        return place if options is None else int(options[place])

    def _embed(self, ids: np.ndarray) -> np.ndarray:
        if not self.spec.constrained or not ids.size:
            return self.embed.run({"input_ids": ids})["inputs_embeds"]
        flat = ids.ravel().tolist()
        if not self._rows.keys() >= set(flat):
            self._rows |= zip(flat, self.embed.run({"input_ids": ids})["inputs_embeds"].reshape(len(flat), -1), strict=True)
        return np.array([self._rows[i] for i in flat], np.float32).reshape(*ids.shape, -1)


def phrase_ids(tokenizer: Vocabulary, grammar: Grammar) -> tuple[np.ndarray, int]:
    """The token of each of the grammar's phrases `[P]`, and the one that begins a rationale.

    Raises:
        BundleError: the tokenizer has no token of its own for one of them.
    """
    wanted = [*(phrase.text for phrase in grammar.phrases), THINK, END_THINK, ANSWER, END_ANSWER]
    ids = []
    for text in wanted:
        if (number := tokenizer.token_to_id(text)) is None:
            raise BundleError(f"the grammar does not match the tokenizer: it has no token '{text}'; export the bundle again")
        ids.append(number)
    return np.array(ids[: len(grammar.phrases)], np.int64), ids[len(grammar.phrases)]
