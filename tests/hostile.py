"""Pictures that are made to hurt, and how many rounds of random ones are tried."""

from __future__ import annotations

import os
import struct
import zlib

import cv2
import numpy as np

ROUNDS = int(os.environ.get("EDGE_FUZZ", "1"))
"""`EDGE_FUZZ=10 python -m pytest …` tries ten times as many."""


def jpeg(image: np.ndarray, *options: int) -> bytes:
    return cv2.imencode(".jpg", image, options)[1].tobytes()


def stated(data: bytes, width: int, height: int) -> bytes:
    """A JPEG whose frame header states another size."""
    at = next(i for i in range(len(data)) if data[i] == 0xFF and data[i + 1] in (0xC0, 0xC2)) + 5
    return data[:at] + struct.pack(">HH", height, width) + data[at + 4 :]


def two_headers(width: int, height: int) -> bytes:
    """A JPEG of this size that looks small to a reader who takes the marker TEM for one with a length."""
    small = jpeg(np.full((64, 64, 3), 128, np.uint8))
    at = small.index(b"\xff\xc0")
    fake = small[at : at + 19]
    comment = b"\xff\xfe" + struct.pack(">H", 4 + len(fake)) + b"\0\0" + fake
    return b"\xff\xd8\xff\x01" + struct.pack(">H", 8) + comment + stated(small, width, height)[2:]


def many_scans(width: int, height: int, count: int, *, noise: bool = False) -> bytes:
    """A progressive JPEG that repeats one of its refining scans."""
    image = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8) if noise else np.full((height, width, 3), 128, np.uint8)
    data = jpeg(image, cv2.IMWRITE_JPEG_PROGRESSIVE, 1)
    scans = [i for i in range(len(data)) if data[i : i + 2] == b"\xff\xda"]
    tables = data.rindex(b"\xff\xc4", 0, scans[5])
    following = min(i for i in (data.find(b"\xff\xc4", scans[5]), scans[6]) if i > 0)
    return data[:-2] + data[tables:following] * (count - len(scans)) + data[-2:]


def png(width: int, height: int, depth: int = 8, *, before: bytes = b"") -> bytes:
    """A grey PNG of zeros; `before` is written as a text chunk."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    packer = zlib.compressobj(9)
    row = bytes(1 + 3 * width * depth // 8)
    body = b"".join(packer.compress(row) for _ in range(min(height, 8000))) + packer.flush()
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + (chunk(b"tEXt", b"a\0" + before) if before else b"") + chunk(b"IDAT", body) + chunk(b"IEND", b"")


def gif(width: int, height: int) -> bytes:
    """A GIF of 35 bytes: a canvas of this size and one pixel."""
    head = b"GIF89a" + struct.pack("<HHBBB", width, height, 0x80, 0, 0) + b"\0\0\0\xff\xff\xff"
    return head + b"," + struct.pack("<HHHHB", 0, 0, 1, 1, 0) + b"\x02\x02\x44\x01\0;"


def mutated(data: bytes, rng: np.random.Generator) -> bytes:
    """Flip, cut, repeat or insert, a few times."""
    out = bytearray(data)
    for _ in range(int(rng.integers(1, 6))):
        at, span = int(rng.integers(0, max(1, len(out)))), int(rng.integers(1, 64))
        kind = int(rng.integers(0, 5))
        if kind == 0:
            out[at : at + 1] = bytes([int(rng.integers(0, 256))])
        elif kind == 1:
            del out[at : at + span]
        elif kind == 2:
            out[at:at] = out[at : at + span]
        elif kind == 3:
            out[at:at] = rng.bytes(span)
        else:
            out[at : at + 4] = [b"\xff\xff\xff\xff", b"\0\0\0\0", b"\x7f\xff\xff\xff", b"\xff\xc0\x00\x11"][int(rng.integers(0, 4))]
    return bytes(out)
