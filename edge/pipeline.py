"""The whole line: picture → faces → encoder → (policy → verifier → verdict) → `Reading`."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType

import numpy as np

from edge.backend import Session, open_session, resolve_device
from edge.bundle import TOWER, Bundle
from edge.camera import Frame, Source, frames
from edge.cv import cv2
from edge.encoder import Encoded, FaceEncoder
from edge.errors import BackendError, BundleError, UsageError
from edge.explain import Explainer, Subject
from edge.face import FaceFinder, align
from edge.picture import as_bgr, as_grey
from edge.policy import RationalePolicy, load_tokenizer
from edge.profiles import graph_profiles
from edge.rationale import Completion
from edge.track import Tracker
from edge.types import Detection, Explanation, Face, Pose, Reading
from edge.verifier import SentenceVerifier

log = logging.getLogger(__name__)
_REMEMBERED = 64


class Pipeline:
    """Reads expressions and explains them, on this device.

    Call it with a picture, or iterate `stream`. One instance serves one thread.

        with Pipeline.load() as pipeline:
            for face in pipeline(image_bgr).faces:
                print(face.emotion, face.explanation.text)
    """

    def __init__(self, bundle: Bundle, finder: FaceFinder, encoder: FaceEncoder, explainer: Explainer, provider: str) -> None:
        self.bundle = bundle
        self.finder, self.encoder, self.explainer = finder, encoder, explainer
        self.provider = provider
        """Execution provider that runs the graphs."""
        self.sessions: list[Session] = []

    @classmethod
    def load(cls, bundle: Path | str | None = None, *, device: str = "auto", threads: int = 0) -> Pipeline:
        """Load a bundle.

        Args:
            bundle: its folder; the shipped one when `None`.
            device: `auto`, `cpu`, `cuda` or `tensorrt`; an explicit device that is not there is an error.
            threads: threads per graph; 0 leaves the choice to ONNX Runtime.

        Raises:
            BundleError: the bundle is missing, damaged or of another kind.
            BackendError: ONNX Runtime or the device is not there.
            UsageError: not a device name.
        """
        checked = Bundle.load(bundle)
        if device == "auto":
            try:
                return cls._on(checked, resolve_device(device), threads)
            except BackendError as error:
                log.warning("device auto: %s; going on with the CPU", error)
                return cls._on(checked, resolve_device("cpu"), threads)
        return cls._on(checked, resolve_device(device), threads)

    @classmethod
    def _on(cls, checked: Bundle, chosen: str, threads: int) -> Pipeline:
        config = checked.config

        def session(name: str) -> Session:
            # a decoding step of the small policy is too small to be worth a second thread
            one = name in ("embed_tokens", "decoder_model_merged") and not config.policy.tower
            profiles = graph_profiles(name, config)
            return open_session(name, checked.graph(name), device=chosen, threads=1 if one else threads, profiles=profiles)

        face, vision = session("face"), session("vision_encoder")
        embed, decoder, verifier = session("embed_tokens"), session("decoder_model_merged"), session("verifier")
        tower = session(TOWER) if config.policy.tower else None
        policy = RationalePolicy(
            embed, decoder, load_tokenizer(checked.folder / "tokenizer.json"), config.policy, (embed.inputs, decoder.inputs), tower
        )
        reader = SentenceVerifier(verifier, load_tokenizer(checked.folder / "verifier_tokenizer.json"), config, verifier.inputs)
        pipeline = cls(
            checked,
            FaceFinder(face, config.face, face.inputs),
            FaceEncoder(vision, config, vision.inputs),
            Explainer(policy, reader, config),
            vision.provider,
        )
        pipeline.sessions = [face, vision, embed, decoder, verifier, *([tower] if tower else [])]
        pipeline._rehearse()
        return pipeline

    def __call__(self, image_bgr: np.ndarray, *, explain: bool = True) -> Reading:
        """Read one picture.

        Args:
            image_bgr: `[H,W,3]` BGR, `[H,W]` grey or `[H,W,4]` BGRA; uint8 or uint16.
            explain: also decode and check an explanation of every face.

        Raises:
            InputError: not such an array, or empty.
        """
        seen = self.look(Frame(as_bgr(image_bgr), "image", 0, 0.0))
        return self.explain(seen) if explain else seen.reading

    def look(self, frame: Frame, tracker: Tracker | None = None) -> Seen:
        """The fast path: find, align, encode; no explanation."""
        started = time.perf_counter()
        grey = as_grey(frame.image_bgr)
        found = self.finder(grey)
        numbers = tracker(found) if tracker else list(range(1, len(found) + 1))
        located = time.perf_counter()
        size = self.bundle.config.image.size
        aligned = [align(grey, detection, self.bundle.config.image) for detection in found]
        encoded = self.encoder(np.stack([crop for crop, _ in aligned])) if aligned else None
        faces = tuple(self._face(numbers[i], detection, encoded, i, aligned[i][1], size) for i, detection in enumerate(found) if encoded)
        done = time.perf_counter()
        height, width = grey.shape
        spent = {"face": (located - started) * 1e3, "encode": (done - located) * 1e3, "explain": 0.0, "verify": 0.0}
        spent["total"] = (done - started) * 1e3
        reading = Reading(frame.source, frame.index, frame.t_ms, width, height, faces, spent)
        return Seen(reading, encoded.tokens if encoded is not None else np.zeros((0, 0, 0), np.float32))

    def explain(self, seen: Seen, which: frozenset[int] | None = None) -> Reading:
        """The slow path: explain the faces of `seen` (or those whose index is in `which`) from their visual tokens."""
        started = time.perf_counter()
        chosen = [i for i in range(len(seen.reading.faces)) if which is None or i in which]
        subjects = [_subject(seen.reading.faces[i], seen.tokens[i]) for i in chosen]
        explained = dict(zip(chosen, self.explainer(subjects), strict=True))
        faces = tuple(replace(f, explanation=explained.get(i, f.explanation)) for i, f in enumerate(seen.reading.faces))
        spent = seen.reading.latency_ms | self.explainer.spent_ms
        spent["total"] += (time.perf_counter() - started) * 1e3
        return replace(seen.reading, faces=faces, latency_ms=spent)

    def stream(self, source: Source, *, explain: str | float = "every") -> Iterator[Reading]:
        """Read a camera number, a video file or a list of image files, frame by frame.

        Args:
            source: as above.
            explain: `every` frame, on `change` of a face's label, `off`, or every so many seconds.

        Raises:
            InputError: the source cannot be opened or breaks off.
            UsageError: not one of these ways to explain.
        """
        return (reading for _, reading in self.watch(source, explain=explain))

    def watch(self, source: Source, *, explain: str | float = "every") -> Iterator[tuple[Frame, Reading]]:
        """Like `stream`, with each frame's picture beside its reading."""
        due, tracker = Due(explain), Tracker()
        for frame in frames(source):
            if isinstance(source, list):
                tracker = Tracker()  # separate pictures have no history
                due = Due(explain)
            seen = self.look(frame, tracker)
            which = due(seen.reading)
            yield frame, due.remember(self.explain(seen, which))

    def close(self) -> None:
        """Free the sessions; the pipeline is of no use afterwards."""
        for session in self.sessions:
            session.close()
        self.sessions = []

    def __enter__(self) -> Pipeline:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def _rehearse(self) -> None:
        """Send one empty face through every graph, so that a bundle whose parts do not fit fails now and not inside a frame."""
        config = self.bundle.config
        size = config.image.size
        try:
            self.finder(np.zeros((size, size), np.uint8))
            read = self.encoder(np.zeros((1, size, size), np.uint8))
            cues = dict(zip((cue.name for cue in config.cues), map(float, read.cues[0]), strict=True))
            dict(zip(config.labels, read.probabilities[0], strict=True))
            self.explainer([Subject(read.tokens[0], config.labels[0], 1.0, cues)])
            self.explainer.read([Completion("The face is relaxed.", config.labels[0])])
        except Exception as error:  # whatever does not fit together, in whichever library it shows
            text = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise BundleError(f"bundle '{self.bundle.folder}': its graphs and its configuration do not fit together: {text}") from None

    def _face(self, track: int, detection: Detection, read: Encoded, i: int, matrix: np.ndarray, size: int) -> Face:
        config = self.bundle.config
        probabilities = dict(zip(config.labels, map(float, read.probabilities[i]), strict=True))
        emotion = max(probabilities, key=probabilities.__getitem__)
        back = cv2.invertAffineTransform(matrix)
        points = read.points_xy[i] * size @ back[:, :2].T + back[:, 2]
        yaw, pitch, roll = map(float, read.pose_deg[i])
        turned = math.degrees(math.atan2(back[1, 0], back[0, 0]))  # the crop was levelled: add that turn back
        return Face(
            track=track,
            detection=detection,
            emotion=emotion,
            confidence=probabilities[emotion],
            probabilities=probabilities,
            cues=dict(zip((cue.name for cue in config.cues), map(float, read.cues[i]), strict=True)),
            points_xy=points.astype(np.float32),
            pose=Pose(yaw, pitch, roll + turned),
        )


