import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.language.labels import EMOTIONS_8
from edge.language.rationale import MAX_RATIONALE_CHARS, masked_sentences, parse_completion, split_sentences, write_completion

_plain = st.text(st.characters(blacklist_characters="<>", blacklist_categories=("Cs",)), min_size=1, max_size=200).filter(str.strip)


@given(_plain, st.sampled_from(EMOTIONS_8))
def test_parse_completion_returns_what_was_written(rationale, answer):
    done = parse_completion(write_completion(rationale, answer), EMOTIONS_8)
    assert (done.rationale, done.answer) == (rationale.strip(), answer)


@given(st.text())
def test_parse_completion_never_fails_and_answers_only_labels(text):
    assert parse_completion(text, EMOTIONS_8).answer in ("", *EMOTIONS_8)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "happiness",
        "<think>Brows up.</think>",
        "<think></think><answer>fear</answer>",
        "<think>   </think><answer>fear</answer>",
        "<think>Brows up.</think><answer>joyful</answer>",
        "<think>Brows up.</think><answer>fear</answer> and more",
        "before <think>Brows up.</think><answer>fear</answer>",
        "<think>a<think>b</think><answer>fear</answer>",
        "<think>a</think><answer>anger</answer><think>b</think><answer>fear</answer>",
        "<think>a <image> b</think><answer>fear</answer>",
        "<think>" + "x" * (MAX_RATIONALE_CHARS + 1) + "</think><answer>fear</answer>",
    ],
)
def test_parse_completion_refuses_what_breaks_the_template(text):
    done = parse_completion(text, EMOTIONS_8)
    assert (done.rationale, done.answer) == ("", "")


def test_split_sentences_keeps_text_and_drops_blanks():
    assert split_sentences("One. Two!  Three?\n\nFour") == ["One.", "Two!", "Three?", "Four"]
    assert split_sentences("  ") == []


@given(st.text())
def test_split_sentences_loses_no_word(text):
    assert "".join("".join(split_sentences(text)).split()) == "".join(text.split()) or any(c in text for c in "\"')]")


def test_masked_sentences_hide_the_name():
    assert masked_sentences("Brows up. This is fear.") == ["Brows up.", "This is [emotion]."]
