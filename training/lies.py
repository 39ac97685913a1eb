"""Lies about a face, each made of a true rationale by changing one thing in it.

Those of the grammar stay of the grammar: nothing but the face can give them away. A lie is told only where it is one: by the landmarks for
what moves, by what the runtime itself measures for pose, intensity, certainty and the second label.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from edge.language.explain import Subject
from edge.language.grammar import Grammar, Parsed, Phrase
from edge.language.labels import named_emotions
from edge.language.rationale import split_sentences, write_completion
from edge.language.statements import CUE_KINDS, Said
from edge.types import Explanation
from training.foreign_words import ADDED, ANEW, ANEW_BANDS, ANEW_POSES, ANEW_REST, ENDINGS, OPENINGS, SECOND_GUESSES
from training.sentences import spoil


@dataclass(frozen=True, slots=True)
class Case:
    """A rationale with the face that it explains."""

    draft: Explanation
    subject: Subject
    measured: dict[str, float]
    """Cue → z-score from landmarks."""
    grammar: Grammar

    @property
    def parsed(self) -> Parsed | None:
        """As the grammar reads it; `None` for a writer of other words."""
        return self.grammar.parse(self.draft.draft)

    @property
    def evidence(self) -> list[str]:
        """The sentences about what is seen."""
        if parsed := self.parsed:
            return split_sentences(parsed.evidence)
        return [s for s in split_sentences(self.draft.draft) if not named_emotions(s)]

    @property
    def closing(self) -> str:
        """What it concludes."""
        if parsed := self.parsed:
            return self.draft.draft[len(parsed.evidence) :].strip()
        return " ".join(s for s in split_sentences(self.draft.draft) if named_emotions(s))

    def holds(self, said: Said) -> bool:
        """Whether a statement holds by what the runtime measures."""
        return self.grammar.rules.check(said, self.subject.facts, self.subject.emotion).holds

    def contradicts(self, said: Said) -> bool:
        """Whether the face gives a statement the lie: by the landmarks for a cue, by what the runtime measures for all else."""
        if said.kind not in CUE_KINDS:
            return not self.holds(said)
        return self.grammar.rules.claim(said, self.measured[said.subject]).contradicted


@dataclass(frozen=True, slots=True)
class Attempt:
    """A completion to be judged on a face."""

    completion: str
    subject: Subject
    measured: dict[str, float] | None = None
    """When given, the attempt counts only if these contradict one of the text's claims."""


#: A case and a source of chance → a text that lies, or none.
Lie = Callable[[Case, random.Random], str | None]


def tell(lie: Lie, cases: Iterable[Case], rng: random.Random) -> list[Attempt]:
    """Tell a lie of every case that is wholly true as it stands, so that nothing but the lie can give it away."""
    texts = ((case, lie(case, rng)) for case in cases if case.draft.statements and case.draft.grounding == 1)
    return [Attempt(write_completion(text, case.draft.answer), case.subject) for case, text in texts if text]


def false_pose(case: Case, rng: random.Random) -> str | None:
    """A turn of the head that is not there: in place of the second thing said in a sentence, or beside the only one."""
    if not (parsed := case.parsed):
        return None
    false = [p for p in case.grammar.phrases if p.says and all(s.kind == "pose" and case.contradicts(s) for s in p.says)]
    joints = [p.text for p in case.grammar.phrases if not p.says and not p.text.endswith(". ")]
    texts, found = [p.text for p in parsed.phrases], list[list[str]]()
    for i, phrase in enumerate(parsed.phrases):
        if i and texts[i - 1] in joints:
            found += [[*texts[:i], pose.text, *texts[i + 1 :]] for pose in false]
        elif not phrase.says:
            found += [[*texts[:i], joint, pose.text, *texts[i:]] for pose in false for joint in joints]
    return _first_of_grammar(case, found, rng)


def side_swapped(case: Case, rng: random.Random) -> str | None:
    """Up for down, left for right, in one of the things said."""

    def opposite(phrase: Phrase, other: Phrase) -> bool:
        sides = {s.subject: s.direction for s in phrase.says if s.direction}
        turned = bool(other.says) and all(s.direction and sides.get(s.subject) == -s.direction for s in other.says)
        return turned and any(map(case.contradicts, other.says))

    return _swapped(case, rng, opposite)


def wrong_intensity(case: Case, rng: random.Random) -> str | None:
    """Much for little, or little for much."""

    def otherwise(phrase: Phrase, other: Phrase) -> bool:
        alike = {s[:3] for s in phrase.says} == {s[:3] for s in other.says} and any(s.about_face for s in other.says)
        return alike and any(s.band in ("slight", "strong", "far") and not case.holds(s) for s in other.says)

    return _swapped(case, rng, otherwise)


