"""Alignment: group-relative policy optimisation with rewards for the explanation, on TRL's trainer.

Completions are sampled within the grammar.
The tiny policy and a Hugging Face vision-language model go the same way. Every reward has a weight in the configuration; 0 switches it
off. A run that was stopped goes on from its last checkpoint when it is started again.

    python -m training grpo --policy runs/sft/policy --verifier runs/verifier --out runs/grpo
    accelerate launch --cpu --num_processes 2 -m training grpo --out runs/grpo
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import PartialState
from datasets import Dataset
from PIL import Image
from transformers import PreTrainedModel, ProcessorMixin, TrainerCallback
from trl import GRPOConfig, GRPOTrainer

from edge.errors import InputError, UsageError
from edge.language.grammar import FILE, Grammar, load_grammar
from edge.language.labels import EMOTIONS_8
from edge.language.rationale import parse_completion, split_sentences
from edge.language.statements import Facts
from edge.language.verdict import sentences_of
from edge.language.verifier import SentenceReading
from training import rewards
from training.checkpoints import Seal, is_whole, last_whole, step_of
from training.contrast import Contrast
from training.cues import CUE_NAMES
from training.data import FerPlus, load_ferplus
from training.encoder import load_encoder
from training.examples import Example, read_examples
from training.language import load_temperature
from training.models import instruction, load_any_policy
from training.rewards import Sample
from training.run import Run, load_checkpoint, read_config
from training.trl_head import ensure_head
from training.verifier import load_verifier, read_texts
from training.views import look
from training.writer import Readings

REWARDS = ("format", "accuracy", "explanation", "masked", "truth", "salient", "variety", "length")


@dataclass(frozen=True, slots=True)
class GrpoConfig:
    """Everything that decides an alignment."""

    dataset: str
    """`ferplus`, or for a large policy `dfew` or `mafw`."""
    fold: int
    """Of DFEW and MAFW."""
    frames: int
    """Pictures per clip."""
    rewards: dict[str, float]
    """Weight of each reward; one that is missing or 0 is off."""
    steps: int
    faces: int
    """Faces per step."""
    group: int
    """Completions per face."""
    max_new_tokens: int
    temperature: float
    beta: float
    """Weight of the divergence from the cold start."""
    lr: float
    save_every: int
    averaged: int
    """Of so many of the last checkpoints the policy is the mean: single ones wander from step to step."""
    seed: int


class Reader:
    """Parses completions and lets the verifier read them; the texts of the last call are remembered, since every reward asks."""

    def __init__(self, verifier: Path, grammar: Grammar, processor: Any) -> None:
        self.model, self.tokenizer = load_verifier(verifier)
        self.prior = np.asarray(load_checkpoint(verifier)["prior"])
        self.grammar = grammar
        self.decoder = getattr(processor, "tokenizer", processor)
        self.last: tuple[Any, list[Sample]] = (None, [])

    def __call__(
        self, completion_ids: list[list[int]], label: list[str], measured: list[list[float]], read: list[list[float]]
    ) -> list[Sample]:
        """Samples of a batch of completions, from their token ids and the columns of the data."""
        if self.last[0] is completion_ids:
            return self.last[1]
        done = [parse_completion(self._text(ids), EMOTIONS_8) for ids in completion_ids]
        parsed = [self.grammar.parse(d.rationale) if d.answer else None for d in done]
        parsed = [p if p and p.conclusion == d.answer else None for p, d in zip(parsed, done, strict=True)]
        plain = self._read([split_sentences(d.rationale) for d in done])
        masked = self._read([sentences_of(d, p) for d, p in zip(done, parsed, strict=True)])
        facts = ([facts_from(row) if row else None for row in measured], [facts_from(row) for row in read])
        samples = [Sample(*parts) for parts in zip(done, parsed, plain, masked, label, *facts, strict=True)]
        self.last = (completion_ids, samples)
        return samples

    def _text(self, ids: list[int]) -> str:
        text = self.decoder.decode(ids, skip_special_tokens=False)
        return text.split(self.decoder.eos_token)[0].replace(self.decoder.pad_token or "", "")

    def _read(self, groups: list[list[str]]) -> list[SentenceReading]:
        different = sorted({sentence for group in groups for sentence in group})
        found = read_texts(self.model, self.tokenizer, different)
        row = {sentence: i for i, sentence in enumerate(different)}
        each = ([row[s] for s in group] for group in groups)
        return [SentenceReading(found.emotions[rows], found.claims[rows], found.covered[rows]) for rows in each]


def facts_from(row: list[float]) -> Facts:
    """Facts from a column of the data: cues, pose, and label probabilities where they are known."""
    cues, pose, rest = row[: len(CUE_NAMES)], row[len(CUE_NAMES) : len(CUE_NAMES) + 3], row[len(CUE_NAMES) + 3 :]
    return Facts(dict(zip(CUE_NAMES, cues, strict=True)), pose[0], pose[1], dict(zip(EMOTIONS_8, rest, strict=False)))


def reward_functions(config: GrpoConfig, reader: Reader, contrast: Contrast) -> tuple[list[Callable[..., list[float]]], list[float]]:
    """The rewards that are switched on, as TRL takes them, and their weights.

    Args:
        config: which, and how much they weigh.
        reader: reads what is rewarded.
        contrast: which rest tells most.

    Raises:
        UsageError: an unknown reward, or none.
    """
    if unknown := sorted(set(config.rewards) - set(REWARDS)):
        raise UsageError(f"unknown reward {', '.join(unknown)}: expected {', '.join(REWARDS)}")
    chosen = {name: weight for name, weight in config.rewards.items() if weight}
    if not chosen:
        raise UsageError("every reward is switched off")
    rules = (reader.grammar.rules,)
    extras: dict[str, tuple[Any, ...]] = {"masked": (reader.prior,), "truth": rules, "salient": (*rules, contrast)}

    def make(name: str) -> Callable[..., list[float]]:
        plain = getattr(rewards, f"{name}_reward")

        def reward(
            completion_ids: list[list[int]], label: list[str], measured: list[list[float]], read: list[list[float]], **_: Any
        ) -> list[float]:
            found: list[float] = plain(reader(completion_ids, label, measured, read), *extras.get(name, ()))
            return found

        reward.__name__ = name
        return reward

    return [make(name) for name in chosen], list(chosen.values())


def face_rows(faces: FerPlus, measured: np.ndarray, readings: Readings) -> Dataset:
    """One row per face for the tiny policy, which takes the grey crop as it is and needs no question."""
    return Dataset.from_dict(
        {
            "prompt": [[{"role": "user", "content": ""}]] * len(faces),
            "images": [[Image.fromarray(image)] for image in faces.images],
            "label": [EMOTIONS_8[i] for i in faces.label],
            "measured": measured.tolist(),
            "read": np.concatenate([readings.flat, readings.probabilities], 1).tolist(),
        }
    )


def example_rows(examples: list[Example]) -> Dataset:
    """One row per face or clip for a large policy."""
    return Dataset.from_dict(
        {
            "prompt": [[{"role": "user", "content": instruction(EMOTIONS_8)}]] * len(examples),
            "images": [example.pictures for example in examples],
            "label": [example.label for example in examples],
            "measured": [example.measured for example in examples],
            "read": [example.read for example in examples],
        }
    )


class Trainer(GRPOTrainer):
    """TRL's, which for a policy that keeps to a grammar takes probabilities as they are sampled: among the ways that are open.

    Over the whole vocabulary a token that had to follow would cost what the policy never learnt, and the divergence would be that.
    """

    def _get_per_token_logps_and_entropies(
        self,
        model: Any,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor,
        logits_to_keep: int,
        batch_size: int | None = None,
        compute_entropy: bool = False,
        compute_aux_loss: bool = False,
        pixel_values: torch.Tensor | None = None,
        **rest: Any,
    ) -> tuple[torch.Tensor, torch.Tensor | None, torch.Tensor | None]:
        constraint = getattr(self.accelerator.unwrap_model(self.model), "constraint", None)
        if constraint is None:
            found: tuple[torch.Tensor, torch.Tensor | None, torch.Tensor | None] = super()._get_per_token_logps_and_entropies(
                model, input_ids, attention_mask, logits_to_keep, batch_size, compute_entropy, compute_aux_loss, pixel_values, **rest
            )
            return found
        logits = model(input_ids=input_ids, attention_mask=attention_mask, pixel_values=pixel_values, use_cache=False).logits
        spread = constraint.spread(logits[:, -logits_to_keep - 1 : -1].float() / self.temperature, input_ids)
        chosen = spread.gather(2, input_ids[:, -logits_to_keep:, None])[..., 0]
        return chosen, -(spread.exp() * spread.masked_fill(spread.isinf(), 0)).sum(-1) if compute_entropy else None, None


class Metrics(TrainerCallback):
    """Writes what the trainer logs to the run's metrics file."""

    def __init__(self, run: Run) -> None:
        self.run = run

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **_: Any) -> None:
        """Keep rewards, divergence, entropy and length."""
        if state.is_world_process_zero and logs and "reward" in logs:
            kept = {k: float(v) for k, v in logs.items() if k.startswith("rewards/") and k.endswith("/mean")}
            also = {k: float(logs[k]) for k in ("reward", "reward_std", "kl", "entropy", "completions/mean_length") if k in logs}
            self.run.metrics(step=state.global_step, **also, **kept)


