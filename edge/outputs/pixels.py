"""Shapes as pixels, with OpenCV alone. Its letters are plain ones: an OpenCV of before 5 writes `?` for all but the Latin."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Sequence
from functools import cache

import numpy as np

from edge.cv import cv2
from edge.outputs.shapes import Area, Box, Dot, Line, Page, Point, Shape, Text, printable

MOST_PIXELS = 40_000_000
"""Of a picture; a page that would have more is painted smaller."""
_DENSE = 2.0
"""Pixels for a unit of the page, either way."""
_FINE = 4
"""Samples for a pixel, either way: edges are as smooth as 16 of them can be."""
_FONT = cv2.FONT_HERSHEY_SIMPLEX
_WEIGHTS = int(cv2.__version__.partition(".")[0]) >= 5
"""Whether a thickness means a weight of the font, and not pixels of a stroke; such an OpenCV has most letters, too."""
_CAPITAL, _SERIF_SIZE = 0.7, 0.88
"""Of a font's size: height of its capitals. Of a serif font's: size of the sans that stands for it, which has larger letters."""
_LETTER, _SERIF_LETTER = 0.5, 0.46
"""Of a font's size: what a letter takes on the average, at most; wider text is made narrower, as the layout reckons with no more."""
_SPELLED = str.maketrans({"·": "-", "–": "-", "—": "-", "…": "...", "°": " deg", "’": "'", "×": "x"})


def paint(page: Page) -> np.ndarray:
    """Paint a page.

    Returns:
        `[H,W,3]` uint8 BGR: two pixels for a unit of the page, fewer where it would have more than `MOST_PIXELS`.
    """
    scale = min(_DENSE, math.sqrt(MOST_PIXELS / (page.width * page.height)))
    image = np.full((math.ceil(page.height * scale), math.ceil(page.width * scale), 3), _bgr(page.paper), np.uint8)
    for shape in page.shapes:
        _paint(image, shape, scale)
    return image


def _paint(image: np.ndarray, shape: Shape, scale: float) -> None:
    match shape:
        case Box():
            x, y, width, height = shape.x, shape.y, max(shape.width, 0.5), shape.height
            if shape.stroke:
                _round(image, (x - 0.5, y - 0.5, width + 1, height + 1), shape.radius + 0.5, shape.stroke, 1.0, scale)
                x, y, width, height = x + 0.5, y + 0.5, width - 1, height - 1
            _round(image, (x, y, width, height), shape.radius, shape.fill, shape.opacity, scale)
        case Dot():
            place = shape.x - shape.radius, shape.y - shape.radius, 2 * shape.radius, 2 * shape.radius
            _round(image, place, shape.radius, shape.fill, 1.0, scale)
        case Area():
            _fill(image, shape.points, shape.fill, shape.opacity, scale)
        case Line():
            _fill(image, shape.points, shape.stroke, shape.opacity, scale, width=shape.width)
        case Text():
            _write(image, shape, scale)


def _round(image: np.ndarray, place: tuple[float, float, float, float], radius: float, fill: str, opacity: float, scale: float) -> None:
    """Fill a rectangle with round corners: a pixel is covered by how far its middle is inside."""
    x, y, width, height = (value * scale for value in place)
    r = min(radius * scale, width / 2, height / 2)
    left, top, right, low = math.floor(x), math.floor(y), math.ceil(x + width), math.ceil(y + height)
    across = np.abs(np.arange(left, right, dtype=np.float32) + 0.5 - (x + width / 2)) - width / 2 + r
    down = (np.abs(np.arange(top, low, dtype=np.float32) + 0.5 - (y + height / 2)) - height / 2 + r)[:, None]
    outside = np.sqrt(np.maximum(across, 0) ** 2 + np.maximum(down, 0) ** 2) + np.minimum(np.maximum(across, down), 0) - r
    _blend(image, (255 * np.clip(0.5 - outside, 0, 1)).astype(np.uint8), left, top, fill, opacity)


