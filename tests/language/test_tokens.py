"""The runtime's tokenizers against the package whose files they read."""

import json
import re
import unicodedata

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from phrasebook import walk_at_random
from tokenizers import AddedToken, Regex, decoders, models, normalizers, pre_tokenizers, processors
from tokenizers import Tokenizer as Package

from edge.bundle import SHIPPED
from edge.errors import BundleError
from edge.language.grammar import FILE, load_grammar
from edge.language.labels import mask_emotions
from edge.language.rationale import split_sentences, write_completion
from edge.language.tokens import load_tokenizer, parse_tokenizer

FILES = ("tokenizer.json", "verifier_tokenizer.json")
LIMIT = 64
GRAMMAR = load_grammar(SHIPPED / FILE)


def _pair(name):
    """Ours and the package's, of one of the shipped files; the package's neither cuts off nor fills up."""
    other = Package.from_file(str(SHIPPED / name))
    other.no_truncation()
    other.no_padding()
    return load_tokenizer(SHIPPED / name), other


PHRASES, PIECES = (_pair(name) for name in FILES)
OLD = "".join(  # the letters of an early Unicode that have not changed since: what is newer, each library knows from another year on
    chr(i)
    for i in range(0x30000)
    if unicodedata.ucd_3_2_0.category(chr(i)) == unicodedata.category(chr(i)) not in ("Cn", "Cs")
    and unicodedata.ucd_3_2_0.normalize("NFD", chr(i)) == unicodedata.normalize("NFD", chr(i))
)
SCRAPS = st.sampled_from([
    *(phrase.text for phrase in GRAMMAR.phrases), *(PIECES[1].id_to_token(i) for i in range(0, 4096, 7)),
    "[emotion]", "[CLS]", "[PAD",
    "<think>", "</answer>", "<unk>", "The", ". ", ", and ", "#", "##s", "İ", "ΣΑΣ", "é", "ﬁ", "中文", "\u200b", "\x1c",
])  # fmt: skip
TEXTS = st.lists(SCRAPS | st.text(alphabet=OLD, max_size=6), max_size=12).map("".join)


def same(pair, text):
    """Whether both cut the text alike, and put it together alike."""
    ours, package = pair
    ids = ours.encode(text)
    return ids == package.encode(text).ids and ours.decode(ids) == package.decode(ids, skip_special_tokens=False)


def test_every_phrase_and_written_texts_are_cut_as_the_package_cuts_them():
    rng, seen = np.random.default_rng(0), set()
    for _ in range(3000):
        walk = walk_at_random(GRAMMAR.scope(), rng)
        seen.update(walk.taken)
        text = write_completion(walk.text, GRAMMAR.conclusion(walk.taken))
        assert same(PHRASES, text), text
        assert PHRASES[0].decode(PHRASES[0].encode(text)) == text
        for sentence in split_sentences(walk.text):
            assert same(PIECES, sentence), sentence
            assert same(PIECES, mask_emotions(sentence)), sentence
    assert len(seen) > 0.9 * len(GRAMMAR.phrases)
    for phrase in GRAMMAR.phrases:
        assert same(PHRASES, phrase.text), phrase.text
        assert same(PIECES, phrase.text), phrase.text


@given(TEXTS)
def test_any_text_is_cut_as_the_package_cuts_it(text):
    assert same(PHRASES, text)
    assert same(PIECES, text)


def test_every_letter_is_cut_as_the_package_cuts_it():
    assert len(OLD) > 90_000
    differing = [letter for letter in OLD if not same(PIECES, f"a{letter}b {letter}")]
    assert differing == []


@given(TEXTS, st.integers(1, 40))
def test_long_texts_are_cut_off_as_the_package_cuts_them_off(text, limit):
    ours, package = _pair(FILES[1])
    package.enable_truncation(limit)
    assert ours.encode(text, limit) == package.encode(text).ids


def test_sizes_and_ids_are_the_packages():
    for ours, package in (PHRASES, PIECES):
        assert len(ours) == package.get_vocab_size()
        assert {token: ours.token_to_id(token) for token in package.get_vocab()} == package.get_vocab()
        assert ours.token_to_id("no such token") is None
        assert ours.decode([0, 10**6, 1]) == package.decode([0, 10**6, 1], skip_special_tokens=False)


@given(st.lists(st.integers(0, 270), max_size=20))
def test_ids_of_bytes_become_the_packages_text(ids):
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    package = Package(models.BPE({letter: i for i, letter in enumerate(alphabet)}, []))
    package.decoder = decoders.ByteLevel()
    package.add_special_tokens([AddedToken(text, normalized=False) for text in ("<end>", "ende – 終", "Ġa")])
    ours = parse_tokenizer(package.to_str())
    assert len(ours) == package.get_vocab_size()
    assert ours.decode(ids) == package.decode(ids, skip_special_tokens=False)


