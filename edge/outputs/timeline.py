"""A clip as a picture: for each person the answer, probabilities, spans, cues and events over time, and what is said of each span."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterator
from pathlib import PurePath

import numpy as np

from edge.outputs.pixels import paint
from edge.outputs.save import encoded
from edge.outputs.shapes import Area, Box, Dot, Line, Page, Text, svg
from edge.outputs.words import event_in_words
from edge.plain import plain
from edge.spans import Appearance, Clip, Span

WIDTH = 1200
MOST_PEOPLE, MOST_CUES, MOST_TEXTS = 8, 6, 24
"""What is drawn at most; a summary of another kind has all of it."""
_PAPER, _CARD, _LINE, _TRACK, _INK, _QUIET, _ACCENT, _BELOW = (
    "#f4f1ea", "#fffdf8", "#e2dccf", "#ebe6da", "#1f1d1a", "#655f55", "#1f6b63", "#b0713a",
)  # fmt: skip
_WHITE = "#ffffff"
_LABELS = (
    "#8b8f97", "#d9991a", "#d2703a", "#4a78b5", "#bf443c", "#5d8b3d", "#7957a6", "#a5537a", "#2c8a86", "#5b6d8c", "#8a6848",
)  # fmt: skip
_LEFT, _RIGHT, _PAD, _EDGE = 172, 1144, 32, 24  # of the chart; inside a card; around it
_STEPS_S = (0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1800, 3600)
_TRACE = 0.15
_SCALE = 3.0  # deviations that a cue's row shows at least, either way
_WRAP = 132  # characters of a line that fit beside a span's number


def as_svg(clip: Clip) -> str:
    """The picture, 1200 wide and as high as needed; fonts are the viewer's."""
    return svg(lay_out(clip))


def as_png(clip: Clip) -> bytes:
    """The same picture, two pixels for each of those units."""
    return encoded(paint(lay_out(clip)), ".png")


def in_a_sentence(clip: Clip) -> str:
    """What the picture shows, for those who do not see it: `talk.mp4, 24 s, 1 person. Person 1: happiness, 84% pooled over all frames.`"""
    told = [f"{_title(clip)}, {_clock(clip.seconds)}, {_crowd(clip)}."]
    for person in clip.people[:MOST_PEOPLE]:
        answer = f"{person.answer.label}, {person.answer.confidence:.0%} pooled over all frames" if person.answer else "could not be read"
        told.append(f"Person {person.track}: {answer}.")
    return " ".join(told)


def lay_out(clip: Clip) -> Page:
    """The picture as shapes."""
    page = Page(WIDTH, f"What happened in {plain(PurePath(clip.source).name)}", _PAPER)
    y = _head(page, clip)
    for person in clip.people[:MOST_PEOPLE]:
        y = _card(page, clip, person, y) + 20
    if len(clip.people) > MOST_PEOPLE:
        page.add(Text(_EDGE + _PAD, y + 8, f"and {len(clip.people) - MOST_PEOPLE} more people", _QUIET))
        y += 24
    note = "Apparent expression, not what anybody feels. Sentences were held against what was measured."
    page.add(Text(_EDGE + _PAD, y + 12, note, _QUIET))
    page.height = y + 32
    return page


def _title(clip: Clip) -> str:
    return textwrap.shorten(plain(PurePath(clip.source).name), 60, placeholder=" …") or "recording"


def _crowd(clip: Clip) -> str:
    return f"{len(clip.people)} {'person' if len(clip.people) == 1 else 'people'}" if clip.people else "nobody was seen"


def _head(page: Page, clip: Clip) -> float:
    page.add(Text(_EDGE + _PAD, 52, _title(clip), _INK, 28, serif=True))
    page.add(Text(_RIGHT, 52, f"{_clock(clip.seconds)}  ·  {clip.frames} frames  ·  {_crowd(clip)}", _QUIET, anchor="end"))
    return 76


def _card(page: Page, clip: Clip, person: Appearance, top: float) -> float:
    """Draw one person below `top`; where the card ends."""
    below = len(page.shapes)
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
    page.shapes.insert(below, Box(_EDGE, top, WIDTH - 2 * _EDGE, y - top, _CARD, 16, stroke=_LINE))
    return y


