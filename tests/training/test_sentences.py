import random

import numpy as np

from edge.language.labels import mask_emotions
from edge.language.phrases import ABSENCE, CLAUSES
from training.cues import CUE_NAMES
from training.phrases import ELSEWHERE
from training.sentences import DENIED_BELOW, SentenceWriter, negate


def _writer(faces: int = 40) -> SentenceWriter:
    rng = np.random.default_rng(0)
    return SentenceWriter(rng.normal(0, 1.6, (faces, len(CUE_NAMES))), np.zeros((faces, 3)), np.eye(8)[rng.integers(0, 8, faces)], 0)


def test_every_claim_of_a_drawn_sentence_is_true_of_its_face():
    writer = _writer()
    plain = {clause.format(""): (cue, direction) for (cue, direction), clauses in CLAUSES.items() for clause in clauses}
    denials = 0
    for face in list(range(len(writer))) * 20:
        example = writer.draw(face)
        measured = dict(zip(CUE_NAMES, writer.cues[face], strict=True))
        assert all(measured[name] * direction > 1 for name, direction in example.claims if direction)
        said = example.text.lower().replace(" not", "").replace(" never", "").replace(" by no means", "")
        if any(direction == 0 for _, direction in example.claims) and example.text not in ABSENCE:
            denied = [claim for clause, claim in plain.items() if clause in said and (claim[0], 0) in example.claims]
            denials += len(denied)
            assert all(measured[cue] * direction < DENIED_BELOW for cue, direction in denied)
    assert denials > 50


def test_sentences_of_evidence_have_the_crowd_as_target_and_names_have_themselves():
    writer = _writer()
    examples = [writer.draw(face) for face in list(range(len(writer))) * 10]
    claimed = [e for e in examples if e.claims]
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
    assert set(ELSEWHERE) == set(CLAUSES)
    assert all(mask_emotions(text) == text for texts in ELSEWHERE.values() for text in texts)
