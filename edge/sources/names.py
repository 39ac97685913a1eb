"""Names as OpenCV and FFmpeg take them, where a file system takes any bytes.

The one ends the process at a name that is not UTF-8; the other takes what stands before a colon for a protocol, unless a slash comes first.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from edge.cv import cv2


def is_text(name: str) -> bool:
    """Whether a name, as Python gives it, is UTF-8."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


@contextmanager
def spelled(path: Path | str) -> Iterator[str]:
    """A whole name of the file, there or yet to be made, that is UTF-8: its own, or for as long as the block lasts a link's."""
    path = Path(path).absolute()
    if is_text(str(path)):
        yield str(path)
        return
    suffix = path.suffix
    with tempfile.TemporaryDirectory(prefix="erv-edge-") as folder:
        link = Path(folder) / f"file{suffix if is_text(suffix) else ''}"
        link.symlink_to(path)
        yield str(link)


def open_video(path: Path | str, *options: int) -> cv2.VideoCapture:
    """A file or a device, opened by OpenCV."""
    with spelled(path) as name:
        return cv2.VideoCapture(name, *options)
