"""A live source: captured in a thread of its own, which keeps only the newest frame and wins a lost source back.

However slow the reader is, it gets a frame that has just been captured; the ones it missed are counted, not queued.
"""

from __future__ import annotations

import logging
import math
import threading
import time

from edge.errors import EdgeError, InputError
from edge.plain import plain
from edge.sources.camera import Capture, Feed, Frame, opened
from edge.sources.clock import Clock
from edge.sources.picture import as_bgr
from edge.sources.recording import Recording

log = logging.getLogger(__name__)

FRESH = 2.0
"""Frame times after which a frame is no longer new."""
SILENT_S = 2.0
"""A source that has delivered nothing for so long counts as lost, whatever its driver says."""
_FIRST_WAIT_S, _LONGEST_WAIT_S = 0.25, 4.0
_STEADY_S = 5.0  # a source that breaks off sooner is opened again with the growing waits of one that is lost
_SHORTEST_S, _LONGEST_S = 1 / 120, 1.0  # frame times that are believed
_LONGEST_GAP_S = 5.0  # between two frames of a recording that is played in real time
_POLL_S = 0.1  # waits are cut into pieces, so that Ctrl-C is answered on every platform
_JOIN_S = 6.0  # longer than a network read may hang


class NewestFrame:
    """Hands over the newest frame of a feed."""

    def __init__(self, feed: Feed, *, patience_s: float = math.inf) -> None:
        """Nothing is opened before `start`.

        Args:
            feed: what to open; a recording is played at its own speed and ends.
            patience_s: how long a lost source is tried again; one that was never there is not waited for.
        """
        self.feed, self.patience_s = feed, patience_s
        self.dropped, self.reconnects, self.message = 0, 0, ""
        self._changed = threading.Condition()
        self._stop = threading.Event()
        self._frame: Frame | None = None
        self._error: Exception | None = None
        self._state = "opening"
        self._wait_s = 0.0
        self._index, self._first_s, self._last_s, self._interval_s = 0, 0.0, 0.0, 0.0
        self._thread = threading.Thread(target=self._run, name=f"capture {feed.name}", daemon=True)

    def start(self) -> None:
        """Open the feed and begin to capture; once."""
        self._thread.start()

    @property
    def state(self) -> str:
        """`opening`, `live`, `reconnecting` or `ended`."""
        silent = self._state == "live" and self.age_ms > 1000 * SILENT_S
        return "reconnecting" if silent else self._state

    @property
    def age_ms(self) -> float:
        """Time since the newest frame was captured; 0 before the first."""
        return (time.monotonic() - self._last_s) * 1e3 if self._last_s else 0.0

    @property
    def waiting(self) -> bool:
        """Whether a frame waits to be taken."""
        return self._frame is not None

    @property
    def limit_s(self) -> float:
        """A frame older than this, `FRESH` frame times, is no longer new."""
        return FRESH * (self._interval_s or _LONGEST_S)

    def next(self) -> Frame | None:
        """Wait for a frame that is not older than `limit_s`; `None` at the end.

        Raises:
            InputError: the source cannot be opened, or is lost and was not found again in time.
        """
        with self._changed:
            while True:
                frame, self._frame = self._frame, None
                if frame is not None and time.monotonic() - frame.captured_s <= self.limit_s:
                    return frame
                if frame is not None:
                    self.dropped += 1
                if self._state == "ended":
                    error, self._error = self._error, None
                    if error is not None:
                        raise error
                    return None
                self._changed.wait(_POLL_S)

    def close(self) -> None:
        """End the thread and release the source."""
        self._stop.set()
        with self._changed:
            self._frame, self._error = None, None
            self._changed.notify_all()
        if self._thread.is_alive() and self._thread is not threading.current_thread():
            self._thread.join(_JOIN_S)
            if self._thread.is_alive():
                log.warning("%s does not answer; its thread ends when its driver returns", self.feed.name)
        self._state = "ended"

    def _run(self) -> None:
        try:
            while not self._stop.is_set() and self._connect():
                pass
        except Exception as error:  # of the caller's own capture, too: it is raised where the frames are asked for
            self.message = plain(str(error)) or type(error).__name__
            self._error = None if self._stop.is_set() else error
        finally:
            with self._changed:
                self._state = "ended"
                self._changed.notify_all()

    def _connect(self) -> bool:
        """Open the feed, capture until it breaks off; False when that was its end."""
        capture = self._open()
        if capture is None:
            return False
        try:
            return self._follow(capture)
        finally:
            capture.release()

    def _open(self) -> Capture | None:
        lost_s = time.monotonic()
        while not self._stop.wait(min(self._wait_s, self.patience_s)):
            capture = self._try_to_open()
            self._wait_s = min(max(2 * self._wait_s, _FIRST_WAIT_S), _LONGEST_WAIT_S)
            if capture is not None:
                if self._index:
                    self.reconnects += 1
                    log.warning("%s is back after %.1f s", self.feed.name, time.monotonic() - lost_s)
                return capture
            if not self._index:
                raise InputError(f"{self.feed.trouble}{f' ({self.message})' if self.message else ''}")
            if time.monotonic() - lost_s + self._wait_s > self.patience_s:
                raise InputError(f"{self.feed.name} was lost and did not come back within {self.patience_s:g} s")
        return None

    def _try_to_open(self) -> Capture | None:
        """An opened capture with its first frame grabbed, or nothing."""
        try:
            capture = opened(self.feed)
        except (OSError, EdgeError) as error:
            self.message = plain(str(error))
            return None
        if capture.isOpened() and capture.grab():
            return capture
        capture.release()
        return None

    def _follow(self, capture: Capture) -> bool:
        """Capture from the grabbed frame on; True when the source shall be opened again."""
        recording = capture if isinstance(capture, Recording) else None
        clock = Clock(recording) if recording and (recording.length or recording.path) else None
        count, began_s, opened_s = 0, time.monotonic(), time.monotonic()
        while not self._stop.is_set():
            captured_s = time.monotonic()
            t_ms = clock() if clock else None
            good, image = capture.retrieve()
            if not good or image is None:
                break
            if t_ms is None:
                t_ms = self._since_first_ms(captured_s)
            else:
                # decoded too late: it plays on from here; a gap, or a header that promises a frame in minutes, is cut short
                began_s = min(max(began_s, captured_s - t_ms / 1e3), captured_s - t_ms / 1e3 + _LONGEST_GAP_S)
                captured_s = began_s + t_ms / 1e3
                if self._stop.wait(max(0.0, captured_s - time.monotonic())):
                    return False
            self._publish(Frame(as_bgr(image), self.feed.name, self._index, t_ms, captured_s))
            count += 1
            if not capture.grab():
                break
        if not self._stop.is_set() and (clock or (recording and self.feed.ends())):
            assert recording is not None
            recording.check_whole(count)
            return False
        if self._last_s - opened_s >= _STEADY_S:
            self._wait_s = 0.0
        self._lose()
        return not self._stop.is_set()

    def _since_first_ms(self, captured_s: float) -> float:
        self._first_s = self._first_s or captured_s
        return round((captured_s - self._first_s) * 1e3, 3)

    def _publish(self, frame: Frame) -> None:
        with self._changed:
            if self._state == "live":
                passed_s = min(max(frame.captured_s - self._last_s, _SHORTEST_S), _LONGEST_S)
                self._interval_s = self._interval_s + 0.1 * (passed_s - self._interval_s) if self._interval_s else passed_s
            self.dropped += self._frame is not None
            self._frame, self._state, self._last_s = frame, "live", frame.captured_s
            self._index += 1
            self._changed.notify_all()

    def _lose(self) -> None:
        if self._stop.is_set():
            return
        self.message = f"{self.feed.name} stopped delivering frames after {self._index}"
        log.warning("%s; trying to get it back", self.message)
        with self._changed:
            self._state = "reconnecting"
