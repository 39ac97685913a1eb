"""Faces in which one thing has moved, and what a bundle makes of them: the material of `intervene`."""

from __future__ import annotations

import argparse
import itertools
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from benchmarks.command import whole
from benchmarks.quality.corruptions import pressed
from benchmarks.quality.reading import cue_model, explain, read_crops
from edge.cv import cv2
from edge.errors import InputError
from edge.language.labels import EMOTIONS_8
from edge.pipeline import Pipeline
from edge.types import Explanation, Verdict
from training.cues import CUE_NAMES
from training.data import data_folder, load_ferplus, load_today, read_pack, reframe, resized
from training.intervene import Mover, at_rest
from training.levers import Held, Steer

CONTROLS = ("there and back", "aside", "mirror", "light", "jpeg")
"""What must change nothing."""
SOURCES = ("ferplus", "today", "elsewhere")


@dataclass(frozen=True, slots=True)
class Subject:
    """One face that can be moved."""

    source: str
    image: np.ndarray
    """`[S,S]` uint8, as the pack has it."""
    landmarks: np.ndarray
    """`[172,3]` pixels of it."""
    held: Held
    truth: str | None
    """Its label; `None` where no emotion is known."""
    at_rest: bool = False
    """Whether it is labelled neutral, or where no emotion is known at rest by its blendshapes."""

    def crop(self, image: np.ndarray, size: int) -> np.ndarray:
        """A picture of this face as the encoder takes it: FER+'s framing, `[size,size]`."""
        return resized(image[None], size)[0] if self.source == "ferplus" else reframe(image, size)


@dataclass(frozen=True, slots=True)
class Item:
    """A picture to be read: a face as it is, or after something was done to it."""

    face: int
    """Row of the face."""
    kind: str
    """`base`, `move`, `undo`, `named`, `unnamed`, `built`, `built otherwise`, `apart`, or one of `CONTROLS`."""
    crop: np.ndarray
    """`[size,size]` uint8."""
    after: np.ndarray
    """`[C]` cues by the landmarks, in the order of `CUE_NAMES`."""
    wanted: dict[str, float] = field(default_factory=dict)
    """Cue → deviations that it was to move by."""
    answer: str = ""
    """The label whose reasons were undone or built."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a bundle made of an item."""

    label: str
    probabilities: dict[str, float]
    cues: dict[str, float]
    """As the encoder reads them."""
    explanation: Explanation
    units: np.ndarray
    """`[U]` the encoder's action units."""

    @property
    def text(self) -> bool:
        """Whether a text is shown."""
        return self.explanation.status is Verdict.VERIFIED


def subjects(source: str, folder: Path, steer: Steer, count: int, split: str) -> list[Subject]:
    """`count` faces of a source that can be moved: evenly of every emotion, of `today` half at rest; `InputError` without its pack."""
    if source == "ferplus":
        pack = load_ferplus(folder, split)
        labels = [EMOTIONS_8[i] if i >= 0 else "" for i in pack.label]
        return _taken(source, labels, lambda i: (pack.images[i], pack.landmarks[i]), steer, count)
    if source == "today":
        faces = load_today(folder, held_out=True)
        labels = [_REST if quiet else _ANY for quiet in at_rest(faces.blendshapes, faces.shape_names)]
        return _taken(source, labels, lambda i: (faces.images[i], faces.landmarks[i]), steer, count)
    path = folder / f"faces_{source}.zip"
    (landmarks,) = read_pack(path.with_suffix(".npz"), "landmarks")
    try:
        with zipfile.ZipFile(path) as archive:
            files = [name for name in archive.namelist() if name.endswith(".jpg")]
            labels = [emotion if (emotion := name.split("/")[-2]) in EMOTIONS_8[:-1] else "" for name in files]

            def face(i: int) -> tuple[np.ndarray, np.ndarray]:
                image = cv2.imdecode(np.frombuffer(archive.read(files[i]), np.uint8), cv2.IMREAD_GRAYSCALE)
                return image, landmarks[i].astype(np.float32) / 16

            return _taken(source, labels, face, steer, count)
    except (OSError, KeyError, IndexError, zipfile.BadZipFile, cv2.error) as error:
        raise InputError(f"'{path}' is damaged: {error}") from None


def source_options(parser: argparse.ArgumentParser, faces: int) -> None:
    """Add `--data`, `--source`, `--split` and `--faces`, by default so many of each source."""
    parser.add_argument("--data", type=Path, help="folder of the data packs (default: ERV_DATA, or ../shared/data)")
    parser.add_argument("--source", action="append", choices=SOURCES, help="repeat; default: all of them")
    parser.add_argument("--split", choices=("train", "valid", "test"), default="test", help="of FER+ (default: test)")
    parser.add_argument("--faces", type=whole, default=faces, metavar="N", help=f"of each source (default: {faces})")


def chosen(pipeline: Pipeline, args: argparse.Namespace) -> tuple[Steer, list[Subject]]:
    """The faces that the options name, and what moves them."""
    data = data_folder(args.data)
    steer = Steer(Mover.load(data), cue_model(pipeline.config, CUE_NAMES))
    sources = dict.fromkeys(args.source or SOURCES)
    return steer, [subject for source in sources for subject in subjects(source, data, steer, max(1, args.faces), args.split)]