def _fill(image: np.ndarray, points: Sequence[Point], fill: str, opacity: float, scale: float, *, width: float = 0.0) -> None:
    """Fill a polygon, or with a `width` draw a line."""
    at = np.asarray(points, np.float64) * scale
    reach = width * scale / 2 + 1
    left, top = np.floor(at.min(0) - reach).astype(int)
    right, low = np.ceil(at.max(0) + reach).astype(int)
    mask = np.zeros(((low - top) * _FINE, (right - left) * _FINE), np.uint8)
    fine = np.rint((at - (left, top)) * _FINE * 16 - 8).astype(np.int32)  # a sample's middle is half of one from its edge
    if width:
        cv2.polylines(mask, [fine], False, 255, max(1, round(width * scale * _FINE) - 2), cv2.LINE_8, 4)  # it draws 1 or 2 more
    else:
        cv2.fillPoly(mask, [fine], 255, cv2.LINE_8, 4)
    cover = np.asarray(cv2.resize(mask, (right - left, low - top), interpolation=cv2.INTER_AREA))
    _blend(image, cover, left, top, fill, opacity)


def _write(image: np.ndarray, text: Text, scale: float) -> None:
    said = _spelled(printable(text.said))
    if not said.strip():
        return
    size = text.size * scale * (_SERIF_SIZE if text.serif else 1.0)
    height = size * _CAPITAL / _capital()
    thick = 1 + text.bold if _WEIGHTS else max(1, round(size * (0.12 if text.bold else 0.07)))
    (wide, high), below = cv2.getTextSize(said, _FONT, height, thick)
    edge, base = math.ceil(size / 3) + thick, high + math.ceil(size / 2)
    cover = np.zeros((base + below + math.ceil(size / 2), wide + 2 * edge), np.uint8)
    cv2.putText(cover, said, (edge, base), _FONT, height, 255, thick, cv2.LINE_AA)
    most = (_SERIF_LETTER if text.serif else _LETTER) * text.size * scale * sum(1 + (unicodedata.east_asian_width(c) in "WF") for c in said)
    if wide > most:
        narrow = most / wide
        cover = np.asarray(cv2.resize(cover, (max(1, round(cover.shape[1] * narrow)), cover.shape[0]), interpolation=cv2.INTER_AREA))
        wide, edge = round(wide * narrow), round(edge * narrow)
    left = text.x * scale - {"start": 0, "middle": wide / 2, "end": wide}[text.anchor]
    _blend(image, cover, round(left) - edge, round(text.y * scale) - base, text.fill, 1.0)


def _spelled(said: str) -> str:
    if _WEIGHTS:
        return said
    plain = unicodedata.normalize("NFKD", said.translate(_SPELLED))
    return "".join(c for c in plain if not unicodedata.combining(c)).encode("ascii", "replace").decode()


@cache
def _capital() -> float:
    """Height of a capital at the font's own scale, pixels; what `getTextSize` calls its height is another with each OpenCV."""
    drawn = np.zeros((200, 200), np.uint8)
    cv2.putText(drawn, "H", (20, 160), _FONT, 4.0, 255, 1, cv2.LINE_AA)
    rows = np.flatnonzero(drawn.max(1) > 127)
    return float(rows[-1] - rows[0] + 1) / 4.0


def _blend(image: np.ndarray, cover: np.ndarray, left: int, top: int, fill: str, opacity: float) -> None:
    """Lay a colour over what `cover` `[h,w]` uint8 shows of it, as far as it is on the picture."""
    x, y = max(left, 0), max(top, 0)
    right, low = min(left + cover.shape[1], image.shape[1]), min(top + cover.shape[0], image.shape[0])
    if x >= right or y >= low:
        return
    share = np.rint(cover[y - top : low - top, x - left : right - left] * opacity).astype(np.uint16)
    for plane, ink in zip(np.moveaxis(image[y:low, x:right], 2, 0), _bgr(fill), strict=True):  # by itself a plane is one long loop
        plane[:] = (plane * (255 - share) + share * np.uint16(ink) + np.uint16(127)) // np.uint16(255)


def _bgr(colour: str) -> tuple[int, int, int]:
    red, green, blue = bytes.fromhex(colour[1:])
    return blue, green, red
