"""Writing annotated pictures and videos whole or not at all: to a temporary name beside the target, renamed when complete."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from edge.cv import cv2
from edge.errors import UsageError

PICTURES = {".png", ".jpg", ".jpeg", ".bmp", ".webp"}
_GAP_S = 2.0
_CODECS = {".mp4": "mp4v", ".avi": "MJPG", ".mkv": "mp4v"}


def check_target(path: Path, *, video: bool) -> None:
    """Raise `UsageError` when `path` cannot be written: another suffix than the kind needs, or no such folder."""
    wanted = set(_CODECS) if video else PICTURES
    if path.suffix.lower() not in wanted:
        raise UsageError(f"--save '{path}': a {'video' if video else 'picture'} needs one of {', '.join(sorted(wanted))}")
    if not path.parent.is_dir():
        raise UsageError(f"--save '{path}': there is no folder '{path.parent}'")


def save_picture(path: Path, image_bgr: np.ndarray) -> None:
    """Write a picture whole.

    Raises:
        UsageError: it cannot be written there.
    """
    try:
        done, data = cv2.imencode(path.suffix.lower(), image_bgr)
    except cv2.error:
        done = False
    if not done:
        size = f"{image_bgr.shape[1]}×{image_bgr.shape[0]}"
        raise UsageError(f"cannot write '{path}': its format does not take {size} pixels; save a .png")
    temporary = path.with_name(f".{path.name}.part")
    try:
        temporary.write_bytes(data.tobytes())
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise UsageError(f"cannot write '{path}': {error.strerror}") from None


class VideoSink:
    """A video file that appears when it is complete, and not at all after an error; a context manager.

    Frames of another size are scaled to the first one's; frames with a time are repeated or left out, so that the file runs at the speed of
    what it shows.
    """

    def __init__(self, path: Path, fps: float) -> None:
        self.path, self.fps = path, fps
        self._temporary = path.with_name(f".{path.stem}.part{path.suffix}")
        self._writer: cv2.VideoWriter | None = None
        self._size = (0, 0)
        self._written, self._start_ms = 0, 0.0

    def write(self, image_bgr: np.ndarray, t_ms: float | None = None) -> None:
        """Append a frame, or show it from `t_ms` on; a gap of more than `_GAP_S` is cut short."""
        if self._writer is None:
            self._size = image_bgr.shape[1] // 2 * 2, image_bgr.shape[0] // 2 * 2
            codec = cv2.VideoWriter.fourcc(*_CODECS[self.path.suffix.lower()])
            self._writer = cv2.VideoWriter(str(self._temporary), codec, self.fps, self._size)
            if not self._writer.isOpened():
                raise UsageError(f"cannot write the video '{self.path}'")
        if (image_bgr.shape[1], image_bgr.shape[0]) != self._size:
            image_bgr = np.asarray(cv2.resize(image_bgr, self._size))
        for _ in range(self._copies(t_ms)):
            self._writer.write(image_bgr)
            self._written += 1

    def _copies(self, t_ms: float | None) -> int:
        """How often the frame is written so that the file has come to its time."""
        if t_ms is None:
            return 1
        if not self._written:
            self._start_ms = t_ms
        due = round((t_ms - self._start_ms) * self.fps / 1e3) + 1 - self._written
        cut = max(0, due - round(_GAP_S * self.fps))
        self._start_ms += cut / self.fps * 1e3
        return max(0, due - cut)

    def __enter__(self) -> VideoSink:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if self._writer is not None:
            self._writer.release()
        if not self._temporary.exists():
            return
        if kind is None or issubclass(kind, KeyboardInterrupt):  # stopped by hand: what there is, is whole
            self._temporary.replace(self.path)
        else:
            self._temporary.unlink()
