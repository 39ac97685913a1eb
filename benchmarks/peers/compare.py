"""`python -m benchmarks compare`: the same frames through us and through what else is installed.

Accuracy is counted on the faces whose label the rival knows, with ours on the same faces beside it; a face that is not found is wrong. What
is not installed, or would have to fetch its weights, is listed as missing with the reason.
"""

from __future__ import annotations

import argparse
import contextlib
import math
import sys
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from benchmarks.command import Figures, assigned, distinct, of_pipeline, progress, whole
from benchmarks.peers.rivals import MissingError
from benchmarks.peers.worker import Worker
from benchmarks.quality.reading import Faces, data_options, framed, load_faces
from benchmarks.speed.clock import UNIT, Stage, interleave, summary, timed
from benchmarks.speed.stages import Scene, demo_frame
from edge import __version__
from edge.cv import cv2
from edge.errors import UsageError
from edge.language.labels import parse_emotion
from edge.pipeline import Pipeline
from edge.types import Detection
from edge.vision.crop import align
from training.metrics import war_uar

ROUNDS = 20
OURS = "erv-edge"
Answer = TypeVar("Answer")
_PACKAGES = ("fer", "emotiefflib", "deepface", "py-feat", "opencv")

Wanted = dict[str, tuple[str, dict[str, Any], str]]
"""Title → which of `rivals.RIVALS`, its options, and the Python that has its package."""


class Rivals(contextlib.ExitStack):
    """A process for every rival that is there; they end with the context."""

    def __init__(self, wanted: Wanted, threads: int) -> None:
        """Start the rivals, on `threads` threads as far as they heed it."""
        super().__init__()
        self.there: dict[str, Worker] = {}
        self.missing: dict[str, str] = {}
        """Title → why there is none, or none any more."""
        for title, given in progress(wanted.items(), "rivals"):
            try:
                self.there[title] = self.enter_context(Worker(*given, threads))
            except MissingError as reason:
                self.missing[title] = str(reason)

    def ask(self, title: str, question: Callable[[Worker], Answer]) -> Answer | None:
        """What a rival answers; at its first failure it goes to `missing`, and it never answers from then on."""
        if title in self.there:
            try:
                return question(self.there[title])
            except MissingError as reason:
                self.missing[title] = str(reason)
                del self.there[title]
        return None


def measure(pipeline: Pipeline, rivals: Rivals, threads: int, *, rounds: int = ROUNDS, faces: Faces | None = None) -> Figures:
    """Time ours and every rival on the same picture, in turns; and count how often each is right on the same `faces`, if any.

    Returns:
        `matmul_ms`, `threads` (the pipeline's and the matmul's), `rounds`; `missing`: title → reason; `systems`: title → `version`, `note`,
        `labels`; `stages` (`find`, `classify`, `network` the classifier's function alone, `read` everything), each with its
        `ratio` to our `read`; and `accuracy`: `n`, `found`, `war`, `uar`, `war_found` over the found faces, `war_crop` on the data's own
        crop without a finder, and `ours`, the same of us on these faces.
    """
    cv2.setNumThreads(threads)
    with tempfile.TemporaryDirectory() as folder:
        times = interleave(_stages(Scene.of(pipeline, demo_frame()), rivals, Path(folder)), threads, rounds=rounds, title="compare")
        scores = {} if faces is None else _accuracies(pipeline, faces, rivals, Path(folder))
    note = f"own finder and crop, bundle '{pipeline.bundle.folder.name}'"
    ours = {"version": __version__, "note": note, "labels": list(pipeline.bundle.config.labels)}
    systems: Figures = {OURS: ours, **{title: {**worker.about} for title, worker in rivals.there.items()}}
    for title, row in systems.items():
        stages = {key.partition("\n")[2]: key for key in times if key.partition("\n")[0] == title}
        row["stages"] = {stage: summary(key, times, f"{OURS}\nread") for stage, key in stages.items()}
        row |= {"accuracy": scores[title]} if scores else {}
    told = {"matmul_ms": float(np.median(times[UNIT])), "threads": threads, "rounds": rounds}
    return {**told, "systems": systems, "missing": dict(rivals.missing)}


def _stages(scene: Scene, rivals: Rivals, folder: Path) -> list[Stage]:
    """Our stages and every rival's, their figures named `title\\nstage`."""
    picture = folder / "frame.npy"
    np.save(picture, scene.frame.image_bgr)
    face = _as_face(scene.detection)
    crop = align(scene.grey, scene.detection, scene.pipeline.config.image)[0][None]

    def theirs(title: str, stage: str) -> Stage:
        def call(calls: int) -> dict[str, list[float]]:
            answer = rivals.ask(title, lambda worker: worker.ask(stage, picture, face, calls))
            return {f"{title}\n{stage}": answer["ms"] if answer else [math.inf] * calls}

        return call

    return [
        timed(f"{OURS}\nfind", lambda: scene.pipeline.finder(scene.grey)),
        timed(f"{OURS}\nclassify", lambda: scene.pipeline.encoder(crop)),
        timed(f"{OURS}\nread", lambda: scene.pipeline.look(scene.frame)),
        *(theirs(title, stage) for title, worker in rivals.there.items() for stage in worker.about["stages"]),
    ]


def _as_face(detection: Detection) -> dict[str, Any]:
    return {"box": detection.box_xyxy.tolist(), "points": detection.points_xy.tolist()}


