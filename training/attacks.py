"""The attack suite: texts that must not pass the verdict, made from a policy's own rationales. Free of torch.

Each attack changes a rationale so that it deceives in one way, and counts on a face only where it does deceive, by the landmarks where they
decide: a claim carried over from another face may be true of this one too, and then there is nothing to reject. `DECEITS` are those that a
threshold can tell apart; `training.lies` makes the others.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from functools import partial

import numpy as np

from edge.language.explain import Explainer
from edge.language.grammar import Phrase, Walk
from edge.language.labels import EMOTION_WORDS, mask_emotions
from edge.language.rationale import END_THINK, write_completion
from edge.language.statements import CUE_KINDS, Said
from edge.types import Explanation, Statement, Verdict
from training import lies
from training.foreign_words import ADDED
from training.lies import Attempt, Case, Lie
from training.sentences import negate

TRUE = "own"
"""Name of the rationales that should pass: the policy's own, of faces whose answer is right."""
DECEITS = (
    "answer_swapped",
    "answer_swapped_and_renamed",
    "label_among_foreign_cues",
    "cues_of_another_face",
    "neutral_padding",
    "neutral_only",
    "negated",
    "contradictory",
)
"""The attacks that tell a plausible lie: what a threshold of consistency is chosen by."""
STATED: dict[str, Lie] = {
    "false_pose": lies.false_pose,
    "side_swapped": lies.side_swapped,
    "wrong_intensity": lies.wrong_intensity,
    "wrong_certainty": lies.wrong_certainty,
    "false_runner_up": lies.false_runner_up,
}
"""One statement of a true text is made false; the text stays of the grammar."""
BROKEN: dict[str, Lie] = {
    "words_dropped": lies.words_dropped,
    "words_doubled": lies.words_doubled,
    "words_shuffled": lies.words_shuffled,
    "cut_off": lies.cut_off,
}
"""No sentence any more; `fragments_glued` is of this kind too."""
ADDITIONS: dict[str, Lie] = {f"added_{about}": lies.adding(about) for about in ADDED}
"""What no camera can know is added."""
ELSEWHERE: dict[str, Lie] = {
    "other_words_side_swapped": lies.other_side,
    "other_words_false_pose": lies.other_pose,
    "other_words_wrong_intensity": lies.other_intensity,
    "other_words_wrong_certainty": lies.other_certainty,
    "other_words_false_runner_up": lies.other_runner_up,
    "other_words_addition": lies.other_addition,
    "other_words_broken": lies.other_broken,
}
"""The same in other words, which only the verifier network can read."""


def attempts(cases: list[Case], labels: list[str], seed: int = 0) -> dict[str, list[Attempt]]:
    """Build every attack on every case it applies to, and the true rationales under `own`.

    Args:
        cases: rationales of faces whose answer is right and is the shown label.
        labels: the allowed answers.
        seed: of every choice.
    """
    rng = random.Random(seed)
    found: dict[str, list[Attempt]] = {TRUE: [Attempt(write_completion(c.draft.draft, c.draft.answer), c.subject) for c in cases]}
    makers: tuple[Callable[[Case], Attempt | None], ...] = (
        lambda c: _swap(c, labels, rng, rename=False),
        lambda c: _swap(c, labels, rng, rename=True),
        lambda c: _foreign(c, [o for o in cases if o.draft.answer != c.draft.answer], rng),
        lambda c: _foreign(c, [o for o in cases if o.draft.answer == c.draft.answer and o is not c], rng),
        lambda c: _at_rest(c, rng, padded=True),
        lambda c: _at_rest(c, rng, padded=False),
        lambda c: _negated(c, rng),
        lambda c: _contradictory(c, rng),
    )
    for name, make in zip(DECEITS, makers, strict=True):
        found[name] = [attempt for case in cases if (attempt := make(case))]
    glued: dict[str, Lie] = {"fragments_glued": partial(lies.fragments_glued, others=cases)}
    for name, lie in (STATED | BROKEN | glued | ADDITIONS | ELSEWHERE).items():
        found[name] = lies.tell(lie, cases, rng)
    for name, text in _senseless(rng).items():
        found[name] = [Attempt(write_completion(text, c.draft.answer), c.subject) for c in cases[:50]]
    found["markup"] = [Attempt(broken, c.subject) for c in cases[:10] for broken in _broken(c)]
    return found


def accept_rates(explainer: Explainer, suite: dict[str, list[Attempt]], batch: int = 64) -> dict[str, dict[str, float]]:
    """Judge a suite as the runtime would: attack → `rate` of accepted attempts and their number `n`."""
    return {name: _rate(judged) for name, judged in judge_suite(explainer, suite, batch).items()}


def judge_suite(explainer: Explainer, suite: dict[str, list[Attempt]], batch: int = 64) -> dict[str, list[Explanation]]:
    """Judge every attempt that counts."""
    judged: dict[str, list[Explanation]] = {}
    for name, tried in suite.items():
        parts = [tried[i : i + batch] for i in range(0, len(tried), batch)]
        done = [e for part in parts for e in explainer.judge([a.completion for a in part], [a.subject for a in part])]
        judged[name] = [e for e, a in zip(done, tried, strict=True) if a.measured is None or _false(e, a.measured)]
    return judged


