"""A small, randomly initialised vision-language model of the SmolVLM family's first class (Idefics3), saved as a folder."""

from __future__ import annotations

from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    Idefics3Config,
    Idefics3ForConditionalGeneration,
    Idefics3ImageProcessor,
    Idefics3Processor,
    PreTrainedTokenizerFast,
)

SPECIAL = ["<|endoftext|>", "<|im_start|>", "<end_of_utterance>", "<fake_token_around_image>", "<image>", "<global-img>"]
TEMPLATE = (
    "<|im_start|>{% for message in messages %}{{ message['role'] | capitalize }}:{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}<image>{% else %}{{ part['text'] }}{% endif %}{% endfor %}<end_of_utterance>\n{% endfor %}"
    "{% if add_generation_prompt %}Assistant:{% endif %}"
)


def make_vlm(folder: Path) -> Path:
    """Write model and processor to `folder`."""
    torch.manual_seed(0)
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer, bpe.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    text = ["<think>The lip corners are pulled up.</think><answer>happiness</answer>", "Which emotion does this face show?"]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    bpe.train_from_iterator(
        text, trainers.BpeTrainer(vocab_size=400, special_tokens=SPECIAL, initial_alphabet=alphabet, show_progress=False)
    )
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=bpe, bos_token="<|im_start|>", eos_token="<end_of_utterance>", pad_token="<|endoftext|>",
        additional_special_tokens=SPECIAL[3:], padding_side="left", model_input_names=["input_ids", "attention_mask"],
    )  # fmt: skip
    size = {"longest_edge": 32}
    images = Idefics3ImageProcessor(size=size, max_image_size=size, do_image_splitting=False)
    Idefics3Processor(images, tokenizer, image_seq_len=4, chat_template=TEMPLATE).save_pretrained(folder)
    shape = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
    ids = {name: tokenizer.convert_tokens_to_ids(token) for name, token in (("pad", SPECIAL[0]), ("bos", SPECIAL[1]), ("eos", SPECIAL[2]))}
    config = Idefics3Config(
        vision_config={**shape, "image_size": 32, "patch_size": 8},
        text_config={**shape, "model_type": "llama", "num_key_value_heads": 2, "vocab_size": len(tokenizer), "max_position_embeddings": 512,
                     **{f"{name}_token_id": i for name, i in ids.items()}},
        image_token_id=tokenizer.convert_tokens_to_ids("<image>"),
        scale_factor=2,
        pad_token_id=ids["pad"],
    )  # fmt: skip
    Idefics3ForConditionalGeneration(config).save_pretrained(folder)
    return folder
