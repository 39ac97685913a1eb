"""Readings to files: JSON lines and CSV. Each reading is on disk before the next one is taken, so that a crash loses none."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TextIO

from edge.errors import OutputError, UsageError
from edge.outputs.layouts import layout, sidecar
from edge.outputs.sink import Sink
from edge.types import Reading


class JsonLinesSink(Sink):
    """One `Reading.to_dict()` a line, as `edge-run --json` prints it."""

    def __init__(self, target: Path | str | TextIO) -> None:
        """Open `target`.

        Args:
            target: a new file, or an open text stream, which is not closed.

        Raises:
            UsageError: the file exists or cannot be written.
        """
        self._owned = isinstance(target, Path | str)
        self._stream = _create(Path(target)) if isinstance(target, Path | str) else target

    def write(self, reading: Reading) -> None:
        put(self._stream, json.dumps(reading.to_dict()) + "\n")

    def close(self) -> None:
        if self._owned:
            _finish(self._stream)


class CsvSink(Sink):
    """A table with one row per face and frame; a frame without a face has one row in which the face's columns are empty.

    Columns: `source, frame, t_ms, faces, track, x1, y1, x2, y2, score, emotion, confidence`, then `p_<label>` for every label and
    `cue_<cue>` for every cue, `valence, arousal`, `au_<unit>` for every action unit (its intensity), then `yaw, pitch, roll, unclear,
    hidden, baseline, status, answer, text, consistency, grounding, statements, attempts, explained_t_ms, events, latency_ms`. Units are
    those of the JSON object; `faces` counts the faces of the frame, `unclear` and `hidden`
    separate their words by spaces, `statements` and `events` are JSON arrays, `latency_ms` is the total. A text that begins with one of
    `= + - @ '`, their full-width forms, a tab or a line break has one `'` more in front, so that no spreadsheet runs it as a formula: take
    it away to read the text. The columns from `status` to `explained_t_ms` are empty where no explanation was due. Other formats:
    `edge.outputs.layouts`.
    """

    def __init__(
        self, target: Path | str | TextIO, labels: Sequence[str], cues: Sequence[str], units: Sequence[str] = (), *, format: str = "native"
    ) -> None:
        """Open `target` and write the header.

        Args:
            target: a new file, or an open text stream, which is not closed.
            labels: the bundle's labels, in its order.
            cues: the bundle's cues, in its order.
            units: the bundle's action units, in its order.
            format: one of `edge.outputs.layouts.FORMATS`; all but `native` have a sidecar beside a new file, `<name>.json`, which says what
                each column is.

        Raises:
            UsageError: a file exists or cannot be written, or there is no such format.
        """
        self._layout = layout(format, labels, cues, units)
        self.columns = self._layout.columns
        self._path, self._empty = Path(target) if isinstance(target, Path | str) else None, True
        self._stream = self._begin(Path(target)) if isinstance(target, Path | str) else target
        self._writer = csv.DictWriter(_Flushed(self._stream), self.columns, restval=self._layout.missing)
        self._writer.writeheader()

    def _begin(self, path: Path) -> TextIO:
        """Create the table and its sidecar, both or neither."""
        if self._layout.format == "native":
            return _create(path)
        with _create(beside(path)) as told:
            put(told, sidecar(self._layout))
        try:
            return _create(path)
        except UsageError:
            beside(path).unlink(missing_ok=True)
            raise

    def write(self, reading: Reading) -> None:
        self._empty = False
        self._writer.writerows(self._layout.rows(reading))

    def close(self) -> None:
        """Finish the table; one without a row, as of a camera that was not there, is removed, so that the next try finds its name free."""
        if self._path is None:
            return
        left = self._empty and not self._stream.closed
        _finish(self._stream)
        if left:
            with suppress(OSError):
                self._path.unlink(missing_ok=True)
                if self._layout.format != "native":
                    beside(self._path).unlink(missing_ok=True)


def beside(table: Path) -> Path:
    """Where the sidecar of a table is."""
    return table.with_name(f"{table.name}.json")


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
