"""One run over a study: lists it, makes the folder of results its own, lets a pool read, and says what came of it."""

from __future__ import annotations

import logging
import os
import sys
from contextlib import ExitStack, suppress
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from edge.batch.driver import Driver
from edge.batch.pool import Here, Pool, load_ray
from edge.batch.progress import Progress
from edge.batch.reader import Order, Outcome
from edge.batch.report import summary_columns, told_of, write_manifest, write_summary
from edge.batch.results import DONE, Options, Results, cannot_write, claim, identity
from edge.batch.study import find_study
from edge.bundle import Bundle
from edge.errors import EdgeError, InputError, UsageError
from edge.library import load
from edge.outputs.files import put
from edge.outputs.layouts import layout, sidecar
from edge.plain import plain
from edge.whole import write_whole

log = logging.getLogger(__name__)


class Run:
    """A run; nothing is written before `read`."""

    def __init__(
        self, source: Path, out: Path, options: Options, *, bundle: Path | None, threads: int, workers: int | None, address: str | None,
        cpus: float | None, gpus: float,
    ) -> None:  # fmt: skip
        """List the study and look at the bundle.

        Args:
            source: a folder, or a CSV list.
            out: folder of the results.
            options: what the tables depend on.
            bundle: its folder; the shipped one when `None`.
            threads: per graph of a worker.
            workers: 0 reads in this process; `None`: as many as there is room for.
            address: of a Ray cluster.
            cpus: of a worker; `None`: its threads.
            gpus: of a worker.

        Raises:
            InputError: there is nothing to read.
            UsageError: names collide.
            BundleError: the bundle cannot be read.
            BackendError: an extra is missing.
        """
        _check_places(source, out)
        self.study = find_study(source, out)
        self._bundle = Bundle.load(bundle)
        config = self._bundle.config
        self._labels, self._cues = config.labels, [cue.name for cue in config.cues]
        summary_columns(self._labels, self._cues, told_of(self.study))
        if Path(os.path.realpath(out)).is_relative_to(os.path.realpath(self._bundle.folder)):
            raise UsageError(
                f"--out '{out}' lies in the bundle '{self._bundle.folder}', which would not load any more: name another folder"
            )
        if options.table == "parquet":
            load("pyarrow", name="pyarrow", holds="schema", get="pip install 'erv-edge[batch]'")
        if workers != 0:
            load_ray()
        self.identity = identity(self._bundle.folder, options)
        self.results = Results(out, options.table)
        self._order = Order(os.path.abspath(out), None if bundle is None else os.path.abspath(bundle), threads, self.identity)
        self._workers, self._address, self._cpus, self._gpus = workers, address, cpus or float(threads), gpus
        self._records: dict[str, dict[str, Any]] = {}

    def read(self) -> int:
        """Read what is not done yet; a line to stdout for each item.

        Returns:
            0 when all is read, `InputError.exit_code` when something could not be.

        Raises:
            UsageError: the folder is another run's, or in use; the cluster has no room.
            BackendError: there is no cluster, or it is gone.
            OutputError: nothing can be written.
        """
        began, stopped = datetime.now(timezone.utc), "interrupted"
        with ExitStack() as stack:
            lock = claim(self.results.folder, self.identity)
            if lock is not None:
                stack.callback(os.close, lock)
            try:
                self._describe()
                stopped = self._read(stack)
            except EdgeError as error:
                stopped = str(error)
                raise
            finally:
                with suppress(EdgeError) if stopped else ExitStack():  # the disk may be full: that has been said
                    write_summary(self.results, self.study, self._records, self._labels, self._cues)
                    write_manifest(self.results, self.study, self._records, self.identity, self._bundle.folder, stopped, began)
        return self._conclude()

    def _describe(self) -> None:
        path, units = self.results.folder / "columns.json", [unit.name for unit in self._bundle.config.units]
        told = sidecar(layout(self.identity.options.csv_format, self._labels, self._cues, units))
        try:
            write_whole(path, told.encode())
        except OSError as error:
            raise cannot_write(path, error) from None

    def _read(self, stack: ExitStack) -> str:
        progress = stack.enter_context(Progress(self.study.items))
        pool = self._pool()
        stack.callback(pool.close)
        longest_first = sorted(self.study.items, key=lambda item: -item.size)  # so that the workers end together
        for outcome in pool.read(longest_first, progress.show):
            if outcome.stop:
                raise outcome.stop
            assert outcome.record is not None
            self._records[outcome.name] = outcome.record
            progress.done(outcome.name, kept=outcome.kept)
            progress.hide()
            put(sys.stdout, _line(outcome) + "\n")
            if outcome.trace:
                log.warning("nobody foresaw this:\n%s", outcome.trace)
        return ""

    def _pool(self) -> Pool:
        if self._workers == 0:
            return Here(self._order)
        return Driver(self._order, address=self._address, workers=self._workers or 0, cpus=self._cpus, gpus=self._gpus)

    def _conclude(self) -> int:
        left = [record for record in self._records.values() if record["status"] != DONE]
        if left:
            many = len(self.study.items)
            print(f"edge-batch: {len(left)} of {many} could not be read, or not to their end: see {self.results.folder / 'summary.csv'}",
                  file=sys.stderr)  # fmt: skip
        return InputError.exit_code if left else 0


def _line(outcome: Outcome) -> str:
    record = outcome.record
    assert record is not None
    said = "kept" if outcome.kept and record["status"] == DONE else record["status"]
    if record["reason"]:
        return plain(f"{said} {record['name']}: {record['reason']}")
    frames, people = record["frames_decoded"], record["people"]
    return plain(
        f"{said} {record['name']}: {frames} {'frame' if frames == 1 else 'frames'}, {people} {'person' if people == 1 else 'people'}"
    )


def _check_places(source: Path, out: Path) -> None:
    """The study must not lie in its own results."""
    if Path(os.path.realpath(source)).is_relative_to(os.path.realpath(out)):
        raise UsageError(f"'{source}' lies in --out '{out}', where the run writes: name another folder")
