"""Newest reading to every client: each has a box for one packet, so that a slow one misses readings and delays nobody."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from edge.errors import UsageError
from edge.server.wire import Packet, asked
from edge.types import StreamStatus


class Mailbox:
    """Holds the newest packet that a client has not taken yet."""

    def __init__(self, first: Packet | None) -> None:
        self._packet = first
        self._filled = asyncio.Event()
        if first:
            self._filled.set()

    def put(self, packet: Packet) -> None:
        """Leave a packet; one that still lies there is thrown away."""
        self._packet = packet
        self._filled.set()

    async def take(self) -> Packet:
        """Wait for a packet."""
        await self._filled.wait()
        self._filled.clear()
        assert self._packet is not None
        packet, self._packet = self._packet, None
        return packet


class FullError(UsageError):
    """No further client is let in."""


class Places:
    """A bounded number of places for clients."""

    def __init__(self, limit: int) -> None:
        self.limit, self.taken = limit, 0

    @contextmanager
    def take(self) -> Iterator[None]:
        """Take a place; `FullError` when there is none."""
        if self.taken >= self.limit:
            raise FullError(f"{self.limit} clients are connected: no more are let in")
        self.taken += 1
        try:
            yield
        finally:
            self.taken -= 1


class Askable(Protocol):
    """What answers with its next readings."""

    def explain(self, track: int | None = None) -> None:
        """Ask for an explanation of one face, or of all."""
        ...

    def counterfactual(self, track: int | None = None) -> None:
        """Ask what becomes of its answer without each thing that its explanation states; raises `UsageError` where that cannot be told."""
        ...


def grant(askable: Askable, text: str) -> None:
    """Ask for what a client asks for, in its own words.

    Raises:
        InputError: they mean nothing.
        UsageError: it cannot be had here.
    """
    wish, track = asked(text)
    (askable.explain if wish == "explain" else askable.counterfactual)(track)


class Followed(Askable, Protocol):
    """What reads the source, an `edge.live.stream.Stream`; all parts may be used from any thread."""

    @property
    def status(self) -> StreamStatus:
        """How the source is doing."""
        ...


class Hub:
    """Everyone who is told; belongs to the server's event loop, except for `pictures`, which may be read anywhere, and what is set whole:
    `followed` and `recorded`."""

    def __init__(self, places: Places) -> None:
        self.places = places
        self.pictures = 0
        """Clients that want pictures."""
        self.followed: Followed | None = None
        """What clients may ask, where there is something to be asked."""
        self.recorded: dict[str, bytes] = {}
        """The timeline of a recording that has ended: suffix → file."""
        self._boxes: dict[Mailbox, bool] = {}
        self._newest: Packet | None = None

    @contextmanager
    def listen(self, *, pictures: bool) -> Iterator[Mailbox]:
        """A box that is filled from now on, beginning with the newest packet there is; `FullError` when there is no place."""
        with self.places.take():
            box = Mailbox(self._newest)
            self._boxes[box] = pictures
            self.pictures += pictures
            try:
                yield box
            finally:
                self.pictures -= pictures
                del self._boxes[box]

    def spread(self, packet: Packet) -> None:
        """Leave a packet in every box; one that tells a reading again (it is not live any more) only where pictures are shown."""
        again = self._newest is not None and packet.reading is self._newest.reading
        self._newest = packet
        for box, pictures in self._boxes.items():
            if pictures or not again:
                box.put(packet)
