import numpy as np
import pytest

from edge.language.labels import EMOTIONS_11
from edge.language.rationale import Completion
from edge.language.verifier import SentenceReading
from training.rewards import (
    Sample,
    accuracy_reward,
    explanation_reward,
    format_reward,
    grounding_reward,
    length_reward,
    masked_reward,
)

_PRIOR = np.full(11, 0.1)
_CUES = {"lip_corners": 2.0, "brow_gap": 0.2, "eye_opening": -1.5}


def _row(**emotions: float) -> np.ndarray:
    return np.array([emotions.get(name, 0.02) for name in EMOTIONS_11])


def _sample(*rows: np.ndarray, label: str = "happiness", text: str = "Lips up.", answer: str = "happiness", claims=(), masked=None):
    said = np.zeros((len(rows), len(_CUES), 3))
    for sentence, cue, column in claims:
        said[sentence, list(_CUES).index(cue), column] = 1
    plain = SentenceReading(np.stack(rows), said)
    return Sample(Completion(text, answer), plain, SentenceReading(plain.emotions if masked is None else masked, said), label, _CUES)


def test_format_and_accuracy_are_one_or_nothing():
    done, broken = _sample(_row()), _sample(_row(), text="", answer="")
    assert format_reward([done, broken]) == [1.0, 0.0]
    assert accuracy_reward([done, _sample(_row(), answer="fear"), broken]) == [1.0, 0.0, 0.0]


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
    named = _row(happiness=0.99)
    fooled = _sample(named, masked=np.full((1, 11), 0.1))
    assert explanation_reward([fooled]) == [1.0]
    assert masked_reward([fooled], _PRIOR) == [pytest.approx(1 / 8)]
    assert masked_reward([_sample(named, masked=np.stack([_row(happiness=0.9)]))], _PRIOR)[0] > 0.8
    nothing = SentenceReading(np.zeros((0, 11)), np.zeros((0, 3, 3)))
    assert masked_reward([Sample(Completion("", ""), nothing, nothing, "happiness", _CUES)], _PRIOR) == [0.0]


def test_grounding_pays_for_what_the_face_shows_and_charges_lies_twice():
    shown = _sample(_row(), claims=[(0, "lip_corners", 0)])
    lied = _sample(_row(), claims=[(0, "lip_corners", 1)])
    half = _sample(_row(), claims=[(0, "lip_corners", 0), (0, "eye_opening", 0)])
    rest = _sample(_row(), claims=[(0, "brow_gap", 2)])
    assert grounding_reward([shown, lied, half, rest, _sample(_row())]) == [1.0, -2.0, -0.5, 1.0, 0.0]


def test_padding_repeating_and_saying_nothing_cost():
    claim = [(0, "lip_corners", 0)]
    fair = _sample(_row(), claims=claim)
    wordy = _sample(_row(), claims=claim, text="up " * 61)
    many = _sample(*[_row()] * 6, claims=claim, text="A. B. C. D. E. F.")
    twice = _sample(_row(), _row(), claims=[*claim, (1, "lip_corners", 0)], text="Lips up. Mouth up.")
    same = _sample(_row(), _row(), claims=claim, text="Lips up. Lips up.")
    assert length_reward([fair, wordy, many, twice, same, _sample(_row())]) == [0.0, -1.0, -1.0, -1.0, -1.0, -1.0]
