"""Pictures for people to look at."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from benchmarks.command import write_file
from edge.cv import cv2
from edge.errors import UsageError

TITLE_PX = 18


def titled(picture: np.ndarray, text: str) -> np.ndarray:
    """A grey or BGR picture below a line of text on white, `TITLE_PX` high."""
    framed = cv2.copyMakeBorder(picture, TITLE_PX, 0, 0, 0, cv2.BORDER_CONSTANT, value=(255, 255, 255))
    return np.asarray(cv2.putText(framed, text, (4, TITLE_PX - 5), cv2.FONT_HERSHEY_SIMPLEX, 0.4, (0, 0, 0), 1, cv2.LINE_AA))


def save(path: Path, picture: np.ndarray) -> None:
    """Write a picture by the suffix of its path, or `UsageError`."""
    try:
        data = cv2.imencode(path.suffix, picture)[1]
    except cv2.error:
        raise UsageError(f"cannot write '{path}': expected a name that ends in .png or .jpg") from None
    write_file(path, data.tobytes())
