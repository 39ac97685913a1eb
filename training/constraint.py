"""The grammar as a constraint on `generate`: what the policy may write next, for sampling, evaluation and alignment.

The runtime decodes the same way, without torch.
"""

from __future__ import annotations

from typing import Any

import torch
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
from transformers import LogitsProcessor, PreTrainedTokenizerFast

from edge.language.grammar import END, START, Grammar
from edge.language.labels import EMOTIONS_8
from edge.language.policy import phrase_ids
from edge.language.rationale import ANSWER, END_ANSWER, END_THINK, THINK

IMAGE_TOKEN = "<image>"
SPECIAL = ("<pad>", "<s>", "</s>", IMAGE_TOKEN, THINK, END_THINK, ANSWER, END_ANSWER)
_UNKNOWN = "<unk>"


def make_tokenizer(grammar: Grammar) -> PreTrainedTokenizerFast:
    """A tokenizer whose tokens are the grammar's phrases, the labels and the template's tags; text of the grammar is cut at its phrases."""
    pieces = [*(phrase.text for phrase in grammar.phrases), *EMOTIONS_8]
    words = [*SPECIAL, _UNKNOWN, *dict.fromkeys(pieces)]
    tokenizer = Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}, unk_token=_UNKNOWN))
    longest = sorted(dict.fromkeys((*pieces, *SPECIAL)), key=len, reverse=True)
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex("|".join(map(_escape, longest))), "isolated")
    tokenizer.decoder = decoders.Fuse()
    return wrapped(tokenizer)


def wrapped(tokenizer: Tokenizer) -> PreTrainedTokenizerFast:
    """Such a tokenizer with the interface of `transformers`."""
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=SPECIAL[0],
        bos_token=SPECIAL[1],
        eos_token=SPECIAL[2],
        unk_token=_UNKNOWN,
        additional_special_tokens=list(SPECIAL[3:]),
        padding_side="right",
        model_input_names=["input_ids", "attention_mask"],
        clean_up_tokenization_spaces=False,
    )


def _escape(text: str) -> str:
    return "".join(f"\\{letter}" if letter in ".^$*+?()[]{}|\\/-" else letter for letter in text)


class Template:
    """Completions as token ids: the tags around the phrases, and the answer that they come to."""

    def __init__(self, grammar: Grammar, tokenizer: PreTrainedTokenizerFast) -> None:
        self.grammar = grammar
        self.phrases, self.think = phrase_ids(tokenizer.backend_tokenizer, grammar)
        self.number = {int(token): i for i, token in enumerate(self.phrases)}
        one = tokenizer.convert_tokens_to_ids
        self.eos = tokenizer.eos_token_id
        self.tails = {label: [one(END_THINK), one(ANSWER), one(label), one(END_ANSWER), self.eos] for label in EMOTIONS_8}

    def ids(self, numbers: list[int]) -> list[int]:
        """A whole completion, end token included, from the numbers of its phrases."""
        return [self.think, *(int(self.phrases[i]) for i in numbers), *self.tails[self.grammar.conclusion(numbers)]]


class GrammarLogits(LogitsProcessor):
    """Lets `generate` choose among the grammar's ways on, and nothing else."""

    def __init__(self, template: Template) -> None:
        self.template, self.scope = template, template.grammar.scope()
        self._known: dict[tuple[int, ...], tuple[str, int]] = {(): (START, 0)}
        self._open: dict[tuple[str, int], list[int]] = {}

    def __call__(self, input_ids: torch.LongTensor, scores: torch.FloatTensor) -> torch.FloatTensor:
        """Mask the scores `[N,V]` after the ids `[N,L]`, prompt included."""
        masked = torch.full_like(scores, -torch.inf)
        for row, ids in enumerate(input_ids.tolist()):
            allowed = self.options(ids)
            masked[row, allowed] = scores[row, allowed]
        return masked

    def spread(self, logits: torch.Tensor, input_ids: torch.Tensor) -> torch.Tensor:
        """Log-probabilities `[N,T,V]` of the ways on, as they are sampled, from the logits of the last T ids of `[N,L]`.

        What may not follow has none (−∞); what stands after the end is certain.
        """
        count, open_ = logits.shape[1], torch.zeros_like(logits, dtype=torch.bool)
        for row, ids in enumerate(input_ids.tolist()):
            for place in range(count):
                open_[row, place, self.options(ids[: len(ids) - count + place])] = True
        ended = ~open_.gather(2, input_ids[:, -count:, None])
        open_ = torch.where(ended, torch.zeros_like(open_).scatter(2, input_ids[:, -count:, None], True), open_)
        return logits.masked_fill(~open_, -torch.inf).log_softmax(-1)

    def options(self, ids: list[int]) -> list[int]:
        """The ids that may follow."""
        template = self.template
        if template.think not in ids:
            return [template.think]
        written = ids[len(ids) - ids[::-1].index(template.think) :]
        numbers = [template.number[token] for token in written if token in template.number]
        state, said = self._stand(tuple(numbers))
        if state != END:
            if (state, said) not in self._open:
                self._open[state, said] = [int(template.phrases[edge.number]) for edge in self.scope.edges(state, said)]
            return self._open[state, said]
        tail, done = template.tails[template.grammar.conclusion(numbers)], len(written) - len(numbers)
        return [tail[min(done, len(tail) - 1)]]

    def _stand(self, numbers: tuple[int, ...]) -> tuple[str, int]:
        if numbers not in self._known:
            if len(self._known) > 100_000:
                self._known = {(): (START, 0)}
            state, said = self._stand(numbers[:-1])
            edge = next(e for e in self.scope.edges(state, said) if e.number == numbers[-1])
            self._known[numbers] = edge.after, edge.leaves(said)
        return self._known[numbers]


def constrain(policy: Any, grammar: Grammar, tokenizer: PreTrainedTokenizerFast) -> None:
    """Make every `generate` of a policy follow the grammar."""
    policy.constraint = GrammarLogits(Template(grammar, tokenizer))
