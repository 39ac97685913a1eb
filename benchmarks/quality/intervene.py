"""`python -m benchmarks intervene`: would it have said so otherwise? One thing in a face is moved, and the reading and the text looked at.

Faces of FER+, held-out faces of today and faces from elsewhere (see the data sheet) are moved by ICT-FaceKit's displacement fields
(`training.intervene`); cues are told by the landmarks, before and after, and by deviations of the bundle's own standardisation. The figures
are those of `followed`. Needs the `training` extra.
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from benchmarks import pictures
from benchmarks.command import Figures, of_pipeline, progress, whole
from benchmarks.quality import followed
from benchmarks.quality.followed import Case
from benchmarks.quality.moved import CONTROLS, Item, Maker, Outcome, Subject, chosen, read, source_options
from edge.pipeline import Pipeline
from edge.types import Statement
from edge.vision.quality import sharpness
from training.cues import CUE_NAMES
from training.data import HELD_OUT_EVERY, data_folder, load_today, read_pack, reframe
from training.intervene import Mover, at_rest
from training.levers import LEVERS, Steer

PACK = "facs_displacements.npz"
"""What it needs of the data packs besides faces."""
FACES = 100
BUILT = 3
"""Emotions that each face at rest is moved to."""
PARTS = (1.0, 0.7, 0.5, 0.35)
"""Shares of what is named, and of as much that is not, that are undone: the largest to which the face can be taken, no cue past neutral."""
TOLD = 3.9
"""Deviations up to which cues are told: encoders are taught those within 4."""
APART = {"lip_corners": 3.0, "inner_brow": -2.5}
"""Cue → deviations of a smile under lowered brows."""
PEOPLE = 10
MOVES: dict[str, dict[str, float]] = {
    "as it is": {},
    "brows up": {"browInnerUp": 0.9, "browOuterUp": 0.8},
    "brows down": {"browDown": 1.3},
    "eyes closed": {"eyeBlink": 1.0},
    "nose wrinkled": {"noseSneer": 1.0, "mouthShrugLower": 0.4},
    "corners up": {"mouthSmile": 0.8},
    "corners down": {"mouthFrown": 1.2},
    "smile, teeth": {"mouthSmile": 0.8, "mouthUpperUp": 0.4, "mouthLowerDown": 0.3, "cheekRaiser": 0.5},
    "jaw dropped": {"jawOpen": 0.35},
}
"""Column → expression without its side → amount."""
_CELL_PX, _ADULT, _TURNED_DEG, _SHARP, _BRIGHT = 112, 3, 20.0, 0.22, 80


def measure(pipeline: Pipeline, steer: Steer, found: list[Subject], *, seed: int = 0) -> Figures:
    """Move faces and see what follows, of any bundle with the cues that the landmarks tell.

    Returns:
        `faces` and `pictures` looked at; `reached`, the share of the moves that faces could be taken to; `all`, and under `sources` and
        `emotions` the same of a part: `reading`, `text`, `necessity`, `sufficiency`, `controls`, `absent`; `cues` and `units`, `reading` of
        each; `between`; `conflict` (see `followed`).
    """
    random = np.random.default_rng(seed)
    makers = [Maker(i, subject, steer.mover, pipeline.config.image.size) for i, subject in enumerate(found)]
    before = read(pipeline, [maker.base() for maker in makers], "as they are")
    donors = _donors(found, before)
    items: list[Item] = []
    asked = 0
    for maker, was in progress(list(zip(makers, before, strict=True)), "moving"):
        made = [*_single(maker, random), *_reasons(maker, was), *(_built(maker, donors, random) if maker.subject.at_rest else [])]
        asked += len(made)
        items += [item for item in made if item] + maker.controls(random)
    now = read(pipeline, items, "moved")
    cases = [_case(found[item.face], item, before[item.face], outcome) for item, outcome in zip(items, now, strict=True)]
    base = [_case(subject, maker.base(), was, was) for subject, maker, was in zip(found, makers, before, strict=True)]
    moved = sum(case.item.kind not in CONTROLS for case in cases)
    rules = pipeline.explainer.grammar.rules

    def part(chosen: list[Case], unmoved: list[Case]) -> Figures:
        def of(kind: str) -> list[Case]:
            return [case for case in chosen if case.item.kind == kind]

        return {
            "faces": len(unmoved),
            "reading": followed.reading(of("move")),
            "text": followed.text(of("move"), of("undo"), rules),
            "necessity": followed.necessity(of("named"), of("unnamed")),
            "sufficiency": followed.sufficiency(of("built"), of("built otherwise")),
            "controls": followed.controls(chosen),
            "absent": followed.absent(unmoved),
        }

    def by(name: str) -> Figures:
        values = dict.fromkeys(getattr(case, name) for case in base)
        return {
            value: part([c for c in cases if getattr(c, name) == value], [c for c in base if getattr(c, name) == value]) for value in values
        }

    single = [case for case in cases if case.item.kind == "move"]
    return {
        "faces": len(found),
        "pictures": len(items) + len(found),
        "reached": moved / max(1, asked),
        "all": part(cases, base),
        "cues": {cue: followed.reading([case for case in single if case.cue == cue]) for cue in LEVERS},
        "between": followed.between(base),
        "units": followed.units(single, pipeline.config.units),
        "conflict": followed.conflict([case for case in cases if case.item.kind == "apart"]),
        "sources": by("source"),
        "emotions": by("emotion"),
    }


def _case(subject: Subject, item: Item, was: Outcome, now: Outcome) -> Case:
    return Case(item, subject.held.cues, was, now, subject.source, subject.truth or was.label)


def _single(maker: Maker, random: np.random.Generator) -> list[Item | None]:
    """Every cue by one, two or three deviations up or down, where encoders still tell it before and after."""
    made = []
    for row, cue in enumerate(CUE_NAMES):
        if cue in LEVERS:
            by, z = float(random.choice([-1, 1]) * random.choice([1, 2, 2, 3])), maker.subject.held.cues[row]
            made += [maker.moved("move", {cue: by})] if max(abs(z), abs(z + by)) <= TOLD else []
    return made


def _reasons(maker: Maker, was: Outcome) -> list[Item | None]:
    """The movements that the text names undone, one by one and together; and as many unnamed ones by as much."""
    if not was.text:
        return []
    named = [s for s in was.explanation.statements if s.kind in ("movement", "one_sided") and s.subject in LEVERS]
    cues = maker.subject.held.cues
    undo = {s.subject: -float(cues[CUE_NAMES.index(s.subject)]) for s in named}
    undo = {cue: by for cue, by in undo.items() if abs(by) >= followed.STILL}
    made = [maker.moved("undo", {cue: by}) for cue, by in undo.items()]
    if not undo or was.label == "neutral":
        return made
    other, fit = _unnamed(was.explanation.statements, cues, [abs(by) for by in undo.values()])
    for part in (part * fit for part in PARTS):
        if part < PARTS[-1] or len(other) < len(undo):
            break
        first, second = (
            maker.moved(kind, {cue: part * by for cue, by in wanted.items()}, was.label)
            for kind, wanted in (("named", undo), ("unnamed", other))
        )
        if first and second:
            return [*made, first, second]
    return [*made, None, None]


def _unnamed(statements: tuple[Statement, ...], cues: np.ndarray, sizes: list[float]) -> tuple[dict[str, float], float]:
    """As many cues that the text does not name, those that stand out furthest, each towards neutral as far as one that it does name; and
    what share of that (0…1) takes none of them past neutral."""
    spoken = {s.subject for s in statements}
    stand = {cue: float(cues[CUE_NAMES.index(cue)]) for cue in LEVERS if cue not in spoken}
    free = sorted(stand, key=lambda cue: -abs(stand[cue]))
    paired = list(zip(free, sorted(sizes, reverse=True), strict=False))
    fit = min((abs(stand[cue]) / size for cue, size in paired), default=0.0)
    return {cue: -float(np.sign(stand[cue])) * size for cue, size in paired}, min(1.0, fit)


def _donors(found: list[Subject], before: list[Outcome]) -> dict[str, list[dict[str, float]]]:
    """Answer → what texts name for it: cue → where it stands by the landmarks of the face that was explained."""
    donors: dict[str, list[dict[str, float]]] = {}
    for subject, was in zip(found, before, strict=True):
        if not was.text or was.label == "neutral":
            continue
        stand = {
            s.subject: float(subject.held.cues[CUE_NAMES.index(s.subject)])
            for s in was.explanation.statements
            if s.kind == "movement" and s.subject in LEVERS
        }
        if stand := {cue: z for cue, z in stand.items() if abs(z) >= 1}:
            donors.setdefault(was.label, []).append(stand)
    return donors


def _built(maker: Maker, donors: dict[str, list[dict[str, float]]], random: np.random.Generator) -> list[Item | None]:
    """A face at rest moved to what texts name, to as much of something else, and to a smile under lowered brows."""
    cues = dict(zip(CUE_NAMES, map(float, maker.subject.held.cues), strict=True))
    made: list[Item | None] = [maker.moved("apart", {cue: to - cues[cue] for cue, to in APART.items()})]
    for answer in random.permutation(sorted(donors))[:BUILT]:
        stand = donors[answer][random.integers(len(donors[answer]))]
        wanted = {cue: to - cues[cue] for cue, to in stand.items()}
        free = [str(cue) for cue in random.permutation([cue for cue in LEVERS if cue not in wanted])]
        signs = random.choice([-1.0, 1.0], len(free))
        other = {cue: sign * abs(by) for cue, sign, by in zip(free, signs, wanted.values(), strict=False)}
        made += [maker.moved("built", wanted, str(answer)), maker.moved("built otherwise", other, str(answer))]
    return made


def draw_gallery(data: Path, mover: Mover, path: Path, seed: int = 0) -> None:
    """Draw ten people at rest (FairFace, CC BY 4.0, held out of training), by `seed` which, with eight moves each."""
    people = _people(data, mover, seed)
    columns = []
    for name, amounts in MOVES.items():
        moved = [mover.move(image, landmarks, _sided(mover, amounts))[0] for image, landmarks in people]
        columns.append(pictures.titled(np.vstack([reframe(picture, _CELL_PX) for picture in moved]), name))
    pictures.save(path, np.hstack(columns))


def _sided(mover: Mover, amounts: dict[str, float]) -> dict[str, float]:
    return {one: amount for name, amount in amounts.items() for one in ((name,) if name in mover.names else (f"{name}_L", f"{name}_R"))}


def _people(data: Path, mover: Mover, seed: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Adults of the held-out part at rest, facing the camera and sharp, taking turns by race and gender."""
    faces = load_today(data, held_out=True)
    number, *about = read_pack(data / "faces_today.npz", "id", "race", "gender", "age")
    race, gender, age = (column[number % HELD_OUT_EVERY == 0] for column in about)
    order = np.random.default_rng(seed).permutation(np.flatnonzero(at_rest(faces.blendshapes, faces.shape_names) & (age >= _ADULT)))
    groups = [[int(i) for i in order if (race[i], gender[i]) == group] for group in sorted({(race[i], gender[i]) for i in order})]
    np.random.default_rng(seed).shuffle(groups)

    def clear(group: list[int]) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        return ((faces.images[i], faces.landmarks[i]) for i in reversed(group) if _clear(mover, faces.images[i], faces.landmarks[i]))

    turns = itertools.zip_longest(*map(clear, groups))
    return list(itertools.islice(filter(None, itertools.chain.from_iterable(turns)), PEOPLE))


def _clear(mover: Mover, image: np.ndarray, points: np.ndarray) -> bool:
    try:
        mover.move(image, points, {})
        fit = mover.lay(points).fit
    except ValueError:
        return False
    crop = reframe(image, 48)
    return abs(fit.yaw_deg) < _TURNED_DEG and abs(fit.pitch_deg) < _TURNED_DEG and sharpness(crop) > _SHARP and float(crop.mean()) > _BRIGHT


def _options(parser: argparse.ArgumentParser) -> None:
    source_options(parser, FACES)
    parser.add_argument("--seed", type=whole, default=0, help="of everything that is drawn at random (default: 0)")
    parser.add_argument("--gallery", type=Path, metavar="FILE", help="instead draw ten held-out faces of today and eight moves (FairFace)")


def _run(pipeline: Pipeline, args: argparse.Namespace) -> Figures:
    if args.gallery:
        data = data_folder(args.data)
        draw_gallery(data, Mover.load(data), args.gallery, args.seed)
        return {"gallery": str(args.gallery)}
    return measure(pipeline, *chosen(pipeline, args), seed=args.seed)


COMMAND = of_pipeline(_run, _options)
