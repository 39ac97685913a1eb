import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from phrasebook import CUES, LABELS, grammar_values, make_facts

from edge.language.grammar import read_grammar
from edge.language.statements import CUE_KINDS, KINDS, Facts, Range, Rules, Said
from edge.types import UNBOUNDED

GRAMMAR = read_grammar(grammar_values())
RULES = GRAMMAR.rules
SAID = tuple(dict.fromkeys(said for phrase in GRAMMAR.phrases for said in phrase.says))


def _check(kind: str, subject: str, direction: int, band: str, facts: Facts, shown: str = "happiness"):
    return RULES.check(Said(kind, subject, direction, band), facts, shown)


@pytest.mark.parametrize(
    ("said", "cue", "holding", "failing"),
    [
        (("movement", "lip_corners", 1, "plain"), "lip_corners", (1.0, 2.0, 99.0), (0.99, -2.0, 99.1)),
        (("movement", "lip_corners", -1, "plain"), "lip_corners", (-1.0, -7.0), (-0.99, 2.0, 0.0)),
        (("movement", "mouth_opening", 1, "strong"), "mouth_opening", (2.5, 9.0), (2.49, 1.5, -3.0)),
        (("movement", "inner_brow", -1, "slight"), "inner_brow", (-1.0, -2.0), (-0.9, -2.1, 1.5)),
        (("rest", "eye_opening", 0, ""), "eye_opening", (-1.0, 0.0, 1.0), (-1.01, 1.01)),
        (("eyes_closed", "eye_opening", 0, ""), "eye_opening", (-3.0, -8.0), (-2.9, 0.0, 3.0)),
        (("one_sided", "corner_asymmetry", 1, "plain"), "corner_asymmetry", (1.5, 4.0), (1.4, -2.0)),
    ],
)
def test_a_statement_about_a_cue_holds_within_its_range_and_not_beyond(said, cue, holding, failing):
    for values, holds in ((holding, True), (failing, False)):
        for z in values:
            done = _check(*said, make_facts(**{cue: z}))
            assert (done.holds, done.measured, done.visible) == (holds, z, True)
            hidden = _check(*said, make_facts(**{cue: z}, hidden=frozenset({cue})))
            assert (hidden.holds, hidden.visible) == (False, False), "what is out of sight cannot be stated"


def test_what_denies_one_side_alone_holds_of_whatever_lies_on_the_other():
    rules = replace(RULES, rest={**RULES.rest, "lip_corners": Range(-UNBOUNDED, 0.9)})
    no_smile = Said("rest", "lip_corners", 0, "")
    for z, holds, supported, contradicted in (
        (-3.0, True, True, False),
        (0.9, True, True, False),
        (1.0, False, True, False),
        (2.1, False, False, True),
    ):
        done = rules.check(no_smile, make_facts(lip_corners=z), "neutral")
        assert (done.holds, done.claim.supported, done.claim.contradicted) == (holds, supported, contradicted)
        assert rules.claim(no_smile, z) == done.claim
    both = replace(RULES, rest={"lip_corners": Range(-0.9, 0.9)}).claim(no_smile, -3.0)
    assert (both.supported, both.contradicted) == (False, True), "at rest on both sides"


@pytest.mark.parametrize(
    ("said", "yaw", "pitch", "holds"),
    [
        (("pose", "yaw", 1, "plain"), 20.0, 0.0, True),
        (("pose", "yaw", 1, "plain"), 19.9, 0.0, False),
        (("pose", "yaw", 1, "plain"), -40.0, 0.0, False),
        (("pose", "yaw", -1, "far"), -38.0, 0.0, True),
        (("pose", "yaw", -1, "far"), -30.0, 0.0, False),
        (("pose", "yaw", -1, "far"), 50.0, 0.0, False),
        (("pose", "pitch", -1, "plain"), 0.0, -17.0, True),
        (("pose", "pitch", -1, "plain"), 45.0, 17.0, False),
        (("pose", "pitch", -1, "plain"), 0, 0, False),
    ],
)
def test_a_pose_holds_on_its_side_and_from_its_angle(said, yaw, pitch, holds):
    done = _check(*said, make_facts(yaw_deg=yaw, pitch_deg=pitch, hidden=frozenset(CUES[:1])))
    assert done.holds is holds
    assert done.measured == (yaw if said[1] == "yaw" else pitch)
    assert done.visible, "a face of which little is covered has a pose all the same"


