"""Names and addresses are other people's data: what of them may be printed, logged or handed on.

A file name can hold an escape sequence that a terminal obeys, or a line break and a second, forged line. An address can hold a password.
"""

from __future__ import annotations

import logging
import re
import unicodedata

_ADDRESS = re.compile(r"\b[A-Za-z][A-Za-z0-9+.-]+:/[^\s'\"]+")  # one slash: what a `Path` leaves of two
_JOINERS = "\u200c\u200d"  # join letters of some scripts; they move nothing


def plain(text: str) -> str:
    """A text that a terminal shows as one line and obeys in nothing, its addresses without their secrets.

    Control and format characters, line separators and what is not text are written as Python writes them in a literal.
    """
    text = _ADDRESS.sub(lambda found: without_secrets(found[0]), text)
    if text.isascii() and text.isprintable():
        return text
    return "".join(c if _harmless(c) else c.encode("unicode_escape").decode() for c in text)


def without_secrets(address: str) -> str:
    """An address without user, password, query and fragment: they are nobody's business downstream."""
    scheme, slashes, rest = re.fullmatch(r"([^:/]*:)?(/*)(.*)", address, re.DOTALL).groups("")  # type: ignore[union-attr]
    host = rest.partition("/")[0]
    if "@" in host:
        rest = rest[host.rindex("@") + 1 :]
    elif ":" in host and not re.fullmatch(r"(\[.*\]|[^:\[]*)(:\d*)?", host.partition("?")[0]) and "@" in rest:
        rest = rest[rest.rindex("@") + 1 :]  # what stands where a port should is the beginning of a password with a slash
    return scheme + slashes + re.split(r"[?#]", rest, maxsplit=1)[0]


def is_address(text: str) -> bool:
    """Whether a text is an address: anything else, colons and all, is the name of a file."""
    return re.match(r"[A-Za-z][A-Za-z0-9+.-]+://", text) is not None


class PlainFormatter(logging.Formatter):
    """Formats records for a terminal; a traceback keeps its lines."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 (logging's name)
        return plain(super().formatMessage(record))


def _harmless(character: str) -> bool:
    return character.isprintable() or character in _JOINERS or unicodedata.category(character) == "Zs"