def _answer(page: Page, person: Appearance, colours: dict[str, str], y: float) -> float:
    left = _EDGE + _PAD
    page.add(Text(left, y - 6, f"PERSON {person.track}", _QUIET, 11))
    facts = [
        f"{_clock(person.seconds)} in sight",
        *(f"{name} {share:.0%} of the time" for name, share in _largest(person.shares) if share >= 0.01),
    ]
    facts += [f"{words} {share:.0%}" for words, share in (("not read", person.unread), ("unsure", person.abstained)) if share >= 0.01]
    page.add(Text(_RIGHT, y - 6, "  ·  ".join(facts), _QUIET, anchor="end"))
    answer = person.answer
    if answer is None:
        page.add(Text(left, y + 28, "could not be read", _QUIET, 26, serif=True))
        return y + 52
    page.add(Dot(left + 8, y + 20, 7, colours[answer.label]), Text(left + 26, y + 29, answer.label.capitalize(), _INK, 30, serif=True))
    page.add(Text(left + 38 + 15.5 * len(answer.label), y + 29, f"{answer.confidence:.0%} pooled over all frames", _QUIET, 15))
    _legend(page, person, colours, y + 28)
    y += 56
    for line in textwrap.wrap(answer.text, _WRAP):
        page.add(Text(left + 26, y, line, _INK, 16, serif=True))
        y += 23
    return y + 8


def _legend(page: Page, person: Appearance, colours: dict[str, str], y: float) -> None:
    """The labels that are more than a trace at some time, from the right."""
    left = float(_RIGHT)
    for name in reversed(colours):
        values = person.strip.probabilities.get(name)
        if values is not None and np.nanmax(values, initial=0.0) >= _TRACE:
            page.add(Text(left, y, name, _QUIET, 12, "end"))
            left -= 6.1 * len(name) + 10
            page.add(Dot(left, y - 4, 4, colours[name]))
            left -= 16


def _probabilities(page: Page, person: Appearance, x: Callable[[float], float], colours: dict[str, str], y: float) -> float:
    """Stacked areas, the first label on top: it is *neutral*, and what moves stands on the ground."""
    _name(page, "probability", y + 46)
    page.add(Box(_LEFT, y, _RIGHT - _LEFT, 84, _TRACK, 4))
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
                upper = [(x(t), y + 84 * (1 - v)) for t, v in zip(times, high.tolist(), strict=True)]
                lower = [(x(t), y + 84 * (1 - v)) for t, v in zip(times[::-1], low[::-1].tolist(), strict=True)]
                page.add(Area(upper + lower, colours[name], 0.4 if name == names[-1] else 0.9))
    return y + 84


def _spans(page: Page, person: Appearance, x: Callable[[float], float], colours: dict[str, str], y: float) -> float:
    _name(page, "expression", y + 16)
    numbers = {id(span): i for i, span in enumerate(_told(person), 1)}
    for span in person.spans:
        left, wide = x(span.start_ms), x(span.end_ms) - x(span.start_ms)
        colour, said = colours.get(span.label, _TRACK), span.label or "not read"
        said = f"{_clock(span.start_ms / 1e3)} {said} {span.confidence:.0%}"
        page.add(Box(left + 0.5, y, wide - 1, 24, colour, min(5, wide / 2), says=said))
        number, ink = numbers.get(id(span), 0), _WHITE if span.label else _QUIET
        words = f"{number}  {span.label}" if number and span.label else span.label
        if span.label and wide > 7.5 * len(words) + 12:
            page.add(Text(left + wide / 2, y + 16.5, words, ink, 12, "middle", bold=True))
        elif number and wide > 12:
            page.add(Text(left + wide / 2, y + 16.5, str(number), ink, 11, "middle", bold=True))
    return y + 24


