"""`python -m benchmarks faces`: face finders side by side, on pictures whose faces are known.

The bundle's finder, others (`--beside`) and YuNet look at the same pictures, each at one size that all share and at its own. YuNet is the
yardstick: what it finds at a size is what can be asked at that size, so recall is also given over YuNet's.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from benchmarks import pictures
from benchmarks.command import Command, Figures, bundle_options, progress, whole
from benchmarks.quality import face_sets
from benchmarks.quality.interval import share
from benchmarks.quality.photographs import PACK, Photographs, load_photographs
from edge.bundle import SCREEN, Bundle, FaceSpec
from edge.cv import cv2
from edge.engine.backend import OrtSession, Session
from edge.errors import InputError
from edge.sources.picture import as_grey
from edge.types import Detection
from edge.vision.encoder import FaceEncoder
from edge.vision.finder import FaceFinder, box_overlap
from edge.vision.realign import realign
from edge.vision.screen import Screen
from training.compose import Scene
from training.pieces import load_sources
from training.teacher import SURE

WIDTHS = ((0, 0.02), (0.02, 0.03), (0.03, 0.05), (0.05, 0.1), (0.1, 0.2), (0.2, 1))
"""Widths of faces, share of the picture's width."""
TURNS = ((0, 30), (30, 60), (60, 120), (120, 181))
"""In the picture's plane, degrees."""
_SAME, _OTHER = 0.5, 0.3
_WAY_UP = 0.4  # mean distance of the points over the eye distance: those of a face read upside down are a whole one away

Find = Callable[[np.ndarray], list[Detection]]


@dataclass(slots=True)
class Tally:
    """What one finder made of one set."""

    found: list[np.ndarray] = field(default_factory=list)
    """Per picture `[F]` bool."""
    false: list[int] = field(default_factory=list)
    """Per picture: faces where none is."""
    error: list[np.ndarray] = field(default_factory=list)
    """Per picture `[F]`: mean distance of the five points over the eye distance; NaN where not found or not known."""

    def add(self, seen: Scene, faces: list[Detection]) -> None:
        """One picture more; a found face answers for one known face."""
        hit, error = np.zeros(len(seen.boxes), bool), np.full(len(seen.boxes), np.nan)
        boxes = np.reshape([face.box_xyxy for face in faces], (-1, 4))
        free = np.ones(len(faces), bool)
        if faces and seen.boxes:
            shared = box_overlap(np.stack(seen.boxes), boxes)
            free &= shared.max(0) < _OTHER
            for i, j in zip(*np.unravel_index(np.argsort(-shared, axis=None), shared.shape), strict=True):
                if shared[i, j] < _SAME:
                    break
                hit[i] = True
                apart = np.linalg.norm(faces[j].points_xy - seen.points[i], axis=1).mean()
                error[i] = apart / max(1e-6, float(np.linalg.norm(seen.points[i][0] - seen.points[i][1])))
                shared[i], shared[:, j] = 0, 0
        if faces and seen.unsure:
            free &= box_overlap(np.stack(seen.unsure), boxes).max(0) < 0.1
        self.found.append(hit)
        self.false.append(int(free.sum()))
        self.error.append(error)


def compare(finders: dict[str, Find], scenes: Iterable[Scene], title: str, misses: Misses | None = None) -> Figures:
    """Let every finder look at a set, the last of them the yardstick: `pictures`, `faces` and a record per finder (see `figures`)."""
    tallies = {name: Tally() for name in finders}
    *_, yardstick = tallies.values()
    faces: list[tuple[float, float, str]] = []
    for picture in progress(scenes, title):
        looked = [find(picture.picture) for find in finders.values()]
        for tally, found in zip(tallies.values(), looked, strict=True):
            tally.add(picture, found)
        if misses:
            misses.add(picture, looked[0], next(iter(tallies.values())).found[-1], yardstick.found[-1])
        wide, turn = picture.picture.shape[1], np.abs((np.array(picture.turns_deg) + 180) % 360 - 180)
        faces += [((box[2] - box[0]) / wide, *its) for box, *its in zip(picture.boxes, turn, picture.tags, strict=True)]
    rows: Figures = {"pictures": len(yardstick.found), "faces": len(faces)}
    for name, tally in tallies.items():
        rows[name] = figures(tally, parts(faces), yardstick if tally is not yardstick else None)
    return rows


def parts(faces: list[tuple[float, float, str]]) -> dict[str, np.ndarray]:
    """Name → which of the faces, width, turn and tag, belong to it `[F]` bool: by width, by turn, by what was done to them."""
    bins = {f"width {low:.0%} to {high:.0%}": [low <= width < high for width, _, _ in faces] for low, high in WIDTHS}
    bins |= {f"turned {low} to {high} deg": [low <= turn < high for _, turn, _ in faces] for low, high in TURNS}
    bins |= {tag: [tag == its for *_, its in faces] for tag in sorted({tag for *_, tag in faces})}
    return {name: np.array(mine) for name, mine in bins.items() if any(mine)}