def train(folder: Path, out: Path, config: GrpoConfig, *, encoder: str, grammar: str, policy: str, verifier: str) -> Path:
    """Align a policy; write the run, its checkpoints and the policy (`policy/`), the mean of the last of them, to `out`."""
    checkpoints, language = out / "checkpoints", Path(grammar) / FILE
    last = last_whole(checkpoints)
    run = Run(out, config, seed=config.seed, resumed=last is not None)
    if last and step_of(last) >= config.steps:  # the trainer would take one step more
        return _keep(checkpoints, config, language, run)
    model, processor, tiny = load_any_policy(policy)
    if tiny:
        network, cue_model = load_encoder(Path(encoder))
        model.encoder.load_state_dict(network.state_dict())
        faces = load_ferplus(folder, "train")
        cues, pose = cue_model.measure(faces.landmarks, faces.point_index)
        kept = (faces.label >= 0) & np.isfinite(cues).all(1)
        faces, measured = faces.take(kept), np.concatenate([cues, pose], 1)[kept]
        rows = face_rows(faces, measured, look(network, faces, cue_model, 0, config.seed).readings(0, load_temperature(grammar)))
    else:
        rows = example_rows(read_examples(folder, "train", config.dataset, Path(encoder), grammar, fold=config.fold, frames=config.frames))
    read, spoken = np.array(rows["read"]), load_grammar(language)
    contrast = Contrast.fit(read[:, : len(CUE_NAMES)], read[:, len(CUE_NAMES) + 3 :], spoken)
    functions, weights = reward_functions(config, Reader(Path(verifier), spoken, processor), contrast)
    trainer = make_trainer(model, processor, rows, functions, weights, config, checkpoints)
    trainer.add_callback(Metrics(run))
    trainer.add_callback(Seal())
    trainer.train(resume_from_checkpoint=str(last) if last else None)
    return _keep(checkpoints, config, language, run)


