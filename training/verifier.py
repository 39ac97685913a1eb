"""The verifier: one sentence → a probability per emotion, the cues that it claims, and whether that is all that it says.

Here a text encoder of any size, given by name or folder, becomes the teacher; `training distill` makes the small one that ships.

    python -m training verifier --teacher FOLDER --encoder runs/encoder --out runs/teacher
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from tokenizers import Tokenizer
from torch import nn
from torch.nn import functional as F
from transformers import AutoConfig, AutoModel, AutoTokenizer, PretrainedConfig, PreTrainedModel

from edge.errors import InputError
from edge.language.labels import EMOTIONS_8, EMOTIONS_11, mask_emotions
from edge.language.rationale import split_sentences
from edge.language.verdict import FLOOR
from edge.language.verifier import DIRECTIONS, SentenceReading
from training.cues import CUE_NAMES
from training.data import FerPlus, load_ferplus, load_merr
from training.encoder import load_encoder
from training.language import load_language
from training.metrics import war_uar
from training.run import Run, cosine_schedule, descend, in_two, load_checkpoint, progress, read_config
from training.sentences import Example, SentenceWriter, comments, spoil
from training.views import look
from training.writer import Writer

TOKENIZER = "verifier_tokenizer.json"
"""Where older runs have their tokenizer; now it lies with the weights that were trained for it."""
DRAWN = 3
"""Examples about each face."""


@dataclass(frozen=True, slots=True)
class VerifierConfig:
    """Everything that decides a teacher's run, its pretrained encoder aside."""

    max_tokens: int
    """Longer sentences are cut."""
    steps: int
    batch: int
    lr: float
    weight_decay: float
    comment_share: float
    """Share of GoEmotions comments in every batch."""
    frozen_embeddings: bool
    seed: int


class Verifier(nn.Module):
    """A text encoder with three heads, which read the mean of its token states."""

    def __init__(self, body: PreTrainedModel) -> None:
        super().__init__()
        self.body = body
        width = body.config.hidden_size
        self.emotions = nn.Linear(width, len(EMOTIONS_11))
        self.claims = nn.Linear(width, len(CUE_NAMES) * len(DIRECTIONS))
        self.covered = nn.Linear(width, 1)

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Read sentences.

        Args:
            input_ids: `[S,L]` int64.
            attention_mask: `[S,L]` int64, 1 for tokens and 0 for padding.

        Returns:
            Logits of emotions `[S,11]`, of claims `[S,C,3]` (last axis: above neutral, below, at rest), and of being covered `[S]`: a
            whole sentence that says nothing beyond those.
        """
        states = self.body(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        weight = attention_mask[..., None].to(states.dtype)
        pooled = (states * weight).sum(1) / weight.sum(1).clamp(min=1)
        return self.emotions(pooled), self.claims(pooled).reshape(-1, len(CUE_NAMES), len(DIRECTIONS)), self.covered(pooled)[:, 0]


@dataclass(frozen=True, slots=True)
class Lesson:
    """Texts with their targets."""

    texts: list[str]
    emotions: np.ndarray
    """`[N,11]` float32."""
    claims: np.ndarray
    """`[N,C,3]` float32."""
    covered: np.ndarray
    """`[N]` float32."""

    @classmethod
    def of(cls, examples: list[Example]) -> Lesson:
        """The targets that the examples were written with."""
        claims = np.zeros((len(examples), len(CUE_NAMES), len(DIRECTIONS)), np.float32)
        for row, example in enumerate(examples):
            for name, direction in example.claims:
                claims[row, CUE_NAMES.index(name), DIRECTIONS.index(direction)] = 1
        covered = np.array([e.covered for e in examples], np.float32)
        return cls([e.text for e in examples], np.stack([e.emotions for e in examples]), claims, covered)

    def __add__(self, other: Lesson) -> Lesson:
        pairs = ((self.emotions, other.emotions), (self.claims, other.claims), (self.covered, other.covered))
        return Lesson(self.texts + other.texts, *(np.concatenate(pair) for pair in pairs))

    def take(self, rows: list[int]) -> Lesson:
        """The chosen rows."""
        return Lesson([self.texts[i] for i in rows], self.emotions[rows], self.claims[rows], self.covered[rows])


@dataclass(frozen=True, slots=True)
class Material:
    """What a text model trains and is validated on."""

    written: list[Example]
    """About the faces of the verifier's half."""
    talk: list[Example]
    valid_writer: SentenceWriter
    valid_talk: list[Example]
    merr: list[tuple[str, str]]

    def draw(self, written: int, spoken: int, rng: random.Random) -> Lesson:
        """A lesson of sentences about random faces, and comments."""
        return Lesson.of(rng.choices(self.written, k=written) + rng.choices(self.talk, k=spoken))


