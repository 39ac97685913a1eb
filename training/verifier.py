"""The verifier: one sentence → a probability per emotion, and the cues that it claims.

It learns what evidence speaks for from the faces themselves: a written sentence about a face has that face's crowd votes as its target, so
that a clause's probabilities come to be those of the faces it is true of. GoEmotions teaches the words. Negated sentences, emotion words
among foreign cues and masked names are there as hard negatives.

    python -m training verifier --encoder runs/encoder --out runs/verifier
"""

from __future__ import annotations

import copy
import random
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers
from torch import nn
from torch.nn import functional as F
from transformers import BertConfig, BertModel

from edge.labels import EMOTIONS_8, EMOTIONS_11, mask_emotions
from training.cues import CUE_NAMES
from training.data import load_ferplus, load_goemotions
from training.encoder import load_encoder
from training.run import Run, cosine_schedule, load_checkpoint, progress, read_config
from training.views import look
from training.writer import Sentence, name_emotion, write_evidence

#: GoEmotions → the eleven labels. Left out, for want of a counterpart: admiration, approval, caring, confusion, curiosity, desire,
#: gratitude, love, optimism, pride, realization, relief, embarrassment, remorse.
GOEMOTIONS = {
    "neutral": "neutral", "joy": "happiness", "amusement": "happiness", "excitement": "happiness", "surprise": "surprise",
    "sadness": "sadness", "grief": "sadness", "anger": "anger", "annoyance": "anger", "disgust": "disgust", "fear": "fear",
    "disapproval": "contempt", "nervousness": "anxiety", "disappointment": "disappointment",
}  # fmt: skip
PAD, CLS = 0, 1


@dataclass(frozen=True, slots=True)
class VerifierConfig:
    """Everything that decides a verifier run."""

    hidden: int
    layers: int
    heads: int
    intermediate: int
    vocabulary: int
    max_tokens: int
    """Longer sentences are cut."""
    epochs: int
    batch: int
    lr: float
    weight_decay: float
    comment_share: float
    """Share of GoEmotions comments in every batch."""
    seed: int