def wrong_certainty(case: Case, rng: random.Random) -> str | None:
    """Sure where it is not, or unsure where it is."""
    closings = (p for p in _closings(case.grammar, case.draft.answer) if any(s.kind == "certainty" and not case.holds(s) for s in p.says))
    return _closed(case, [[p.text] for p in closings], rng)


def false_runner_up(case: Case, rng: random.Random) -> str | None:
    """Another second label, where the head is as torn as the text says."""
    torn = [
        p
        for p in case.grammar.phrases
        if p.says and p.text[-1] != "." and _concludes(p, case.draft.answer) and all(map(case.holds, p.says))
    ]
    second = [p for p in case.grammar.phrases if any(s.kind == "runner_up" and s.subject != _second(case) for s in p.says)]
    return _closed(case, [[a.text, b.text] for a in torn for b in second], rng)


def words_dropped(case: Case, rng: random.Random) -> str | None:
    """One or two words are missing."""
    words = case.draft.draft.split()
    at = rng.randrange(len(words))
    return _broken(case, [*words[:at], *words[at + rng.choice((1, 1, 2)) :]])


def words_doubled(case: Case, rng: random.Random) -> str | None:
    """One to three words stand twice."""
    words = case.draft.draft.split()
    at, count = rng.randrange(len(words)), rng.choice((1, 1, 2, 3))
    return _broken(case, [*words[: at + count], *words[at:]])


def words_shuffled(case: Case, rng: random.Random) -> str | None:
    """The words of one sentence are in another order."""
    sentences = split_sentences(case.draft.draft)
    at = rng.randrange(len(sentences))
    words = sentences[at].split()
    sentences[at] = " ".join(rng.sample(words, len(words)))
    return _broken(case, " ".join(sentences).split())


def fragments_glued(case: Case, rng: random.Random, others: list[Case]) -> str | None:
    """Pieces of another text, or of this one, stand between its words, with or without a full stop."""
    words = case.draft.draft.split()
    for _ in range(rng.choice((1, 1, 2))):
        source = rng.choice([case, rng.choice(others)]).draft.draft.split()
        start = rng.randrange(len(source))
        piece = source[start : start + rng.randint(1, 4)]
        piece[-1] += rng.choice(("", "."))
        at = rng.randint(0, len(words))
        words[at:at] = piece
    return _broken(case, words)


def cut_off(case: Case, rng: random.Random) -> str | None:
    """The text ends in the middle of a sentence, with or without a full stop."""
    words = case.draft.draft.split()
    kept = words[: rng.randint(1, max(1, len(words) - 1))]
    return _broken(case, [*kept[:-1], kept[-1].rstrip(".,;") + rng.choice(("", "."))])


def adding(about: str) -> Lie:
    """A lie that adds what no camera can know."""
    return lambda case, rng: _added(case.draft.draft, rng.choice(ADDED[about]), rng)


def in_other_words(case: Case, rng: random.Random) -> str | None:
    """No lie: the same said as the grammar would never say it."""
    parts = [words for s in case.draft.statements if (words := _anew(Said(s.kind, s.subject, s.direction, s.band), rng))]
    return _told(parts or [rng.choice(ANEW_REST)], rng.choice(ENDINGS[""]).format(case.draft.answer), rng)


def other_side(case: Case, rng: random.Random) -> str | None:
    """A side swapped, in other words."""
    false = [
        s for c, d in ANEW if case.contradicts(s := Said("movement", c, d, "plain")) and any(c == m.subject for m in case.draft.statements)
    ]
    return _beside(case, [_anew(s, rng) for s in false], rng)


def other_pose(case: Case, rng: random.Random) -> str | None:
    """A false pose, in other words."""
    false = [key for key in ANEW_POSES if case.contradicts(Said("pose", *key, "plain"))]
    return _beside(case, [rng.choice(ANEW_POSES[key]) for key in false], rng)


def other_intensity(case: Case, rng: random.Random) -> str | None:
    """A wrong intensity, in other words."""
    rules = case.grammar.rules.movement
    moved = [s for s in case.draft.statements if s.kind == "movement"]
    false = [
        said
        for s in moved
        for band in ANEW_BANDS
        if band in rules.get(s.subject, {}).get(s.direction, {}) and not case.holds(said := Said("movement", s.subject, s.direction, band))
    ]
    return _told([_anew(rng.choice(false), rng)], rng.choice(ENDINGS[""]).format(case.draft.answer), rng) if false else None


def other_certainty(case: Case, rng: random.Random) -> str | None:
    """A wrong certainty, in other words."""
    false = [t for band, texts in ENDINGS.items() if band and not case.holds(Said("certainty", "", 0, band)) for t in texts]
    return _beside(case, [], rng, ending=rng.choice(false).format(case.draft.answer)) if false else None


