"""Folders that appear whole or not at all: filled beside the target, and exchanged with it in one step."""

from __future__ import annotations

import ctypes
import logging
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from pathlib import Path

from edge.errors import InputError, UsageError
from edge.stop import unstopped
from edge.whole import clear, hold, left_behind, part_name, sync_folder

log = logging.getLogger(__name__)
_HERE, _EXCHANGE = -100, 2  # AT_FDCWD, RENAME_EXCHANGE of renameat2(2)
_NEW, _REPLACED = "new", "replaced"


@contextmanager
def new_folder(
    out: Path, marker: str, *, sources: Iterable[Path] = (), publishing: AbstractContextManager[object] | None = None
) -> Iterator[Path]:
    """An empty folder to fill; it takes the place of `out` when the block ends, and is gone without a trace when the block fails.

    Args:
        out: where it shall lie; an existing folder is replaced only if it holds `marker`, so that nothing foreign is lost.
        marker: a file that every folder of this kind has.
        sources: what it is made from.
        publishing: entered around the step that puts it in place.

    Raises:
        UsageError: `out` would replace one of its sources.
        InputError: `out` holds something else, or the disk is full or not writable.
    """
    out = out.resolve()
    check_out(out, {f"'{source}'": source for source in sources})
    if out.exists() and (not out.is_dir() or (any(out.iterdir()) and not (out / marker).is_file())):
        raise InputError(f"'{out}' holds something that this command did not write: choose another --out")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        heal(out)
        with _work_folder(out) as work:
            folder = work / _NEW
            folder.mkdir()
            yield folder
            _sync(folder)
            with unstopped(), publishing or nullcontext():
                put_in_place(folder, out, work / _REPLACED)
    except OSError as error:
        raise InputError(f"cannot write '{out}': {error.strerror or error}; nothing was changed") from None


def check_out(out: Path, sources: Mapping[str, Path]) -> None:
    """Raise `UsageError` when the folder `out` is one that is read, or holds one: by the time it is replaced that would be lost."""
    place = out.resolve()
    for what, source in sources.items():
        found = source.resolve()
        if found.exists() and (found == place or place in found.parents):
            raise UsageError(f"--out '{out}' would overwrite what {what} reads: name another folder")


def heal(out: Path) -> None:
    """Clear what killed runs have left beside `out`; a folder that one of them had just taken away comes back."""
    for work in left_behind([out]):
        replaced = work / _REPLACED
        if replaced.is_dir() and not os.path.lexists(out):
            replaced.rename(out)
            log.warning("'%s' is back: a run that was killed had taken it away", out)
        if clear(work, shutil.rmtree):
            log.warning("'%s' is cleared: a run that was killed had left it", work)


def put_in_place(new: Path, out: Path, replaced: Path) -> None:
    """Give a folder its name. What had it lies under `new` afterwards, or under `replaced` where two names cannot be exchanged in one step.

    Raises:
        OSError: that is not possible; the older folder has its name.
    """
    if not os.path.lexists(out):
        new.rename(out)
    elif not exchange(new, out):
        out.rename(replaced)
        try:
            new.rename(out)
        except OSError:
            replaced.rename(out)
            raise
    sync_folder(out.parent)


def exchange(a: Path, b: Path) -> bool:
    """Exchange the names of two files or folders in one step; whether this system and disk can. Linux: renameat2(2)."""
    try:
        call = ctypes.CDLL(None, use_errno=True).renameat2
    except (OSError, AttributeError, TypeError):
        return False
    return bool(call(_HERE, os.fsencode(a), _HERE, os.fsencode(b), _EXCHANGE) == 0)


@contextmanager
def _work_folder(out: Path) -> Iterator[Path]:
    work, made, handle = part_name(out), False, -1
    try:
        with unstopped():  # a stop between making it and knowing of it would leave it behind
            work.mkdir()
            made = True
            with suppress(OSError):  # a folder cannot be opened on Windows
                handle = os.open(work, os.O_RDONLY)
                hold(handle)
        yield work
    finally:
        with unstopped():
            if made:
                shutil.rmtree(work, ignore_errors=True)
            if handle >= 0:
                os.close(handle)


def _sync(folder: Path) -> None:
    """Bring everything in a folder to the disk; raises `OSError`: a disk that is full may say so only now."""
    for path in folder.rglob("*"):
        if path.is_file():
            with path.open("rb") as file:
                os.fsync(file.fileno())
    sync_folder(folder)
