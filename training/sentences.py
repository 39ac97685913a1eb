"""What the text models read: sentences about faces with what they speak for, and comments from elsewhere.

A written sentence about a face has that face's crowd votes as its target, so that a clause's probabilities come to be those of the faces
that it is true of. Sentences are true of their face, denials included ("the lips are not parted" is written where they are not). Emotion
words among foreign cues, masked names and text that says nothing are there as hard negatives.
"""

from __future__ import annotations

import random
import string
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edge.language.labels import EMOTION_WORDS, EMOTIONS_8, EMOTIONS_11, mask_emotions
from training.cues import CUE_NAMES
from training.data import load_goemotions
from training.phrases import ADDITIONS, ADJECTIVES, CLOSINGS, ELSEWHERE, MOVEMENTS, QUOTES, SAYS_SO, SHOWN, SUMS, WHO
from training.writer import Readings, Sentence, Writer, at_random, facts_of, sentences_of

#: GoEmotions → the eleven labels. Left out, for want of a counterpart: admiration, approval, caring, confusion, curiosity, desire,
#: gratitude, love, optimism, pride, realization, relief, embarrassment, remorse. *Disapproval* stands in for contempt and *nervousness*
#: for anxiety: near, not equal. Helplessness has no comment at all.
GOEMOTIONS = {
    "neutral": "neutral", "joy": "happiness", "amusement": "happiness", "excitement": "happiness", "surprise": "surprise",
    "sadness": "sadness", "grief": "sadness", "anger": "anger", "annoyance": "anger", "disgust": "disgust", "fear": "fear",
    "disapproval": "contempt", "nervousness": "anxiety", "disappointment": "disappointment",
}  # fmt: skip
DENIED_BELOW = 0.8
"""A movement is denied only where the cue stays below this many deviations on the denied side."""
CLAIM_FROM = 1.4
"""Other writers are taken to speak of a cue from this many deviations."""
#: (cue, direction) → plain phrases that state it alone.
SINGLE = {(key[:-1], 1 if key.endswith("+") else -1): texts for key, texts in MOVEMENTS.items() if " " not in key and key[-1] in "+-"}
_STUFFED = (", which shows {}", ", a sign of {}", ", so this is {}", ", as in {}")


@dataclass(frozen=True, slots=True)
class Example:
    """A text and what it should read as."""

    text: str
    emotions: np.ndarray
    """`[11]` soft multi-label target."""
    claims: tuple[tuple[str, int], ...] = ()
    """(cue, direction); direction 0 says that the cue is at rest."""
    covered: float = 1.0
    """Whether it is a whole sentence that says nothing beyond its claims and its emotion."""


class SentenceWriter:
    """Draws training sentences about faces: plain, joined, reworded, named, stuffed, denied, masked, spoilt, empty of meaning."""

    def __init__(self, writer: Writer, readings: Readings, votes: np.ndarray, seed: int) -> None:
        self.writer, self.readings = writer, readings
        self.votes = np.pad(votes, ((0, 0), (0, len(EMOTIONS_11) - votes.shape[1]))).astype(np.float32)
        self.prior = self.votes.mean(0)
        self.rng = random.Random(seed)

    def __len__(self) -> int:
        return len(self.votes)

    def evidence(self, face: int) -> list[Sentence]:
        """Sentences about what is visible on a face; none where nothing can be said."""
        label = EMOTIONS_8[int(self.readings.probabilities[face].argmax())]
        return sentences_of(self.writer.write(facts_of(self.readings, face), label, at_random(self.rng)))

    def draw(self, face: int) -> Example:
        """One example about a face."""
        kind = self.rng.random()
        if kind < 0.42:
            return self._plain(face)
        if kind < 0.50:
            return self._reworded(face)
        if kind < 0.58:
            return self._named()
        if kind < 0.66:
            return self._stuffed(face)
        if kind < 0.77:
            return self._denied(face)
        if kind < 0.97:
            return self._spoilt(face)
        return Example(_babble(self.rng), self.prior, covered=0.0)

    def _plain(self, face: int) -> Example:
        """One sentence of evidence, or all of them."""
        sentences = self.evidence(face)
        if not sentences:
            return self._named()
        if self.rng.random() < 0.7:
            sentences = [self.rng.choice(sentences)]
        return Example(" ".join(s.text for s in sentences), self.votes[face], tuple(c for s in sentences for c in s.claims))

    def _reworded(self, face: int) -> Example:
        strong = [(name, 1 if z > 0 else -1) for name, z in zip(CUE_NAMES, self.readings.cues[face], strict=True) if abs(z) >= CLAIM_FROM]
        if not strong:
            return self._plain(face)
        claims = self.rng.sample(strong, min(len(strong), self.rng.choice((1, 1, 2))))
        text = self.rng.choice(SHOWN).format(" and ".join(self.rng.choice(ELSEWHERE[c]) for c in claims), who=self.rng.choice(WHO))
        return Example(text[0].upper() + text[1:], self.votes[face], tuple(claims))

    def _named(self) -> Example:
        emotion = self.rng.choice(EMOTIONS_11)
        if self.rng.random() < 0.5:
            text = self.rng.choice([t for kind in (CLOSINGS, SUMS) for forms, _ in kind.values() for t in forms]).format(
                noun=emotion, adjective=ADJECTIVES.get(emotion, emotion)
            )
        else:
            text = self.rng.choice(SAYS_SO).format(self.rng.choice(EMOTION_WORDS[emotion]), who=self.rng.choice(WHO))
        if self.rng.random() < 0.4:
            return Example(mask_emotions(text), self.prior)
        return Example(text, np.eye(len(EMOTIONS_11), dtype=np.float32)[EMOTIONS_11.index(emotion)])

    def _stuffed(self, face: int) -> Example:
        """An emotion word among cues that it has nothing to do with: the evidence counts."""
        if not (evidence := self.evidence(face)):
            return self._named()
        one = self.rng.choice(evidence)
        ending = self.rng.choice(_STUFFED).format(self.rng.choice(EMOTIONS_11))
        text = one.text[:-1] + (ending if self.rng.random() < 0.6 else mask_emotions(ending)) + "."
        return Example(text, self.votes[face], one.claims)

    def _denied(self, face: int) -> Example:
        """A movement that is not there, denied."""
        cues = dict(zip(CUE_NAMES, self.readings.cues[face], strict=True))
        still = [key for key in SINGLE if cues[key[0]] * key[1] < DENIED_BELOW]
        claims = self.rng.sample(still, self.rng.choice((1, 1, 2)))
        text = " and ".join(self.rng.choice(SINGLE[claim]) for claim in claims)
        return Example(negate(text[0].upper() + text[1:] + ".", self.rng), self.votes[face], tuple((cue, 0) for cue, _ in claims))

    def _spoilt(self, face: int) -> Example:
        """A sentence that says more than can be read in it, or that is none."""
        whole = self._plain(face) if self.rng.random() < 0.7 else self._reworded(face)
        if self.rng.random() < 0.5:
            addition = self.rng.choice(ADDITIONS)
            text = self.rng.choice(
                (f"{whole.text[:-1]}, and {addition}.", f"{whole.text[:-1]} because {addition}.", f"{addition[0].upper()}{addition[1:]}.")
            )
            bare = not text.startswith(whole.text[:10])
            return Example(text, self.prior if bare else whole.emotions, () if bare else whole.claims, 0.0)
        return Example(spoil(whole.text, self.rng), self.prior, whole.claims, 0.0)


