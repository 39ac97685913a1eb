"""What the finder found, without what is no face: a small network looks at every find.

A finder of eighty thousand parameters sees all of a picture at once and takes badges, hands and wheels for faces, and is then less sure.
The screen sees one find at a time, by the finder's own points and, where that shows no face, laid into the find's box the four ways it may
lie: so a face on its side is turned, too.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from edge.bundle import ImageSpec, check_graph
from edge.cv import cv2
from edge.engine.backend import Session
from edge.types import Detection
from edge.vision.face import align, crop_face, crop_matrix

INPUT, OUTPUT = "crops", "log_odds"
SIDE = 48
"""Of its crops, pixels."""
SURE = 0.7
"""Score from which a find is taken for a face at once in a stream: in validation pictures 0.96 of 2,194 faces and 11 of 24 others that pass
have as much, seven of the eleven in pictures that stand on their head."""
COLLAPSED = 0.5
"""A crop so small for its box shows a part: of a face that lies on its side, the points may meet in the middle."""
_TURNED = 0.75  # log odds: on validation sources it halves what is false, and costs hardly a face
_BELOW = 0.05  # of the box, from its middle to that of the five points
_ENOUGH_PX = 2.0 * SIDE
_AT_ONCE = 64  # crops


class Screen:
    """Tells faces from what the finder takes for one."""

    def __init__(self, session: Session, image: ImageSpec, least_sure: float) -> None:
        """Take a session.

        Args:
            session: of the bundle's `screen.onnx`.
            image: how crops are made.
            least_sure: what the log odds of the finder's score and the screen's must come to together.

        Raises:
            BundleError: the graph has other inputs.
        """
        check_graph("screen", {INPUT}, session.inputs)
        self.session, self.image, self.least_sure = session, image, least_sure

    def __call__(self, grey: np.ndarray, found: list[Detection], small: np.ndarray | None = None) -> list[Detection]:
        """The faces among what was found, the right way up; their score counts what was seen, and is 0.5 at the least.

        Args:
            grey: `[H,W]` uint8.
            found: the finder's.
            small: the same picture shrunk, in which the large ones are looked at.
        """
        whole = [i for i, face in enumerate(found) if crop_share(face, self.image) >= COLLAPSED]
        odds, ways = np.full(len(found), -math.inf), list(found)
        seen = [_large_enough(face, grey, small) for face in found]
        odds[whole] = self.log_odds([align(*seen[i], self.image)[0] for i in whole])
        again = [i for i, face in enumerate(found) if self._surer(face, odds[i]) < 0]
        laid_odds = self.log_odds([crop for i in again for crop in laid_crops(*seen[i], self.image)]).reshape(-1, 4)
        for i, four in zip(again, laid_odds, strict=True):
            four = four - [0.0, _TURNED, _TURNED, _TURNED]
            if four.max() > odds[i]:
                odds[i], ways[i] = four.max(), laid(found[i], int(four.argmax()), self.image)
        surer = [self._surer(face, sure) for face, sure in zip(found, odds, strict=True)]
        return [replace(way, score=1 / (1 + math.exp(-sure))) for way, sure in zip(ways, surer, strict=True) if sure >= 0]

    def _surer(self, face: Detection, odds: float) -> float:
        score = min(max(face.score, 1e-6), 1 - 1e-6)
        return math.log(score / (1 - score)) + odds - self.least_sure

    def log_odds(self, crops: list[np.ndarray]) -> np.ndarray:
        """`[N]` that each of the encoder's crops `[S,S]` uint8 shows a face the right way up."""
        small = [cv2.resize(crop, (SIDE, SIDE), interpolation=cv2.INTER_AREA) for crop in crops]
        parts = [np.stack(small[i : i + _AT_ONCE])[:, None].astype(np.float32) for i in range(0, len(small), _AT_ONCE)]
        return np.concatenate([np.zeros(0, np.float32), *(self.session.run({INPUT: part})[OUTPUT] for part in parts)])


def _large_enough(face: Detection, grey: np.ndarray, small: np.ndarray | None) -> tuple[np.ndarray, Detection]:
    """The picture in which a find is looked at, and the find in it: the shrunk one where that shows all that the screen sees."""
    if small is None:
        return grey, face
    scale = small.shape[1] / grey.shape[1]
    if float((face.box_xyxy[2:] - face.box_xyxy[:2]).min()) * scale < _ENOUGH_PX:
        return grey, face
    return small, replace(face, box_xyxy=face.box_xyxy * np.float32(scale), points_xy=face.points_xy * np.float32(scale))


def crop_share(face: Detection, spec: ImageSpec) -> float:
    """The side of a face's crop over the longer side of its box: about 1 where its points lie as those of a face."""
    matrix = crop_matrix(face.points_xy, np.asarray(spec.template_xy))
    extent = float((face.box_xyxy[2:] - face.box_xyxy[:2]).max())
    return spec.size / math.sqrt(abs(np.linalg.det(matrix[:, :2]))) / max(extent, 1e-6)


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
    turned = upright @ np.linalg.matrix_power(np.array([[0, 1], [-1, 0]]), quarters)
    return replace(face, points_xy=((low + high) / 2 + turned).astype(np.float32))
