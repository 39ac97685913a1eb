import random

from edge.language.phrases import CLAUSES
from training.cues import CUE_NAMES
from training.sentences import negate
from training.writer import CLAIM_FROM, name_emotion, salient, write_evidence, write_rationale

_FRONT = (0.0, 0.0, 0.0)


def _cues(**values):
    return dict.fromkeys(CUE_NAMES, 0.0) | values


def test_every_cue_and_direction_has_four_phrasings_that_take_an_intensity():
    assert {(name, sign) for name in CUE_NAMES for sign in (1, -1)} == set(CLAUSES)
    for clauses in CLAUSES.values():
        assert len(set(clauses)) >= 4
        assert all(clause.count("{}") == 1 for clause in clauses)


def test_evidence_claims_exactly_the_salient_cues_the_strongest_first():
    cues = _cues(lip_corners=3.0, mouth_width=2.0, brow_gap=-1.0)
    for seed in range(50):
        claims = [c for s in write_evidence(cues, _FRONT, random.Random(seed)) for c in s.claims]
        assert claims == [("lip_corners", 1), ("mouth_width", 1)]


def test_evidence_is_the_same_whatever_the_label():
    cues = _cues(lip_corners=3.0)
    texts = [[s.text for s in write_rationale(cues, _FRONT, label, 0.9, random.Random(3))][:-1] for label in ("anger", "fear")]
    assert texts[0] == texts[1]


def test_a_face_without_salient_cues_is_said_to_be_at_rest():
    sentences = write_evidence(_cues(lip_corners=CLAIM_FROM - 0.1), _FRONT, random.Random(0))
    assert len(sentences) == 1
    assert {direction for _, direction in sentences[0].claims} == {0}


def test_a_turned_head_is_said_and_its_mouth_not_called_asymmetric():
    cues = _cues(corner_asymmetry=3.0)
    assert salient(cues, 40.0, 3) == []
    assert salient(cues, 0.0, 3) == [("corner_asymmetry", 1, 3.0)]
    texts = {" ".join(s.text for s in write_evidence(cues, (40.0, 0.0, 0.0), random.Random(i))) for i in range(20)}
    assert any("left" in text for text in texts)


def test_style_varies_and_is_reproducible():
    cues = _cues(lip_corners=3.0, mouth_opening=2.0)
    texts = {write_evidence(cues, _FRONT, random.Random(i))[0].text for i in range(40)}
    assert len(texts) >= 6
    assert write_evidence(cues, _FRONT, random.Random(5)) == write_evidence(cues, _FRONT, random.Random(5))


def test_a_split_crowd_is_hedged():
    sure = {name_emotion("fear", 0.9, random.Random(i)).text for i in range(30)}
    unsure = {name_emotion("fear", 0.4, random.Random(i)).text for i in range(30)}
    assert not sure & unsure


def test_negate_denies():
    for seed in range(30):
        text = negate("The lips are parted.", random.Random(seed))
        assert any(word in text.lower() for word in ("not", "never", "no"))
        assert text != "The lips are parted."
