"""The fast path: picture → faces (found, or followed) → aligned crops → encoder → a reading without explanations."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from edge.bundle import BundleConfig
from edge.sources.camera import Frame
from edge.sources.picture import as_grey
from edge.types import Detection, Face, Pose, Reading
from edge.vision.border import beyond, share_outside
from edge.vision.crop import zoom_of
from edge.vision.encoder import Encoded, FaceEncoder, action_units, dim_cues, hidden_cues, veiled_cues
from edge.vision.quality import MIN_SIDE_PX
from edge.vision.realign import Sighting, realign, sighted
from edge.vision.track import Tracker

_MOST_OUTSIDE = 0.1  # of a crop: where more of it only repeats the picture's edge, it does not show what somebody looks like


class Finder(Protocol):
    """Finds the faces of a picture; a `FaceFinder` is one."""

    def __call__(self, picture: np.ndarray, *, coarse: bool = False) -> list[Detection]:
        """Find them in `[H,W]` grey, or `[H,W,3]` BGR where the bundle asks for colour; `coarse`: the large ones suffice."""
        ...

    def only_fine(self, face: Detection, shape: tuple[int, ...]) -> bool:
        """Whether a face is so small that a coarse look may miss it."""
        ...


@dataclass(frozen=True, slots=True)
class Seen:
    """What the fast path leaves for the slow one."""

    reading: Reading
    tokens: np.ndarray
    """`[N,T,D]` visual tokens, one row per face."""
    crops: np.ndarray
    """`[N,S,S]` uint8, what the encoder saw."""
    sides_px: tuple[float, ...]
    """Side of the square in the picture that each crop was sampled from, pixels."""
    outside: tuple[float, ...]
    """Share 0…1 of each crop that lies beyond the picture, where the edge is repeated."""


@dataclass(frozen=True, slots=True)
class _Located:
    """The faces of a frame before they are read."""

    faces: list[Sighting]
    numbers: list[int]
    encode_ms: float = 0.0
    """What reading took on the way."""


def look(frame: Frame, finder: Finder, encoder: FaceEncoder, config: BundleConfig, tracker: Tracker | None) -> Seen:
    """Read the faces of a frame; with a tracker they keep their numbers, and the finder runs only when it must."""
    started = time.perf_counter()
    grey = as_grey(frame.image_bgr)
    height, width = grey.shape
    located = _locate(frame, grey, finder, encoder, config, tracker)
    between = time.perf_counter()
    seen, size = located.faces, config.image.size
    crops = np.stack([one.crop for one in seen]) if seen else np.zeros((0, 0, 0), np.uint8)
    tokens, faces, backs = np.zeros((0, 0, 0), np.float32), [], [one.back for one in seen]
    sides = tuple(_side_px(back, size) for back in backs)
    if seen:
        read = _read(seen, encoder)
        tokens = read.tokens
        points = np.stack([p * size @ back[:, :2].T + back[:, 2] for p, back in zip(read.points_xy, backs, strict=True)])
        places = tracker.settle(located.numbers, points, frame.t_ms) if tracker else [one.place for one in seen]
        for i, place in enumerate(places):
            out = beyond(points[i], sides[i], width, height)
            faces.append(_face(located.numbers[i], place, read, i, points[i], backs[i], config, out))
    done = time.perf_counter()
    found_ms, encode_ms = (between - started) * 1e3 - located.encode_ms, (done - between) * 1e3 + located.encode_ms
    spent = {"face": found_ms, "encode": encode_ms, "explain": 0.0, "verify": 0.0, "total": (done - started) * 1e3}
    reading = Reading(frame.source, frame.index, frame.t_ms, width, height, tuple(faces), spent, frame.captured_s)
    return Seen(reading, tokens, crops, sides, tuple(share_outside(back, size, width, height) for back in backs))


def _read(seen: list[Sighting], encoder: FaceEncoder) -> Encoded:
    """What the encoder reads from faces, some of which it may have read before."""
    unread = [one.crop for one in seen if one.read is None]
    new = encoder(np.stack(unread)) if unread else None
    if new is None or len(unread) == len(seen):
        return new or Encoded.joined([one.read for one in seen if one.read])
    rows = iter(range(len(unread)))
    return Encoded.joined([one.read or new.row(next(rows)) for one in seen])


def _locate(
    frame: Frame, grey: np.ndarray, finder: Finder, encoder: FaceEncoder, config: BundleConfig, tracker: Tracker | None
) -> _Located:
    """The faces where the tracker expects them, if they are there, else as the finder finds them; in a stream most looks are coarse, and
    faces that are too small for those, or of which the screen is not sure for once, are looked after where they were."""
    if tracker:
        tracker.begin(grey)
    if tracker and (expected := tracker.expected(frame.t_ms)):
        followed = sighted(grey, expected, config)
        if numbers := tracker.recognised([one.crop for one in followed]):
            return _Located(followed, numbers)
    picture = frame.image_bgr if config.face.channels == 3 else grey
    coarse = tracker is not None and not tracker.fine_due(frame.t_ms)
    found = finder(picture, coarse=coarse)
    started = time.perf_counter()
    faces = realign(grey, found, encoder, config)
    encode_ms = (time.perf_counter() - started) * 1e3
    if tracker is None:
        return _Located(faces, list(range(1, len(faces) + 1)), encode_ms)
    for place, believed in tracker.unfound([one.place for one in faces], frame.t_ms):
        hesitates = config.face.screened and believed
        if not hesitates and not (coarse and finder.only_fine(place, grey.shape)):
            continue
        (kept,) = sighted(grey, [place], config)
        if tracker.known(kept.crop):
            faces.append(kept)
    size, (height, width) = config.image.size, grey.shape
    whole = [shows_whole(one.place, _side_px(one.back, size), share_outside(one.back, size, width, height)) for one in faces]
    numbers = tracker.match([one.place for one in faces], [one.crop for one in faces], frame.t_ms, whole=whole)
    shown = [i for i, number in enumerate(numbers) if number]
    return _Located([faces[i] for i in shown], [numbers[i] for i in shown], encode_ms)


def _side_px(back: np.ndarray, size: int) -> float:
    return zoom_of(back) * size


def shows_whole(place: Detection, side_px: float, outside: float) -> bool:
    """Whether a crop is upright, large enough and within the picture, to tell by it who this is; arguments as in `Seen`."""
    return place.upright and side_px >= MIN_SIDE_PX and outside < _MOST_OUTSIDE


def _face(
    number: int, place: Detection, read: Encoded, i: int, points_xy: np.ndarray, back: np.ndarray, config: BundleConfig, out: np.ndarray
) -> Face:
    """Row `i` of what the encoder read, as a face; `back` leads from its crop to the picture, `out` are the points beyond that."""
    probabilities = dict(zip(config.labels, map(float, read.probabilities[i]), strict=True))
    if not place.upright:
        probabilities = {}
    emotion = max(probabilities, key=probabilities.__getitem__, default="")
    yaw, pitch, roll = map(float, read.pose_deg[i])
    turned = math.degrees(math.atan2(back[1, 0], back[0, 0]))  # the crop was levelled: add that turn back
    cues = dict(zip((cue.name for cue in config.cues), map(float, read.cues[i]), strict=True))
    hidden = hidden_cues(read.visible[i], config, out)
    return Face(
        track=number,
        detection=place,
        emotion=emotion,
        confidence=probabilities.get(emotion, 0.0),
        probabilities=probabilities,
        cues=cues,
        points_xy=points_xy.astype(np.float32),
        pose=Pose(yaw, pitch, (roll + turned + 180) % 360 - 180),
        unclear=() if place.upright else ("orientation",),
        hidden=hidden,
        veiled=veiled_cues(read.visible[i], config, out),
        dim=dim_cues(read.visible[i], config, out),
        action_units=action_units(cues, read.units[i], hidden, config) if place.upright else {},
    )
