"""The writer: what is measured of a face → a rationale of the grammar, every statement of which holds.

It walks the grammar like the policy does and takes, among the phrases that are true of the face, the ones that say most: what stands out
farthest, and what rests that would speak for another label (`training.contrast`). Which of several wordings it takes is drawn at random, or
follows the face: then like faces are described alike, unlike ones in other words, and a policy can learn it.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from edge.language.grammar import Edge, Grammar, Phrase, Walk
from edge.language.labels import EMOTIONS_8
from edge.language.statements import CUE_KINDS, Facts, Said
from training.contrast import Contrast
from training.cues import CUE_NAMES, SIDED

#: Options and what they are options of → the index of one.
Choose = Callable[[int, str], int]
MOST_TELLING = 4.0
"""Deviations: what moves farther says no more than that, however far a mouth may open."""
_HEDGES = (("unsure", 0.5), ("likely", 0.7))
"""Hedges, each with the probability under which the writer takes it."""
SURE_FROM = 0.97
_TELLING = ("eye_opening", "lip_corners", "mouth_opening")
"""Cues whose rest says more than that of others, to a writer without contrast."""
_CLAUSES = (2, 2, 3)
"""How many evidence clauses, drawn from these by a writer without contrast."""
_MANY = 4
"""Movements from which on a writer with contrast uses three clauses instead of two."""


def at_random(rng: random.Random) -> Choose:
    """Every wording alike."""
    return lambda count, _: rng.randrange(count)


class ByFace:
    """Wordings that follow the face: each question looks at the face from a direction of its own, and where it lies there decides.

    The readings of faces spread about normally along any direction, so every option gets its share. A face and its mirror image lie in one
    place.
    """

    def __init__(self, mean: np.ndarray, std: np.ndarray) -> None:
        self.mean, self.std = mean, np.maximum(std, 1e-3)

    @classmethod
    def fit(cls, readings: np.ndarray) -> ByFace:
        """Learn the spread of the readings `[N,R]` (cues, then pose)."""
        place = cls._unsided(readings)
        return cls(place.mean(0), place.std(0))

    def __call__(self, readings: np.ndarray) -> Choose:
        """The choices for one face `[R]`."""
        place = (self._unsided(readings) - self.mean) / self.std

        def choose(count: int, question: str) -> int:
            seed = int.from_bytes(hashlib.sha256(question.encode()).digest()[:8], "little")
            way = np.random.default_rng(seed).normal(size=len(place))
            share = NormalDist().cdf(float(way @ place / np.linalg.norm(way)))
            return min(int(share * count), count - 1)

        return choose

    @classmethod
    def _unsided(cls, readings: np.ndarray) -> np.ndarray:
        return np.where(SIDED, np.abs(readings), readings)


class Writer:
    """Writes rationales with one grammar."""

    def __init__(self, grammar: Grammar, contrast: Contrast | None = None) -> None:
        """Write with a grammar; with a contrast statements about cues follow what is measured, and only their wording is chosen."""
        self.grammar, self.contrast = grammar, contrast
        self._alike = {says: i for i, says in enumerate(dict.fromkeys(p.says for p in grammar.phrases))}

    def write(self, facts: Facts, label: str, choose: Choose) -> tuple[Phrase, ...]:
        """A rationale for `label`, empty where nothing true can be said.

        Args:
            facts: what is measured; the writer never looks at the label until it concludes.
            label: what the face is taken for.
            choose: decides between wordings.
        """
        holding = self.grammar.holding(facts, label)
        walk = Walk(self.grammar.scope(facts.hidden, holding))
        wanted = self._clauses(facts, holding, choose)
        tell_pose = choose(2, "pose") == 0  # of half of the turned heads
        worth = Worth(facts, tell_pose, self.contrast.of(facts) if self.contrast else None)
        while not walk.ended:
            if not walk.edges:
                return ()
            best = self._best(walk, wanted, worth)
            meaning = self._alike[self.grammar.phrases[best[0].number].says]
            edge = best[choose(len(best), f"{walk.state} {meaning}")]
            wanted -= any(s.about_face for s in self.grammar.phrases[edge.number].says)
            walk.take(edge)
        return tuple(self.grammar.phrases[i] for i in walk.taken)

    def _clauses(self, facts: Facts, holding: np.ndarray, choose: Choose) -> int:
        """How many evidence clauses: with a contrast by how many cues have moved, else drawn."""
        if self.contrast is None:
            return _CLAUSES[choose(len(_CLAUSES), "clauses")]
        true = (self.grammar.phrases[i] for i in np.flatnonzero(holding))
        moved = {s.subject for phrase in true for s in phrase.says if s.kind != "rest"}.intersection(facts.cues)
        return 3 if len(moved) >= _MANY else 2

    def _best(self, walk: Walk, wanted: int, worth: Worth) -> list[Edge]:
        """The ways on that are worth taking alike."""
        merits = [worth.of(self.grammar.phrases[e.number], walk.state, wanted) for e in walk.edges]
        top = max(merits)
        return [edge for edge, merit in zip(walk.edges, merits, strict=True) if merit >= top - 1e-6]


@dataclass(frozen=True, slots=True)
class Worth:
    """How much a phrase is worth next, to a writer of one face."""

    facts: Facts
    tell_pose: bool
    contrast: Mapping[str, float] | None = None
    """Cue → how much its rest tells."""

    def of(self, phrase: Phrase, state: str, wanted: int) -> float:
        """The worth of a true phrase in a state, when so many clauses are still wanted."""
        kinds = {s.kind for s in phrase.says}
        if not kinds:  # what joins or ends: go on while there is more to say
            if phrase.text == ". ":
                return 0.0 if wanted > 0 and state in ("m1", "r1", "m2", "r2") else 1.0
            return 1.0 if wanted > 0 else -1.0
        if kinds & {"conclusion", "runner_up"}:
            return self._concluding(phrase, wanted)
        if "covered" in kinds:
            return 5.0 + len(phrase.says)
        if "pose" in kinds:
            return (8.0 if self.tell_pose else -2.0) + (phrase.says[0].band == "far")
        worths = list(map(self._saying, phrase.says))
        if kinds != {"rest"}:
            return sum(worths)
        # of what rests, much in one phrase is no better than the same in two; but to tell more of it is
        return max(worths) + (0.5 * (sum(worths) - max(worths)) if self.contrast else 0.0)

    def _saying(self, said: Said) -> float:
        """Movements by their size, an intensity that informs a little more; rest where nothing moves."""
        if said.kind == "rest":
            return 0.05 + 0.1 * self.contrast[said.subject] if self.contrast else 0.3 if said.subject in _TELLING else 0.1
        size = min(abs(self.facts.cues[said.subject]), MOST_TELLING)
        return size + (0.5 if said.kind == "eyes_closed" or said.band in ("slight", "strong") else 0.0)

    def _concluding(self, phrase: Phrase, wanted: int) -> float:
        """Certainty as it is: the second label where the head is torn, a hedge where it is unsure, a plain word else."""
        first, second = sorted(self.facts.probabilities.values(), reverse=True)[:2]
        if second >= 0.2 and first < 0.75:
            right = "torn"
        else:
            right = next((name for name, most in _HEDGES if first < most), "sure" if first > SURE_FROM else "")
        torn = not phrase.text.endswith(".") or any(s.kind == "runner_up" for s in phrase.says)
        kind = "torn" if torn else next((s.band for s in phrase.says if s.kind == "certainty"), "")
        return (10.0 if wanted <= 0 else 0.2) + (1.0 if kind == right else 0.0 if kind == "" else -0.5)


@dataclass(frozen=True, slots=True)
class Sentence:
    """A written sentence and the (cue, direction) pairs it claims; direction 0 says that the cue is at rest."""

    text: str
    claims: tuple[tuple[str, int], ...] = ()


def sentences_of(phrases: tuple[Phrase, ...]) -> list[Sentence]:
    """The sentences of the evidence, without what is concluded."""
    found: list[Sentence] = []
    text, claims = "", list[tuple[str, int]]()
    for phrase in phrases:
        if any(s.kind in ("conclusion", "runner_up") for s in phrase.says):
            break
        text += phrase.text
        claims += [(s.subject, -1 if s.kind == "eyes_closed" else s.direction) for s in phrase.says if s.kind in CUE_KINDS]
        if text.endswith(". "):
            found.append(Sentence(text.strip(), tuple(claims)))
            text, claims = "", []
    return found


def facts_of(readings: Readings, face: int, hidden: frozenset[str] = frozenset()) -> Facts:
    """What is measured of one face."""
    return Facts(
        dict(zip(CUE_NAMES, map(float, readings.cues[face]), strict=True)),
        float(readings.pose[face, 0]),
        float(readings.pose[face, 1]),
        dict(zip(EMOTIONS_8, map(float, readings.probabilities[face]), strict=True)),
        hidden,
    )


@dataclass(frozen=True, slots=True)
class Readings:
    """What the encoder reads of N faces, or what is measured of them."""

    cues: np.ndarray
    """`[N,C]` z-scores."""
    pose: np.ndarray
    """`[N,3]` degrees."""
    probabilities: np.ndarray
    """`[N,8]` of the labels, calibrated."""

    def __len__(self) -> int:
        return len(self.cues)

    @property
    def flat(self) -> np.ndarray:
        """`[N,C+3]`: what wording follows."""
        return np.concatenate([self.cues, self.pose], 1)


def text_of(phrases: tuple[Phrase, ...]) -> str:
    """The text of what was written."""
    return "".join(p.text for p in phrases)
