"""Cold start: the policy learns to explain, from rationales written about what the frozen encoder sees.

The evidence is written from the encoder's own cue readings, so that the text speaks of what the policy can know; the answer is the
encoder's label, so that fast and slow path agree; hedges follow the crowd's votes.

    python -m training sft --encoder runs/encoder --out runs/sft
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from torch.nn import functional as F
from transformers import PreTrainedTokenizerFast

from edge.language.labels import EMOTIONS_8
from edge.language.rationale import ANSWER, END_ANSWER, END_THINK, THINK, parse_completion, write_completion
from training.cues import CUE_NAMES
from training.data import load_ferplus
from training.encoder import Encoder, load_encoder
from training.policy import IMAGE_TOKEN, TOKENS_PER_FRAME, ErvPolicy, ErvPolicyConfig, ErvProcessor, prompt_text
from training.run import Run, cosine_schedule, progress, read_config
from training.views import Views, complete, look
from training.writer import write_rationale

SPECIAL = ("<pad>", "<s>", "</s>", IMAGE_TOKEN, THINK, END_THINK, ANSWER, END_ANSWER)
MAX_NEW_TOKENS = 72


@dataclass(frozen=True, slots=True)
class SftConfig:
    """Everything that decides a cold start."""

    hidden: int
    layers: int
    heads: int
    kv_heads: int
    intermediate: int
    vocabulary: int
    views: int
    """Augmented views of each face, besides the plain one, that the policy sees."""
    epochs: int
    batch: int
    lr: float
    weight_decay: float
    several_frames: float
    """Share of batches with two to eight frames per face."""
    seed: int


def make_tokenizer(texts: list[str], vocabulary: int) -> PreTrainedTokenizerFast:
    """Train a byte-level BPE tokenizer whose special tokens are the template's tags."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=list(SPECIAL),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="<pad>",
        bos_token="<s>",
        eos_token="</s>",
        additional_special_tokens=list(SPECIAL[3:]),
        padding_side="right",
        model_input_names=["input_ids", "attention_mask"],
        clean_up_tokenization_spaces=False,
    )


def write_for(cues: np.ndarray, pose: np.ndarray, emotion: int, certainty: float, rng: random.Random) -> str:
    """A completion for one reading."""
    named = dict(zip(CUE_NAMES, map(float, cues), strict=True))
    sentences = write_rationale(named, tuple(map(float, pose)), EMOTIONS_8[emotion], certainty, rng)
    return write_completion(" ".join(s.text for s in sentences), EMOTIONS_8[emotion])


def new_policy(encoder: Encoder, tokenizer: PreTrainedTokenizerFast, config: SftConfig) -> ErvPolicy:
    """A policy with the trained encoder and a fresh projector and decoder."""
    decoder = {
        "vocab_size": len(tokenizer),
        "hidden_size": config.hidden,
        "intermediate_size": config.intermediate,
        "num_hidden_layers": config.layers,
        "num_attention_heads": config.heads,
        "num_key_value_heads": config.kv_heads,
        "max_position_embeddings": 256,
        "tie_word_embeddings": True,
        "initializer_range": 0.04,
    }
    ids = {f"{kind}_token_id": getattr(tokenizer, f"{kind}_token_id") for kind in ("pad", "bos", "eos")}
    image = tokenizer.convert_tokens_to_ids(IMAGE_TOKEN)
    shape = {"widths": encoder.widths, "depths": encoder.depths}
    policy = ErvPolicy(ErvPolicyConfig(**shape, decoder={**decoder, **ids}, image_token_id=image, tie_word_embeddings=True, **ids))
    policy.encoder.load_state_dict(encoder.state_dict())
    for parameter in policy.encoder.parameters():
        parameter.requires_grad_(False)
    policy.generation_config.suppress_tokens = [image]
    policy.generation_config.max_new_tokens = MAX_NEW_TOKENS
    return policy