def _cues(page: Page, person: Appearance, x: Callable[[float], float], y: float) -> float:
    """A row for each of the cues that move most, with the times in which they were told to move."""
    strip = person.strip
    moves = {event.subject for event in person.events if event.kind == "movement"}
    span = {name: float(np.nanmax(v) - np.nanmin(v)) for name, v in strip.cues.items() if np.isfinite(v).any()}
    chosen = sorted(span, key=lambda name: (name not in moves, -span[name]))[:MOST_CUES]
    for name in (name for name in strip.cues if name in chosen):
        _name(page, name.replace("_", " "), y + 19)
        for event in person.events:
            if event.kind == "movement" and event.subject == name:
                left = x(event.onset_ms)
                page.add(Box(left, y, x(event.t_ms) - left, 28, _ACCENT, 3, 0.13, says=event_in_words(event)))
        values = strip.cues[name]
        scale = 13 / max(_SCALE, float(np.nanmax(np.abs(values))))
        page.add(Line([(_LEFT, y + 14), (_RIGHT, y + 14)], _LINE))
        for start, stop in _runs(np.isfinite(values)):
            times = strip.start_ms + strip.step_ms * (np.arange(start, stop) + 0.5)
            line = [(x(t), y + 14 - scale * v) for t, v in zip(times.tolist(), values[start:stop].tolist(), strict=True)]
            page.add(Line(line, _ACCENT, 1.4))
        y += 30
    return y


def _events(page: Page, person: Appearance, x: Callable[[float], float], y: float) -> float:
    """Blinks as strokes; what lasts as bars."""
    others = [event for event in person.events if event.kind != "movement"]
    if not others:
        return y
    _name(page, "eyes and head", y + 14)
    page.add(Box(_LEFT, y, _RIGHT - _LEFT, 20, _TRACK, 4, 0.6))
    for event in others:
        left, wide, words = x(event.onset_ms), x(event.t_ms) - x(event.onset_ms), event.kind.replace("_", " ")
        if event.kind == "blink":
            page.add(Box(left, y + 3, max(wide, 2), 14, _INK, 1, says=words))
            continue
        page.add(Box(left, y + 2, max(wide, 3), 16, _INK if event.kind == "eyes_closed" else _BELOW, 3, 0.85, says=words))
        if wide > 6.5 * len(words) + 8:
            page.add(Text(left + wide / 2, y + 14, words, _WHITE, 11, "middle"))
    return y + 20


def _axis(page: Page, x: Callable[[float], float], first: float, last: float, top: float, y: float) -> None:
    seconds = (last - first) / 1e3
    step = next((step for step in _STEPS_S if seconds / step <= 12), seconds)
    for i in range(int(seconds / max(step, 1e-3) + 1e-6) + 1):
        at = x(first + 1e3 * i * step)
        page.add(Line([(at, top), (at, y + 6)], _INK, opacity=0.09))
        page.add(Text(at, y + 21, _clock(first / 1e3 + i * step), _QUIET, 11, "middle"))


def _texts(page: Page, person: Appearance, colours: dict[str, str], y: float) -> float:
    told, left = _told(person), _EDGE + _PAD
    for number, span in enumerate(told[:MOST_TEXTS], 1):
        page.add(Dot(left + 9, y + 4.5, 10, colours.get(span.label, _QUIET)))
        page.add(Text(left + 9, y + 8.5, str(number), _WHITE, 11, "middle", bold=True))
        when = f"{_clock(span.start_ms / 1e3).removesuffix(' s')} – {_clock(span.end_ms / 1e3)}"
        page.add(Text(left + 28, y + 9, when, _QUIET, 12))
        for line in textwrap.wrap(span.text, _WRAP):
            page.add(Text(_LEFT, y + 9, line, _INK, 15, serif=True))
            y += 21
        y += 9
    if len(told) > MOST_TEXTS:
        page.add(Text(_LEFT, y + 9, f"and {len(told) - MOST_TEXTS} more spans with a text", _QUIET))
        y += 24
    return y + 12


def _told(person: Appearance) -> list[Span]:
    return [span for span in person.spans if span.text]


def _name(page: Page, said: str, y: float) -> None:
    page.add(Text(_LEFT - 14, y, said, _QUIET, 12, "end"))


def _runs(there: np.ndarray) -> Iterator[tuple[int, int]]:
    """Where a row of truths is true: start and stop of each run."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], there, [False]]).astype(int)))
    return zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True)


def _largest(shares: dict[str, float]) -> list[tuple[str, float]]:
    return sorted(shares.items(), key=lambda pair: -pair[1])[:4]


def _clock(seconds: float) -> str:
    """`7.5 s`, from a minute on `1:07`."""
    return f"{seconds:.1f} s".replace(".0 s", " s") if seconds < 60 else f"{int(seconds) // 60}:{int(seconds) % 60:02d}"
