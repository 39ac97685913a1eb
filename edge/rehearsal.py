"""A bundle's rehearsal when it is loaded: one drawn face goes the whole way, so that parts that do not fit fail now and not at a face."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, replace

import numpy as np

from edge.bundle import Bundle, BundleConfig, ImageSpec
from edge.cv import cv2
from edge.language.explain import Explainer, subject_of
from edge.language.rationale import Completion
from edge.sources.camera import Frame
from edge.types import Detection, Reading
from edge.vision.crop import crop_matrix
from edge.vision.encoder import FaceEncoder
from edge.vision.finder import FaceFinder
from edge.vision.look import look

_FACE = np.array([[0.342, 0.461], [0.657, 0.460], [0.500, 0.640], [0.371, 0.825], [0.632, 0.824]])
"""Where the five points of a face lie in a square around it (the common template of ArcFace, Deng et al. 2019, over its side)."""
_SIDE, _CORNER, _PICTURE = 96, 32, 160  # pixels


@dataclass(frozen=True, slots=True)
class _Found:
    """A finder that finds one face wherever it looks."""

    face: Detection

    def __call__(self, picture: np.ndarray, *, coarse: bool = False) -> list[Detection]:
        return [self.face]

    def only_fine(self, face: Detection, shape: tuple[int, ...]) -> bool:
        return False


def rehearse(bundle: Bundle, finder: FaceFinder, encoder: FaceEncoder, explainer: Explainer) -> Reading:
    """Send one face through every graph.

    Raises:
        Exception: whatever does not fit together, from whichever library it shows in; `ValueError` where it shows here.
    """
    config = bundle.config
    check_template(config.image)
    picture, face = drawn_face()
    finder.rehearse(picture)
    if finder.screen:
        finder.screen(picture, [face], None)
    frame = Frame(cv2.cvtColor(picture, cv2.COLOR_GRAY2BGR), "rehearsal", 0, 0.0)
    read = encoder(np.zeros((1, config.image.size, config.image.size), np.uint8))
    _check_sizes(config, explainer, read.tokens.shape[1], read.points_xy.shape[1])
    seen = look(frame, _Found(face), encoder, config, None)
    sure = replace(subject_of(seen.reading.faces[0], seen.tokens[0]), confidence=1.0)  # so that it is sampled, too
    (said,) = explainer([sure])
    explainer.read([Completion("The face is relaxed.", config.labels[0])])
    reading = replace(seen.reading, faces=(replace(seen.reading.faces[0], explanation=said),))
    json.dumps(reading.to_dict(), allow_nan=False)
    return reading


def drawn_face() -> tuple[np.ndarray, Detection]:
    """A grey picture `[H,W]` uint8 of a face of a few strokes, and where it lies."""
    points = (_FACE * _SIDE + _CORNER).astype(np.float32)
    picture = np.full((_PICTURE, _PICTURE), 90, np.uint8)
    cv2.ellipse(picture, (_CORNER + _SIDE // 2, _CORNER + _SIDE * 6 // 10), (_SIDE * 4 // 10, _SIDE // 2), 0, 0, 360, 190, -1)
    left, right, nose, mouth_left, mouth_right = (tuple(map(int, point)) for point in points)
    for eye in (left, right):
        cv2.circle(picture, eye, 6, 30, -1)
    cv2.line(picture, (nose[0], left[1]), nose, 140, 2)
    cv2.line(picture, mouth_left, mouth_right, 60, 4)
    box = np.array([_CORNER, _CORNER, _CORNER + _SIDE, _CORNER + _SIDE], np.float32)
    return picture, Detection(box, points, 1.0)


def check_template(spec: ImageSpec) -> None:
    """Raise `ValueError` when the five points of the crop are not those of an upright face inside it."""
    template = np.asarray(spec.template_xy)
    inside = ((template >= 0) & (template <= spec.size)).all()
    matrix = crop_matrix(_FACE, template)
    side = math.hypot(matrix[0, 0], matrix[1, 0])
    turned = math.degrees(math.atan2(matrix[1, 0], matrix[0, 0]))
    off = np.linalg.norm(_FACE @ matrix[:, :2].T + matrix[:, 2] - template, axis=1).max()
    if not inside or abs(turned) > 30 or not 0.3 * spec.size <= side <= 3 * spec.size or off > 0.15 * side:
        raise ValueError("image.template_xy is not where the eyes, the nose and the mouth of an upright face lie in the crop")


def _check_sizes(config: BundleConfig, explainer: Explainer, tokens: int, points: int) -> None:
    if not config.policy.tower and tokens != config.policy.tokens_per_frame:
        raise ValueError(f"policy.tokens_per_frame is {config.policy.tokens_per_frame}, but the encoder gives {tokens} visual tokens")
    if any(point >= points for cue in config.cues for point in cue.points):
        raise ValueError(f"a cue is shown by a point beyond the encoder's {points}")
    five = config.image.five
    if (five or config.face.rough) and (len(five) != 5 or not all(five) or max(map(max, five)) >= points):
        raise ValueError(f"image.five does not name five places among the encoder's {points} points")
    if (mirror := config.image.mirror) and [mirror[i] for i in mirror if i < len(mirror)] != list(range(points)):
        raise ValueError(f"image.mirror does not name the partner of each of the encoder's {points} points")
    words = len(explainer.policy.tokenizer)
    if max(config.policy.bos, config.policy.eos, config.policy.image, *config.policy.prefix, *config.policy.suffix) >= words:
        raise ValueError(f"a token of the policy lies beyond the {words} of its tokenizer")
