"""The routes: page and files, `/live` (pictures with readings), `/readings` (JSON for programs), `/camera` (a browser's pictures),
`/recording/timeline.svg` and `.png` (what happened, once it has ended)."""

from __future__ import annotations

import asyncio
import json
import logging
import socket
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from edge.errors import EdgeError, InputError
from edge.server.complaints import complain
from edge.server.guard import HEADERS, Gate
from edge.server.http import web
from edge.server.hub import FullError, Hub, Mailbox, Places, grant
from edge.server.lines import Lines
from edge.server.uploads import PictureReader, Visit
from edge.server.wire import Packet, described, pack, sent_time, unpack

log = logging.getLogger(__name__)

MAX_UPLOAD = 4 * 1024 * 1024
"""Longest message that a client may send, bytes."""
MAX_CAMERAS = 4
"""Browsers whose cameras are read at the same time."""
SILENCE_S = 15.0
"""A browser's camera that has sent no picture for so long loses its place."""
_PATIENCE_S = 10.0
_QUIET_S, _FAREWELL_S = 1.0, 1.0
_BUFFER = 256 * 1024
_KINDS = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
_TIMELINES = {".svg": "image/svg+xml", ".png": "image/png"}

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Sockets = dict[web.WebSocketResponse, asyncio.Transport | None]


def build_app(gate: Gate, hub: Hub, about: dict[str, Any], reader: PictureReader | None, cookie: str, lines: Lines) -> web.Application:
    """Build the application.

    Args:
        gate: decides about every request.
        hub: gives the readings.
        about: what the page needs to know, plain JSON types.
        reader: reads browsers' pictures; `None`: they may not send any.
        cookie: name of the cookie that carries the gate's key.
        lines: the TCP lines that requests come by.
    """
    app = web.Application(middlewares=[_guard(gate, cookie, lines)], client_max_size=1024)
    app.on_response_prepare.append(_seal)
    cameras = Places(MAX_CAMERAS)
    sockets: Sockets = {}

    async def live(request: web.Request) -> web.StreamResponse:
        with hub.listen(pictures=True) as box:
            return await _tell(request, sockets, box, _show_packet, hub)

    async def readings(request: web.Request) -> web.StreamResponse:
        with hub.listen(pictures=False) as box:
            return await _tell(request, sockets, box, _send_text, None)

    async def camera(request: web.Request) -> web.StreamResponse:
        if reader is None:
            raise web.HTTPNotFound(text="refused: this server reads no browser's camera")
        with hub.places.take(), cameras.take():
            return await _read(request, sockets, reader)

    async def timeline(request: web.Request) -> web.StreamResponse:
        suffix = Path(request.path).suffix
        if suffix not in hub.recorded:
            raise web.HTTPNotFound(text="refused: there is no timeline before a recording has ended, and none of what has no end")
        return web.Response(body=hub.recorded[suffix], content_type=_TIMELINES[suffix])

    async def goodbye(_: web.Application) -> None:
        lines = dict(sockets)
        if lines:
            closing = [asyncio.create_task(ws.close(code=1001, message=b"the server stops")) for ws in lines]
            await asyncio.wait(closing, timeout=_FAREWELL_S)
        for line in lines.values():  # also of a client that takes nothing
            if line:
                line.abort()

    app.on_shutdown.append(goodbye)
    app.router.add_get("/about", _fixed(json.dumps(about).encode(), "application/json"))
    for path in sorted((Path(__file__).parent / "page").iterdir()):
        if path.suffix in _KINDS:
            route = "/" if path.name == "index.html" else f"/{path.name}"
            app.router.add_get(route, _fixed(path.read_bytes(), _KINDS[path.suffix]))
    for suffix in _TIMELINES:
        app.router.add_get(f"/recording/timeline{suffix}", timeline)
    for route, handler in (("/live", live), ("/readings", readings), ("/camera", camera)):
        app.router.add_get(route, handler)
    return app


def _guard(gate: Gate, cookie: str, lines: Lines) -> Any:  # aiohttp's middleware type
    @web.middleware
    async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
        with lines.answering(request.transport):
            return await answer(request, handler)

    async def answer(request: web.Request, handler: Handler) -> web.StreamResponse:
        asked = request.query.get("token")
        bearer = request.headers.get("Authorization", "").removeprefix("Bearer ")
        tokens, key = [token for token in (asked, bearer) if token], request.cookies.get(cookie)
        refused = gate.refusal(request.headers.get("Host"), request.headers.get("Origin"), tokens, key=key, client=request.remote)
        if refused:
            return web.Response(status=refused[0], text=refused[1])
        if asked is not None and request.path == "/":  # out of the address bar, into a cookie that scripts cannot read
            moved = web.Response(status=303, headers={"Location": "/"})
            if gate.token:
                moved.set_cookie(cookie, gate.key, httponly=True, samesite="Strict", path="/")
            return moved
        try:
            return await handler(request)
        except FullError as error:
            return web.Response(status=503, text=f"refused: {error}")

    return guard


async def _seal(_: web.Request, response: web.StreamResponse) -> None:
    response.headers.update(HEADERS)


def _fixed(body: bytes, kind: str) -> Handler:
    async def answer(_: web.Request) -> web.StreamResponse:
        return web.Response(body=body, content_type=kind, charset="utf-8")

    return answer


