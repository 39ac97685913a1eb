"""The whole line: picture → faces → encoder → (policy → verifier → verdict) → `Reading`."""

from __future__ import annotations

import logging
import math
import os
import time
import weakref
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import TracebackType

import numpy as np

from edge.bundle import MOVES, SCREEN, TOWER, Bundle, BundleConfig
from edge.counterfactual import counterfactual
from edge.engine.backend import OrtSession, Session, open_session, resolve_device
from edge.engine.watch import watched
from edge.errors import BackendError, BundleError, UsageError
from edge.language.explain import Explainer, subject_of
from edge.language.grammar import check_names, load_grammar
from edge.language.policy import RationalePolicy
from edge.language.tokens import load_tokenizer
from edge.language.verifier import SentenceVerifier
from edge.live.baseline import Baseline
from edge.live.stream import Stream, watch
from edge.profiles import graph_profiles
from edge.rehearsal import rehearse
from edge.sources.camera import Frame, Source
from edge.sources.picture import as_bgr
from edge.types import Counterfactual, Face, Reading
from edge.vision.encoder import FaceEncoder
from edge.vision.finder import FaceFinder
from edge.vision.look import Seen, look
from edge.vision.moves import Moves
from edge.vision.screen import Screen
from edge.vision.search import check_min_face
from edge.vision.track import Tracker

log = logging.getLogger(__name__)

