"""The folder of results, and when something in it counts as done.

    DIR/run.json            which bundle and options the tables are of
    DIR/tables/NAME.csv     a recording's table
    DIR/columns.json        what each of its columns is
    DIR/records/NAME.json   what was read for it, with the hashes of both; written after the table, so that a table without one is not done
    DIR/summary.csv, DIR/manifest.json   written when the run ends

Every file appears whole or not at all, so that a run can be killed at any moment.
"""

from __future__ import annotations

import hashlib
import json
import os
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import edge
from edge.bundle import HASHES
from edge.errors import BundleError, EdgeError, InputError, OutputError, UsageError
from edge.files import read_bounded, read_json, sha256_of
from edge.types import JSON_SCHEMA
from edge.whole import LOCKS, clear, left_behind, take, write_whole

SCHEMA = 1
"""Version of the files in a folder of results."""
DONE, PARTIAL, FAILED = "done", "partial", "failed"


@dataclass(frozen=True, slots=True)
class Options:
    """Whatever a table's content depends on, beside the input and the bundle."""

    table: str
    """`csv` or `parquet`."""
    csv_format: str
    """One of `edge.outputs.layouts.FORMATS`; of a Parquet table too."""
    explain: str | float
    calibrate_s: float
    device: str
    min_face: float | None = None
    """As of `Pipeline.load`."""
    remember: bool = True
    """Likewise."""


@dataclass(frozen=True, slots=True)
class Identity:
    """Results of two runs may stand in one folder if these are the same."""

    schema: int
    edge: str
    """Version of this package."""
    reading: int
    """Version of the readings that the tables are made of."""
    bundle: str
    """SHA-256 of the bundle's list of hashes."""
    options: Options

    @property
    def digest(self) -> str:
        """One hash for all of it."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()


def identity(bundle: Path, options: Options) -> Identity:
    """What a run with this bundle and these options is.

    Raises:
        BundleError: the bundle cannot be read.
    """
    try:
        digest = hashlib.sha256(read_bounded(bundle / HASHES, 1 << 20)).hexdigest()
    except InputError as error:
        raise BundleError(str(error)) from None
    return Identity(SCHEMA, edge.__version__, JSON_SCHEMA, digest, options)


class Results:
    """The folder of a run's results."""

    def __init__(self, folder: Path, suffix: str) -> None:
        self.folder, self._suffix = folder, suffix

    def table(self, name: str) -> Path:
        """Where a recording's table is."""
        return self.folder / "tables" / f"{name}.{self._suffix}"

    def record(self, name: str) -> Path:
        """Where its record is."""
        return self.folder / "records" / f"{name}.json"

    def done(self, name: str, source: str, run: str) -> dict[str, Any] | None:
        """The record of what has been read already, if input, bundle, options and table are still those.

        Args:
            name: the recording's.
            source: SHA-256 of the recording as it is now.
            run: the run's `Identity.digest`.
        """
        try:
            record = read_json(self.record(name))
            good = record["sha256"] == source and record["run"] == run and record["status"] in (DONE, PARTIAL)
            return record if good and record["table_sha256"] == sha256_of(self.table(name)) else None
        except (InputError, OSError, KeyError, TypeError):
            return None

    def write(self, path: Path, content: Any) -> None:
        """Write a JSON file; raises `OutputError`."""
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_whole(path, (json.dumps(content, indent=1) + "\n").encode())
        except OSError as error:
            raise cannot_write(path, error) from None

    def drop(self, name: str) -> None:
        """Remove a table that is no longer of its recording."""
        with suppress(OSError):
            self.table(name).unlink(missing_ok=True)

    def clear(self, name: str) -> None:
        """Remove what killed runs have left of one recording's files."""
        for path in left_behind([self.table(name), self.record(name)]):
            clear(path)


def cannot_write(path: Path, error: OSError) -> OutputError:
    """The sentence for a disk that is full, or that may not be written."""
    return OutputError(f"cannot write '{path}': {error.strerror or error}; what was finished before is kept, start the same run again")


def claim(folder: Path, run: Identity) -> int | None:
    """Make the folder of results this run's own.

    Args:
        folder: new, empty, or of a run with the same bundle and options.
        run: what this run is.

    Returns:
        A handle that holds the folder until it is closed or the process ends; `None` where nothing can be locked.

    Raises:
        UsageError: it cannot be made, is another run's, is in use, or holds something else.
        OutputError: nothing can be written there.
    """
    _make(folder)
    lock = take(folder)
    if lock is None and LOCKS:
        raise UsageError(f"'{folder}' is being written by another run: wait until that has ended, or name another folder")
    try:
        _claim(folder, run)
    except EdgeError:
        if lock is not None:
            os.close(lock)
        raise
    return lock


def _make(folder: Path) -> None:
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"--out '{folder}' is not a folder")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"--out '{folder}' cannot be made: {error.strerror or error}") from None


def _claim(folder: Path, run: Identity) -> None:
    path = folder / "run.json"
    for part in left_behind([path, folder / "columns.json", folder / "summary.csv", folder / "manifest.json"]):
        clear(part)
    if not path.exists():
        if any(folder.iterdir()):
            raise UsageError(f"--out '{folder}' holds something that is no run: name a new folder")
        Results(folder, "").write(path, asdict(run))
        return
    here = asdict(run)
    there = read_json(path)
    if there == here:
        return
    if not isinstance(there, dict):
        raise UsageError(f"'{path}' is not a run: name a new folder")
    raise UsageError(
        f"--out '{folder}' is of another run ({_difference(there, here)}): name a new folder, or run with what it was begun with"
    )


def _difference(there: dict[str, Any], here: dict[str, Any]) -> str:
    """The first thing that differs, in words."""
    told = {"edge": "version of erv-edge", "schema": "layout", "reading": "version of the readings", "bundle": "bundle"}
    for key, word in told.items():
        if there.get(key) != here[key]:
            return f"its {word} is {str(there.get(key))[:12]}, now {str(here[key])[:12]}"
    before = there.get("options")
    before = before if isinstance(before, dict) else {}
    for key, value in here["options"].items():
        if before.get(key) != value:
            return f"its {key} is {before.get(key)!r}, now {value!r}"
    return "its options are others"
