"""`python -m benchmarks compare`: the same frames through us and through what else is installed.

Every rival runs in a process of its own, reads its own clock, and takes its turn in the same rounds as our stages. Accuracy is counted on
the faces whose label the rival knows, with ours on the same faces beside it; a face that is not found is wrong. What is not installed, or
would have to fetch its weights, is listed as missing with the reason.
"""

from __future__ import annotations

import argparse
import contextlib
import math
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from tqdm.auto import tqdm

from benchmarks.command import Command, Figures, bundle_options, check, distinct, whole
from benchmarks.peers.worker import RivalMissing, Worker
from benchmarks.quality.accuracy import Faces
from benchmarks.quality.reading import data_options, load_faces
from benchmarks.speed.clock import UNIT, Stage, interleave, quiet, summary
from benchmarks.speed.stages import Scene, demo_frame
from edge.cv import cv2
from edge.errors import UsageError
from edge.language.labels import parse_emotion
from edge.pipeline import Pipeline
from edge.sources.camera import Frame
from edge.types import Detection
from training.metrics import war_uar

_ENLARGE = 4
_ABOUT = ("version", "note", "finds", "labels", "package")


@dataclass(frozen=True, slots=True)
class Wanted:
    """A rival to try."""

    title: str
    name: str
    """One of `rivals.RIVALS`."""
    options: dict[str, Any]
    python: str


@dataclass(frozen=True, slots=True)
class Rivals:
    """Rivals that were started: title → process, or why there is none (any more)."""

    workers: dict[str, Worker]
    missing: dict[str, str]

    def there(self) -> dict[str, Worker]:
        """Those that have not failed."""
        return {title: worker for title, worker in self.workers.items() if title not in self.missing}


@contextlib.contextmanager
def started(wanted: list[Wanted], threads: int) -> Iterator[Rivals]:
    """Start the rivals, on `threads` threads as far as they heed it; they end with the context."""
    with contextlib.ExitStack() as stack:
        rivals = Rivals({}, {})
        for rival in tqdm(wanted, desc="rivals", leave=False, disable=None):
            try:
                rivals.workers[rival.title] = stack.enter_context(Worker(rival.name, rival.options, rival.python, threads))
            except RivalMissing as reason:
                rivals.missing[rival.title] = str(reason)
        yield rivals


def speed(pipeline: Pipeline, rivals: Rivals, threads: int, *, rounds: int = 15, seconds: float = 0.0) -> Figures:
    """Time ours and every rival on the same picture, in turns.

    Args:
        pipeline: ours, on `threads` threads.
        rivals: one that fails from now on goes to `missing`.
        threads: of the matmul.
        rounds: at least so many turns of every stage,
        seconds: and at least so long, unless no rival is there.

    Returns:
        `matmul_ms`, `threads`, `rounds`; `systems`: title → `version`, `note`, `finds`, `labels`, `stages` (`find`, `classify`, `network`
        the classifier's function alone, `read` everything); `missing`: title → reason.
    """
    cv2.setNumThreads(threads)
    systems: Figures = {"erv-edge": _ours(pipeline)}
    with tempfile.TemporaryDirectory() as folder:
        stages = _stages(Scene.of(pipeline, demo_frame()), rivals, Path(folder))
        seconds = seconds if rivals.there() else 0.0
        times = interleave(stages, threads, rounds=rounds, seconds=seconds, warmup=0, title="compare")
    systems |= {title: {k: worker.about[k] for k in _ABOUT} for title, worker in rivals.there().items()}
    for title in systems:
        keys = {key.partition("\n")[2]: key for key in times if key.partition("\n")[0] == title}
        systems[title]["stages"] = {stage: summary(key, times) for stage, key in keys.items()}
    told = {"matmul_ms": quiet(UNIT, times), "threads": threads, "rounds": len(times[UNIT])}
    return {**told, "systems": systems, "missing": dict(rivals.missing)}


def recognition(pipeline: Pipeline, rivals: Rivals, faces: Faces) -> Figures:
    """How often ours and every rival are right on the same faces.

    Returns:
        `accuracy`: title → `n`, `found`, `war`, `uar`, `war_found` over the found faces, `war_crop` on the data's own crop without a
        finder, and `ours` the same of us on these faces; `missing`: title → reason.
    """
    with tempfile.TemporaryDirectory() as folder:
        return {"accuracy": _accuracies(pipeline, faces, rivals, Path(folder)), "missing": dict(rivals.missing)}


def join(timed: Figures, read: Figures) -> Figures:
    """What `speed` and `recognition` returned in one: the accuracy in `systems`; what failed in either is missing."""
    missing = {**timed["missing"], **read["missing"]}
    systems = {title: {**row, "accuracy": read["accuracy"][title]} for title, row in timed["systems"].items() if title not in missing}
    return {**timed, "systems": systems, "missing": missing}


