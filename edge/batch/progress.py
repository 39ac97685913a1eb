"""How far a run is and how long it will take: on a terminal one line that changes, in a pipe nothing."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable
from contextlib import suppress
from typing import TextIO

from edge.batch.study import Item

_EVERY_S = 0.5


class Progress:
    """Counts bytes of the files, which are known before they are read; a context manager."""

    def __init__(self, items: Iterable[Item], stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stderr
        self._sizes = {item.name: max(1, item.size) for item in items}
        self._left = sum(self._sizes.values())
        self._count, self._read = 0, 0.0
        self._started = time.monotonic()
        self._shown, self._visible = 0.0, False
        self._on = self._stream.isatty()

    def done(self, name: str, *, kept: bool) -> None:
        """An item is finished; what was kept took no time, and says nothing about the others."""
        self._count += 1
        self._left -= self._sizes[name]
        self._read += 0 if kept else self._sizes[name]

    def left_s(self, shares: dict[str, float], now_s: float) -> float | None:
        """Seconds that the rest will take at the pace so far; `None` while there is none.

        Args:
            shares: of the items at hand, how much has been read of each.
            now_s: `time.monotonic()`.
        """
        at_hand = sum(self._sizes[name] * share for name, share in shares.items())
        read = self._read + at_hand
        return (self._left - at_hand) * (now_s - self._started) / read if read > 0 else None

    def show(self, shares: dict[str, float]) -> None:
        """Renew the line, twice a second at most."""
        now_s = time.monotonic()
        if not self._on or now_s - self._shown < _EVERY_S:
            return
        self._shown, self._visible = now_s, True
        left_s = self.left_s(shares, now_s)
        told = "" if left_s is None else f", about {in_words(left_s)} left"
        with suppress(OSError):  # a terminal that has gone
            self._stream.write(f"\r\x1b[K{self._count} of {len(self._sizes)}{told}")
            self._stream.flush()

    def hide(self) -> None:
        """Clear the line, for another one."""
        if self._visible:
            self._visible = False
            with suppress(OSError):
                self._stream.write("\r\x1b[K")
                self._stream.flush()

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *_: object) -> None:
        self.hide()


def in_words(seconds: float) -> str:
    """A time, roughly: `40 s`, `12 min`, `3.5 h`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 90 * 60 else f"{seconds / 3600:.1f} h"
