"""OpenCV, or one sentence that says how to get it. Every module takes `cv2` from here."""

from __future__ import annotations

import ctypes
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from edge.library import load

if TYPE_CHECKING:
    import cv2
else:
    cv2 = load(
        "cv2",
        name="OpenCV",
        holds="copyMakeBorder",
        get="pip install 'erv-edge[cpu]' or 'erv-edge[gpu]'",
        remove="opencv-python opencv-python-headless",
        needs="install the system's library (on Debian and Ubuntu apt-get install libgl1 libglib2.0-0)",
    )

__all__ = ["cv2", "isolated"]

_FFMPEG_BYTES = 72_000_000


def _bound_ffmpeg() -> None:
    """Let FFmpeg refuse pictures one of whose planes would be larger than that: it decodes the first while an address is being opened.

    OpenCV hands no limit on, so FFmpeg's own (`av_max_alloc`) is set in the library that OpenCV has loaded; on Linux only.
    """
    with suppress(OSError, AttributeError):
        loaded = {line.split()[-1] for line in Path("/proc/self/maps").read_text().splitlines() if "/libavutil" in line}
        for path in loaded:
            if "opencv" in path or "-packages" not in path:  # the system's or OpenCV's, no other package's
                ctypes.CDLL(path).av_max_alloc(ctypes.c_size_t(_FFMPEG_BYTES))


_bound_ffmpeg()


def isolated(code: str) -> list[str]:
    """A command line for a Python of its own, which takes nothing from the working folder or the environment.

    Args:
        code: can import the standard library, `cv2`, `numpy`, this package, and what is installed beside them.
    """
    # `-I` hides the user's own packages as well, where these may come from: their folders go last, where they can hide nothing
    homes = [Path(str(package.__file__)).absolute().parents[hasattr(package, "__path__")] for package in (cv2, np)]
    homes.append(Path(__file__).absolute().parents[1])
    return [sys.executable, "-I", "-B", "-c", f"import sys; sys.path += {list(map(str, homes))!r}\n{code}"]
