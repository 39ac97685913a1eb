"""The foreign judge: a sentence encoder of one's choice with a linear head, which has never read the language of rationales.

The head is taught on half of the explanations that a large model wrote of other faces (MERR), emotion words masked, and tried on the other
half: on their sentences about the face, since most others tell of voices and words, and no rationale does. Every label weighs the same, and
the decay of its weights is the one that four folds of the taught half ask for. It measures; nothing of it is shipped.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional as F
from transformers import AutoModel, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase

from benchmarks.command import Figures
from edge.errors import InputError
from edge.language.labels import EMOTIONS_8, mask_emotions
from edge.language.rationale import split_sentences
from training.data import load_merr
from training.metrics import war_uar

_MASK = "something"
"""What the encoder reads in place of a masked word: its own placeholder would be no word to it."""
_DECAYS, _STEPS, _FOLDS = (1e-3, 1e-4, 1e-5, 1e-6), 300, 4
_FACE = re.compile(
    r"\b((eye)?brows?|eyes?|(eye)?lids?|mouth|lips?|smil\w*|grin\w*|cheeks?|jaw|nose|frown\w*|forehead|chin|furrowed|gaze|teeth)\b",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class ForeignJudge:
    """Rationale → the label that it speaks for, of those that the explanations have."""

    body: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    weight: torch.Tensor
    """`[8,D]`; labels that the explanations lack are never answered."""
    bias: torch.Tensor
    """`[8]`."""
    tried: Figures
    """`taught`, `tried`: sentences; `accuracy`, `macro_accuracy` on the latter; `answers`: the labels it knows."""

    def read(self, texts: list[str]) -> np.ndarray:
        """The label of each text `[N]`, emotion words hidden or not as they come; −1 for an empty one."""
        scores = embed(self.body, self.tokenizer, texts) @ self.weight.T + self.bias
        return np.where([bool(text) for text in texts], scores.argmax(1).numpy(), -1)


def teach(encoder: str, data: Path, seed: int = 0) -> ForeignJudge:
    """Load a sentence encoder by folder or hub name and teach its head; `InputError` where it or the explanations are missing."""
    try:
        body, tokenizer = AutoModel.from_pretrained(encoder).eval(), AutoTokenizer.from_pretrained(encoder)
    except (OSError, ValueError) as error:
        raise InputError(f"--foreign: cannot load the sentence encoder '{encoder}': {str(error).splitlines()[0]}") from None
    told = [(text, EMOTIONS_8.index(label)) for text, label in load_merr(data) if label in EMOTIONS_8]
    taught = set(np.random.default_rng(seed).permutation(len(told))[: len(told) // 2].tolist())
    said = [(s, label, i in taught) for i, (text, label) in enumerate(told) for s in split_sentences(text) if _FACE.search(s)]
    seen = embed(body, tokenizer, [mask_emotions(sentence) for sentence, _, _ in said])
    label = torch.tensor([number for _, number, _ in said])
    half = torch.tensor([side for _, _, side in said])
    first, second = half.nonzero()[:, 0], (~half).nonzero()[:, 0]
    decay = _choose(seen[first], label[first], seed)
    weight, bias = _fit(seen[first], label[first], decay)
    answer = (seen[second] @ weight.T + bias).argmax(1)
    war, uar = war_uar(label[second].numpy(), answer.numpy(), len(EMOTIONS_8))
    known = sorted(set(label[first].tolist()))
    tried = {"taught": len(first), "tried": len(second), "accuracy": war, "macro_accuracy": uar, "decay": decay}
    tried["answers"] = [EMOTIONS_8[i] for i in known]
    return ForeignJudge(body, tokenizer, weight, bias, tried)


@torch.no_grad()
def embed(body: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, texts: list[str], batch: int = 128) -> torch.Tensor:
    """The mean of the token states of each text, of unit length, `[N,D]`; like texts are read once."""
    different = sorted(set(texts), key=len)
    longest = min(256, body.config.max_position_embeddings)
    parts = []
    for start in range(0, len(different), batch):
        group = [text.replace("[emotion]", _MASK) for text in different[start : start + batch]]
        given = tokenizer(group, padding=True, truncation=True, max_length=longest, return_tensors="pt")
        states = body(**given).last_hidden_state
        mask = given["attention_mask"][..., None].to(states.dtype)
        parts.append(F.normalize((states * mask).sum(1) / mask.sum(1).clamp(min=1), dim=1))
    row = {text: i for i, text in enumerate(different)}
    every = torch.cat(parts) if parts else torch.zeros(0, body.config.hidden_size)
    return every[[row[text] for text in texts]]


def _choose(seen: torch.Tensor, label: torch.Tensor, seed: int) -> float:
    """The decay with the best mean accuracy over labels, of sentences that were left out."""
    fold = torch.from_numpy(np.random.default_rng(seed).integers(0, _FOLDS, len(label)))

    def worth(decay: float) -> float:
        answer = torch.zeros_like(label)
        for out in range(_FOLDS):
            weight, bias = _fit(seen[fold != out], label[fold != out], decay)
            answer[fold == out] = (seen[fold == out] @ weight.T + bias).argmax(1)
        return war_uar(label.numpy(), answer.numpy(), len(EMOTIONS_8))[1]

    return max(_DECAYS, key=worth)


def _fit(seen: torch.Tensor, label: torch.Tensor, decay: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Logistic regression on labels of equal weight; one that never occurs is never answered."""
    weight = torch.zeros(len(EMOTIONS_8), seen.shape[1], requires_grad=True)
    bias = torch.zeros(len(EMOTIONS_8), requires_grad=True)
    counts = torch.bincount(label, minlength=len(EMOTIONS_8))
    absent = torch.where(counts > 0, 0.0, -torch.inf)
    share = len(label) / (counts.clamp(min=1) * (counts > 0).sum())
    optimizer = torch.optim.LBFGS([weight, bias], max_iter=_STEPS, line_search_fn="strong_wolfe")

    def loss() -> torch.Tensor:
        optimizer.zero_grad()
        each = F.cross_entropy(seen @ weight.T + bias + absent, label, reduction="none")
        found = (share[label] * each).mean() + decay * weight.square().sum()
        found.backward()
        return found

    optimizer.step(loss)
    return weight.detach(), bias.detach() + absent
