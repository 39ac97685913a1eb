import json
import re
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from phrasebook import CUES, LABELS, grammar_values, make_tokenizer

from edge.bundle import SHIPPED
from edge.errors import BundleError
from edge.language.grammar import Walk, check_names, load_grammar, read_grammar
from edge.language.policy import phrase_ids

_FACE = ("movement", "rest", "one_sided", "eyes_closed", "pose")


def _texts(values: dict, state: str = "start", said: frozenset = frozenset(), rested: bool = False) -> Iterator[tuple[str, tuple]]:
    """Every text of a grammar's JSON with its statements, found without the code under test; nothing is spoken of twice, and a face of
    which only movements are told is not neutral."""
    if state == "end":
        yield "", ()
        return
    for name, after in values["moves"][state]:
        for text, says in values["phrases"][name]:
            subjects = {subject for kind, subject, _, _ in says if kind in _FACE}
            neutral = any((kind, subject) == ("conclusion", "neutral") for kind, subject, *_ in says)
            if not subjects & said and (rested or not neutral):
                for rest, more in _texts(values, after, said | subjects, rested or any(kind == "rest" for kind, *_ in says)):
                    yield text + rest, (*map(tuple, says), *more)


LANGUAGE = dict(_texts(grammar_values()))
"""Every text of the small grammar → its statements."""
GRAMMAR = read_grammar(grammar_values())
_FIRST = [{subject for _, subject, *_ in says} for name in ("Movement", "Rest") for _, says in grammar_values()["phrases"][name]]
"""Of what a text's first clause can speak."""


@st.composite
def walks(draw: st.DrawFn) -> Walk:
    walk = Walk(GRAMMAR.scope())
    while walk.edges:
        walk.take(draw(st.sampled_from(walk.edges)))
    return walk


@given(walks())
def test_a_walk_parses_to_the_statements_that_it_made(walk):
    parsed = GRAMMAR.parse(walk.text)
    assert walk.ended
    assert parsed is not None
    assert [GRAMMAR.number[phrase.text] for phrase in parsed.phrases] == walk.taken
    assert tuple(map(tuple, parsed.said)) == LANGUAGE[walk.text]
    assert parsed.conclusion == GRAMMAR.conclusion(walk.taken) in LABELS


def test_only_what_rests_speaks_for_a_neutral_expression():
    grammar = load_grammar(SHIPPED / "grammar.json")
    for text, known in (
        ("The brows are pulled down. This is a neutral expression.", False),
        ("The eyelids are lowered; the head is tipped back. This is a neutral expression.", False),
        ("The brows are pulled down; there is no smile. This is a neutral expression.", True),
        ("There is no smile. This is a neutral expression.", True),
        ("The brows are pulled down. The person looks angry.", True),
    ):
        assert (grammar.parse(text) is not None) == known, text


def test_the_parser_knows_every_text_of_the_language():
    assert len(LANGUAGE) > 10_000
    for text, said in list(LANGUAGE.items())[::23]:
        parsed = GRAMMAR.parse(text)
        assert parsed is not None, text
        assert tuple(map(tuple, parsed.said)) == said


