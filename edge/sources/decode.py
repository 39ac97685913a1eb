"""Decoding pictures that anybody may have made: what a decoder may take of memory and time is known before it begins.

A picture of a few hundred bytes can ask for gigabytes, and one of a few thousand scans for minutes. Reading its header first does not help
where the reader and the decoder understand it differently. So the size of a JPEG or PNG is taken from *every* place in its bytes that any
decoder could take for a header; whatever it follows, it cannot take more. Other formats are decoded in a process that is held to limits.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np

from edge.cv import cv2
from edge.errors import InputError
from edge.sources.helper import Helper, TooLargeError

MAX_PIXELS = 200_000_000
"""Largest picture that is read; more is a mistake or an attack."""
MAX_BYTES = 512 * 1024 * 1024
"""Longest file that is read."""
MAX_SCANS = 64
"""Most passes over a JPEG: progressive ones have about ten, each takes time for all of its blocks."""
_MEMORY, _PER_BYTE = 300_000_000, 70
"""Memory that decoding may take, bytes: for any picture, and for each byte of a longer one."""
_HELPED, _PATIENCE_S = 250_000_000, 20.0
"""The same for a process of its own, beside whose memory there is the parent's; how long it may work."""
_NO_PICTURE = "is not a picture that OpenCV can decode"
_ANY = cv2.IMREAD_ANYCOLOR | cv2.IMREAD_ANYDEPTH

# Frame and scan headers (ITU-T T.81, B.2.2 and B.2.3) whose length fits their number of components: decoders take no others.
# Each is looked for from every byte on, also within another: what looks like a header may hide the true one.
_FRAME = re.compile(
    rb"\xff(?=([\xc0-\xc3\xc5-\xc7\xc9-\xcb\xcd-\xcf])\x00(?:\x0b.{5}\x01|\x0e.{5}\x02|\x11.{5}\x03|\x14.{5}\x04))", re.DOTALL
)
_SCAN = re.compile(rb"\xff\xda\x00(?:\x06\x00|\x08\x01|\x0a\x02|\x0c\x03|\x0e\x04)")
_PROGRESSIVE = b"\xc2\xc6\xca\xce"
_IHDR = re.compile(rb"(?=IHDR(.{4})(.{4})(.)|fcTL.{4}(.{4})(.{4}))", re.DOTALL)
# How the other formats that OpenCV reads begin: a decoder that makes nothing of one of these may have met its limit.
_OTHERS = re.compile(
    rb"BM.{4}\0{4}|GIF8|II[*+]\0|MM\0[*+]|RIFF.{4}WEBP|.{4}ftyp(?:avi[fs]|mif1)|P[1-7Ff]\s|#\?R|\x59\xa6\x6a\x95|\0\0\0\x0cjP|\xff\x4f\xff\x51",
    re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class Demand:
    """The most that decoding a JPEG or PNG can take."""

    width: int
    height: int
    pixel_bytes: int
    """Peak memory for each pixel, measured (OpenCV 5.0)."""
    scans: int
    """Passes over the picture."""


def decode(data: bytes, *, flags: int = _ANY, max_pixels: int = MAX_PIXELS) -> np.ndarray:
    """Decode a picture within limits.

    Args:
        data: the file's bytes, of any format that OpenCV reads.
        flags: as `cv2.imdecode` takes them.
        max_pixels: larger ones are refused, at once where they are JPEG or PNG.

    Returns:
        `[H,W]` or `[H,W,C]`, as `flags` say; without them as the file has it.

    Raises:
        InputError: not a picture, or one that asks for too much; the text goes on after a name: "has …", "is …".
    """
    if not data:
        raise InputError("is empty, not a picture")
    demand = demand_of(data)
    if demand is None:
        image = _helped(data, flags)
        height, width = image.shape[:2]
        if width * height > max_pixels:
            raise InputError(_too_many(width, height, max_pixels))
        return image
    _check(demand, len(data), max_pixels)
    try:
        found = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except (cv2.error, MemoryError):
        found = None
    if found is None:
        raise InputError(_NO_PICTURE)
    return np.asarray(found)


def demand_of(data: bytes) -> Demand | None:
    """What a JPEG or PNG can ask for at most; `None` for other formats."""
    if data[:3] == b"\xff\xd8\xff":
        frames = [(found[1], found.start()) for found in _FRAME.finditer(data)]
        sizes = [(int.from_bytes(data[at + 7 : at + 9], "big"), int.from_bytes(data[at + 5 : at + 7], "big")) for _, at in frames]
        pixel_bytes = 12 if any(kind in _PROGRESSIVE for kind, _ in frames) else 7
        return Demand(*max(sizes, key=_area, default=(0, 0)), pixel_bytes, len(_SCAN.findall(data)))
    if data[:8] == b"\x89PNG\r\n\x1a\n":
        headers = _IHDR.findall(data)
        sizes = [(int.from_bytes(w or fw, "big"), int.from_bytes(h or fh, "big")) for w, h, _, fw, fh in headers]
        deep = any(depth == b"\x10" for _, _, depth, _, _ in headers)
        return Demand(*max(sizes, key=_area, default=(0, 0)), 13 if deep else 7, 1)
    return None


def _area(size: tuple[int, int]) -> int:
    return size[0] * size[1]


def _check(demand: Demand, length: int, max_pixels: int) -> None:
    """Raise `InputError` when a picture asks for more than one of its length may."""
    pixels = demand.width * demand.height
    if pixels > max_pixels:
        raise InputError(_too_many(demand.width, demand.height, max_pixels))
    if pixels * demand.pixel_bytes > max(_MEMORY, _PER_BYTE * length):
        raise InputError(
            f"has {demand.width}×{demand.height} pixels in {length} bytes, more than are read of so small a file: scale it down"
        )
    if demand.scans > MAX_SCANS:
        raise InputError(f"has {demand.scans} scans: at most {MAX_SCANS} are read; save it again")


def _too_many(width: int, height: int, limit: int) -> str:
    return f"has {width}×{height} pixels: at most {limit} are read"


def _helped(data: bytes, flags: int) -> np.ndarray:
    try:
        image = Helper.here().decode(data, flags, max(_HELPED, _PER_BYTE * len(data)), _PATIENCE_S)
    except TooLargeError:
        raise InputError("takes more memory or time than a file of its size may: scale it down, or save it as PNG") from None
    except OSError as error:
        raise InputError(f"is neither JPEG nor PNG, and the process that decodes others cannot be started: {error}") from None
    if image is None:
        known = _OTHERS.match(data)
        raise InputError("is damaged, or takes more memory than a file of its size may: save it as PNG" if known else _NO_PICTURE)
    return image
