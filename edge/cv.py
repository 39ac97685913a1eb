"""OpenCV, or one sentence that says how to get it. Every module takes `cv2` from here."""

from __future__ import annotations

from edge.errors import BackendError

try:
    import cv2
except ImportError:
    raise BackendError("OpenCV is not installed: pip install 'erv-edge[cpu]' or 'erv-edge[gpu]'") from None

__all__ = ["cv2"]
