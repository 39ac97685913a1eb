"""`python -m benchmarks again`: who is known again (`edge.vision.again`), and who is taken for somebody else.

Portraits of the photo pack come by threes from one video of one person: the last one comes back, the ones before are remembered. For
newcomers other people are remembered, each by up to eight photographs from several videos. People are halved by name: one half to choose
the limit on, one to report. In a photograph of several people all are different, under one light; most of these wear masks.
"""

from __future__ import annotations

import argparse
import hashlib
import re
import zipfile
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.command import Figures, of_pipeline, progress
from edge.cv import cv2
from edge.pipeline import Pipeline
from edge.sources.camera import Frame
from edge.vision.again import ALIKE, VIEWS, appearance, shows_well
from edge.vision.look import Seen, shows_whole
from training.photos import open_pack

PORTRAIT = re.compile(r"portrait/(.+)_(\d)\d_?\.jpg")
"""A portrait of the photo pack: who, and in which video."""
REMEMBERED = (1, 4, 16)
"""People who left."""
LIMITS = (0.66, 0.7, 0.74, 0.76, ALIKE, 0.8)

_ROUNDS = 10  # memories that every newcomer is held against
_ONE_MAN = "scene/01631.jpg"  # a collage of one portrait
_ONE_PICTURE = 0.88
_CROP = 128 / 1.2  # of `faces_today`: the framing's share of its crops, pixels


@dataclass(frozen=True, slots=True)
class Sample:
    """Appearances of faces that are shown well."""

    videos: dict[str, dict[str, np.ndarray]]
    """Person → video → `[K,512]`, K ≥ 2, in order."""
    crowds: list[np.ndarray]
    """`[K,512]`, K ≥ 2, of the different people of one photograph."""


def load(archive: Path, pipeline: Pipeline, half: str) -> Sample:
    """Find the faces of the photo pack, as a stream would: `half` of the people, `choose`, `report` or `all`."""
    pack, index = open_pack(archive)
    videos: dict[str, dict[str, list[np.ndarray]]] = defaultdict(lambda: defaultdict(list))
    crowds = []
    for row in progress(sorted(index, key=lambda row: row["file"]), "photos"):
        name, alone = row["file"], len(row["teacher_faces"]) == 1
        portrait = PORTRAIT.fullmatch(name)
        if not row["teacher_faces"] or (alone and not portrait) or name == _ONE_MAN or not _in_half(row["group"], half):
            continue
        image = cv2.imdecode(np.frombuffer(pack.read(name), np.uint8), cv2.IMREAD_COLOR)
        seen = pipeline.look(Frame(image, name, 0, 0.0))
        looks = _shown(seen)
        if alone and portrait and len(seen.reading.faces) == 1:
            videos[portrait[1]][portrait[2]] += looks
        elif not alone and len(looks) > 1:
            crowds.append(np.stack(looks))
    kept = {who: {video: np.stack(looks) for video, looks in one.items() if len(looks) > 1} for who, one in videos.items()}
    return Sample({who: one for who, one in kept.items() if one}, crowds)


def measure(sample: Sample, seed: int = 0) -> Figures:
    """Who is known again.

    Returns:
        `people`, `videos`, `crowds`; `limits`, for each limit of likeness: `newcomers`, people remembered → share 0…1 taken for one of
        them; `crowd`, the share of a photograph's people taken for another one in it; and of those who come back, people remembered →
        share that is `known`, and `mistaken` for another.
    """
    random = np.random.default_rng(seed)
    views = {who: np.concatenate(list(one.values())) for who, one in sample.videos.items()}
    own: list[float] = []
    others: dict[int, list[list[float]]] = {count: [] for count in REMEMBERED}
    for who, one in sample.videos.items():
        rest = [other for other in views if other != who]
        for looks in one.values():
            own.append(float((looks[:-1] @ looks[-1]).max()))
            for count, found in others.items():
                found.append([_likest(looks[-1], views, rest, count, random) for _ in range(_ROUNDS)])
    mine, theirs = np.array(own), {count: np.array(found) for count, found in others.items()}
    crowd = np.array([np.delete(looks @ one, i).max() for looks in sample.crowds for i, one in enumerate(looks)])

    def row(limit: float) -> Figures:
        return {
            "limit": limit,
            "newcomers": {count: float((found >= limit).mean()) for count, found in theirs.items()},
            "crowd": float((crowd >= limit).mean()) if len(crowd) else None,
            "known": {count: float(((mine >= limit)[:, None] & (mine[:, None] > found)).mean()) for count, found in theirs.items()},
            "mistaken": {count: float(((found >= limit) & (found >= mine[:, None])).mean()) for count, found in theirs.items()},
        }

    return {"people": len(views), "videos": len(mine), "crowds": len(sample.crowds), "limits": [row(limit) for limit in LIMITS]}