def _spoilt(text: str, how: str, at: int, other: str) -> str:
    words = re.split(r"(?<= )", text)
    i, j = at % len(words), (at // len(words)) % len(words)
    match how:
        case "dropped":
            return "".join(words[:i] + words[i + 1 :])
        case "doubled":
            return "".join([*words[: i + 1], *words[i:]])
        case "swapped":
            words[i], words[j] = words[j], words[i]
            return "".join(words)
        case "cut":
            return text[: at % len(text)]
        case "cut in front":
            return text[1 + at % len(text) :]
        case "glued":
            return text + other
        case "glued with a blank":
            return f"{text} {other}"
        case "glued inside":
            return text[: at % len(text)] + other[at % len(other) :]
        case _:
            return text[: at % len(text)] + chr(32 + at % 95) + text[at % len(text) + 1 :]


_WAYS = ("dropped", "doubled", "swapped", "cut", "cut in front", "glued", "glued with a blank", "glued inside", "mistyped")


@given(walks(), st.sampled_from(_WAYS), st.integers(0, 10**6), walks())
def test_a_spoilt_text_is_not_of_the_language_unless_it_is_another_text_of_it(walk, how, at, other):
    text = _spoilt(walk.text, how, at, other.text)
    parsed = GRAMMAR.parse(text)
    assert (parsed is not None) == (text in LANGUAGE)
    if parsed:
        assert tuple(map(tuple, parsed.said)) == LANGUAGE[text]


@pytest.mark.parametrize("how", _WAYS)
def test_every_way_to_spoil_a_text_is_noticed(how):
    """The property above would hold as well if nothing were ever spoilt."""
    text, other = (
        "The lip corners are pulled up, and the eyes are closed. The person looks sad.",
        "The mouth is open. The person looks sad.",
    )
    assert text in LANGUAGE
    assert any(GRAMMAR.parse(_spoilt(text, how, at, other)) is None for at in range(3, 60))


@given(st.text())
def test_any_text_at_all_is_read_or_refused(text):
    assert (GRAMMAR.parse(text) is not None) == (text in LANGUAGE)


def test_no_subject_is_spoken_of_twice():
    assert GRAMMAR.parse("The mouth is open, and the brows are lifted. The person looks sad.")
    assert GRAMMAR.parse("The mouth is open, and the mouth is closed. The person looks sad.") is None
    assert GRAMMAR.parse("The mouth is open, and the mouth is open wide. The person looks sad.") is None


def test_cues_of_one_part_are_told_in_one_phrase():
    values = grammar_values()
    values["rules"]["told_once"] = [["lip_corners", "mouth_opening"]]
    grammar, apart = read_grammar(values), "The lip corners are pulled up, and the mouth is open. The person looks happy."
    assert GRAMMAR.parse(apart)
    assert grammar.parse(apart) is None
    assert grammar.parse("The lip corners are pulled up, and the brows are lifted. The person looks happy.")
    walk = Walk(grammar.scope())
    walk.take(next(e for e in walk.edges if grammar.phrases[e.number].text == "The mouth is open"))
    walk.take(next(e for e in walk.edges if grammar.phrases[e.number].text == ", and "))
    assert not any(s.subject == "lip_corners" for e in walk.edges for s in grammar.phrases[e.number].says)
    assert grammar.rules == type(grammar.rules).read(grammar.rules.to_dict())


def test_evidence_is_the_text_without_what_it_concludes():
    parsed = GRAMMAR.parse("The mouth is open. Most likely this is anger; sadness is close.")
    assert parsed.evidence == "The mouth is open."
    assert parsed.conclusion == "anger"


@given(st.sets(st.sampled_from(CUES)), st.data())
def test_nothing_is_said_of_what_is_hidden_but_that_it_is(hidden, data):
    walk = Walk(GRAMMAR.scope(hidden))
    regions = {name for name, cues in GRAMMAR.rules.regions.items() if hidden.issuperset(cues)}
    while walk.edges:
        walk.take(data.draw(st.sampled_from(walk.edges)))
    told = {s.subject for i in walk.taken for s in GRAMMAR.phrases[i].says if s.kind == "covered"}
    spoken = {s.subject for i in walk.taken for s in GRAMMAR.phrases[i].says if s.about_face}
    assert walk.ended == any(not hidden & set(cues) for cues in _FIRST), "something is said as long as a clause is left"
    assert not spoken & hidden
    assert told <= regions
    if walk.ended:
        assert bool(told) == bool(regions), "what is hidden is told"


@given(st.lists(st.booleans(), min_size=len(GRAMMAR.phrases), max_size=len(GRAMMAR.phrases)), st.data())
def test_a_text_that_was_begun_can_be_ended_whatever_may_be_said(allowed, data):
    """Phrases that only what is barred could follow are not offered."""
    walk = Walk(GRAMMAR.scope({"outer_brow"}, np.array(allowed)))
    while walk.edges:
        walk.take(data.draw(st.sampled_from(walk.edges)))
    assert walk.ended or not walk.taken
    assert all(allowed[i] for i in walk.taken)
    if walk.ended:
        assert walk.text in LANGUAGE


def test_a_long_run_keeps_no_more_than_it_must():
    grammar = read_grammar(grammar_values())
    cues = [f"other{i}" for i in range(12)] + list(CUES)
    for i in range(2**12):
        grammar.scope([cue for bit, cue in enumerate(cues) if i >> bit & 1])
    for i in range(2 ** len(CUES)):
        grammar.scope([cue for bit, cue in enumerate(CUES) if i >> bit & 1])
    assert len(grammar._scopes) <= 64
    assert grammar.scope(["lip_corners"]) is grammar.scope({"lip_corners"})


def _changed(change: str) -> dict:
    """The small grammar with one fault."""
    values = grammar_values()
    phrases, moves, rules = values["phrases"], values["moves"], values["rules"]
    match change:
        case "kind":
            phrases["rest"][0][1][0][0] = "age"
        case "band":
            phrases["Movement"][0][1][0][3] = "wild"
        case "no rule for a movement":
            del rules["movement"]["outer_brow"]
        case "no rule for a direction":
            del rules["movement"]["inner_brow"]["-1"]
        case "no rule for rest":
            del rules["rest"]["eye_opening"]
        case "no rule for a pose":
            del rules["pose"]["yaw"]["far"]
        case "no rule for a region":
            del rules["regions"]["mouth"]
        case "an empty region":
            rules["regions"]["mouth"] = []
        case "no rule for certainty":
            del rules["certainty"]["sure"]
        case "a pose without a side":
            phrases["pose"][0][1][0][2] = 0
        case "a rest with a side":
            phrases["rest"][0][1][0][2] = 1
        case "no rules at all":
            del values["rules"]
        case "no eyes_closed":
            del rules["eyes_closed"]
        case "a range upside down":
            rules["runner_up"] = [0.5, 0.1]
        case "a range without end":
            rules["rest"]["eye_opening"] = [-1.0, float("inf")]
        case "a range of three":
            rules["rest"]["eye_opening"] = [-1.0, 0.0, 1.0]
        case "a cycle":
            moves["whole"].append(["and", "more"])
        case "a state without ways":
            moves["whole"] = []
        case "an unknown state":
            moves["said"].append(["pose", "elsewhere"])
        case "no start":
            del moves["start"]
        case "an unknown class":
            moves["said"].append(["joke", "last"])
        case "an empty phrase":
            phrases["and"][0][0] = ""
        case "two meanings":
            phrases["rest"].append(["the mouth is open", []])
        case "the same text twice":
            phrases["movement"].append(phrases["movement"][0])
        case "two ways through":
            phrases["rest"].append(["the mouth is closed, and the eyelids are at rest", [["rest", "mouth_opening", 0, ""]]])
            moves["whole"].append(["and", "again"])
            moves["again"] = [["rest", "spent"]]
            moves["spent"] = [["stop", "last"]]
        case "an unstated emotion":
            phrases["rest"][0][0] = "the happy brows rest"
        case "a statement of three parts":
            phrases["rest"][0][1][0].pop()
        case "a direction in words":
            phrases["rest"][0][1][0][2] = "up"
        case "phrases that are no table":
            values["phrases"] = [1]
        case "moves that are no table":
            values["moves"] = None
        case "another version":
            values["version"] = 99
    return values


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ("kind", "unknown kind 'age'"),
        ("band", "no rule says when 'The lip corners are pulled up' holds: movement lip_corners \\+1 wild"),
        ("no rule for a movement", "no rule says when 'The brows are lifted' holds"),
        ("no rule for a direction", "no rule says when 'The inner brows are lowered a little' holds: movement inner_brow -1 slight"),
        ("no rule for rest", "no rule says .* rest eye_opening"),
        ("no rule for a pose", "no rule says .* pose yaw -1 far"),
        ("no rule for a region", "no rule says .* covered mouth"),
        ("an empty region", "no rule says .* covered mouth"),
        ("no rule for certainty", "no rule says .* certainty .*sure"),
        ("a pose without a side", "no rule says .* pose yaw \\+0"),
        ("a rest with a side", "no rule says .* rest inner_brow \\+1"),
        ("no rules at all", "rules of statements are malformed"),
        ("no eyes_closed", "rules of statements are malformed: KeyError 'eyes_closed'"),
        ("a range upside down", "tolerance must be two finite numbers"),
        ("a range without end", "Infinity is not a finite number"),
        ("a range of three", "tolerance must be two finite numbers"),
        ("a cycle", "a cycle that never ends: more → whole → more"),
        ("a state without ways", "state 'whole' leads nowhere"),
        ("an unknown state", "state 'elsewhere' leads nowhere"),
        ("no start", "state 'start' leads nowhere"),
        ("an unknown class", "no phrases 'joke'"),
        ("an empty phrase", "an empty phrase"),
        ("two meanings", "one phrase two meanings"),
        ("the same text twice", "two ways on with 'the lip corners are pulled up'"),
        ("two ways through", "reads '.*the mouth is closed, and the eyelids are at rest.*' in two ways"),
        ("an unstated emotion", "names an emotion that it does not state"),
        ("a statement of three parts", "the grammar is malformed"),
        ("a direction in words", "the grammar is malformed"),
        ("phrases that are no table", "the grammar is malformed"),
        ("moves that are no table", "the grammar is malformed"),
        ("another version", "grammar version 99: this runtime reads version 1"),
    ],
)
def test_a_malformed_grammar_is_one_clear_sentence(tmp_path, change, sentence):
    path = tmp_path / "grammar.json"
    path.write_text(json.dumps(_changed(change)), encoding="utf-8")
    with pytest.raises(BundleError, match=sentence) as refused:
        load_grammar(path)
    assert "grammar.json' is not a grammar of rationales: " in str(refused.value)
    assert "\n" not in str(refused.value)


