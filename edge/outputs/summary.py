"""A clip's summary as a file: JSON, a table (TSV), captions (WebVTT), tiers for ELAN (EAF), or a picture (SVG, PNG)."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

from edge.errors import OutputError, UsageError
from edge.outputs.layouts import guarded
from edge.outputs.timeline import as_png, as_svg
from edge.outputs.words import event_in_words
from edge.plain import plain
from edge.spans import Appearance, Clip
from edge.stop import unstopped
from edge.whole import write_whole

_COLUMNS = ("person", "what", "label", "start_s", "apex_s", "end_s", "amount", "text")


def check_summary(path: Path) -> None:
    """Raise `UsageError` when a name does not end in one of the formats."""
    if path.suffix.lower() not in _FORMATS:
        raise UsageError(f"--summary '{path}': expected a name that ends in {', '.join(_FORMATS)}")


def write_summary(path: Path, clip: Clip) -> None:
    """Write a summary, whole or not at all, as its name ends.

    Raises:
        UsageError: the name does not end in a format.
        OutputError: it cannot be written.
    """
    check_summary(path)
    try:
        with unstopped():
            made = _FORMATS[path.suffix.lower()](clip)
            write_whole(path, made if isinstance(made, bytes) else made.encode("utf-8", "backslashreplace"))
    except OSError as error:
        raise OutputError(f"cannot write the summary '{path}': {error.strerror or error}") from None


def as_json(clip: Clip) -> str:
    """`Clip.to_dict()`."""
    return json.dumps(clip.to_dict(), indent=1) + "\n"


def as_tsv(clip: Clip) -> str:
    """A row for each person's answer, each span and each event: `amount` is the confidence, of an event deviations or degrees."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, delimiter="\t", lineterminator="\n")
    writer.writerow(_COLUMNS)
    for person in clip.people:
        if answer := person.answer:
            ends = _seconds(person.spans[0].start_ms), "", _seconds(person.spans[-1].end_ms)
            writer.writerow([person.track, "answer", answer.label, *ends, round(answer.confidence, 4), guarded(answer.text)])
        for span in person.spans:
            times = (span.start_ms, span.apex_ms, span.end_ms)
            writer.writerow([person.track, "expression", span.label, *map(_seconds, times), round(span.confidence, 4), guarded(span.text)])
        for event in person.events:
            times = (event.onset_ms, event.onset_ms + (event.rise_ms or 0.0), event.t_ms)
            writer.writerow([person.track, event.kind, event_in_words(event), *map(_seconds, times), round(event.amplitude, 3), ""])
    return text.getvalue()


def as_vtt(clip: Clip) -> str:
    """Captions: each span with a label, and its text where that passed the checks."""
    cues = []
    for person in clip.people:
        for span in person.spans:
            if span.label and span.end_ms > span.start_ms:
                said = f"\n{_escaped(span.text)}" if span.text else ""
                who = f"<v Person {person.track}>{_escaped(span.label)} ({span.confidence:.0%})"
                cues.append((span.start_ms, f"{_clock(span.start_ms)} --> {_clock(span.end_ms)}\n{who}{said}"))
    return "\n\n".join(["WEBVTT", *(text for _, text in sorted(cues, key=lambda cue: cue[0]))]) + "\n"


def as_eaf(clip: Clip) -> str:
    """An ELAN file: for each person tiers of the answer, expressions, explanations and courses, and one for each kind of event."""
    root = ElementTree.Element("ANNOTATION_DOCUMENT", AUTHOR="erv-edge", DATE="1970-01-01T00:00:00+00:00", FORMAT="3.0", VERSION="3.0")
    header = ElementTree.SubElement(root, "HEADER", MEDIA_FILE="", TIME_UNITS="milliseconds")
    media = plain(clip.source).encode("utf-8", "backslashreplace").decode()
    ElementTree.SubElement(header, "MEDIA_DESCRIPTOR", MEDIA_URL=media, MIME_TYPE="video/*")
    order = ElementTree.SubElement(root, "TIME_ORDER")
    slots = count = 0

    def slot(t_ms: float) -> str:
        nonlocal slots
        slots += 1
        ElementTree.SubElement(order, "TIME_SLOT", TIME_SLOT_ID=f"ts{slots}", TIME_VALUE=str(max(0, round(t_ms))))
        return f"ts{slots}"

    for name, notes in _tiers(clip):
        tier = ElementTree.SubElement(root, "TIER", LINGUISTIC_TYPE_REF="default", TIER_ID=name)
        for start_ms, end_ms, text in notes:
            count += 1
            place = ElementTree.SubElement(tier, "ANNOTATION")
            note = ElementTree.SubElement(
                place, "ALIGNABLE_ANNOTATION", ANNOTATION_ID=f"a{count}", TIME_SLOT_REF1=slot(start_ms), TIME_SLOT_REF2=slot(end_ms)
            )
            ElementTree.SubElement(note, "ANNOTATION_VALUE").text = text
    ElementTree.SubElement(root, "LINGUISTIC_TYPE", GRAPHIC_REFERENCES="false", LINGUISTIC_TYPE_ID="default", TIME_ALIGNABLE="true")
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ElementTree.tostring(root, encoding="unicode") + "\n"


_FORMATS: dict[str, Callable[[Clip], str | bytes]] = {
    ".json": as_json, ".tsv": as_tsv, ".vtt": as_vtt, ".eaf": as_eaf, ".svg": as_svg, ".png": as_png,
}  # fmt: skip


def _tiers(clip: Clip) -> list[tuple[str, list[tuple[float, float, str]]]]:
    """Name → its notes, in time; those of one tier must not overlap."""
    tiers = []
    for person in clip.people:
        read = [span for span in person.spans if span.label and round(span.end_ms) > round(span.start_ms)]
        notes = {
            "answer": [(read[0].start_ms, read[-1].end_ms, person.answer.label)] if read and person.answer else [],
            "expression": [(span.start_ms, span.end_ms, span.label) for span in read],
            "explanation": [(span.start_ms, span.end_ms, span.explanation.text) for span in read if span.explanation],
            "course": [(span.start_ms, span.end_ms, " ".join(said.text for said in span.course)) for span in read],
        }
        tiers += [(f"P{person.track} {name}", [note for note in found if note[2]]) for name, found in notes.items()]
        tiers += _event_tiers(person)
    return [(name, notes) for name, notes in tiers if notes]


def _event_tiers(person: Appearance) -> list[tuple[str, list[tuple[float, float, str]]]]:
    tiers: dict[str, list[tuple[float, float, str]]] = {}
    for event in sorted(person.events, key=lambda event: event.onset_ms):
        notes = tiers.setdefault(f"P{person.track} {event.subject if event.kind == 'movement' else event.kind}", [])
        start_ms = max(event.onset_ms, notes[-1][1] if notes else 0.0)
        if round(event.t_ms) > round(start_ms):
            notes.append((start_ms, event.t_ms, event_in_words(event)))
    return list(tiers.items())


def _seconds(t_ms: float) -> str:
    return f"{t_ms / 1e3:.3f}"


def _clock(t_ms: float) -> str:
    minutes, rest_ms = divmod(round(t_ms), 60_000)
    return f"{minutes // 60:02d}:{minutes % 60:02d}:{rest_ms // 1000:02d}.{rest_ms % 1000:03d}"


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