def present(folder: Path) -> tuple[str, ...]:
    """Which sources a folder of data packs holds."""
    return tuple(s for s in SOURCES if (folder / ("ferplus_images.npz" if s == "ferplus" else f"faces_{s}.zip")).is_file())


_REST, _ANY = "at rest", "face"


def _taken(source: str, labels: list[str], face: Callable[[int], tuple[np.ndarray, np.ndarray]], steer: Steer, count: int) -> list[Subject]:
    """Take turns between the labels, each label's faces in an order of their own, until there are enough; an empty label is left out."""

    def subject(i: int) -> Subject | None:
        image, landmarks = face(i)
        try:
            steer.mover.move(image, landmarks, {})
            held = steer.hold(landmarks)
        except ValueError:
            return None
        return Subject(source, image, landmarks, held, None if source == "today" else labels[i], labels[i] in (_REST, "neutral"))

    random = np.random.default_rng(0)
    groups = [random.permutation([i for i, label in enumerate(labels) if label == name]) for name in sorted({*labels} - {""})]
    turns = itertools.chain.from_iterable(itertools.zip_longest(*(group[::-1].tolist() for group in groups)))
    return list(itertools.islice(filter(None, (subject(i) for i in turns if i is not None)), count))


def read(pipeline: Pipeline, items: list[Item], title: str) -> list[Outcome]:
    """Read and explain every item."""
    if not items:
        return []
    found = read_crops(pipeline, np.stack([item.crop for item in items]))
    _, final = explain(pipeline, found, title=title)
    labels, cues = pipeline.config.labels, [cue.name for cue in pipeline.config.cues]
    return [
        Outcome(labels[shown], dict(zip(labels, p, strict=True)), dict(zip(cues, z, strict=True)), explanation, units)
        for shown, p, z, explanation, units in zip(
            found.shown, found.encoded.probabilities.tolist(), found.encoded.cues.tolist(), final, found.encoded.units, strict=True
        )
    ]


class Maker:
    """Makes the items of one face."""

    def __init__(self, face: int, subject: Subject, mover: Mover, size: int) -> None:
        self.face, self.subject, self._mover, self._size = face, subject, mover, size

    def base(self) -> Item:
        """The face as it is."""
        return self._item("base", self.subject.image, self.subject.held.cues)

    def moved(self, kind: str, wanted: dict[str, float], answer: str = "") -> Item | None:
        """The face with cues moved; `None` where it cannot be taken there."""
        if not wanted or (found := self.subject.held.to(wanted)) is None:
            return None
        amounts, after = found
        try:
            picture, _ = self._mover.move(self.subject.image, self.subject.landmarks, amounts)
        except ValueError:
            return None
        return self._item(kind, picture, after, wanted, answer)

    def controls(self, random: np.random.Generator) -> list[Item]:
        """The face after what must change nothing."""
        image, cues = self.subject.image, self.subject.held.cues
        flip = np.array([-1.0 if name == "corner_asymmetry" else 1.0 for name in CUE_NAMES])
        found = [
            self._item("mirror", image[:, ::-1].copy(), cues * flip),
            self._item("light", _lit(image, random), cues),
            self._item("jpeg", pressed(image, 60), cues),
            self._item("aside", self._aside(random), cues),
        ]
        cue = str(random.choice(["inner_brow", "mouth_width", "lip_corners"]))
        if (there := self.subject.held.to({cue: 2.0})) is not None:
            picture, landmarks = self._mover.move(image, self.subject.landmarks, there[0])
            back, _ = self._mover.move(picture, landmarks, {name: -amount for name, amount in there[0].items()})
            found.append(self._item("there and back", back, cues))
        return found

    def _item(self, kind: str, picture: np.ndarray, after: np.ndarray, wanted: dict[str, float] | None = None, answer: str = "") -> Item:
        return Item(self.face, kind, self.subject.crop(picture, self._size), after, wanted or {}, answer)

    def _aside(self, random: np.random.Generator) -> np.ndarray:
        """The ground, hair and neck around the face pushed about by as much as a raised lip corner, the face itself not."""
        image, side = self.subject.image, len(self.subject.image)
        inside = np.zeros(image.shape, np.uint8)
        cv2.fillConvexPoly(inside, cv2.convexHull(self.subject.landmarks[:, :2].round().astype(np.int32)), 255)
        away = np.clip(cv2.distanceTransform(255 - inside, cv2.DIST_L2, 3) / (0.08 * side), 0, 1)
        y, x = np.mgrid[:side, :side].astype(np.float32)
        phase = random.uniform(0, 2 * np.pi, 2)
        by = 0.03 * side * away
        map_x = x + by * np.sin(4 * np.pi * y / side + phase[0])
        map_y = y + by * np.sin(4 * np.pi * x / side + phase[1])
        return np.asarray(
            cv2.remap(image, map_x.astype(np.float32), map_y.astype(np.float32), cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
        )


def _lit(image: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Darker or brighter by a fifth, with a slope of light across."""
    ramp = np.linspace(-0.1, 0.1, image.shape[1], dtype=np.float32) * random.choice([-1, 1])
    return np.clip(image * (random.choice([0.8, 1.2]) + ramp), 0, 255).astype(np.uint8)
