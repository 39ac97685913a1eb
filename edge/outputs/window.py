"""The window: the annotated picture on a screen, its keys, and its button to close it."""

from __future__ import annotations

import contextlib

import numpy as np

from edge.cv import cv2

NO_KEY = 255
ESCAPE = 27
_NAME = "erv-edge"
_POLL_MS = 50


class Window:
    """Opened by the first picture; a context manager."""

    def __init__(self) -> None:
        self._seen = False

    def show(self, image_bgr: np.ndarray, *, wait: bool = False) -> int:
        """Show a picture.

        Args:
            image_bgr: `[H,W,3]` uint8.
            wait: for a key, or for the window to be closed.

        Returns:
            The key that was pressed, `NO_KEY`, or `ESCAPE` when people have closed the window.
        """
        cv2.imshow(_NAME, image_bgr)
        while True:
            key = int(cv2.waitKey(_POLL_MS if wait else 1)) & 0xFF
            if key == NO_KEY and self._is_closed():
                return ESCAPE
            if key != NO_KEY or not wait:
                return key

    def _is_closed(self) -> bool:
        """Whether the window was there and is not any more; some backends cannot tell, and say -1 from the beginning."""
        try:
            visible = cv2.getWindowProperty(_NAME, cv2.WND_PROP_VISIBLE) > 0
        except cv2.error:
            visible = False
        self._seen = self._seen or visible
        return self._seen and not visible

    def __enter__(self) -> Window:
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(cv2.error):
            cv2.destroyAllWindows()
