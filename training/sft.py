"""Cold start: the policy learns to explain, from rationales written about what the frozen encoder sees.

The evidence is written from the encoder's own readings, so that the text speaks of what the policy can know; the answer is the encoder's
label, so that fast and slow path agree; its certainty is the calibrated one. Wording follows the face, so that a policy that always takes
the most probable word still describes different faces differently.

    python -m training sft --encoder runs/encoder --grammar runs/grammar --out runs/sft
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional as F
from transformers import PreTrainedTokenizerFast

from edge.language.grammar import FILE, Grammar
from edge.language.labels import EMOTIONS_8
from edge.language.rationale import parse_completion
from training.constraint import Template, constrain, make_tokenizer
from training.contrast import Contrast
from training.data import load_ferplus
from training.encoder import load_encoder
from training.language import load_language, load_temperature
from training.network import Encoder
from training.policy import IMAGE_TOKEN, TOKENS_PER_FRAME, ErvPolicy, ErvPolicyConfig, ErvProcessor, prompt_text
from training.run import Run, cosine_schedule, descend, in_two, progress, read_config
from training.views import Views, complete, look
from training.writer import ByFace, Readings, Writer, facts_of

MAX_NEW_TOKENS = 20


@dataclass(frozen=True, slots=True)
class SftConfig:
    """Everything that decides a cold start."""

    hidden: int
    layers: int
    heads: int
    kv_heads: int
    intermediate: int
    views: int
    """Augmented views of each face, besides the plain one, that the policy sees."""
    covered: float
    """Share of rationales that are written as if a region were out of sight, and say so."""
    epochs: int
    batch: int
    lr: float
    weight_decay: float
    several_frames: float
    """Share of batches with two to eight frames per face."""
    seed: int


def write_all(grammar: Grammar, readings: list[Readings], covered: float, seed: int) -> list[list[list[int]]]:
    """Rationales of every face in every view, as numbers of phrases: view → face → phrases; empty where nothing can be said.

    Args:
        grammar: the language.
        readings: one for each view.
        covered: share that is written with a region out of sight.
        seed: decides which.
    """
    plain = readings[0]
    writer, wording = Writer(grammar, Contrast.fit(plain.cues, plain.probabilities, grammar)), ByFace.fit(plain.flat)
    tasks = [(writer, view, wording, covered, seed + number) for number, view in enumerate(readings)]
    return in_two(_write_view, tasks)


def _write_view(task: tuple[Writer, Readings, ByFace, float, int]) -> list[list[int]]:
    writer, readings, wording, covered, seed = task
    grammar, rng, flat = writer.grammar, random.Random(seed), readings.flat
    regions = list(grammar.rules.regions.values())
    written = []
    for face in range(len(readings)):
        hidden = frozenset(rng.choice(regions)) if rng.random() < covered else frozenset()
        label = EMOTIONS_8[int(readings.probabilities[face].argmax())]
        phrases = writer.write(facts_of(readings, face, hidden), label, wording(flat[face]))
        written.append([grammar.number[phrase.text] for phrase in phrases])
    return written


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
    shape = dict(zip(("widths", "depths", "motion"), encoder.shape, strict=True))
    policy = ErvPolicy(ErvPolicyConfig(**shape, decoder={**decoder, **ids}, image_token_id=image, tie_word_embeddings=True, **ids))
    policy.encoder.load_state_dict(encoder.state_dict())
    for parameter in policy.encoder.parameters():
        parameter.requires_grad_(False)
    policy.generation_config.suppress_tokens = [image]
    policy.generation_config.max_new_tokens = MAX_NEW_TOKENS
    return policy


def evaluate(policy: ErvPolicy, tokenizer: PreTrainedTokenizerFast, views: Views, label: np.ndarray) -> dict[str, float]:
    """Greedy answers on plain views: share parseable, accuracy, agreement with the encoder's head, different texts."""
    texts = complete(policy, tokenizer, views)
    answers = [parse_completion(text, EMOTIONS_8).answer for text in texts]
    found = np.array([EMOTIONS_8.index(answer) if answer else -1 for answer in answers])
    head = views.emotion[:, 0].argmax(1).numpy()
    kept = label >= 0
    return {
        "parseable": float((found >= 0).mean()),
        "answer_war": float((found == label)[kept].mean()),
        "head_war": float((head == label)[kept].mean()),
        "agreement": float((found == head).mean()),
        "distinct": len(set(texts)) / len(texts),
    }


def train(folder: Path, out: Path, config: SftConfig, *, encoder: str, grammar: str) -> Path:
    """Train the cold start; write the run and the policy (`policy/`, `load_policy` reads it) to `out`."""
    run = Run(out, config, seed=config.seed)
    network, cue_model = load_encoder(Path(encoder))
    language, temperature = load_language(grammar), load_temperature(grammar)
    faces, valid = load_ferplus(folder, "train"), load_ferplus(folder, "valid")
    faces = faces.take((faces.votes.sum(1) >= 3) & (faces.rest[:, 1] <= faces.votes.sum(1)))
    views = look(network, faces, cue_model, config.views, config.seed)
    valid_views = look(network, valid, cue_model, 0, config.seed)
    tokenizer = make_tokenizer(language)
    template, rng = Template(language, tokenizer), random.Random(config.seed)
    written = write_all(language, [views.readings(v, temperature) for v in range(config.views + 1)], config.covered, config.seed)
    policy = new_policy(network, tokenizer, config).to(run.device)
    constrain(policy, language, tokenizer)
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
            completions = [written[int(v)][int(r)] for r, v in zip(rows, chosen[:, -1], strict=True)]
            ids, labels = batch_of(tokenizer, [template.ids(c) if c else [] for c in completions], frames)
            read = views.pick(rows, chosen)
            with torch.autocast(run.device.type, torch.bfloat16):
                tokens = policy.projector({k: v.to(run.device) for k, v in read.items()})
                output = policy(
                    input_ids=ids.to(run.device),
                    attention_mask=(ids != tokenizer.pad_token_id).long().to(run.device),
                    visual_tokens=tokens.reshape(len(rows), frames * TOKENS_PER_FRAME, -1).float(),
                )
            loss = F.cross_entropy(output.logits[:, :-1].float().flatten(0, 1), labels[:, 1:].flatten().to(run.device))
            descend(loss, optimizer, schedule, most=1.0)
            total += loss.item()
        run.metrics(epoch=epoch, loss=total / steps, **evaluate(policy, tokenizer, valid_views, valid.label))
        run.save_policy(policy, ErvProcessor(tokenizer), Path(grammar) / FILE)
    return out


def batch_of(tokenizer: PreTrainedTokenizerFast, completions: list[list[int]], frames: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Ids `[N,L]` of prompt and completion, padded, and the labels of the completion alone (−100 elsewhere)."""
    prompt = tokenizer(prompt_text(tokenizer, frames), add_special_tokens=False).input_ids
    longest = len(prompt) + max(map(len, completions))
    ids = torch.full((len(completions), longest), tokenizer.pad_token_id)
    for row, completion in enumerate(completions):
        ids[row, : len(prompt) + len(completion)] = torch.tensor([*prompt, *completion])
    labels = ids.masked_fill(ids == tokenizer.pad_token_id, -100)
    labels[:, : len(prompt)] = -100
    return ids, labels


def configure(given: Path | None, overrides: list[str]) -> SftConfig:
    """The resolved configuration of the cold start."""
    return read_config(SftConfig, "sft", given, overrides)
