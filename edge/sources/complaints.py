"""What the decoder itself has to say of a file.

OpenCV tells neither that a frame could not be converted nor that a file breaks off: FFmpeg prints it, from whichever thread, and `edge-run`
silences it. So a file that looks suspicious is decoded once more where every word can be read: in a process of its own.
"""

from __future__ import annotations

import ctypes
import os
import re
import subprocess
import sys
from contextlib import suppress

from edge.cv import isolated
from edge.sources.names import spelled

_PATIENCE_S = 60.0  # a busy machine takes its time to start a process
_LINE = re.compile(r"\[([\w,]+) @ 0x[0-9a-fA-F]+\] (.*)")
_LEVELS = ("OPENCV_FFMPEG_LOGLEVEL", "OPENCV_FFMPEG_DEBUG")  # with either set, nobody hears who complains; with none, errors are printed
_NOW = "from here on"
_CODE = f"""
from edge.cv import cv2  # with the bounds that hold here
capture = cv2.VideoCapture(sys.argv[1])
start_ms, heard_ms, first, last = map(int, sys.argv[2:])
if start_ms > 0:
    capture.set(cv2.CAP_PROP_POS_MSEC, start_ms)
index, quiet = 0, True
while index < last and capture.grab():
    index += 1
    if quiet and capture.get(cv2.CAP_PROP_POS_MSEC) >= heard_ms:
        print("{_NOW}", file=sys.stderr, flush=True)
        quiet = False
    if index >= first:
        capture.retrieve()
"""
_NEVER = 2**60


def of_frames(path: str, first: int, last: int) -> list[str] | None:
    """What FFmpeg says when these frames of a file, counted from 1, are decoded and converted: `who: what`, each once."""
    return _said(path, 0, 0, first, last)


def of_ending(path: str, end_ms: float) -> list[str] | None:
    """What FFmpeg says while the last two seconds before `end_ms`, and whatever follows them, are decoded.

    Decoding begins ten seconds before, where it complains of all that it has not seen.
    """
    return _said(path, int(end_ms) - 10_000, int(end_ms) - 2_000, _NEVER, _NEVER)


def of_opening(path: str) -> list[str] | None:
    """What FFmpeg says when a file is opened and its first frame decoded."""
    return _said(path, 0, 0, 1, 1)


def _said(path: str, start_ms: int, heard_ms: int, first: int, last: int) -> list[str] | None:
    """FFmpeg's errors, empty when it has none; `None` when it could not be asked: no helper starts, or it takes more than a minute."""
    if getattr(sys, "frozen", False):  # the application is no Python that could be asked
        return None
    with suppress(OSError, AttributeError, TypeError):  # glibc keeps 100 MB of freed frames; the helper is about to take as much again
        ctypes.CDLL(None).malloc_trim(0)
    around = {name: value for name, value in os.environ.items() if name not in _LEVELS}
    try:
        with spelled(path) as name:
            call = [*isolated(_CODE), name, *map(str, (start_ms, heard_ms, first, last))]
            said = subprocess.run(call, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=around,
                                  timeout=_PATIENCE_S, check=False).stderr  # fmt: skip
    except (OSError, ValueError, subprocess.TimeoutExpired):
        return None
    text = said.decode(errors="replace")
    if heard_ms > 0:
        text = text.partition(_NOW)[2]
    found = (_LINE.match(line) for line in text.splitlines())
    return list(dict.fromkeys(f"{line[1]}: {line[2].strip().rstrip('.')}" for line in found if line))
