"""`python -m benchmarks language`: what people are shown: is it of the language, does it hold, how much do texts differ, how do they read?

Over FER+ faces, faces from elsewhere, held-out faces of today and the audit's whole photographs (see the data sheet). What is said of a
face is held against its landmarks, never against the encoder's own readings. `--sheet` draws random faces with their texts, `--texts` many
shown ones, for somebody to read. Needs the `training` extra.
"""

from __future__ import annotations

import argparse
import textwrap
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from benchmarks.command import Figures, of_pipeline, progress, whole
from benchmarks.quality.interval import share
from benchmarks.quality.photographs import Photographs, load_photographs
from benchmarks.quality.reading import cue_model, evenly, explain, read_crops
from benchmarks.quality.said import Told, statements, texts, token_counter, verdicts
from edge.cv import cv2
from edge.errors import InputError, UsageError
from edge.language.explain import Subject, subjects_of
from edge.language.rationale import parse_completion
from edge.language.statements import Facts
from edge.pipeline import Pipeline
from edge.types import Explanation, Face, Verdict
from training.data import FerPlus, data_folder, elsewhere, load_ferplus, load_today, unlabelled

SOURCES = ("ferplus", "elsewhere", "today", "audit")
_EACH = 20
"""Completions that are sampled together of one face."""
_SHEET, _TEXTS = 48, 200
"""Faces that are drawn."""
FACE_PX = 96
_CELL, _GAP, _FONT_PX, _LINE = (470, 118), 10, 13, 48
_GREY, _INK, _COLOURS = (120, 120, 120), (20, 20, 20), {"verified": (0, 110, 60), "rejected": (170, 60, 0), "abstained": (120, 120, 120)}


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
        every = load_photographs(data)
        photographs = every.take(evenly(len(every), args.faces))
        told, seen = of_photos(pipeline, photographs)
        about |= {"found": seen / len(photographs), "read": len(told) / len(photographs)}
    else:
        told = of_faces(pipeline, _crops(pipeline, data, name, args))
    grammar = pipeline.explainer.grammar
    about |= {"verdicts": verdicts(told), "texts": texts(told, grammar, token_counter(pipeline), args.seed)}
    return told, {"faces": len(told), **about, "statements": statements(told, grammar.rules)}


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


def of_photos(pipeline: Pipeline, photographs: Photographs) -> tuple[Told, int]:
    """What a bundle makes of the largest face in each photograph, finder included, where it is clear enough to be read; and in how many a
    face is found."""
    found: list[tuple[np.ndarray, Face, Explanation]] = []
    seen = 0
    for i in progress(range(len(photographs)), "photographs"):
        picture = photographs.picture(i)
        if faces := pipeline(picture).faces:
            seen += 1
            if explanation := faces[0].explanation:
                found.append((_cut(picture, faces[0].detection.box_xyxy), faces[0], explanation))
    return Told(
        [cut for cut, _, _ in found],
        [face.emotion for _, face, _ in found],
        [face.confidence for _, face, _ in found],
        [explanation for _, _, explanation in found],
    ), seen


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
        draw_sheet(told, random.permutation(len(told))[:_SHEET].tolist(), args.sheet)
        written.append(args.sheet)
    if args.texts:
        written += draw_texts(told, random.permutation(np.flatnonzero(told.verified))[:_TEXTS].tolist(), args.texts)
    return [str(path) for path in written]


def draw_sheet(told: Told, rows: list[int], path: Path, *, columns: int = 3, first: int = 1) -> None:
    """Draw some of the faces, numbered from `first`, each with label, confidence, status and text, and write a PNG, or `UsageError`."""
    lines = -(-len(rows) // columns)
    sheet = Image.new("RGB", (columns * _CELL[0] + _GAP, max(1, lines) * _CELL[1] + _GAP), "white")
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(_FONT_PX)
    for place, face in enumerate(rows):
        x, y = _GAP + place % columns * _CELL[0], _GAP + place // columns * _CELL[1]
        sheet.paste(_portrait(told.pictures[face]), (x, y))
        explanation = told.explanations[face]
        status = explanation.status.value
        x += FACE_PX + _GAP
        pen.text((x, y), f"{first + place}. {told.labels[face]} {told.confidence[face]:.2f}", _INK, font)
        pen.text((x + _CELL[0] - FACE_PX - 4 * _GAP, y), status, _COLOURS[status], font, anchor="ra")
        text = explanation.text if explanation.status is Verdict.VERIFIED else "(no text is shown)"
        pen.multiline_text((x, y + _FONT_PX + 6), textwrap.fill(text, _LINE), _INK if explanation.text else _GREY, font)
    try:
        sheet.save(path, format="PNG")
    except OSError as error:
        raise UsageError(f"cannot write '{path}': {error.strerror or error}") from None


def draw_texts(told: Told, rows: list[int], path: Path, *, each: int = 30) -> list[Path]:
    """Several sheets of `each` faces: `NAME-1.png`, `NAME-2.png` … beside `path`."""
    written = []
    for number, start in enumerate(range(0, len(rows), each), 1):
        written.append(path.with_name(f"{path.stem}-{number}.png"))
        draw_sheet(told, rows[start : start + each], written[-1], first=start + 1)
    return written


def _portrait(picture: np.ndarray) -> Image.Image:
    side = max(picture.shape[:2])
    how = cv2.INTER_CUBIC if side < FACE_PX else cv2.INTER_AREA
    scaled = cv2.resize(picture, (FACE_PX, FACE_PX), interpolation=how)
    return Image.fromarray(scaled if scaled.ndim == 2 else scaled[..., ::-1]).convert("RGB")


def _options(parser: argparse.ArgumentParser) -> None:
    add: Callable[..., argparse.Action] = parser.add_argument
    add("--data", type=Path, help="folder of the data packs (default: ERV_DATA, or ../shared/data)")
    add("--source", action="append", choices=SOURCES, help="repeat; default: all of them")
    add("--split", choices=("train", "valid", "test"), default="test", help="of FER+ (default: test)")
    add("--faces", type=whole, default=0, metavar="N", help="of each source, evenly chosen; 0: all (default)")
    add("--samples", type=whole, default=10_000, metavar="N", help="completions to sample under the grammar; 0: none (default: 10000)")
    add("--sheet", type=Path, metavar="FILE", help=f"draw {_SHEET} random faces with their texts (PNG)")
    add("--sheet-source", choices=SOURCES, default="ferplus", help="whose faces sheets show; those of elsewhere are not to be passed on")
    add("--texts", type=Path, metavar="FILE", help=f"also draw {_TEXTS} shown texts beside their faces, as FILE-1.png, FILE-2.png …")
    add("--seed", type=whole, default=0, help="of everything that is drawn at random (default: 0)")


COMMAND = of_pipeline(measure, _options)
