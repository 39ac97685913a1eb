"""Cold start of a large policy: a Hugging Face vision-language model learns the form and the words, on TRL's supervised trainer.

python -m training large --policy FOLDER --data ../shared/data --out runs/large
python -m training large --policy FOLDER --set 'dataset="dfew"' --data DFEW --out runs/large
python -m training grpo --policy runs/large/policy --out runs/large-grpo
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import torch
from accelerate import PartialState
from datasets import Dataset
from trl import SFTConfig, SFTTrainer

from edge.errors import UsageError
from edge.language.grammar import FILE
from edge.language.labels import EMOTIONS_8
from training.checkpoints import Seal, last_whole
from training.examples import Example, read_examples
from training.models import instruction, load_any_policy
from training.run import Run, read_config
from training.trl_head import ensure_head


@dataclass(frozen=True, slots=True)
class LargeConfig:
    """Everything that decides a large policy's cold start."""

    dataset: str
    """`ferplus`, `dfew` or `mafw`."""
    fold: int
    """Of DFEW and MAFW."""
    frames: int
    """Pictures per clip, evenly spaced; FER+ has one."""
    limit: int
    """Examples, from the first; 0 takes all."""
    epochs: float
    batch: int
    lr: float
    seed: int


def conversations(examples: list[Example], labels: tuple[str, ...]) -> Dataset:
    """Rows as TRL's trainers take them: pictures, the question, the written completion."""
    question = instruction(labels)
    return Dataset.from_dict(
        {
            "images": [example.pictures for example in examples],
            "prompt": [[{"role": "user", "content": question}]] * len(examples),
            "completion": [[{"role": "assistant", "content": example.completion}] for example in examples],
        }
    )


def train(folder: Path, out: Path, config: LargeConfig, *, encoder: str, grammar: str, policy: str) -> Path:
    """Fine-tune `policy` on written rationales; write the run and the policy (`policy/`) to `out`.

    Raises:
        UsageError: the policy is the tiny one, whose cold start is `training sft`.
    """
    model, processor, tiny = load_any_policy(policy)
    if tiny:
        raise UsageError(f"'{policy}' is the tiny policy: its cold start is `python -m training sft`")
    ensure_head()
    run = Run(out, config, seed=config.seed)
    examples = read_examples(
        folder, "train", config.dataset, Path(encoder), grammar, fold=config.fold, frames=config.frames, limit=config.limit
    )
    settings = SFTConfig(
        output_dir=str(out / "checkpoints"),
        num_train_epochs=config.epochs,
        per_device_train_batch_size=config.batch,
        learning_rate=config.lr,
        max_length=None,
        seed=config.seed,
        use_cpu=not torch.cuda.is_available(),
        bf16=torch.cuda.is_available(),
        gradient_checkpointing=torch.cuda.is_available(),
        logging_steps=10,
        save_strategy="epoch",
        report_to=[],
        disable_tqdm=not sys.stderr.isatty(),
    )
    trainer = SFTTrainer(model=model, args=settings, train_dataset=conversations(examples, EMOTIONS_8), processing_class=processor)
    trainer.add_callback(Seal())
    last = last_whole(out / "checkpoints")
    done = trainer.train(resume_from_checkpoint=str(last) if last else None)
    if PartialState().is_main_process:
        run.metrics(loss=float(done.training_loss), steps=done.global_step)
        run.save_policy(trainer.model, processor, Path(grammar) / FILE)
    return out


def configure(given: Path | None, overrides: list[str]) -> LargeConfig:
    """The resolved configuration."""
    return read_config(LargeConfig, "large", given, overrides)