def spoil(text: str, rng: random.Random) -> str:
    """Break a sentence: cut it off, drop, double or shuffle words, or glue a fragment to it; never the same text."""
    words = text.split()
    kind, at = rng.randrange(5), rng.randrange(max(1, len(words) - 1))
    if kind == 0:
        broken = words[: max(1, at)]
    elif kind == 1:
        broken = words[:at] + words[at + 1 :]
    elif kind == 2:
        broken = words[: at + 1] + words[at:]
    elif kind == 3:
        broken = rng.sample(words, len(words))
    else:
        broken = words + words[at : at + rng.randint(1, 3)]
    found = " ".join(broken)
    return found if found and found != text else " ".join((*words, words[0]))


def negate(text: str, rng: random.Random) -> str:
    """Deny what a written sentence says, in all of its clauses."""
    if (" is " in text or " are " in text) and rng.random() < 0.7:
        no = rng.choice(("not", "not", "never", "by no means"))
        return text.replace(" is ", f" is {no} ").replace(" are ", f" are {no} ")
    start = rng.choice(("It is not true that ", "There is no sign that ", "At no time can one say that ", "It is not the case that "))
    return start + text[0].lower() + text[1:]


def comments(folder: Path, split: str, rng: random.Random) -> list[Example]:
    """GoEmotions comments with at least one mapped label, a third of them masked."""
    examples = []
    for text, names in load_goemotions(folder, split):
        target = np.zeros(len(EMOTIONS_11), np.float32)
        target[[EMOTIONS_11.index(GOEMOTIONS[n]) for n in names if n in GOEMOTIONS]] = 1
        if target.any():
            examples.append(Example(mask_emotions(text) if rng.random() < 0.33 else text, target, covered=0.0))
    return examples


def wider_text(folder: Path, count: int, rng: random.Random) -> list[str]:
    """Texts without a target, for a teacher to score: comments of every label, quoted comments, and comments beside an emotion word."""
    talk = [text for text, _ in load_goemotions(folder, "train")]
    texts = []
    for text in rng.choices(talk, k=count):
        kind, who = rng.random(), rng.choice(WHO)
        if kind < 0.3:
            text = rng.choice(QUOTES).format(text, who=who)
        elif kind < 0.6:
            word = rng.choice(EMOTION_WORDS[rng.choice(EMOTIONS_11)])
            text = f"{rng.choice(QUOTES).format(text, who=who)}, {rng.choice(SAYS_SO).format(word, who=rng.choice(WHO))}"
        texts.append(mask_emotions(text) if rng.random() < 0.2 else text)
    return texts


def _babble(rng: random.Random) -> str:
    """Text that says nothing about a face: letters of any script, or signs."""
    alphabet = rng.choice(
        (string.ascii_lowercase, "абвгдежзиклмнопрст", "の表情は笑顔です目", "αβγδεζηθ", string.punctuation + string.digits)
    )
    return " ".join("".join(rng.choices(alphabet, k=rng.randint(1, 9))) for _ in range(rng.randint(1, 12)))
