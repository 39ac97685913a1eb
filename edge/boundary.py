"""The edge of a command: what a user, a disk or a machine can cause ends as one sentence and an exit code; a bug keeps its traceback.

def main(argv: list[str] | None = None) -> int:
    return guarded("edge-run", lambda: work(argv))
"""

from __future__ import annotations

import errno
import logging
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import TextIO

from edge.errors import BackendError, EdgeError, InputError, UsageError
from edge.stop import exit_code, stoppable

log = logging.getLogger(__name__)

CAUSED = (OSError, OverflowError, RecursionError, UnicodeError, MemoryError)
"""Errors of Python that a user's files, names and numbers, or a full machine, can cause."""
_ADVICE = {
    errno.ENOSPC: "make room on its disk",
    errno.EACCES: "check who may read and write it",
    errno.EPERM: "check who may read and write it",
    errno.EROFS: "choose a place that can be written",
    errno.ENAMETOOLONG: "choose a shorter name",
    errno.EMFILE: "close files, or raise the limit of open ones (ulimit -n)",
    errno.ENOENT: "check that it, or the folder that the command was started in, is still there",
}
_LONGEST = 200


def guarded(name: str, work: Callable[[], int]) -> int:
    """Run a command.

    Args:
        name: as its messages begin.
        work: does everything, parsing of the options included; returns the exit code.

    Returns:
        That exit code, or the error's; 128 and the number of the signal that ended it, 0 when the reader of stdout has left.
    """
    _open_closed_streams()
    try:
        with stoppable():
            try:
                return work()
            finally:
                sys.stdout.flush()  # a full disk shows here at the latest, and not when Python ends
    except KeyboardInterrupt as stop:
        return exit_code(stop)
    except BrokenPipeError:  # the reader of our output has gone; nothing is left to say
        return 0
    except EdgeError as error:
        return _end(name, error)
    except CAUSED as error:
        log.debug("what lies behind the message below", exc_info=True)
        return _end(name, explained(error))
    finally:
        _let_go(sys.stdout)


def explained(error: Exception) -> EdgeError:
    """One of `CAUSED` as an error of ours."""
    if isinstance(error, MemoryError):
        return BackendError("there is not enough memory for this: give it smaller pictures, or a larger machine")
    if isinstance(error, RecursionError):
        return InputError("something that was read is nested too deeply")
    if isinstance(error, OverflowError):
        return UsageError(f"a number is too large: {error}")
    if isinstance(error, UnicodeError):
        return UsageError(f"a name or a text is not UTF-8, or too long for a name: {error}")
    assert isinstance(error, OSError)
    where = f" '{shortened(str(error.filename))}'" if error.filename is not None else ""
    advice = f"; {_ADVICE[error.errno]}" if error.errno in _ADVICE else ""
    return InputError(f"cannot use{where or ' an output or an address'}: {error.strerror or error}{advice}")


def shortened(text: str) -> str:
    """A name that fits into a message."""
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST // 2]}…{text[-_LONGEST // 2 :]}"


def _end(name: str, error: EdgeError) -> int:
    cause = error.__context__
    with suppress(OSError):  # stderr may be full as well
        if isinstance(cause, EdgeError) and not error.__suppress_context__:  # a recording that failed while another error ended the run
            print(f"{name}: {cause}", file=sys.stderr)
        print(f"{name}: {error}", file=sys.stderr, flush=True)
    _let_go(sys.stderr)
    return error.exit_code


def _open_closed_streams() -> None:
    """Give a closed stdin, stdout or stderr a sink: Python would print errors to stdout, and the next file opened would take its place."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: SIM115 (it stays open as long as the command)


def _let_go(stream: TextIO) -> None:
    """Let what a stream could not write go nowhere: Python would write it once more when it ends, and fail."""
    try:
        stream.flush()
    except OSError:
        with suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
