"""A running server and its clients: what the tests of `edge.server` share."""

import asyncio
import json
import socket
import time
from contextlib import contextmanager

import cv2
import numpy as np
import pytest

from edge import Reading


@pytest.fixture
def server(pipeline):
    from edge.server import Server

    with Server(pipeline.bundle.config, lambda: pipeline, port=0) as running:
        running._reader.close = lambda: None  # the session's pipeline outlives this server
        yield running


def reading(frame: int) -> Reading:
    return Reading("test", frame, frame * 100.0, 320, 240, ())


def jpeg(image: np.ndarray) -> bytes:
    return cv2.imencode(".jpg", image)[1].tobytes()


def speak(server, talk, **headers):
    """Run `talk(session, url)` as a client."""
    import aiohttp

    async def run():
        async with aiohttp.ClientSession(headers=headers) as session:
            return await asyncio.wait_for(talk(session, server.url.split("?")[0].rstrip("/")), 60)

    return asyncio.run(run())


def status(server, path: str, **headers) -> int:
    async def talk(session, url):
        async with session.get(url + path, allow_redirects=False) as answer:
            return answer.status

    return speak(server, talk, **headers)


def wait_for(condition, seconds: float = 10.0) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "waited in vain"
        time.sleep(0.02)


@contextmanager
def stalled(server, count: int):
    """Clients that ask for pictures and then take nothing."""
    lines = []
    port = int(server.url.rsplit(":", 1)[1].strip("/"))
    for _ in range(count):
        line = socket.create_connection(("127.0.0.1", port))
        line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        line.sendall(
            f"GET /live HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n".encode()
        )
        lines.append(line)
    try:
        yield
    finally:
        for line in lines:
            line.close()


def unpack_any(data: bytes) -> dict:
    """A packet of the server, whose header may be longer than a client's."""
    return json.loads(data[4 : 4 + int.from_bytes(data[:4], "big")])