def measure_groups(archive: Path, half: str, each: int = 500, seed: int = 0) -> Figures:
    """Group → limit → share of newcomers taken for one of 16 people of their own race and gender, of whom one crop each is remembered.

    Of the half of `faces_today.zip` by number. Crops that reach beyond their photograph are left out, and pairs that are one picture.
    """
    about = np.load(archive.with_suffix(".npz"))
    random, shares = np.random.default_rng(seed), {}
    with zipfile.ZipFile(archive) as pack:
        for race, gender in np.ndindex(len(about["race_names"]), len(about["gender_names"])):
            rows = np.flatnonzero((about["race"] == race) & (about["gender"] == gender))
            numbers = [int(number) for number in about["id"][rows] if half == "all" or (number % 2 == 0) == (half == "choose")]
            crops = [_today(pack, int(number)) for number in random.permutation(numbers)[:each]]
            looks = np.stack([appearance(crop) for crop in crops if shows_well(crop) and _repeated(crop) < 0.1])
            like = looks @ looks.T
            like[like > _ONE_PICTURE] = -1  # itself as well
            most = np.array([random.permuted(like, axis=1)[:, : REMEMBERED[-1]].max(1) for _ in range(_ROUNDS)])
            shares[f"{about['race_names'][race]}, {about['gender_names'][gender]}"] = {
                limit: float((most >= limit).mean()) for limit in LIMITS
            }
    return shares


def _today(pack: zipfile.ZipFile, number: int) -> np.ndarray:
    crop = cv2.imdecode(np.frombuffer(pack.read(f"{number}.jpg"), np.uint8), cv2.IMREAD_GRAYSCALE)
    return np.asarray(cv2.getRectSubPix(crop, (round(_CROP), round(_CROP)), (63.5, 63.5)))


def _repeated(crop: np.ndarray) -> float:
    """Which share of a crop's rows and columns only repeats its edge."""
    alike = [(np.abs(np.diff(crop.astype(int), axis=axis)).max(1 - axis) <= 6) for axis in (0, 1)]  # JPEG: not quite the same
    return float(sum(np.argmin(side) for same in alike for side in (same, same[::-1])) / len(crop))


def _in_half(group: str, half: str) -> bool:
    return half == "all" or (hashlib.sha256(group.encode()).digest()[0] % 2 == 0) == (half == "choose")


def _shown(seen: Seen) -> list[np.ndarray]:
    """The appearances of a photograph's faces that a stream would remember."""
    good = zip(seen.reading.faces, seen.crops, seen.sides_px, seen.outside, strict=True)
    return [appearance(crop) for face, crop, side, out in good if shows_whole(face.detection, side, out) and shows_well(crop)]


def _likest(look: np.ndarray, views: dict[str, np.ndarray], rest: list[str], count: int, random: np.random.Generator) -> float:
    """The greatest likeness to so many people of the rest, each known by as many appearances as are kept."""
    chosen = [views[rest[i]] for i in random.choice(len(rest), min(count, len(rest)), replace=False)]
    return max(float((random.permutation(one)[:VIEWS] @ look).max()) for one in chosen)


def _options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--data", type=Path, required=True, help="faces_in_context.zip")
    parser.add_argument("--half", choices=("choose", "report", "all"), default="report", help="of the people (default: report)")
    parser.add_argument("--today", type=Path, metavar="ZIP", help="faces_today.zip: newcomers among people of their own group, too")


def _measure(pipeline: Pipeline, args: argparse.Namespace) -> Figures:
    figures = measure(load(args.data, pipeline, args.half))
    return figures | ({"groups": measure_groups(args.today, args.half)} if args.today else {})


COMMAND = of_pipeline(_measure, _options)
