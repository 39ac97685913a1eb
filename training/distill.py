"""The small verifier that ships: distilled from the teacher on written sentences and on teacher-scored text of wider variety.

python -m training distill --teacher runs/teacher --encoder runs/encoder --out runs/verifier
"""

from __future__ import annotations

import logging
import random
from dataclasses import dataclass
from pathlib import Path

from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers
from transformers import AutoModel, BertConfig

from training.run import Run, read_config
from training.sentences import wider_text
from training.verifier import Lesson, Material, Verifier, VerifierConfig, fit, gather, load_verifier, read_texts, without_pooler

log = logging.getLogger(__name__)
PAD, CLS = 0, 1


@dataclass(frozen=True, slots=True)
class DistillConfig:
    """Everything that decides a distillation."""

    hidden: int
    layers: int
    heads: int
    intermediate: int
    vocabulary: int
    max_tokens: int
    wider: int
    """Texts without a target of their own, which the teacher scores."""
    written: int
    """Written sentences whose target is the mean of the teacher's and their own."""
    steps: int
    batch: int
    lr: float
    weight_decay: float
    comment_share: float
    seed: int


def make_tokenizer(texts: list[str], vocabulary: int, max_tokens: int) -> Tokenizer:
    """Train a lower-case WordPiece tokenizer that puts `[CLS]` first and cuts at `max_tokens`."""
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    special = ["[PAD]", "[CLS]", "[UNK]", "[emotion]"]
    trainer = trainers.WordPieceTrainer(vocab_size=vocabulary, special_tokens=special, limit_alphabet=60, show_progress=False)
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(single="[CLS] $A", special_tokens=[("[CLS]", CLS)])
    tokenizer.enable_truncation(max_tokens)
    tokenizer.enable_padding(pad_id=PAD, pad_token="[PAD]")
    return tokenizer


def small_verifier(config: DistillConfig, words: int) -> Verifier:
    """An untrained verifier for a vocabulary of so many words."""
    shape = BertConfig(
        vocab_size=words,
        hidden_size=config.hidden,
        num_hidden_layers=config.layers,
        num_attention_heads=config.heads,
        intermediate_size=config.intermediate,
        max_position_embeddings=config.max_tokens,
        type_vocab_size=1,
    )
    return Verifier(without_pooler(AutoModel.from_config(shape)))


def teach(teacher: Path, folder: Path, material: Material, config: DistillConfig) -> list[Lesson]:
    """Let the teacher score written sentences and wider text."""
    model, tokenizer = load_verifier(teacher)
    own = material.draw(config.written, 0, random.Random(config.seed))
    wider = wider_text(folder, config.wider, random.Random(config.seed))
    read, n = read_texts(model, tokenizer, own.texts + wider), config.written
    return [
        Lesson(own.texts, (own.emotions + read.emotions[:n]) / 2, (own.claims + read.claims[:n]) / 2, (own.covered + read.covered[:n]) / 2),
        Lesson(wider, read.emotions[n:], read.claims[n:], read.covered[n:]),
    ]


def train(folder: Path, out: Path, config: DistillConfig, *, encoder: str, grammar: str, teacher: str) -> Path:
    """Distil the teacher's run into a small verifier; write the run to `out`."""
    run = Run(out, config, seed=config.seed)
    material = gather(folder, encoder, grammar, config.seed)
    lessons = teach(Path(teacher), folder, material, config)
    texts = [text for lesson in lessons for text in lesson.texts] + [e.text for e in material.talk]
    tokenizer = make_tokenizer(texts, config.vocabulary, config.max_tokens)
    model = small_verifier(config, tokenizer.get_vocab_size()).to(run.device)
    log.info("%.2f M parameters", sum(p.numel() for p in model.parameters()) / 1e6)
    plan = VerifierConfig(
        config.max_tokens, config.steps, config.batch, config.lr, config.weight_decay, config.comment_share, False, config.seed
    )
    fit(run, model, tokenizer, material, lessons, plan)
    return out


def configure(given: Path | None, overrides: list[str]) -> DistillConfig:
    """The resolved configuration of a distillation."""
    return read_config(DistillConfig, "distill", given, overrides)