class Verifier(nn.Module):
    """A small BERT with two heads, reading the mean of its token states."""

    def __init__(self, config: VerifierConfig, vocabulary: int) -> None:
        super().__init__()
        self.bert = BertModel(
            BertConfig(
                vocab_size=vocabulary,
                hidden_size=config.hidden,
                num_hidden_layers=config.layers,
                num_attention_heads=config.heads,
                intermediate_size=config.intermediate,
                max_position_embeddings=config.max_tokens,
                type_vocab_size=1,
            ),
            add_pooling_layer=False,
        )
        self.emotions = nn.Linear(config.hidden, len(EMOTIONS_11))
        self.claims = nn.Linear(config.hidden, len(CUE_NAMES) * 2)

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Read sentences.

        Args:
            input_ids: `[S,L]` int64.
            attention_mask: `[S,L]` int64, 1 for tokens and 0 for padding.

        Returns:
            Logits of emotions `[S,11]` and of claims `[S,C,2]` (last axis: claimed above, below neutral).
        """
        states = self.bert(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        weight = attention_mask[..., None].to(states.dtype)
        pooled = (states * weight).sum(1) / weight.sum(1).clamp(min=1)
        return self.emotions(pooled), self.claims(pooled).reshape(-1, len(CUE_NAMES), 2)


@dataclass(frozen=True, slots=True)
class Example:
    """A sentence and what it should read as."""

    text: str
    emotions: np.ndarray
    """`[11]` soft multi-label target."""
    claims: tuple[tuple[str, int], ...] = ()


class SentenceWriter:
    """Draws training sentences about faces: plain, joined, named, stuffed, negated, masked."""

    def __init__(self, cues: np.ndarray, pose: np.ndarray, votes: np.ndarray, seed: int) -> None:
        self.cues, self.pose = cues, pose
        self.votes = np.pad(votes, ((0, 0), (0, len(EMOTIONS_11) - votes.shape[1]))).astype(np.float32)
        self.prior = self.votes.mean(0)
        self.rng = random.Random(seed)

    def evidence(self, face: int) -> list[Sentence]:
        """Sentences about what is visible on a face."""
        cues = dict(zip(CUE_NAMES, map(float, self.cues[face]), strict=True))
        return write_evidence(cues, tuple(map(float, self.pose[face])), self.rng)

    def draw(self, face: int) -> Example:
        """One example about a face."""
        rng, votes = self.rng, self.votes[face]
        sentences = self.evidence(face)
        one = rng.choice(sentences)
        kind = rng.random()
        if kind < 0.62:
            if rng.random() < 0.3:
                return Example(" ".join(s.text for s in sentences), votes, tuple(c for s in sentences for c in s.claims))
            return Example(one.text, votes, one.claims)
        emotion = rng.choice(EMOTIONS_11)
        if kind < 0.74:  # the emotion named, and nothing else
            named = name_emotion(emotion, rng.choice((0.4, 0.9)), rng).text
            if rng.random() < 0.5:
                return Example(mask_emotions(named), self.prior)
            return Example(named, np.eye(len(EMOTIONS_11), dtype=np.float32)[EMOTIONS_11.index(emotion)])
        if kind < 0.86:  # an emotion word among cues that it has nothing to do with: the evidence counts
            ending = rng.choice((", which shows {}", ", a sign of {}", ", so this is {}", ", as in {}")).format(emotion)
            text = one.text[:-1] + (ending if rng.random() < 0.6 else mask_emotions(ending)) + "."
            return Example(text, votes, one.claims)
        return Example(negate(one.text, rng), self.prior)


def negate(text: str, rng: random.Random) -> str:
    """Deny what a written sentence says."""
    for verb in (" is ", " are "):
        if verb in text and rng.random() < 0.7:
            return text.replace(verb, verb + rng.choice(("not ", "not ", "never ", "by no means ")))
    start = rng.choice(("It is not true that ", "There is no sign that ", "At no time can one say that ", "It is not the case that "))
    return start + text[0].lower() + text[1:]


def comments(folder: Path, split: str, rng: random.Random) -> list[Example]:
    """GoEmotions comments with at least one mapped label; a third of them masked, then without a target of their own words."""
    examples = []
    for text, names in load_goemotions(folder, split):
        target = np.zeros(len(EMOTIONS_11), np.float32)
        target[[EMOTIONS_11.index(GOEMOTIONS[n]) for n in names if n in GOEMOTIONS]] = 1
        if target.any():
            examples.append(Example(mask_emotions(text) if rng.random() < 0.33 else text, target))
    return examples


def make_tokenizer(texts: list[str], vocabulary: int, max_tokens: int) -> Tokenizer:
    """Train a lower-case WordPiece tokenizer that puts `[CLS]` first and cuts at `max_tokens`."""
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    special = ["[PAD]", "[CLS]", "[UNK]", "[emotion]"]
    tokenizer.train_from_iterator(texts, trainers.WordPieceTrainer(vocab_size=vocabulary, special_tokens=special, show_progress=False))
    tokenizer.post_processor = processors.TemplateProcessing(single="[CLS] $A", special_tokens=[("[CLS]", CLS)])
    tokenizer.enable_truncation(max_tokens)
    tokenizer.enable_padding(pad_id=PAD, pad_token="[PAD]")
    return tokenizer


def encode(tokenizer: Tokenizer, examples: list[Example]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Ids, mask, emotion targets `[B,11]`, claim targets `[B,C,2]`."""
    batch = tokenizer.encode_batch([e.text for e in examples])
    claims = torch.zeros(len(examples), len(CUE_NAMES), 2)
    for row, example in enumerate(examples):
        for name, direction in example.claims:
            claims[row, CUE_NAMES.index(name), 0 if direction > 0 else 1] = 1
    ids, mask = torch.tensor([b.ids for b in batch]), torch.tensor([b.attention_mask for b in batch])
    return ids, mask, torch.from_numpy(np.stack([e.emotions for e in examples])), claims