def _keep(checkpoints: Path, config: GrpoConfig, grammar: Path, run: Run) -> Path:
    if PartialState().is_main_process:
        run.save_policy(*mean_policy(checkpoints, config.steps, config.save_every, config.averaged), grammar)
    return run.folder


def mean_policy(checkpoints: Path, steps: int, every: int, count: int) -> tuple[PreTrainedModel, ProcessorMixin]:
    """The mean of the last `count` checkpoints up to `steps`, and its processor.

    Source: Averaging Weights Leads to Wider Optima and Better Generalization (UAI 2018).

    Raises:
        InputError: one of them is missing or not whole.
    """
    saved = [steps, *reversed(range(every, steps, every))][: max(1, count)]
    folders = [checkpoints / f"checkpoint-{step}" for step in saved]
    for folder in folders:
        if not is_whole(folder):
            raise InputError(f"'{folder}' is missing or not whole, and training is beyond it: delete '{checkpoints}' to begin again")
    model, processor, _ = load_any_policy(str(folders[0]))
    mean = {name: value.double() for name, value in model.state_dict().items() if value.is_floating_point()}
    for folder in folders[1:]:
        other = load_any_policy(str(folder))[0].state_dict()
        mean = {name: value + other[name] for name, value in mean.items()}
    kept = model.state_dict()
    model.load_state_dict(kept | {name: (value / len(folders)).to(kept[name].dtype) for name, value in mean.items()})
    return model, processor


def make_trainer(
    model: PreTrainedModel,
    processor: ProcessorMixin,
    data: Dataset,
    functions: list[Callable[..., list[float]]],
    weights: list[float],
    config: GrpoConfig,
    out: Path,
) -> GRPOTrainer:
    """TRL's trainer, set up for `faces` × `group` completions a step over all processes."""
    processes = PartialState().num_processes
    completions = config.faces * config.group
    if completions % processes:
        raise UsageError(f"{completions} completions a step do not divide among {processes} processes")
    ensure_head()
    settings = GRPOConfig(
        output_dir=str(out),
        per_device_train_batch_size=completions // processes,
        num_generations=config.group,
        max_completion_length=config.max_new_tokens,
        max_steps=config.steps,
        temperature=config.temperature,
        beta=config.beta,
        learning_rate=config.lr,
        lr_scheduler_type="constant_with_warmup",
        warmup_steps=10,
        reward_weights=weights,
        loss_type="grpo",
        logging_steps=5,
        save_steps=config.save_every,
        save_strategy="steps",
        seed=config.seed,
        use_cpu=not torch.cuda.is_available(),
        bf16=False,
        gradient_checkpointing=False,
        report_to=[],
        disable_tqdm=not sys.stderr.isatty(),
        generation_kwargs={"suppress_tokens": model.generation_config.suppress_tokens},
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        return Trainer(model=model, reward_funcs=functions, args=settings, train_dataset=data, processing_class=processor)


def configure(given: Path | None, overrides: list[str]) -> GrpoConfig:
    """The resolved configuration of an alignment."""
    return read_config(GrpoConfig, "grpo", given, overrides)
