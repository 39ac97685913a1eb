"""The server beside the program: an event loop on a thread of its own, handed one reading at a time."""

from __future__ import annotations

import asyncio
import os
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import numpy as np

import edge
from edge.bundle import BundleConfig
from edge.errors import UsageError
from edge.outputs.sink import Sink
from edge.outputs.timeline import as_png, as_svg, in_a_sentence
from edge.server.app import build_app
from edge.server.complaints import complain, requests
from edge.server.guard import TOKEN_VARIABLE, Gate, token_for
from edge.server.http import web
from edge.server.hub import Followed, Hub, Places
from edge.server.lines import SILENCE_S, Lines, most_lines
from edge.server.uploads import PictureReader
from edge.server.wire import Packet
from edge.spans import Clip
from edge.types import Reading

if TYPE_CHECKING:
    from edge.pipeline import Pipeline

_BACKLOG = 64
"""As many lines are accepted at once: far fewer than the spare ones, so that one that asks has its turn before it could lose its place."""


class Server(Sink):
    """Shows readings on a local page and gives them to programs as a WebSocket at `/readings`.

        with Pipeline.load() as pipeline, Server(pipeline.bundle.config, port=8000) as server:
            for frame, reading in pipeline.watch(0):
                server.write(reading, frame.image_bgr)

    It listens on loopback unless told otherwise; bound elsewhere, a client must know the token that `url` carries. `write` never
    waits for a client.
    """

    def __init__(
        self,
        config: BundleConfig,
        reader: Callable[[], Pipeline] | None = None,
        *,
        host: str = "127.0.0.1",
        port: int = 8000,
        source: bool = True,
        explain: str | float = "every",
        clients: int = 128,
    ) -> None:
        """Listen; the page can be opened when this returns.

        Args:
            config: of the bundle: labels and cues.
            reader: gives the pipeline that reads the browsers' own cameras, which the server then owns; `None`: they are not read.
            host: address to listen on.
            port: 0 takes a free one.
            source: whether readings will be written; else the page begins with the browser's camera.
            explain: when the browsers' pictures are explained, as `Pipeline.stream` takes it.
            clients: most connections at the same time.

        Raises:
            UsageError: it cannot listen there.
        """
        self.token = token_for(host, os.environ.get(TOKEN_VARIABLE))
        self.hub = Hub(Places(clients))
        self._host, self._port = host, port
        self._reader = PictureReader(reader, explain=explain) if reader else None
        cues = {cue.name: {"action_unit": cue.action_unit, "formula": cue.formula, "points": cue.points} for cue in config.cues}
        self._about: dict[str, Any] = {
            "version": edge.__version__, "labels": config.labels, "cues": cues,
            "units": {unit.name: unit.meaning for unit in config.units}, "source": source, "browser": reader is not None,
            "counterfactual": bool(config.movable),
        }  # fmt: skip
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop = asyncio.Event()
        self._newest: Packet | None = None
        self._waiting = False
        self._lock = threading.Lock()
        self._started = threading.Event()
        self._failure: Exception | None = None
        self._thread = threading.Thread(target=self._run, name="edge-server", daemon=True)
        self._thread.start()
        self._started.wait()
        if self._failure:
            self._thread.join()
            if not isinstance(self._failure, OSError | UnicodeError):  # UnicodeError: no name of a host
                raise self._failure
            said = getattr(self._failure, "strerror", None) or self._failure
            raise UsageError(f"--serve: cannot listen on '{host}' port {port}: {said}")

    @property
    def url(self) -> str:
        """Address of the page, with its token where one is asked for; bound to every address, by this machine's name."""
        host = socket.gethostname() if self._host in ("0.0.0.0", "::") else self._host
        host = f"[{host}]" if ":" in host else host
        return f"http://{host}:{self._port}/" + (f"?token={quote(self.token)}" if self.token else "")

    def write(self, reading: Reading, image_bgr: np.ndarray | None = None) -> None:
        """Show a reading, with its picture `[H,W,3]` where there is one; callable from any one thread."""
        followed, self.hub.recorded = self.hub.followed, {}
        self._publish(Packet(reading, image_bgr, status=followed.status.to_dict() if followed else None))

    def follow(self, followed: Followed) -> None:
        """Let the page show how the source is doing, also while no reading comes, and ask it for explanations."""
        self.hub.followed = followed

    def end(self, clip: Clip | None = None) -> None:
        """Say that no further reading comes; the last one stays.

        Args:
            clip: what the recording came to; the page shows its timeline.
        """
        if self._newest:
            self._publish(replace(self._newest, live=False))
        if self._newest and clip:
            self.hub.recorded = {".svg": as_svg(clip).encode(), ".png": as_png(clip)}
            self._publish(replace(self._newest, live=False, recorded=in_a_sentence(clip)))

    def close(self) -> None:
        """Send the clients away and stop listening."""
        if self._loop and self._thread.is_alive():
            with suppress(RuntimeError):  # it has stopped meanwhile
                self._loop.call_soon_threadsafe(self._stop.set)
            self._thread.join()
        self._loop = None
        if self._reader:
            self._reader.close()

    def _publish(self, packet: Packet) -> None:
        """Hand a packet over to the loop; while one still waits there, it is replaced."""
        if self.hub.pictures:
            _ = packet.data  # encoded here, not in the loop
        if self._loop is None:
            return
        with self._lock:
            self._newest = packet
            if not self._waiting:
                self._waiting = True
                self._loop.call_soon_threadsafe(self._spread)

    def _spread(self) -> None:
        with self._lock:
            self._waiting = False
            packet = self._newest
        assert packet is not None
        self.hub.spread(packet)

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except Exception as error:
            if self._started.is_set():
                raise
            self._failure = error  # it is raised where the server was asked for
        finally:
            self._started.set()  # whatever happened: nobody waits for a server that failed

    async def _serve(self) -> None:
        loop, lines = asyncio.get_running_loop(), Lines(most_lines(self.hub.places.limit))
        loop.set_exception_handler(lambda _, told: complain(None, told["message"], told.get("exception")))
        app = build_app(Gate(self._host, self.token), self.hub, self._about, self._reader, f"edge-token-{self._port}", lines)
        # an access log would hold tokens
        runner = web.AppRunner(app, access_log=None, logger=requests, shutdown_timeout=1.0, keepalive_timeout=SILENCE_S)
        await runner.setup()
        assert runner.server
        opened, factory = None, runner.server
        try:
            opened = await loop.create_server(lambda: lines.guarded(factory()), self._host, self._port, backlog=_BACKLOG)
            self._port = opened.sockets[0].getsockname()[1]
            self._loop = loop
            self._started.set()
            watching = asyncio.create_task(lines.watch())
            await self._stop.wait()
            watching.cancel()
        finally:
            if opened:
                opened.close()
            await runner.cleanup()
