import random
from dataclasses import replace

import numpy as np
import pytest
from grammars import whole_grammar
from spoken import explainer_of, spoken_faces

from edge.language.rationale import parse_completion
from edge.types import Verdict
from training.attacks import (
    ADDITIONS,
    BROKEN,
    DECEITS,
    ELSEWHERE,
    STATED,
    TRUE,
    accept_rates,
    attempts,
    judge_suite,
)
from training.drafts import Drafts, cases_of
from training.foreign_words import ADDED, ANEW, ANEW_POSES
from training.lies import Case, in_other_words, tell
from training.phrases import ADDITIONS as TAUGHT
from training.phrases import ELSEWHERE as TAUGHT_WORDS

SENSELESS = ("empty", "one_word", "ten_kilobytes", "other_script", "markup")


@pytest.fixture(scope="module")
def explainer():
    return explainer_of(whole_grammar())


@pytest.fixture(scope="module")
def cases(explainer) -> list[Case]:
    """Drawn faces, what a writer says of them, and landmarks that agree with what was read."""
    found = []
    for subject, text in spoken_faces(explainer.grammar, 160, seed=1):
        (draft,) = explainer.judge([text], [subject])
        found.append(Case(draft, subject, dict(subject.facts.cues), explainer.grammar))
    return found


@pytest.fixture(scope="module")
def suite(cases, explainer):
    return attempts(cases, list(explainer.config.labels))


def test_every_attack_is_made_and_none_of_them_is_the_true_text(suite):
    every = {TRUE, *DECEITS, *SENSELESS, *STATED, *BROKEN, "fragments_glued", *ADDITIONS, *ELSEWHERE}
    assert set(suite) == every
    assert {name for name in every if len(suite[name]) < 10} == set()
    lies = [attempt for name in every - {TRUE} for attempt in suite[name] if attempt.measured is None]  # others count where they are false
    told = {(a.completion, id(a.subject)) for a in lies}
    true = {(a.completion, id(a.subject)) for a in suite[TRUE]}
    assert {subject for _, subject in true} <= {subject for _, subject in told}
    assert not told & true


def test_a_verdict_that_is_deaf_to_evidence_still_lets_no_lie_pass(suite, explainer):
    rates = accept_rates(explainer, suite)  # its verifier finds every text as good for one emotion as for another
    assert rates.pop(TRUE)["rate"] == 1
    deaf_to = {"answer_swapped_and_renamed", "cues_of_another_face", "label_among_foreign_cues"}
    assert {name: rate["rate"] for name, rate in rates.items() if name not in deaf_to and rate["rate"] > 0} == {}
    assert rates["answer_swapped_and_renamed"]["rate"] > 0.5, "only its evidence can give it away"


def test_lies_of_the_grammar_are_of_the_grammar_and_false_of_the_face(suite, explainer):
    for name in STATED:
        for attempt in suite[name]:
            done = parse_completion(attempt.completion, tuple(explainer.config.labels))
            parsed = explainer.grammar.parse(done.rationale)
            assert parsed, (name, done.rationale)
            held = [explainer.grammar.rules.check(said, attempt.subject.facts, done.answer) for said in parsed.said]
            assert not all(s.holds for s in held), (name, done.rationale)
            assert parsed.conclusion == done.answer


def test_what_is_no_sentence_or_says_too_much_is_not_of_the_grammar(suite, explainer):
    for name in (*BROKEN, "fragments_glued", *ADDITIONS, *ELSEWHERE):
        done = [parse_completion(a.completion, tuple(explainer.config.labels)) for a in suite[name]]
        assert not any(explainer.grammar.parse(d.rationale) for d in done), name


def test_a_verifier_network_that_takes_everything_for_covered_is_found_out(suite, cases, explainer):
    spec = replace(explainer.config.verdict, min_covered=0.5)
    open_hearted = explainer_of(explainer.grammar, verdict=spec)
    rates = accept_rates(open_hearted, {**suite, "true": tell(in_other_words, cases, random.Random(0))})
    assert rates["true"]["rate"] > 0.9
    named = "other_words_false_runner_up"  # what names another emotion is refused without the network, and so is about half of the rest
    assert min(rates[name]["rate"] for name in {*ADDITIONS, *BROKEN, *ELSEWHERE} - {named}) > 0.3


def test_what_is_malformed_is_rejected_whatever_it_claims(suite, explainer):
    for name, judged in judge_suite(explainer, {name: suite[name] for name in SENSELESS}).items():
        assert judged, name
        assert all(e.status is Verdict.REJECTED and e.text == "" for e in judged), name


def test_a_swapped_text_counts_only_where_the_landmarks_contradict_it(cases, explainer):
    agreeing = [replace(c, measured={cue: -z for cue, z in c.measured.items()}) for c in cases]
    swapped, told = (len(attempts(group, list(explainer.config.labels))["side_swapped"]) for group in (agreeing, cases))
    assert told > 2 * swapped


def test_attacks_use_no_wording_that_the_verifier_was_taught():
    taught = {text.lower() for text in TAUGHT} | {text for texts in TAUGHT_WORDS.values() for text in texts}
    mine = {text for texts in (*ADDED.values(), *ANEW.values(), *ANEW_POSES.values()) for text in texts}
    assert not mine & taught


def test_cases_need_a_right_answer_and_landmarks(explainer):
    none = Drafts(np.zeros(0, int), np.zeros((0, 8)), [], [], np.zeros((0, len(explainer.config.cues))))
    assert cases_of(explainer, none) == []
