import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from phrasebook import CUES, LABELS, make_config, make_facts

from edge.language.rationale import Completion
from edge.language.verdict import Candidate, consistency, decide, evidence_scores, grounding, judge, read_claims, sentences_of
from edge.language.verifier import SentenceReading, sentence_emotions
from edge.types import Claim, Statement, Verdict

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


def test_grounding_is_the_share_of_statements_that_hold():
    held, broken = (Statement("movement", "a", 1, "plain", 2.0, holds) for holds in (True, False))
    assert grounding(()) == 1
    assert grounding((held, broken)) == 0.5


def test_read_claims_take_each_cue_once():
    p = np.zeros((2, 3, 3))
    p[0, 1, 0] = p[1, 1, 0] = p[1, 0, 1] = p[0, 2, 2] = 0.9
    assert read_claims(p, {"a": -2.0, "b": 3.0, "c": 0.5}, 0.5) == (Claim("a", -1, -2.0), Claim("b", 1, 3.0), Claim("c", 0, 0.5))


def _decide(grammar, text, answer, shown, facts, *, speaks_for=None, covered=0.0, claimed=(), **verdict):
    """Judge a text whose masked evidence speaks for its answer, unless told otherwise; the network reads `claimed` in it."""
    config, parsed = make_config(**verdict), grammar.parse(text)
    emotions = np.full((1, len(LABELS)), 0.02)
    emotions[0, LABELS.index(speaks_for or answer or "neutral")] = 0.9
    claims = np.zeros((1, len(CUES), 3))
    for name, column in claimed:
        claims[0, CUES.index(name), column] = 0.99
    reading = SentenceReading(emotions, claims, np.array([covered]))
    return decide(Candidate(Completion(text, answer), parsed, reading), shown, facts, grammar, config, 1)


_TORN = {"probabilities": {"happiness": 0.6, "sadness": 0.4}}
_CLEAR = {"probabilities": {"happiness": 0.9, "sadness": 0.1}}
_SMILE = "A smile parts the lips, and the brows are at rest. The person clearly looks happy."


def test_decide_verifies_a_text_of_which_everything_holds(small_grammar):
    done = _decide(small_grammar, _SMILE, "happiness", "happiness", make_facts())
    assert done.status is Verdict.VERIFIED
    assert done.text == done.draft == _SMILE
    assert [(s.kind, s.subject, s.measured) for s in done.statements] == [
        ("movement", "lip_corners", 3.0), ("movement", "mouth_opening", 2.0), ("rest", "inner_brow", 0.2), ("rest", "outer_brow", -0.1),
        ("conclusion", "happiness", 0.92), ("certainty", "", 0.92),
    ]  # fmt: skip
    assert [(c.cue, c.direction) for c in done.claims] == [("lip_corners", 1), ("mouth_opening", 1), ("inner_brow", 0), ("outer_brow", 0)]


@pytest.mark.parametrize(
    ("changed", "broken"),
    [
        ({"lip_corners": 0.9}, "lip_corners"),
        ({"lip_corners": -3.0}, "lip_corners"),
        ({"mouth_opening": 1.1}, "mouth_opening"),
        ({"inner_brow": 1.1}, "inner_brow"),
        ({"outer_brow": -1.1}, "outer_brow"),
        ({"hidden": frozenset({"outer_brow"})}, "outer_brow"),
        ({"dim": frozenset({"lip_corners", "outer_brow"})}, "outer_brow"),
        ({"probabilities": {"happiness": 0.89, "sadness": 0.11}}, ""),
    ],
)
def test_one_statement_that_does_not_hold_is_enough(small_grammar, changed, broken):
    done = _decide(small_grammar, _SMILE, "happiness", "happiness", make_facts(**changed))
    assert done.status is Verdict.REJECTED
    assert done.text == done.to_dict()["text"] == ""
    assert [s.subject for s in done.statements if not s.holds] == [broken]
    assert done.grounding == pytest.approx(5 / 6)


@pytest.mark.parametrize(
    ("text", "facts", "holds"),
    [
        ("A smile parts the lips, and the head is turned to the person's left. The person looks happy.", {"yaw_deg": 25.0}, True),
        ("A smile parts the lips, and the head is turned to the person's left. The person looks happy.", {"yaw_deg": -25.0}, False),
        ("A smile parts the lips, and the head is turned to the person's left. The person looks happy.", {"yaw_deg": 2.0}, False),
        ("The eyes are closed. The person looks happy.", {"eye_opening": -4.0}, True),
        ("The eyes are closed. The person looks happy.", {"eye_opening": -1.0}, False),
        ("The eyes are out of sight. The mouth is open. The person looks happy.", {"hidden": frozenset({"eye_opening"})}, True),
        ("The eyes are out of sight. The mouth is open. The person looks happy.", {}, False),
        ("The mouth is open wide. The person looks happy.", {}, False),
        ("The mouth is open wide. The person looks happy.", {"mouth_opening": 3.0}, True),
        ("One lip corner is higher. The person looks happy.", {"corner_asymmetry": 2.0}, True),
        ("One lip corner is higher. The person looks happy.", {"corner_asymmetry": 2.0, "yaw_deg": 30.0}, False),
        ("The mouth is open. Most likely this is happiness; sadness is close.", _TORN, True),
        ("The mouth is open. Most likely this is happiness; anger is close.", _TORN, False),
        ("The mouth is open. Most likely this is happiness; sadness is close.", _CLEAR, False),
    ],
)  # fmt: skip
def test_pose_eyes_covered_intensity_side_certainty_and_runner_up_must_hold_too(small_grammar, text, facts, holds):
    assert small_grammar.parse(text), "a slip of this test"
    done = _decide(small_grammar, text, "happiness", "happiness", make_facts(**facts))
    assert done.status is (Verdict.VERIFIED if holds else Verdict.REJECTED)