def _bert(**changes):
    """A small tokenizer with the frame that pretrained encoders have."""
    package = Package(
        models.WordPiece({t: i for i, t in enumerate(("[UNK]", "[CLS]", "[SEP]", "A", "a", "##a", "##b", "."))}, unk_token="[UNK]")
    )
    package.normalizer = normalizers.BertNormalizer(**changes)
    package.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    package.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 1), ("[SEP]", 2)])
    return package


@pytest.mark.parametrize("lower", [True, False])
@pytest.mark.parametrize("limit", [2, 3, 5, 60])
def test_pretrained_frames_and_case_are_kept(lower, limit):
    package = _bert(lowercase=lower)
    ours = parse_tokenizer(package.to_str())
    package.enable_truncation(limit)
    for text in ("", "Aab. á ab", "x", "aaab.b", "a" * 101):
        assert ours.encode(text, limit) == package.encode(text).ids


def test_what_is_not_read_here_is_refused_in_a_sentence():
    kinds = {
        "word pieces are cut by BERT's": lambda p: setattr(p, "pre_tokenizer", pre_tokenizers.Whitespace()),
        "are only enclosed by": lambda p: setattr(p, "post_processor", processors.ByteLevel()),
        "a model Unigram with a decoder None": lambda p: setattr(p, "model", models.Unigram([("a", 0.0)], 0, False)),
        "takes more than its own letters": lambda p: p.add_tokens([AddedToken("new", lstrip=True)]),
    }
    for message, change in kinds.items():
        package = _bert()
        change(package)
        with pytest.raises(BundleError, match=re.escape(message)):
            parse_tokenizer(package.to_str())
    with pytest.raises(BundleError, match="word pieces are cut by BERT's"):
        parse_tokenizer(_bert(strip_accents=False).to_str())


@pytest.mark.parametrize("pattern", ["a+", "(a|b)", "a|.", "\\d", "[ab]", "a{9}"])
def test_a_split_that_is_no_list_of_words_is_refused(pattern):
    package = Package(models.WordLevel({"a": 0}, unk_token="a"))
    package.pre_tokenizer = pre_tokenizers.Split(Regex(pattern), "isolated")
    with pytest.raises(BundleError, match="does not find a list of words"):
        parse_tokenizer(package.to_str())


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ((), []), ((), None), (("model",), None), (("model",), []), (("model", "vocab"), {"a": -1}), (("model", "vocab"), {"a": True}),
        (("model", "vocab"), ["a"]), (("model", "type"), {}), (("model", "unk_token"), "[NONE]"), (("model", "unk_token"), []),
        (("model", "max_input_chars_per_word"), "x"), (("added_tokens",), [{}]), (("added_tokens",), 7), 
        (("added_tokens",), [{"content": [], "id": 1}]),
        (("post_processor", "single"), [7]), (("post_processor", "single"), []), (("post_processor", "special_tokens"), {}),
        (("post_processor", "special_tokens", "[CLS]", "ids"), [99999]), (("normalizer",), "lower"), (("decoder",), {"type": []}),
    ],
)  # fmt: skip
def test_a_damaged_file_is_refused_in_a_sentence(path, value, tmp_path):
    values = json.loads((SHIPPED / FILES[1]).read_text(encoding="utf-8"))
    place = values
    for key in path[:-1]:
        place = place[key]
    if path:
        place[path[-1]] = value
    else:
        values = value
    (tmp_path / FILES[1]).write_text(json.dumps(values), encoding="utf-8")
    with pytest.raises(BundleError, match="is not a tokenizer file that is read here"):
        load_tokenizer(tmp_path / FILES[1])


def test_bytes_that_are_no_file_of_a_tokenizer_are_refused(tmp_path):
    for data in (b"", b"{", b"[" * 100_000, b"\xff\xfe", b'{"model": {"vocab": 1e999}}'):
        (tmp_path / "t.json").write_bytes(data)
        with pytest.raises(BundleError, match="is not a tokenizer file that is read here"):
            load_tokenizer(tmp_path / "t.json")


def test_a_vocabulary_without_a_token_for_the_unknown_says_so():
    package = Package(models.WordLevel({"a": 0}, unk_token="none"))
    values = json.loads(package.to_str())
    values["model"]["unk_token"] = None
    with pytest.raises(BundleError, match="no token 'b', and none for what it does not know"):
        parse_tokenizer(json.dumps(values)).encode("b")
