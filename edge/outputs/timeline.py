"""A clip as a picture: for each person the answer, probabilities, spans, cues and events over time, and what is said of each span. SVG."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterator, Sequence
from pathlib import PurePath
from xml.etree import ElementTree

import numpy as np

from edge.outputs.words import event_in_words
from edge.plain import plain
from edge.spans import Appearance, Clip, Span

WIDTH = 1200
MOST_PEOPLE, MOST_CUES, MOST_TEXTS = 8, 6, 24
"""What is drawn at most; a summary of another kind has all of it."""
_PAPER, _CARD, _LINE, _TRACK, _INK, _QUIET, _ACCENT, _BELOW = (
    "#f4f1ea", "#fffdf8", "#e2dccf", "#ebe6da", "#1f1d1a", "#655f55", "#1f6b63", "#b0713a",
)  # fmt: skip
_LABELS = (
    "#8b8f97", "#d9991a", "#d2703a", "#4a78b5", "#bf443c", "#5d8b3d", "#7957a6", "#a5537a", "#2c8a86", "#5b6d8c", "#8a6848",
)  # fmt: skip
_SERIF = "'Iowan Old Style', 'Palatino Linotype', Palatino, 'Noto Serif', Georgia, 'Liberation Serif', serif"
_SANS = "Inter, 'Segoe UI', -apple-system, Roboto, 'Noto Sans', 'Liberation Sans', sans-serif"
_LEFT, _RIGHT, _PAD, _EDGE = 172, 1144, 32, 24  # of the chart; inside a card; around it
_STEPS_S = (0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1800, 3600)
_TRACE = 0.15
_SCALE = 3.0  # deviations that a cue's row shows at least, either way
_WRAP = 132  # characters of a line that fit beside a span's number


def as_svg(clip: Clip) -> str:
    """The picture, 1200 wide and as high as needed; fonts are the viewer's."""
    page = _Pen()
    y = _head(page, clip)
    for person in clip.people[:MOST_PEOPLE]:
        y = _card(page, clip, person, y) + 20
    if len(clip.people) > MOST_PEOPLE:
        page.text(_EDGE + _PAD, y + 8, f"and {len(clip.people) - MOST_PEOPLE} more people", fill=_QUIET)
        y += 24
    page.text(
        _EDGE + _PAD, y + 12, "Apparent expression, not what anybody feels. Sentences were held against what was measured.", fill=_QUIET
    )
    return page.done(y + 32)


class _Pen:
    """Adds shapes to a page."""

    def __init__(self) -> None:
        self.root = ElementTree.Element("svg", xmlns="http://www.w3.org/2000/svg", width=str(WIDTH), role="img")
        self.root.set("font-family", _SANS)
        self.root.set("font-size", "13")

    def add(self, name: str, **given: object) -> ElementTree.Element:
        values = {key.rstrip("_").replace("_", "-"): _number(value) for key, value in given.items()}
        return ElementTree.SubElement(self.root, name, values)

    def text(self, x: float, y: float, said: str, **given: object) -> None:
        self.add("text", x=x, y=y, **{"fill": _INK, **given}).text = _printable(said)

    def box(self, x: float, y: float, width: float, height: float, fill: str, said: str = "", **given: object) -> None:
        shape = self.add("rect", x=x, y=y, width=max(width, 0.5), height=height, fill=fill, **given)
        if said:
            ElementTree.SubElement(shape, "title").text = _printable(said)

    def done(self, height: float) -> str:
        self.root.set("height", _number(height))
        self.root.set("viewBox", f"0 0 {WIDTH} {_number(height)}")
        self.root.insert(0, ElementTree.Element("rect", width="100%", height="100%", fill=_PAPER))
        return ElementTree.tostring(self.root, encoding="unicode") + "\n"