def test_the_unchanged_grammar_is_none_of_the_malformed_ones(tmp_path):
    path = tmp_path / "grammar.json"
    path.write_text(json.dumps(_changed("")), encoding="utf-8")
    assert load_grammar(path).phrases == GRAMMAR.phrases


@pytest.mark.parametrize("text", ["", "7", "[]", "{", '{"version": 1}', "\u0000", "[" * 100_000])
def test_what_is_no_grammar_is_refused(tmp_path, text):
    path = tmp_path / "grammar.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(BundleError, match="not a grammar of rationales"):
        load_grammar(path)
    with pytest.raises(BundleError, match="not a grammar of rationales"):
        load_grammar(tmp_path / "nowhere.json")


def test_a_tokenizer_without_a_phrases_token_is_refused():
    assert len(set(phrase_ids(make_tokenizer(GRAMMAR), GRAMMAR)[0])) == len(GRAMMAR.phrases)
    for missing in (" while ", "the mouth is closed", "</think>"):
        with pytest.raises(BundleError, match=f"does not match the tokenizer: it has no token '{missing}'"):
            phrase_ids(make_tokenizer(GRAMMAR, without=missing), GRAMMAR)


def test_a_grammar_that_speaks_of_what_the_bundle_does_not_have_is_refused():
    check_names(GRAMMAR, CUES, LABELS)
    with pytest.raises(BundleError, match="speaks of 'eye_opening'"):
        check_names(GRAMMAR, [name for name in CUES if name != "eye_opening"], LABELS)
    with pytest.raises(BundleError, match="speaks of 'anger'"):
        check_names(GRAMMAR, CUES, LABELS[:3])
