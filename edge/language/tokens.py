"""Texts as token ids and back, by a bundle's tokenizer files.

The files are those of the `tokenizers` package; of all that they can ask for, three kinds occur here and are read:

| model | how a text is cut | for |
|---|---|---|
| `WordLevel` | at the words of a `Split`, which stay whole | the policy's phrases |
| `WordPiece` | into words without case and accents, and these into their longest known pieces | the verifier |
| `BPE` of bytes | not at all: ids are only read back | a policy that writes freely |
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from edge.errors import BundleError, InputError
from edge.files import parse_json, read_json

_IDEOGRAPHS = re.compile(  # the blocks that BERT's own code names
    "([\u4e00-\u9fff\u3400-\u4dbf\U00020000-\U0002a6df\U0002a700-\U0002b73f\U0002b740-\U0002b81f\U0002b920-\U0002ceaf"
    "\uf900-\ufaff\U0002f800-\U0002fa1f])"
)
_MARKS = frozenset("!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~")
_BYTES = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
_BYTE_OF = {chr(byte): byte for byte in _BYTES} | {chr(256 + i): byte for i, byte in enumerate(sorted({*range(256)} - {*_BYTES}))}
_JOINS: dict[str | None, Callable[[Sequence[str]], str]] = {None: " ".join, "Fuse": "".join}
_MAX_ID = 10_000_000
_WORDS = 4096  # whose pieces are remembered
_MISSHAPEN = (ValueError, KeyError, TypeError, AttributeError, StopIteration)
_LITERALS = re.compile(r"(?:\\\W|[^\\.^$*+?()\[\]{}])*")


class Tokenizer:
    """A vocabulary, how texts are cut into its tokens, and how they are put together again."""

    def __init__(
        self,
        vocabulary: Mapping[str, int],
        *,
        cut: Callable[[str], Iterable[str]] | None = None,
        added: Iterable[str] = (),
        unknown: str | None = None,
        frame: tuple[Sequence[int], Sequence[int]] = ((), ()),
        join: Callable[[Sequence[str]], str] = " ".join,
    ) -> None:
        """Put a tokenizer together.

        Args:
            vocabulary: each token's id.
            cut: a text's tokens; `None` where texts are never cut.
            added: tokens of the vocabulary that are found in a text before it is cut, the longest first.
            unknown: the token that stands for those which the vocabulary lacks.
            frame: ids that every text begins with, and those that it ends with.
            join: the text of tokens.
        """
        self._ids, self._tokens = dict(vocabulary), {number: token for token, number in vocabulary.items()}
        self._cut, self._join, (self._before, self._after) = cut, join, frame
        self._unknown = vocabulary[unknown] if unknown is not None else None
        self._added = _any_of(sorted(added, key=len, reverse=True))

    def __len__(self) -> int:
        """How many tokens there are."""
        return len(self._ids)

    def token_to_id(self, token: str) -> int | None:
        """The id of a token; `None` when there is no such token."""
        return self._ids.get(token)

    def encode(self, text: str, limit: int | None = None) -> list[int]:
        """The ids of a text; of its own at most `limit` less those of its frame.

        Raises:
            BundleError: texts are not cut by this vocabulary, or it has no token for what it does not know.
        """
        if self._cut is None:
            raise BundleError("this tokenizer reads ids back, and cuts no texts")
        ids: list[int] = []
        for i, part in enumerate(self._added.split(text)):
            for token in (part,) if i % 2 else self._cut(part):
                if (number := self._ids.get(token, self._unknown)) is None:
                    raise BundleError(f"the tokenizer has no token '{token[:40]}', and none for what it does not know")
                ids.append(number)
        room = len(ids) if limit is None else max(limit - len(self._before) - len(self._after), 0)
        return [*self._before, *ids[:room], *self._after]

    def decode(self, ids: Iterable[int]) -> str:
        """The text of ids; those of no token are left out."""
        return self._join([self._tokens[number] for number in ids if number in self._tokens])


def load_tokenizer(path: Path) -> Tokenizer:
    """Read a tokenizer's file; `BundleError` when it is none, or of a kind that is not read here."""
    try:
        return _read(read_json(path))
    except (InputError, *_MISSHAPEN) as error:
        raise BundleError(f"'{path.name}' is not a tokenizer file that is read here: {_said(error)}") from None


