"""Reading sheets: faces with their texts, laid out so that a person can hold one against the other."""

from __future__ import annotations

import textwrap
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from benchmarks.quality.said import Told
from edge.cv import cv2
from edge.errors import UsageError
from edge.types import Verdict

FACE_PX = 96
_CELL, _GAP, _FONT_PX, _LINE = (470, 118), 10, 13, 48
_GREY, _INK, _COLOURS = (120, 120, 120), (20, 20, 20), {"verified": (0, 110, 60), "rejected": (170, 60, 0), "abstained": (120, 120, 120)}


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
