"""Found faces, cropped, with their points where the encoder sees them; and of two finds of one face, one."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from edge.bundle import BundleConfig, ImageSpec
from edge.cv import cv2
from edge.types import Detection
from edge.vision.crop import align, crop_matrix, realigned
from edge.vision.encoder import Encoded, FaceEncoder

_AT_ONCE = 4  # crops: more take memory, and hardly less time
_NEAR = 0.03  # of a crop's side: a face is read again where its points say that it should have been cropped farther off than that
_SAME = 0.25  # of what the five points span: so near on average, two faces are one
_WITHIN, _CENTRED = 0.75, 0.2  # of the area of the surer box; of the longer side of the other, between their middles


@dataclass(frozen=True, slots=True)
class Sighting:
    """A face somewhere in a picture, its crop, and what the encoder read from that, if it was asked already."""

    place: Detection
    crop: np.ndarray
    """`[S,S]` uint8."""
    back: np.ndarray
    """`[2,3]` from crop to picture."""
    read: Encoded | None = None
    """Of this face alone."""


def sighted(grey: np.ndarray, places: list[Detection], config: BundleConfig) -> list[Sighting]:
    """Faces, cropped and not yet read."""
    aligned = [align(grey, place, config.image) for place in places]
    return [Sighting(place, crop, np.asarray(cv2.invertAffineTransform(m))) for place, (crop, m) in zip(places, aligned, strict=True)]


def realign(grey: np.ndarray, found: list[Detection], encoder: FaceEncoder, config: BundleConfig) -> list[Sighting]:
    """Found faces with their points where the encoder sees them, as far as the bundle asks for it (`FaceSpec.rough`).

    Those that were cropped as such points would have them keep what was read; the others are cropped anew.

    Args:
        grey: `[H,W]` uint8.
        found: the finder's.
        encoder: of the bundle.
        config: its configuration.
    """
    first = sighted(grey, found, config)
    if not found or not config.face.rough:
        return first
    read = encoder.read(np.stack([one.crop for one in first]), batch=_AT_ONCE)
    faces = []
    for i, one in enumerate(first):
        points_xy = read.points_xy[i] * config.image.size @ one.back[:, :2].T + one.back[:, 2]
        five_xy = np.stack([points_xy[columns].mean(0) for columns in config.image.five])
        place = realigned(one.place, five_xy, config.image)
        if _moved(one.place, place, config.image) <= _NEAR:
            faces.append(replace(one, place=replace(place, cropped_xy=one.place.points_xy), read=read.row(i)))
        else:
            faces += sighted(grey, [place], config)
    return _told_apart(faces)


def _moved(before: Detection, after: Detection, spec: ImageSpec) -> float:
    """By how much a crop by other points shows something else: the mean way of the template's five points, in sides of the crop."""
    template = np.asarray(spec.template_xy)
    back = np.asarray(cv2.invertAffineTransform(crop_matrix(after.points_xy, template)))
    there = crop_matrix(before.points_xy, template)
    moved = (template @ back[:, :2].T + back[:, 2]) @ there[:, :2].T + there[:, 2]
    return float(np.linalg.norm(moved - template, axis=1).mean()) / spec.size


def _told_apart(faces: list[Sighting]) -> list[Sighting]:
    """The faces, largest first, without those whose points are a surer one's: of two boxes the encoder may see the same face."""
    told: list[Sighting] = []
    for face in sorted(faces, key=lambda face: -face.place.score):
        places = [other.place for other in told]
        if not any(_same_points(face.place.points_xy, p.points_xy) or _around(face.place.box_xyxy, p.box_xyxy) for p in places):
            told.append(face)
    return sorted(told, key=lambda face: -float((face.place.box_xyxy[2:] - face.place.box_xyxy[:2]).prod()))


def _around(box: np.ndarray, surer: np.ndarray) -> bool:
    """Whether a box is drawn around the same face as that of a surer one within it, too large."""
    low, high = np.maximum(box[:2], surer[:2]), np.minimum(box[2:], surer[2:])
    inside = float(np.clip(high - low, 0, None).prod() / max(float((surer[2:] - surer[:2]).prod()), 1e-6))
    apart = float(np.linalg.norm((box[:2] + box[2:] - surer[:2] - surer[2:]) / 2))
    return inside >= _WITHIN and apart < _CENTRED * float((box[2:] - box[:2]).max())


def _same_points(one_xy: np.ndarray, other_xy: np.ndarray) -> bool:
    extent = float(np.ptp(other_xy, axis=0).max())
    return float(np.linalg.norm(one_xy - other_xy, axis=1).mean()) < _SAME * extent
