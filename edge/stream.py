"""A stream: frames in, readings out, with what only time can tell: identities, a steady label, explanations when they are due.

A recording is read frame by frame with its explanations in line. A live source (or a recording in real time) always gives its newest frame,
and explanations come from a worker beside the fast path.
"""

from __future__ import annotations

import itertools
import math
import time
import weakref
from collections import deque
from collections.abc import Generator, Iterator
from contextlib import nullcontext, suppress
from dataclasses import replace
from types import TracebackType
from typing import TYPE_CHECKING

from edge.baseline import Baseline
from edge.camera import Frame, Source, find_feed, pictures, recorded
from edge.capture import NewestFrame
from edge.errors import UsageError
from edge.look import Seen
from edge.person import Person
from edge.schedule import Due, Outcome, Task, Worker
from edge.track import FORGET_MS, Tracker
from edge.types import Face, Reading, StreamStatus

if TYPE_CHECKING:
    from edge.pipeline import Pipeline


class Stream(Iterator[Reading]):
    """An iterator of readings and a context manager; made by `Pipeline.stream`.

    `status`, `explain` and `close` may be called from any thread.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        source: Source,
        *,
        explain: str | float,
        realtime: bool,
        patience_s: float,
        baseline: Baseline | None,
        calibrate_s: float,
    ) -> None:
        if not 0 <= calibrate_s < math.inf:
            raise UsageError(f"calibrate_s must be 0 or more seconds, got {calibrate_s!r}")
        self.frame: Frame | None = None
        """The frame of the newest reading."""
        self._pipeline, self._config = pipeline, pipeline.bundle.config
        self._due, self._tracker = Due(explain), Tracker()
        self._people: dict[int, Person] = {}
        self._baseline, self._calibrate_s = baseline, calibrate_s
        self._calibrated: Baseline | None = None
        self._live: NewestFrame | None = None
        self._worker: Worker | None = None
        self._frames: Generator[Frame] = pictures([])
        self._pictures = isinstance(source, list)
        if isinstance(source, list):
            if realtime:
                raise UsageError("pictures have no time of their own: realtime is for a video file")
            self._frames = pictures(source)
        elif isinstance(source, Iterator):
            if realtime:
                raise UsageError("frames that are handed in have their own time: realtime is for a video file")
            self._frames = (frame for frame in source)
        else:
            feed = find_feed(source)
            if feed.live or realtime:
                self._live, self._worker = NewestFrame(feed, patience_s=patience_s), Worker(pipeline.explainer)
            else:
                self._frames = recorded(feed)
        self._started, self._closed, self._count, self._message = False, False, 0, ""
        self._delivered: deque[float] = deque(maxlen=30)
        self._release = weakref.finalize(self, _release, self._live, self._worker)

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
            frame = self._next_frame()
            if frame is not None:
                return self._read(frame)
        except BaseException as error:  # Ctrl-C too: no thread outlives it
            self._message = str(error)
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
        return StreamStatus(state, fps, self._count, live.dropped, live.age_ms, live.reconnects, self._message or live.message)

    def explain(self, track: int | None = None) -> None:
        """Ask for an explanation of one face, or of all that the next frame shows; it comes with one of the next readings."""
        self._due.ask(track)

    def baseline(self) -> Baseline | None:
        """The neutral face that was measured here, the one from most frames where there are several; `None` before there is one."""
        found = [self._calibrated, *(person.calibrated for person in list(self._people.values()))]
        return max(filter(None, found), key=lambda baseline: baseline.frames, default=None)

    def close(self) -> None:
        """End the threads and release the source; once or more often."""
        self._closed = True
        self._release()
        with suppress(ValueError):  # it is just being read in another thread, which sees that the stream is closed
            self._frames.close()

    def __enter__(self) -> Stream:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def _next_frame(self) -> Frame | None:
        if self._live is None:
            return next(self._frames, None)
        if not self._started:
            self._started = True
            self._live.start()
        return self._live.next()

    def _read(self, frame: Frame) -> Reading:
        self._started = True
        with self._worker.fast_path() if self._worker else nullcontext():
            seen = self._pipeline.look(frame, None if self._pictures else self._tracker)
            faces = list(seen.reading.faces) if self._pictures else self._recognise(seen, frame.t_ms)
        if self._pictures:
            reading = self._pipeline.explain(seen) if self._due.explain not in ("off", "request") else seen.reading
        else:
            reading = self._explain(replace(seen.reading, faces=tuple(faces)))
        self.frame = frame
        self._count += 1
        self._delivered.append(time.monotonic())
        return reading

    def _recognise(self, seen: Seen, t_ms: float) -> list[Face]:
        """The faces of a frame as their people's memories show them."""
        faces = []
        for i, face in enumerate(seen.reading.faces):
            person = self._people.get(face.track)
            if person is None:
                person = Person(self._config, baseline=self._baseline, calibrate_s=self._calibrate_s)
                self._people[face.track] = person
            faces.append(person.see(face, seen.crops[i], seen.sides_px[i], seen.tokens[i], t_ms))
        gone = [track for track, person in self._people.items() if t_ms - person.seen_ms > FORGET_MS]
        if gone:
            self._calibrated = self.baseline()
        for track in gone:
            del self._people[track]
        return faces

    def _explain(self, reading: Reading) -> Reading:
        """Attach what has been explained, see to what is due."""
        started = time.perf_counter()
        self._due.look([face.track for face in reading.faces], self._people)
        if self._worker:
            self._worker.keep({track: person.spell for track, person in self._people.items()})
            outcomes = self._worker.collect()
            for task in self._tasks(reading):
                self._worker.submit(task)
        else:
            outcomes = self._in_line(self._tasks(reading))
        spent = dict(reading.latency_ms)
        for outcome in outcomes:
            person = self._people.get(outcome.task.track)
            if person and person.attach(outcome):
                self._due.settled(outcome)
                for stage, value in outcome.spent_ms.items():
                    spent[stage] += value
        spent["total"] += (time.perf_counter() - started) * 1e3
        return replace(reading, faces=tuple(self._people[face.track].explained(face) for face in reading.faces), latency_ms=spent)

    def _tasks(self, reading: Reading) -> list[Task]:
        tasks = []
        for face in reading.faces:
            person = self._people[face.track]
            if not face.unclear and self._due(face.track, person.spell, reading.t_ms):
                task = person.task(face, reading.t_ms)
                if task:
                    self._due.tried(task)
                    tasks.append(task)
        return tasks

    def _in_line(self, tasks: list[Task]) -> list[Outcome]:
        """Explain now; faces with as many frames are decoded together."""
        outcomes = []
        tasks.sort(key=lambda task: len(task.subject.tokens))
        for _, group in itertools.groupby(tasks, key=lambda task: len(task.subject.tokens)):
            batch = list(group)
            explanations = self._pipeline.explainer([task.subject for task in batch])
            spent = {stage: value / len(batch) for stage, value in self._pipeline.explainer.spent_ms.items()}
            outcomes += [Outcome(task, one, spent) for task, one in zip(batch, explanations, strict=True)]
        return outcomes


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
