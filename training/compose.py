"""Pictures with many faces, composed on the spot from photos, single faces and backgrounds; training and the yardstick draw from it.

Every face's place is known because it was put there: photos bring their teacher's boxes, single faces their landmarks. What the teacher
was not sure of, and what is cut or covered too far, is `unsure`: no loss and no score asks about it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from edge.cv import cv2
from edge.vision.crop import pixel_matrix
from training.teacher import Heads

MIRROR = [1, 0, 2, 4, 3]
SMALLEST_PX = 7.0
"""Faces narrower than this are `unsure`."""
PROFILE_DEG = 45.0
"""From here on a head is turned far."""
_RARE_DEG, _PROFILES = 35.0, 0.15


@dataclass(frozen=True, slots=True)
class Piece:
    """A photo with what is known of its faces."""

    image: np.ndarray
    """`[H,W]` uint8 grey."""
    boxes: np.ndarray
    """`[F,4]` x1, y1, x2, y2."""
    points: np.ndarray
    """`[F,5,2]`; NaN where unknown."""
    unsure: np.ndarray
    """`[U,4]` boxes that may be faces."""


@dataclass(slots=True)
class Scene:
    """A composed picture."""

    picture: np.ndarray
    """`[H,W]` uint8."""
    boxes: list[np.ndarray] = field(default_factory=list)
    points: list[np.ndarray] = field(default_factory=list)
    turns_deg: list[float] = field(default_factory=list)
    """In the picture's plane; 0 upright."""
    tags: list[str] = field(default_factory=list)
    """What was done to each face: `photo`, `plain`, `profile`, `masked`, `glasses`, `hand`."""
    unsure: list[np.ndarray] = field(default_factory=list)

    def add(self, box: np.ndarray, points: np.ndarray, turn_deg: float, tag: str) -> None:
        """A face, as it lies in the picture; it covers those before it."""
        height, width = self.picture.shape
        low, high = np.maximum(box[:2], 0), np.minimum(box[2:], [width, height])
        seen = np.clip(high - low, 0, None).prod() / max(1e-6, float((box[2:] - box[:2]).prod()))
        if seen <= 0.02:
            return
        if seen < 0.45 or box[2] - box[0] < SMALLEST_PX:
            self.unsure.append(box)
            return
        self.boxes.append(box)
        self.points.append(points)
        self.turns_deg.append(turn_deg)
        self.tags.append(tag)

    def cover(self, low: np.ndarray, high: np.ndarray) -> None:
        """Something opaque lies over a rectangle: faces that it hides are no longer there, those that it hides in part are unsure."""
        for i in reversed(range(len(self.boxes))):
            share = covered(self.boxes[i], low, high)
            if share > 0.3:
                if share < 0.85:
                    self.unsure.append(self.boxes[i])
                for part in (self.boxes, self.points, self.turns_deg, self.tags):
                    del part[i]
        self.unsure = [box for box in self.unsure if covered(box, low, high) < 0.85]


def covered(box: np.ndarray, low: np.ndarray, high: np.ndarray) -> float:
    """The share of a box that a rectangle hides."""
    inner = np.clip(np.minimum(box[2:], high) - np.maximum(box[:2], low), 0, None).prod()
    return float(inner / max(1e-6, float((box[2:] - box[:2]).prod())))


@dataclass(frozen=True, slots=True)
class Sources:
    """What scenes are made of."""

    photos: list[Piece]
    heads: Heads
    empty: list[np.ndarray]
    """Pictures `[H,W]` without a face."""


@dataclass(frozen=True, slots=True)
class Turns:
    """How faces are turned in the picture's plane."""

    tilt_deg: float = 12.0
    """Spread of those that stand upright."""
    any_share: float = 0.1
    """Share turned anyhow."""
    down_share: float = 0.1
    """Share upside down."""

    def draw(self, rng: np.random.Generator) -> float:
        """Degrees."""
        kind = rng.random()
        if kind < self.any_share:
            return float(rng.uniform(-180, 180))
        return float(rng.normal(180.0 if kind < self.any_share + self.down_share else 0.0, self.tilt_deg))


