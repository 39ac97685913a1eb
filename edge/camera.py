"""Where frames come from: image files, a video file, a camera; each an iterator of `Frame`s that says clearly when it cannot be read."""

from __future__ import annotations

import importlib.util
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edge.cv import cv2
from edge.errors import InputError
from edge.picture import as_bgr, read_image


@dataclass(frozen=True, slots=True)
class Frame:
    """One picture of a source."""

    image_bgr: np.ndarray
    """`[H,W,3]` uint8."""
    source: str
    index: int
    """From 0."""
    t_ms: float
    """Time within the source, milliseconds."""


Source = int | str | Path | list[Path]
"""A camera number, a video file, or image files."""


def frames(source: Source) -> Iterator[Frame]:
    """Iterate over a source; it is opened at the first frame and closed when the iterator ends or is dropped.

    Raises:
        InputError: a file or camera that cannot be opened or read.
    """
    if isinstance(source, list):
        return _images(source)
    if isinstance(source, int):
        return _camera(source)
    return _video(Path(source))


def demo_picture() -> Path:
    """A real face to try: the public-domain portrait that scikit-image ships.

    Raises:
        InputError: scikit-image is not installed.
    """
    spec = importlib.util.find_spec("skimage")
    places = list(spec.submodule_search_locations or ()) if spec else []
    for place in places:
        path = Path(place) / "data" / "astronaut.png"
        if path.is_file():
            return path
    raise InputError("the demo picture comes with scikit-image: pip install 'erv-edge[demo]'")


def _images(paths: list[Path]) -> Iterator[Frame]:
    for index, path in enumerate(paths):
        yield Frame(read_image(path), str(path), index, 0.0)


def _video(path: Path) -> Iterator[Frame]:
    if not path.is_file():
        raise InputError(f"no video file at '{path}'")
    capture = cv2.VideoCapture(str(path))
    try:
        rate = capture.get(cv2.CAP_PROP_FPS) if capture.isOpened() else 0.0
        index = 0
        while True:
            good, image = capture.read()
            if not good:
                break
            t_ms = index * 1000 / rate if rate > 0 else capture.get(cv2.CAP_PROP_POS_MSEC)
            yield Frame(as_bgr(image), str(path), index, t_ms)
            index += 1
        if index == 0:
            raise InputError(f"'{path}' is not a video that OpenCV can decode")
        promised = int(capture.get(cv2.CAP_PROP_FRAME_COUNT))
        if index < 0.9 * promised:  # some containers only estimate their length
            raise InputError(f"'{path}' is truncated: {index} of {promised} frames could be decoded")
    finally:
        capture.release()


def _camera(number: int) -> Iterator[Frame]:
    if not 0 <= number < 1000:
        raise InputError(f"no camera {number}: cameras are numbered from 0")
    capture = cv2.VideoCapture(number)
    try:
        if not capture.isOpened():
            raise InputError(f"no camera {number}: check that it is plugged in, free, and that this user may open it")
        capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)
        started, index = time.perf_counter(), 0
        while True:
            good, image = capture.read()
            if not good:
                raise InputError(f"camera {number} stopped delivering frames after {index}")
            yield Frame(as_bgr(image), f"camera:{number}", index, (time.perf_counter() - started) * 1e3)
            index += 1
    finally:
        capture.release()
