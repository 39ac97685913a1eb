"""A scene: frames in, readings out, with what only time can tell: identities, a steady label, explanations when due.

`Stream` feeds one from a source; hand frames to one yourself where they come from elsewhere.
"""

from __future__ import annotations

import itertools
import math
import time
from contextlib import nullcontext
from dataclasses import replace
from types import TracebackType
from typing import Protocol

import numpy as np

from edge.bundle import MOVES, BundleConfig
from edge.errors import InputError, UsageError
from edge.language.explain import Explainer
from edge.live.baseline import Baseline
from edge.live.person import Person
from edge.live.schedule import Asked, Due, Outcome, Task, Worker
from edge.live.times import Times
from edge.sources.camera import Frame, as_frame
from edge.sources.picture import kind_of
from edge.types import Counterfactual, Face, Reading
from edge.vision.again import PEOPLE
from edge.vision.look import Seen
from edge.vision.screen import SURE
from edge.vision.track import FORGET_MS, Tracker


class FrameReader(Protocol):
    """What a scene needs of the line that reads its frames: `Pipeline` is one."""

    @property
    def config(self) -> BundleConfig:
        """The bundle's."""

    @property
    def remember(self) -> bool:
        """Whether people who come back are told by what they looked like."""

    @property
    def explainer(self) -> Explainer:
        """The slow path, for faces of which several frames are remembered."""

    def look(self, frame: Frame, tracker: Tracker | None = None) -> Seen:
        """The fast path."""

    def explain(self, seen: Seen) -> Reading:
        """The slow path, for every face of one frame."""

    def counterfactual(self, image_bgr: np.ndarray, face: Face) -> Counterfactual:
        """What became of a face's answer without each thing that its explanation states."""


