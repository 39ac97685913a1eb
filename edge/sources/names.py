"""Names as OpenCV takes them: it ends the process at one that is not UTF-8, and a file system takes any bytes."""

from __future__ import annotations

import os
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
    """A name of the file, there or yet to be made, that is UTF-8: its own, or for as long as the block lasts a link's."""
    if is_text(str(path)):
        yield str(path)
        return
    suffix = Path(path).suffix
    with tempfile.TemporaryDirectory(prefix="erv-edge-") as folder:
        link = Path(folder) / f"file{suffix if is_text(suffix) else ''}"
        link.symlink_to(os.path.abspath(path))
        yield str(link)


def open_video(path: Path | str, *options: int) -> cv2.VideoCapture:
    """A file or a device, opened by OpenCV."""
    with spelled(path) as name:
        return cv2.VideoCapture(name, *options)