@torch.no_grad()
def evaluate(model: Verifier, tokenizer: Tokenizer, writer: SentenceWriter, label: np.ndarray, talk: list[Example]) -> dict[str, float]:
    """On validation faces and comments: emotion accuracy of masked evidence, exactness of claims, macro F1 of comments."""
    model = copy.deepcopy(model).cpu().eval()
    faces = np.flatnonzero(label >= 0)
    sentences = [writer.evidence(int(i)) for i in faces]
    whole = [Example(" ".join(s.text for s in group), writer.prior, tuple(c for s in group for c in s.claims)) for group in sentences]
    emotions, claims, truth = [], [], []
    for start in range(0, len(whole), 512):
        ids, mask, _, target = encode(tokenizer, whole[start : start + 512])
        a, b = model(ids, mask)
        emotions.append(a[:, : len(EMOTIONS_8)])
        claims.append(b > 0)
        truth.append(target > 0)
    found, true = torch.cat(claims), torch.cat(truth)
    guess, wanted = [], []
    for start in range(0, len(talk), 512):
        ids, mask, target, _ = encode(tokenizer, talk[start : start + 512])
        guess.append(model(ids, mask)[0].sigmoid() > 0.3)
        wanted.append(target > 0.5)
    g, w = torch.cat(guess), torch.cat(wanted)
    present = w.any(0)
    f1 = 2 * (g & w).sum(0) / (g.sum(0) + w.sum(0)).clamp(min=1)
    return {
        "evidence_accuracy": float((torch.cat(emotions).argmax(1).numpy() == label[faces]).mean()),
        "claims_exact": float((found == true).all((1, 2)).float().mean()),
        "comments_macro_f1": float(f1[present].mean()),
    }


def train(folder: Path, out: Path, config: VerifierConfig, *, encoder: Path) -> Path:
    """Train a verifier; write the run and its tokenizer to `out`."""
    run = Run(out, config, seed=config.seed)
    network, cue_model = load_encoder(encoder)
    writers, labels = {}, {}
    for split in ("train", "valid"):
        faces = load_ferplus(folder, split)
        faces = faces.take(faces.votes.sum(1) >= 3)
        read = look(network, faces, cue_model, 0, config.seed)
        writers[split] = SentenceWriter(read.cues[:, 0].numpy(), read.pose[:, 0].numpy(), faces.target, config.seed)
        labels[split] = faces.label
    writer, rng = writers["train"], random.Random(config.seed)
    talk, valid_talk = comments(folder, "train", rng), comments(folder, "dev", rng)
    count = len(writer.votes)
    texts = [writer.draw(i).text for i in range(count)] * 2 + [e.text for e in talk]
    tokenizer = make_tokenizer(texts, config.vocabulary, config.max_tokens)
    tokenizer.save(str(out / "verifier_tokenizer.json"))

    model = Verifier(config, tokenizer.get_vocab_size()).to(run.device)
    optimizer = torch.optim.AdamW(model.parameters(), lr=config.lr, weight_decay=config.weight_decay)
    written = int(config.batch * (1 - config.comment_share))
    steps = count // written
    schedule = cosine_schedule(optimizer, config.epochs * steps, min(200, config.epochs * steps // 5))
    for epoch in range(config.epochs):
        model.train()
        order, total = rng.sample(range(count), count), 0.0
        for step in progress(range(steps), f"epoch {epoch}"):
            examples = [writer.draw(i) for i in order[step * written : (step + 1) * written]]
            examples += rng.choices(talk, k=config.batch - written)
            ids, mask, emotions, claims = (t.to(run.device) for t in encode(tokenizer, examples))
            found, claimed = model(ids, mask)
            # summed over classes, so that a sentence counts as one whatever the number of labels; comments claim nothing
            loss = F.binary_cross_entropy_with_logits(found, emotions, reduction="none").sum(1).mean()
            loss = loss + F.binary_cross_entropy_with_logits(claimed, claims, reduction="none").sum((1, 2)).mean()
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            total += loss.item()
        run.metrics(epoch=epoch, loss=total / steps, **evaluate(model, tokenizer, writers["valid"], labels["valid"], valid_talk))
        run.save(state=model.state_dict(), vocabulary=tokenizer.get_vocab_size())
    return out


def load_verifier(folder: Path) -> tuple[Verifier, Tokenizer]:
    """Load a trained verifier and its tokenizer."""
    checkpoint = load_checkpoint(folder)
    model = Verifier(VerifierConfig(**checkpoint["record"]["config"]), checkpoint["vocabulary"])
    model.load_state_dict(checkpoint["state"])
    return model.eval(), Tokenizer.from_file(str(folder / "verifier_tokenizer.json"))


def configure(given: Path | None, overrides: list[str]) -> VerifierConfig:
    """The resolved verifier configuration."""
    return read_config(VerifierConfig, "verifier", given, overrides)
