"""A small grammar, and a policy of it whose network is a few lines of arithmetic: what the tests of the language share."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest

from edge.bundle import SCHEMA, BundleConfig, CueSpec, FaceSpec, ImageSpec, PolicySpec, VerdictSpec
from edge.language.grammar import Grammar, Scope, Walk, read_grammar
from edge.language.policy import RationalePolicy
from edge.language.rationale import ANSWER, END_ANSWER, END_THINK, THINK
from edge.language.statements import Facts
from edge.language.tokens import Tokenizer
from edge.profiles import cache_names

LABELS = ("neutral", "happiness", "sadness", "anger")
CUES = ("inner_brow", "outer_brow", "eye_opening", "lip_corners", "corner_asymmetry", "mouth_opening")
_OPEN = 99.0


def _cue(name: str, direction: int, band: str = "plain") -> list[Any]:
    return ["movement", name, direction, band]


def _rest(name: str) -> list[Any]:
    return ["rest", name, 0, ""]


_MOVEMENTS = [
    ["the lip corners are pulled up", [_cue("lip_corners", 1)]],
    ["the lip corners are pulled down", [_cue("lip_corners", -1)]],
    ["a smile parts the lips", [_cue("lip_corners", 1), _cue("mouth_opening", 1)]],
    ["the mouth is open", [_cue("mouth_opening", 1)]],
    ["the mouth is open wide", [_cue("mouth_opening", 1, "strong")]],
    ["the brows are lifted", [_cue("inner_brow", 1), _cue("outer_brow", 1)]],
    ["the inner brows are lowered a little", [_cue("inner_brow", -1, "slight")]],
    ["one lip corner is higher", [["one_sided", "corner_asymmetry", 1, "plain"]]],
    ["the eyes are closed", [["eyes_closed", "eye_opening", 0, ""]]],
]
_RESTS = [
    ["the brows are at rest", [_rest("inner_brow"), _rest("outer_brow")]],
    ["the mouth is closed", [_rest("mouth_opening")]],
    ["the eyelids are at rest", [_rest("eye_opening")]],
]
_ADJECTIVES = {"neutral": "neutral", "happiness": "happy", "sadness": "sad", "anger": "angry"}


def _capital(clauses: list[Any]) -> list[Any]:
    return [[text[0].upper() + text[1:], says] for text, says in clauses]


def _bands(low: float) -> dict[str, list[float]]:
    return {"slight": [low, 2.0], "plain": [low, _OPEN], "strong": [2.5, _OPEN]}


def grammar_values() -> dict[str, Any]:
    """The grammar's JSON, to be changed at will."""
    conclusion = [["closing", "end"], *([f"likely {label}", f"torn {label}"] for label in LABELS)]
    values: dict[str, Any] = {
        "version": 1,
        "phrases": {
            "Movement": _capital(_MOVEMENTS),
            "movement": _MOVEMENTS,
            "Rest": _capital(_RESTS),
            "rest": _RESTS,
            "pose": [
                ["the head is turned to the person's left", [["pose", "yaw", 1, "plain"]]],
                ["the head is turned far to the person's right", [["pose", "yaw", -1, "far"]]],
                ["the head is lowered", [["pose", "pitch", -1, "plain"]]],
            ],
            "covered": [
                ["The mouth is out of sight. ", [["covered", "mouth", 0, ""]]],
                ["The mouth cannot be seen. ", [["covered", "mouth", 0, ""]]],
                ["The eyes are out of sight. ", [["covered", "eyes", 0, ""]]],
            ],
            "and": [[", and ", []], [" while ", []]],
            "stop": [[". ", []]],
            "closing": [
                *([f"The person looks {_ADJECTIVES[label]}.", [["conclusion", label, 0, ""]]] for label in LABELS),
                *(
                    [f"The person clearly looks {_ADJECTIVES[label]}.", [["conclusion", label, 0, ""], ["certainty", "", 0, "sure"]]]
                    for label in LABELS
                ),
            ],
            **{
                f"likely {label}": [[f"Most likely this is {label}", [["conclusion", label, 0, ""], ["certainty", "", 0, "likely"]]]]
                for label in LABELS
            },
            **{f"second {label}": [[f"; {label} is close.", [["runner_up", label, 0, ""]]]] for label in LABELS},
        },
        "moves": {
            "start": [["covered", "open"], ["Movement", "said"], ["Rest", "said"]],
            "open": [["Movement", "said"], ["Rest", "said"]],
            "said": [["and", "more"], ["stop", "last"]],
            "more": [["movement", "whole"], ["rest", "whole"], ["pose", "whole"]],
            "whole": [["stop", "last"]],
            "last": conclusion,
            **{f"torn {label}": [[f"second {other}", "end"] for other in LABELS if other != label] for label in LABELS},
            "end": [],
        },
        "rules": {
            "movement": {
                "lip_corners": {"1": _bands(1.0), "-1": _bands(1.0)},
                "mouth_opening": {"1": _bands(1.2)},
                "inner_brow": {"1": _bands(1.0), "-1": _bands(1.0)},
                "outer_brow": {"1": _bands(1.0)},
                "corner_asymmetry": {"1": {"plain": [1.5, _OPEN]}},
            },
            "rest": {"inner_brow": [-1.0, 1.0], "outer_brow": [-1.0, 1.0], "mouth_opening": [-1.0, 1.0], "eye_opening": [-1.0, 1.0]},
            "pose": {"yaw": {"plain": [20.0, 90.0], "far": [38.0, 90.0]}, "pitch": {"plain": [17.0, 90.0]}},
            "certainty": {"sure": [0.9, 1.0], "likely": [0.35, 0.8], "unsure": [0.0, 0.6]},
            "eyes_closed": [-_OPEN, -3.0],
            "runner_up": [0.15, 0.5],
            "only_while": {"corner_asymmetry+": {"yaw": [-12.0, 12.0]}},
            "regions": {"mouth": ["lip_corners", "mouth_opening"], "eyes": ["eye_opening"]},
        },
    }
    return copy.deepcopy(values)