def evaluate(policy: ErvPolicy, tokenizer: PreTrainedTokenizerFast, views: Views, label: np.ndarray) -> dict[str, float]:
    """Greedy answers on plain views: share parseable, accuracy, agreement with the encoder's head."""
    answers = [parse_completion(text, EMOTIONS_8).answer for text in complete(policy, tokenizer, views)]
    found = np.array([EMOTIONS_8.index(answer) if answer else -1 for answer in answers])
    head = views.emotion[:, 0].argmax(1).numpy()
    kept = label >= 0
    return {
        "parseable": float((found >= 0).mean()),
        "answer_war": float((found == label)[kept].mean()),
        "head_war": float((head == label)[kept].mean()),
        "agreement": float((found == head).mean()),
    }


def train(folder: Path, out: Path, config: SftConfig, *, encoder: str) -> Path:
    """Train the cold start; write the run and the policy (`policy/`, `from_pretrained` reads it) to `out`."""
    run = Run(out, config, seed=config.seed)
    network, cue_model = load_encoder(Path(encoder))
    faces, valid = load_ferplus(folder, "train"), load_ferplus(folder, "valid")
    faces = faces.take((faces.votes.sum(1) >= 3) & (faces.rest[:, 1] <= faces.votes.sum(1)))
    views = look(network, faces, cue_model, config.views, config.seed)
    valid_views = look(network, valid, cue_model, 0, config.seed)
    certainty = faces.target.max(1)
    rng = random.Random(config.seed)

    def completion(row: int, view: int) -> str:
        cues, pose = views.cues[row, view].numpy(), views.pose[row, view].numpy()
        return write_for(cues, pose, int(views.emotion[row, view].argmax()), float(certainty[row]), rng)

    tokenizer = make_tokenizer([completion(i, i % (config.views + 1)) for i in range(len(faces))], config.vocabulary)
    policy = new_policy(network, tokenizer, config).to(run.device)
    learned = [p for p in policy.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(learned, lr=config.lr, weight_decay=config.weight_decay, betas=(0.9, 0.98))
    steps = len(faces) // config.batch
    schedule = cosine_schedule(optimizer, config.epochs * steps, min(200, config.epochs * steps // 5))
    for epoch in range(config.epochs):
        policy.train()
        total = 0.0
        for rows in progress(torch.randperm(len(faces))[: steps * config.batch].split(config.batch), f"epoch {epoch}", steps):
            frames = rng.randint(2, 8) if rng.random() < config.several_frames else 1
            chosen = torch.randint(0, config.views + 1, (len(rows), frames))
            prompt = prompt_text(tokenizer, frames)
            texts = [prompt + completion(int(r), int(v)) + tokenizer.eos_token for r, v in zip(rows, chosen[:, -1], strict=True)]
            batch = tokenizer(texts, return_tensors="pt", padding=True, add_special_tokens=False)
            labels = batch.input_ids.masked_fill(batch.attention_mask == 0, -100)
            labels[:, : 1 + frames * TOKENS_PER_FRAME] = -100
            read = views.pick(rows, chosen)
            with torch.autocast(run.device.type, torch.bfloat16):
                tokens = policy.projector({k: v.to(run.device) for k, v in read.items()})
                output = policy(
                    input_ids=batch.input_ids.to(run.device),
                    attention_mask=batch.attention_mask.to(run.device),
                    visual_tokens=tokens.reshape(len(rows), frames * TOKENS_PER_FRAME, -1).float(),
                )
            loss = F.cross_entropy(output.logits[:, :-1].float().flatten(0, 1), labels[:, 1:].flatten().to(run.device))
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(learned, 1.0)
            optimizer.step()
            schedule.step()
            total += loss.item()
        run.metrics(epoch=epoch, loss=total / steps, **evaluate(policy, tokenizer, valid_views, valid.label))
        run.save_policy(policy, ErvProcessor(tokenizer))
    return out


def configure(given: Path | None, overrides: list[str]) -> SftConfig:
    """The resolved configuration of the cold start."""
    return read_config(SftConfig, "sft", given, overrides)
