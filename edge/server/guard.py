"""Who is let in: the names a request may call the server by, the pages it may come from, and the token it must know.

A web page that the user happens to visit can send requests to this machine. A foreign page betrays itself by its `Origin`; one that
has its own name resolve to this machine (DNS rebinding) by its `Host`. Bound to loopback that is enough; elsewhere a token is asked
for as well.
"""

from __future__ import annotations

import hashlib
import ipaddress
import math
import secrets
import socket
import time
from dataclasses import dataclass, field
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


class Guesses:
    """Wrong tokens by the address they came from: after a few, each makes the next wait twice as long."""

    FREE, LONGEST_S, MOST = 5, 60.0, 1024

    def __init__(self) -> None:
        self._wrong: dict[str, tuple[int, float]] = {}

    def wait_s(self, client: str | None) -> float:
        """Seconds until a token from this address is looked at again."""
        count, at = self._wrong.get(_neighbours(client), (0, 0.0))
        if count < self.FREE:
            return 0.0
        return at + min(self.LONGEST_S, 2.0 ** (count - self.FREE)) - time.monotonic()

    def note(self, client: str | None) -> None:
        """A wrong token came."""
        who = _neighbours(client)
        self._wrong[who] = (self._wrong.pop(who, (0, 0.0))[0] + 1, time.monotonic())
        if len(self._wrong) > self.MOST:
            del self._wrong[next(iter(self._wrong))]

    def forgive(self, client: str | None) -> None:
        """The right one came."""
        self._wrong.pop(_neighbours(client), None)


def _neighbours(client: str | None) -> str:
    """Who counts as one: an IPv4 address, or an IPv6 network of 64 bits, of which anybody has all addresses."""
    address = _address((client or "").partition("%")[0])
    if isinstance(address, ipaddress.IPv6Address) and not address.ipv4_mapped:
        return str(ipaddress.ip_network((address, 64), strict=False))
    return client or ""


def _equal(given: str, own: str) -> bool:
    """Compare in the same time wherever they differ; of anything that a header can hold."""
    digests = (hashlib.sha256(text.encode("utf-8", "surrogateescape")).digest() for text in (given, own))
    return secrets.compare_digest(*digests)


@dataclass(frozen=True, slots=True)
class Gate:
    """Decides about requests."""

    host: str
    """The address that the server is bound to."""
    token: str | None
    """What a client must know; `None`: nothing."""
    key: str = field(default_factory=lambda: secrets.token_urlsafe(24))
    """What a page that knew the token keeps in a cookie, until this server ends: whoever guesses tokens does not lock it out."""
    guesses: Guesses = field(default_factory=lambda: Guesses())

    def refusal(
        self, host: str | None, origin: str | None, tokens: list[str], *, key: str | None = None, client: str | None = None
    ) -> tuple[int, str] | None:
        """Why a request is refused.

        Args:
            host: its `Host` header.
            origin: its `Origin` header; programs send none.
            tokens: every token that it carries.
            key: the page's, from its cookie.
            client: the address that it comes from.

        Returns:
            HTTP status and reason, or `None` when it is let in.
        """
        if not self.knows(host_name(host or "")):
            return 403, "refused: this server is not known by the name in the Host header"
        if origin is not None and not _same(origin, host or ""):
            return 403, "refused: the request comes from another site"
        if self.token is None or (key and _equal(key, self.key)):
            return None
        if tokens and (wait_s := self.guesses.wait_s(client)) > 0:
            return 429, f"refused: too many wrong tokens came from this address; try again in {math.ceil(wait_s)} s"
        if any(_equal(token, self.token) for token in tokens):
            self.guesses.forgive(client)
            return None
        if tokens:
            self.guesses.note(client)
        return 401, "refused: this server asks for its token; open the address that it printed"

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
