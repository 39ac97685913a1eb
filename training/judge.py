"""The independent judge: whole rationale → one emotion. It measures; no reward and no verdict ever uses it.

It differs from the verifier in architecture (words and convolutions instead of word pieces and attention), in what it reads (the whole
rationale instead of a sentence), in what it says (one label instead of many) and in its faces (the other half of the training split). A
stricter one, `measured`, learns from sentences that were written from landmarks instead of the encoder's readings.

    python -m training judge --encoder runs/encoder --out runs/judge
    python -m training judge --encoder runs/encoder --out runs/judge-measured --set measured=true
"""

from __future__ import annotations

import random
import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from edge.language.labels import EMOTIONS_8
from training.data import FerPlus, load_ferplus
from training.encoder import load_encoder
from training.language import load_language
from training.run import Run, cosine_schedule, descend, load_checkpoint, progress, read_config
from training.verifier import halves
from training.views import look
from training.writer import Readings, Writer, at_random, facts_of, sentences_of, text_of

_WORD = re.compile(r"\[emotion\]|[a-z]+|[.,;!?]")
_WIDTHS = (1, 2, 3, 5)


@dataclass(frozen=True, slots=True)
class JudgeConfig:
    """Everything that decides a judge."""

    width: int
    channels: int
    max_words: int
    masked: float
    """Share of training rationales whose emotion words are hidden."""
    measured: bool
    """Write the rationales from landmarks instead of the encoder's readings."""
    epochs: int
    batch: int
    lr: float
    weight_decay: float
    seed: int


