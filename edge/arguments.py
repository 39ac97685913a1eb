"""What the commands' options have in common: how their values are read, and how what is wrong with them is said."""

from __future__ import annotations

import argparse
import logging
import os
import re
import sys
from typing import NoReturn

from edge.plain import PlainFormatter, plain


class Parser(argparse.ArgumentParser):
    """Repeats what the user gave as one harmless line."""

    def error(self, message: str) -> NoReturn:
        super().error(plain(message))


def configure(*, verbose: bool) -> None:
    """Set a command's streams up: logs to stderr, and names that are not text on stdout."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(PlainFormatter("%(levelname)s %(name)s: %(message)s"))
    logging.basicConfig(level=logging.DEBUG if verbose else logging.WARNING, handlers=[handler])
    if not verbose:  # our own errors say what OpenCV and FFmpeg would, in one sentence; read when OpenCV is imported
        os.environ.setdefault("OPENCV_LOG_LEVEL", "SILENT")
        os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="backslashreplace")  # file names need not be text


def explain_when(text: str, *, words: tuple[str, ...] = ("every", "change", "request", "off")) -> str | float:
    """One of the words, or seconds."""
    if text in words:
        return text
    try:
        return seconds(text)
    except argparse.ArgumentTypeError:
        raise argparse.ArgumentTypeError(f"expected {', '.join(words)} or seconds above 0, got '{text}'") from None


def seconds(text: str) -> float:
    """A finite number above 0."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"expected seconds above 0, got '{text}'")
    return value


def face_width(text: str) -> float:
    """Pixels, or a share of the picture's width: 24, 0.02, 2%."""
    share = text.endswith("%")
    try:
        width = float(text.removesuffix("%")) / (100 if share else 1)
    except ValueError:
        width = 0.0
    if not 0 < width < (1 if share else float("inf")):
        raise argparse.ArgumentTypeError(f"expected pixels, or a share of the width such as 2% or 0.02, got '{text}'")
    return width


def positive(text: str) -> int:
    """A whole number above 0."""
    if not re.fullmatch(r"[0-9]{1,18}", text) or int(text) < 1:  # more digits do not fit into what counts frames
        raise argparse.ArgumentTypeError(f"expected a whole number above 0, got '{text[:40]}'")
    return int(text)
