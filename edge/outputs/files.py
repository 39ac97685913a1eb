"""Readings to files: JSON lines and CSV. Each reading is on disk before the next one is taken, so that a crash loses none."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, TextIO

from edge.errors import OutputError, UsageError
from edge.outputs.sink import Sink
from edge.types import Face, Reading

_FORMULA = tuple("=+-@\t\r\n＝＋－＠'")
"""What a cell must not begin with: spreadsheets calculate it, full-width forms as well; the apostrophe is ours."""
_SAID = ("status", "answer", "text", "consistency", "grounding", "statements", "attempts")


class JsonLinesSink(Sink):
    """One `Reading.to_dict()` a line, as `edge-run --json` prints it."""

    def __init__(self, target: Path | TextIO) -> None:
        """Open `target`.

        Args:
            target: a new file, or an open text stream, which is not closed.

        Raises:
            UsageError: the file exists or cannot be written.
        """
        self._owned = isinstance(target, Path)
        self._stream = _create(target) if isinstance(target, Path) else target

    def write(self, reading: Reading) -> None:
        put(self._stream, json.dumps(reading.to_dict()) + "\n")

    def close(self) -> None:
        if self._owned:
            _finish(self._stream)


class CsvSink(Sink):
    """A table with one row per face and frame; a frame without a face has one row in which the face's columns are empty.

    Columns: `source, frame, t_ms, faces, track, x1, y1, x2, y2, score, emotion, confidence`, then `p_<label>` for every label and
    `cue_<cue>` for every cue, `valence, arousal`, `au_<unit>` for every action unit (its intensity), then `yaw, pitch, roll, unclear,
    hidden, baseline, status, answer, text, consistency, grounding, statements, attempts, explained_t_ms, latency_ms`. Units are those of
    the JSON object; `faces` counts the faces of the frame, `unclear` and `hidden`
    separate their words by spaces, `statements` is the JSON array, `latency_ms` is the total. A text that begins with one of `= + - @ '`,
    their full-width forms, a tab or a line break has one `'` more in front, so that no spreadsheet runs it as a formula: take it away to
    read the text. The columns from `status` to `explained_t_ms` are empty where no explanation was due.
    """

    def __init__(self, target: Path | TextIO, labels: Sequence[str], cues: Sequence[str], units: Sequence[str] = ()) -> None:
        """Open `target` and write the header.

        Args:
            target: a new file, or an open text stream, which is not closed.
            labels: the bundle's labels, in its order.
            cues: the bundle's cues, in its order.
            units: the bundle's action units, in its order.

        Raises:
            UsageError: the file exists or cannot be written.
        """
        self.columns = columns(labels, cues, units)
        self._path, self._empty = target if isinstance(target, Path) else None, True
        self._stream = _create(target) if isinstance(target, Path) else target
        self._writer = csv.DictWriter(_Flushed(self._stream), self.columns, restval="")
        self._writer.writeheader()

    def write(self, reading: Reading) -> None:
        self._empty = False
        self._writer.writerows(rows(reading))

    def close(self) -> None:
        """Finish the table; one without a row, as of a camera that was not there, is removed, so that the next try finds its name free."""
        if self._path is None:
            return
        left = self._empty and not self._stream.closed
        _finish(self._stream)
        if left:
            with suppress(OSError):
                self._path.unlink(missing_ok=True)


def columns(labels: Sequence[str], cues: Sequence[str], units: Sequence[str] = ()) -> list[str]:
    """The table's columns, in order."""
    first = ["source", "frame", "t_ms", "faces", "track", "x1", "y1", "x2", "y2", "score", "emotion", "confidence"]
    last = ["yaw", "pitch", "roll", "unclear", "hidden", "baseline", *_SAID, "explained_t_ms", "latency_ms"]
    read = [*(f"p_{name}" for name in labels), *(f"cue_{name}" for name in cues), "valence", "arousal", *(f"au_{name}" for name in units)]
    return [*first, *read, *last]


def rows(reading: Reading) -> Iterator[dict[str, Any]]:
    """The table's rows for one reading; absent keys are empty cells."""
    whole = reading.to_dict()
    frame = {"source": guarded(whole["source"]), "frame": whole["frame"], "t_ms": whole["t_ms"]}
    frame |= {"faces": len(reading.faces), "latency_ms": whole["latency_ms"].get("total", "")}
    if not reading.faces:
        yield frame
    for face in reading.faces:
        yield frame | _cells(face)


def _cells(face: Face) -> dict[str, Any]:
    whole = face.to_dict()
    cells = {name: whole[name] for name in ("track", "score", "emotion", "confidence", "baseline", "explained_t_ms")}
    cells["unclear"], cells["hidden"] = " ".join(face.unclear), " ".join(face.hidden)
    cells |= dict(zip(("x1", "y1", "x2", "y2"), whole["box"], strict=True)) | whole["pose"]
    cells |= {f"p_{name}": value for name, value in whole["probabilities"].items()}
    cells |= {f"cue_{name}": value for name, value in whole["cues"].items()}
    cells |= {name: whole[name] for name in ("valence", "arousal")}
    cells |= {f"au_{name}": unit["intensity"] for name, unit in whole["action_units"].items()}
    said = whole["explanation"] or {}
    cells |= {name: json.dumps(said[name]) if name == "statements" else said[name] for name in _SAID if name in said}
    return {name: guarded(value) if isinstance(value, str) else value for name, value in cells.items()}


def guarded(text: str) -> str:
    """A text that a spreadsheet shows instead of running it as a formula; taking away one leading `'` gives it back."""
    return f"'{text}" if text[:1] in _FORMULA else text


class _Flushed:
    """Lets the csv writer's every line through to the disk."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        return put(self._stream, text)


def put(stream: TextIO, text: str) -> int:
    """Write a text and bring it out at once.

    Raises:
        BrokenPipeError: who read it has gone.
        OutputError: it cannot be written.
    """
    try:
        count = stream.write(text)
        stream.flush()
    except BrokenPipeError:
        raise  # the reader of our output has gone, which is no fault of the output
    except OSError as error:
        raise OutputError(f"cannot write to '{getattr(stream, 'name', 'the output')}': {error.strerror or error}") from None
    return count


def _finish(stream: TextIO) -> None:
    with suppress(OSError):  # every write was flushed: this can only repeat a failure that was raised then
        stream.close()


def _create(path: Path) -> TextIO:
    try:
        return path.open("x", encoding="utf-8", errors="backslashreplace", newline="")  # names of files need not be text
    except FileExistsError:
        raise UsageError(f"'{path}' exists: name a new file, recordings are never overwritten") from None
    except OSError as error:
        raise UsageError(f"cannot write '{path}': {error.strerror}") from None