def _accuracies(pipeline: Pipeline, faces: Faces, rivals: Rivals, folder: Path) -> Figures:
    """`accuracy` of every system; a rival that fails on a picture goes to `missing`."""
    labels = pipeline.bundle.config.labels
    found: list[dict[str, Any] | None] = []
    own = np.full(len(faces.crops), -1)
    for i, crop in enumerate(faces.crops):
        picture = framed(crop)
        np.save(folder / f"{i}.npy", picture.image_bgr)
        np.save(folder / f"{i}.crop.npy", cv2.cvtColor(crop, cv2.COLOR_GRAY2BGR))
        seen = pipeline.look(picture).reading.faces
        found.append(_as_face(seen[0].detection) if seen else None)
        own[i] = labels.index(seen[0].emotion) if seen else -1
    ours = own, pipeline.encoder.read(faces.crops).probabilities.argmax(1), own >= 0
    scores = {OURS: _score(faces.labels, np.arange(len(labels)), *ours)}
    for title, worker in list(rivals.there.items()):
        names = [parse_emotion(name, labels) for name in worker.about["labels"]]
        index = np.array([labels.index(name) if name else -1 for name in names])
        theirs = rivals.ask(title, lambda worker, t=title, i=index: _answers(worker, folder, faces.crops.shape[1], progress(found, t), i))
        if theirs is None:
            continue
        if names:
            scores[title] = {**_score(faces.labels, index, *theirs), "ours": _score(faces.labels, index, *ours)}
        else:
            scores[title] = {"n": len(own), "found": float(theirs[2].mean())}
    return scores


def _answers(
    worker: Worker, folder: Path, side: int, found: Iterable[dict[str, Any] | None], index: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Answers in our labels on pictures and on bare crops, −1 without one; and where a face was there."""
    answers, alone, there = [], [], []
    for i, face in enumerate(found):
        own, values = worker.ask("read", folder / f"{i}.npy", face)["found"]
        there.append(own is not None)
        answers.append(-1 if values is None else index[np.argmax(values)])
        if "classify" in worker.about["stages"]:
            values = worker.ask("classify", folder / f"{i}.crop.npy", {"box": [0, 0, side, side], "points": None})["found"]
            alone.append(index[np.argmax(values)])
    return np.array(answers), np.array(alone, int), np.array(there)


def _score(truth: np.ndarray, known: np.ndarray, answers: np.ndarray, alone: np.ndarray, there: np.ndarray) -> Figures:
    """Accuracy on the faces whose label is among the `known` ones."""
    rows = np.isin(truth, known)
    war, uar = war_uar(truth[rows], answers[rows], int(truth.max(initial=0)) + 1)

    def mean(values: np.ndarray) -> float | None:
        return float(values.mean()) if len(values) else None

    on_found, on_crop = mean((answers == truth)[rows & there]), mean((alone == truth)[rows]) if len(alone) else None
    return {"n": int(rows.sum()), "found": mean(there[rows]), "war": war, "uar": uar, "war_found": on_found, "war_crop": on_crop}


def wanted_rivals(args: argparse.Namespace) -> Wanted:
    """What the options ask for, every package tried; `UsageError` for one that is not `NAME=PATH` or `KEY=VALUE`."""
    given = assigned("--python", args.python)
    if unknown := set(given) - set(_PACKAGES):
        raise UsageError(f"--python {unknown.pop()}: expected one of {', '.join(_PACKAGES)}")
    rows: list[tuple[str, str, str, dict[str, Any]]] = [
        ("OpenCV YuNet", "yunet", "opencv", {"file": args.yunet or ""}),
        ("OpenCV FER", "opencv-fer", "opencv", {"file": args.fer or "", "yunet_file": args.yunet}),
        ("fer (TensorFlow)", "fer", "fer", {}),
        ("fer (TensorFlow Lite)", "fer", "fer", {"lite": True}),
        ("EmotiEffLib", "emotiefflib", "emotiefflib", {}),
        ("deepface", "deepface", "deepface", {}),
        ("py-feat", "py-feat", "py-feat", {}),
    ]
    for file, *settings in args.onnx or []:
        rows.append((Path(file).stem, "onnx", "", {"file": file, **assigned("--onnx", settings), "threads": args.threads}))
    titles = distinct([row[0] for row in rows])
    return {title: (name, options, given.get(at, sys.executable)) for title, (_, name, at, options) in zip(titles, rows, strict=True)}


def rival_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that say where rivals are."""
    parser.add_argument("--yunet", metavar="FILE", help="OpenCV's YuNet model (face_detection_yunet_*.onnx)")
    parser.add_argument("--fer", metavar="FILE", help="OpenCV's expression model (facial_expression_recognition_*.onnx)")
    parser.add_argument("--python", action="append", metavar="NAME=PATH", help="interpreter that has a package, e.g. fer=venv/bin/python")
    keys = "labels=a,b,… size=N colour=rgb|bgr|grey layout=nchw|nhwc scale= mean= std= margin="
    parser.add_argument(
        "--onnx", action="append", nargs="+", metavar=("FILE", "KEY=VALUE"), help=f"an ONNX classifier and its preprocessing: {keys}"
    )


def _options(parser: argparse.ArgumentParser) -> None:
    data_options(parser, faces=300, required=False)
    parser.add_argument("--rounds", type=whole, default=ROUNDS, metavar="N", help=f"turns of every stage (default: {ROUNDS})")
    rival_options(parser)


def _run(pipeline: Pipeline, args: argparse.Namespace) -> Figures:
    faces = load_faces(args.data, args.split, args.faces, pipeline) if args.data else None
    with Rivals(wanted_rivals(args), args.threads) as rivals:
        return measure(pipeline, rivals, args.threads, rounds=args.rounds, faces=faces)


COMMAND = of_pipeline(_run, _options, default_threads=2, rounds=1, threads=1)