def _ours(pipeline: Pipeline) -> Figures:
    from edge import __version__

    note = f"own finder and crop, bundle '{pipeline.bundle.folder.name}'"
    return {"version": __version__, "note": note, "finds": True, "labels": list(pipeline.bundle.config.labels), "package": "erv-edge"}


def _stages(scene: Scene, rivals: Rivals, folder: Path) -> list[Stage]:
    """Our stages and every rival's, their figures named `title\\nstage`; a rival that fails on the picture goes to `missing`."""
    picture = folder / "frame.npy"
    np.save(picture, scene.frame.image_bgr)
    face = _as_face(scene.detection)
    stages = [s for s, name in zip(scene.stages(_ours_as), ("face", "align", "encode", "fast"), strict=False) if name != "align"]
    for title, worker in rivals.there().items():
        try:
            for stage in worker.about["stages"]:
                worker.time(stage, picture, face, 2)
        except RivalMissing as reason:
            rivals.missing[title] = str(reason)
            continue
        stages += [_theirs(title, worker, stage, picture, face, rivals.missing) for stage in worker.about["stages"]]
    return stages


def _ours_as(stage: str) -> str:
    return f"erv-edge\n{ {'face': 'find', 'encode': 'classify', 'fast': 'read'}.get(stage, stage) }"


def _theirs(title: str, worker: Worker, stage: str, picture: Path, face: dict[str, Any], missing: dict[str, str]) -> Stage:
    """One stage of a rival; it goes to `missing` when it fails, and it never answers from then on."""

    def call(calls: int) -> dict[str, list[float]]:
        spent = [math.inf] * calls
        if title not in missing:
            try:
                spent = worker.time(stage, picture, face, calls)
            except RivalMissing as reason:
                missing[title] = str(reason)
        return {f"{title}\n{stage}": spent}

    return call


def _as_face(detection: Detection) -> dict[str, Any]:
    return {"box": detection.box_xyxy.tolist(), "points": detection.points_xy.tolist()}


def framed(crop: np.ndarray) -> np.ndarray:
    """A face crop `[S,S]` as a picture `[H,W,3]`: enlarged, with its border drawn on."""
    large = cv2.resize(crop, None, fx=_ENLARGE, fy=_ENLARGE, interpolation=cv2.INTER_CUBIC)
    return np.asarray(cv2.cvtColor(cv2.copyMakeBorder(large, 24, 24, 64, 64, cv2.BORDER_REPLICATE), cv2.COLOR_GRAY2BGR))


def _accuracies(pipeline: Pipeline, faces: Faces, rivals: Rivals, folder: Path) -> Figures:
    """`accuracy` of every system; a rival that fails on a picture goes to `missing`."""
    config = pipeline.bundle.config
    pictures, crops, found, ours = [], [], [], []
    for i, crop in enumerate(faces.crops):
        picture = framed(crop)
        np.save(folder / f"{i}.npy", picture)
        np.save(folder / f"{i}.crop.npy", cv2.cvtColor(crop, cv2.COLOR_GRAY2BGR))
        pictures.append(folder / f"{i}.npy")
        crops.append(folder / f"{i}.crop.npy")
        seen = pipeline.look(Frame(picture, "benchmark", i, 0.0)).reading
        found.append(_as_face(seen.faces[0].detection) if seen.faces else None)
        ours.append(config.labels.index(seen.faces[0].emotion) if seen.faces else -1)
    own = np.array(ours)
    given = pipeline.encoder.read(faces.crops).probabilities.argmax(1)
    every = np.arange(len(config.labels))
    scores = {"erv-edge": _score(faces.labels, own, given, every)}
    for title, worker in rivals.there().items():
        labels = worker.about["labels"]
        names = [parse_emotion(name, config.labels) for name in labels]
        index = np.array([config.labels.index(name) if name else -1 for name in names])
        try:
            answers, alone, there = _answers(worker, pictures, crops, found, index, title)
        except RivalMissing as reason:
            rivals.missing[title] = str(reason)
            continue
        if not labels:
            scores[title] = {"n": len(own), "found": float(there.mean())}
            continue
        scored = _score(faces.labels, answers, alone, index, there)
        scores[title] = {**scored, "ours": _score(faces.labels, own, given, index)}
    return scores