@dataclass(frozen=True, slots=True)
class Seen:
    """What the fast path leaves for the slow one."""

    reading: Reading
    tokens: np.ndarray
    """`[N,T,D]` visual tokens, one row per face."""


class Due:
    """Decides which faces of a frame are to be explained now, and carries explanations over to the frames between."""

    def __init__(self, explain: str | float) -> None:
        if explain not in ("every", "change", "off") and not (isinstance(explain, int | float) and 0 < explain < math.inf):
            raise UsageError(f"explain must be 'every', 'change', 'off' or seconds above 0, got {explain!r}")
        self.explain = explain
        self._last: dict[int, tuple[str, float, Explanation]] = {}

    def __call__(self, reading: Reading) -> frozenset[int]:
        """Indices of the faces that are due."""
        return frozenset(i for i, face in enumerate(reading.faces) if self._due(face, reading.t_ms))

    def remember(self, reading: Reading) -> Reading:
        """Note the new explanations; give faces that were not due their last one, while their label is still the same."""
        faces = []
        for face in reading.faces:
            last = self._last.get(face.track)
            if face.explanation:
                self._last.pop(face.track, None)  # the newest last
                self._last[face.track] = (face.emotion, reading.t_ms, face.explanation)
            elif last and last[0] == face.emotion:
                face = replace(face, explanation=last[2])
            faces.append(face)
        while len(self._last) > _REMEMBERED:
            del self._last[next(iter(self._last))]
        return replace(reading, faces=tuple(faces))

    def _due(self, face: Face, t_ms: float) -> bool:
        if isinstance(self.explain, str) and self.explain != "change":
            return self.explain == "every"
        last = self._last.get(face.track)
        if last is None or last[0] != face.emotion:
            return last is None or self.explain == "change" or t_ms - last[1] >= 1000 * float(self.explain)
        return self.explain != "change" and t_ms - last[1] >= 1000 * float(self.explain)


def _subject(face: Face, tokens: np.ndarray) -> Subject:
    return Subject(tokens, face.emotion, face.confidence, face.cues)
