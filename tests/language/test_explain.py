import numpy as np
import pytest
from phrasebook import CUES, LABELS, PROMPT, WIDTH, make_config, make_facts, make_policy

from edge.language.explain import Explainer, Subject
from edge.language.verifier import SentenceReading
from edge.types import Verdict


class _Reader:
    """A verifier to whom every sentence speaks for happiness and says nothing else."""

    def __init__(self) -> None:
        self.read: list[str] = []

    def __call__(self, sentences: list[str]) -> SentenceReading:
        self.read += sentences
        emotions = np.full((len(sentences), len(LABELS)), 0.02)
        emotions[:, LABELS.index("happiness")] = 0.9
        return SentenceReading(emotions, np.zeros((len(sentences), len(CUES), 3)), np.ones(len(sentences)))


@pytest.fixture
def explainer(small_grammar) -> Explainer:
    return Explainer(make_policy(small_grammar), _Reader(), small_grammar, make_config())


def _subject(seed: int = 0, emotion: str = "happiness", confidence: float = 0.92, **facts) -> Subject:
    tokens = np.random.default_rng(seed).normal(size=(PROMPT, WIDTH)).astype(np.float32)
    return Subject(tokens, emotion, confidence, make_facts(**facts))


def test_what_is_shown_parses_holds_and_speaks_for_the_label(explainer):
    done = explainer([_subject(seed) for seed in range(60)])
    shown = [e for e in done if e.text]
    assert len(shown) > 30
    for explanation in shown:
        assert explainer.grammar.parse(explanation.text).conclusion == explanation.answer == "happiness"
        assert all(s.holds for s in explanation.statements)
        assert explanation.grounding == 1
    assert all(e.text == "" for e in done if e.status is not Verdict.VERIFIED)


def test_further_candidates_say_only_what_holds(explainer):
    subjects = [_subject(seed) for seed in range(40)]
    rejected = [(first, s) for first, s in zip(explainer.draft(subjects), subjects, strict=True) if first.status is Verdict.REJECTED]
    assert len(rejected) > 20, "an untaught network says what comes to its mind"
    for first, subject in rejected:
        done = explainer.settle(first, subject)
        assert done.attempts == 1 + explainer.config.policy.candidates
        assert done.status is Verdict.VERIFIED


def test_where_nothing_holds_nothing_is_shown(explainer):
    """Between rest and movement there is nothing to say."""
    between = dict(zip(CUES, (-2.2, 0.5, -2.0, 0.9, 0.0, 1.1), strict=True))
    (done,) = explainer([_subject(**between)])
    assert done.status is Verdict.REJECTED
    assert (done.text, done.attempts) == ("", 1 + explainer.config.policy.candidates)


def test_a_face_of_which_nothing_may_be_said_does_not_disturb_the_others(explainer):
    hidden, plain = _subject(hidden=frozenset(CUES)), _subject(3)
    (first, second) = explainer([hidden, plain])
    assert first.status is Verdict.REJECTED
    assert (first.draft, first.statements) == ("", ())
    assert second == explainer([plain])[0]


def test_nothing_is_said_of_hidden_cues_and_what_is_covered_is_told(explainer):
    hidden = frozenset({"lip_corners", "mouth_opening"})
    for seed in range(30):
        (done,) = explainer([_subject(seed, hidden=hidden)])
        assert not {claim.cue for claim in done.claims} & hidden
        assert [(s.subject, s.holds) for s in done.statements if s.kind == "covered"] == [("mouth", True)]


def test_an_unsure_label_is_abstained_on_without_further_candidates(explainer):
    (done,) = explainer([_subject(confidence=0.39)])
    assert done.status is Verdict.ABSTAINED
    assert (done.text, done.attempts) == ("", 1)


def test_faces_are_explained_together_as_one_by_one(explainer):
    subjects = [_subject(seed, hidden=frozenset({"eye_opening"} if seed % 3 else ())) for seed in range(30)]
    assert explainer(subjects) == [explainer([subject])[0] for subject in subjects]
    assert explainer([]) == []


def test_the_verifier_is_shown_no_emotion_word(explainer):
    explainer([_subject(seed) for seed in range(20)])
    assert explainer.verifier.read
    assert not any(word in sentence for sentence in explainer.verifier.read for word in ("happy", "happiness", "sad", "angry", "anger"))