def parse_tokenizer(text: str) -> Tokenizer:
    """The same of a file's text, as `tokenizers` gives it."""
    try:
        return _read(parse_json(text))
    except _MISSHAPEN as error:
        raise BundleError(f"not a tokenizer that is read here: {_said(error)}") from None


def _said(error: Exception) -> str:
    return str(error) if isinstance(error, InputError | ValueError) else "a part of it has another shape than it should"


def normalise(text: str, *, lower: bool = True) -> str:
    """BERT's normal form: no control characters, plain spaces, ideographs apart; with `lower` small letters without accents."""
    kept = (
        " " if c.isspace() else c for c in text if c in "\t\n\r" or (c != "\ufffd" and unicodedata.category(c) not in ("Cc", "Cf", "Co"))
    )
    text = "".join(kept)
    if not text.isascii():
        text = _IDEOGRAPHS.sub(r" \1 ", text)
        if lower:
            text = "".join(c for c in unicodedata.normalize("NFD", text) if unicodedata.category(c) != "Mn")
    return "".join(map(str.lower, text)) if lower else text  # letter by letter: a sigma at the end of a word is like any other


def words_of(text: str) -> list[str]:
    """Words, and every punctuation mark by itself."""
    spaced = (f" {c} " if c in _MARKS or (c > "\x7f" and unicodedata.category(c)[0] == "P") else c for c in text)
    return "".join(spaced).split()


def pieces_of(word: str, vocabulary: Mapping[str, int], unknown: str, *, inner: str = "##", longest: int = 100) -> list[str]:
    """A word's longest known pieces from its start on, all but the first behind `inner`.

    Only `unknown` where one is missing, or the word has more than `longest` letters.
    """
    found, start = [], 0
    while start < len(word) <= longest:
        ends = range(len(word), start, -1)
        piece, start = next(((p, end) for end in ends if (p := (inner if start else "") + word[start:end]) in vocabulary), ("", len(word)))
        found.append(piece)
    return found if all(found) and found else [unknown]


def text_of_bytes(tokens: Iterable[str]) -> str:
    """The text of tokens in which a letter stands for a byte; tokens with other letters are text already."""
    data = bytearray()
    for token in tokens:
        read = [_BYTE_OF.get(letter) for letter in token]
        data += token.encode("utf-8", "replace") if None in read else bytes(byte for byte in read if byte is not None)
    return data.decode("utf-8", "replace")


def _any_of(words: Iterable[str]) -> re.Pattern[str]:
    """Finds, as a group, the first of some words that stands at a place; nothing when there is no word."""
    return re.compile(f"({'|'.join(map(re.escape, words)) or '(?!)'})")


def _read(values: Any) -> Tokenizer:
    model = _part(values, "model")
    kind, decoder = model.get("type", "BPE" if "merges" in model else None), _type(values, "decoder")
    if (kind, decoder) not in [("BPE", "ByteLevel"), *((k, d) for k in ("WordLevel", "WordPiece") for d in _JOINS)]:
        raise ValueError(f"a model {kind} with a decoder {decoder} is not read here")
    vocabulary, unknown = _ids(model.get("vocab")), model.get("unk_token")
    tokens = [dict(token) for token in values.get("added_tokens") or []]
    known = {**vocabulary, **_ids({token["content"]: token["id"] for token in tokens})}
    if kind == "BPE":
        return Tokenizer(known, join=text_of_bytes)
    if any(token.get(key) for token in tokens for key in ("single_word", "lstrip", "rstrip", "normalized")):
        raise ValueError("an added token takes more than its own letters")
    if unknown is not None and unknown not in known:
        raise ValueError("its token for what it does not know is not in its vocabulary")
    cut = _phrases(values) if kind == "WordLevel" else _pieces(values, vocabulary)
    added = [token["content"] for token in tokens]
    return Tokenizer(known, cut=cut, added=added, unknown=unknown, frame=_frame(values, known), join=_JOINS[decoder])


