import random
from collections import Counter

import numpy as np
import pytest
from grammars import CONFIG, whole_grammar
from hypothesis import given
from hypothesis import strategies as st

from edge.language.grammar import read_grammar
from edge.language.labels import EMOTIONS_8, mask_emotions, named_emotions
from edge.language.statements import CUE_KINDS, Facts
from training.contrast import Contrast
from training.cues import CUE_NAMES, SIDED
from training.language import GrammarConfig, build, configure, make_rules, reliable_from
from training.sentences import negate
from training.writer import ByFace, Readings, Writer, at_random, sentences_of, text_of


@pytest.fixture(scope="module")
def grammar():
    return whole_grammar()


def _facts(label="happiness", p=0.8, yaw=0.0, hidden=frozenset(), second="surprise", **cues):
    probabilities = dict.fromkeys(EMOTIONS_8, 0.0) | {second: 1 - p, label: p}
    return Facts(dict.fromkeys(CUE_NAMES, 0.0) | cues, yaw, 0.0, probabilities, hidden)


@given(st.lists(st.floats(-4, 4), min_size=14, max_size=14), st.floats(-60, 60), st.floats(0.3, 1.0), st.integers(0, 10**6))
def test_all_that_is_written_holds_and_is_read_back_as_it_was_written(grammar, cues, yaw, p, seed):
    facts = _facts("anger", p, yaw, second="fear", **dict(zip(CUE_NAMES, cues, strict=True)))
    phrases = Writer(grammar).write(facts, "anger", at_random(random.Random(seed)))
    if not phrases:  # nothing reliable can be said
        return
    parsed = grammar.parse(text_of(phrases))
    assert parsed.phrases == phrases
    assert parsed.conclusion == "anger"
    assert all(grammar.rules.check(said, facts, "anger").holds for said in parsed.said)
    spoken = [s.subject for s in parsed.said if s.about_face]
    assert len(spoken) == len(set(spoken))


def test_evidence_says_what_stands_out_and_a_smile_is_called_one(grammar):
    facts = _facts(lip_corners=3.0, mouth_width=3.0, mouth_opening=3.0)
    for seed in range(30):
        phrases = Writer(grammar).write(facts, "happiness", at_random(random.Random(seed)))
        moved = {s.subject for p in phrases for s in p.says if s.kind == "movement"}
        assert moved == {"lip_corners", "mouth_width", "mouth_opening"}
        assert "smile" in text_of(phrases)


def test_a_shouting_mouth_is_no_smile(grammar):
    facts = _facts("anger", lip_corners=3.5, mouth_opening=4.0, jaw_drop=3.0, mouth_width=0.0)
    texts = [text_of(Writer(grammar).write(facts, "anger", at_random(random.Random(seed)))) for seed in range(30)]
    assert not any("smile" in t or "corners" in t for t in texts)


def test_the_evidence_is_the_same_whatever_the_label(grammar):
    texts, facts = [], _facts("neutral", 0.9, inner_brow=2.5)
    for label in ("anger", "fear"):
        phrases = Writer(grammar).write(facts, label, at_random(random.Random(3)))
        texts.append([s.text for s in sentences_of(phrases)])
    assert texts[0] == texts[1]


def test_what_is_hidden_is_told_and_nothing_is_said_of_it(grammar):
    hidden = frozenset(grammar.rules.regions["mouth"])
    for seed in range(20):
        phrases = Writer(grammar).write(
            _facts(hidden=hidden, lip_corners=3.0, eye_opening=2.5), "happiness", at_random(random.Random(seed))
        )
        assert phrases[0].says[0][:2] == ("covered", "mouth")
        assert not hidden & {s.subject for p in phrases for s in p.says if s.kind in CUE_KINDS}


def test_a_torn_head_names_both_and_a_sure_one_none_else(grammar):
    torn = [text_of(Writer(grammar).write(_facts(p=0.6, mouth_width=3.0), "happiness", at_random(random.Random(i)))) for i in range(20)]
    assert all(set(named_emotions(t)) == {"happiness", "surprise"} for t in torn)
    sure = [text_of(Writer(grammar).write(_facts(p=0.99, mouth_width=3.0), "happiness", at_random(random.Random(i)))) for i in range(20)]
    assert all(named_emotions(t) == ("happiness",) for t in sure)


