"""Who is let in: the names a request may call the server by, the pages it may come from, and the token it must know.

A web page that the user happens to visit can send requests to this machine. A foreign page betrays itself by its `Origin`; one that
has its own name resolve to this machine (DNS rebinding) by its `Host`. Bound to loopback that is enough; elsewhere a token is asked
for as well.
"""

from __future__ import annotations

import ipaddress
import secrets
import socket
from dataclasses import dataclass
from urllib.parse import urlsplit

from edge.errors import UsageError

TOKEN_VARIABLE = "EDGE_TOKEN"
"""Environment variable that sets the token, on any address."""
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; "
        "form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'"
    ),
    "Permissions-Policy": "camera=(self), microphone=(), geolocation=()",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
"""Sent with every answer: nothing is loaded from elsewhere, framed, cached, or told where the user came from."""


@dataclass(frozen=True, slots=True)
class Gate:
    """Decides about requests."""

    host: str
    """The address that the server is bound to."""
    token: str | None
    """What a client must know; `None`: nothing."""

    def refusal(self, host: str | None, origin: str | None, tokens: list[str]) -> tuple[int, str] | None:
        """Why a request is refused.

        Args:
            host: its `Host` header.
            origin: its `Origin` header; programs send none.
            tokens: every token that it carries.

        Returns:
            HTTP status and reason, or `None` when it is let in.
        """
        if not self.knows(host_name(host or "")):
            return 403, "refused: this server is not known by the name in the Host header"
        if origin is not None and not _same(origin, host or ""):
            return 403, "refused: the request comes from another site"
        if self.token is not None and not any(secrets.compare_digest(self.token.encode(), t.encode(errors="replace")) for t in tokens):
            return 401, "refused: this server asks for its token; open the address that it printed"
        return None

    def knows(self, name: str) -> bool:
        """Whether a request may call the server by this name: its own, loopback's, and, bound elsewhere, any plain address."""
        if not name:
            return False
        if name in ("localhost", self.host.lower()) or is_loopback(name):
            return True
        return not is_loopback(self.host) and (name == socket.gethostname().lower() or _address(name) is not None)


def token_for(host: str, chosen: str | None) -> str | None:
    """The token that a server bound to `host` asks for: the one that was chosen, else a new one, else on loopback none.

    Raises:
        UsageError: the chosen one is not printable ASCII.
    """
    if chosen and not (chosen.isascii() and chosen.isprintable()):
        raise UsageError(f"{TOKEN_VARIABLE} must be ASCII letters, digits and signs: it travels in an address")
    return chosen or (None if is_loopback(host) else secrets.token_urlsafe(24))


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach `host`."""
    address = _address(host)
    return host.lower() == "localhost" or (address is not None and address.is_loopback)


def host_name(header: str) -> str:
    """The name in a `Host` header without its port, lower case; empty when it is malformed."""
    try:
        parts = urlsplit(f"//{header}")
        _ = parts.port  # raises when it is none
    except ValueError:
        return ""
    plain = parts.netloc == header and parts.username is None and not (parts.path or parts.query or parts.fragment)
    return (parts.hostname or "") if plain else ""


def _same(origin: str, host: str) -> bool:
    """Whether an `Origin` is the page that this server gave out under `host`."""
    scheme, _, rest = origin.partition("://")
    return scheme in ("http", "https") and rest.lower() == host.lower()


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None
