"""What a run reads and what it writes: every file is named here before any is opened, and targets that collide are refused.

Each option alone cannot see that another means the same file; this place sees all of them, by path and by what lies there.
"""

from __future__ import annotations

import logging
import os
import stat
import sys
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from edge.errors import UsageError
from edge.whole import clear, left_behind

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Named:
    """A file and the option that names it."""

    option: str
    path: Path
    keys: frozenset[object]
    """What says that two are the same: the resolved path and, where there is a file, its device and number."""

    def __str__(self) -> str:
        return f"{self.option} '{self.path}'"


class RunFiles:
    """The files of one run."""

    def __init__(self) -> None:
        self._read: list[_Named] = []
        self._written: list[_Named] = []
        self._bundles: list[Path] = []
        self._made: list[Path] = []

    def reads(self, option: str, *paths: Path) -> None:
        """Name files that the run reads."""
        self._read += [_named(option, path) for path in paths]

    def reads_bundle(self, folder: Path) -> None:
        """Name the bundle: nothing is written into its folder, or onto a file that is also one of its own."""
        self._bundles.append(folder)
        if folder.is_dir():
            self.reads("--bundle", *(path for path in folder.iterdir() if path.is_file()))

    def writes(self, option: str, *paths: Path, replaces: bool = True, into: Path | None = None) -> None:
        """Name files that the run writes.

        Args:
            option: as people typed it.
            paths: the files.
            replaces: whether an older file may be there.
            into: a folder that is made for them.

        Raises:
            UsageError: a name that cannot be a file's; something is there that must not or cannot be replaced.
        """
        if into is not None:
            if into.exists() and not into.is_dir():
                raise UsageError(f"{option} '{into}': for several pictures it must be a folder")
            self._made.append(into)
        for path in paths:
            named = _named(option, path)
            if not replaces and os.path.lexists(path):
                way = "name a new folder, or add --overwrite" if into else "name a new file, recordings are never overwritten"
                raise UsageError(f"{named} exists: {way}")
            try:
                found = path.stat()
            except FileNotFoundError:
                pass
            except (OSError, ValueError) as error:
                raise UsageError(f"{named} cannot be written: {getattr(error, 'strerror', None) or error}") from None
            else:
                if not stat.S_ISREG(found.st_mode):
                    raise UsageError(f"{named} is not a file that can be replaced")
            self._written.append(named)

    def check(self) -> None:
        """Look at all of them together; nothing has been opened or made yet.

        Raises:
            UsageError: the run would write onto what it reads, or twice onto one file, or into its bundle, or where it may not.
        """
        for target in self._written:
            for source in self._read:
                if target.keys & source.keys:
                    raise UsageError(f"{target} would overwrite the input of {source.option}: name another file")
            for bundle in self._bundles:
                if Path(os.path.realpath(target.path)).is_relative_to(os.path.realpath(bundle)):
                    raise UsageError(f"{target} lies in the bundle '{bundle}', which would not load any more: name another folder")
            if target.path.parent not in self._made or target.path.parent.exists():
                _check_folder(target)
        written = [*self._written, *_streams()]
        for i, target in enumerate(written):
            for other in written[:i]:
                if target.keys & other.keys:
                    raise UsageError(f"{other} and {target} are one file: name two")

    def prepare(self) -> None:
        """Make the folders; remove what killed runs have left beside the targets, and name what of it may still be of use.

        Raises:
            UsageError: a folder cannot be made.
        """
        for folder in self._made:
            try:
                folder.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise UsageError(f"'{folder}': for several pictures it must be a folder ({error.strerror or error})") from None
        for path in left_behind(target.path for target in self._written):
            if path.name.startswith("."):
                clear(path)
            else:
                log.warning("'%s' is left from a run that was killed: play it or delete it", path)


def _named(option: str, path: Path) -> _Named:
    keys: set[object] = set()
    with suppress(OSError, ValueError):  # what cannot be looked at is told by who opens it
        keys.add(os.path.realpath(path))
        keys.add(_number(path.stat()))
    return _Named(option, path, frozenset(keys))


def _number(found: os.stat_result) -> tuple[int, int]:
    return found.st_dev, found.st_ino


def _check_folder(target: _Named) -> None:
    folder = target.path.absolute().parent
    if not folder.is_dir():
        raise UsageError(f"{target}: there is no folder '{target.path.parent}'")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise UsageError(f"{target}: nothing may be written into '{target.path.parent}'")


def _streams() -> Iterable[_Named]:
    """Where stdout goes, when that is a file."""
    try:
        found = os.fstat(sys.stdout.fileno())
    except (OSError, ValueError, AttributeError):
        return
    if stat.S_ISREG(found.st_mode):
        yield _Named("stdout", Path("-"), frozenset({_number(found)}))
