"""The language of rationales as one piece of data: a finite automaton whose edges are phrases with typed statements.

The writer walks it to write, the parser to read, the policy to decode: what one of them can say the others understand. A text is of the
language or it is not; there is nothing between.
"""

from __future__ import annotations

import functools
import operator
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from edge.errors import BundleError, InputError
from edge.files import read_json
from edge.language.labels import named_emotions
from edge.language.statements import CUE_KINDS, KINDS, Facts, Rules, Said

VERSION = 1
"""Of the grammar's file."""
FILE = "grammar.json"
_MOST_SCOPES, _MOST_ENDS = 64, 50_000
"""What is kept to be found again, so that a long stream does not grow."""
START, END = "start", "end"
"""Where every text begins and ends."""
_CALM = "neutral"
"""The label that nothing speaks for but what rests."""
_RESTED = 1 << 63
"""Among the bits of what was said: something was said to rest."""


class Phrase(NamedTuple):
    """One edge's text and what it states."""

    text: str
    says: tuple[Said, ...]


@dataclass(frozen=True, slots=True)
class Parsed:
    """A text that was read to its last letter."""

    phrases: tuple[Phrase, ...]

    @property
    def said(self) -> tuple[Said, ...]:
        """Every statement, in order."""
        return tuple(said for phrase in self.phrases for said in phrase.says)

    @property
    def evidence(self) -> str:
        """The text without what it concludes."""
        return "".join(p.text for p in self.phrases if not any(s.kind in ("conclusion", "certainty", "runner_up") for s in p.says)).strip()

    @property
    def conclusion(self) -> str:
        """The label that the text comes to."""
        return next((said.subject for said in self.said if said.kind == "conclusion"), "")


class Edge(NamedTuple):
    """A way on from a state."""

    number: int
    """Of its phrase."""
    after: str
    """The state that it leads to."""
    touches: int
    """Bit set of the subjects that it speaks of, and of their parts of the face."""
    covers: int
    """Bit set of the regions that it calls out of sight."""
    rests: bool
    """Whether it says that something rests."""
    calm: bool
    """Whether it concludes in a neutral expression."""

    def fits(self, said: int) -> bool:
        """Whether it can be taken after what was said: nothing twice, and neutral is nothing of which only movements were told."""
        return not self.touches & said and (not self.calm or bool(said & _RESTED))

    def leaves(self, said: int) -> int:
        """What has been said after it."""
        return said | self.touches | (_RESTED if self.rests else 0)


@dataclass(frozen=True, slots=True)
class _State:
    """A state's edges, and how a parser finds those that a text goes on with."""

    edges: list[Edge]
    covering: list[Edge]
    """Those that call something out of sight; the others are `plain`."""
    plain: list[Edge]
    by_length: dict[int, dict[str, Edge]]
    """Length → text → edge, the longest first."""

    def beginnings(self, text: str) -> list[tuple[str, Edge]]:
        """The edges that a text can go on along, the longest first."""
        cuts = ((text[:length], known) for length, known in self.by_length.items() if length <= len(text))
        return [(said, known[said]) for said, known in cuts if said in known]