class Composer:
    """Draws scenes."""

    def __init__(self, sources: Sources, turns: Turns | None = None) -> None:
        self.sources, self.turns = sources, turns or Turns()
        self._profiles = np.flatnonzero(np.abs(sources.heads.yaw_deg) > _RARE_DEG)

    def _number(self, rng: np.random.Generator) -> int:
        """A head's; those that are turned far are rare in the pack, and drawn more often."""
        if len(self._profiles) and rng.random() < _PROFILES:
            return int(rng.choice(self._profiles))
        return int(rng.integers(len(self.sources.heads.images)))

    def backdrop(self, rng: np.random.Generator, height: int, width: int) -> Scene:
        """A part of a picture without faces, enlarged or shrunk to fill the frame."""
        image = self.sources.empty[rng.integers(len(self.sources.empty))]
        zoom = max(height / image.shape[0], width / image.shape[1]) * rng.uniform(1.0, 2.0)
        if rng.random() < 0.3:
            zoom *= 0.5
        matrix = _turned(rng, zoom, 0.0, np.array(image.shape[::-1]) * rng.uniform(0.4, 0.6, 2), np.array([width, height]) / 2)
        return Scene(cv2.warpAffine(image, pixel_matrix(matrix), (width, height), borderMode=cv2.BORDER_REFLECT_101))

    def photo(self, rng: np.random.Generator, scene: Scene, *, low_px: float, high_px: float) -> None:
        """A whole photo over the scene, so that one of its faces is between so many pixels wide; nothing where there are none."""
        if not self.sources.photos:
            return
        piece = self.sources.photos[rng.integers(len(self.sources.photos))]
        height, width = scene.picture.shape
        wanted = math.exp(rng.uniform(math.log(low_px), math.log(high_px)))
        if len(piece.boxes):
            box = piece.boxes[rng.integers(len(piece.boxes))]
            zoom, focus = float(np.clip(wanted / (box[2] - box[0]), 0.06, 3.0)), (box[:2] + box[2:]) / 2
        else:
            zoom, focus = rng.uniform(0.3, 1.5), np.array(piece.image.shape[::-1]) / 2
        turn_deg = self.turns.draw(rng)
        target = rng.uniform(0.08, 0.92, 2) * [width, height]
        matrix = _turned(rng, zoom, turn_deg, focus, target)
        image, matrix_small = _shrunk(piece.image, matrix, zoom)
        area = np.full(image.shape, 255, np.uint8)
        placed = cv2.warpAffine(image, pixel_matrix(matrix_small), (width, height))
        inside = cv2.warpAffine(area, pixel_matrix(matrix_small), (width, height), flags=cv2.INTER_NEAREST) > 0
        rows, columns = np.flatnonzero(inside.any(1)), np.flatnonzero(inside.any(0))
        if not len(rows):
            return
        if abs(((turn_deg + 45) % 90) - 45) < 20:  # nearly a rectangle; a slanted one may leave its corners' faces
            scene.cover(np.array([columns[0], rows[0]]), np.array([columns[-1], rows[-1]]))
        else:
            scene.unsure += scene.boxes
            scene.boxes, scene.points, scene.turns_deg, scene.tags = [], [], [], []
        np.copyto(scene.picture, placed, where=inside)
        _carry(scene, piece, matrix, turn_deg)

    def collage(self, rng: np.random.Generator, height: int, width: int, across: int, *, photos: float = 0.5) -> Scene:
        """Tiles side by side, a face or a photo in each."""
        side = width / across
        scene = Scene(np.full((height, width), int(rng.integers(256)), np.uint8))
        gap = rng.uniform(0, 0.08) * side if rng.random() < 0.5 else 0.0
        for row in range(math.ceil(height / side)):
            for column in range(across):
                low = np.floor([column * side + gap / 2, row * side + gap / 2]).astype(int)
                high = np.minimum(np.floor([(column + 1) * side - gap / 2, (row + 1) * side - gap / 2]), [width, height]).astype(int)
                if (high - low < 8).any():
                    continue
                tile = self._tile(rng, high - low, photos)
                scene.picture[low[1] : high[1], low[0] : high[0]] = tile.picture
                for box, points, turn, tag in zip(tile.boxes, tile.points, tile.turns_deg, tile.tags, strict=True):
                    scene.add(box + np.tile(low, 2), points + low, turn, tag)
                scene.unsure += [box + np.tile(low, 2) for box in tile.unsure]
        return scene

    def _tile(self, rng: np.random.Generator, size: np.ndarray, photos: float) -> Scene:
        width, height = int(size[0]), int(size[1])
        if rng.random() >= photos or not self.sources.photos:
            heads, i = self.sources.heads, self._number(rng)
            zoom = max(width, height) / 128 * rng.uniform(1.0, 1.25)
            turn_deg = self.turns.draw(rng) if rng.random() < 0.5 else 0.0
            matrix = _turned(rng, zoom, turn_deg, np.array([64.0, 64.0]), np.array([width, height]) / 2)
            patch, tag = adorned(rng, heads, i) if rng.random() < 0.3 else (heads.images[i], "plain")
            image, small = _shrunk(patch, matrix, zoom)
            scene = Scene(cv2.warpAffine(image, pixel_matrix(small), (width, height), borderMode=cv2.BORDER_REPLICATE))
            box, points = placed_face(heads.boxes[i], heads.points[i], matrix, turn_deg)
            scene.add(box, points, turn_deg, tag)
            return scene
        piece = self.sources.photos[rng.integers(len(self.sources.photos))]
        zoom = max(width / piece.image.shape[1], height / piece.image.shape[0]) * rng.uniform(1.0, 1.3)
        focus = np.array(piece.image.shape[::-1]) / 2
        if len(piece.boxes) and rng.random() < 0.7:
            box = piece.boxes[rng.integers(len(piece.boxes))]
            focus = np.clip((box[:2] + box[2:]) / 2, size / 2 / zoom, np.maximum(size / 2 / zoom, focus * 2 - size / 2 / zoom))
        matrix = _turned(rng, zoom, 0.0, focus, size / 2)
        image, small = _shrunk(piece.image, matrix, zoom)
        scene = Scene(cv2.warpAffine(image, pixel_matrix(small), (width, height), borderMode=cv2.BORDER_REFLECT_101))
        _carry(scene, piece, matrix, 0.0)
        return scene

    def head(
        self, rng: np.random.Generator, scene: Scene, width_px: float, *,
        adorn: float = 0.35, kind: str = "", turn_deg: float | None = None, number: int | None = None,
    ) -> bool:  # fmt: skip
        """One single face somewhere in the scene, unless the place is taken.

        Args:
            rng: draws.
            scene: gets the face.
            width_px: of its box when upright.
            adorn: share with glasses, mask or hand.
            kind: which of them; drawn when empty.
            turn_deg: drawn when `None`.
            number: of the head; drawn when `None`.
        """
        heads = self.sources.heads
        i = self._number(rng) if number is None else number
        turn_deg = self.turns.draw(rng) if turn_deg is None else turn_deg
        zoom = width_px / float(heads.boxes[i, 2] - heads.boxes[i, 0])
        height, width = scene.picture.shape
        reach = 0.35 * width_px
        target = np.array([rng.uniform(reach, max(reach + 1, width - reach)), rng.uniform(reach, max(reach + 1, height - reach))])
        middle = (heads.boxes[i, :2] + heads.boxes[i, 2:]) / 2
        matrix = _turned(rng, zoom, turn_deg, middle, target)
        box, points = placed_face(heads.boxes[i], heads.points[i], matrix, turn_deg)
        extent = np.array([-0.6, -0.6, 0.6, 0.6]) * width_px + np.tile(target, 2)
        if any(covered(other, extent[:2], extent[2:]) > 0.3 or covered(extent, other[:2], other[2:]) > 0.4 for other in scene.boxes):
            return False
        patch, tag = heads.images[i], "profile" if abs(heads.yaw_deg[i]) > PROFILE_DEG else "plain"
        if rng.random() < adorn and width_px > 12:
            patch, tag = adorned(rng, heads, i, kind)
        alpha = _rim(rng, heads.outline[i])
        if rng.random() < 0.4 and abs(turn_deg) < 30:
            _shoulders(rng, scene.picture, target, width_px)
            body = np.array([-0.9, 0.6, 0.9, 2.0]) * width_px + np.tile(target, 2)
            scene.cover(body[:2], body[2:])
        _paste(scene.picture, patch, alpha, matrix, zoom)
        scene.cover(extent[:2], extent[2:])
        scene.add(box, points, turn_deg, tag)
        return True


