"""Faces with known labels, and what a pipeline reads from them: shared by the rooms that measure over a data set."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

from benchmarks.command import Command, Figures, of_pipeline, progress, whole
from edge.bundle import BundleConfig
from edge.cv import cv2
from edge.errors import InputError
from edge.language.explain import Subject, subjects_of
from edge.language.labels import parse_emotion
from edge.pipeline import Pipeline
from edge.sources.camera import Frame
from edge.sources.picture import as_grey, read_image
from edge.types import Explanation, Verdict
from edge.vision.encoder import Encoded
from edge.vision.realign import realign
from training.cues import CueModel
from training.data import load_ferplus
from training.drafts import measured_cues

_SUFFIXES = {".png", ".jpg", ".jpeg"}
_BATCH = 64
_LARGE_PX = 192


@dataclass(frozen=True, slots=True)
class Faces:
    """Labelled face crops."""

    crops: np.ndarray
    """`[N,S,S]` uint8."""
    labels: np.ndarray
    """`[N]` index into the bundle's labels."""
    cues: np.ndarray
    """`[N,C]` z-scores from landmarks, NaN rows where there are none."""
    lost: tuple[int, ...] = ()
    """Labels of the photos in which no face was found; they count as wrong."""


def cue_model(config: BundleConfig, names: Sequence[str] | None = None) -> CueModel:
    """The bundle's own standardisation of what landmarks tell: of its cues in their order, or of those named."""
    specs = {cue.name: cue for cue in config.cues}
    if missing := [name for name in names or () if name not in specs]:
        raise InputError(f"the bundle has no cue '{missing[0]}': it cannot be moved")
    mean, std = (np.array([getattr(specs[name], key) for name in names or specs]) for key in ("mean", "std"))
    return CueModel(np.array(config.rigid_shape), mean, std)


def load_pack(path: Path, split: str, pipeline: Pipeline) -> Faces:
    """The FER+ faces of a split that the reference protocol counts, with cues measured from the landmark pack beside it."""
    faces = load_ferplus(path, split).at(pipeline.config.image.size)
    faces = faces.take(faces.label >= 0)
    if not len(faces):
        raise InputError(f"'{path}' has no face in its {split} split that the reference protocol counts")
    return Faces(faces.images, faces.label, measured_cues(pipeline.config, faces))


def of_emotions(folder: Path, labels: Sequence[str]) -> list[tuple[Path, str]]:
    """What lies in sub-folders named after one of the labels, or a word for it, and the label."""
    named = {sub: parse_emotion(sub.name, labels) for sub in sorted(folder.iterdir()) if sub.is_dir()} if folder.is_dir() else {}
    return [(path, emotion) for sub, emotion in named.items() if emotion for path in sorted(sub.iterdir())]


def load_folder(folder: Path, pipeline: Pipeline, *, find_faces: bool) -> Faces:
    """`folder/<emotion>/*.png|jpg`: face crops, or whole photos whose largest face is taken; `InputError` without any."""
    config = pipeline.bundle.config
    pictures = [(path, emotion) for path, emotion in of_emotions(folder, config.labels) if path.suffix.lower() in _SUFFIXES]
    if not pictures:
        raise InputError(f"'{folder}' has no sub-folder named after an emotion with pictures in it ({', '.join(config.labels)})")
    crops, labels, lost = [], [], []
    for path, emotion in progress(pictures, "pictures"):
        grey = as_grey(read_image(path))
        if find_faces:
            found = realign(grey, pipeline.finder(grey), pipeline.encoder, pipeline.config)
            if not found:
                lost.append(config.labels.index(emotion))
                continue
            grey = found[0].crop
        else:
            grey = np.asarray(cv2.resize(grey, (config.image.size,) * 2, interpolation=cv2.INTER_AREA))
        crops.append(grey)
        labels.append(config.labels.index(emotion))
    if not crops:
        raise InputError(f"no face was found in the {len(lost)} photos under '{folder}'")
    return Faces(np.stack(crops), np.array(labels), np.full((len(crops), len(config.cues)), np.nan), tuple(lost))