def test_half_a_face_tells_that_it_is_turned_far_and_nothing_less():
    hidden, veiled = frozenset(CUES[: len(CUES) // 4]), frozenset(CUES[len(CUES) // 4 : len(CUES) // 2])
    for band, holds in (("plain", False), ("far", True)):
        done = _check("pose", "yaw", 1, band, make_facts(yaw_deg=50.0, hidden=hidden, veiled=veiled))
        assert (done.holds, done.visible) == (holds, holds)


def test_certainty_is_held_against_the_probability_of_the_shown_label():
    facts = make_facts(probabilities={"happiness": 0.92, "sadness": 0.05, "neutral": 0.02, "anger": 0.01})
    assert _check("certainty", "", 0, "sure", facts).holds
    assert not _check("certainty", "", 0, "likely", facts).holds
    assert not _check("certainty", "", 0, "sure", facts, "sadness").holds
    assert _check("certainty", "", 0, "unsure", facts, "sadness").measured == 0.05


def test_a_runner_up_is_the_second_label_and_close():
    def check(label: str, shown: str = "anger", **probabilities: float):
        return _check("runner_up", label, 0, "", make_facts(probabilities=probabilities), shown).holds

    close = {"anger": 0.5, "sadness": 0.3, "neutral": 0.2}
    assert check("sadness", **close)
    assert not check("neutral", **close), "the third is not the second"
    assert not check("anger", **close), "nor is the label itself"
    assert not check("sadness", anger=0.86, sadness=0.14), "0.14 is not close"
    assert check("anger", "sadness", **close), "a label on display that has just been overtaken has the leader as its second"


def test_a_conclusion_is_the_label_that_is_shown():
    assert _check("conclusion", "happiness", 0, "", make_facts()).holds
    assert not _check("conclusion", "sadness", 0, "", make_facts()).holds


def test_of_what_may_well_be_hidden_nothing_holds_and_it_is_not_called_out_of_sight():
    cues = frozenset({"lip_corners", "mouth_opening", "mouth_width"})
    facts = make_facts(lip_corners=4.0, veiled=cues)
    smile = _check("movement", "lip_corners", 1, "plain", facts)
    assert (smile.holds, smile.visible) == (False, False)
    assert _check("movement", "lip_corners", 1, "plain", make_facts(lip_corners=4.0)).holds
    assert not _check("covered", "mouth", 0, "", facts).holds


def test_what_is_not_clearly_in_sight_moves_but_is_not_at_rest():
    cues = frozenset({"eye_opening", "lip_corners"})
    assert _check("rest", "eye_opening", 0, "", make_facts(lip_corners=4.0)).holds
    dim = make_facts(lip_corners=4.0, dim=cues)
    rest = _check("rest", "eye_opening", 0, "", dim)
    assert (rest.holds, rest.visible) == (False, False)
    assert _check("movement", "lip_corners", 1, "plain", dim).holds


def test_a_region_is_covered_when_all_of_it_is():
    shares = [
        _check("covered", "mouth", 0, "", make_facts(hidden=frozenset(hidden)))
        for hidden in ((), ("lip_corners",), ("lip_corners", "mouth_opening"), ("eye_opening",))
    ]
    assert [(s.measured, s.holds, s.visible) for s in shares] == [(0, False, True), (0.5, False, True), (1, True, True), (0, False, True)]


def test_a_statement_may_ask_the_rest_of_the_face():
    said = ("one_sided", "corner_asymmetry", 1, "plain")
    assert _check(*said, make_facts(corner_asymmetry=3.0, yaw_deg=-12.0)).holds
    assert not _check(*said, make_facts(corner_asymmetry=3.0, yaw_deg=13.0)).holds
    values = grammar_values()["rules"]
    values["only_while"] = {"lip_corners-": {"inner_brow": [-1.0, 1.0]}, "eye_opening=": {"unheard": [-1.0, 1.0]}}
    rules = Rules.read(values)
    down = Said("movement", "lip_corners", -1, "plain")
    assert rules.check(down, make_facts(lip_corners=-2.0), "sadness").holds
    assert not rules.check(down, make_facts(lip_corners=-2.0, inner_brow=1.5), "sadness").holds
    assert rules.check(Said("movement", "lip_corners", 1, "plain"), make_facts(inner_brow=1.5), "happiness").holds, "the other side is free"
    assert not rules.check(Said("rest", "eye_opening", 0, ""), make_facts(), "neutral").holds, "what is not measured is not within"


def test_what_is_not_measured_does_not_hold():
    for said in SAID:
        if said.kind in CUE_KINDS:
            for facts in (Facts({}), make_facts(**{said.subject: math.nan})):
                assert not RULES.check(said, facts, "happiness").holds


@given(
    st.sampled_from(SAID),
    st.fixed_dictionaries({name: st.floats(-6, 6) for name in CUES}),
    st.floats(-60, 60),
    st.floats(-60, 60),
    st.lists(st.floats(0.01, 1), min_size=4, max_size=4),
    st.sampled_from(LABELS),
    st.sets(st.sampled_from(CUES)),
)
def test_what_holds_was_measured_within_the_tolerance_that_is_told(said, cues, yaw, pitch, weights, shown, hidden):
    facts = Facts(cues, yaw, pitch, {name: w / sum(weights) for name, w in zip(LABELS, weights, strict=True)}, frozenset(hidden))
    done = RULES.check(said, facts, shown)
    assert (done.kind, done.subject, done.direction, done.band) == tuple(said)
    if said.kind == "pose" and said.band == "plain":
        assert done.visible == (len(hidden) <= len(CUES) / 3)
    else:
        assert done.visible == (said.kind not in CUE_KINDS or said.subject not in hidden)
    within = not done.within or done.within[0] <= done.measured <= done.within[1]
    if done.holds:
        assert within
        assert done.visible
    elif said.kind in ("movement", "rest", "eyes_closed", "pose", "certainty"):
        assert not within or not done.visible, "nothing but its range decides on it"


def test_rules_come_back_from_json_the_same():
    assert Rules.read(RULES.to_dict()) == RULES


def test_the_small_grammar_makes_statements_of_every_kind():
    assert {said.kind for said in SAID} == set(KINDS)


def test_only_phrases_whose_every_statement_holds_are_holding():
    facts = make_facts(lip_corners=3.0, mouth_opening=2.0)
    holding = dict(zip((phrase.text for phrase in GRAMMAR.phrases), GRAMMAR.holding(facts, "happiness"), strict=True))
    wanted = {"a smile parts the lips": True, "the mouth is open": True, "the mouth is open wide": False, "the mouth is closed": False}
    wanted |= {"The person looks happy.": True, "The person looks sad.": False, ", and ": True, "Most likely this is happiness": False}
    assert {text: bool(holding[text]) for text in wanted} == wanted
