"""Reading what somebody else made: a regular file of bounded size, and JSON whose every number is finite.

A name can stand for anything: a pipe that nobody writes to, a device without an end, a file of terabytes.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import stat
from pathlib import Path
from typing import Any

from edge.errors import InputError

MAX_JSON = 16 * 1024 * 1024
"""Longest JSON file that is read, bytes."""
_WHOLE = 2**63


def read_bounded(path: Path | str, limit: int) -> bytes:
    """Read a regular file of at most `limit` bytes; nothing else is waited for.

    Raises:
        InputError: not there, not readable, not a regular file, or longer.
    """
    try:
        # without O_NONBLOCK the opening itself waits for a pipe's writer
        opened = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
        with open(opened, "rb") as file:
            found = os.fstat(opened)
            if not stat.S_ISREG(found.st_mode):
                raise InputError(f"cannot read '{path}': it is not a regular file")
            data = file.read(limit + 1) if found.st_size <= limit else b""
    except (OSError, ValueError) as error:  # ValueError: a name with a null character
        raise InputError(f"cannot read '{path}': {getattr(error, 'strerror', None) or error}") from None
    if max(len(data), found.st_size) > limit:
        raise InputError(f"cannot read '{path}': it is longer than {limit} bytes")
    return data


def sha256_of(path: Path | str) -> str:
    """SHA-256 of a file in hexadecimal digits, read piece by piece; raises `OSError`."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while piece := file.read(1 << 20):
            digest.update(piece)
    return digest.hexdigest()


def read_json(path: Path | str, limit: int = MAX_JSON) -> Any:
    """Read a JSON file whose numbers are finite and whose whole numbers fit into 64 bits.

    Raises:
        InputError: as `read_bounded`, or it is not such JSON.
    """
    try:
        return parse_json(read_bounded(path, limit).decode("utf-8"))
    except ValueError as error:
        raise InputError(f"'{path}' is not JSON that can be read: {error}") from None


def parse_json(text: str) -> Any:
    """Parse JSON; raises `ValueError` when it is none, is nested too deeply, or has a number that is infinite, none, or too large."""
    try:
        return json.loads(text, parse_constant=_finite, parse_float=_finite, parse_int=_whole)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text[:20]} is not a finite number")
    return value


def _whole(text: str) -> int:
    if len(text) > 20 or not -_WHOLE <= (value := int(text)) < _WHOLE:
        raise ValueError(f"{text[:20]}… is too large a number")
    return value
