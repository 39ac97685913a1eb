"""Policies by name or folder: the tiny one, or any Hugging Face vision-language model (SmolVLM family first)."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from transformers import AutoConfig, AutoModelForImageTextToText, AutoProcessor, PreTrainedModel, ProcessorMixin

from edge.errors import InputError
from training.policy import ErvPolicyConfig, load_policy


def load_any_policy(name: str) -> tuple[PreTrainedModel, ProcessorMixin, bool]:
    """Load a policy and its processor, by hub name or folder.

    Returns:
        Model, processor, and whether it is the tiny policy, which takes grey crops and no instruction.

    Raises:
        InputError: it cannot be had.
    """
    try:
        config = AutoConfig.from_pretrained(name)
        if isinstance(config, ErvPolicyConfig):
            return *load_policy(Path(name)), True
        model, processor = AutoModelForImageTextToText.from_pretrained(name), AutoProcessor.from_pretrained(name)
    except (OSError, ValueError) as error:
        raise InputError(f"cannot load the policy '{name}': {str(error).splitlines()[0]}") from None
    processor.tokenizer.padding_side = "left"
    image = model.config.image_token_id
    model.generation_config.suppress_tokens = [image]  # a young model writes placeholders, and their count must stay the pictures'
    return model, processor, False


def instruction(labels: Iterable[str]) -> str:
    """What a large policy is asked; the tiny one needs no words."""
    return (
        "Which emotion does this face show? Say in one to three sentences what is visible, then answer with one of "
        f"{', '.join(labels)}. Form: <think>what is visible</think><answer>emotion</answer>"
    )