def figures(tally: Tally, parts: dict[str, np.ndarray], yardstick: Tally | None) -> Figures:
    """`recall` and `over_yardstick` with intervals over pictures, recall by part, false faces a picture, point error of those found."""
    hits, counts = np.array([f.sum() for f in tally.found]), np.array([len(f) for f in tally.found])
    found: Figures = {"false_a_picture": float(np.mean(tally.false))}
    if not counts.sum():
        return found
    found["recall"] = share(hits, counts)
    if yardstick:
        found["over_yardstick"] = share(hits, np.array([f.sum() for f in yardstick.found]))
    every, error = np.concatenate(tally.found), np.concatenate(tally.error)
    known = np.isfinite(error)
    if known.any():
        found |= {"point_error": error[known].mean(), "point_error_median": np.median(error[known])}
        found["right_way_up"] = (error[known] < _WAY_UP).mean()
    found["parts"] = {name: {"faces": int(mine.sum()), "recall": every[mine].mean()} for name, mine in parts.items()}
    return found


class Misses:
    """What went wrong: known faces that the first finder missed and the yardstick found, and faces where none is."""

    def __init__(self, side: int = 128, most: int = 60) -> None:
        self.tiles: dict[str, list[np.ndarray]] = {"missed": [], "false": []}
        self.side, self.most = side, most

    def add(self, seen: Scene, faces: list[Detection], hit: np.ndarray, yardstick: np.ndarray) -> None:
        """One picture more: what the first finder found in it, and which known faces `[F]` it and the yardstick hit."""
        known = np.reshape([*seen.boxes, *seen.unsure], (-1, 4))
        self._keep("missed", seen.picture, [seen.boxes[i] for i in np.flatnonzero(yardstick & ~hit)])
        self._keep("false", seen.picture, [f.box_xyxy for f in faces if box_overlap(known, f.box_xyxy[None]).max(initial=0) < 0.1])

    def _keep(self, kind: str, picture: np.ndarray, boxes: list[np.ndarray]) -> None:
        for box in boxes[: self.most - len(self.tiles[kind])]:
            reach = int((box[2:] - box[:2]).max())
            tile = cv2.getRectSubPix(picture, (2 * reach, 2 * reach), ((box[:2] + box[2:]) / 2).tolist())
            self.tiles[kind].append(pictures.titled(cv2.resize(tile, (self.side, self.side)), f"{kind}, {box[2] - box[0]:.0f} px"))

    def picture(self) -> np.ndarray:
        """Misses above, false faces below, ten in a row."""
        rows = []
        for tiles in self.tiles.values():
            padded = tiles + [np.full((self.side + pictures.TITLE_PX, self.side), 255, np.uint8)] * (-len(tiles) % 10)
            rows += [np.hstack(padded[at : at + 10]) for at in range(0, len(padded), 10)]
        return np.vstack(rows) if rows else np.full((self.side, 10 * self.side), 255, np.uint8)