class Scene:
    """Remembers the faces of one scene.

        with Scene(pipeline) as scene:
            reading = scene.read(Frame(image_bgr, "browser", 0, t_ms=0.0))

    `read` from one thread at a time; `explain` from any.
    """

    def __init__(
        self,
        pipeline: FrameReader,
        *,
        explain: str | float = "every",
        beside: bool = False,
        baseline: Baseline | None = None,
        calibrate_s: float = 0.0,
        at_once: int | None = None,
    ) -> None:
        """Begin with an empty memory.

        Args:
            pipeline: reads the frames, a `Pipeline` as a rule.
            explain: as in `Pipeline.stream`.
            beside: explain in a worker thread beside the fast path, so that an explanation comes with a later reading; otherwise in line.
            baseline: as in `Pipeline.stream`.
            calibrate_s: as in `Pipeline.stream`.
            at_once: most faces that are explained with one frame, those first whose last explanation is oldest; `None`: all.

        Raises:
            UsageError: not a way to explain, not a time, or not a baseline.
        """
        if baseline is not None and not isinstance(baseline, Baseline):
            raise UsageError(f"baseline must be a Baseline, got {kind_of(baseline)}: Baseline.load(path) of edge.live.baseline reads one")
        if not isinstance(calibrate_s, int | float | np.number) or not 0 <= calibrate_s < math.inf:
            raise UsageError(f"calibrate_s must be 0 or more seconds, got {calibrate_s!r}")
        self._pipeline, self._config = pipeline, pipeline.config
        self._due, self._tracker = Due(explain), Tracker(SURE if self._config.face.screened else 0.0, remember=pipeline.remember)
        self._doubted = Asked()
        self._times, self._at_once = Times(), at_once
        self._people: dict[int, Person] = {}
        self._baseline, self._calibrate_s = baseline, calibrate_s
        self._calibrated: Baseline | None = None
        self._own: dict[int, Baseline] = {}
        """What was measured of people who left; of as many as the tracker may tell again."""
        self.worker = Worker(pipeline.explainer) if beside else None

    def read(self, frame: Frame) -> Reading:
        """Read the next frame.

        Raises:
            InputError: not a `Frame`, its picture is none that `Pipeline` takes, or its `t_ms` is no number, or less than the last one's.
        """
        frame = as_frame(frame)
        self._times.check(frame)
        with self.worker.fast_path() if self.worker else nullcontext():
            seen = self._pipeline.look(frame, self._tracker)
            faces = self._recognise(seen, frame.t_ms)
        return self._take_back(self._explain(replace(seen.reading, faces=tuple(faces))), frame)

    def read_picture(self, frame: Frame) -> Reading:
        """Read a picture that has nothing to do with the ones before."""
        seen = self._pipeline.look(as_frame(frame))
        return seen.reading if self._due.explain in ("off", "request") else self._pipeline.explain(seen)

    def explain(self, track: int | None = None) -> None:
        """Ask for an explanation of one face, or of all that the next frame shows; it comes with one of the next readings."""
        self._due.ask(track)

    def counterfactual(self, track: int | None = None) -> None:
        """Ask what becomes of a face's answer without each thing that its explanation states; `None`: of all in view.

        It comes as `Face.counterfactual` with the next reading of that face that shows an explanation; one face a frame.

        Raises:
            UsageError: the bundle cannot tell.
        """
        if not self._config.movable:
            raise UsageError(f"this bundle has no {MOVES} and tells no counterfactuals: add it with 'python -m export moves'")
        self._doubted.ask(track)

    def baseline(self) -> Baseline | None:
        """The neutral face that was measured here, the one from most frames where there are several; `None` before there is one."""
        found = [self._calibrated, *(person.calibrated for person in list(self._people.values()))]
        return max(filter(None, found), key=lambda baseline: baseline.frames, default=None)

    def close(self) -> None:
        """End the worker; once or more often."""
        if self.worker:
            self.worker.close()

    def __enter__(self) -> Scene:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def _recognise(self, seen: Seen, t_ms: float) -> list[Face]:
        """The faces of a frame as their people's memories show them."""
        faces = []
        for i, face in enumerate(seen.reading.faces):
            person = self._people.get(face.track)
            if person is None:
                rules = self._pipeline.explainer.grammar.rules
                own = self._own.get(face.track)
                wanted_s = 0.0 if own else self._calibrate_s
                person = Person(self._config, rules=rules, baseline=own or self._baseline, calibrate_s=wanted_s)
                self._people[face.track] = person
            faces.append(person.see(face, seen.crops[i], seen.sides_px[i], seen.tokens[i], t_ms))
        gone = [track for track, person in self._people.items() if t_ms - person.seen_ms > FORGET_MS]
        if gone:
            self._calibrated = self.baseline()
        for track in gone:
            if own := self._people.pop(track).calibrated:
                self._own[track] = own
        while len(self._own) > PEOPLE:
            del self._own[next(iter(self._own))]
        return faces

    def _explain(self, reading: Reading) -> Reading:
        """Attach what has been explained, see to what is due."""
        started = time.perf_counter()
        self._due.look([face.track for face in reading.faces], self._people)
        if self.worker:
            self.worker.keep({track: person.spell for track, person in self._people.items()})
            outcomes = self.worker.collect()
            for task in self._tasks(reading):
                self.worker.submit(task)
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

    def _take_back(self, reading: Reading, frame: Frame) -> Reading:
        """Answer who asked for a counterfactual: of one face with this frame, so that the stream is not held up for all."""
        self._doubted.look([face.track for face in reading.faces], self._people)
        shown = (face for face in reading.faces if face.track in self._doubted and face.explanation and face.explanation.text)
        face = next((face for face in shown if not face.unclear), None)
        if face is None:
            return reading
        try:
            with self.worker.fast_path() if self.worker else nullcontext():
                found = replace(self._pipeline.counterfactual(frame.image_bgr, face), t_ms=frame.t_ms)
        except InputError:  # its points are read elsewhere from a crop that differs a little: another frame will show it better
            return reading
        self._doubted.answered(face.track)
        self._people[face.track].counterfactual = found
        spent = {**reading.latency_ms, "total": reading.latency_ms["total"] + found.latency_ms}
        faces = tuple(replace(one, counterfactual=found) if one is face else one for one in reading.faces)
        return replace(reading, faces=faces, latency_ms=spent)

    def _tasks(self, reading: Reading) -> list[Task]:
        tasks: list[Task] = []
        for face in sorted(reading.faces, key=lambda face: self._due.last_ms(face.track)):
            if len(tasks) == self._at_once:
                break
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