class Grammar:
    """The automaton, checked.

    Attributes:
        phrases: every different phrase, in the order of the file; decoders number their tokens by it.
        rules: when each kind of statement holds.
    """

    def __init__(self, phrases: Mapping[str, Iterable[Phrase]], moves: Mapping[str, Iterable[tuple[str, str]]], rules: Rules) -> None:
        """Check and lay out a grammar.

        Args:
            phrases: class → its phrases.
            moves: state → (class, next state); `END` has none.
            rules: of the statements.

        Raises:
            ValueError: an unknown class, state or statement, a rule without a tolerance, a way that never ends or has no end, two readings.
        """
        self.rules = rules
        classes = {name: tuple(group) for name, group in phrases.items()}
        edges = {state: [(phrase, after) for name, after in ways for phrase in _of(classes, name)] for state, ways in moves.items()}
        self.phrases = tuple(dict.fromkeys(phrase for group in classes.values() for phrase in group))
        self.number = {phrase.text: i for i, phrase in enumerate(self.phrases)}
        if len(self.number) < len(self.phrases):
            raise ValueError("the grammar gives one phrase two meanings")
        for phrase in self.phrases:
            _check_phrase(phrase, rules)
        self._subjects = {name: i for i, name in enumerate(dict.fromkeys(s.subject for p in self.phrases for s in p.says if s.about_face))}
        self._regions = {name: i for i, name in enumerate(rules.regions)}
        parts = [(1 << len(self._subjects) + i, names) for i, names in enumerate(rules.told_once)]
        self._touches = {name: 1 << i | sum(bit for bit, names in parts if name in names) for name, i in self._subjects.items()}
        if len(self._subjects) + len(rules.told_once) > 63 or len(self._regions) > 63:
            raise ValueError("the grammar speaks of more than 63 things")
        self.states = {state: self._lay_out(state, ways) for state, ways in edges.items()}
        self._check_ways(edges)
        self._check_readings()
        self._statements = tuple(dict.fromkeys(said for phrase in self.phrases for said in phrase.says))
        place = {said: i for i, said in enumerate(self._statements)}
        self._makes = np.zeros((len(self.phrases), len(place)), bool)
        for row, phrase in enumerate(self.phrases):
            self._makes[row, [place[said] for said in phrase.says]] = True
        self._scopes: dict[tuple[int, int], Scope] = {}

    def parse(self, text: str) -> Parsed | None:
        """Read a text; `None` when it is not of this language, speaks twice of one thing, or is neutral though nothing rests."""
        ways = self._parse(text, START, 0, 0)
        return None if ways is None else Parsed(ways)

    def _parse(self, text: str, state: str, at: int, said: int) -> tuple[Phrase, ...] | None:
        if state == END:
            return () if at == len(text) else None
        for phrase, edge in self.states[state].beginnings(text[at:]):
            if not edge.fits(said):
                continue
            rest = self._parse(text, edge.after, at + len(phrase), edge.leaves(said))
            if rest is not None:
                return (self.phrases[edge.number], *rest)
        return None

    def conclusion(self, taken: Iterable[int]) -> str:
        """The label that a text of these phrases comes to."""
        return Parsed(tuple(self.phrases[i] for i in taken)).conclusion

    def holding(self, facts: Facts, shown: str, *, any_label: bool = False) -> np.ndarray:
        """The phrases whose every statement holds of a face.

        Args:
            facts: what is measured of it.
            shown: the label that it is shown with.
            any_label: let a text come to another label, too.

        Returns:
            `[P]` bool.
        """
        free = ("conclusion",) if any_label else ()
        holds = np.array([said.kind in free or self.rules.holds(said, facts, shown) for said in self._statements], bool)
        return np.asarray(~(self._makes & ~holds).any(1))

    def scope(self, hidden: Iterable[str] = (), allowed: np.ndarray | None = None) -> Scope:
        """What may be said of a face.

        Args:
            hidden: cues that are out of sight: nothing is said of them but that they are.
            allowed: `[P]` bool, phrases that may be used; all when `None`.
        """
        cues = frozenset(hidden)
        regions = sum(1 << self._regions[name] for name, members in self.rules.regions.items() if cues.issuperset(members))
        barred = sum(1 << i for name, i in self._subjects.items() if name in cues)
        if allowed is not None:
            return Scope(self, barred, regions, allowed.tolist())
        found = self._scopes.get((barred, regions))
        if found is None:
            if len(self._scopes) >= _MOST_SCOPES:  # what flickers hides ever different cues
                self._scopes.clear()
            found = self._scopes[barred, regions] = Scope(self, barred, regions, None)
        return found

    def _bits(self, phrase: Phrase) -> int:
        return functools.reduce(operator.or_, (self._touches[s.subject] for s in phrase.says if s.about_face), 0)

    def _lay_out(self, state: str, ways: list[tuple[Phrase, str]]) -> _State:
        edges, by_length = [], dict[int, dict[str, Edge]]()
        for phrase, after in ways:
            covers = sum({1 << self._regions[s.subject] for s in phrase.says if s.kind == "covered"})
            rests = any(s.kind == "rest" for s in phrase.says)
            calm = any(s.kind == "conclusion" and s.subject == _CALM for s in phrase.says)
            edge = Edge(self.number[phrase.text], after, self._bits(phrase), covers, rests, calm)
            known = by_length.setdefault(len(phrase.text), {})
            if phrase.text in known:
                raise ValueError(f"the grammar's state '{state}' has two ways on with '{phrase.text}'")
            known[phrase.text] = edge
            edges.append(edge)
        return _State(
            edges, [e for e in edges if e.covers], [e for e in edges if not e.covers], dict(sorted(by_length.items(), reverse=True))
        )

    def _check_ways(self, edges: Mapping[str, list[tuple[Phrase, str]]]) -> None:
        """From the start every way must end, and no way may come back to where it was."""
        done: set[str] = {END}

        def follow(state: str, way: tuple[str, ...]) -> None:
            if state in way:
                raise ValueError(f"the grammar has a cycle that never ends: {' → '.join((*way[way.index(state) :], state))}")
            if state in done:
                return
            if not edges.get(state):
                raise ValueError(f"the grammar's state '{state}' leads nowhere")
            for after in dict.fromkeys(after for _, after in edges[state]):
                follow(after, (*way, state))
            done.add(state)

        follow(START, ())

    def _check_readings(self) -> None:
        """No text may be read in two ways: where two ways from one state part, follow them as long as their texts can still become one."""
        ahead = [
            (edge.after, other.after, edge_text[len(text) :], edge_text)
            for state in self.states.values()
            for known in state.by_length.values()
            for edge_text, edge in known.items()
            for text, other in state.beginnings(edge_text)
            if len(text) < len(edge_text)
        ]
        seen = {way[:3] for way in ahead}
        while ahead:
            leading, behind, rest, text = ahead.pop()  # the second way has `rest` yet to say of what the first has said
            if leading == behind and not rest:
                raise ValueError(f"the grammar reads '{text}' in two ways")
            state = self.states[behind]
            found = [(leading, edge.after, rest[len(said) :], text) for said, edge in state.beginnings(rest)]
            found += [
                (e.after, leading, said[len(rest) :], text + said[len(rest) :])
                for e in state.edges
                if len(said := self.phrases[e.number].text) > len(rest) and said.startswith(rest)
            ]
            new = [way for way in found if way[:3] not in seen]
            seen.update(way[:3] for way in new)
            ahead += new


