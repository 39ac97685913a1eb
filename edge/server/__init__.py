"""The local page: live picture, readings and checked explanations in a browser, and the readings as a WebSocket for programs.

`server.py` runs it beside the program, `app.py` has its routes, `lines.py` counts connections, `guard.py` decides who is let in, `hub.py`
gives every client the newest reading, `uploads.py` reads pictures that browsers send, `wire.py` is the language of the socket,
`complaints.py` tells the log what clients do wrong, `page/` is what the browser shows.
"""

from __future__ import annotations

from edge.server.server import Server

__all__ = ["Server"]