def test_wording_follows_the_face_and_spreads(grammar):
    rng, writer = np.random.default_rng(0), Writer(grammar)
    readings = rng.normal(size=(400, 17)) * 0.3
    wording, facts = ByFace.fit(readings), _facts(eye_opening=-1.8)
    texts = [text_of(writer.write(facts, "happiness", wording(row))) for row in readings]
    assert texts == [text_of(writer.write(facts, "happiness", wording(row))) for row in readings]
    assert len(set(texts)) > 110
    assert Counter(texts).most_common(1)[0][1] < 20
    still = [text_of(writer.write(facts, "happiness", wording(readings[0] + d))) for d in rng.normal(size=(50, 17)) * 1e-3]
    assert len(set(still)) <= 3  # a face that hardly moves keeps its words

    turned = np.where(SIDED, -readings, readings)
    assert texts == [text_of(writer.write(facts, "happiness", wording(row))) for row in turned]


def test_masking_leaves_nothing_that_names_an_emotion(grammar):
    assert not any(named_emotions(mask_emotions(p.text)) for p in grammar.phrases)


def _read(cues: np.ndarray) -> Readings:
    return Readings(cues, np.zeros((len(cues), 3)), np.full((len(cues), len(EMOTIONS_8)), 1 / len(EMOTIONS_8)))


def test_reliable_from_takes_the_least_threshold_that_the_landmarks_bear_out():
    rng = np.random.default_rng(1)
    read = np.zeros((400, len(CUE_NAMES)))
    truth = np.zeros_like(read)
    read[:, 0] = np.linspace(-4, 4, 400)
    truth[:, 0] = np.where(read[:, 0] > 2.5, 2.0, 0.5)  # holds above 2.5 only
    truth[:, 1], read[:, 1] = 2.0, rng.uniform(3, 4, 400)
    config = GrammarConfig(0.95, 0.02, 10, {"": 1.6, "outer_brow": 3.1}, {"": 0.9}, [], {"": 2.1}, {"": 3.0}, 1)
    found = reliable_from([(_read(read), truth)], config)
    assert 2.4 <= found["inner_brow"]["1"] <= 2.6
    assert "-1" not in found["inner_brow"]
    assert found["outer_brow"] == {"1": 3.1}
    worse = truth.copy()
    worse[:, 0] = np.where(read[:, 0] > 3.0, 2.0, 0.5)
    few = (_read(read[:5]), np.zeros((5, len(CUE_NAMES))))
    both = reliable_from([(_read(read), truth), (_read(read), worse), few], config)
    assert 2.9 <= both["inner_brow"]["1"] <= 3.1, "a threshold holds on every set that has enough faces"


def test_a_floor_may_be_that_of_one_side():
    lids = CUE_NAMES.index("eye_opening")
    read = np.zeros((400, len(CUE_NAMES)))
    read[:, lids] = np.linspace(-4, 4, 400)
    config = GrammarConfig(0.95, 0.02, 10, {"": 1.2, "eye_opening": 1.6, "eye_opening-": 2.0}, {"": 0.9}, [], {"": 2.1}, {"": 3.0}, 1)
    assert reliable_from([(_read(read), read)], config)["eye_opening"] == {"1": 1.6, "-1": 2.0}


def test_low_brows_and_a_wrinkled_nose_are_told_of_no_smiling_face():
    read = np.zeros((400, len(CUE_NAMES)))
    for name, side in (("inner_brow", -1), ("nose_wrinkle", 1)):
        read[:, CUE_NAMES.index(name)] = side * np.linspace(0, 4, 400)
    config = GrammarConfig(0.95, 0.02, 10, {"": 1.6}, {"": 0.9}, [], {"": 2.1}, {"": 3.0}, 1)
    calm = _read(read)
    assert {"inner_brow", "nose_wrinkle"} <= reliable_from([(calm, read)], config).keys()
    happy = Readings(calm.cues, calm.pose, np.eye(len(EMOTIONS_8))[np.full(400, EMOTIONS_8.index("happiness"))])
    assert not {"inner_brow", "nose_wrinkle"} & reliable_from([(happy, read)], config).keys()


def test_faces_of_which_a_movement_cannot_be_stated_do_not_speak_against_it():
    smile, width = CUE_NAMES.index("lip_corners"), CUE_NAMES.index("mouth_width")
    read, truth = np.zeros((400, len(CUE_NAMES))), np.zeros((400, len(CUE_NAMES)))
    read[:, smile], read[::2, width] = 2.0, 2.0
    truth[::2, smile] = 2.0
    config = GrammarConfig(0.95, 0.02, 10, {"": 1.6}, {"": 0.9}, [], {"": 2.1}, {"": 3.0}, 1)
    assert reliable_from([(_read(read), truth)], config)["lip_corners"] == {"1": 1.6}
    read[:, width] = 2.0
    assert "lip_corners" not in reliable_from([(_read(read), truth)], config)


