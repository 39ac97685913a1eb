"""Annotated pictures and videos, written whole or not at all: an older file of the same name stays until the new one has been checked."""

from __future__ import annotations

import shutil
from contextlib import suppress
from pathlib import Path

import numpy as np

from edge.cv import cv2
from edge.errors import OutputError, UsageError
from edge.sources.names import open_video, spelled
from edge.stop import unstopped
from edge.whole import Part, write_whole

PICTURES = {".png", ".jpg", ".jpeg", ".bmp", ".webp"}
_GAP_S = 2.0
_CODECS = {".mp4": "mp4v", ".avi": "MJPG", ".mkv": "mp4v"}
_RESERVE = 1 << 20
"""Bytes that are left on the disk, so that a video can still be finished."""
_INDEX = 64
"""Bytes that a frame may take in a video's index, which is written last."""


def check_target(path: Path, *, video: bool) -> None:
    """Raise `UsageError` when `path` has another suffix than the kind needs."""
    wanted = set(_CODECS) if video else PICTURES
    if path.suffix.lower() not in wanted:
        raise UsageError(f"--save '{path}': a {'video' if video else 'picture'} needs one of {', '.join(sorted(wanted))}")


def encoded(image_bgr: np.ndarray, suffix: str) -> bytes:
    """A picture as a file of that kind; raises `ValueError` when the kind does not take so many pixels."""
    try:
        done, data = cv2.imencode(suffix, image_bgr)
    except cv2.error:
        done = False
    if not done:
        raise ValueError(f"{suffix} does not take {image_bgr.shape[1]}×{image_bgr.shape[0]} pixels")
    return data.tobytes()


def save_picture(path: Path, image_bgr: np.ndarray) -> None:
    """Write a picture whole.

    Raises:
        UsageError: its format does not take so many pixels.
        OutputError: it cannot be written there.
    """
    try:
        data = encoded(image_bgr, path.suffix.lower())
    except ValueError:
        size = f"{image_bgr.shape[1]}×{image_bgr.shape[0]}"
        raise UsageError(f"cannot write '{path}': its format does not take {size} pixels; save a .png") from None
    try:
        with unstopped():
            write_whole(path, data)
    except OSError as error:
        raise OutputError(f"cannot write '{path}': {error.strerror or error}") from None