@pytest.fixture(scope="session")
def small_grammar() -> Grammar:
    return read_grammar(grammar_values())


def walk_at_random(scope: Scope, rng: np.random.Generator) -> Walk:
    """A whole text of the scope."""
    walk = Walk(scope)
    while walk.edges:
        walk.take(walk.edges[int(rng.integers(len(walk.edges)))])
    return walk


WIDTH, PROMPT = 8, 3


def make_tokenizer(grammar: Grammar, *, without: str = "") -> Tokenizer:
    """One token a phrase, and a few that are none."""
    texts = ["[UNK]", "<bos>", "<eos>", "<image>", THINK, END_THINK, ANSWER, END_ANSWER, *(phrase.text for phrase in grammar.phrases)]
    return Tokenizer({text: i for i, text in enumerate(dict.fromkeys(text for text in texts if text != without))})


def make_spec(**values: Any) -> PolicySpec:
    sizes = {"tokens_per_frame": PROMPT, "max_frames": 2, "max_new_tokens": 24, "layers": 1, "kv_heads": 1, "head_dim": WIDTH}
    return PolicySpec(**{"bos": 1, "eos": 2, "image": 3, "candidates": 4, "temperature": 1.0, **sizes, **values})


class Embed:
    """Token ids → embeddings, from a fixed table."""

    def __init__(self, words: int) -> None:
        self.table = np.random.default_rng(0).normal(size=(words, WIDTH)).astype(np.float32)

    def run(self, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        return {"inputs_embeds": self.table[inputs["input_ids"]]}


class Decoder:
    """A causal network: its logits depend on what stands at every position up to the last one, and on where it stands.

    Like the real graph it keeps what it has read in the cache, row by row at `cache_position`. It counts its calls and what it was fed.
    """

    def __init__(self, words: int) -> None:
        self.head = np.random.default_rng(1).normal(size=(WIDTH, words))
        self.calls: list[tuple[int, int]] = []

    def logits(self, seen: np.ndarray) -> np.ndarray:
        """`[V]` after the embeddings `[P,D]` of the positions 0 … P−1."""
        place = np.arange(len(seen))[:, None]
        mixed = (seen.astype(np.float64) * np.cos(0.7 * place + np.arange(WIDTH))).sum(0)
        return np.sin(3 * mixed) @ self.head

    def run_into(self, inputs: dict[str, np.ndarray], outputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        embeds, position = inputs["inputs_embeds"], inputs["cache_position"]
        assert embeds.shape[:2] == position.shape
        self.calls.append(position.shape)
        (cache,) = (outputs[name] for name in cache_names(1)[1] if name.endswith("key"))
        for row in range(len(embeds)):
            cache[row, 0, position[row]] = embeds[row]
        return {"logits": np.stack([self.logits(cache[row, 0, : position[row, -1] + 1]) for row in range(len(embeds))])}


def make_policy(grammar: Grammar, **values: Any) -> RationalePolicy:
    """A policy of the grammar; `values` change its `PolicySpec`."""
    tokenizer = make_tokenizer(grammar)
    words = len(tokenizer)
    return RationalePolicy(Embed(words), Decoder(words), tokenizer, make_spec(**values), grammar)


def make_config(**verdict: Any) -> BundleConfig:
    """A configuration for the small grammar; only what the slow path looks at is filled in."""
    found = {"min_consistency": 0.3, "min_confidence": 0.4, "claim_threshold": 0.5, "min_covered": 0.8, "prior": [0.1] * len(LABELS)}
    return BundleConfig(
        schema=SCHEMA,
        labels=list(LABELS),
        verifier_labels=list(LABELS),
        cues=[CueSpec(name, "AU", "", 0.0, 1.0, [0]) for name in CUES],
        image=ImageSpec(48, 1, 1.0, []),
        face=FaceSpec(320, 0.5, 0.4),
        policy=make_spec(),
        verdict=VerdictSpec(**{**found, "max_tokens": 40, "min_visible": 0.5, **verdict}),
        temperature=1.0,
        rigid_shape=[],
        provenance={},
        metrics={},
    )


def make_facts(**values: Any) -> Facts:
    """A face that smiles with parted lips, looks ahead and is said to be happy; `values` are cues or fields of `Facts`."""
    cues = {"inner_brow": 0.2, "outer_brow": -0.1, "eye_opening": 0.0, "lip_corners": 3.0, "corner_asymmetry": 0.0, "mouth_opening": 2.0}
    fields = {name: values.pop(name) for name in ("yaw_deg", "pitch_deg", "probabilities", "hidden", "veiled", "dim") if name in values}
    probabilities = {"neutral": 0.03, "happiness": 0.92, "sadness": 0.04, "anger": 0.01}
    return Facts(**{"cues": cues | values, "probabilities": probabilities, **fields})