def _head(page: _Pen, clip: Clip) -> float:
    name = plain(PurePath(clip.source).name)
    ElementTree.SubElement(page.root, "title").text = _printable(f"What happened in {name}")
    page.text(_EDGE + _PAD, 52, textwrap.shorten(name, 60, placeholder=" …") or "recording", font_family=_SERIF, font_size=28)
    people = f"{len(clip.people)} {'person' if len(clip.people) == 1 else 'people'}" if clip.people else "nobody was seen"
    page.text(_RIGHT, 52, f"{_clock(clip.seconds)}  ·  {clip.frames} frames  ·  {people}", fill=_QUIET, text_anchor="end")
    return 76


def _card(page: _Pen, clip: Clip, person: Appearance, top: float) -> float:
    """Draw one person below `top`; where the card ends."""
    card = page.add("rect", x=_EDGE, y=top, width=WIDTH - 2 * _EDGE, rx=16, fill=_CARD, stroke=_LINE)
    labels = list(person.answer.probabilities) if person.answer else sorted({span.label for span in person.spans} - {""})
    colours = dict(zip(labels, _LABELS * (1 + len(labels) // len(_LABELS)), strict=False))
    starts, ends = ([getattr(span, name) for one in clip.people for span in one.spans] for name in ("start_ms", "end_ms"))
    first, last = min(starts), max(ends)

    def x(t_ms: float) -> float:
        return float(_LEFT + (_RIGHT - _LEFT) * (t_ms - first) / max(last - first, 1.0))

    y = _answer(page, person, colours, top + 40)
    chart = y
    y = _probabilities(page, person, x, colours, y)
    y = _spans(page, person, x, colours, y + 8)
    y = _cues(page, person, x, y + 14)
    y = _events(page, person, x, y + 6)
    _axis(page, x, first, last, chart, y)
    y = _texts(page, person, colours, y + 44)
    card.set("height", _number(y - top))
    return y


def _answer(page: _Pen, person: Appearance, colours: dict[str, str], y: float) -> float:
    left = _EDGE + _PAD
    page.text(left, y - 6, f"PERSON {person.track}", fill=_QUIET, font_size=11, letter_spacing=1.2)
    facts = [f"{_clock(person.seconds)} in sight", *(f"{name} {share:.0%}" for name, share in _largest(person.shares) if share >= 0.01)]
    facts += [f"{words} {share:.0%}" for words, share in (("not read", person.unread), ("unsure", person.abstained)) if share >= 0.01]
    page.text(_RIGHT, y - 6, "  ·  ".join(facts), fill=_QUIET, text_anchor="end")
    answer = person.answer
    if answer is None:
        page.text(left, y + 28, "could not be read", font_family=_SERIF, font_size=26, fill=_QUIET)
        return y + 52
    page.add("circle", cx=left + 8, cy=y + 20, r=7, fill=colours[answer.label])
    page.text(left + 26, y + 29, answer.label.capitalize(), font_family=_SERIF, font_size=30)
    page.text(left + 38 + 15.5 * len(answer.label), y + 29, f"{answer.confidence:.0%} over the whole time", fill=_QUIET, font_size=15)
    _legend(page, person, colours, y + 28)
    y += 56
    for line in textwrap.wrap(answer.text, _WRAP):
        page.text(left + 26, y, line, font_family=_SERIF, font_size=16)
        y += 23
    return y + 8


def _legend(page: _Pen, person: Appearance, colours: dict[str, str], y: float) -> None:
    """The labels that are more than a trace at some time, from the right."""
    left = float(_RIGHT)
    for name in reversed(colours):
        values = person.strip.probabilities.get(name)
        if values is not None and np.nanmax(values, initial=0.0) >= _TRACE:
            page.text(left, y, name, fill=_QUIET, text_anchor="end", font_size=12)
            left -= 6.1 * len(name) + 10
            page.add("circle", cx=left, cy=y - 4, r=4, fill=colours[name])
            left -= 16


def _probabilities(page: _Pen, person: Appearance, x: Callable[[float], float], colours: dict[str, str], y: float) -> float:
    """Stacked areas, the first label on top: it is *neutral*, and what moves stands on the ground."""
    _name(page, "probability", y + 46)
    page.box(_LEFT, y, _RIGHT - _LEFT, 84, _TRACK, rx=4)
    strip = person.strip
    names = [name for name in colours if name in strip.probabilities][::-1]
    if names:
        shares = np.array([strip.probabilities[name] for name in names])
        tops = np.cumsum(shares, 0)
        for start, stop in _runs(np.isfinite(shares).all(0)):
            inner = strip.start_ms + strip.step_ms * (np.arange(start + 1, stop) + 0.5)
            times = [strip.start_ms + strip.step_ms * start, *inner.tolist(), strip.start_ms + strip.step_ms * stop]
            for i, name in enumerate(names):
                high = np.append(tops[i, start:stop], tops[i, stop - 1])
                low = high - np.append(shares[i, start:stop], shares[i, stop - 1])
                upper = [(x(t), y + 84 * (1 - v)) for t, v in zip(times, high, strict=True)]
                lower = [(x(t), y + 84 * (1 - v)) for t, v in zip(times[::-1], low[::-1], strict=True)]
                page.add("path", d=_way(upper + lower) + "Z", fill=colours[name], fill_opacity=0.4 if name == names[-1] else 0.9)
    return y + 84


def _spans(page: _Pen, person: Appearance, x: Callable[[float], float], colours: dict[str, str], y: float) -> float:
    _name(page, "expression", y + 16)
    numbers = {id(span): i for i, span in enumerate(_told(person), 1)}
    for span in person.spans:
        left, wide = x(span.start_ms), x(span.end_ms) - x(span.start_ms)
        colour, said = colours.get(span.label, _TRACK), span.label or "not read"
        page.box(left + 0.5, y, wide - 1, 24, colour, f"{_clock(span.start_ms / 1e3)} {said} {span.confidence:.0%}", rx=min(5, wide / 2))
        number = numbers.get(id(span), 0)
        words = f"{number}  {span.label}" if number and span.label else span.label
        if span.label and wide > 7.5 * len(words) + 12:
            page.text(left + wide / 2, y + 16.5, words, fill="#ffffff", text_anchor="middle", font_weight=600, font_size=12)
        elif number and wide > 12:
            page.text(left + wide / 2, y + 16.5, str(number), fill="#ffffff", text_anchor="middle", font_weight=600, font_size=11)
    return y + 24


def _cues(page: _Pen, person: Appearance, x: Callable[[float], float], y: float) -> float:
    """A row for each of the cues that move most, with the times in which they were told to move."""
    strip = person.strip
    moves = {event.subject for event in person.events if event.kind == "movement"}
    span = {name: float(np.nanmax(v) - np.nanmin(v)) for name, v in strip.cues.items() if np.isfinite(v).any()}
    chosen = sorted(span, key=lambda name: (name not in moves, -span[name]))[:MOST_CUES]
    for name in (name for name in strip.cues if name in chosen):
        _name(page, name.replace("_", " "), y + 19)
        for event in person.events:
            if event.kind == "movement" and event.subject == name:
                page.box(
                    x(event.onset_ms), y, x(event.t_ms) - x(event.onset_ms), 28, _ACCENT, event_in_words(event), fill_opacity=0.13, rx=3
                )
        values = strip.cues[name]
        scale = 13 / max(_SCALE, float(np.nanmax(np.abs(values))))
        page.add("path", d=_way([(_LEFT, y + 14), (_RIGHT, y + 14)]), stroke=_LINE)
        for start, stop in _runs(np.isfinite(values)):
            times = strip.start_ms + strip.step_ms * (np.arange(start, stop) + 0.5)
            line = [(x(t), y + 14 - scale * v) for t, v in zip(times, values[start:stop], strict=True)]
            page.add("path", d=_way(line), fill="none", stroke=_ACCENT, stroke_width=1.4, stroke_linejoin="round", stroke_linecap="round")
        y += 30
    return y


def _events(page: _Pen, person: Appearance, x: Callable[[float], float], y: float) -> float:
    """Blinks as strokes; what lasts as bars."""
    others = [event for event in person.events if event.kind != "movement"]
    if not others:
        return y
    _name(page, "eyes and head", y + 14)
    page.box(_LEFT, y, _RIGHT - _LEFT, 20, _TRACK, rx=4, fill_opacity=0.6)
    for event in others:
        left, wide, words = x(event.onset_ms), x(event.t_ms) - x(event.onset_ms), event.kind.replace("_", " ")
        if event.kind == "blink":
            page.box(left, y + 3, max(wide, 2), 14, _INK, words, rx=1)
            continue
        page.box(left, y + 2, max(wide, 3), 16, _INK if event.kind == "eyes_closed" else _BELOW, words, rx=3, fill_opacity=0.85)
        if wide > 6.5 * len(words) + 8:
            page.text(left + wide / 2, y + 14, words, fill="#ffffff", text_anchor="middle", font_size=11)
    return y + 20


def _axis(page: _Pen, x: Callable[[float], float], first: float, last: float, top: float, y: float) -> None:
    seconds = (last - first) / 1e3
    step = next((step for step in _STEPS_S if seconds / step <= 12), seconds)
    for i in range(int(seconds / max(step, 1e-3) + 1e-6) + 1):
        at = x(first + 1e3 * i * step)
        page.add("path", d=_way([(at, top), (at, y + 6)]), stroke=_INK, stroke_opacity=0.09)
        page.text(at, y + 21, _clock(first / 1e3 + i * step), fill=_QUIET, text_anchor="middle", font_size=11)


def _texts(page: _Pen, person: Appearance, colours: dict[str, str], y: float) -> float:
    told = _told(person)
    for number, span in enumerate(told[:MOST_TEXTS], 1):
        lines = textwrap.wrap(span.text, _WRAP)
        page.add("circle", cx=_EDGE + _PAD + 9, cy=y + 4.5, r=10, fill=colours.get(span.label, _QUIET))
        page.text(_EDGE + _PAD + 9, y + 8.5, str(number), fill="#ffffff", text_anchor="middle", font_size=11, font_weight=600)
        page.text(
            _EDGE + _PAD + 28,
            y + 9,
            f"{_clock(span.start_ms / 1e3).removesuffix(' s')} – {_clock(span.end_ms / 1e3)}",
            fill=_QUIET,
            font_size=12,
        )
        for line in lines:
            page.text(_LEFT, y + 9, line, font_family=_SERIF, font_size=15)
            y += 21
        y += 9
    if len(told) > MOST_TEXTS:
        page.text(_LEFT, y + 9, f"and {len(told) - MOST_TEXTS} more spans with a text", fill=_QUIET)
        y += 24
    return y + 12


def _told(person: Appearance) -> list[Span]:
    return [span for span in person.spans if span.text]


def _name(page: _Pen, said: str, y: float) -> None:
    page.text(_LEFT - 14, y, said, fill=_QUIET, text_anchor="end", font_size=12)


def _runs(there: np.ndarray) -> Iterator[tuple[int, int]]:
    """Where a row of truths is true: start and stop of each run."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], there, [False]]).astype(int)))
    return zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True)


def _way(points: Sequence[tuple[float, float]]) -> str:
    return "M" + "L".join(f"{_number(a)} {_number(b)}" for a, b in points)


def _largest(shares: dict[str, float]) -> list[tuple[str, float]]:
    return sorted(shares.items(), key=lambda pair: -pair[1])[:4]


def _number(value: object) -> str:
    return f"{value:.1f}".removesuffix(".0") if isinstance(value, float) else str(value)


def _clock(seconds: float) -> str:
    """`7.5 s`, from a minute on `1:07`."""
    return f"{seconds:.1f} s".replace(".0 s", " s") if seconds < 60 else f"{int(seconds) // 60}:{int(seconds) % 60:02d}"


def _printable(text: str) -> str:
    """Without what XML cannot hold."""
    return "".join(c if c.isprintable() else " " for c in text.encode("utf-8", "replace").decode())