def measure(finders: dict[str, Find], data: Path, cache: Path, part: str, scenes: int, misses: Misses | None = None) -> Figures:
    """Every set through every finder; `audit` counts a photograph as found when a face lies on its middle."""
    sources = load_sources(data, cache, part)
    sets: dict[str, Iterable[Scene]] = {
        "held_out": face_sets.held_out(sources.photos),
        "empty": face_sets.empties(sources.empty),
        "scenes": face_sets.composed(sources, scenes),
        **{f"collages_{n * n}": face_sets.collages(sources, n, count) for n, count in face_sets.COLLAGES.items()},
        "upside_down": face_sets.held_out(sources.photos, 180),
        "on_side": face_sets.held_out(sources.photos, 90),
        "profiles": face_sets.heads_of_kind(sources, "profile", max(1, scenes // 8)),
        "masked": face_sets.heads_of_kind(sources, "masked", max(1, scenes // 8)),
    }
    found = {name: compare(finders, its, name, misses) for name, its in sets.items()}
    if (data / PACK).is_file():
        found["audit"] = audit(finders, load_photographs(data))
    return found


def audit(finders: dict[str, Find], photographs: Photographs) -> Figures:
    """Share of the audit photographs in which a face lies on the middle, by finder: of the `least` group, of `all`, of `groups`."""
    groups = np.array([f"{race}, {gender}" for race, gender in zip(photographs.race, photographs.gender, strict=True)])
    hits = {name: np.zeros(len(groups), bool) for name in finders}
    for i in progress(range(len(groups)), "audit"):
        picture = photographs.picture(i)
        middle = np.array(picture.shape[1::-1]) / 2
        for name, find in finders.items():
            boxes = np.reshape([face.box_xyxy for face in find(picture)], (-1, 4))
            hits[name][i] = ((boxes[:, :2] < middle) & (middle < boxes[:, 2:])).all(1).any()
    found: Figures = {}
    for name, hit in hits.items():
        shares = {str(group): float(hit[groups == group].mean()) for group in np.unique(groups)}
        found[name] = {"least": min(shares.values()), "all": float(hit.mean()), "groups": shares}
    return found


def times(finders: dict[str, Find], rounds: int = 30) -> Figures:
    """Milliseconds a picture, median and twentieth, every finder in turn so that all see the same machine."""
    rng, found = np.random.default_rng(0), {}
    for width, height in ((640, 480), (1280, 720), (1920, 1080)):
        picture = cv2.GaussianBlur(rng.integers(0, 256, (height, width), np.uint8), (0, 0), 3)
        spent: dict[str, list[float]] = {name: [] for name in finders}
        for _ in range(rounds):
            for name, find in finders.items():
                started = time.perf_counter()
                find(picture)
                spent[name].append((time.perf_counter() - started) * 1e3)
        found[f"{width}x{height}"] = {
            name: {"median": float(np.median(values)), "low": float(np.quantile(values, 0.05))} for name, values in spent.items()
        }
    return found


@dataclass(frozen=True, slots=True)
class Looker:
    """A graph that finds faces, how it is run, the screen that looks at its finds, and the encoder that places their points."""

    session: Session
    spec: FaceSpec
    encoder: FaceEncoder | None = None
    screen: Screen | None = None

    def at(self, size: int) -> Find:
        """A finder whose every look has a long side of `size` pixels; 0: at its own."""
        spec = replace(self.spec, long_side=size, least_px=0.0) if size else self.spec
        inputs = ("input" if spec.yunet else "picture",)
        finder = FaceFinder(self.session, spec, inputs, screen=self.screen)
        encoder = self.encoder
        if encoder is None:
            return finder

        def find(picture: np.ndarray) -> list[Detection]:
            grey = as_grey(picture) if picture.ndim == 3 else picture
            return [face.place for face in realign(grey, finder(picture), encoder, encoder.config)]

        return find


def _run(args: argparse.Namespace) -> Figures:
    data, graphs = args.data.parent if args.data.is_file() else args.data, {}
    yardstick = args.yunet or data / "yunet_n_dynamic.onnx"
    if not yardstick.is_file():
        raise InputError(f"no YuNet at '{yardstick}': give the folder of the data packs to --data, or its file to --yunet")
    for name, folder in [("finder", args.bundle), *((path.resolve().name, path) for path in args.beside)]:
        bundle = Bundle.load(folder)
        config = bundle.config
        encoder = FaceEncoder(OrtSession(bundle.graph("vision_encoder"), threads=args.threads), config)
        screen = Screen(OrtSession(bundle.graph(SCREEN), threads=1), config.image, config.face.least_sure) if config.face.screened else None
        graphs[name] = Looker(OrtSession(bundle.graph("face"), threads=args.threads), config.face, encoder, screen)
    graphs["yunet"] = Looker(OrtSession(yardstick, threads=args.threads), FaceSpec(100_000, SURE, 0.45, channels=3, yunet=True))
    sizes = {f"at_{size}" if size else "at_their_own_size": size for size in args.size}
    found: Figures = {"sizes": args.size, "part": args.part}
    for title, size in sizes.items():
        finders = {name: looker.at(size) for name, looker in graphs.items()}
        misses = Misses() if args.picture and not size else None
        found[title] = measure(finders, data, args.cache, args.part, args.scenes, misses) | {"ms": times(finders)}
        if args.picture and misses:
            pictures.save(args.picture, misses.picture())
    return found


def _options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--data", type=Path, required=True, help="folder of the data packs")
    parser.add_argument("--part", choices=("valid", "test"), default="test", help="of what training never saw (default: test)")
    parser.add_argument("--beside", type=Path, action="append", default=[], metavar="DIR", help="another bundle, side by side; repeatable")
    parser.add_argument("--yunet", type=Path, metavar="F", help="the yardstick's graph (default: in the data folder)")
    parser.add_argument(
        "--size", type=whole, nargs="+", default=[416, 0], metavar="N", help="long side; 0: each at its own (default: 416 0)"
    )
    parser.add_argument("--scenes", type=whole, default=400, metavar="N", help="composed scenes (default: 400)")
    parser.add_argument("--cache", type=Path, default=Path("runs/face/teacher"), help="where the teacher's answers are kept")
    parser.add_argument("--picture", type=Path, metavar="F.png", help="draw misses and false faces at the finder's own size")
    bundle_options(parser, threads=2)


COMMAND = Command(_options, _run)
