"""aiohttp, or one sentence that says how to get it. The server's modules take `web` from here."""

from __future__ import annotations

from edge.errors import BackendError

try:
    from aiohttp import web
except ImportError:
    raise BackendError("the page needs aiohttp: pip install 'erv-edge[serve]'") from None

__all__ = ["web"]