class VideoSink:
    """A video file that gets its name when it is finished and found to be whole; a context manager.

    However the block ends, what was written until then is finished and kept: an error elsewhere is no reason to lose a recording. Until
    then the file lies beside its target as `NAME.<8 digits>.part.SUFFIX`; of a killed process (`kill -9`, a power cut) that is what is
    left, which can be played if it is an `.mkv` or `.avi`, but for the last moments, and never if it is an `.mp4`.

    Frames of another size are scaled to the first one's; frames with a time are repeated or left out, so that the file runs at the speed of
    what it shows.
    """

    def __init__(self, path: Path, fps: float) -> None:
        self.path, self.fps = path, fps
        self.frames = 0
        """Frames of the finished file; 0 before it has its name."""
        self._part: Part | None = None
        self._writer: cv2.VideoWriter | None = None
        self._size = (0, 0)
        self._written, self._start_ms = 0, 0.0

    def write(self, image_bgr: np.ndarray, t_ms: float | None = None) -> None:
        """Append a frame, or show it from `t_ms` on; a gap of more than `_GAP_S` is cut short.

        Raises:
            UsageError: this OpenCV cannot write such a video.
            OutputError: the disk is full.
        """
        with unstopped():  # what was written is counted
            self._open(image_bgr)
            assert self._writer
            if (image_bgr.shape[1], image_bgr.shape[0]) != self._size:
                image_bgr = np.asarray(cv2.resize(image_bgr, self._size))
            for _ in range(self._copies(t_ms)):
                self._check_room()
                self._writer.write(image_bgr)
                self._written += 1

    def close(self) -> None:
        """Finish the file, look whether it is whole, and give it its name; once or more often.

        Raises:
            OutputError: it is not whole; an older file of that name is untouched.
        """
        with unstopped():
            if self._writer is not None:
                self._writer.release()
                self._writer = None
            part, self._part = self._part, None
            if part is None:
                return
            if not self._written:
                part.discard()
                return
            readable, trouble = check_video(part.path, self._written, self.fps)
            if not trouble:
                try:
                    part.publish()
                except OSError as error:
                    trouble = error.strerror or str(error)
                else:
                    self.frames = self._written
                    return
            self._refuse(part, readable, trouble)

    def _refuse(self, part: Part, readable: int, trouble: str) -> None:
        """Keep what can be read of an unfinished file under the name that it has, and say so."""
        older = ", and the older file of that name is untouched" if self.path.exists() else ""
        left = f"; what can be read of it is kept as '{part.path}'" if readable else ""
        part.abandon() if readable else part.discard()
        raise OutputError(f"'{self.path}' could not be written whole ({trouble}): is the disk full?{older}{left}")

    def _open(self, image_bgr: np.ndarray) -> None:
        if self._part is None:
            try:
                self._part = Part(self.path, hidden=False)
            except OSError as error:
                raise UsageError(f"cannot write the video '{self.path}': {error.strerror or error}") from None
        if self._writer is None:
            self._size = image_bgr.shape[1] // 2 * 2, image_bgr.shape[0] // 2 * 2
            codec = cv2.VideoWriter.fourcc(*_CODECS[self.path.suffix.lower()])
            with spelled(self._part.path) as name:
                self._writer = cv2.VideoWriter(name, codec, self.fps, self._size)
            if not self._writer.isOpened():
                raise UsageError(f"cannot write the video '{self.path}' with this OpenCV: try another suffix, of {', '.join(_CODECS)}")

    def _check_room(self) -> None:
        """End while there is room to finish; OpenCV's writer would go on without a word, and leave a file that cannot be played."""
        assert self._part
        needed = _RESERVE + 3 * self._size[0] * self._size[1] + _INDEX * self._written
        if room(self._part.path) < needed:
            kept = "what was recorded until then is kept" if self._written else "nothing is recorded"
            raise OutputError(f"no room for the video '{self.path}': {kept}; {needed / 1e6:.1f} MB must be free")

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

    def __exit__(self, *_: object) -> None:
        self.close()


def check_video(path: Path, frames: int, fps: float) -> tuple[int, str]:
    """Open a finished video and look whether all of it is there; return the frames found, and what is wrong, "" for nothing.

    The container must promise the frames that were written, hold a packet for each, and give the last one its time; the first is decoded.
    So a long recording is checked as fast as the disk reads. What follows a failed write is never written, the index last of all.
    """
    capture = open_video(path)
    try:
        if not capture.isOpened():
            return 0, "it cannot be opened"
        promised = capture.get(cv2.CAP_PROP_FRAME_COUNT)
        decoded = capture.read()[0]
    finally:
        capture.release()
    found, last_ms = _packets(path)
    if found != frames:
        return found, f"{found} of {frames} frames are there"
    if abs(promised - frames) > 1:  # Matroska promises a duration, which is rounded
        return found, "it was not finished"
    if abs(last_ms - (frames - 1) / fps * 1e3) > 0.01 * frames / fps * 1e3 + 1e3 / fps:
        return found, f"its last frame is at {last_ms / 1e3:.1f} s instead of {(frames - 1) / fps:.1f} s"
    return found, "" if decoded else "its first frame cannot be decoded"


def _packets(path: Path) -> tuple[int, float]:
    """How many frames a video holds, counted without decoding where this OpenCV can, and the time of the last, milliseconds."""
    capture = open_video(path)
    capture.set(cv2.CAP_PROP_FORMAT, -1)
    found, last_ms = 0, 0.0
    while capture.grab():
        found += 1
        last_ms = max(last_ms, float(capture.get(cv2.CAP_PROP_POS_MSEC)))
    capture.release()
    return found, last_ms


def room(path: Path) -> float:
    """Bytes that a file may still grow, as far as its disk and this process's limit tell."""
    free = float("inf")
    with suppress(OSError):
        free = shutil.disk_usage(path.parent).free
    with suppress(ImportError, OSError):
        import resource

        limit = resource.getrlimit(resource.RLIMIT_FSIZE)[0]
        if limit != resource.RLIM_INFINITY:
            free = min(free, limit - path.stat().st_size)
    return free