def placed_face(box: np.ndarray, points: np.ndarray, matrix: np.ndarray, turn_deg: float) -> tuple[np.ndarray, np.ndarray]:
    """Box and points of a face after a similarity: the box is that of the turned ellipse within the old one."""
    middle = matrix[:, :2] @ ((box[:2] + box[2:]) / 2) + matrix[:, 2]
    zoom = math.sqrt(abs(float(np.linalg.det(matrix[:, :2]))))
    half, turn = (box[2:] - box[:2]) / 2 * zoom, math.radians(turn_deg)
    across = math.hypot(half[0] * math.cos(turn), half[1] * math.sin(turn))
    down = math.hypot(half[0] * math.sin(turn), half[1] * math.cos(turn))
    moved = points @ matrix[:, :2].T + matrix[:, 2]
    if np.linalg.det(matrix[:, :2]) < 0:
        moved = moved[MIRROR]
    return np.array([middle[0] - across, middle[1] - down, middle[0] + across, middle[1] + down]), moved


def relit(rng: np.random.Generator, picture: np.ndarray) -> np.ndarray:
    """Another camera and another light: gamma, contrast, shade, blur, grain, coarse pixels, JPEG."""
    x = picture
    if rng.random() < 0.7:
        levels = 255 * (np.arange(256) / 255) ** math.exp(rng.normal(0, 0.4))
        levels = (levels - 128) * rng.uniform(0.5, 1.25) + 128 + rng.uniform(-40, 40)
        if rng.random() < 0.15:  # dark
            levels = levels * rng.uniform(0.2, 0.6)
        x = cv2.LUT(x, np.clip(levels, 0, 255).astype(np.uint8))
    if rng.random() < 0.2:
        x = cv2.GaussianBlur(x, (0, 0), rng.uniform(0.4, 1.6))
    if rng.random() < 0.15:
        height, width = x.shape
        factor = rng.uniform(0.45, 0.9)
        small = cv2.resize(x, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
        x = cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR)
    if rng.random() < 0.4:
        grain = rng.integers(0, 256, x.size // 7 + 1, np.uint8)  # a short field of noise, repeated: cheap, and no face has its period
        field_of = np.resize(grain, x.shape).astype(np.int16) - 128
        x = cv2.add(x, (field_of * (rng.uniform(1, 14) / 74)).astype(np.int16), dtype=cv2.CV_8U)
    if rng.random() < 0.2:
        data = cv2.imencode(".jpg", x, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(20, 85))])[1]
        x = cv2.imdecode(data, cv2.IMREAD_GRAYSCALE)
    return np.asarray(x)


