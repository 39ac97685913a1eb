import numpy as np
import pytest

from edge.types import Verdict
from training.attacks import DECEITS, TRUE, Case, accept_rates, attempts, judge_suite
from training.drafts import cases_of


@pytest.fixture(scope="module")
def cases(pipeline, portrait) -> list[Case]:
    """The portrait's face in many lights, as far as the policy explains it; for want of landmarks measured by the encoder."""
    from edge.language.explain import subjects_of
    from edge.sources.picture import as_grey
    from edge.vision.face import align

    grey = as_grey(portrait)
    face = pipeline.finder(grey)[0]
    crop = align(grey, face, pipeline.bundle.config.image)[0]
    rng = np.random.default_rng(0)
    crops = np.stack([np.clip(crop * rng.uniform(0.6, 1.2) + rng.normal(0, 6, crop.shape), 0, 255).astype(np.uint8) for _ in range(24)])
    read = pipeline.encoder(crops)
    subjects = subjects_of(read, pipeline.bundle.config)
    found = [Case(e, s, s.cues) for e, s in zip(pipeline.explainer.draft(subjects), subjects, strict=True) if e.answer == s.emotion]
    assert len(found) > 12
    return found


def test_the_verdict_passes_true_rationales_and_no_attack_on_the_portrait(pipeline, cases):
    rates = accept_rates(pipeline.explainer, attempts(cases, pipeline.bundle.config.labels))
    assert rates.pop(TRUE)["rate"] >= 0.9
    assert {name: rate["rate"] for name, rate in rates.items() if rate["n"] and rate["rate"] > 0.05} == {}


def test_every_attack_is_made_of_a_smiling_face(pipeline, cases):
    suite = attempts(cases, pipeline.bundle.config.labels)
    assert set(suite) == {TRUE, *DECEITS, "empty", "one_word", "ten_kilobytes", "other_script", "markup"}
    alone = {"label_among_foreign_cues"}  # needs a face with another answer
    assert all(suite[name] for name in set(suite) - alone)
    told = {(a.completion, a.subject.emotion) for name in set(suite) - {TRUE, "cues_of_another_face"} for a in suite[name]}
    assert not told & {(a.completion, a.subject.emotion) for a in suite[TRUE]}


def test_what_is_malformed_is_rejected_whatever_it_claims(pipeline, cases):
    suite = attempts(cases, pipeline.bundle.config.labels)
    senseless = {name: suite[name] for name in ("empty", "one_word", "ten_kilobytes", "other_script", "markup")}
    for name, judged in judge_suite(pipeline.explainer, senseless).items():
        assert judged, name
        assert all(e.status is Verdict.REJECTED and e.text == "" for e in judged), name


def test_cases_need_a_right_answer_and_landmarks(pipeline):
    from training.drafts import Drafts

    none = Drafts(np.zeros(0, int), np.zeros((0, 8)), [], [], np.zeros((0, len(pipeline.bundle.config.cues))))
    assert cases_of(pipeline.explainer, none) == []
