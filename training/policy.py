"""The policy as a `transformers` model: the vision encoder, a projector and a small Llama decoder.

It is a vision-language model at a thousandth of the usual size, with the usual interface: `input_ids` hold one placeholder per visual
token, `pixel_values` the frames; `save_pretrained`, `from_pretrained` and `generate` behave as for any other.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    BatchFeature,
    GenerationMixin,
    LlamaConfig,
    LlamaForCausalLM,
    LogitsProcessor,
    LogitsProcessorList,
    PretrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerFast,
)
from transformers.modeling_outputs import BaseModelOutputWithPast, CausalLMOutputWithPast
from transformers.processing_utils import ProcessorMixin

from edge.errors import UsageError
from edge.language.grammar import FILE, load_grammar
from edge.language.labels import EMOTIONS_8
from training.augment import SIZE
from training.constraint import IMAGE_TOKEN, constrain
from training.cues import CUE_NAMES, SIDED
from training.data import resized
from training.network import Encoder

TOKENS_PER_FRAME = 4
MAX_FRAMES = 8
#: A conversation → the start token and one placeholder per picture: the tiny policy needs no instruction.
CHAT_TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}" + IMAGE_TOKEN + "{% endif %}{% endfor %}{% endfor %}"
)
_READINGS = 2 * len(EMOTIONS_8) + len(CUE_NAMES) + 3


class ErvPolicyConfig(PretrainedConfig):
    """Encoder shape, decoder shape and the image placeholder."""

    model_type = "erv_policy"
    auto_map: dict[str, str] = {}  # noqa: RUF012 (transformers wants a plain attribute)
    """No remote code: TRL asks."""

    def __init__(
        self,
        widths: tuple[int, ...] = (32, 40, 80, 160, 192),
        depths: tuple[int, ...] = (2, 2, 2, 1),
        motion: tuple[int, ...] = (24, 32, 64, 96),
        decoder: dict[str, Any] | None = None,
        image_token_id: int = 3,
        **common: Any,
    ) -> None:
        self.widths, self.depths, self.motion = list(widths), list(depths), list(motion)
        self.decoder = decoder or {}
        self.image_token_id = image_token_id
        super().__init__(**common)

    def get_text_config(self, *_: Any, **__: Any) -> LlamaConfig:
        """The decoder's configuration, where `generate` looks for layers and heads."""
        return LlamaConfig(**self.decoder)


class Projector(nn.Module):
    """What the encoder read → visual tokens. Nothing else of the picture is told to the policy, and a face and its mirror image are told
    alike: which side moved is for the grammar to say, which knows what was read."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.readings = nn.Sequential(nn.Linear(_READINGS, 2 * width), nn.ReLU(), nn.Linear(2 * width, TOKENS_PER_FRAME * width))

    def forward(self, read: dict[str, torch.Tensor]) -> torch.Tensor:
        """`emotion`, `cues`, `pose` → tokens `[N,4,D]`."""
        # the sharpened copy tells apart labels that are nearly tied: the policy shall answer what the head shows
        labels = [read["emotion"].softmax(1), (10 * read["emotion"]).softmax(1)]
        moved = torch.cat([read["cues"], read["pose"] / 20], 1)
        told = torch.cat([*labels, torch.where(torch.from_numpy(SIDED).to(moved.device), moved.abs(), moved)], 1)
        return self.readings(told).unflatten(1, (TOKENS_PER_FRAME, -1))


class ErvPolicy(PreTrainedModel, GenerationMixin):
    """Faces → `<think>rationale</think><answer>emotion</answer>`."""

    config_class = ErvPolicyConfig
    base_model_prefix = ""
    main_input_name = "input_ids"
    _supports_sdpa = True
    _tied_weights_keys = ["decoder.lm_head.weight"]  # noqa: RUF012 (the base class wants a list)

    def __init__(self, config: ErvPolicyConfig) -> None:
        super().__init__(config)
        self.encoder = Encoder(config.widths, config.depths, config.motion)
        text = config.get_text_config()
        self.projector = Projector(text.hidden_size)
        self.decoder = LlamaForCausalLM(text)
        self.constraint: LogitsProcessor | None = None
        """What `generate` must keep to, see `training.constraint`."""
        self.post_init()

    def get_input_embeddings(self) -> nn.Module:
        """The decoder's token embeddings."""
        return self.decoder.get_input_embeddings()

    def get_output_embeddings(self) -> nn.Module:
        """The decoder's output layer, tied to the input embeddings."""
        return self.decoder.get_output_embeddings()

    @property
    def model(self) -> Callable[..., BaseModelOutputWithPast]:
        """The backbone, which ends before the output layer; TRL puts its own on top."""
        return self._states

    def generate(self, *args: Any, **kwargs: Any) -> Any:
        """Like any model's, within the constraint."""
        if self.constraint is not None:
            kwargs["logits_processor"] = LogitsProcessorList([*kwargs.get("logits_processor", ()), self.constraint])
        return super().generate(*args, **kwargs)

    def train(self, mode: bool = True) -> ErvPolicy:
        """Set the mode; the encoder always stays in evaluation mode, since no language stage trains it."""
        super().train(mode)
        self.encoder.eval()
        return self

    def look(self, pixel_values: torch.Tensor) -> torch.Tensor:
        """Frames `[N,F,1,S,S]` (0…1) → visual tokens `[N,F·4,D]`; neighbours that are the same, as in a GRPO group, are read once."""
        frames = pixel_values.shape[1]
        different, place = torch.unique_consecutive(pixel_values, dim=0, return_inverse=True)
        return self.projector(self.encoder(different.flatten(0, 1))).reshape(len(different), frames * TOKENS_PER_FRAME, -1)[place]

    def _states(self, *args: Any, **kwargs: Any) -> BaseModelOutputWithPast:
        """Like `forward`, up to the last hidden state."""
        embeds, rest = self._embed(*args, **kwargs)
        return self.decoder.model(inputs_embeds=embeds, **rest)

    def _embed(
        self,
        input_ids: torch.Tensor | None = None,
        pixel_values: torch.Tensor | None = None,
        inputs_embeds: torch.Tensor | None = None,
        visual_tokens: torch.Tensor | None = None,
        **rest: Any,
    ) -> tuple[torch.Tensor, dict[str, Any]]:
        """Token embeddings with the visual tokens in their places, and the remaining arguments."""
        if inputs_embeds is None:
            inputs_embeds = self.get_input_embeddings()(input_ids)
            if visual_tokens is None and pixel_values is not None:
                visual_tokens = self.look(pixel_values)
            if visual_tokens is not None:
                places = (input_ids == self.config.image_token_id)[..., None].expand_as(inputs_embeds)
                inputs_embeds = inputs_embeds.masked_scatter(places, visual_tokens.to(inputs_embeds.dtype))
        return inputs_embeds, rest

    def forward(
        self,
        input_ids: torch.Tensor | None = None,
        pixel_values: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        labels: torch.Tensor | None = None,
        inputs_embeds: torch.Tensor | None = None,
        visual_tokens: torch.Tensor | None = None,
        **kwargs: Any,
    ) -> CausalLMOutputWithPast:
        """Like any causal model; `visual_tokens` `[N,F·4,D]` may stand in for `pixel_values`."""
        embeds, _ = self._embed(input_ids, pixel_values, inputs_embeds, visual_tokens)
        return self.decoder(inputs_embeds=embeds, attention_mask=attention_mask, labels=labels, **kwargs)

    def prepare_inputs_for_generation(
        self, input_ids: torch.Tensor, pixel_values: torch.Tensor | None = None, **kwargs: Any
    ) -> dict[str, Any]:
        """Look at the frames on the first step only; afterwards they live in the cache."""
        inputs = super().prepare_inputs_for_generation(input_ids, **kwargs)
        position = inputs.get("cache_position")
        if position is None or position[0] == 0:
            inputs["pixel_values"] = pixel_values
        return inputs


