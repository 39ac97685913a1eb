"""aiohttp, or one sentence that says how to get it. The server's modules take `web` from here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edge.library import load

if TYPE_CHECKING:
    from aiohttp import web
else:
    web = load(
        "aiohttp.web",
        name="aiohttp, which serves the page,",
        holds="WebSocketResponse",
        get="pip install 'erv-edge[serve]'",
        remove="aiohttp",
    )

__all__ = ["web"]
