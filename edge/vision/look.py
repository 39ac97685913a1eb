"""The fast path: picture → faces (found, or followed) → aligned crops → encoder → a reading without explanations."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from edge.bundle import BundleConfig
from edge.cv import cv2
from edge.sources.camera import Frame
from edge.sources.picture import as_grey
from edge.types import Detection, Face, Pose, Reading
from edge.vision.border import beyond, share_outside
from edge.vision.encoder import Encoded, FaceEncoder, action_units, hidden_cues, veiled_cues
from edge.vision.face import align
from edge.vision.quality import MIN_SIDE_PX
from edge.vision.realign import realign
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

    detections: list[Detection]
    numbers: list[int]
    crops: list[np.ndarray]
    backs: list[np.ndarray]
    """`[2,3]` from crop to picture."""


def look(frame: Frame, finder: Finder, encoder: FaceEncoder, config: BundleConfig, tracker: Tracker | None) -> Seen:
    """Read the faces of a frame; with a tracker they keep their numbers, and the finder runs only when it must."""
    started = time.perf_counter()
    grey = as_grey(frame.image_bgr)
    height, width = grey.shape
    located = _locate(frame, grey, finder, encoder, config, tracker)
    between = time.perf_counter()
    crops = np.stack(located.crops) if located.crops else np.zeros((0, 0, 0), np.uint8)
    tokens, faces, size = np.zeros((0, 0, 0), np.float32), [], config.image.size
    sides = tuple(_side_px(back, size) for back in located.backs)
    if len(crops):
        read = encoder(crops)
        tokens = read.tokens
        points = np.stack([p * size @ back[:, :2].T + back[:, 2] for p, back in zip(read.points_xy, located.backs, strict=True)])
        places = tracker.settle(located.numbers, points, frame.t_ms) if tracker else located.detections
        for i, place in enumerate(places):
            out = beyond(points[i], sides[i], width, height)
            faces.append(_face(located.numbers[i], place, read, i, points[i], located.backs[i], config, out))
    done = time.perf_counter()
    spent = {"face": (between - started) * 1e3, "encode": (done - between) * 1e3, "explain": 0.0, "verify": 0.0}
    spent["total"] = (done - started) * 1e3
    reading = Reading(frame.source, frame.index, frame.t_ms, width, height, tuple(faces), spent, frame.captured_s)
    return Seen(reading, tokens, crops, sides, tuple(share_outside(back, size, width, height) for back in located.backs))


def _locate(
    frame: Frame, grey: np.ndarray, finder: Finder, encoder: FaceEncoder, config: BundleConfig, tracker: Tracker | None
) -> _Located:
    """The faces where the tracker expects them, if they are there, else as the finder finds them; in a stream most looks are coarse, and
    faces that are too small for those, or of which the screen is not sure for once, are looked after where they were."""
    if tracker and (expected := tracker.expected(frame.t_ms)):
        crops, backs = _crops(grey, expected, config)
        if numbers := tracker.recognised(crops):
            return _Located(expected, numbers, crops, backs)
    picture = frame.image_bgr if config.face.channels == 3 else grey
    coarse = tracker is not None and not tracker.fine_due(frame.t_ms)
    found = realign(grey, finder(picture, coarse=coarse), encoder, config)
    crops, backs = _crops(grey, found, config)
    if tracker:
        for place, believed in tracker.unfound(found, frame.t_ms):
            hesitates = config.face.screened and believed
            if not hesitates and not (coarse and finder.only_fine(place, grey.shape)):
                continue
            kept_crops, kept_backs = _crops(grey, [place], config)
            if tracker.known(kept_crops[0]):
                found, crops, backs = [*found, place], crops + kept_crops, backs + kept_backs
    if tracker is None:
        return _Located(found, list(range(1, len(found) + 1)), crops, backs)
    size, (height, width) = config.image.size, grey.shape
    whole = [
        shows_whole(place, _side_px(back, size), share_outside(back, size, width, height)) for place, back in zip(found, backs, strict=True)
    ]
    numbers = tracker.match(found, crops, frame.t_ms, whole=whole)
    shown = [i for i, number in enumerate(numbers) if number]
    return _Located([found[i] for i in shown], [numbers[i] for i in shown], [crops[i] for i in shown], [backs[i] for i in shown])


def _crops(grey: np.ndarray, places: list[Detection], config: BundleConfig) -> tuple[list[np.ndarray], list[np.ndarray]]:
    aligned = [align(grey, place, config.image) for place in places]
    return [crop for crop, _ in aligned], [np.asarray(cv2.invertAffineTransform(matrix)) for _, matrix in aligned]


def _side_px(back: np.ndarray, size: int) -> float:
    return math.hypot(back[0, 0], back[1, 0]) * size


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
        action_units=action_units(cues, read.units[i], hidden, config) if place.upright else {},
    )
