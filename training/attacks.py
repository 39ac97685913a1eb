"""The attack suite: texts that must not pass the verdict, made from a policy's own rationales. Free of torch.

Each attack changes a rationale so that it deceives in one way, and counts on a face only where it does deceive, by the landmarks where they
decide: a claim carried over from another face may be true of this one too, and then there is nothing to reject.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from edge.language.explain import Explainer, Subject
from edge.language.labels import EMOTION_WORDS, mask_emotions, named_emotions
from edge.language.phrases import ABSENCE, CLAUSES
from edge.language.rationale import END_THINK, split_sentences, write_completion
from edge.types import Explanation, Verdict
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
"""The attacks that tell a plausible lie; the others are malformed or say nothing."""


@dataclass(frozen=True, slots=True)
class Case:
    """A rationale with the face that it explains."""

    draft: Explanation
    subject: Subject
    measured: dict[str, float]
    """Cue → z-score from landmarks."""

    @property
    def evidence(self) -> list[str]:
        """The sentences that name no emotion."""
        return [s for s in split_sentences(self.draft.draft) if not named_emotions(s)]

    @property
    def naming(self) -> list[str]:
        """The sentences that name one."""
        return [s for s in split_sentences(self.draft.draft) if named_emotions(s)]


@dataclass(frozen=True, slots=True)
class Attempt:
    """A completion to be judged on a face."""

    completion: str
    subject: Subject
    measured: dict[str, float] | None = None
    """When given, the attempt counts only if these contradict one of the text's claims."""


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
        lambda c: _padded(c, rng),
        lambda c: _padded(replace(c, draft=replace(c.draft, draft=" ".join(c.naming))), rng),
        lambda c: _negated(c, rng),
        lambda c: _contradictory(c, rng),
    )
    for name, make in zip(DECEITS, makers, strict=True):
        found[name] = [attempt for case in cases if (attempt := make(case))]
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
    text = write_completion(" ".join(sentences), case.draft.answer)
    return Attempt(text, case.subject, case.measured if false else None)


def _swap(case: Case, labels: list[str], rng: random.Random, *, rename: bool) -> Attempt:
    """The evidence stays, the answer changes, and the shown label with it; renamed, the text names the new answer throughout."""
    other = rng.choice([label for label in labels if label != case.draft.answer])
    text = mask_emotions(case.draft.draft).replace("[emotion]", other) if rename else case.draft.draft
    return Attempt(write_completion(text, other), replace(case.subject, emotion=other))


def _foreign(case: Case, others: list[Case], rng: random.Random) -> Attempt | None:
    """Another face's evidence with this face's own closing sentence; counts where it is false here."""
    return _attempt(case, [*rng.choice(others).evidence, *case.naming], false=True) if others else None


def _padded(case: Case, rng: random.Random) -> Attempt | None:
    """Neutral sentences around what is there; counts where the face is not at rest."""
    if case.draft.answer == "neutral" or case.draft.draft == "":
        return None
    return _attempt(case, [*case.evidence[:1], *rng.sample(ABSENCE, 3), *case.naming], false=True)


def _negated(case: Case, rng: random.Random) -> Attempt | None:
    """All evidence denied; counts where the landmarks show what is denied."""
    return _attempt(case, [*(negate(s, rng) for s in case.evidence), *case.naming], false=True)


def _contradictory(case: Case, rng: random.Random) -> Attempt | None:
    """After each evidence sentence the opposite of one of its claims."""
    opposite = [CLAUSES[claim.cue, -claim.direction] for claim in case.draft.claims if claim.direction]
    if not opposite:
        return None
    added = [rng.choice(clauses).format("") for clauses in opposite]
    return _attempt(case, [*case.evidence, *(text[0].upper() + text[1:] + "." for text in added), *case.naming])


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