def _answers(
    worker: Worker, pictures: list[Path], crops: list[Path], found: list[dict[str, Any] | None], index: np.ndarray, title: str
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Answers in our labels on pictures and on bare crops, −1 without one; and where a face was there."""
    answers, alone, there = [], [], []
    side = int(np.load(crops[0]).shape[0])
    for picture, crop, face in zip(tqdm(pictures, desc=title, leave=False, disable=None), crops, found, strict=True):
        own, values = worker.read(picture, face)
        there.append(own is not None)
        answers.append(int(index[values.argmax()]) if values is not None else -1)
        if "classify" in worker.about["stages"]:
            alone.append(int(index[worker.classify(crop, {"box": [0, 0, side, side], "points": None}).argmax()]))
    return np.array(answers), np.array(alone, int), np.array(there)


def _score(truth: np.ndarray, answers: np.ndarray, alone: np.ndarray, known: np.ndarray, there: np.ndarray | None = None) -> Figures:
    """Accuracy on the faces whose label is among the `known` ones."""
    there = answers >= 0 if there is None else there
    rows = np.isin(truth, known)
    classes = int(truth.max(initial=0)) + 1
    war, uar = war_uar(truth[rows], answers[rows], classes)
    right = answers == truth
    return {
        "n": int(rows.sum()),
        "found": float(there[rows].mean()) if rows.any() else float("nan"),
        "war": war,
        "uar": uar,
        "war_found": float(right[rows & there].mean()) if (rows & there).any() else float("nan"),
        "war_crop": float((alone == truth)[rows].mean()) if len(alone) and rows.any() else None,
    }


def wanted_rivals(args: argparse.Namespace) -> list[Wanted]:
    """What the options ask for; every package is tried.

    Raises:
        UsageError: an option that is not `NAME=PATH` or `KEY=VALUE`.
    """
    pythons = dict(_pairs("--python", args.python))
    unknown = set(pythons) - {"fer", "emotiefflib", "deepface", "py-feat", "opencv"}
    if unknown:
        raise UsageError(f"--python {unknown.pop()}: expected one of fer, emotiefflib, deepface, py-feat, opencv")
    own, cv = sys.executable, pythons.get("opencv", sys.executable)
    fer = pythons.get("fer", own)
    rivals = [
        Wanted("OpenCV YuNet", "yunet", {"file": args.yunet or ""}, cv),
        Wanted("OpenCV FER", "opencv-fer", {"file": args.fer or "", "yunet": args.yunet}, cv),
        Wanted("fer (TensorFlow)", "fer", {}, fer),
        Wanted("fer (TensorFlow Lite)", "fer-lite", {"lite": True}, fer),
        Wanted("EmotiEffLib", "emotiefflib", {}, pythons.get("emotiefflib", own)),
        Wanted("deepface", "deepface", {}, pythons.get("deepface", own)),
        Wanted("py-feat", "py-feat", {}, pythons.get("py-feat", own)),
    ]
    for file, *settings in args.onnx or []:
        rivals.append(Wanted(Path(file).stem, "onnx", {"file": file, **dict(_pairs("--onnx", settings)), "threads": args.threads}, own))
    titles = distinct([rival.title for rival in rivals])
    return [replace(rival, title=title) for rival, title in zip(rivals, titles, strict=True)]


def _pairs(option: str, texts: list[str] | None) -> Iterator[tuple[str, str]]:
    for text in texts or []:
        key, there, value = text.partition("=")
        if not (key and there and value):
            raise UsageError(f"{option} '{text}': expected NAME=VALUE")
        yield key, value


def rival_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that say where rivals are."""
    parser.add_argument("--yunet", metavar="FILE", help="OpenCV's YuNet model (face_detection_yunet_*.onnx)")
    parser.add_argument("--fer", metavar="FILE", help="OpenCV's expression model (facial_expression_recognition_*.onnx)")
    parser.add_argument("--python", action="append", metavar="NAME=PATH", help="interpreter that has a package, e.g. fer=venv/bin/python")
    parser.add_argument(
        "--onnx",
        action="append",
        nargs="+",
        metavar=("FILE", "KEY=VALUE"),
        help="an ONNX classifier and its preprocessing: labels=a,b,… size=N colour=rgb|bgr|grey layout=nchw|nhwc scale= mean= std= margin=",
    )


def _options(parser: argparse.ArgumentParser) -> None:
    data_options(parser, faces=300)
    next(action for action in parser._actions if action.dest == "data").required = False
    bundle_options(parser, threads=2)
    parser.add_argument("--rounds", type=whole, default=15, metavar="N", help="turns of every stage, at least (default: 15)")
    parser.add_argument("--seconds", type=float, default=60.0, metavar="T", help="measuring time, at least (default: 60)")
    rival_options(parser)


def _run(args: argparse.Namespace) -> Figures:
    check(args, rounds=1, seconds=0, threads=1)
    rivals = wanted_rivals(args)
    with Pipeline.load(args.bundle, device=args.device, threads=args.threads) as pipeline:
        faces = load_faces(args.data, args.split, args.faces, pipeline) if args.data else None
        with started(rivals, args.threads) as running:
            timed = speed(pipeline, running, args.threads, rounds=args.rounds, seconds=args.seconds)
            return timed if faces is None else join(timed, recognition(pipeline, running, faces))


COMMAND = Command(_options, _run)