@dataclass(frozen=True, slots=True)
class Read:
    """What was read from N crops."""

    encoded: Encoded

    @property
    def shown(self) -> np.ndarray:
        """`[N]` index of the label that is shown."""
        return np.asarray(self.encoded.probabilities.argmax(1))

    @property
    def confidence(self) -> np.ndarray:
        """`[N]` its calibrated probability."""
        return np.asarray(self.encoded.probabilities.max(1))


def data_options(parser: argparse.ArgumentParser, *, faces: int, split: str = "test", required: bool = True) -> None:
    """Add `--data`, `--split` and `--faces`."""
    parser.add_argument("--data", type=Path, required=required, help="ferplus_images.npz, or a folder DIR/<emotion>/*.png|jpg")
    parser.add_argument("--split", choices=("train", "valid", "test"), default=split, help=f"of a pack (default: {split})")
    text = "all" if faces == 0 else str(faces)
    parser.add_argument("--faces", type=whole, default=faces, metavar="N", help=f"evenly chosen; 0: all (default: {text})")


def evenly(count: int, limit: int) -> np.ndarray:
    """All of `count` rows, or `limit` of them, evenly spaced; 0: all."""
    return np.linspace(0, count - 1, limit).astype(int) if 0 < limit < count else np.arange(count)


def load_faces(data: Path, split: str, faces: int, pipeline: Pipeline, *, find_faces: bool = False) -> Faces:
    """Load a pack or a folder of emotion folders; `faces` of them, evenly spaced, unless 0."""
    loaded = load_pack(data, split, pipeline) if data.suffix == ".npz" else load_folder(data, pipeline, find_faces=find_faces)
    rows = evenly(len(loaded.labels), faces)
    return replace(loaded, crops=loaded.crops[rows], labels=loaded.labels[rows], cues=loaded.cues[rows])


def read_crops(pipeline: Pipeline, crops: np.ndarray) -> Read:
    """Encode `[N,S,S]` crops."""
    return Read(pipeline.encoder.read(crops))


def framed(crop: np.ndarray) -> Frame:
    """A face crop `[S,S]` as a picture in which a face can be found: enlarged to 192 pixels, with its border drawn on."""
    large = cv2.resize(crop, (_LARGE_PX, _LARGE_PX), interpolation=cv2.INTER_CUBIC)
    picture = cv2.cvtColor(cv2.copyMakeBorder(large, 24, 24, 64, 64, cv2.BORDER_REPLICATE), cv2.COLOR_GRAY2BGR)
    return Frame(np.asarray(picture), "benchmark", 0, 0.0)


def explain(pipeline: Pipeline, read: Read, *, title: str = "explain") -> tuple[list[Explanation], list[Explanation]]:
    """The greedy draft of every face, and what the runtime makes of it."""
    return explain_subjects(pipeline, subjects_of(read.encoded, pipeline.config), title=title)


def explain_subjects(pipeline: Pipeline, subjects: list[Subject], *, title: str) -> tuple[list[Explanation], list[Explanation]]:
    """As `explain`, of faces that were read one by one."""
    drafts: list[Explanation] = []
    final: list[Explanation] = []
    for i in progress(range(0, len(subjects), _BATCH), title):
        some = subjects[i : i + _BATCH]
        drafts += pipeline.explainer.draft(some)
        final += [pipeline.explainer.settle(draft, subject) for draft, subject in zip(drafts[i:], some, strict=True)]
    return drafts, final


def verdict_rates(final: Sequence[Explanation], right: np.ndarray, lost: int = 0) -> Figures:
    """`verified_rate`, `verified_and_wrong` (by whether each shown label is `right`) and `abstained_rate`, of `lost` further faces too."""
    verified, abstained = (np.array([e.status is status for e in final], bool) for status in (Verdict.VERIFIED, Verdict.ABSTAINED))
    counts = {"verified_rate": verified, "verified_and_wrong": verified & ~right, "abstained_rate": abstained}
    return {name: float(which.sum() / (len(final) + lost)) for name, which in counts.items()}


def over_faces(measure: Callable[[Pipeline, Faces], Figures], *, faces: int, split: str = "test") -> Command:
    """The command of a room that measures one bundle over labelled faces, by default `faces` of a split."""

    def run(pipeline: Pipeline, args: argparse.Namespace) -> Figures:
        return measure(pipeline, load_faces(args.data, args.split, args.faces, pipeline))

    return of_pipeline(run, partial(data_options, faces=faces, split=split))