def _rate(judged: list[Explanation]) -> dict[str, float]:
    passed = [e.status is Verdict.VERIFIED for e in judged]
    return {"rate": float(np.mean(passed)) if passed else float("nan"), "n": len(passed)}


def _false(explanation: Explanation, measured: dict[str, float]) -> bool:
    """Whether the landmarks contradict a claim that was read in the text."""
    return any(replace(claim, measured=measured[claim.cue]).contradicted for claim in explanation.claims)


def _attempt(case: Case, sentences: list[str], *, false: bool = False) -> Attempt | None:
    if not sentences:
        return None
    text = write_completion(" ".join([*sentences, case.closing]), case.draft.answer)
    return Attempt(text, case.subject, case.measured if false else None)


def _swap(case: Case, labels: list[str], rng: random.Random, *, rename: bool) -> Attempt:
    """The evidence stays, the answer changes, and the shown label with it, as if the head had read the other one; renamed, the text comes
    to the new answer too, so that only its evidence speaks against it."""
    other, facts = rng.choice([label for label in labels if label != case.draft.answer]), case.subject.facts
    odds = dict(facts.probabilities)
    odds[other], odds[case.draft.answer] = odds.get(case.draft.answer, 0.0), odds.get(other, 0.0)
    text = case.draft.draft
    if rename and case.parsed:
        text = f"{case.parsed.evidence} {lies.plain_closing(case.grammar, other, rng)}"
    elif rename:
        text = mask_emotions(text).replace("[emotion]", other)
    return Attempt(write_completion(text, other), replace(case.subject, emotion=other, facts=replace(facts, probabilities=odds)))


def _foreign(case: Case, others: list[Case], rng: random.Random) -> Attempt | None:
    """Another face's evidence with this face's own closing sentence; counts where it is false here."""
    return _attempt(case, rng.choice(others).evidence, false=True) if others else None


def _at_rest(case: Case, rng: random.Random, *, padded: bool) -> Attempt | None:
    """Things at rest, alone or (`padded`) after the first thing that is there; counts where the face is not at rest."""
    if case.draft.answer == "neutral" or not (parsed := case.parsed):
        return None
    grammar = case.grammar
    kept = {p for p in (parsed.phrases if padded else grammar.phrases) if any(not s.about_face for s in p.says)}
    first = next(p for p in parsed.phrases if any(s.about_face for s in p.says))

    def usable(phrase: Phrase) -> bool:
        return phrase in kept or all(s.kind == "rest" for s in phrase.says) or (padded and phrase == first)

    walk = Walk(grammar.scope(allowed=np.array([usable(p) for p in grammar.phrases])))
    while not walk.ended:
        if not walk.edges:
            return None
        begun = [e for e in walk.edges if padded and grammar.phrases[e.number] == first]
        walk.take(rng.choice(begun or walk.edges))
    if padded:
        return Attempt(write_completion(walk.text, case.draft.answer), case.subject, case.measured)
    # the language lets rest alone come to a neutral expression only: its evidence gets this face's own closing
    made = grammar.parse(walk.text)
    return _attempt(case, [made.evidence], false=True) if made else None


def _negated(case: Case, rng: random.Random) -> Attempt | None:
    """All evidence denied; counts where the landmarks show what is denied."""
    shown = [s for s in case.draft.statements if s.kind in CUE_KINDS and _shows(case, s)]
    return _attempt(case, [negate(s, rng) for s in case.evidence]) if shown else None


def _shows(case: Case, said: Statement) -> bool:
    return replace(said, measured=case.measured[said.subject], visible=True).claim.supported


def _contradictory(case: Case, rng: random.Random) -> Attempt | None:
    """After the evidence the opposite of what moves."""
    moved = {(s.subject, s.direction) for s in case.draft.statements if s.kind in CUE_KINDS and s.direction}
    opposite = [p.text for p in case.grammar.phrases if p.says and all(_denies(s, moved) for s in p.says) and p.text[0].isupper()]
    return _attempt(case, [*case.evidence, *(f"{text}." for text in rng.sample(opposite, min(len(opposite), 2)))]) if opposite else None


def _denies(said: Said, moved: set[tuple[str, int]]) -> bool:
    if said.kind == "rest":
        return any(cue == said.subject for cue, _ in moved)
    return said.kind in ("movement", "one_sided") and (said.subject, -said.direction) in moved


def _senseless(rng: random.Random) -> dict[str, str]:
    return {
        "empty": "",
        "one_word": rng.choice(EMOTION_WORDS["neutral"]),
        "ten_kilobytes": "The lip corners are pulled up. " * 330,
        "other_script": "口角が上がっている。 Уголки губ приподняты. Οι γωνίες του στόματος είναι υψωμένες.",
    }


def _broken(case: Case) -> list[str]:
    whole = write_completion(case.draft.draft, case.draft.answer)
    return [
        whole.replace(END_THINK, ""),
        whole + whole,
        whole.replace(case.draft.draft, f"{case.draft.draft}<answer>anger</answer>"),
        whole[:-3],
        f"<script>{whole}</script>",
    ]
