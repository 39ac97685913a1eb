"""How large a graph's inputs get, from the bundle's own limits, and what they are called.

TensorRT plans its kernels within these bounds, and nowhere else.
"""

from __future__ import annotations

from dataclasses import dataclass

from edge.bundle import TOWER, BundleConfig, PolicySpec

CELL, LEAST = 32, 128
"""Pictures are padded to multiples of `CELL`, the finder's coarsest feature, and to at least `LEAST`, pixels."""
TILE = 1280
"""Longest side that the finder's graph ever sees, pixels; larger pictures are searched in tiles."""
MAX_FACES = 16
"""Faces that one run of a graph takes; a session splits what is more."""
MAX_SENTENCES = 32
"""Sentences likewise."""
FORCED = 8
"""Tokens that one step of the decoder reads at most: the one that was chosen, and those that the grammar forces after it."""
OWN = 0
"""In a shape: the axis is fixed, and the graph itself says at what."""

Shape = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Profile:
    """Bounds of every input of a graph."""

    name: str
    least: dict[str, Shape]
    usual: dict[str, Shape]
    """What the kernels are tuned for."""
    most: dict[str, Shape]

    def fits(self, shapes: dict[str, Shape]) -> bool:
        """Whether inputs of these shapes lie within the bounds."""
        return shapes.keys() == self.least.keys() and all(
            len(shape) == len(self.least[name])
            and all(a <= b and (b <= c or c == OWN) for a, b, c in zip(self.least[name], shape, self.most[name], strict=True))
            for name, shape in shapes.items()
        )

    def filled(self, own: dict[str, Shape]) -> Profile:
        """The same with every fixed axis as the graph's inputs have it."""
        return Profile(
            self.name,
            *(
                {name: tuple(b if a == OWN else a for a, b in zip(shape, own[name], strict=True)) for name, shape in part.items()}
                for part in (self.least, self.usual, self.most)
            ),
        )


def cache_names(layers: int) -> tuple[list[str], list[str]]:
    """Input and output names of the decoder's caches, in the layout of exported vision-language models."""
    kinds = [(i, kind) for i in range(layers) for kind in ("key", "value")]
    return [f"past_key_values.{i}.{kind}" for i, kind in kinds], [f"present.{i}.{kind}" for i, kind in kinds]


def prompt_length(spec: PolicySpec, frames: int) -> int:
    """How many positions stand before a completion: the start token, the fixed text and the visual tokens of so many frames."""
    return 1 + len(spec.prefix) + spec.tokens_per_frame * frames + len(spec.suffix)


def graph_profiles(graph: str, config: BundleConfig) -> tuple[Profile, ...]:
    """The profiles of one of the bundle's graphs: one, but two of the decoder, which reads a prompt and then single tokens.

    The first axis counts faces or sentences.
    """
    policy = config.policy
    if graph == "face":
        long = max(LEAST, -(-config.face.long_side // CELL) * CELL)
        usual, most = max(LEAST, -(-(config.face.long_side * 3 // 4) // CELL) * CELL), max(TILE, long)
        shapes = (OWN, OWN, LEAST, LEAST), (OWN, OWN, usual, long), (OWN, OWN, most, most)
        return (_profile("picture", {"input" if config.face.yunet else "picture": shapes}),)
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
    return _decoder("prompt", config, (2, short + 1, long + FORCED)), _decoder("step", config, (1, 2, FORCED))


def _decoder(name: str, config: BundleConfig, lengths: tuple[int, int, int]) -> Profile:
    policy = config.policy
    least, most = (prompt_length(policy, frames) + policy.max_new_tokens + 1 for frames in (1, policy.max_frames))
    bounds: dict[str, tuple[Shape, Shape, Shape]] = {
        "inputs_embeds": ((1, lengths[0], OWN), (1, lengths[1], OWN), (MAX_FACES, lengths[2], OWN)),
        "cache_position": ((1, lengths[0]), (1, lengths[1]), (MAX_FACES, lengths[2])),
    }
    usual = (1, OWN, least, OWN)
    bounds |= dict.fromkeys(cache_names(policy.layers)[0], (usual, usual, (MAX_FACES, OWN, most, OWN)))
    return _profile(name, bounds)


def _profile(name: str, bounds: dict[str, tuple[Shape, Shape, Shape]]) -> Profile:
    least, usual, most = ({key: value[i] for key, value in bounds.items()} for i in range(3))
    return Profile(name, least, usual, most)
