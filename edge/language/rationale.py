"""The language between policy, verifier and reader: completion template, parsing, sentences, masking for the check.

A completion is `<think>rationale</think><answer>emotion</answer>` and nothing else.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from edge.language.labels import mask_emotions

THINK, END_THINK, ANSWER, END_ANSWER = "<think>", "</think>", "<answer>", "</answer>"
_COMPLETION = re.compile(r"\A\s*<think>(.*?)</think>\s*<answer>([^<>]*)</answer>\s*\Z", re.DOTALL)
_SENTENCE_END = re.compile(r"(?<=[.!?])[\"')\]]*\s+|\n+")
_TAG = re.compile(r"</?(?:think|answer|image)>", re.IGNORECASE)

MAX_RATIONALE_CHARS = 1000
"""A longer rationale is not read: no face needs more, and the verifier's cost must stay bounded."""


@dataclass(frozen=True, slots=True)
class Completion:
    """A parsed completion; `answer` is empty when the text does not follow the template."""

    rationale: str
    answer: str


def write_completion(rationale: str, answer: str) -> str:
    """Put a rationale and an answer into the template."""
    return f"{THINK}{rationale}{END_THINK}{ANSWER}{answer}{END_ANSWER}"


def parse_completion(text: str, labels: tuple[str, ...]) -> Completion:
    """Parse a completion.

    Args:
        text: the decoded completion, without special tokens other than the four tags.
        labels: the allowed answers.

    Returns:
        Rationale and answer, both empty when the whole text does not match the template, a tag occurs inside the rationale,
        the rationale is blank or over `MAX_RATIONALE_CHARS`, or the answer is not one of `labels`.
    """
    found = _COMPLETION.match(text)
    if not found:
        return Completion("", "")
    rationale, answer = found.group(1).strip(), found.group(2).strip()
    if not rationale or len(rationale) > MAX_RATIONALE_CHARS or _TAG.search(rationale) or answer not in labels:
        return Completion("", "")
    return Completion(rationale, answer)


def split_sentences(text: str) -> list[str]:
    """Split a rationale into sentences, without blanks."""
    return [part.strip() for part in _SENTENCE_END.split(text) if part.strip()]


def masked_sentences(text: str) -> list[str]:
    """The sentences of a rationale with every emotion word replaced by the placeholder."""
    return [mask_emotions(sentence) for sentence in split_sentences(text)]
