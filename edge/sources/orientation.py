"""Pictures the way round that their files say, in the formats that OpenCV leaves as they are stored.

It turns JPEG, PNG and TIFF by their EXIF orientation; WebP since 4.11 only, AVIF by its own transforms never. Whether this OpenCV does is
tried with a picture of two pixels.
"""

from __future__ import annotations

import base64
import functools
import itertools
from collections.abc import Iterator

import numpy as np

from edge.cv import cv2

_WEBP = base64.b64decode(  # 2×1 pixels, EXIF orientation 6
    "UklGRk4AAABXRUJQVlA4WAoAAAAIAAAAAQAAAAAAVlA4TA4AAAAvAQAAAAcQEf0PRET/A0VYSUYaAAAATU0AKgAAAAgAAQESAAMAAAABAAYAAAAAAAA="
)
_AVIF = base64.b64decode(  # 2×1 pixels, irot 3
    "AAAAHGZ0eXBhdmlmAAAAAGF2aWZtaWYxbWlhZgAAAPNtZXRhAAAAAAAAACFoZGxyAAAAAAAAAABwaWN0AAAAAAAAAAAAAAAAAAAAAA5waXRtAAAAAAABAAAAHmls"
    "b2MAAAAARAAAAQABAAAAAQAAARcAAAAaAAAAKGlpbmYAAAAAAAEAAAAaaW5mZQIAAAAAAQAAYXYwMUNvbG9yAAAAAHJpcHJwAAAAUmlwY28AAAAUaXNwZQAAAAAA"
    "AAACAAAAAQAAAA5waXhpAAAAAAEIAAAADGF2MUOBABwAAAAAE2NvbHJuY2x4AAEADQAGgAAAAAlpcm90AwAAABhpcG1hAAAAAAAAAAEAAQUBAoMEhQAAACJtZGF0"
    "EgAKBxgAJpgIaDUyDR/1Fd/+LACQNZFuXHA="
)
_MOST_BOXES, _MOST_PROPERTIES, _LONGEST = 1000, 64, 1 << 20  # of a true picture; a hostile one may have millions, each of which takes time
_EXIF = {1: "", 2: "h", 3: "ll", 4: "v", 5: "lv", 6: "lll", 7: "lh", 8: "l"}
"""EXIF orientation → steps to the upright picture: `l` a quarter turn to the left, `h` left and right exchanged, `v` top and bottom."""


def upright(data: bytes, image: np.ndarray) -> np.ndarray:
    """Turn a decoded picture as its file says, where OpenCV has not.

    Args:
        data: the file.
        image: `[H,W]` or `[H,W,C]`, what OpenCV made of it.
    """
    steps = ""
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP" and not _turns(_WEBP):
        steps = _webp_steps(data)
    elif data[4:8] == b"ftyp" and not _turns(_AVIF):
        steps = _avif_steps(data)
    for step in steps:
        image = np.rot90(image) if step == "l" else image[:, ::-1] if step == "h" else image[::-1]
    return np.ascontiguousarray(image)


@functools.cache
def _turns(sample: bytes) -> bool:
    """Whether OpenCV turns a picture of this format; also when it cannot decode it."""
    image = cv2.imdecode(np.frombuffer(sample, np.uint8), cv2.IMREAD_ANYCOLOR | cv2.IMREAD_ANYDEPTH)
    return image is None or image.shape[0] == 2


def _webp_steps(data: bytes) -> str:
    at = 12
    for _ in range(_MOST_BOXES):
        if at + 8 > len(data):
            break
        kind, size = data[at : at + 4], int.from_bytes(data[at + 4 : at + 8], "little")
        if kind == b"EXIF":
            return _EXIF.get(_exif_orientation(data[at + 8 : at + 8 + size].removeprefix(b"Exif\0\0")), "")
        at += 8 + size + size % 2
    return ""


def _exif_orientation(tiff: bytes) -> int:
    """The orientation 1…8 of a TIFF block's first directory; 1 where it says none."""
    order = {b"II": "little", b"MM": "big"}.get(tiff[:2])
    if order is None:
        return 1

    def number(at: int, size: int) -> int:
        return int.from_bytes(tiff[at : at + size], "little" if order == "little" else "big")

    start = number(4, 4)
    for entry in range(start + 2, start + 2 + 12 * number(start, 2), 12):
        if number(entry, 2) == 0x112:
            return number(entry + 8, 2)
    return 1


def _avif_steps(data: bytes) -> str:
    """The transforms of the primary item, in the order in which they apply (ISO/IEC 23008-12, 6.5.10 and 6.5.12)."""
    meta = next((data[start : min(end, start + _LONGEST)] for kind, start, end in _places(data) if kind == b"meta"), b"")[4:]
    parts = dict(_boxes(meta))
    named = parts.get(b"pitm", b"")
    primary = int.from_bytes(named[4:8] if named[:1] > b"\0" else named[4:6], "big")
    about = dict(_boxes(parts.get(b"iprp", b"")))
    properties = list(_boxes(about.get(b"ipco", b"")))
    steps = ""
    for index in itertools.islice(_associated(about.get(b"ipma", b""), primary), _MOST_PROPERTIES):
        kind, body = properties[index - 1] if 0 < index <= len(properties) else (b"", b"")
        if kind == b"irot" and body:
            steps += "l" * (body[0] & 3)
        elif kind == b"imir" and body:
            steps += "h" if body[0] & 1 else "v"
    return steps


def _associated(ipma: bytes, item: int) -> Iterator[int]:
    """Numbers, from 1, of the properties of an item."""
    wide_id, wide_index = ipma[:1] > b"\0", bool(ipma[3:4] and ipma[3] & 1)
    at, id_size, size = 8, 4 if wide_id else 2, 2 if wide_index else 1
    while at + id_size < len(ipma):
        number, count = int.from_bytes(ipma[at : at + id_size], "big"), ipma[at + id_size]
        at += id_size + 1
        if number == item:
            for entry in range(at, at + size * count, size):
                yield int.from_bytes(ipma[entry : entry + size], "big") & (0x7FFF if wide_index else 0x7F)
        at += size * count


def _boxes(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """The boxes of a box: kind and content."""
    return ((kind, data[start:end]) for kind, start, end in _places(data))


def _places(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """The boxes of an ISO base media file, or of a box: kind, and where the content begins and ends."""
    at = 0
    for _ in range(_MOST_BOXES):
        if at + 8 > len(data):
            return
        size, kind, head = int.from_bytes(data[at : at + 4], "big"), data[at + 4 : at + 8], 8
        if size == 1:
            size, head = int.from_bytes(data[at + 8 : at + 16], "big"), 16
        size = size or len(data) - at
        if size < head:
            return
        yield kind, at + head, at + size
        at += size
