"""What shown texts are worth: whether they are of the language, whether what they say holds by the landmarks, how much they differ."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from benchmarks.command import Figures
from benchmarks.quality.interval import share
from edge.language.grammar import Grammar
from edge.language.rationale import split_sentences, write_completion
from edge.language.statements import CUE_KINDS, Facts, Rules
from edge.library import load
from edge.pipeline import Pipeline
from edge.types import Explanation, Statement, Verdict

POSE_SHARE = 2 / 3
"""A turn of the head holds from this share of its band."""
THOUSAND = 1000


def token_counter(pipeline: Pipeline) -> Callable[[str], int]:
    """Counts the policy's tokens in a text; `BackendError` where it writes freely and the `tokenizers` package is missing."""
    if pipeline.config.policy.constrained:
        return lambda text: len(pipeline.explainer.policy.tokenizer.encode(text))
    package = load("tokenizers", name="tokenizers", holds="Tokenizer", get="pip install tokenizers")
    own = package.Tokenizer.from_file(str(pipeline.bundle.folder / "tokenizer.json"))
    return lambda text: len(own.encode(text).ids)


@dataclass(frozen=True, slots=True)
class Told:
    """N faces and what was made of them."""

    pictures: list[np.ndarray]
    """Of each face, grey or BGR, for a person to look at."""
    labels: list[str]
    """The label that is shown."""
    confidence: list[float]
    explanations: list[Explanation]
    truth: list[str] | None = None
    """What the labels should be."""
    measured: list[Facts | None] | None = None
    """By the landmarks; `None` where there are none."""

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def verified(self) -> np.ndarray:
        """`[N]` bool: whose text is shown."""
        return np.array([e.status is Verdict.VERIFIED for e in self.explanations], bool)


def verdicts(told: Told) -> Figures:
    """Shares of all faces: `verified`, `rejected`, `abstained`, and with a truth `right`, `verified_and_wrong`, `wrong_of_verified`."""
    status = [e.status for e in told.explanations]
    found = {v.value: share(np.array([s is v for s in status])) for v in Verdict}
    if told.truth is None:
        return found
    wrong = np.array([label != truth for label, truth in zip(told.labels, told.truth, strict=True)])
    return {
        "right": share(~wrong),
        **found,
        "verified_and_wrong": share(told.verified & wrong),
        "wrong_of_verified": share(told.verified & wrong, told.verified),
    }


def texts(told: Told, grammar: Grammar, tokens: Callable[[str], int], seed: int = 0) -> Figures:
    """How the shown texts read.

    Returns:
        `parsed`; `distinct_per_1000` texts in a thousand drawn ones; `commonest_share` of texts with the commonest sentence of evidence,
        which is `commonest`; `words` and `tokens` a text.
    """
    shown = [e for e in told.explanations if e.text]
    parsed = [grammar.parse(e.text) for e in shown]
    whole = [p is not None and p.conclusion == e.answer for p, e in zip(parsed, shown, strict=True)]
    said = Counter(sentence for p in parsed if p for sentence in set(split_sentences(p.evidence)))
    commonest, times = next(iter(said.most_common(1)), ("", 0))
    return {
        "parsed": share(np.array(whole)),
        "distinct_per_1000": _distinct([e.text for e in shown], seed),
        "commonest_share": times / max(1, len(shown)),
        "commonest": commonest,
        "words": _mean([len(e.text.split()) for e in shown]),
        "tokens": _mean([tokens(write_completion(e.text, e.answer)) for e in shown]),
    }


def statements(told: Told, rules: Rules) -> Figures:
    """Per kind of statement in shown texts: how many (`said`), and by the landmarks or the truth `holds` and `contradicted`.

    Movement holds beyond one deviation, intensity (`movement slight`, `movement strong`) within one deviation of its band, rest within
    1.4; pose on the right side from two thirds of its band on. Certainty and conclusion hold where the label is right, the runner-up
    where one of the two is. What nobody measures is only counted.
    """
    rows: dict[str, list[tuple[int, bool, bool] | None]] = {}
    for i, explanation in enumerate(told.explanations):
        for s in explanation.statements if explanation.text else ():
            measured = told.measured[i] if told.measured else None
            truth = told.truth[i] if told.truth else None
            for kind, mark in _marks(s, measured, truth, explanation.answer, rules):
                rows.setdefault(kind, []).append(mark and (i, *mark))
    found: Figures = {}
    for kind, marks in sorted(rows.items()):
        found[kind] = {"said": len(marks)}
        if known := [m for m in marks if m]:
            counts, hits, against = (np.zeros(len(told)) for _ in range(3))
            for face, holds, contradicted in known:
                counts[face] += 1
                hits[face] += holds
                against[face] += contradicted
            found[kind] |= {"holds": share(hits, counts), "contradicted": share(against, counts)}
    return found


def _marks(
    s: Statement, measured: Facts | None, truth: str | None, answer: str, rules: Rules
) -> list[tuple[str, tuple[bool, bool] | None]]:
    """The rows that a statement belongs to, each with whether it holds and whether it is contradicted; `None` where nothing tells."""
    if s.kind in CUE_KINDS:
        return _cue_marks(s, measured, rules)
    if s.kind == "pose":
        if measured is None:
            return [("pose", None)]
        angle = (measured.yaw_deg if s.subject == "yaw" else measured.pitch_deg) * s.direction
        mark = (angle >= POSE_SHARE * rules.pose[s.subject][s.band].low, angle < 0)
        return [("pose", mark), *([("pose far", mark)] if s.band == "far" else [])]
    if s.kind in ("certainty", "conclusion", "runner_up") and truth is not None:
        right = truth in ((answer, s.subject) if s.kind == "runner_up" else (answer,))
        return [(f"{s.kind} {s.band}".strip(), (right, not right))]
    return [(f"{s.kind} {s.band}".strip(), None)]


def _cue_marks(s: Statement, measured: Facts | None, rules: Rules) -> list[tuple[str, tuple[bool, bool] | None]]:
    named = [s.kind, *([f"{s.kind} {s.band}"] if s.band in ("slight", "strong") else [])]
    if measured is None:
        return [(name, None) for name in named]
    claim = replace(s, measured=float(measured.cues[s.subject]), visible=True).claim
    marks: list[tuple[str, tuple[bool, bool] | None]] = [(s.kind, (claim.supported, claim.contradicted))]
    if len(named) > 1:
        band = rules.movement[s.subject][s.direction][s.band]
        z = claim.measured * claim.direction
        marks.append((named[1], (band.low - 1 <= z <= band.high + 1, claim.contradicted)))
    return marks


def _distinct(shown: list[str], seed: int, draws: int = 20) -> float:
    """Different texts in a thousand that are drawn without replacement, mean of several draws; of fewer, scaled up to a thousand."""
    if len(shown) <= THOUSAND:
        return len(set(shown)) / max(1, len(shown)) * THOUSAND
    random = np.random.default_rng(seed)
    return float(np.mean([len({shown[i] for i in random.permutation(len(shown))[:THOUSAND]}) for _ in range(draws)]))


def _mean(values: list[int]) -> float:
    return float(np.mean(values)) if values else float("nan")
