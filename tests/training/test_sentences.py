import random

import numpy as np
import pytest
from grammars import whole_grammar

from edge.language.labels import mask_emotions
from training.cues import CUE_NAMES
from training.phrases import ADDITIONS, ELSEWHERE
from training.sentences import DENIED_BELOW, SINGLE, SentenceWriter, negate, spoil
from training.writer import Readings, Writer


@pytest.fixture(scope="module")
def writer():
    rng = np.random.default_rng(0)
    votes = np.eye(8)[rng.integers(0, 8, 40)]
    readings = Readings(rng.normal(0, 1.6, (40, len(CUE_NAMES))), np.zeros((40, 3)), votes)
    return SentenceWriter(Writer(whole_grammar()), readings, votes, 0)


def test_every_claim_of_a_drawn_sentence_is_true_of_its_face(writer):
    denials = 0
    for face in list(range(len(writer))) * 20:
        example = writer.draw(face)
        measured = dict(zip(CUE_NAMES, writer.readings.cues[face], strict=True))
        assert all(measured[name] * direction > 1 for name, direction in example.claims if direction)
        if example.covered and any(no in example.text for no in (" not ", "never", "by no means", "no sign")):
            said = example.text.lower().replace(" not", "").replace(" never", "").replace(" by no means", "")
            denied = [c for c, texts in SINGLE.items() if any(text in said for text in texts) and (c[0], 0) in example.claims]
            denials += len(denied)
            assert all(measured[cue] * direction < DENIED_BELOW for cue, direction in denied)
    assert denials > 20


def test_covered_sentences_are_whole_and_spoilt_ones_are_not(writer):
    examples = [writer.draw(face) for face in list(range(len(writer))) * 20]
    spoilt = [e for e in examples if not e.covered]
    assert 0.1 < len(spoilt) / len(examples) < 0.4
    grammar = writer.writer.grammar
    closing = "The person looks happy."
    other = [e for e in spoilt if grammar.parse(f"{e.text} {closing}")]  # by chance another sentence of the language
    assert len(other) <= 0.03 * len(spoilt)
    assert sum(any(a in e.text.lower() for a in ADDITIONS) for e in spoilt) > 20


def test_spoil_never_returns_the_same_text():
    for seed in range(200):
        assert spoil("The brows are raised, and the mouth is open.", random.Random(seed)) != "The brows are raised, and the mouth is open."
    assert spoil("Yes.", random.Random(0)) != "Yes."


def test_sentences_of_evidence_have_the_crowd_as_target_and_names_have_themselves(writer):
    examples = [writer.draw(face) for face in list(range(len(writer))) * 10]
    claimed = [e for e in examples if e.claims and e.covered]
    assert {tuple(e.emotions) for e in claimed} <= {tuple(v) for v in writer.votes.astype(np.float32)}
    assert any("[emotion]" in e.text for e in examples)
    assert all(np.isclose(e.emotions.sum(), 1) for e in examples)


def test_a_negated_sentence_denies_each_of_its_clauses():
    text = "The brows are raised and the mouth is open."
    denied = {negate(text, random.Random(i)) for i in range(60)}
    assert len(denied) > 4
    for sentence in denied:
        assert sentence[0].isupper()
        whole = sentence.startswith(("It is not", "There is no", "At no time"))
        assert whole or all(sentence.count(word) >= 1 for word in (" are ", " is "))
        assert whole or sum(sentence.count(no) for no in (" not ", " never ", " by no means ")) == 2


def test_other_writers_words_cover_every_cue_and_give_no_emotion_away():
    assert set(ELSEWHERE) == {(cue, direction) for cue in CUE_NAMES for direction in (1, -1)}
    assert all(mask_emotions(text) == text for texts in ELSEWHERE.values() for text in texts)