def gather(folder: Path, encoder: str, grammar: str, seed: int) -> Material:
    """Read the faces of the verifier's half as the trained encoder sees them, the comments, and the explanations for validation."""
    network, cue_model = load_encoder(Path(encoder))
    writer = Writer(load_language(grammar))

    def about(faces: FerPlus) -> SentenceWriter:
        return SentenceWriter(writer, look(network, faces, cue_model, 0, seed).readings(), faces.target, seed)

    train = halves(load_ferplus(folder, "train"))[0]
    valid = load_ferplus(folder, "valid")
    valid = valid.take(valid.label >= 0)
    rng = random.Random(seed)
    written = draw_all(about(train), DRAWN)
    return Material(written, comments(folder, "train", rng), about(valid), comments(folder, "dev", rng), load_merr(folder))


def draw_all(writer: SentenceWriter, each: int) -> list[Example]:
    """So many examples about each face, drawn in two processes."""
    parts = [(writer, range(side, len(writer), 2), each) for side in (0, 1)]
    return [example for part in in_two(_draw, parts) for example in part]


def _draw(part: tuple[SentenceWriter, range, int]) -> list[Example]:
    writer, faces, each = part
    writer.rng.seed(f"{writer.rng.random()} {faces.start}")
    return [writer.draw(face) for face in faces for _ in range(each)]


def halves(faces: FerPlus) -> tuple[FerPlus, FerPlus]:
    """Faces with at least three votes, split in two: the verifier learns from the first half, the independent judge from the second."""
    faces = faces.take(faces.votes.sum(1) >= 3)
    side = np.random.default_rng(11).permutation(len(faces)) % 2
    return faces.take(side == 0), faces.take(side == 1)


def tensors(tokenizer: Tokenizer, texts: list[str], device: torch.device | str = "cpu") -> tuple[torch.Tensor, torch.Tensor]:
    """Ids and mask `[N,L]`."""
    batch = tokenizer.encode_batch(texts)
    return torch.tensor([b.ids for b in batch], device=device), torch.tensor([b.attention_mask for b in batch], device=device)


def loss_of(model: Verifier, tokenizer: Tokenizer, lesson: Lesson, device: torch.device) -> torch.Tensor:
    """Cross-entropy of all heads, summed over classes so that a sentence counts as one whatever the number of labels."""
    ids, mask = tensors(tokenizer, lesson.texts, device)
    with torch.autocast(device.type, torch.bfloat16):
        emotions, claims, covered = model(ids, mask)
    pairs = ((emotions, lesson.emotions), (claims, lesson.claims), (covered, lesson.covered))
    return sum(
        F.binary_cross_entropy_with_logits(found.float(), torch.from_numpy(wanted).to(device), reduction="sum") for found, wanted in pairs
    ) / len(lesson.texts)


@torch.no_grad()
def read_texts(model: Verifier, tokenizer: Tokenizer, texts: list[str], batch: int = 256) -> SentenceReading:
    """What the model reads in texts; those of like length are read together."""
    model.eval()
    device = next(model.parameters()).device
    emotions = np.zeros((len(texts), len(EMOTIONS_11)), np.float32)
    claims = np.zeros((len(texts), len(CUE_NAMES), len(DIRECTIONS)), np.float32)
    covered = np.zeros(len(texts), np.float32)
    order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
    for start in progress(range(0, len(texts), batch), "read"):
        rows = order[start : start + batch]
        with torch.autocast(device.type, torch.bfloat16):
            found = model(*tensors(tokenizer, [texts[i] for i in rows], device))
        emotions[rows], claims[rows], covered[rows] = (part.float().sigmoid().cpu().numpy() for part in found)
    return SentenceReading(emotions, claims, covered)


def evaluate(model: Verifier, tokenizer: Tokenizer, material: Material) -> dict[str, float]:
    """Emotion accuracy and exact claims of evidence about validation faces, macro F1 of comments, accuracy on foreign explanations."""
    writer = material.valid_writer
    groups = {i: group for i in range(len(writer)) if (group := writer.evidence(i))}
    written = Lesson.of(
        [Example(" ".join(s.text for s in group), writer.prior, tuple(c for s in group for c in s.claims)) for group in groups.values()]
    )
    read, talk = read_texts(model, tokenizer, written.texts), Lesson.of(material.valid_talk)
    guess, wanted = read_texts(model, tokenizer, talk.texts).emotions > 0.3, talk.emotions > 0.5
    present = wanted.any(0)
    f1 = 2 * (guess & wanted).sum(0) / np.maximum(guess.sum(0) + wanted.sum(0), 1)
    spoilt = read_texts(model, tokenizer, [spoil(text, writer.rng) for text in written.texts]).covered
    return {
        "evidence_accuracy": float((read.emotions[:, : len(EMOTIONS_8)].argmax(1) == writer.votes[list(groups)].argmax(1)).mean()),
        "claims_exact": float(((read.claims > 0.5) == (written.claims > 0)).all((1, 2)).mean()),
        "covered": float((read.covered > 0.5).mean()),
        "spoilt_covered": float((spoilt > 0.5).mean()),
        "comments_macro_f1": float(f1[present].mean()),
        **explanation_accuracy(model, tokenizer, material.merr),
    }


def prior_of(model: Verifier, tokenizer: Tokenizer, writer: SentenceWriter, faces: int = 1000) -> np.ndarray:
    """What a sentence that says nothing reads as: the mean over sentences of evidence, `[11]`."""
    written = [writer.evidence(i) for i in range(min(faces, len(writer)))]
    return read_texts(model, tokenizer, [s.text for group in written for s in group]).emotions.mean(0)