class ErvProcessor(ProcessorMixin):
    """Face crops and text → model inputs, with the interface that `transformers` and TRL expect of a vision-language model."""

    attributes = ["tokenizer"]  # noqa: RUF012 (the base class wants a list)
    tokenizer_class = "PreTrainedTokenizerFast"

    def __init__(self, tokenizer: PreTrainedTokenizerFast, **common: Any) -> None:
        super().__init__(tokenizer, **{"chat_template": CHAT_TEMPLATE, **common})

    def __call__(
        self,
        images: np.ndarray | list[list[Any]] | None = None,
        text: str | list[str] | None = None,
        padding: bool = False,
        return_tensors: str | None = None,
        **_: Any,
    ) -> BatchFeature:
        """Prepare a batch.

        Args:
            images: `[N,F,S,S]` uint8 of any size, or lists of 1 to 8 grey pictures per face, as many for each.
            text: one per face, with one `<image>` per picture; what stands before a completion when not given.
            padding: to the longest.
            return_tensors: `pt` for tensors; lists of ids when `None`.

        Returns:
            `input_ids`, `attention_mask`, `pixel_values` `[N,F,1,S,S]` in 0…1.
        """
        pictures = {} if images is None else {"pixel_values": _pixels(images)}
        if text is None:
            text = [self.tokenizer.bos_token + IMAGE_TOKEN * len(face) for face in images]
        full = [t.replace(IMAGE_TOKEN, IMAGE_TOKEN * TOKENS_PER_FRAME) for t in ([text] if isinstance(text, str) else text)]
        batch = self.tokenizer(full, return_tensors=return_tensors, padding=padding, add_special_tokens=False, return_token_type_ids=False)
        return BatchFeature({**batch, **pictures})


def _pixels(images: np.ndarray | list[list[Any]]) -> torch.Tensor:
    """Frames per face → `[N,F,1,S,S]`."""
    for face in images:
        if not 1 <= len(face) <= MAX_FRAMES or len(face) != len(images[0]):
            raise UsageError(f"the policy takes 1 to {MAX_FRAMES} frames of a face, as many of each, got {len(face)}")
    crops = np.stack([resized(np.stack([np.asarray(picture) for picture in face]), SIZE) for face in images])
    return torch.from_numpy(crops).float()[:, :, None] / 255


def prompt_text(tokenizer: PreTrainedTokenizerFast, frames: int) -> str:
    """What stands before a completion: the start token and the placeholders of the frames."""
    return tokenizer.bos_token + IMAGE_TOKEN * (TOKENS_PER_FRAME * frames)


def load_policy(folder: Path | str) -> tuple[ErvPolicy, ErvProcessor]:
    """Load a saved policy, which follows the grammar beside it, and its processor; the encoder is frozen."""
    policy = ErvPolicy.from_pretrained(folder).eval()
    policy.encoder.requires_grad_(False)
    tokenizer = PreTrainedTokenizerFast.from_pretrained(folder)
    if (Path(folder) / FILE).is_file():  # a trainer's checkpoint has none
        constrain(policy, load_grammar(Path(folder) / FILE), tokenizer)
    return policy, ErvProcessor(tokenizer)


AutoConfig.register(ErvPolicyConfig.model_type, ErvPolicyConfig)
AutoModelForCausalLM.register(ErvPolicyConfig, ErvPolicy)
