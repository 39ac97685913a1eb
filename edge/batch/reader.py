"""Reads one item of a study after the other into tables, with one pipeline: what a worker does."""

from __future__ import annotations

import csv
import logging
import os
import time
import traceback
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import edge
from edge.batch.results import DONE, FAILED, PARTIAL, Identity, Options, Results, cannot_write, identity
from edge.batch.study import Item
from edge.batch.tally import Tally
from edge.boundary import CAUSED, explained
from edge.bundle import SHIPPED
from edge.errors import BackendError, BundleError, EdgeError, InputError, OutputError, UsageError
from edge.files import sha256_of
from edge.outputs.files import CsvSink
from edge.outputs.parquet import ParquetSink
from edge.outputs.sink import Sink
from edge.pipeline import Pipeline
from edge.sources.camera import Capture, Frame, find_feed, recorded
from edge.sources.recording import Recording
from edge.types import Reading
from edge.whole import whole

log = logging.getLogger(__name__)

_OF_THE_RUN = (BackendError, BundleError, OutputError, UsageError)
"""Errors that the next item would meet as well."""


@dataclass(frozen=True, slots=True)
class Order:
    """What a worker is told; paths are absolute, and the same on every machine of a cluster."""

    out: str
    bundle: str | None
    threads: int
    run: Identity

    @property
    def options(self) -> Options:
        """Of the run."""
        return self.run.options


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one item."""

    name: str
    record: dict[str, Any] | None
    """As it stands in `records/`."""
    kept: bool = False
    """Whether it had been read before, and was not read again."""
    stop: EdgeError | None = None
    """Why the whole run has to end."""
    trace: str = ""
    """Of an error that nobody foresaw."""


class Reader:
    """Loads its pipeline when the first item has to be read; one item at a time."""

    def __init__(self, order: Order) -> None:
        self._order = order
        self._results = Results(Path(order.out), order.options.table)
        self._run = order.run.digest
        self._pipeline: Pipeline | None = None
        self._decoded = _Decoded()
        self._watch: Callable[[float], None] = lambda _: None

    def read(self, item: Item, watch: Callable[[float], None] | None = None) -> Outcome:
        """Read one item, unless its record says that this has been done.

        Args:
            item: what to read.
            watch: is called now and then with the share of it that has been read.
        """
        self._watch = watch or self._watch
        started = time.monotonic()
        try:
            self._check()
            self._results.clear(item.name)
            return self._read(item, started)
        except _OF_THE_RUN as error:
            return Outcome(item.name, None, stop=error)
        except EdgeError as error:
            return self._failed(item, error, started)
        except CAUSED as error:
            return self._failed(item, InputError(f"'{item.listed}': {explained(error)}"), started)
        except Exception as error:  # a study does not end at the one file that nobody foresaw; what happened is told
            said = str(error).splitlines()[0] if str(error) else ""
            return self._failed(item, InputError(f"'{item.listed}' could not be read ({type(error).__name__}: {said})"), started,
                                traceback.format_exc())  # fmt: skip

    @property
    def share(self) -> float:
        """How much of the item at hand has been read, 0…1, as far as its container tells; may be asked from another thread."""
        decoded = self._decoded
        return min(1.0, decoded.frames / decoded.promised) if decoded.promised else 0.0

    def close(self) -> None:
        """Free the pipeline."""
        if self._pipeline:
            self._pipeline.close()
            self._pipeline = None

    def _check(self) -> None:
        """Another machine of the cluster may have other things installed."""
        run = self._order.run
        if run.edge != edge.__version__:
            raise BackendError(f"a worker has erv-edge {edge.__version__} and the run {run.edge}: install the same on every machine")
        if self._pipeline is None:
            folder = Path(self._order.bundle) if self._order.bundle else SHIPPED
            if identity(folder, run.options).bundle != run.bundle:
                raise BundleError(f"the bundle '{folder}' of a worker is not the run's: put the same on every machine")

    def _read(self, item: Item, started: float) -> Outcome:
        source = _hash(item)
        record = self._results.done(item.name, source, self._run)
        if record is not None:
            return Outcome(item.name, record, kept=True)
        if self._pipeline is None:
            options = self._order.options
            threads, least = self._order.threads, options.min_face
            self._pipeline = Pipeline.load(
                self._order.bundle, device=options.device, threads=threads, min_face=least, remember=options.remember
            )
        target = self._results.table(item.name)
        tally, reason, decoded = Tally(), "", _Decoded()
        with _written(target) as path:
            with self._sink(path) as sink:
                try:
                    for reading in self._readings(item, decoded):
                        tally.see(reading)
                        sink.write(reading)
                        self._watch(self.share)
                except InputError as error:
                    if not tally.frames:
                        raise
                    reason = _named(str(error), item)
            self._prove(item, path, tally, source, decoded)
        record = record_of(self._order, item, PARTIAL if reason else DONE, started) | {"reason": reason, "sha256": source}
        record |= {"table": target.relative_to(self._results.folder).as_posix(), "table_sha256": sha256_of(target)}
        record |= {"frames_container": decoded.promised, "frames_decoded": decoded.frames} | tally.to_dict() | _versions(self._pipeline)
        self._results.write(self._results.record(item.name), record)
        return Outcome(item.name, record)

    def _readings(self, item: Item, decoded: _Decoded) -> Iterator[Reading]:
        """The readings of a recording or picture, without what differs from run to run."""
        assert self._pipeline
        options = self._order.options
        with ExitStack() as stack:
            source: list[Path] | Iterator[Frame] = [Path(item.file)]
            if item.is_picture:
                decoded.frames = decoded.promised = 1
            else:
                source = decoded.of(Path(item.file))
                stack.callback(source.close)
                self._decoded = decoded
            try:
                stream = self._pipeline.stream(source, explain=options.explain, calibrate_s=0.0 if item.is_picture else options.calibrate_s)
                stack.enter_context(stream)
                for reading in stream:
                    yield replace(reading, source=item.listed, latency_ms={})
            except UsageError as error:  # a width of faces that this picture is too small or too large for
                raise InputError(f"'{item.listed}': {error}") from None
            except CAUSED as error:
                raise InputError(f"'{item.listed}': {explained(error)}") from error

    def _sink(self, path: Path) -> Sink:
        assert self._pipeline
        config = self._pipeline.config
        columns = config.labels, [cue.name for cue in config.cues], [unit.name for unit in config.units]
        if self._order.options.table == "parquet":
            return ParquetSink(path, *columns, format=self._order.options.csv_format)
        return _CsvFile(path, *columns, format=self._order.options.csv_format)

    def _prove(self, item: Item, path: Path, tally: Tally, source: str, decoded: _Decoded) -> None:
        """Hold what was written against what was decoded, and the file against what it was."""
        written = _frames_of(path, self._order.options.table)
        if not decoded.frames == tally.frames == written:
            raise InputError(f"'{item.listed}': {decoded.frames} frames were decoded and {written} written: the table is not kept")
        if _hash(item) != source:
            raise InputError(f"'{item.listed}' changed while it was read: start the run again when nothing writes to it any more")

    def _failed(self, item: Item, error: EdgeError, started: float, trace: str = "") -> Outcome:
        self._decoded = _Decoded()
        return fail(self._order, item, error, started, trace)


def record_of(order: Order, item: Item, status: str, started: float) -> dict[str, Any]:
    """What every record begins with."""
    return {
        "schema": order.run.schema,
        "name": item.name,
        "file": item.listed,
        "status": status,
        "kind": "picture" if item.is_picture else "recording",
        "bytes": item.size,
        "run": order.run.digest,
        "read_seconds": round(time.monotonic() - started, 3),
        "finished": datetime.now(timezone.utc).isoformat(timespec="seconds"),
    }


def fail(order: Order, item: Item, error: EdgeError, started: float, trace: str = "") -> Outcome:
    """Record a failure, which is tried again when the run is started again."""
    results = Results(Path(order.out), order.options.table)
    record = record_of(order, item, FAILED, started) | {"reason": _named(str(error), item)}
    try:
        results.drop(item.name)
        results.write(results.record(item.name), record)
    except OutputError as full:
        return Outcome(item.name, None, stop=full)
    return Outcome(item.name, record, trace=trace)


class _Decoded:
    """What the decoder gave, counted where it comes out of it."""

    def __init__(self) -> None:
        self.frames = 0
        self.promised = 0
        """Frames that the container says it has; 0 where it does not tell."""

    def of(self, path: Path) -> Generator[Frame]:
        """The frames of a recording."""
        feed = find_feed(path)

        def look() -> Capture:
            capture = feed.open()
            assert isinstance(capture, Recording), "a file is opened as a recording"
            self.promised = capture.length
            return capture

        for frame in recorded(replace(feed, open=look)):
            self.frames += 1
            yield frame


class _CsvFile(CsvSink):
    """A CSV table in a file that is there already."""

    def __init__(self, path: Path, labels: list[str], cues: list[str], units: list[str], *, format: str) -> None:
        self._file = path.open("w", encoding="utf-8", errors="backslashreplace", newline="")
        try:
            super().__init__(self._file, labels, cues, units, format=format)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        with suppress(OSError):  # every row was flushed: this can only repeat a failure that was raised then
            self._file.close()


@contextmanager
def _written(target: Path) -> Iterator[Path]:
    """As `whole`; what the disk has against it ends the run."""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with whole(target) as path:
            yield path
    except OSError as error:
        raise cannot_write(target, error) from None
    except OutputError as error:  # of a row
        raise cannot_write(target, OSError(0, str(error).rpartition(": ")[2])) from None


def _named(text: str, item: Item) -> str:
    """A message that calls a file as the study does."""
    return text.replace(item.file, item.listed)


def _hash(item: Item) -> str:
    if not os.path.isfile(item.file):  # a pipe is not waited for
        raise InputError(f"no file at '{item.listed}'")
    try:
        return sha256_of(item.file)
    except OSError as error:
        raise InputError(f"cannot read '{item.listed}': {error.strerror or error}") from None


def _frames_of(path: Path, table: str) -> int:
    """How many frames a table speaks of, read back from the disk."""
    if table == "parquet":
        import pyarrow.compute
        import pyarrow.parquet

        return int(pyarrow.compute.count_distinct(pyarrow.parquet.read_table(path, columns=["frame"])["frame"]).as_py())
    with path.open(encoding="utf-8", newline="") as stream:
        lines = csv.reader(stream)
        at = next(lines).index("frame")
        count, last = 0, ""
        for line in lines:
            count, last = count + (line[at] != last), line[at]
        return count


def _versions(pipeline: Pipeline) -> dict[str, Any]:
    import numpy
    import onnxruntime

    from edge.cv import cv2

    versions = {"edge": edge.__version__, "numpy": numpy.__version__, "opencv": cv2.__version__, "onnxruntime": onnxruntime.__version__}
    return {"versions": versions, "provider": pipeline.provider}
