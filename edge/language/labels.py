"""The emotion lists, how other vocabularies map onto them, and which words give an emotion away.

`EMOTIONS_8` is FER+'s list in its vote order; `EMOTIONS_11` is MAFW's, of which FER+'s and DFEW's are subsets.
The one list of emotion words (`EMOTION_WORDS`) serves three readers: the masker, which hides them so that a
rationale must convince by its evidence; the naming check, which finds what a text calls the emotion; and folder
names of data sets.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

EMOTIONS_8: tuple[str, ...] = (
    "neutral",
    "happiness",
    "surprise",
    "sadness",
    "anger",
    "disgust",
    "fear",
    "contempt",
)

EMOTIONS_11: tuple[str, ...] = (*EMOTIONS_8, "anxiety", "helplessness", "disappointment")

#: Placeholder that replaces an emotion word in a masked rationale.
MASK = "[emotion]"

#: Every word, inflections included, that gives an emotion away.
# fmt: off
EMOTION_WORDS: dict[str, tuple[str, ...]] = {
    "neutral": (
        "neutral", "neutrality", "neutrally", "indifferent", "indifference", "emotionless", "expressionless", "impassive",
    ),
    "happiness": (
        "happy", "happily", "happier", "happiest", "happiness", "joy", "joyful", "joyous", "joyfully", "glad", "gladness",
        "delight", "delighted", "delightful", "cheerful", "cheerfulness", "cheerfully", "amused", "amusement", "elated",
        "elation", "pleased", "content", "contentment", "contented", "contentedly", "amusing", "amuse",
    ),
    "surprise": (
        "surprise", "surprised", "surprises", "surprising", "surprisingly", "astonished", "astonishment", "astonishing",
        "amazed", "amazement", "startled", "shock", "shocked", "shocking", "startling", "amazing", "amaze", "astonish",
    ),
    "sadness": (
        "sad", "sadly", "sadder", "saddest", "sadden", "saddened", "sadness", "sorrow", "sorrowful", "unhappy",
        "unhappiness", "grief", "grieving", "miserable", "misery", "melancholy", "gloomy", "depressed",
        "depressing", "saddening", "mournful",
    ),
    "anger": (
        "anger", "angered", "angry", "angrily", "angrier", "angriest", "rage", "enraged", "furious", "fury", "annoyed",
        "annoyance", "irritated", "irritation", "mad", "outrage", "outraged", "annoying", "irritating", "irritate", "infuriated",
    ),
    "disgust": ("disgust", "disgusted", "disgusting", "disgustedly", "revulsion", "revolted", "revolting", "repulsed", "repulsion"),
    "fear": (
        "fear", "fears", "feared", "fearful", "fearfully", "fearfulness", "afraid", "scared", "frightened", "fright",
        "terror", "terrified", "horror", "horrified", "horrifying", "frightening", "frighten", "terrifying", "scary",
    ),
    "contempt": (
        "contempt", "contemptuous", "contemptuously", "scorn", "scornful", "scornfully", "disdain", "disdainful",
    ),
    "anxiety": (
        "anxiety", "anxious", "anxiously", "anxiousness", "nervous", "nervously", "nervousness", "worried", "worry", "worries", "worrying",
    ),
    "helplessness": (
        "helplessness", "helpless", "helplessly", "powerless", "powerlessness", "hopeless", "hopelessness",
    ),
    "disappointment": (
        "disappointment", "disappointed", "disappointing", "disappoint", "disappoints", "disappointedly", "let down",
    ),
}
# fmt: on

#: Folder or column names that other data sets use for the same emotions.
_ALIASES: dict[str, str] = {"worried": "fear", "suprise": "surprise", "scared": "fear"}

_WORD_TO_EMOTION: dict[str, str] = {word: name for name, words in EMOTION_WORDS.items() for word in words}
_EMOTION_RE = re.compile(
    r"(?<![\w])(" + "|".join(sorted(map(re.escape, _WORD_TO_EMOTION), key=len, reverse=True)) + r")(?![\w])",
    re.IGNORECASE,
)


def mask_emotions(text: str) -> str:
    """Return `text` with every emotion word (name, synonym, inflection) replaced by `MASK`."""
    return _EMOTION_RE.sub(MASK, text)


def named_emotions(text: str) -> tuple[str, ...]:
    """Return the emotions that `text` names, each once, in order of first mention."""
    return tuple(dict.fromkeys(_WORD_TO_EMOTION[m.group(1).lower()] for m in _EMOTION_RE.finditer(text)))


def parse_emotion(word: str, labels: Iterable[str] = EMOTIONS_11) -> str | None:
    """Map a label, synonym or folder name (any case) to one of `labels`; `None` when it is none of them."""
    key = word.strip().lower()
    name = key if key in EMOTION_WORDS else _ALIASES.get(key) or _WORD_TO_EMOTION.get(key)
    return name if name in set(labels) else None
