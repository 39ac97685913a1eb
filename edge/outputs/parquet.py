"""Readings to a Parquet table: the columns and rows of `CsvSink`, with types."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from edge.library import load
from edge.outputs.layouts import kind, layout
from edge.outputs.sink import Sink
from edge.types import Reading

_GROUP = 4096  # rows that are kept in memory


class ParquetSink(Sink):
    """A Parquet table with the rows of `CsvSink`; what is an empty cell there is null here. Written a few thousand rows at a time."""

    def __init__(
        self, path: Path | str, labels: Sequence[str], cues: Sequence[str], units: Sequence[str] = (), *, format: str = "native"
    ) -> None:
        """Begin the file.

        Args:
            path: written, and replaced if there is one: give a new name, or one that `edge.whole` has made.
            labels: the bundle's labels, in its order.
            cues: the bundle's cues, in its order.
            units: the bundle's action units, in its order.
            format: one of `edge.outputs.layouts.FORMATS`.

        Raises:
            BackendError: pyarrow is missing.
            UsageError: no such format.
            OSError: the file cannot be written.
        """
        self._arrow = load("pyarrow", name="pyarrow", holds="schema", get="pip install 'erv-edge[batch]'")
        load("pyarrow.parquet", name="pyarrow", holds="ParquetWriter", get="pip install 'erv-edge[batch]'")
        self._layout = layout(format, labels, cues, units)
        self.columns = self._layout.columns
        types = {str: self._arrow.string(), int: self._arrow.int64(), float: self._arrow.float64()}
        self._schema = self._arrow.schema([(name, types[kind(name)]) for name in self.columns])
        self._writer = self._arrow.parquet.ParquetWriter(path, self._schema, compression="snappy")
        self._rows: list[dict[str, Any]] = []
        self._open = True

    def write(self, reading: Reading) -> None:
        self._rows += [{name: _typed(name, value) for name, value in row.items()} for row in self._layout.rows(reading)]
        if len(self._rows) >= _GROUP:
            self._flush()

    def close(self) -> None:
        if self._open:
            self._open = False
            self._flush()
            self._writer.close()

    def _flush(self) -> None:
        if self._rows:
            table = {name: [row.get(name) for row in self._rows] for name in self.columns}
            self._writer.write_table(self._arrow.table(table, schema=self._schema))
            self._rows = []


def _typed(column: str, value: Any) -> Any:
    """A cell as its column's type; texts need not have the apostrophe that protects spreadsheets, and must be text."""
    if value is None or value == "":
        return None
    return value.removeprefix("'").encode("utf-8", "backslashreplace").decode() if kind(column) is str else kind(column)(value)
