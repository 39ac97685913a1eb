"""The stages of the pipeline as things to be timed, on one face in a camera-sized picture."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from copy import copy
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.speed.clock import Clock, Stage, timed
from edge.cv import cv2
from edge.engine.backend import Session
from edge.errors import InputError
from edge.language.explain import Explainer, Subject, subject_of
from edge.language.rationale import parse_completion
from edge.pipeline import Pipeline, Seen
from edge.sources.camera import Frame, Source, demo_picture, find_feed, recorded
from edge.sources.picture import as_grey, read_image
from edge.types import Detection
from edge.vision.crop import align

STAGES = ("capture", "face", "align", "encode", "fast", "first_token", "per_token", "explain", "verify", "verdict", "full")
"""In the order of the data. `fast` = face, align, encode; `full` = `fast`, explained and verified, the end to end of a picture."""
ASKED = "counterfactual"
"""Beside the line and only on request, of bundles that can: everything that the explanation of the picture states, taken back."""

Feed = dict[str, np.ndarray]

_HEAD = 270
"""The portrait's head fills this corner of it, pixels."""


def demo_frame(width: int = 640, height: int = 480, faces: int = 1) -> Frame:
    """The demo portrait on a camera-sized picture; or its head several times, in a grid of equal cells."""
    portrait = read_image(demo_picture())
    portrait = portrait if faces == 1 else portrait[:_HEAD, _HEAD // 3 : _HEAD // 3 + _HEAD]
    columns = int(np.ceil(np.sqrt(faces)))
    cell = np.array([width // columns, height // -(-faces // columns)])
    side = int(cell.min())
    picture, small = np.full((height, width, 3), 96, np.uint8), cv2.resize(portrait, (side, side), interpolation=cv2.INTER_AREA)
    for i in range(faces):
        left, top = cell * (i % columns, i // columns) + (cell - side) // 2
        picture[top : top + side, left : left + side] = small
    return Frame(picture, "benchmark", 0, 0.0)


@dataclass(frozen=True, slots=True)
class Scene:
    """One picture, everything that each stage needs of it, and the pipeline that reads it."""

    pipeline: Pipeline
    frame: Frame
    grey: np.ndarray
    detection: Detection
    seen: Seen
    subject: Subject
    text: str
    """The greedy completion."""

    @classmethod
    def of(cls, pipeline: Pipeline, frame: Frame) -> Scene:
        """Read a picture, on whose largest face the stages work; `InputError` where there is none."""
        seen = pipeline.look(frame)
        if not seen.reading.faces:
            raise InputError(f"the face finder of '{pipeline.bundle.folder}' finds no face in the picture: there is nothing to time")
        face = seen.reading.faces[0]
        subject = subject_of(face, seen.tokens[0])
        text = pipeline.explainer.write([subject])[0]
        return cls(pipeline, frame, as_grey(frame.image_bgr), face.detection, seen, subject, text)

    def stages(self, label: Callable[[str], str] = str, clock: Clock = time.perf_counter) -> list[Stage]:
        """The pipeline's own stages, `ASKED` last where the bundle can; `label` names a stage's figures, `clock` times them."""
        pipeline, explainer, config = self.pipeline, self.pipeline.explainer, self.pipeline.bundle.config
        crop = align(self.grey, self.detection, config.image)[0][None]
        done = [parse_completion(self.text, tuple(config.labels))]
        candidate = explainer.read(done)[0]
        work: dict[str, Callable[[], object]] = {
            "face": lambda: pipeline.finder(self.grey),
            "align": lambda: align(self.grey, self.detection, config.image),
            "encode": lambda: pipeline.encoder(crop),
            "fast": lambda: pipeline.look(self.frame),
            "verify": lambda: explainer.read(done),
            "verdict": lambda: explainer.decide(candidate, self.subject),
            "full": lambda: pipeline.explain(pipeline.look(self.frame)),
        }
        own = [*(timed(label(name), call, clock) for name, call in work.items()), _decoding(explainer, self.subject, label, clock)]
        face = pipeline.explain(self.seen).faces[0]
        if pipeline.moves and face.explanation and face.explanation.text:
            own.append(timed(label(ASKED), lambda: pipeline.counterfactual(self.frame.image_bgr, face), clock))
        return own


def watched(session: Session, *, before: Callable[[Feed], object] = id, after: Callable[[], object] = int) -> Session:
    """A twin of a session that tells of each of its runs: `before` with the feed, `after` when it is done."""

    def telling(run: Callable[..., Feed]) -> Callable[..., Feed]:
        def told(*given: Feed) -> Feed:
            before(given[0])
            out = run(*given)
            after()
            return out

        return told

    twin = copy(session)
    twin.run, twin.run_into = telling(session.run), telling(session.run_into)
    return twin


def _decoding(explainer: Explainer, subject: Subject, label: Callable[[str], str], clock: Clock) -> Stage:
    """Greedy decoding: the whole, the time to the first token (the prompt and one decoder run), and each later run."""
    same, ends = copy(explainer.policy), list[float]()
    same.decoder = watched(same.decoder, after=lambda: ends.append(clock()))
    tokens, scopes = subject.tokens[None], [explainer.grammar.scope(subject.facts.hidden)]

    def stage(calls: int) -> dict[str, list[float]]:
        spent: dict[str, list[float]] = {label(name): [] for name in ("first_token", "per_token", "explain")}
        for _ in range(calls):
            ends.clear()
            started = clock()
            same.greedy(tokens, scopes)
            ended = clock()
            first, last = ends[0], ends[-1]
            spent[label("first_token")].append((first - started) * 1e3)
            spent[label("per_token")].append((last - first) * 1e3 / max(1, len(ends) - 1))
            spent[label("explain")].append((ended - started) * 1e3)
        return spent

    return stage


def write_clip(path: Path, frame: Frame, count: int = 60) -> None:
    """A Motion JPEG clip of a picture, as a USB camera delivers it."""
    height, width = frame.image_bgr.shape[:2]
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 30, (width, height))
    for _ in range(count):
        writer.write(frame.image_bgr)
    writer.release()


def capture(source: Source) -> Stage:
    """Taking the next frame of a source; a video starts again at its end, which is not timed."""
    running: Iterator[Frame] = recorded(find_feed(source))

    def stage(calls: int) -> dict[str, list[float]]:
        nonlocal running
        spent: list[float] = []
        while len(spent) < calls:
            started = time.perf_counter()
            if next(running, None) is None:
                running = recorded(find_feed(source))
                next(running)  # opens the file
            else:
                spent.append((time.perf_counter() - started) * 1e3)
        return {"capture": spent}

    return stage
