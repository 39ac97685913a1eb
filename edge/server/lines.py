"""TCP lines: how many there may be at the same time, and how long one may keep a place without asking for anything.

A line costs a file descriptor, and a process has few; without a bound whoever can reach the port can use them up, with no token at all.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import cast

SILENCE_S = 5.0
"""A line on which no request is being answered is closed after this long: a new one, an idle one, one that dribbles its headers."""
SPARE = 384
"""Lines beside the clients' places: pages and their files, and those that have not said what they want."""
_LOOK_S = 1.0


def most_lines(clients: int) -> int:
    """Lines that a server with so many places takes: no more than half of the files that this process may open."""
    try:
        import resource
    except ImportError:  # Windows knows no such limit
        return clients + SPARE
    return max(8, min(clients + SPARE, resource.getrlimit(resource.RLIMIT_NOFILE)[0] // 2))


class Lines:
    """All lines of a server; belongs to its event loop."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._all: set[asyncio.BaseTransport] = set()
        self._silent: dict[asyncio.BaseTransport, float] = {}  # since when, the longest first

    def __len__(self) -> int:
        return len(self._all)

    def guarded(self, protocol: asyncio.Protocol) -> asyncio.Protocol:
        """A protocol whose line is counted here."""
        return _Line(self, protocol)

    @contextmanager
    def answering(self, transport: asyncio.BaseTransport | None) -> Iterator[None]:
        """While inside, a request of this line is being answered, which may take as long as it likes."""
        if transport in self._silent:
            del self._silent[transport]
        try:
            yield
        finally:
            if transport in self._all:
                self._silent[transport] = _now()

    async def watch(self) -> None:
        """Close lines that have been silent for too long; runs until it is cancelled."""
        while True:
            await asyncio.sleep(_LOOK_S)
            for transport in [line for line, since in self._silent.items() if _now() - since > SILENCE_S]:
                self._drop(transport)

    def enter(self, transport: asyncio.BaseTransport) -> None:
        """A line has been opened. Where there is no place, the longest silent one loses its own; one that asks at once is thus let in."""
        if len(self._all) >= self.limit:
            self._drop(next(iter(self._silent), transport))
        if not transport.is_closing():
            self._all.add(transport)
            self._silent[transport] = _now()

    def leave(self, transport: asyncio.BaseTransport | None) -> None:
        """A line has been closed."""
        if transport is not None:
            self._all.discard(transport)
            self._silent.pop(transport, None)

    def _drop(self, transport: asyncio.BaseTransport) -> None:
        self.leave(transport)
        cast(asyncio.Transport, transport).abort()


def _now() -> float:
    return asyncio.get_running_loop().time()


class _Line(asyncio.Protocol):
    """Hands everything on to a protocol."""

    def __init__(self, lines: Lines, protocol: asyncio.Protocol) -> None:
        self._lines, self._protocol = lines, protocol
        self._transport: asyncio.BaseTransport | None = None
        self.data_received, self.eof_received = protocol.data_received, protocol.eof_received  # type: ignore[method-assign]
        self.pause_writing, self.resume_writing = protocol.pause_writing, protocol.resume_writing  # type: ignore[method-assign]

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._lines.enter(transport)
        self._protocol.connection_made(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self._lines.leave(self._transport)
        self._protocol.connection_lost(exc)
