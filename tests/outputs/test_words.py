import math

import pytest
from phrasebook import grammar_values, make_facts

from edge.language.grammar import read_grammar
from edge.language.statements import KINDS
from edge.outputs.words import in_words, measure
from edge.types import Statement


@pytest.mark.parametrize(
    ("kind", "subject", "direction", "band", "measured", "words", "shown"),
    [
        ("movement", "mouth_opening", 1, "strong", 3.93, "mouth opening strongly above neutral", "+3.9"),
        ("movement", "inner_brow", -1, "slight", -1.26, "inner brow slightly below neutral", "-1.3"),
        ("movement", "lip_corners", 1, "plain", 2.0, "lip corners above neutral", "+2.0"),
        ("rest", "eye_opening", 0, "", -0.04, "eye opening at rest", "+0.0"),
        ("one_sided", "corner_asymmetry", 1, "plain", 2.0, "corner asymmetry: higher on the person's left", "+2.0"),
        ("one_sided", "corner_asymmetry", -1, "plain", -2.0, "corner asymmetry: higher on the person's right", "-2.0"),
        ("eyes_closed", "eye_opening", 0, "", -4.0, "eyes closed", "-4.0"),
        ("pose", "yaw", 1, "plain", 24.6, "head turned to the person's left", "+25°"),
        ("pose", "yaw", -1, "far", -41.0, "head turned far to the person's right", "-41°"),
        ("pose", "pitch", 1, "far", 33.0, "head raised far", "+33°"),
        ("pose", "pitch", -1, "plain", -0.2, "head lowered", "+0°"),
        ("covered", "mouth", 0, "", 1.0, "mouth out of sight", "100 %"),
        ("certainty", "", 0, "sure", 0.934, "certainty: sure", "93 %"),
        ("runner_up", "sadness", 0, "", 0.2, "second: sadness", "20 %"),
        ("conclusion", "anger", 0, "", 0.5, "conclusion: anger", "50 %"),
        ("movement", "lip_corners", 1, "plain", math.nan, "lip corners above neutral", "not measured"),
    ],
)
def test_a_statement_is_said_in_plain_words_with_its_measure(kind, subject, direction, band, measured, words, shown):
    said = Statement(kind, subject, direction, band, measured, True)
    assert (in_words(said), measure(said)) == (words, shown)


def test_a_rest_that_denies_one_side_says_which():
    assert in_words(Statement("rest", "lip_corners", 0, "", -2.0, True, within=(-99.0, 0.9))) == "lip corners not above neutral"
    assert in_words(Statement("rest", "lip_corners", 0, "", 0.2, True, within=(-0.9, 0.9))) == "lip corners at rest"


def test_different_statements_are_said_differently():
    grammar = read_grammar(grammar_values())
    said = {said for phrase in grammar.phrases for said in phrase.says}
    words = {in_words(grammar.rules.check(s, make_facts(), "happiness")) for s in said}
    assert {s.kind for s in said} == set(KINDS)
    assert len(words) == len(said)