def explanation_accuracy(model: Verifier, tokenizer: Tokenizer, explanations: list[tuple[str, str]]) -> dict[str, float]:
    """Accuracy and macro accuracy of the label that an explanation's sentences make more likely than any other, plain and masked.

    The labels' base rates are left out, since those of other people's explanations differ: each sentence tells by how much it
    raises an emotion over its mean in all sentences, the sentences add up, and the highest of the labels that occur wins.
    """
    groups = [split_sentences(text) for text, _ in explanations]
    truth = np.array([EMOTIONS_11.index(label) for _, label in explanations])
    closed = np.isin(np.arange(len(EMOTIONS_11)), truth)
    ends = np.cumsum([len(group) for group in groups])[:-1]
    found = {}
    for prefix, hide in (("merr", str), ("masked_merr", mask_emotions)):
        emotions = read_texts(model, tokenizer, [hide(sentence) for group in groups for sentence in group]).emotions
        gain = np.log(np.maximum(emotions, FLOOR)) - np.log(np.maximum(emotions.mean(0), FLOOR))
        answer = np.array([np.where(closed, part.sum(0), -np.inf).argmax() for part in np.split(gain, ends)])
        found[f"{prefix}_accuracy"], found[f"{prefix}_macro_accuracy"] = war_uar(truth, answer, len(EMOTIONS_11))
    return found


def fit(run: Run, model: Verifier, tokenizer: Tokenizer, material: Material, lessons: list[Lesson], config: VerifierConfig) -> None:
    """Train on fresh lessons, to which rows of the given fixed lessons are added in equal number; measure ten times on the way."""
    learned = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(learned, lr=config.lr, weight_decay=config.weight_decay)
    schedule = cosine_schedule(optimizer, config.steps, min(200, config.steps // 5))
    spoken, rng, total = int(config.batch * config.comment_share), random.Random(config.seed), []
    for step in progress(range(1, config.steps + 1), "steps"):
        model.train()
        batch = material.draw(config.batch - spoken, spoken, rng)
        for fixed in lessons:
            batch = batch + fixed.take(rng.sample(range(len(fixed.texts)), min(config.batch, len(fixed.texts))))
        loss = loss_of(model, tokenizer, batch, run.device)
        descend(loss, optimizer, schedule, most=1.0)
        total.append(loss.item())
        if step % max(1, config.steps // 5) == 0:
            run.metrics(step=step, loss=float(np.mean(total)), **evaluate(model, tokenizer, material))
            total.clear()
            body, prior = model.body.config.to_dict(), prior_of(model, tokenizer, material.valid_writer)
            run.save(state=model.state_dict(), body=body, prior=prior, tokenizer=tokenizer.to_str())


def load_body(name: str) -> tuple[PreTrainedModel, Tokenizer]:
    """A pretrained text encoder and its tokenizer, by hub name or folder.

    Raises:
        InputError: it cannot be had, or has no fast tokenizer.
    """
    try:
        body, tokenizer = AutoModel.from_pretrained(name), AutoTokenizer.from_pretrained(name).backend_tokenizer
    except (OSError, ValueError, AttributeError) as error:
        raise InputError(f"cannot load the text encoder '{name}': {str(error).splitlines()[0]}") from None
    return without_pooler(body), tokenizer


def without_pooler(body: PreTrainedModel) -> PreTrainedModel:
    """Drop the pooler, which nothing here reads."""
    if getattr(body, "pooler", None) is not None:
        body.pooler = None
    return body


def train(folder: Path, out: Path, config: VerifierConfig, *, encoder: str, grammar: str, teacher: str) -> Path:
    """Fine-tune the text encoder `teacher`; write the run to `out`."""
    run = Run(out, config, seed=config.seed)
    body, tokenizer = load_body(teacher)
    tokenizer.enable_truncation(config.max_tokens)
    tokenizer.enable_padding(pad_id=body.config.pad_token_id or 0, pad_token=tokenizer.id_to_token(body.config.pad_token_id or 0))
    if config.frozen_embeddings:
        body.get_input_embeddings().requires_grad_(False)
    model = Verifier(body).to(run.device)
    fit(run, model, tokenizer, gather(folder, encoder, grammar, config.seed), [], config)
    return out


def load_verifier(folder: Path) -> tuple[Verifier, Tokenizer]:
    """Load a trained verifier, teacher or student, and its tokenizer."""
    checkpoint = load_checkpoint(folder)
    body: PretrainedConfig = AutoConfig.for_model(**checkpoint["body"])
    model = Verifier(without_pooler(AutoModel.from_config(body)))
    model.load_state_dict(checkpoint["state"])
    given = checkpoint.get("tokenizer")
    return model.eval(), Tokenizer.from_str(given) if given else Tokenizer.from_file(str(folder / TOKENIZER))


def configure(given: Path | None, overrides: list[str]) -> VerifierConfig:
    """The resolved configuration of a teacher."""
    return read_config(VerifierConfig, "verifier", given, overrides)
