"""How a command ends when it is asked to: SIGTERM and SIGHUP, by which services, containers and closed terminals stop it, as Ctrl-C does.

What must not be cut in two stands in `unstopped`: a signal that comes meanwhile takes effect when it is done.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_SIGNALS = [number for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK") if (number := getattr(signal, name, None)) is not None]
_held = 0
_waiting: int | None = None


class Stopped(KeyboardInterrupt):
    """A signal asked the command to end."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.exit_code = 128 + number
        """What a shell expects of a command that a signal ended: 130 after Ctrl-C, 143 after SIGTERM, 129 after SIGHUP."""


def exit_code(stop: KeyboardInterrupt) -> int:
    """The exit code of an interrupted command."""
    return stop.exit_code if isinstance(stop, Stopped) else 130


@contextmanager
def stoppable() -> Iterator[None]:
    """Let signals end what runs inside by raising `Stopped` in it; in another than the main thread, and for ignored signals, no change."""
    with _handled(tuple(number for number in _SIGNALS if signal.getsignal(number) not in (signal.SIG_IGN, None))):
        yield


@contextmanager
def unstopped() -> Iterator[None]:
    """Finish what runs inside before a signal takes effect; nothing that may wait long belongs here."""
    global _held, _waiting
    if threading.current_thread() is not threading.main_thread():  # signals reach the main thread only
        yield
        return
    with _handled((signal.SIGINT,) if signal.getsignal(signal.SIGINT) is signal.default_int_handler else ()):
        _held += 1
        try:
            yield
        finally:
            _held -= 1
            if not _held and _waiting is not None:
                number, _waiting = _waiting, None
                raise Stopped(number)


@contextmanager
def _handled(numbers: tuple[int, ...]) -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = [(number, signal.signal(number, _on_signal)) for number in numbers]
    try:
        yield
    finally:
        for number, handler in before:
            signal.signal(number, handler)


def _on_signal(number: int, _: FrameType | None) -> None:
    global _waiting
    _waiting = number if _held else None
    if not _held:
        raise Stopped(number)