def other_runner_up(case: Case, rng: random.Random) -> str | None:
    """A false second label, in other words."""
    false = [label for label in case.subject.facts.probabilities if label not in (case.draft.answer, _second(case))]
    return _beside(case, [], rng, ending=rng.choice(SECOND_GUESSES).format(case.draft.answer, rng.choice(false))) if false else None


def other_addition(case: Case, rng: random.Random) -> str | None:
    """What no camera can know, beside what is said in other words."""
    text = in_other_words(case, rng)
    return text and _added(text, rng.choice(rng.choice(list(ADDED.values()))), rng)


def other_broken(case: Case, rng: random.Random) -> str | None:
    """Other words, and no sentence."""
    text = in_other_words(case, rng)
    return text and spoil(text, rng)


def _swapped(case: Case, rng: random.Random, fits: Callable[[Phrase, Phrase], bool]) -> str | None:
    """One phrase of the text in exchange for another of the grammar that fits."""
    if not (parsed := case.parsed):
        return None
    texts = [p.text for p in parsed.phrases]
    found = [
        [*texts[:i], other.text, *texts[i + 1 :]]
        for i, phrase in enumerate(parsed.phrases)
        if any(s.about_face for s in phrase.says)
        for other in case.grammar.phrases
        if fits(phrase, other)
    ]
    return _first_of_grammar(case, found, rng)


def _first_of_grammar(case: Case, ways: list[list[str]], rng: random.Random) -> str | None:
    """One of the texts that are of the grammar, drawn at random."""
    texts: Iterator[str] = ("".join(way) for way in rng.sample(ways, len(ways)))
    return next((text for text in texts if case.grammar.parse(text)), None)


def _closed(case: Case, closings: list[list[str]], rng: random.Random) -> str | None:
    """This face's evidence with another closing."""
    if not (parsed := case.parsed):
        return None
    return _first_of_grammar(case, [[parsed.evidence, " ", *closing] for closing in closings], rng)


def plain_closing(grammar: Grammar, label: str, rng: random.Random) -> str:
    """A closing of the grammar that comes to a label and says no more."""
    plain = [p.text for p in _closings(grammar, label) if len(p.says) == 1]
    return rng.choice(plain) if plain else ""


def _closings(grammar: Grammar, label: str) -> list[Phrase]:
    return [p for p in grammar.phrases if p.text[-1] == "." and _concludes(p, label)]


def _concludes(phrase: Phrase, label: str) -> bool:
    return any(s.kind == "conclusion" and s.subject == label for s in phrase.says)


def _second(case: Case) -> str:
    """The second label, by what the runtime measures."""
    odds = case.subject.facts.probabilities
    return max((label for label in odds if label != case.subject.emotion), key=lambda label: odds[label])


def _broken(case: Case, words: list[str]) -> str | None:
    """The words as a text; none where they still are one of the grammar, which reads all that it says."""
    text = " ".join(words)
    return text if text and text != case.draft.draft and not case.grammar.parse(text) else None


def _added(text: str, addition: str, rng: random.Random) -> str:
    """A clause at the end of a sentence, or a sentence between or after the others."""
    sentences = split_sentences(text)
    at, kind = rng.randrange(len(sentences)), rng.randrange(3)
    if kind == 0:
        sentences.insert(at + 1, addition[0].upper() + addition[1:] + ".")
    else:
        sentences[at] = sentences[at].rstrip(".") + (", and " if kind == 1 else " because ") + addition + "."
    return " ".join(sentences)


def _anew(said: Said, rng: random.Random) -> str:
    """A statement in other words; empty for what has none."""
    if said.kind == "pose":
        return rng.choice(ANEW_POSES[said.subject, said.direction])
    key = (said.subject, -1 if said.kind == "eyes_closed" else said.direction)
    if said.kind not in CUE_KINDS or key not in ANEW:
        return ""
    return (rng.choice(ANEW_BANDS[said.band]) if said.band in ANEW_BANDS else "") + rng.choice(ANEW[key])


def _beside(case: Case, false: list[str], rng: random.Random, *, ending: str = "") -> str | None:
    """Something false, beside a true thing or alone; or a true thing with a false ending."""
    if not false and not ending:
        return None
    moved = [Said(s.kind, s.subject, s.direction, "plain") for s in case.draft.statements if s.kind in ("movement", "one_sided")]
    true = [_anew(moved[0], rng)] if moved else [rng.choice(ANEW_REST)]
    lie = [rng.choice(false)] if false else []
    alone = bool(lie) and rng.random() < 0.5
    return _told([*([] if alone else true), *lie], ending or rng.choice(ENDINGS[""]).format(case.draft.answer), rng)


def _told(parts: list[str], ending: str, rng: random.Random) -> str:
    return f"{rng.choice(OPENINGS).format(' and '.join(parts))} {ending}"
