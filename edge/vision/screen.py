"""What the finder found, without what is no face, and each face's five points and box: a small network looks at every find.

A finder of eighty thousand parameters sees all of a picture at once, takes badges, hands and wheels for faces, is then less sure, and gives
points and boxes roughly. The screen sees one find at a time, by the finder's own points and, where those may be wrong about how a face
lies, laid into the find's box the four ways it may, so that a face on its side is turned, too; and where that does not settle it, by the
points that it saw itself. Who is a face is looked at with its mirror image, and once more by the points just seen: their mean is closer,
and a face in a mirror lies in the same place.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from edge.bundle import ImageSpec, check_graph
from edge.cv import cv2
from edge.engine.backend import Session
from edge.errors import BundleError
from edge.types import Detection
from edge.vision.crop import align, crop_face, crop_matrix, realigned, zoom_of

INPUT, OUTPUTS = "crops", ("log_odds", "at_all", "points", "boxes")
SIDE = 48
"""Of its crops, pixels."""
SURE = 0.625
"""Score from which a find is taken for a face at once in a stream: in validation pictures 0.96 of 2,795 faces and 16 of 29 others that pass
have as much, most of these true faces in a wrong box."""
COLLAPSED = 0.7
"""A crop so small for its box shows a part: of a face that lies on its side, the points may meet in the middle."""
_TURNED = 0.75  # log odds: on validation sources it halves what is false, and costs hardly a face
_ANEW = 0.5  # log odds: a crop by the points that were seen in the one before shows more of a face, and more of what is none
_HOPE = -1.0  # log odds, the finder's with those that a find shows a face however it lies, from which it is looked at again
_BELOW = 0.05  # of the box, from its middle to that of the five points
_ENOUGH_PX = 1.25 * SIDE
_AT_ONCE = 64  # crops
_CLOSER = 2  # looks at who is a face and at the mirror image, the second by the points of the first
_SWAPPED = [1, 0, 2, 4, 3]  # eyes and corners of the mouth in a mirror
_QUARTERS = [np.linalg.matrix_power(np.array([[0.0, 1.0], [-1.0, 0.0]]), quarters) for quarters in range(4)]
_View = tuple[np.ndarray, float]  # a picture, and its scale


class Told(NamedTuple):
    """What the screen says of N crops."""

    log_odds: np.ndarray
    """`[N]` that a crop shows a face the right way up."""
    at_all: np.ndarray
    """`[N]` log odds that it shows one however it lies."""
    points_xy: np.ndarray
    """`[N,5,2]` where a face that is the right way up has its five, pixels of the crop."""
    boxes: np.ndarray
    """`[N,4]` the middle x, y, the width and the height of its box, likewise."""


class _Look(NamedTuple):
    """One look at a find."""

    odds: float
    """Log odds that it shows a face the right way up."""
    place: Detection
    """By whose points it was cropped."""
    points_xy: np.ndarray
    box: np.ndarray
    """Both of the crop, as in `Told`."""
    less: float = 0.0
    """By how much the odds were made less."""


class Screen:
    """Tells faces from what the finder takes for one."""

    def __init__(self, session: Session, image: ImageSpec, least_sure: float) -> None:
        """Take a session.

        Args:
            session: of the bundle's `screen.onnx`.
            image: how the encoder's crops are made; the screen's show the same in fewer pixels.
            least_sure: what the log odds of the finder's score and the screen's must come to together.

        Raises:
            BundleError: the graph has other inputs.
        """
        check_graph("screen", {INPUT}, session.inputs)
        self.session, self.image, self.least_sure = session, seen_small(image), least_sure

    def __call__(self, grey: np.ndarray, found: list[Detection], small: np.ndarray | None = None) -> list[Detection]:
        """The faces among what was found, the right way up and with their points where they are seen; their score counts what was seen, and
        is 0.5 at the least.

        Args:
            grey: `[H,W]` uint8.
            found: the finder's.
            small: the same picture shrunk, in which the large ones are looked at.
        """
        views = [_view(face, grey, small) for face in found]
        first = self._look([face if crop_share(face, self.image) >= COLLAPSED else laid(face, 0, self.image) for face in found], views)
        best = [look for look, _ in first]

        def unsure() -> list[int]:
            return [i for i, face in enumerate(found) if self._surer(face, best[i].odds) < 0 and self._surer(face, first[i][1]) >= _HOPE]

        def better(i: int, look: _Look, less: float) -> None:
            if look.odds - less > best[i].odds:
                best[i] = look._replace(odds=look.odds - less, less=less)

        again = unsure()
        for i, four in zip(again, self._laid([found[i] for i in again], [views[i] for i in again]), strict=True):
            for quarters, look in enumerate(four):
                better(i, look, _TURNED if quarters else 0.0)
        again = unsure()
        anew = self._look([self._placed(best[i]) for i in again], [views[i] for i in again])
        for i, (look, _) in zip(again, anew, strict=True):
            better(i, look, best[i].less + _ANEW)
        surer = [self._surer(face, look.odds) for face, look in zip(found, best, strict=True)]
        kept = [i for i, sure in enumerate(surer) if sure >= 0]
        seen = [self._placed(best[i]) for i in kept]  # whose boxes are the better ones on validation sources
        closer = [best[i].place for i in kept]
        for _ in range(_CLOSER):
            closer = [self._placed(look) for look, _ in self._look(closer, [views[i] for i in kept], mirrored=True)]
        scores = (1 / (1 + math.exp(-surer[i])) for i in kept)
        return [replace(face, box_xyxy=far.box_xyxy, score=score) for face, far, score in zip(closer, seen, scores, strict=True)]

    def _look(self, places: list[Detection], views: list[_View], *, mirrored: bool = False) -> list[tuple[_Look, float]]:
        """What is seen of each face where it is said to lie, and the log odds that it is one however it lies."""
        crops = [align(view, _scaled(place, scale), self.image)[0] for place, (view, scale) in zip(places, views, strict=True)]
        told = self.tell_both(crops) if mirrored else self.tell(crops)
        rows = zip(told.log_odds, places, told.points_xy, told.boxes, told.at_all, strict=True)
        return [(_Look(float(odds), *rest), float(at_all)) for odds, *rest, at_all in rows]

    def _laid(self, faces: list[Detection], views: list[_View]) -> list[list[_Look]]:
        """What is seen of each face laid into its box the four ways it may lie."""
        pairs = zip(faces, views, strict=True)
        told = self.tell([crop for face, (view, scale) in pairs for crop in laid_crops(view, _scaled(face, scale), self.image)])
        ways = [laid(face, quarters, self.image) for face in faces for quarters in range(4)]
        looks = [_Look(float(odds), *rest) for odds, *rest in zip(told.log_odds, ways, told.points_xy, told.boxes, strict=True)]
        return [looks[i : i + 4] for i in range(0, len(looks), 4)]

    def _surer(self, face: Detection, odds: float) -> float:
        score = min(max(face.score, 1e-6), 1 - 1e-6)
        return math.log(score / (1 - score)) + odds - self.least_sure

    def _placed(self, look: _Look) -> Detection:
        """A face with its points and its box where they are seen in its crop."""
        face, points_xy, box = look.place, look.points_xy, look.box
        back = np.asarray(cv2.invertAffineTransform(crop_matrix(face.points_xy, np.asarray(self.image.template_xy))))
        placed = realigned(face, points_xy @ back[:, :2].T + back[:, 2], self.image)
        if placed is face:
            return face
        turned = crop_matrix(placed.points_xy, np.asarray(self.image.template_xy))
        along = np.abs(turned[0, :2]) / zoom_of(turned)  # a turned face's box is that of the ellipse in its own
        half, middle = box[2:] / 2 * zoom_of(back), back[:, :2] @ box[:2] + back[:, 2]
        reach = np.array([math.hypot(*(half * along)), math.hypot(*(half * along[::-1]))])
        return replace(placed, box_xyxy=np.concatenate([middle - reach, middle + reach]).astype(np.float32))

    def tell(self, crops: Sequence[np.ndarray]) -> Told:
        """What any number of crops `[SIDE,SIDE]` uint8 shows.

        Raises:
            BundleError: the graph does not tell all of it.
        """
        shown = np.stack(crops)[:, None].astype(np.float32) if crops else np.zeros((0, 1, SIDE, SIDE), np.float32)
        parts = [self.session.run({INPUT: shown[i : i + _AT_ONCE]}) for i in range(0, len(shown), _AT_ONCE)]
        if parts and (missing := set(OUTPUTS) - set(parts[0])):
            raise BundleError(f"graph 'screen' does not give {', '.join(sorted(missing))}: export the bundle again")
        shapes = zip(OUTPUTS, ((0,), (0,), (0, 5, 2), (0, 4)), strict=True)
        log_odds, at_all, points, boxes = (np.concatenate([np.zeros(s, np.float32), *(part[name] for part in parts)]) for name, s in shapes)
        return Told(log_odds, at_all, points * SIDE, boxes * SIDE)

    def tell_both(self, crops: Sequence[np.ndarray]) -> Told:
        """The mean of what N crops show and what their mirror images do."""
        n, told = len(crops), self.tell([*crops, *(crop[:, ::-1] for crop in crops)])
        told.points_xy[n:] = told.points_xy[n:, _SWAPPED] * (-1, 1) + (SIDE, 0)
        told.boxes[n:] = told.boxes[n:] * (-1, 1, 1, 1) + (SIDE, 0, 0, 0)
        return Told(*((part[:n] + part[n:]) / 2 for part in told))


def seen_small(spec: ImageSpec) -> ImageSpec:
    """How the screen's crops are made: as the encoder's, in `SIDE` pixels."""
    return replace(spec, size=SIDE, template_xy=(np.asarray(spec.template_xy) * (SIDE / spec.size)).tolist())


def _view(face: Detection, grey: np.ndarray, small: np.ndarray | None) -> _View:
    """The picture in which a find is looked at, and its scale: the shrunk one where that shows all that the screen sees."""
    scale = 1.0 if small is None else small.shape[1] / grey.shape[1]
    if small is None or float((face.box_xyxy[2:] - face.box_xyxy[:2]).min()) * scale < _ENOUGH_PX:
        return grey, 1.0
    return small, scale


def _scaled(face: Detection, scale: float) -> Detection:
    return replace(face, box_xyxy=face.box_xyxy * np.float32(scale), points_xy=face.points_xy * np.float32(scale))


def crop_share(face: Detection, spec: ImageSpec) -> float:
    """The side of a face's crop over the longer side of its box: about 1 where its points lie as those of a face."""
    matrix = crop_matrix(face.points_xy, np.asarray(spec.template_xy))
    extent = float((face.box_xyxy[2:] - face.box_xyxy[:2]).max())
    return spec.size / zoom_of(matrix) / max(extent, 1e-6)


