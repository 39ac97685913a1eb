"""OpenCV, or one sentence that says how to get it. Every module takes `cv2` from here."""

from __future__ import annotations

from typing import TYPE_CHECKING

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

__all__ = ["cv2"]