class Judge(nn.Module):
    """Word embeddings, convolutions of several widths, maximum over the text, one linear layer."""

    def __init__(self, words: dict[str, int], config: JudgeConfig) -> None:
        super().__init__()
        self.words, self.max_words = words, config.max_words
        self.register_buffer("prior", torch.full((len(EMOTIONS_8),), 1 / len(EMOTIONS_8)))
        self.embed = nn.Embedding(len(words) + 2, config.width, padding_idx=0)
        self.looks = nn.ModuleList(nn.Conv1d(config.width, config.channels, k, padding=k // 2) for k in _WIDTHS)
        self.answer = nn.Sequential(nn.Dropout(0.3), nn.Linear(config.channels * len(_WIDTHS), len(EMOTIONS_8)))

    def ids(self, texts: list[str]) -> torch.Tensor:
        """Word numbers `[N,max_words]`: 0 pads, 1 is an unknown word."""
        rows = [[self.words.get(w, 1) for w in _WORD.findall(text.lower())][: self.max_words] for text in texts]
        return torch.tensor([row + [0] * (self.max_words - len(row)) for row in rows])

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        """`[N,W]` → logits `[N,8]`."""
        x = self.embed(ids).transpose(1, 2)
        return self.answer(torch.cat([F.relu(look(x)).amax(2) for look in self.looks], 1))

    @torch.no_grad()
    def read(self, texts: list[str], *, even_handed: bool = False, batch: int = 512) -> np.ndarray:
        """The label that each rationale speaks for, `[N]`; −1 for an empty one.

        The most probable one as the training faces have it, where every third is neutral; `even_handed`: the one that the text makes more
        likely than any other, base rates divided out.
        """
        self.eval()
        found = [self(self.ids(texts[i : i + batch])) for i in range(0, len(texts), batch)]
        logits = torch.cat(found) if found else torch.zeros(0, len(EMOTIONS_8))
        answers = (logits - self.prior.log() if even_handed else logits).argmax(1).numpy()
        return np.where([bool(text) for text in texts], answers, -1)


class RationaleWriter:
    """Writes rationales of faces from their cues, each with an answer drawn from the crowd's votes."""

    def __init__(self, writer: Writer, faces: FerPlus, readings: Readings, seed: int) -> None:
        known = np.isfinite(readings.cues).all(1)
        self.writer = writer
        self.readings = Readings(readings.cues[known], readings.pose[known], readings.probabilities[known])
        self.target, self.label = faces.target[known], faces.label[known]
        self.rng = random.Random(seed)

    def __len__(self) -> int:
        return len(self.readings)

    def write(self, face: int, emotion: int, masked: bool) -> str:
        """One rationale."""
        phrases = self.writer.write(facts_of(self.readings, face), EMOTIONS_8[emotion], at_random(self.rng))
        # masked: without the conclusion, whose form alone tells a neutral face from the others
        return " ".join(s.text for s in sentences_of(phrases)) if masked else text_of(phrases)


def train(folder: Path, out: Path, config: JudgeConfig, *, encoder: str, grammar: str) -> Path:
    """Train a judge; write the run to `out`."""
    run = Run(out, config, seed=config.seed)
    network, cue_model = load_encoder(Path(encoder))
    language = Writer(load_language(grammar))
    train_half, valid = halves(load_ferplus(folder, "train"))[1], load_ferplus(folder, "valid")
    valid = valid.take(valid.label >= 0)

    def about(faces: FerPlus) -> RationaleWriter:
        readings = look(network, faces, cue_model, 0, config.seed).readings()
        if config.measured:
            readings = Readings(*cue_model.measure(faces.landmarks, faces.point_index), readings.probabilities)
        return RationaleWriter(language, faces, readings, config.seed)

    writer, valid_writer = about(train_half), about(valid)

    def lesson(rows: list[int]) -> tuple[list[str], np.ndarray]:
        """Masked rationales speak for the crowd's votes; plain ones for what they name."""
        texts, targets = [], []
        for face in rows:
            masked = writer.rng.random() < config.masked
            emotion = writer.rng.choices(range(len(EMOTIONS_8)), writer.target[face])[0]
            texts.append(writer.write(face, emotion, masked))
            targets.append(writer.target[face] if masked else np.eye(len(EMOTIONS_8), dtype=np.float32)[emotion])
        return texts, np.stack(targets)

    seen = Counter(word for face in range(len(writer)) for word in _WORD.findall(lesson([face])[0][0].lower()))
    model = Judge({word: i + 2 for i, word in enumerate(sorted(w for w, n in seen.items() if n > 1))}, config)
    model.prior.copy_(torch.from_numpy(writer.target.mean(0)))
    optimizer = torch.optim.AdamW(model.parameters(), lr=config.lr, weight_decay=config.weight_decay)
    steps = max(1, len(writer) // config.batch)
    schedule = cosine_schedule(optimizer, config.epochs * steps, min(100, steps))
    for epoch in range(config.epochs):
        model.train()
        order, total = writer.rng.sample(range(len(writer)), len(writer)), 0.0
        for step in progress(range(steps), f"epoch {epoch}"):
            texts, targets = lesson(order[step * config.batch : (step + 1) * config.batch])
            loss = F.cross_entropy(model(model.ids(texts)), torch.from_numpy(targets))
            descend(loss, optimizer, schedule)
            total += loss.item()
        masked, plain = (
            [valid_writer.write(i, int(valid_writer.label[i]), hide) for i in range(len(valid_writer))] for hide in (True, False)
        )
        accuracy = {
            f"{name}_accuracy": float((model.read(t) == valid_writer.label).mean()) for name, t in (("masked", masked), ("plain", plain))
        }
        run.metrics(epoch=epoch, loss=total / steps, **accuracy)
        run.save(state=model.state_dict(), words=model.words)
    return out


def load_judge(folder: Path) -> Judge:
    """Load a trained judge."""
    checkpoint = load_checkpoint(folder)
    model = Judge(checkpoint["words"], JudgeConfig(**checkpoint["record"]["config"]))
    model.load_state_dict(checkpoint["state"])
    return model.eval()


def configure(given: Path | None, overrides: list[str]) -> JudgeConfig:
    """The resolved configuration of a judge."""
    return read_config(JudgeConfig, "judge", given, overrides)