def laid_crops(grey: np.ndarray, face: Detection, spec: ImageSpec) -> list[np.ndarray]:
    """The four crops of a find that lies as in `laid`, sampled once and turned, each within half a pixel of its place."""
    matrix = crop_matrix(laid(face, 0, spec).points_xy, np.asarray(spec.template_xy))
    middle = matrix[:, :2] @ ((face.box_xyxy[:2] + face.box_xyxy[2:]) / 2) + matrix[:, 2]
    reach = math.ceil(max(middle.max(), spec.size - middle.min()))
    matrix[:, 2] += reach - middle
    around = crop_face(grey, matrix, 2 * reach)
    left, top = np.round(reach - middle).astype(int)
    return [np.rot90(around, quarters)[top : top + spec.size, left : left + spec.size] for quarters in range(4)]


def laid(face: Detection, quarters: int, spec: ImageSpec) -> Detection:
    """The same face with its points where its box would have them if it lay turned by so many quarters: of upright faces, the crop is as
    wide as the box is high, and the five lie a twentieth below its middle."""
    low, high = face.box_xyxy[:2].astype(np.float64), face.box_xyxy[2:].astype(np.float64)
    extent, template = float((high - low).max()), np.asarray(spec.template_xy)
    upright = (template - template.mean(0)) * (extent / spec.size) + [0.0, _BELOW * extent]
    return replace(face, points_xy=((low + high) / 2 + upright @ _QUARTERS[quarters]).astype(np.float32))