class Scope:
    """What may be said of one face: nothing twice, nothing of what is hidden, what is hidden told, and always an end in reach."""

    def __init__(self, grammar: Grammar, barred: int, regions: int, allowed: list[bool] | None) -> None:
        self.grammar, self.barred, self._regions, self._allowed = grammar, barred, regions, allowed
        self._open: dict[str, list[Edge]] = {}
        self._free: dict[str, bool] = {}
        self._ends: dict[tuple[str, int], bool] = {}

    def edges(self, state: str, said: int) -> list[Edge]:
        """The ways on from a state, when the subjects of the bit set `said` have been spoken of."""
        return [e for e in self._passable(state) if e.fits(said) and self._leads_on(e.after, e.leaves(said))]

    def _passable(self, state: str) -> list[Edge]:
        """The edges of a state that this face leaves open, whatever has been said."""
        if state not in self._open:
            here, allowed = self.grammar.states[state], self._allowed
            edges = [e for e in here.covering if not e.covers & ~self._regions] if self._regions and here.covering else here.plain
            if allowed is not None:
                edges = [e for e in edges if allowed[e.number]]
            self._open[state] = [e for e in edges if not e.touches & self.barred] if self.barred else edges
        return self._open[state]

    def _ends_anyhow(self, state: str) -> bool:
        """Whether there is an end from here that speaks of nothing in the face, so that it is open whatever has been said."""
        if state not in self._free:
            edges = self._passable(state) if state != END else []
            self._free[state] = state == END or any(not e.touches and not e.calm and self._ends_anyhow(e.after) for e in edges)
        return self._free[state]

    def _leads_on(self, state: str, said: int) -> bool:
        if self._ends_anyhow(state):
            return True
        found = self._ends.get((state, said))  # another thread may empty it at any time
        if found is None:
            found = any(e.fits(said) and self._leads_on(e.after, e.leaves(said)) for e in self._passable(state))
            if len(self._ends) > _MOST_ENDS:
                self._ends.clear()
            self._ends[state, said] = found
        return found


