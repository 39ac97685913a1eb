"""Where the encoder sees a found face's points, which the finder gives roughly; and of two finds of one face, one."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from edge.bundle import BundleConfig, ImageSpec
from edge.cv import cv2
from edge.types import Detection
from edge.vision.encoder import FaceEncoder
from edge.vision.face import align, crop_matrix

_AT_ONCE = 4  # crops: more take memory, and hardly less time
_SAME = 0.25  # of what the five points span: so near on average, two faces are one
_WITHIN, _CENTRED = 0.75, 0.2  # of the area of the surer box; of the longer side of the other, between their middles
_REZOOM, _RESHIFT = 1.6, 0.3  # by so much, and so many sides of the crop, a face is aligned anew at most


def realign(grey: np.ndarray, found: list[Detection], encoder: FaceEncoder, config: BundleConfig) -> list[Detection]:
    """Found faces with their points where the encoder sees them, as far as the bundle asks for it (`FaceSpec.rough`).

    Args:
        grey: `[H,W]` uint8.
        found: the finder's.
        encoder: of the bundle.
        config: its configuration.
    """
    if not found or not config.face.rough:
        return found
    crops, matrices = zip(*(align(grey, face, config.image) for face in found), strict=True)
    read = encoder.read(np.stack(crops), batch=_AT_ONCE)
    faces = []
    for face, own, matrix in zip(found, read.points_xy, matrices, strict=True):
        back = np.asarray(cv2.invertAffineTransform(matrix))
        faces.append(realigned(face, own * config.image.size @ back[:, :2].T + back[:, 2], config.image))
    return _told_apart(faces)


def _told_apart(faces: list[Detection]) -> list[Detection]:
    """The faces, largest first, without those whose points are a surer one's: of two boxes the encoder may see the same face."""
    told: list[Detection] = []
    for face in sorted(faces, key=lambda face: -face.score):
        if not any(_same_points(face.points_xy, other.points_xy) or _around(face.box_xyxy, other.box_xyxy) for other in told):
            told.append(face)
    return sorted(told, key=lambda face: -float((face.box_xyxy[2:] - face.box_xyxy[:2]).prod()))


def _around(box: np.ndarray, surer: np.ndarray) -> bool:
    """Whether a box is drawn around the same face as that of a surer one within it, too large."""
    low, high = np.maximum(box[:2], surer[:2]), np.minimum(box[2:], surer[2:])
    inside = float(np.clip(high - low, 0, None).prod() / max(float((surer[2:] - surer[:2]).prod()), 1e-6))
    apart = float(np.linalg.norm((box[:2] + box[2:] - surer[:2] - surer[2:]) / 2))
    return inside >= _WITHIN and apart < _CENTRED * float((box[2:] - box[:2]).max())


def _same_points(one_xy: np.ndarray, other_xy: np.ndarray) -> bool:
    extent = float(np.ptp(other_xy, axis=0).max())
    return float(np.linalg.norm(one_xy - other_xy, axis=1).mean()) < _SAME * extent


def realigned(detection: Detection, points_xy: np.ndarray, spec: ImageSpec) -> Detection:
    """A found face with the five points where the encoder sees them in its first crop; as it is where the two are too far apart to be
    of the same face.

    Args:
        detection: the finder's.
        points_xy: the encoder's `[P,2]`, pixels of the picture.
        spec: of the bundle.
    """
    if not detection.upright:
        return detection
    seen = np.stack([points_xy[columns].mean(0) for columns in spec.five])
    template = np.asarray(spec.template_xy)
    before, after = crop_matrix(detection.points_xy, template), crop_matrix(seen, template)
    zoom = math.sqrt(abs(np.linalg.det(after[:, :2]) / np.linalg.det(before[:, :2])))
    middle = (seen.mean(0) @ before[:, :2].T + before[:, 2] - template.mean(0)) / spec.size
    if not 1 / _REZOOM < zoom < _REZOOM or np.hypot(*middle) > _RESHIFT:
        return detection
    return replace(detection, points_xy=seen.astype(np.float32))
