"""Files that appear whole or not at all: written under a name of their own beside the target, which they take when they are complete.

That name is new every time and created exclusively, so that neither the leftover of a killed run, nor a second run, nor a planted link
gets in the way. A part is locked while its run lives: `left_behind` tells the parts of runs that were killed.
"""

from __future__ import annotations

import os
import re
import secrets
import stat
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows: nobody can tell there whether a part is still written
    fcntl = None  # type: ignore[assignment]

LOCKS = fcntl is not None
"""Whether files can be locked here, so that `take` can tell what another process holds."""
_STEM, _SUFFIX = 40, 12  # characters kept of a name, which may be as long as the file system takes


class Part:
    """A file that is being written."""

    def __init__(self, target: Path, *, hidden: bool = True) -> None:
        """Create it, empty.

        Args:
            target: the name that it takes when it is whole; a link there is replaced, not followed.
            hidden: whether its own name begins with a dot; of a visible one, people shall find what a killed run has left.

        Raises:
            OSError: it cannot be created there.
        """
        self.target = target
        self.path, self._handle = _create(target, hidden)

    def write(self, data: bytes) -> None:
        """Append; raises `OSError`."""
        view = memoryview(data)
        while view:
            view = view[os.write(self._handle, view) :]

    def publish(self) -> None:
        """Give the file its name, once its data is on the disk; raises `OSError`, and then nothing has changed."""
        os.fsync(self._handle)  # a disk that is full may say so only now
        if os.name == "nt":  # an open file cannot be renamed there
            self._close()
        self.path.replace(self.target)
        self._close()
        sync_folder(self.target.parent)

    def discard(self) -> None:
        """Remove the file."""
        with suppress(OSError):
            self.path.unlink(missing_ok=True)
        self._close()

    def abandon(self) -> None:
        """Leave the file under its own name."""
        self._close()

    def _close(self) -> None:
        handle, self._handle = self._handle, -1
        if handle >= 0:
            os.close(handle)


@contextmanager
def whole(target: Path) -> Iterator[Path]:
    """A path to write to; what lies there takes the name `target` when the block ends, and is gone when the block fails.

    Raises:
        OSError: it cannot be written.
    """
    part = Part(target)
    try:
        yield part.path
        part.publish()
    except BaseException:
        part.discard()
        raise


def write_whole(target: Path, data: bytes) -> None:
    """Write a file; a stop, a full disk and a power cut leave either the old one or the new one.

    Raises:
        OSError: it cannot be written.
    """
    part = Part(target)
    try:
        part.write(data)
        part.publish()
    except BaseException:
        part.discard()
        raise


def part_name(target: Path, hidden: bool = True) -> Path:
    """A new name beside `target`, from which its leftover can be told: `.STEM.<8 digits>.part.SUFFIX`."""
    return target.with_name(f"{'.' * hidden}{target.stem[:_STEM]}.{secrets.token_hex(4)}.part{_short(target.suffix)}")


def left_behind(targets: Iterable[Path]) -> list[Path]:
    """The parts of these targets whose runs were killed; nothing where files cannot be locked."""
    wanted: dict[Path, set[str]] = {}
    for target in targets:
        wanted.setdefault(target.parent, set()).add(target.stem[:_STEM] + _short(target.suffix))
    found = []
    for folder, names in wanted.items():
        with suppress(OSError), os.scandir(folder) as entries:
            for entry in entries:
                part = _PART.fullmatch(entry.name)
                if part and part[1] + (part[2] or "") in names and is_abandoned(folder / entry.name):
                    found.append(folder / entry.name)
    return sorted(found)


def is_abandoned(path: Path) -> bool:
    """Whether the run that made this part, a file or a folder, has ended without finishing it."""
    with _taken(path) as taken:
        return taken


def clear(path: Path, remove: Callable[[Path], object] = os.unlink) -> bool:
    """Remove an abandoned part; whether that was done."""
    with _taken(path) as taken, suppress(OSError):
        if taken:
            remove(path)
            return True
    return False


def hold(handle: int) -> None:
    """Lock an open file or folder for as long as it is open, or its process lives."""
    if fcntl is not None:
        with suppress(OSError):  # not every network disk can
            fcntl.flock(handle, fcntl.LOCK_EX)


def take(path: Path) -> int | None:
    """Lock a folder or file that nobody holds, until the handle that is returned is closed or the process ends; `None` when another
    process holds it, or where nothing can be locked."""
    return _lock_if_free(path)


def sync_folder(folder: Path) -> None:
    """Bring a folder's names to the disk, where that can be done."""
    with suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


_PART = re.compile(r"\.?(.{0,40})\.[0-9a-f]{8}\.part(\.[^.]*)?", re.DOTALL)


def _short(suffix: str) -> str:
    return suffix if len(suffix) <= _SUFFIX else ""


def _create(target: Path, hidden: bool) -> tuple[Path, int]:
    flags = os.O_CREAT | os.O_EXCL | os.O_RDWR | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
    while True:
        path = part_name(target, hidden)
        try:
            handle = os.open(path, flags, 0o666)
        except FileExistsError:
            continue
        hold(handle)
        if os.fstat(handle).st_nlink:  # a run that clears up may have come between the two calls
            return path, handle
        os.close(handle)


@contextmanager
def _taken(path: Path) -> Iterator[bool]:
    """Lock what nobody holds any more; a link is not followed, a pipe not waited for."""
    handle = _lock_if_free(path)
    try:
        yield handle is not None
    finally:
        if handle is not None:
            os.close(handle)


def _lock_if_free(path: Path) -> int | None:
    if fcntl is None:
        return None
    try:
        if stat.S_IFMT(path.lstat().st_mode) not in (stat.S_IFREG, stat.S_IFDIR):
            return None
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return None
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(handle)
        return None
    return handle
