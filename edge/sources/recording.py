"""A video file or a network stream, opened: a frame is believed when it was decoded, not because a call returned True.

Where FFmpeg refuses to make a picture of a frame, as in OpenCV 4.13 to 5.0 of an interlaced one, `retrieve` still returns True, with the
picture before or with memory that was never filled. Such a frame equals the one before; then the decoder is asked, and PyAV takes over
where it is installed.
"""

from __future__ import annotations

import logging
from collections import deque

import numpy as np

from edge.cv import cv2
from edge.errors import BackendError, InputError
from edge.sources.complaints import of_ending, of_frames, of_opening
from edge.sources.decoder import CvDecoder, Decoder, check_capture
from edge.sources.deinterlace import AvDecoder

log = logging.getLogger(__name__)

WHOLE = 0.98
"""A file that gave fewer of its promised frames is asked about; many containers only estimate how many they have."""
_STILL = 50  # so many first frames of a network stream that are all the same are worth a word
_AGAIN = 8  # a still that was asked about at frame 2 is asked about again at 16, 128, 1024 …
_SAMPLE = 8  # every so many pixels of a row and rows of a picture are compared


class Recording:
    """An opened recording; an `edge.sources.camera.Capture` that knows its frames' times."""

    def __init__(self, capture: cv2.VideoCapture, name: str, path: str = "") -> None:
        """Take an opened capture over.

        Args:
            capture: of OpenCV's.
            name: as readings call it.
            path: of the file; empty for a network stream, which cannot be read twice.

        Raises:
            InputError: its frames are larger than is read, or OpenCV cannot make pictures of them.
        """
        check_capture(capture, name)
        self.name, self.path = name, path
        self._opened = capture.isOpened()
        self._decoder: Decoder = CvDecoder(capture)
        self.length, self.rate = self._decoder.length, self._decoder.rate
        self.count = 0
        """Frames grabbed so far."""
        self.position_ms = 0.0
        """The grabbed frame's own time."""
        self._ahead: deque[tuple[np.ndarray | None, float]] = deque()
        self._image: np.ndarray | None = None
        self._before: np.ndarray | None = None
        self._alike, self._asked, self._trusted = 0, 0, False
        if self._opened and path:
            self._look_ahead()

    def isOpened(self) -> bool:  # noqa: N802 (OpenCV's name)
        """Whether it can deliver."""
        return self._opened

    def grab(self) -> bool:
        """Decode the next frame; False when there is none any more."""
        if self._ahead:
            self._image, self.position_ms = self._ahead.popleft()
        elif self._decoder.grab():
            self._image, self.position_ms = None, self._decoder.position_ms()
        else:
            return False
        self.count += 1
        return True

    def retrieve(self) -> tuple[bool, np.ndarray | None]:
        """The grabbed frame `[H,W,3]` BGR, upright and with square pixels.

        Raises:
            InputError: OpenCV cannot make a picture of it.
        """
        if self._image is None:
            self._image = self._checked(self._decoder.retrieve())
        return self._image is not None, self._image

    def release(self) -> None:
        """Close it."""
        self._decoder.release()

    def check_whole(self, count: int) -> None:
        """Say so when it broke off, now that it has ended.

        Args:
            count: frames that were read.

        Raises:
            InputError: it gave no frame, or fewer than promised and its decoder complains of the ending.
        """
        if count == 0:
            said = of_opening(self.path) if self.path else []
            raise InputError(f"'{self.name}' is not a video that OpenCV can decode{_reason(said)}")
        if count >= WHOLE * self.length:
            return
        told = f"{count} of {self.length} frames could be decoded"
        if not self.path:
            log.warning("'%s' has ended: %s, as far as its header can tell", self.name, told)
            return
        said = of_ending(self.path, self.position_ms)
        if said:
            raise InputError(f"'{self.name}' is truncated: {told}{_reason(said)}")
        if said is None:
            log.warning("'%s' has ended: %s, and whether it breaks off could not be found out", self.name, told)
        else:  # an edit list hides some, the rate varies, the sound is longer
            log.info("'%s' is read to its end: %s; its header only estimates", self.name, told)

    def _look_ahead(self) -> None:
        """Read two frames before the first is handed out: alone, it cannot be compared with anything."""
        while len(self._ahead) < 2 and self._decoder.grab():
            self._ahead.append((self._decoder.retrieve(), self._decoder.position_ms()))
        if len(self._ahead) == 1:  # it has no more: its memory goes before a helper takes as much
            self._decoder.release()
        alike = [image for image, _ in self._ahead if image is not None and not self._is_new(image)]
        if (alike or len(self._ahead) == 1) and self._hand_over(len(self._ahead)):
            self._ahead.clear()

    def _checked(self, image: np.ndarray | None) -> np.ndarray | None:
        """The newest frame's picture, or the one that another decoder makes of it."""
        if image is None or self._trusted or self._is_new(image):
            return image
        if not self.path:
            if self._alike == _STILL == self.count:
                log.warning("'%s' shows the same picture all the time: OpenCV %s may be unable to convert it", self.name, cv2.__version__)
            return image
        if self.count < _AGAIN * self._asked or not self._hand_over(self.count):
            return image
        got = [self._decoder.grab() for _ in range(self.count)]
        return self._decoder.retrieve() if all(got) else None

    def _is_new(self, image: np.ndarray) -> bool:
        """Whether a picture differs from the one before."""
        before, self._before = self._before, image[::_SAMPLE, ::_SAMPLE].copy()
        new = before is None or before.shape != self._before.shape or not np.array_equal(before, self._before)
        self._alike = 1 if new else self._alike + 1
        return new

    def _hand_over(self, number: int) -> bool:
        """Ask the decoder about a frame, counted from 1; when it could make no picture of it, let another decoder begin anew."""
        self._asked = number
        told = of_frames(self.path, max(1, number - 1), number)
        if told is None:
            log.warning("'%s': frame %d is like the one before, and whether it was decoded could not be found out", self.name, number)
        said = [line for line in told or () if line.startswith("swscaler: ")]
        if not said:
            return False
        try:
            other = AvDecoder(self.path)
        except BackendError as missing:
            raise InputError(
                f"OpenCV {cv2.__version__} can make no pictures of '{self.name}'{_reason(said)}; for interlaced video {missing}; "
                f"or convert it: ffmpeg -i IN -vf yadif OUT.mp4"
            ) from None
        log.info("'%s' is interlaced: PyAV reads it", self.name)
        self._decoder.release()
        self._decoder, self._trusted = other, True
        return True


def _reason(said: list[str] | None) -> str:
    return f" ({said[0]})" if said else ""