async def _open(request: web.Request, sockets: Sockets, longest: int) -> web.WebSocketResponse:
    """Accept a WebSocket whose sending waits until the client has taken nearly everything."""
    ws = web.WebSocketResponse(heartbeat=20, max_msg_size=longest, compress=False, writer_limit=0)
    if not ws.can_prepare(request).ok:
        raise web.HTTPUpgradeRequired(text="refused: this address is a WebSocket")
    line = request.transport.get_extra_info("socket") if request.transport else None
    if line is not None:
        line.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _BUFFER)
    await ws.prepare(request)
    sockets[ws] = request.transport
    return ws


async def _send_text(ws: web.WebSocketResponse, packet: Packet) -> None:
    await ws.send_str(packet.text)


async def _show_packet(ws: web.WebSocketResponse, packet: Packet) -> None:
    await ws.send_bytes(packet.data)


async def _tell(
    request: web.Request,
    sockets: Sockets,
    box: Mailbox,
    send: Callable[[web.WebSocketResponse, Packet], Awaitable[None]],
    hub: Hub | None,
) -> web.WebSocketResponse:
    """Send every packet of a box until the client leaves; one that takes nothing for too long is cut off.

    With a `hub`, its follower's status is sent while no packet comes, and the client may ask it for explanations; without, or in any
    other words, a client that talks is sent away.
    """
    ws = await _open(request, sockets, 1024)
    sender = asyncio.create_task(_forward(request, ws, box, send, hub))
    try:
        async for message in ws:
            followed = hub.followed if hub else None
            if message.type is web.WSMsgType.ERROR:
                complain(request.remote, "what came is no WebSocket message", message.data)
                break
            if followed is None or message.type is not web.WSMsgType.TEXT:
                await ws.close(code=1003, message=b"nothing is expected here")
                break
            grant(followed, message.data)
    except Exception as error:  # whatever a client has brought about ends its own conversation only
        await _dismiss(request, ws, error)
    finally:
        sender.cancel()
        sockets.pop(ws, None)
    return ws


async def _forward(
    request: web.Request,
    ws: web.WebSocketResponse,
    box: Mailbox,
    send: Callable[[web.WebSocketResponse, Packet], Awaitable[None]],
    hub: Hub | None,
) -> None:
    try:
        while True:
            try:
                packet = await asyncio.wait_for(box.take(), _QUIET_S)
            except asyncio.TimeoutError:
                if hub and hub.followed:
                    await asyncio.wait_for(ws.send_bytes(pack({"status": hub.followed.status.to_dict()})), _PATIENCE_S)
                continue
            await asyncio.wait_for(send(ws, packet), _PATIENCE_S)
    except asyncio.TimeoutError:
        log.info("a client took nothing for %.0f s and was cut off", _PATIENCE_S)
        if request.transport:
            request.transport.abort()
    except ConnectionError:
        pass  # it has left; so ends the loop that listens to it


async def _read(request: web.Request, sockets: Sockets, reader: PictureReader) -> web.WebSocketResponse:
    """Answer every picture of one browser with its reading; it may ask for explanations, and anything else ends the conversation."""
    ws, visit = await _open(request, sockets, MAX_UPLOAD), Visit()
    seen_s = time.monotonic()
    try:
        while (message := await _hear(ws, seen_s + SILENCE_S - time.monotonic())) is not None:
            if message.type is web.WSMsgType.ERROR:
                complain(request.remote, "what came is no WebSocket message", message.data)
                break
            if message.type is web.WSMsgType.TEXT:
                grant(visit, message.data)
                continue
            header, jpeg = unpack(message.data)
            reading = await reader(jpeg, sent_time(header), visit)
            await asyncio.wait_for(ws.send_bytes(pack({"live": True, **described(reading)})), _PATIENCE_S)
            seen_s = time.monotonic()
    except (asyncio.TimeoutError, ConnectionError):
        if request.transport:
            request.transport.abort()
    except Exception as error:
        await _dismiss(request, ws, error)
    finally:
        sockets.pop(ws, None)
    return ws


async def _hear(ws: web.WebSocketResponse, wait_s: float) -> Any:  # aiohttp's message, which has no public name
    """The next message; `None` at the end of the conversation, which a camera that sends no picture for too long brings about."""
    try:
        message = await ws.receive(max(wait_s, 0.001))
    except asyncio.TimeoutError:
        await ws.close(code=1013, message=f"no picture came for {SILENCE_S:g} s".encode())
        return None
    return None if message.type in (web.WSMsgType.CLOSE, web.WSMsgType.CLOSING, web.WSMsgType.CLOSED) else message


async def _dismiss(request: web.Request, ws: web.WebSocketResponse, error: Exception) -> None:
    """Tell a client why its conversation is over: what it sent, or a fault of ours, of which it learns nothing more."""
    known = isinstance(error, EdgeError)
    if not known:
        complain(request.remote, "a conversation was ended by an error of this server", error)
    text = str(error).encode()[:120].decode(errors="ignore") if known else "the server met an error"
    with suppress(ConnectionError, asyncio.TimeoutError):
        await asyncio.wait_for(ws.close(code=1007 if isinstance(error, InputError) else 1011, message=text.encode()), _PATIENCE_S)