def test_phrases_that_cannot_be_read_reliably_are_left_out():
    small = read_grammar(build(make_rules({"lip_corners": {"1": 2.0}}, CONFIG)))
    moved = {s.subject for p in small.phrases for s in p.says if s.kind == "movement"}
    assert moved == {"lip_corners"}


def test_negate_denies():
    for seed in range(30):
        text = negate("The lips are parted.", random.Random(seed))
        assert any(word in text.lower() for word in ("not", "never", "no"))
        assert text != "The lips are parted."


def test_rest_alone_speaks_for_nothing_but_a_neutral_expression(grammar):
    assert not Writer(grammar).write(_facts("sadness", 0.97), "sadness", at_random(random.Random(0)))
    assert Writer(grammar).write(_facts("neutral", 0.97), "neutral", at_random(random.Random(0)))
    assert grammar.parse("The eyelids are at rest. No smile is visible. The expression is neutral.")
    assert not grammar.parse("The eyelids are at rest. No smile is visible. The face shows happiness.")
    assert not grammar.parse("The eyelids are at rest, and the mouth is closed. Most likely this is sadness; anger is not far off.")
    assert not grammar.parse("The mouth is closed; the head is lowered. The person looks sad.")
    assert grammar.parse("The eyelids are at rest. The mouth is drawn wide. The face shows happiness.")


def test_a_wide_open_mouth_is_told_from_parted_lips():
    rules = make_rules({"mouth_opening": {"1": 3.0}, "lip_corners": {"1": 2.0}}, configure(None, []))
    bands = read_grammar(build(rules)).rules.movement["mouth_opening"][1]
    assert [(3.5 in span, 8.0 in span) for span in (bands["slight"], bands["plain"], bands["strong"])] == [
        (True, False),
        (True, True),
        (False, True),
    ]


def test_one_observation_is_not_summed_up(grammar):
    for ending in ("Taken together, this is an expression of happiness.", "All in all, the person looks happy."):
        assert not grammar.parse(f"The mouth is drawn wide. {ending}")
        assert grammar.parse(f"The mouth is drawn wide. The eyelids are at rest. {ending}")
        assert not grammar.parse(f"The mouth is drawn wide, and the head is raised. {ending}"), "where it points is no reason"


def test_brows_that_are_not_raised_are_told_of_a_calm_face_alone(grammar):
    assert grammar.parse("The eyelids are at rest; neither brow is raised. The face looks neutral.")
    assert not grammar.parse("A broad smile parts the lips; neither brow is raised. The person looks happy.")
    assert not grammar.parse("A broad smile parts the lips. The brows are not raised. The person looks happy.")


def test_no_smile_holds_of_corners_that_turn_down_and_eyes_at_rest_are_at_rest(grammar):
    said = grammar.parse("The eyelids are at rest; there is no smile. The face looks neutral.").said
    eyes, corners = (next(s for s in said if s.subject == cue) for cue in ("eye_opening", "lip_corners"))
    facts = _facts("neutral", 0.97, lip_corners=-2.0, eye_opening=-2.0)
    assert grammar.rules.holds(corners, facts, "neutral")
    assert not grammar.rules.holds(eyes, facts, "neutral")


def test_with_a_contrast_only_the_wording_is_chosen_and_rest_answers_what_is_likely_next(grammar):
    odds = np.repeat(np.eye(len(EMOTIONS_8))[:3], 10, 0)
    cues = np.repeat([[0.0], [1.0], [1.0]], 10, 0) * np.linspace(0.1, 0.2, len(CUE_NAMES))
    cues[10:20, CUE_NAMES.index("lip_corners")] = cues[20:, CUE_NAMES.index("outer_brow")] = 3.0
    writer = Writer(grammar, Contrast.fit(cues, odds, grammar))
    for second, first in (("happiness", "lip_corners"), ("surprise", "outer_brow")):
        told = [writer.write(_facts("neutral", 0.85, second=second), "neutral", at_random(random.Random(i))) for i in range(20)]
        said = {frozenset(s.subject for p in phrases for s in p.says if s.kind == "rest") for phrases in told}
        assert len(said) == 1, "statements do not hang on chance"
        assert first in {s.subject for s in told[0][0].says}
        assert len({text_of(phrases) for phrases in told}) > 5
