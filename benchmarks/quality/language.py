"""`python -m benchmarks language`: what people are shown: is it of the language, does it hold, how much do texts differ, how do they read?

Over FER+ faces, faces from elsewhere, held-out faces of today and the audit's whole photographs (see the data sheet). What is said of a
face is held against its landmarks, never against the encoder's own readings. `--sheet` draws random faces with their texts, `--texts` many
shown ones, for somebody to read. Needs the `training` extra.
"""

from __future__ import annotations

import argparse
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

from benchmarks.command import Command, Figures, bundle_options, of_pipeline, progress, whole
from benchmarks.quality.interval import share
from benchmarks.quality.reading import cue_model, evenly, explain, read_crops
from benchmarks.quality.said import Told, statements, texts, token_counter, verdicts
from benchmarks.quality.sheet import draw_sheet, draw_texts
from edge.cv import cv2
from edge.errors import InputError
from edge.language.explain import Subject, subjects_of
from edge.language.rationale import parse_completion
from edge.language.statements import Facts
from edge.pipeline import Pipeline
from edge.types import Face
from training.data import FerPlus, data_folder, elsewhere, load_ferplus, load_today, unlabelled

SOURCES = ("ferplus", "elsewhere", "today", "audit")
_EACH = 20
"""Completions that are sampled together of one face."""


def measure(pipeline: Pipeline, args: argparse.Namespace) -> Figures:
    """Measure the chosen sources; write the sheets that are asked for.

    Returns:
        `sources`: name → `faces`, `verdicts`, `texts`, `statements` (see `said`), for whole photographs `found`; `sampled`: `completions`
        of real faces under the grammar, how many are `parsed`, and `unfinished`; `sheets`: the files written.
    """
    data = args.data or data_folder()
    figures: Figures = {"sources": {}, "sampled": None, "sheets": []}
    for name in dict.fromkeys(args.source or SOURCES):
        told, figures["sources"][name] = _of_source(pipeline, data, name, args)
        if name == args.sheet_source:
            figures["sheets"] += _draw(told, args)
    if args.samples:
        faces = _crops(pipeline, data, "ferplus", args)
        subjects = subjects_of(pipeline.encoder(faces.images), pipeline.config)
        figures["sampled"] = sampled(pipeline, subjects, args.samples, args.seed)
    return figures


def _of_source(pipeline: Pipeline, data: Path, name: str, args: argparse.Namespace) -> tuple[Told, Figures]:
    about: Figures = {}
    if name == "audit":
        told, seen, photos = of_photos(pipeline, data / "faces_audit.zip", args.faces)
        about |= {"found": seen / photos, "read": len(told) / photos}
    else:
        told = of_faces(pipeline, _crops(pipeline, data, name, args))
    return told, {"faces": len(told), **about, **measure_told(pipeline, told, args.seed)}


def _crops(pipeline: Pipeline, data: Path, name: str, args: argparse.Namespace) -> FerPlus:
    """As many faces of a source of crops as are asked for."""
    size = pipeline.config.image.size
    if name == "today":
        faces = unlabelled(load_today(data, held_out=True), size)
    elif name == "elsewhere":
        found = elsewhere(data, size)
        if found is None:
            raise InputError(f"no data pack at '{data / 'faces_elsewhere.zip'}'")
        faces = found
    else:
        faces = load_ferplus(data, args.split).at(size)
        faces = faces.take(faces.label >= 0)
    return faces.take(evenly(len(faces), args.faces))


def measure_told(pipeline: Pipeline, told: Told, seed: int = 0) -> Figures:
    """`verdicts`, `texts` and `statements` of what a bundle says of faces."""
    grammar = pipeline.explainer.grammar
    return {
        "verdicts": verdicts(told),
        "texts": texts(told, grammar, token_counter(pipeline), seed),
        "statements": statements(told, grammar.rules),
    }


def of_faces(pipeline: Pipeline, faces: FerPlus) -> Told:
    """What a bundle makes of crops, all of them labelled or none; their landmarks are measured by the bundle's own standardisation."""
    config = pipeline.config
    read = read_crops(pipeline, faces.images)
    _, final = explain(pipeline, read)
    labels = [config.labels[i] for i in read.shown]
    truth = [config.labels[i] for i in faces.label] if (faces.label >= 0).all() else None
    return Told(list(faces.images), labels, read.confidence.tolist(), final, truth, _measured(pipeline, faces))


def _measured(pipeline: Pipeline, faces: FerPlus) -> list[Facts | None]:
    config = pipeline.config
    names, known = [cue.name for cue in config.cues], np.isfinite(faces.landmarks).all((1, 2))
    if not known.any():
        return [None] * len(faces)
    cues, pose = cue_model(config).measure(faces.landmarks, faces.point_index)
    return [
        Facts(dict(zip(names, map(float, z), strict=True)), float(angles[0]), float(angles[1])) if there else None
        for z, angles, there in zip(cues, pose, known, strict=True)
    ]