@pytest.mark.parametrize(
    ("text", "answer", "shown", "speaks_for"),
    [
        (_SMILE, "happiness", "anger", "happiness"),  # explains another label than the one that is shown
        (_SMILE, "anger", "anger", "anger"),  # answers what the text does not conclude
        (_SMILE, "happiness", "happiness", "anger"),  # its evidence speaks for something else
        ("", "", "happiness", "happiness"),  # not of the template
    ],
)
def test_a_true_text_that_does_not_speak_for_the_shown_label_is_rejected(small_grammar, text, answer, shown, speaks_for):
    done = _decide(small_grammar, text, answer, shown, make_facts(), speaks_for=speaks_for)
    assert done.status is Verdict.REJECTED
    assert done.text == ""


def test_a_text_that_says_nothing_of_the_face_is_rejected(small_grammar):
    """Covered and posed is not yet a reason for a label."""
    candidate = small_grammar.parse("The mouth is open. The person looks happy.")
    stripped = type(candidate)(candidate.phrases[2:])
    reading = SentenceReading(np.array([[0.02, 0.9, 0.02, 0.02]]), np.zeros((1, len(CUES), 3)), np.ones(1))
    done = decide(Candidate(Completion("x", "happiness"), stripped, reading), "happiness", make_facts(), small_grammar, make_config(), 1)
    assert all(s.holds for s in done.statements)
    assert done.status is Verdict.REJECTED


_GLUED = [
    _SMILE + " The.",
    _SMILE.replace("brows are", "brows brows are"),
    _SMILE + " She wears a hat.",
    "No part of the face stands out. face is seen from the side, turned right. right. The. The expression looks like neutral.",
]


@pytest.mark.parametrize("text", _GLUED)
def test_what_is_not_understood_is_withheld(small_grammar, text):
    """The network reads the smile in it and nothing that is wrong; that something was passed over decides."""
    done = _decide(small_grammar, text, "happiness", "happiness", make_facts(), covered=0.79, claimed=[("lip_corners", 0)])
    assert done.status is Verdict.REJECTED
    assert done.text == ""


def test_a_text_of_another_writer_is_verified_by_what_the_network_reads(small_grammar):
    def judged(text="A grin shows.", facts=None, **options):
        options = {"covered": 0.9, "claimed": [("lip_corners", 0)]} | options
        return _decide(small_grammar, text, "happiness", "happiness", facts or make_facts(), **options)

    done = judged()
    assert done.status is Verdict.VERIFIED
    assert [(s.kind, s.subject, s.direction, s.holds) for s in done.statements] == [("movement", "lip_corners", 1, True)]
    assert judged(claimed=[("lip_corners", 1)]).status is Verdict.REJECTED, "the opposite of what is measured"
    assert judged(claimed=[]).status is Verdict.REJECTED, "nothing that can be checked"
    assert judged(text="A grin shows. This is anger.").status is Verdict.REJECTED, "it names another emotion"
    assert judged(facts=make_facts(hidden=frozenset({"lip_corners"}))).status is Verdict.REJECTED
    assert judged(min_covered=1.1).status is Verdict.REJECTED, "where no network may vouch for a text"
    rest = judged(claimed=[("inner_brow", 2)])
    assert [(s.kind, s.direction, s.within, s.holds) for s in rest.statements] == [("rest", 0, (-1.4, 1.4), True)]
    dim = make_facts(dim=frozenset({"inner_brow", "lip_corners"}))
    assert judged(facts=dim).status is Verdict.VERIFIED
    assert judged(facts=dim, claimed=[("inner_brow", 2)]).status is Verdict.REJECTED, "what cannot be seen reads as neutral"


def test_one_sentence_that_was_passed_over_is_enough(small_grammar):
    reading = SentenceReading(np.array([[0.02, 0.9, 0.02, 0.02]] * 2), np.zeros((2, len(CUES), 3)), np.array([0.99, 0.1]))
    reading.claims[0, CUES.index("lip_corners"), 0] = 0.99
    candidate = Candidate(Completion("A grin shows. The food was good.", "happiness"), None, reading)
    assert decide(candidate, "happiness", make_facts(), small_grammar, make_config(), 1).status is Verdict.REJECTED
    reading.covered[1] = 0.9
    assert decide(candidate, "happiness", make_facts(), small_grammar, make_config(), 1).status is Verdict.VERIFIED


def test_the_verifier_reads_the_evidence_of_a_text_that_parses_and_all_of_another(small_grammar):
    parsed = small_grammar.parse(_SMILE)
    assert sentences_of(Completion(_SMILE, "happiness"), parsed) == ["A smile parts the lips, and the brows are at rest."]
    assert sentences_of(Completion("A grin. This is joy.", "happiness"), None) == ["A grin.", "This is [emotion]."]