_PATIENCE_S = 60.0  # longer than one run of any graph takes on the slowest device
_THREADS = max(16, 4 * (os.cpu_count() or 1))  # more only wait for each other, and cost 0.1 s of loading each


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
        self.moves: Moves | None = None
        """What takes cues back, of a bundle that can; see `counterfactual`."""
        self.remember = True
        """Whether people who leave a stream and come back get their number back, by what they looked like."""
        self._streams: weakref.WeakSet[Stream] = weakref.WeakSet()

    @classmethod
    def load(
        cls,
        bundle: Path | str | None = None,
        *,
        device: str = "auto",
        threads: int = 0,
        min_face: float | None = None,
        remember: bool = True,
    ) -> Pipeline:
        """Load a bundle.

        Args:
            bundle: its folder; the shipped one when `None`.
            device: `auto`, `cpu`, `cuda` or `tensorrt`; an explicit device that is not there is an error.
            threads: threads per graph; 0 leaves the choice to ONNX Runtime.
            min_face: narrowest face that is looked for, pixels, or below 1 a share of the picture's width; smaller takes longer. The
                bundle's own when `None`.
            remember: tell people who leave a stream and come back by what they looked like, which is kept in memory as long as the stream;
                otherwise whoever comes back after two seconds is somebody new.

        Raises:
            BundleError: the bundle is missing, damaged or of another kind.
            BackendError: ONNX Runtime or the device is not there.
            UsageError: not a device name, no width of a face, or a number of threads that makes no sense on this machine.
        """
        if not isinstance(threads, int | np.integer) or not 0 <= threads <= _THREADS:
            raise UsageError(f"{threads!r} threads: expected 0 (the runtime's choice) to {_THREADS} on this machine, a whole number")
        check_min_face(min_face)
        checked = Bundle.load(bundle)
        chosen = resolve_device(device)
        try:
            pipeline = cls._on(checked, chosen, threads, min_face)
        except BackendError as error:
            if device != "auto" or chosen == "cpu":
                raise
            log.warning("device auto: %s; going on with the CPU", error)
            pipeline = cls._on(checked, resolve_device("cpu"), threads, min_face)
        pipeline.remember = remember
        return pipeline

    @classmethod
    def _on(cls, checked: Bundle, chosen: str, threads: int, min_face: float | None) -> Pipeline:
        config = checked.config

        def session(name: str) -> Session:
            # a decoding step of the small policy is too small to be worth a second thread
            one = name in ("embed_tokens", "decoder_model_merged") and not config.policy.tower
            profiles = graph_profiles(name, config)
            return open_session(name, checked.graph(name), device=chosen, threads=1 if one else threads, profiles=profiles)

        face, vision = session("face"), session("vision_encoder")
        # four million multiplications a crop are not worth a copy to a GPU
        screen = OrtSession(checked.graph(SCREEN), device="cpu", threads=1) if config.face.screened else None
        embed, decoder, verifier = session("embed_tokens"), session("decoder_model_merged"), session("verifier")
        tower = session(TOWER) if config.policy.tower else None
        grammar = load_grammar(checked.folder / "grammar.json")
        check_names(grammar, (cue.name for cue in config.cues), config.labels)
        tokenizer = load_tokenizer(checked.folder / "tokenizer.json")
        policy = RationalePolicy(embed, decoder, tokenizer, config.policy, grammar, (embed.inputs, decoder.inputs), tower)
        reader = SentenceVerifier(verifier, load_tokenizer(checked.folder / "verifier_tokenizer.json"), config, verifier.inputs)
        telling = Screen(screen, config.image, config.face.least_sure) if screen else None
        pipeline = cls(
            checked,
            FaceFinder(face, config.face, face.inputs, min_face=min_face, screen=telling),
            FaceEncoder(vision, config, vision.inputs),
            Explainer(policy, reader, grammar, config),
            vision.provider,
        )
        if config.movable:
            pipeline.moves = Moves.load(checked.folder / MOVES)
        pipeline.sessions = [face, vision, embed, decoder, verifier, *(one for one in (screen, tower) if one)]
        # the first run of ONNX Runtime's TensorRT provider builds its engines, which takes minutes
        pipeline._rehearse(math.inf if chosen == "tensorrt" else _PATIENCE_S)
        return pipeline

    def __call__(self, image_bgr: np.ndarray, *, explain: bool = True) -> Reading:
        """Read one picture.

        Args:
            image_bgr: `[H,W,3]` BGR, `[H,W]` grey or `[H,W,4]` BGRA; uint8 or uint16.
            explain: also decode and check an explanation of every face.

        Raises:
            InputError: not such an array, or empty.
            UsageError: `min_face` is wider than the picture, or needs too large a search.
        """
        seen = self.look(Frame(as_bgr(image_bgr), "image", 0, 0.0))
        return self.explain(seen) if explain else seen.reading

    @property
    def config(self) -> BundleConfig:
        """The bundle's configuration."""
        return self.bundle.config

    def look(self, frame: Frame, tracker: Tracker | None = None) -> Seen:
        """The fast path: find (or follow), align, encode; no explanation."""
        return look(frame, self.finder, self.encoder, self.config, tracker)

    def explain(self, seen: Seen, which: frozenset[int] | None = None) -> Reading:
        """The slow path: explain the faces of `seen` (or those whose index is in `which`) from their visual tokens."""
        started = time.perf_counter()
        chosen = [i for i, face in enumerate(seen.reading.faces) if face.emotion and (which is None or i in which)]
        subjects = [subject_of(seen.reading.faces[i], seen.tokens[i]) for i in chosen]
        explained = dict(zip(chosen, self.explainer(subjects), strict=True))
        faces = tuple(
            replace(face, explanation=explained[i], explained_t_ms=seen.reading.t_ms) if i in explained else face
            for i, face in enumerate(seen.reading.faces)
        )
        spent = seen.reading.latency_ms | self.explainer.spent_ms
        spent["total"] += (time.perf_counter() - started) * 1e3
        return replace(seen.reading, faces=faces, latency_ms=spent)

    def counterfactual(self, image_bgr: np.ndarray, face: Face) -> Counterfactual:
        """Would it have said so otherwise? Takes back each thing that a face's explanation states, in the picture, and reads it again.

        Args:
            image_bgr: the picture that shows the face, as `__call__` takes it.
            face: of a reading of that picture (of a stream: of about that frame), with a verified explanation.

        Returns:
            For each statement the answer's probability without it and how far the reading of its cue went back, or why it cannot be
            taken back.

        Raises:
            UsageError: the bundle has no moves, or the face no verified explanation.
            InputError: not a picture, or one that does not show the face where it was read.
        """
        if self.moves is None:
            raise UsageError(
                f"bundle '{self.bundle.folder}' has no {MOVES} and tells no counterfactuals: add it with 'python -m export moves'"
            )
        return counterfactual(image_bgr, face, self.encoder, self.moves, self.config)

    def stream(
        self,
        source: Source,
        *,
        explain: str | float = "every",
        realtime: bool = False,
        patience_s: float = math.inf,
        baseline: Baseline | None = None,
        calibrate_s: float = 0.0,
    ) -> Stream:
        """Read a source frame by frame; it is opened at the first one.

        Args:
            source: a camera number or path, a URL, `csi://N`, a GStreamer pipeline, a video file, a list of picture files, a function that
                opens an `edge.sources.camera.Capture`, or an iterator of `Frame`s.
            explain: `every` frame (live: as often as the device can), on `change` of a face's label, on `request`, `off`, or every so many
                seconds.
            realtime: play a video file at its own speed, like a camera; otherwise every frame of it is read as fast as possible.
            patience_s: how long a lost live source is tried again.
            baseline: one person's neutral face; every face's cues are measured against it.
            calibrate_s: seconds of each new face that become its own neutral face.

        Raises:
            InputError: the source cannot be opened or read, or was lost for longer than `patience_s`.
            UsageError: not one of these ways to explain, no time, or no `Baseline`.
            BackendError: the source needs GStreamer and this OpenCV has none.
        """
        stream = Stream(
            self,
            source,
            explain=explain,
            realtime=realtime,
            patience_s=patience_s,
            baseline=baseline,
            calibrate_s=calibrate_s,
        )
        self._streams.add(stream)
        return stream

    def watch(
        self,
        source: Source,
        *,
        explain: str | float = "every",
        realtime: bool = False,
        patience_s: float = math.inf,
        baseline: Baseline | None = None,
        calibrate_s: float = 0.0,
    ) -> Iterator[tuple[Frame, Reading]]:
        """Like `stream`, with each frame's picture beside its reading."""
        return watch(
            self.stream(source, explain=explain, realtime=realtime, patience_s=patience_s, baseline=baseline, calibrate_s=calibrate_s)
        )

    def close(self) -> None:
        """End the streams and free the sessions; the pipeline is of no use afterwards."""
        for stream in list(self._streams):
            stream.close()
        for session in self.sessions:
            session.close()
        self.sessions = []

    def __enter__(self) -> Pipeline:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def _rehearse(self, patience_s: float) -> None:
        """Read one drawn face, so that a bundle whose parts do not fit fails now and not inside a frame."""
        try:
            with watched(self.sessions, patience_s):
                reading = rehearse(self.bundle, self.finder, self.encoder, self.explainer)
            if self.moves:
                self.moves.check_points(len(reading.faces[0].points_xy))
        except BackendError:  # the machine's fault, not the bundle's
            raise
        except Exception as error:  # whatever does not fit together, in whichever library it shows
            text = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise BundleError(f"bundle '{self.bundle.folder}': its graphs and its configuration do not fit together: {text}") from None