def of_photos(pipeline: Pipeline, archive: Path, limit: int = 0) -> tuple[Told, int, int]:
    """What a bundle makes of the largest face in each photograph of a zip, finder included: of the faces that are clear enough to be
    read, how many photographs show a face, and how many there are.

    Raises:
        InputError: the archive is missing or damaged.
    """
    found: list[tuple[np.ndarray, Face]] = []
    seen = 0
    try:
        with zipfile.ZipFile(archive) as pack:
            names = [name for name in pack.namelist() if name.endswith(".jpg")]
            names = [names[i] for i in evenly(len(names), limit)]
            for name in progress(names, "photographs"):
                picture = cv2.imdecode(np.frombuffer(pack.read(name), np.uint8), cv2.IMREAD_COLOR)
                if faces := pipeline(picture).faces:
                    seen += 1
                    if faces[0].explanation:
                        found.append((_cut(picture, faces[0].detection.box_xyxy), faces[0]))
    except (OSError, zipfile.BadZipFile, cv2.error) as error:
        raise InputError(f"'{archive}' is not a readable zip of photographs: {error}") from None
    pictures, faces_ = [picture for picture, _ in found], [face for _, face in found]
    explained = [face.explanation for face in faces_ if face.explanation]
    return Told(pictures, [f.emotion for f in faces_], [f.confidence for f in faces_], explained), seen, len(names)


def _cut(picture: np.ndarray, box_xyxy: np.ndarray) -> np.ndarray:
    """The square around a face, within the picture."""
    (x, y), side = (box_xyxy[:2] + box_xyxy[2:]) / 2, 1.2 * float((box_xyxy[2:] - box_xyxy[:2]).max())
    move = np.array([[1, 0, side / 2 - x], [0, 1, side / 2 - y]])
    return np.asarray(cv2.warpAffine(picture, move, (max(1, int(side)),) * 2, borderMode=cv2.BORDER_REPLICATE))


def sampled(pipeline: Pipeline, subjects: list[Subject], count: int, seed: int) -> Figures:
    """Sample completions of random faces within the grammar: `completions`, the share that is `parsed`, and `unfinished`."""
    explainer, labels = pipeline.explainer, tuple(pipeline.config.labels)
    chosen = np.random.default_rng(seed).choice(len(subjects), -(-count // _EACH))
    parsed = []
    for number, face in enumerate(progress(chosen, "sample")):
        subject = subjects[face]
        scope = explainer.grammar.scope(subject.facts.hidden)
        for text in explainer.policy.sample(subject.tokens[None], _EACH, seed=seed + number, scope=scope):
            done = parse_completion(text, labels)
            whole_text = explainer.grammar.parse(done.rationale) if text else None
            parsed.append((bool(text), whole_text is not None and whole_text.conclusion == done.answer))
    written, read = np.array(parsed[:count]).T
    return {"completions": len(read), "parsed": share(read), "unfinished": int((~written).sum())}


def _draw(told: Told, args: argparse.Namespace) -> list[str]:
    random, written = np.random.default_rng(args.seed), []
    if args.sheet:
        draw_sheet(told, random.permutation(len(told))[: args.sheet_faces].tolist(), args.sheet)
        written.append(args.sheet)
    if args.texts:
        written += draw_texts(told, random.permutation(np.flatnonzero(told.verified))[: args.count].tolist(), args.texts)
    return [str(path) for path in written]


def _options(parser: argparse.ArgumentParser) -> None:
    add: Callable[..., argparse.Action] = parser.add_argument
    add("--data", type=Path, help="folder of the data packs (default: ERV_DATA, or ../shared/data)")
    add("--source", action="append", choices=SOURCES, help="repeat; default: all of them")
    add("--split", choices=("train", "valid", "test"), default="test", help="of FER+ (default: test)")
    add("--faces", type=whole, default=0, metavar="N", help="of each source, evenly chosen; 0: all (default)")
    add("--samples", type=whole, default=10_000, metavar="N", help="completions to sample under the grammar; 0: none (default: 10000)")
    add("--sheet", type=Path, metavar="FILE", help="draw random faces with their texts (PNG)")
    add("--sheet-faces", type=whole, default=48, metavar="N", help="faces of it (default: 48)")
    add("--sheet-source", choices=SOURCES, default="ferplus", help="whose faces sheets show; those of elsewhere are not to be passed on")
    add("--texts", type=Path, metavar="FILE", help="also draw --count shown texts beside their faces, as FILE-1.png, FILE-2.png …")
    add("--count", type=whole, default=200, metavar="N", help="of --texts (default: 200)")
    add("--seed", type=whole, default=0, help="of everything that is drawn at random (default: 0)")
    bundle_options(parser)


COMMAND = Command(_options, of_pipeline(measure))