class Walk:
    """A text in the making: where it stands, and what may come next."""

    def __init__(self, scope: Scope) -> None:
        self.scope, self.state, self.said = scope, START, 0
        self.taken: list[int] = []
        """Numbers of the phrases so far."""
        self.edges = scope.edges(START, 0)
        """Ways on: none at the end, and where nothing can be said."""

    @property
    def ended(self) -> bool:
        """Whether the text is whole."""
        return self.state == END

    @property
    def text(self) -> str:
        """What has been written."""
        return "".join(self.scope.grammar.phrases[i].text for i in self.taken)

    def take(self, edge: Edge) -> None:
        """Go on along one of `edges`."""
        self.taken.append(edge.number)
        self.state, self.said = edge.after, edge.leaves(self.said)
        self.edges = [] if self.ended else self.scope.edges(self.state, self.said)


def read_grammar(values: Any) -> Grammar:
    """Build a grammar from parsed JSON.

    Raises:
        ValueError: it is not one; the message says why.
    """
    if not isinstance(values, dict) or values.get("version") != VERSION:
        found = values.get("version") if isinstance(values, dict) else None
        raise ValueError(f"grammar version {found!r}: this runtime reads version {VERSION}")
    try:
        phrases = {
            str(name): [Phrase(str(text), tuple(Said(str(k), str(s), int(d), str(b)) for k, s, d, b in says)) for text, says in group]
            for name, group in values["phrases"].items()
        }
        moves = {str(state): [(str(name), str(after)) for name, after in ways] for state, ways in values["moves"].items()}
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise ValueError(f"the grammar is malformed: {type(error).__name__} {error}") from None
    return Grammar(phrases, moves, Rules.read(values.get("rules")))


def load_grammar(path: Path) -> Grammar:
    """Read a grammar's file; `BundleError` when it is none."""
    try:
        return read_grammar(read_json(path))
    except (InputError, ValueError, RecursionError) as error:
        raise BundleError(f"'{path}' is not a grammar of rationales: {error}") from None


def check_names(grammar: Grammar, cues: Iterable[str], labels: Iterable[str]) -> None:
    """Raise `BundleError` when a grammar speaks of a cue or a label that its bundle does not have."""
    known = {**dict.fromkeys(CUE_KINDS, frozenset(cues)), **dict.fromkeys(("conclusion", "runner_up"), frozenset(labels))}
    for phrase in grammar.phrases:
        for said in phrase.says:
            if said.subject not in known.get(said.kind, (said.subject,)):
                raise BundleError(f"the grammar's '{phrase.text}' speaks of '{said.subject}', which the configuration does not have")


def _of(classes: Mapping[str, tuple[Phrase, ...]], name: str) -> tuple[Phrase, ...]:
    if name not in classes:
        raise ValueError(f"the grammar has no phrases '{name}'")
    return classes[name]


def _check_phrase(phrase: Phrase, rules: Rules) -> None:
    if not phrase.text:
        raise ValueError("the grammar has an empty phrase")
    for said in phrase.says:
        if said.kind not in KINDS:
            raise ValueError(f"the phrase '{phrase.text}' makes a statement of an unknown kind '{said.kind}'")
        rules.check_covered(said, phrase.text)
    named = {s.subject for s in phrase.says if s.kind in ("conclusion", "runner_up")}
    if set(named_emotions(phrase.text)) - named:
        raise ValueError(f"the phrase '{phrase.text}' names an emotion that it does not state")