def _phrases(values: Any) -> Callable[[str], Iterable[str]]:
    """Cuts at the words of a `Split` that keeps them. Its pattern must be a list of words, and is not run as it stands."""
    if _type(values, "normalizer") or _type(values, "pre_tokenizer") not in (None, "Split"):
        raise ValueError("phrases are cut by a Split alone")
    if values.get("pre_tokenizer") is None:
        return lambda text: [text] if text else []
    split = values["pre_tokenizer"]
    pattern = _part(split, "pattern").get("Regex")
    if split.get("behavior") != "Isolated" or split.get("invert") or not (isinstance(pattern, str) and _LITERALS.fullmatch(pattern)):
        raise ValueError("its Split does not find a list of words and keep them")
    found = _any_of(re.sub(r"\\(\W)", r"\1", word) for word in re.findall(r"(?:\\\W|[^\\|])+", pattern))
    return lambda text: [part for part in found.split(text) if part]


def _pieces(values: Any, vocabulary: dict[str, int]) -> Callable[[str], Iterable[str]]:
    """Cuts as BERT does, with or without case."""
    model, plain = values["model"], values.get("normalizer")
    lower = bool(plain and plain.get("lowercase"))
    usual = plain is None or (
        _type(values, "normalizer") == "BertNormalizer"
        and plain.get("clean_text") is plain.get("handle_chinese_chars") is True
        and plain.get("strip_accents") in (None, lower)
    )
    inner, longest, unknown = (model.get(key) for key in ("continuing_subword_prefix", "max_input_chars_per_word", "unk_token"))
    if not usual or _type(values, "pre_tokenizer") != "BertPreTokenizer":
        raise ValueError("word pieces are cut by BERT's normaliser and pre-tokeniser alone")
    if not (isinstance(inner, str) and isinstance(longest, int) and isinstance(unknown, str)):
        raise ValueError("its WordPiece lacks a value")

    @lru_cache(_WORDS)
    def pieces(word: str) -> list[str]:
        return pieces_of(word, vocabulary, unknown, inner=inner, longest=longest)

    def cut(text: str) -> list[str]:
        words = words_of(normalise(text, lower=lower) if plain else text)
        return [piece for word in words for piece in pieces(word)]

    return cut


def _frame(values: Any, vocabulary: dict[str, int]) -> tuple[list[int], list[int]]:
    """What every text is enclosed in, by the template of a single one."""
    if values.get("post_processor") is None:
        return [], []
    made = _part(values, "post_processor")
    parts = [next(iter(item.items())) for item in made.get("single", [])]
    places = [i for i, (kind, _) in enumerate(parts) if kind == "Sequence"]
    if _type(values, "post_processor") != "TemplateProcessing" or len(places) != 1:
        raise ValueError("texts are only enclosed by a TemplateProcessing")
    ids = [made["special_tokens"][part["id"]]["ids"] if kind == "SpecialToken" else [] for kind, part in parts]
    before, after = ([number for several in side for number in several] for side in (ids[: places[0]], ids[places[0] :]))
    if not {*before, *after} <= set(vocabulary.values()):
        raise ValueError("its template has a token that is not in its vocabulary")
    return before, after


def _part(values: Any, name: str) -> dict[str, Any]:
    part = values.get(name) if isinstance(values, dict) else None
    if not isinstance(part, dict):
        raise ValueError(f"it has no {name}")
    return part


def _type(values: Any, name: str) -> str | None:
    return None if values.get(name) is None else str(_part(values, name).get("type"))[:40]


def _ids(found: Any) -> dict[str, int]:
    if not isinstance(found, dict) or not all(k and isinstance(k, str) and type(v) is int and 0 <= v <= _MAX_ID for k, v in found.items()):
        raise ValueError("its vocabulary is not a table of ids")
    return dict(found)