def adorned(rng: np.random.Generator, heads: Heads, i: int, kind: str = "") -> tuple[np.ndarray, str]:
    """A head `[128,128]` with something before it: `glasses`, `masked` or `hand`."""
    patch, points, outline = heads.images[i].copy(), heads.points[i], heads.outline[i]
    kind = kind or ("glasses", "masked", "hand")[rng.integers(3)]
    apart = float(np.linalg.norm(points[1] - points[0]))
    if kind == "glasses":
        tone, dark = int(rng.integers(0, 120)), rng.random() < 0.6
        across = (points[1] - points[0]) / max(apart, 1e-6)
        for eye in points[:2]:
            lens = (int(apart * rng.uniform(0.33, 0.42)), int(apart * rng.uniform(0.24, 0.36)))
            angle = math.degrees(math.atan2(across[1], across[0]))
            spot = (int(eye[0]), int(eye[1] + 0.04 * apart))
            if dark:
                cv2.ellipse(patch, spot, lens, angle, 0, 360, tone // 2, -1, cv2.LINE_AA)
            cv2.ellipse(patch, spot, lens, angle, 0, 360, tone, int(rng.integers(1, 4)), cv2.LINE_AA)
        cv2.line(patch, _at(points[0] + 0.35 * apart * across), _at(points[1] - 0.35 * apart * across), tone, 2, cv2.LINE_AA)
    elif kind == "masked":
        below = outline[(outline - points[2]) @ (points[3:].mean(0) - points[:2].mean(0)) > 0]
        bridge = points[2] + rng.uniform(-0.35, 0.15) * (points[2] - points[:2].mean(0))
        hull = cv2.convexHull(np.concatenate([below, bridge[None]]).astype(np.float32)).astype(np.int32)
        tone = int(rng.choice([30, 60, 150, 200, 225, 240])) + int(rng.integers(-15, 15))
        cv2.fillPoly(patch, [hull], tone, cv2.LINE_AA)
        for _ in range(int(rng.integers(0, 4))):  # folds
            y = rng.uniform(0.2, 0.8) * (points[3:].mean(0) - points[2]) * 1.6 + points[2]
            half, fold = np.array([0.5 * apart, 0]), int(np.clip(tone - 25, 0, 255))
            cv2.line(patch, _at(y - half), _at(y + half), fold, 1, cv2.LINE_AA)
    else:
        tone = int(np.clip(np.median(patch[40:90, 40:90]) + rng.normal(0, 18), 0, 255))
        root = points[3 + rng.integers(2)] + rng.normal(0, 12, 2)
        aim = rng.uniform(0, 2 * math.pi)
        for finger in range(int(rng.integers(2, 5))):
            start = root + finger * 7 * np.array([-math.sin(aim), math.cos(aim)])
            end = start + rng.uniform(18, 45) * np.array([math.cos(aim), math.sin(aim)])
            cv2.line(patch, _at(start), _at(end), max(0, tone - 40), 9, cv2.LINE_AA)
            cv2.line(patch, _at(start), _at(end), tone, 7, cv2.LINE_AA)
    return patch, kind


def _at(place: np.ndarray) -> tuple[int, int]:
    return int(place[0]), int(place[1])


def _turned(rng: np.random.Generator, zoom: float, turn_deg: float, focus: np.ndarray, target: np.ndarray) -> np.ndarray:
    """`[2,3]`: a turn (clockwise in the picture), a zoom, a mirror half of the time; `focus` comes to lie at `target`."""
    c, s = math.cos(math.radians(turn_deg)) * zoom, math.sin(math.radians(turn_deg)) * zoom
    matrix = np.array([[c, -s], [s, c]])
    if rng.random() < 0.5:
        matrix = matrix @ np.diag([-1.0, 1.0])
    return np.column_stack([matrix, target - matrix @ focus])


def _shrunk(image: np.ndarray, matrix: np.ndarray, zoom: float) -> tuple[np.ndarray, np.ndarray]:
    """A picture averaged down first where plain sampling would alias, and the matrix that fits it."""
    if zoom >= 0.7:
        return image, matrix
    size = max(2, round(image.shape[1] * zoom * 1.2)), max(2, round(image.shape[0] * zoom * 1.2))
    small = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    return small, np.column_stack([matrix[:, :2] * (np.array(image.shape[::-1]) / small.shape[::-1]), matrix[:, 2]])


def _carry(scene: Scene, piece: Piece, matrix: np.ndarray, turn_deg: float) -> None:
    for box, points in zip(piece.boxes, piece.points, strict=True):
        scene.add(*placed_face(box, points, matrix, turn_deg), turn_deg, "photo")
    scene.unsure += [placed_face(box, np.zeros((5, 2)), matrix, turn_deg)[0] for box in piece.unsure]


def _rim(rng: np.random.Generator, outline: np.ndarray) -> np.ndarray:
    """What of a head's crop is pasted `[128,128]` uint8: the face with a soft rim, the whole square, or something between."""
    kind = rng.random()
    if kind < 0.25:
        return np.full((128, 128), 255, np.uint8)
    alpha = np.zeros((128, 128), np.uint8)
    if kind < 0.45:
        inset = int(rng.integers(2, 10))
        alpha[inset:-inset, inset:-inset] = 255
        return cv2.blur(alpha, (2 * inset + 1, 2 * inset + 1))
    if kind < 0.7:
        cv2.ellipse(alpha, (64, 66), (int(rng.integers(46, 62)), int(rng.integers(54, 62))), 0, 0, 360, 255, -1)
    else:
        middle = outline.mean(0)
        grown = middle + (outline - middle) * rng.uniform(1.05, 1.3)
        cv2.fillPoly(alpha, [grown.astype(np.int32)], 255)
    blur = int(rng.integers(1, 6))
    return cv2.blur(alpha, (2 * blur + 1, 2 * blur + 1))


def _paste(canvas: np.ndarray, patch: np.ndarray, alpha: np.ndarray, matrix: np.ndarray, zoom: float) -> None:
    corners = np.array([[0, 0], [128, 0], [0, 128], [128, 128]]) @ matrix[:, :2].T + matrix[:, 2]
    low = np.maximum(np.floor(corners.min(0)), 0).astype(int)
    high = np.minimum(np.ceil(corners.max(0)) + 1, canvas.shape[::-1]).astype(int)
    if (high <= low).any():
        return
    size = (int(high[0] - low[0]), int(high[1] - low[1]))
    image, small = _shrunk(patch, matrix, zoom)
    shape, _ = _shrunk(alpha, matrix, zoom)
    moved = pixel_matrix(np.column_stack([small[:, :2], small[:, 2] - low]))
    face = cv2.warpAffine(image, moved, size, borderMode=cv2.BORDER_REPLICATE).astype(np.uint16)
    share = cv2.warpAffine(shape, moved, size).astype(np.uint16)
    part = canvas[low[1] : high[1], low[0] : high[0]]
    part[:] = (face * share + part * (255 - share)) // 255


def _shoulders(rng: np.random.Generator, canvas: np.ndarray, target: np.ndarray, width_px: float) -> None:
    tone = int(rng.integers(256))
    u = width_px
    shape = np.array([[-0.25, 0.3], [0.25, 0.3], [0.3, 0.65], [0.9, 0.85], [1.0, 2.2], [-1.0, 2.2], [-0.9, 0.85], [-0.3, 0.65]])
    cv2.fillPoly(canvas, [(target + shape * u).astype(np.int32)], tone)
