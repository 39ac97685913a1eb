"""The socket's language: a packet is the length of a JSON object (four bytes, big-endian), the object, and a JPEG or nothing."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from edge.cv import cv2
from edge.errors import InputError
from edge.outputs.words import in_words, measure
from edge.sources.decode import decode
from edge.types import Reading

MAX_HEADER = 4096
"""Longest JSON object that a client may send, bytes."""
MAX_PIXELS = 4_000_000
"""Largest picture that a client may send: width times height."""
MAX_T_MS = 1e12
"""Latest time of a picture that a client may send: 31 years."""
_SHOWN_WIDTH = 960
_QUALITY = 80


def pack(header: dict[str, Any], body: bytes = b"") -> bytes:
    """Build a packet."""
    text = json.dumps(header, separators=(",", ":"), allow_nan=False).encode()
    return len(text).to_bytes(4, "big") + text + body


def unpack(data: bytes) -> tuple[dict[str, Any], bytes]:
    """Take a client's packet apart.

    Raises:
        InputError: too short, the header longer than `MAX_HEADER`, or not a JSON object.
    """
    size = int.from_bytes(data[:4], "big")
    if len(data) < 4 or size > min(MAX_HEADER, len(data) - 4):
        raise InputError("the packet's length does not fit its header")
    try:
        header = json.loads(data[4 : 4 + size].decode("utf-8"))  # of bytes, `json` takes UTF-16 and UTF-32 too
    except (ValueError, RecursionError):
        raise InputError("the packet's header is not JSON") from None
    if not isinstance(header, dict):
        raise InputError("the packet's header is not a JSON object")
    return header, data[4 + size :]


def sent_time(header: dict[str, Any]) -> float:
    """The `t_ms` of a client's header, milliseconds; `InputError` when it is no number from 0 to `MAX_T_MS`."""
    value = header.get("t_ms")
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= MAX_T_MS:
        raise InputError(f"the packet's header needs t_ms, a number from 0 to {MAX_T_MS:g}")
    return float(value)


WISHES = ("explain", "counterfactual")
"""What a client may ask for."""


def asked(text: str) -> tuple[str, int | None]:
    """What a client asks for, and for which track: `{"explain": 1}`, `{"counterfactual": 1}`, with `null` for every face.

    Raises:
        InputError: anything else.
    """
    try:
        message = json.loads(text)
    except (ValueError, RecursionError):
        raise InputError("the message is not JSON") from None
    if not isinstance(message, dict) or len(message) != 1 or (wish := next(iter(message))) not in WISHES:
        raise InputError('expected {"explain": TRACK}, {"counterfactual": TRACK}, or null for all')
    track = message[wish]
    if track is not None and (isinstance(track, bool) or not isinstance(track, int) or not 0 < track < 2**31):
        raise InputError(f"{wish} needs the track of a face, or null for all")
    return wish, track


def decode_jpeg(data: bytes) -> np.ndarray:
    """Decode a client's picture to `[H,W,3]` uint8 BGR.

    Raises:
        InputError: not a JPEG, larger than `MAX_PIXELS`, of more scans than are read, or damaged.
    """
    if data[:3] != b"\xff\xd8\xff":
        raise InputError("the picture is not a JPEG")
    try:
        return decode(data, flags=cv2.IMREAD_COLOR, max_pixels=MAX_PIXELS)
    except InputError as error:
        raise InputError(f"the picture {error}") from None


def described(reading: Reading) -> dict[str, Any]:
    """A reading with what a page needs to show it: for every face its landmark `points` `[P][2]` in pixels of the picture, `said`, its
    statements in plain words, each `[what it says, what was measured]`, and `doubted`, in plain words each statement of its
    counterfactual."""
    faces = reading.faces
    stated = [face.explanation.statements if face.explanation else () for face in faces]
    doubted = [[one.statement for one in face.counterfactual.undone] if face.counterfactual else [] for face in faces]
    return {
        "reading": reading.to_dict(),
        "points": [np.round(face.points_xy, 1).tolist() for face in faces],
        "said": [[[in_words(said), measure(said)] for said in group] for group in stated],
        "doubted": [[in_words(said) for said in group] for group in doubted],
    }


@dataclass(frozen=True)
class Packet:
    """One reading on its way to the clients; encoded once, when first asked for."""

    reading: Reading
    image_bgr: np.ndarray | None
    """`[H,W,3]` uint8."""
    live: bool = True
    """Whether the source goes on."""
    status: dict[str, Any] | None = None
    """How the source was doing, plain JSON types."""
    recorded: str = ""
    """What the timeline of the whole recording shows, once there is one; else empty."""

    @cached_property
    def text(self) -> str:
        """The `--json` object."""
        return json.dumps(self.reading.to_dict())

    @cached_property
    def data(self) -> bytes:
        """The packet with its picture, scaled down to what a page shows."""
        header = {"live": self.live, "status": self.status, "recorded": self.recorded, **described(self.reading)}
        if self.image_bgr is None:
            return pack(header)
        height, width = self.image_bgr.shape[:2]
        scale = min(1.0, _SHOWN_WIDTH / width)
        size = max(1, round(width * scale)), max(1, round(height * scale))
        shown = self.image_bgr if scale == 1 else cv2.resize(self.image_bgr, size, interpolation=cv2.INTER_AREA)
        done, jpeg = cv2.imencode(".jpg", shown, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])
        return pack(header, jpeg.tobytes() if done else b"")
