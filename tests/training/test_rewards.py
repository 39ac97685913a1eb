import numpy as np
import pytest
from grammars import whole_grammar

from edge.language.labels import EMOTIONS_8, EMOTIONS_11
from edge.language.rationale import Completion
from edge.language.statements import Facts
from edge.language.verifier import SentenceReading
from training.contrast import Contrast
from training.cues import CUE_NAMES
from training.rewards import (
    Sample,
    accuracy_reward,
    explanation_reward,
    format_reward,
    length_reward,
    masked_reward,
    salient_reward,
    truth_reward,
    variety_reward,
)

_PRIOR = np.full(11, 0.1)
_SMILE = "A broad smile widens the mouth. The person looks happy."


def _row(**emotions: float) -> np.ndarray:
    return np.array([emotions.get(name, 0.02) for name in EMOTIONS_11])


def _facts(**cues: float) -> Facts:
    return Facts(dict.fromkeys(CUE_NAMES, 0.0) | cues, 0.0, 0.0, dict.fromkeys(EMOTIONS_8, 0.0) | {"happiness": 0.9, "fear": 0.1})


def _reading(rows: np.ndarray) -> SentenceReading:
    return SentenceReading(rows, np.zeros((len(rows), len(CUE_NAMES), 3)), np.ones(len(rows)))


def _sample(*rows, label="happiness", text=_SMILE, answer="happiness", masked=None, measured=None, read=None) -> Sample:
    plain = np.stack(rows) if rows else np.zeros((0, 11))
    smiling = _facts(lip_corners=3.0, mouth_width=3.0)
    hidden = _reading(plain if masked is None else masked)
    return Sample(
        Completion(text, answer), whole_grammar().parse(text), _reading(plain), hidden, label, measured or smiling, read or smiling
    )


def test_format_and_accuracy_are_one_or_nothing():
    done, broken, foreign = _sample(_row()), _sample(_row(), text="", answer=""), _sample(_row(), text="Lips up. The person looks happy.")
    assert format_reward([done, broken, foreign]) == [1.0, 0.0, 0.0]
    assert accuracy_reward([done, _sample(_row(), answer="fear"), broken, foreign]) == [1.0, 0.0, 0.0, 0.0]


def test_a_text_that_is_not_of_the_grammar_earns_nothing_of_any_kind():
    broken = _sample(_row(happiness=0.9), text="face is turned right. right. The. The person looks happy.")
    for earned in (format_reward, accuracy_reward, lambda s: masked_reward(s, _PRIOR), lambda s: variety_reward(s)):
        assert earned([broken]) == [0.0]
    assert truth_reward([broken], whole_grammar().rules) == [0.0]


@pytest.mark.parametrize(
    ("rows", "label", "wanted"),
    [
        ([_row(happiness=0.8), _row(anger=0.9)], "happiness", 0.5),
        ([_row(happiness=0.8), _row(neutral=0.9), _row(neutral=0.7)], "happiness", 1.0),  # its hole: neutral sentences do not count
        ([_row(neutral=0.9)], "happiness", 0.0),  # nothing but neutral
        ([_row(neutral=0.9), _row(anger=0.9)], "neutral", 0.5),  # for neutral all sentences count
        ([_row(anger=0.9, fear=0.5, happiness=0.3)], "happiness", 0.0),  # third of three
        ([_row(happiness=0.05)], "happiness", 1.0),  # none over 0.1: the highest
    ],
)
def test_the_explanation_reward_is_the_published_formula(rows, label, wanted):
    assert explanation_reward([_sample(*rows, label=label)]) == [wanted]


def test_the_masked_reward_does_not_see_the_named_emotion():
    fooled = _sample(_row(happiness=0.99), masked=np.full((1, 11), 0.1))
    assert explanation_reward([fooled]) == [1.0]
    assert masked_reward([fooled], _PRIOR) == [pytest.approx(1 / 8)]
    assert masked_reward([_sample(_row(happiness=0.99), masked=np.stack([_row(happiness=0.9)]))], _PRIOR)[0] > 0.8
    assert masked_reward([_sample(text="", answer="")], _PRIOR) == [0.0]


def test_truth_pays_for_what_the_face_shows_and_charges_lies_twice():
    rules = whole_grammar().rules
    shown = _sample(_row())
    unseen = _sample(_row(), read=_facts(lip_corners=3.0, mouth_width=1.0))  # the verdict would not let it pass
    lied = _sample(_row(), measured=_facts(lip_corners=-2.0, mouth_width=-2.0))
    half = _sample(_row(), measured=_facts(lip_corners=3.0, mouth_width=0.5))
    assert truth_reward([shown, unseen, lied, half], rules) == [1.0, 0.5, -0.5, 0.75]


def _contrast() -> Contrast:
    """Of faces of which the happy smile and the surprised raise their brows."""
    cues, odds = np.zeros((30, len(CUE_NAMES))), np.repeat(np.eye(len(EMOTIONS_8))[:3], 10, 0)
    for label, cue, z in (("happiness", "lip_corners", 3.0), ("surprise", "inner_brow", 3.2), ("surprise", "outer_brow", 3.2)):
        cues[odds.argmax(1) == EMOTIONS_8.index(label), CUE_NAMES.index(cue)] = z
    return Contrast.fit(cues, odds, whole_grammar())


def test_salience_asks_for_what_stands_out_most():
    rules = whole_grammar().rules
    still = dict.fromkeys(rules.rest, 1.1)  # what neither moves nor rests

    def earned(text=_SMILE, **cues: float) -> float:
        return salient_reward([_sample(_row(), text=text, read=_facts(**still | cues))], rules, _contrast())[0]

    assert earned(lip_corners=3.5, mouth_width=3.0) == 1.0
    assert earned(lip_corners=3.0, mouth_width=3.0, inner_brow=3.9) == pytest.approx(2 / 3)
    assert earned() == 1.0
    many = {"lip_corners": 3.5, "mouth_width": 3.0, "inner_brow": 2.9, "outer_brow": 2.5, "eye_opening": 2.0}
    assert earned(**many) == pytest.approx(2 / 3), "three movements are enough"
    assert earned("", lip_corners=3.5) == 0.0


def test_salience_asks_for_rest_that_speaks_against_what_is_likely_next():
    rules, contrast = whole_grammar().rules, _contrast()
    resting = {"lip_corners": 0.0, "inner_brow": 0.0, "outer_brow": 0.0, "eye_opening": 0.0, "mouth_opening": 1.5}
    calm = Facts(dict.fromkeys(CUE_NAMES, 1.5) | resting, 0, 0, dict.fromkeys(EMOTIONS_8, 0.0) | {"neutral": 0.85, "surprise": 0.15})

    def earned(text: str) -> float:
        return salient_reward([_sample(_row(), text=text, answer="neutral", read=calm)], rules, contrast)[0]

    assert contrast.of(calm)["outer_brow"] > contrast.of(calm)["lip_corners"] > 0
    assert earned("There is no smile. The face looks neutral.") == 0.25
    assert earned("The brows are not raised. The face looks neutral.") == 0.5


def test_variety_pays_for_what_is_said_of_no_other_face():
    same, other = _sample(_row()), _sample(_row(), text="The mouth is drawn wide. The person looks happy.")
    assert variety_reward([same, same, same, other]) == [pytest.approx(1 / 3)] * 3 + [1.0]


def test_wordy_texts_cost():
    assert length_reward([_sample(_row()), _sample(_row(), text="up " * 61)]) == [0.0, -1.0]
