from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from edge.language.rationale import Completion
from edge.language.verdict import Candidate, consistency, decide, evidence_scores, grounding, judge, read_claims
from edge.language.verifier import SentenceReading, sentence_emotions
from edge.types import Claim, Verdict

_PRIOR = np.full(11, 0.1)


@given(hnp.arrays(float, (3, 11), elements=st.floats(0, 1)), st.integers(0, 7))
def test_consistency_lies_between_0_and_1_and_is_1_for_the_judged_label(emotions, answer):
    value = consistency(emotions, _PRIOR, answer, 8)
    assert 0 <= value <= 1
    assert consistency(emotions, _PRIOR, judge(emotions, _PRIOR, 8), 8) == 1


@given(hnp.arrays(float, (1, 11), elements=st.floats(0.01, 1)), st.integers(1, 4))
def test_sentences_that_say_nothing_change_no_judgement(emotions, count):
    padded = np.concatenate([emotions, np.tile(_PRIOR, (count, 1))])
    assert np.allclose(evidence_scores(padded, _PRIOR), evidence_scores(emotions, _PRIOR))


def test_consistency_of_no_sentences_is_0():
    assert consistency(np.zeros((0, 11)), _PRIOR, 0, 8) == 0


def test_sentence_emotions_follow_the_papers_rule():
    p = np.array([[0.05, 0.09, 0.01], [0.2, 0.05, 0.01], [0.3, 0.2, 0.15]])
    assert sentence_emotions(p) == [[1], [0], [0, 1]]


def test_claims_are_supported_beyond_one_and_contradicted_beyond_zero():
    states = [(Claim("lip_corners", 1, z).supported, Claim("lip_corners", 1, z).contradicted) for z in (1.5, 0.5, -0.5)]
    assert states == [(True, False), (False, False), (False, True)]
    rest = [(Claim("lip_corners", 0, z).supported, Claim("lip_corners", 0, z).contradicted) for z in (-1.0, 1.7, -2.5)]
    assert rest == [(True, False), (False, False), (False, True)]
    assert grounding(()) == 1
    assert grounding((Claim("a", 1, 2.0), Claim("b", -1, 2.0))) == 0.5


def test_read_claims_take_each_cue_once():
    p = np.zeros((2, 3, 3))
    p[0, 1, 0] = p[1, 1, 0] = p[1, 0, 1] = p[0, 2, 2] = 0.9
    assert read_claims(p, {"a": -2.0, "b": 3.0, "c": 0.5}, 0.5) == (Claim("a", -1, -2.0), Claim("b", 1, 3.0), Claim("c", 0, 0.5))


@pytest.fixture
def config(pipeline):
    base = pipeline.bundle.config
    return replace(base, verdict=replace(base.verdict, min_consistency=0.3, min_grounding=0.5, prior=_PRIOR.tolist()))


def _candidate(config, rationale, answer, *, happiness=0.9, claimed=()):
    emotions = np.full((1, 11), 0.02)
    emotions[0, 1] = happiness
    claims = np.zeros((1, len(config.cues), 3))
    for name, column in claimed:
        claims[0, [c.name for c in config.cues].index(name), column] = 0.99
    return Candidate(Completion(rationale, answer), SentenceReading(emotions, claims))


def test_decide_verifies_a_text_that_speaks_for_its_answer_and_holds_on_the_face(config):
    cues = {c.name: 2.0 for c in config.cues}
    done = decide(
        _candidate(config, "The lip corners are pulled up.", "happiness", claimed=[("lip_corners", 0)]), "happiness", cues, config, 1
    )
    assert done.status is Verdict.VERIFIED
    assert done.text == done.draft == "The lip corners are pulled up."


@pytest.mark.parametrize(
    ("rationale", "answer", "shown", "column"),
    [
        ("The lip corners are pulled up.", "happiness", "anger", 0),  # explains another label than the one that is shown
        ("The lip corners are pulled up.", "anger", "anger", 0),  # speaks for happiness
        ("Lips up. This is anger.", "happiness", "happiness", 0),  # names something else
        ("The lip corners are pulled up.", "happiness", "happiness", 1),  # claims the opposite of what is measured
        ("", "", "happiness", 0),  # unparseable
        ("The lip corners are pulled up.", "happiness", "happiness", None),  # claims nothing that can be checked
    ],
)
def test_decide_rejects_and_withholds_the_text(config, rationale, answer, shown, column):
    cues = {c.name: 2.0 for c in config.cues}
    claimed = [("lip_corners", column)] if column is not None else []
    done = decide(_candidate(config, rationale, answer, claimed=claimed), shown, cues, config, 1)
    assert done.status is Verdict.REJECTED
    assert done.text == ""
    assert done.to_dict()["text"] == ""


def test_a_claim_about_something_out_of_sight_is_not_supported_and_not_shown(config):
    cues = {c.name: 2.0 for c in config.cues}
    candidate = _candidate(config, "The lip corners are pulled up.", "happiness", claimed=[("lip_corners", 0), ("inner_brow", 0)])
    done = decide(candidate, "happiness", cues, config, 1, frozenset({"lip_corners"}))
    assert done.status is Verdict.REJECTED
    assert done.grounding == 0.5
    assert [(c.cue, c.visible, c.supported) for c in done.claims] == [("inner_brow", True, True), ("lip_corners", False, False)]
    assert decide(candidate, "happiness", cues, config, 1, frozenset({"jaw_drop"})).status is Verdict.VERIFIED
