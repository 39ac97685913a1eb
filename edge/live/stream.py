"""A stream: a source whose frames are read as one scene, and how it is doing.

A recording is read frame by frame with its explanations in line. A live source (or a recording in real time) always gives its newest frame,
and explanations come from a worker beside the fast path. When the machine stumbles, the reading that was held up gives way to a new one.
"""

from __future__ import annotations

import math
import time
import weakref
from collections import deque
from collections.abc import Generator, Iterator
from contextlib import suppress
from types import TracebackType

import numpy as np

from edge.errors import UsageError
from edge.live.baseline import Baseline
from edge.live.scene import FrameReader, Scene
from edge.live.schedule import Worker
from edge.plain import plain
from edge.sources.camera import Frame, Source, as_frame, find_feed, pictures, recorded
from edge.sources.capture import NewestFrame
from edge.types import Reading, StreamStatus


class Stream(Iterator[Reading]):
    """An iterator of readings and a context manager; made by `Pipeline.stream`.

    `status`, `explain` and `close` may be called from any thread.
    """

    def __init__(
        self,
        pipeline: FrameReader,
        source: Source,
        *,
        explain: str | float,
        realtime: bool,
        patience_s: float,
        baseline: Baseline | None,
        calibrate_s: float,
    ) -> None:
        if not isinstance(patience_s, int | float | np.number) or not patience_s >= 0:
            raise UsageError(f"patience_s must be 0 or more seconds, got {patience_s!r}")
        self.frame: Frame | None = None
        """The frame of the newest reading."""
        self._live: NewestFrame | None = None
        self._frames: Generator[Frame | None] = pictures([])
        self._pictures = isinstance(source, list | tuple)
        if isinstance(source, list | tuple):
            if realtime:
                raise UsageError("pictures have no time of their own: realtime is for a video file")
            self._frames = pictures(source)
        elif isinstance(source, Iterator):
            if realtime:
                raise UsageError("frames that are handed in have their own time: realtime is for a video file")
            self._frames = (None if frame is None else as_frame(frame) for frame in source)
        else:
            feed = find_feed(source)
            if feed.live or realtime:
                self._live = NewestFrame(feed, patience_s=patience_s)
            else:
                self._frames = recorded(feed)
        self._scene = Scene(pipeline, explain=explain, beside=self._live is not None, baseline=baseline, calibrate_s=calibrate_s)
        self._started, self._closed, self._count, self._message = False, False, 0, ""
        self._delivered: deque[float] = deque(maxlen=30)
        self._ages_s: deque[float] = deque(maxlen=30)
        self.held_up = 0
        """Readings that gave way to a newer frame; `status.dropped` counts them too."""
        weakref.finalize(self, _release, self._live, self._scene.worker)  # a stream that is dropped leaves no thread

    def __next__(self) -> Reading:
        """Wait for the next frame and read it.

        Raises:
            StopIteration: the source has ended, or the stream is closed.
            InputError: the source cannot be opened or read, or was lost for good.
        """
        if self._closed:
            self.close()  # again, now that nothing is being read: another thread may have been first
            raise StopIteration
        try:
            while (frame := self._next_frame()) is not None:
                reading = self._read(frame)
                if not self._is_held_up(frame):
                    return self._deliver(frame, reading)
        except BaseException as error:  # Ctrl-C too: no thread outlives it
            self._message = plain(str(error))
            self.close()
            raise
        self.close()
        raise StopIteration

    @property
    def status(self) -> StreamStatus:
        """How the stream is doing."""
        live, times, state = self._live, self._delivered, "live" if self._started else "opening"
        span_s = times[-1] - times[0] if len(times) > 1 else 0.0
        fps = (len(times) - 1) / span_s if span_s > 0 else 0.0
        if live is None:
            return StreamStatus("ended" if self._closed else state, fps, self._count, 0, 0.0, 0, self._message)
        state = "ended" if self._closed else live.state
        if times and time.monotonic() - times[-1] > max(2.0, 3 * span_s):
            fps = 0.0
        dropped, message = live.dropped + self.held_up, self._message or live.message
        return StreamStatus(state, fps, self._count, dropped, live.age_ms, live.reconnects, message)

    def explain(self, track: int | None = None) -> None:
        """Ask for an explanation of one face, or of all that the next frame shows; it comes with one of the next readings."""
        if not self._closed:  # nobody would answer it, and it would be remembered for ever
            self._scene.explain(track)

    def counterfactual(self, track: int | None = None) -> None:
        """Ask what becomes of a face's answer without each thing that its explanation states: `Face.counterfactual` of a later reading.

        Raises:
            UsageError: the bundle cannot tell.
        """
        if not self._closed:
            self._scene.counterfactual(track)

    def baseline(self) -> Baseline | None:
        """The neutral face that was measured here, the one from most frames where there are several; `None` before there is one."""
        return self._scene.baseline()

    def close(self) -> None:
        """End the threads and release the source; once or more often."""
        self._closed = True
        _release(self._live, self._scene.worker)
        with suppress(ValueError):  # it is just being read in another thread, which sees that the stream is closed
            self._frames.close()

    def __enter__(self) -> Stream:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def _next_frame(self) -> Frame | None:
        if self._live is None:
            given = (frame for frame in self._frames if frame is not None or self._closed)
            return next(given, None)
        if not self._started:
            self._started = True
            self._live.start()
        return self._live.next()

    def _read(self, frame: Frame) -> Reading:
        self._started = True
        return self._scene.read_picture(frame) if self._pictures else self._scene.read(frame)

    def _is_held_up(self, frame: Frame) -> bool:
        """Whether a frame has become old while it was read, twice as old as any of the thirty before, and a newer one waits.

        Where readings are slow as a rule, none is held up.
        """
        if self._live is None:
            return False
        age_s, usual_s = time.monotonic() - frame.captured_s, max(self._ages_s, default=math.inf)
        self._ages_s.append(age_s)
        held_up = self._live.waiting and age_s > max(self._live.limit_s, 2 * usual_s)
        self.held_up += held_up
        return held_up

    def _deliver(self, frame: Frame, reading: Reading) -> Reading:
        self.frame = frame
        self._count += 1
        self._delivered.append(time.monotonic())
        return reading


def watch(stream: Stream) -> Iterator[tuple[Frame, Reading]]:
    """The stream's readings with their frames; closes it at the end."""
    with stream:
        for reading in stream:
            assert stream.frame is not None
            yield stream.frame, reading


def _release(live: NewestFrame | None, worker: Worker | None) -> None:
    if live:
        live.close()
    if worker:
        worker.close()
