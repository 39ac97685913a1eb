"""What clients do wrong, in the log: a line, at most one a second for each client, and nothing of what they sent: it may be a token."""

from __future__ import annotations

import logging
import time
import traceback

log = logging.getLogger(__name__)

_EVERY_S = 1.0
_MOST = 256
_last: dict[str, float] = {}


def complain(client: object, what: str, error: BaseException | None = None) -> None:
    """Log what a client did.

    Args:
        client: its address; anything that says who it is.
        what: in our own words.
        error: what it caused; only its kind and, for `--verbose`, its place are told.
    """
    now, who = time.monotonic(), str(client or "a client")
    if error:
        what += f" ({type(error).__name__})"
        log.debug("%s\n%s", what, "".join(traceback.format_tb(error.__traceback__)))
    if now - _last.get(who, -_EVERY_S) < _EVERY_S:
        return
    _last.pop(who, None)
    _last[who] = now
    if len(_last) > _MOST:
        del _last[next(iter(_last))]
    log.warning("%s: %s", who, what)


class _Retold(logging.Filter):
    """Tells aiohttp's records in our words: its own repeat the request, and have a traceback each."""

    def filter(self, record: logging.LogRecord) -> bool:
        error = record.exc_info[1] if isinstance(record.exc_info, tuple) else None
        client = record.args[0] if isinstance(record.args, tuple) and record.args else None
        if record.levelno >= logging.WARNING:
            complain(client, "a request could not be answered", error)
        return False


requests = logging.getLogger(f"{__name__}.requests")
"""For aiohttp."""
requests.addFilter(_Retold())
