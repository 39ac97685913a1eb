"""Move a face: a photograph, its landmarks and amounts of FACS-like expressions → the photograph in which just those parts have moved.

`landmarks → mesh in the face's pose → displacement fields → lids and lips stopped where they meet → warp → folds, light, mouth, lashes`.
The fields are ICT-FaceKit's (MIT, USC ICT). Free of torch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edge.cv import cv2
from edge.vision.warp import STILL_PX, cross, eyeball, in_sight, stop_jaw, stop_lids, stop_lips, warp
from training.mesh import BROWS, EYES, GAP, LIDS, LIP_COLUMNS, MOUTH, POINT_INDEX, FaceMesh, Fit, lid_ring, lip_ring, load_mesh
from training.retouch import fill_mouth, fold, lash, lash_level, light

TURNED_DEG = 35.0
"""A head turned, raised or lowered beyond this is refused: too much of it is out of sight."""
AMOUNTS = (-1.5, 1.5)
_WORKING_PX = 96
"""A smaller picture is enlarged for the move and only what has changed is brought back."""
_FOLDED = 0.2
"""Share of the mesh that may lie back to front."""
PROTOTYPES: dict[str, dict[str, tuple[float, float]]] = {
    # AU 1+2+5+26
    "surprise": {"browInnerUp": (0.4, 1.0), "browOuterUp": (0.4, 1.0), "eyeWide": (0.5, 1.4), "jawOpen": (0.12, 0.5)},
    # AU 1+2+4+5+20+26
    "fear": {"browInnerUp": (0.5, 1.0), "browOuterUp": (0.1, 0.4), "browDown": (0.2, 0.5), "eyeWide": (0.6, 1.5),
             "mouthStretch": (0.3, 0.9), "mouthLowerDown": (0.1, 0.5), "jawOpen": (0.06, 0.25)},
    # AU 9+10+17
    "disgust": {"noseSneer": (0.5, 1.2), "mouthUpperUp": (0.2, 0.6), "mouthShrugLower": (0.3, 0.8), "browDown": (0.2, 0.7),
                "eyeSquint": (0.3, 0.9), "cheekRaiser": (0.1, 0.4)},
    # AU 4+5+7+23
    "anger": {"browDown": (0.8, 1.5), "eyeWide": (0.1, 0.5), "eyeSquint": (0.3, 0.8), "mouthPress": (0.4, 1.2),
              "mouthRollLower": (0.2, 0.8), "mouthRollUpper": (0.1, 0.6), "noseSneer": (0.1, 0.5)},
    # AU 1+4+15
    "sadness": {"browInnerUp": (0.5, 1.3), "browDown": (0.1, 0.5), "mouthFrown": (0.5, 1.3), "mouthShrugLower": (0.1, 0.5),
                "eyeBlink": (0.05, 0.25)},
    # AU 12 or 14 on one side
    "contempt": {"mouthSmile": (0.2, 0.65), "mouthDimple": (0.5, 1.2)},
    # AU 6+12, often 25
    "happiness": {"mouthSmile": (0.4, 1.0), "cheekRaiser": (0.2, 0.8), "eyeSquint": (0.1, 0.6), "mouthUpperUp": (0.0, 0.5),
                  "mouthLowerDown": (0.0, 0.5)},
}  # fmt: skip
"""Emotion → expression without its side → range of amounts (FACS prototypes, Ekman, Friesen and Hager 2002)."""
ONE_SIDED = ("contempt",)
_RESTING = {
    "mouthSmile": 0.15, "mouthFrown": 0.12, "mouthPucker": 0.4, "mouthFunnel": 0.15, "mouthStretch": 0.2, "mouthUpperUp": 0.15,
    "mouthLowerDown": 0.15, "mouthPress": 0.3, "mouthRollLower": 0.2, "mouthRollUpper": 0.2, "mouthShrugLower": 0.25, "mouthDimple": 0.2,
    "mouthLeft": 0.2, "mouthRight": 0.2, "jawOpen": 0.08, "jawLeft": 0.15, "jawRight": 0.15, "browDown": 0.25, "browInnerUp": 0.45,
    "browOuterUp": 0.4, "eyeBlink": 0.45, "eyeWide": 0.15, "eyeSquint": 0.75,
}  # fmt: skip
"""Blendshape without its side → coefficient up to which a face counts as at rest."""


def at_rest(blendshapes: np.ndarray, names: Sequence[str]) -> np.ndarray:
    """Which faces are at rest.

    Args:
        blendshapes: `[N,52]` coefficients, uint8 × 255 or float 0…1.
        names: the coefficients' names.

    Returns:
        `[N]` bool; faces whose coefficients are all zero (no landmarks) are not.
    """
    values = blendshapes.astype(np.float32) / (255 if blendshapes.dtype == np.uint8 else 1)
    limits = np.array([_RESTING.get(name, _RESTING.get(name.removesuffix("Left").removesuffix("Right"), 1.0)) for name in map(str, names)])
    return (values <= limits).all(1) & (values > 0).any(1)


@dataclass(frozen=True, slots=True)
class Laid:
    """The mesh over one face."""

    fit: Fit
    normals: np.ndarray
    """`[478,3]`."""


class Mover:
    """Moves faces; one serves any number of them."""

    def __init__(self, mesh: FaceMesh) -> None:
        self.mesh = mesh
        features = {*lid_ring(0), *lid_ring(1), *lip_ring(), *(n for pair in BROWS for n in pair)}
        self._features = [i for i, number in enumerate(mesh.point_index) if number in features]

    @classmethod
    def load(cls, folder: Path, point_index: np.ndarray | None = None) -> Mover:
        """Read `facs_displacements.npz`.

        Args:
            folder: the data packs.
            point_index: `[172]` Face Mesh numbers of the landmarks; that of the packs by default.

        Raises:
            InputError: the pack is missing or broken.
        """
        return cls(load_mesh(folder, POINT_INDEX if point_index is None else point_index))

    @property
    def names(self) -> tuple[str, ...]:
        """The expressions."""
        return self.mesh.names

    def move(self, image: np.ndarray, landmarks: np.ndarray, amounts: dict[str, float]) -> tuple[np.ndarray, np.ndarray]:
        """Move parts of a face.

        Args:
            image: `[S,S]` uint8, grey.
            landmarks: `[172,3]` pixels of that image.
            amounts: expression → amount, −1.5 to 1.5; 1 is all that the muscle does in most people, below 0 is the same way back.

        Returns:
            The picture and the landmarks of the moved face.

        Raises:
            ValueError: landmarks are missing, outside the picture or folded, the head is turned too far, an expression is not known, or an
                amount is out of range.
        """
        self._check(image, landmarks, amounts)
        grow = 1 if image.shape[0] >= _WORKING_PX else -(-_WORKING_PX // image.shape[0])
        corner = np.array([0.5, 0.5, 0], np.float32)  # landmarks count from the picture's corner, pixels from their middle
        laid = self.lay(landmarks.astype(np.float32) * grow - corner)
        shift, closing = self._shift(laid, amounts)
        if np.abs(shift).max() < STILL_PX:
            return image.copy(), landmarks.astype(np.float32)
        large = image if grow == 1 else cv2.resize(image, None, fx=grow, fy=grow, interpolation=cv2.INTER_CUBIC)
        picture = self._draw(large.astype(np.float32), laid, shift, amounts, closing)
        if grow > 1:
            picture -= large
            picture = image + cv2.resize(picture, image.shape[::-1], interpolation=cv2.INTER_AREA)
        moved = landmarks + shift[self.mesh.point_index] / grow
        return np.clip(np.round(picture), 0, 255).astype(np.uint8), moved.astype(np.float32)

    def lay(self, landmarks: np.ndarray) -> Laid:
        """The mesh over landmarks `[172,3]`, for `place`.

        Raises:
            ValueError: the landmarks are folded, or the head is turned too far.
        """
        fit = self.mesh.fit(landmarks.astype(np.float32))
        self._check_fit(fit)
        return Laid(fit, self.mesh.normals(fit.points)[0])

    def place(self, laid: Laid, amounts: dict[str, float]) -> np.ndarray:
        """Where `move` takes the landmarks `[172,3]` over which the mesh was laid, without a picture."""
        return (laid.fit.points + self._shift(laid, amounts)[0])[self.mesh.point_index]

    def compose(self, image: np.ndarray, landmarks: np.ndarray, emotion: str, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Give a face at rest an emotion: amounts drawn from its prototype, the sides slightly unlike, the whole at any intensity.

        Raises:
            ValueError: as `move`, or there is no prototype of the emotion.
        """
        return self.move(image, landmarks, draw_amounts(emotion, rng))

    def _shift(self, laid: Laid, amounts: dict[str, float]) -> tuple[np.ndarray, tuple[float, float]]:
        """`[478,3]` how far each point of the mesh moves, and how far each eye closes."""
        fit = laid.fit
        down = fit.turn[1] / fit.scale
        shift = np.zeros_like(fit.points)
        if amounts:
            closed = {name: amount for name, amount in amounts.items() if name == "jawOpen" and amount < 0}
            shift = self.mesh.field({**amounts, **dict.fromkeys(closed, 0.0)}) @ fit.turn
            if closed:
                shift += stop_jaw(fit.points, shift, self.mesh.field(closed) @ fit.turn, down, GAP)
            shift *= in_sight(laid.normals)
        closing = []
        for pairs in map(np.array, LIDS):
            apart = self.mesh.neutral[pairs[:, 1], 1] - self.mesh.neutral[pairs[:, 0], 1]
            closing.append(stop_lids(fit.points, shift, down, pairs, fit.scale * np.abs(apart)))
        stop_lips(fit.points, shift, down, LIP_COLUMNS)
        return shift, (closing[0], closing[1])

    def _check(self, image: np.ndarray, landmarks: np.ndarray, amounts: dict[str, float]) -> None:
        if image.dtype != np.uint8 or image.ndim != 2 or image.shape[0] != image.shape[1]:
            raise ValueError(f"a face to move must be a square grey uint8 picture, got {image.dtype} {image.shape}")
        if landmarks.shape != (len(self.mesh.point_index), 3) or not np.isfinite(landmarks).all() or not landmarks.any():
            raise ValueError("the face cannot be moved: its landmarks are missing")
        middle = landmarks[:, :2] / len(image) - 0.5
        if (np.abs(middle) > 0.8).any() or (np.abs(middle[self._features]) > 0.51).any():
            raise ValueError("the face cannot be moved: landmarks lie outside the picture")
        for name, amount in amounts.items():
            if name not in self.names:
                raise ValueError(f"there is no expression '{name}': expected one of {', '.join(self.names)}")
            if not AMOUNTS[0] <= amount <= AMOUNTS[1]:
                raise ValueError(f"the amount of {name} must lie between {AMOUNTS[0]} and {AMOUNTS[1]}, got {amount}")

    def _check_fit(self, fit: Fit) -> None:
        turned = max(abs(fit.yaw_deg), abs(fit.pitch_deg))
        if turned > TURNED_DEG:
            raise ValueError(f"the face cannot be moved: the head is turned by {turned:.0f}°, more than {TURNED_DEG:.0f}°")
        flat = fit.points[:, :2]
        a, b, c = (flat[self.mesh.triangles[:, i]] for i in range(3))
        folded = float((cross(b - a, c - a) > 0).mean())
        if folded > _FOLDED or fit.apart > 0.25:
            raise ValueError("the face cannot be moved: its landmarks are folded or do not form a face")

    def _draw(
        self,
        picture: np.ndarray,
        laid: Laid,
        shift: np.ndarray,
        amounts: dict[str, float],
        closing: tuple[float, float],
    ) -> np.ndarray:
        """Warp and retouch `[S,S]` float32."""
        fit = laid.fit
        before, after = fit.points, fit.points + shift
        ring, ring_moved, ring_triangles = self.mesh.ring(before, after)
        source = np.concatenate([before[:, :2], ring])
        target = np.concatenate([after[:, :2], ring_moved])
        shade = np.zeros(len(source), np.float32)
        shade[:478] = light(laid.normals, self.mesh.normals(after)[0])
        eyes_from = eyeball(source, target, (lid_ring(0), lid_ring(1)))
        order = np.argsort(-after[self.mesh.triangles, 2].mean(1))
        layers = [
            (ring_triangles, source, shade),
            (MOUTH, source, np.zeros_like(shade)),
            (EYES, eyes_from, np.zeros_like(shade)),
            (self.mesh.triangles[order], source, shade),
        ]
        out = warp(picture, target, layers)
        size = fit.scale
        fill_mouth(out, before, after, fit, self.mesh.jaw(amounts, fit))
        lash(out, after, size, closing, lash_level(picture, before))
        return fold(out, after, size, amounts)


def draw_amounts(emotion: str, rng: np.random.Generator) -> dict[str, float]:
    """Amounts of an emotion's prototype: one intensity for all, each within its range, sides unlike by a tenth or so.

    Raises:
        ValueError: there is no prototype of the emotion.
    """
    if emotion not in PROTOTYPES:
        raise ValueError(f"there is no prototype of '{emotion}': expected one of {', '.join(PROTOTYPES)}")
    intensity = rng.uniform(0, 1)
    chosen = str(rng.choice(["L", "R"])) if emotion in ONE_SIDED else ""
    lean = rng.normal(0, 0.08)
    amounts = {}
    for name, (low, high) in PROTOTYPES[emotion].items():
        amount = low + (high - low) * np.clip(intensity + rng.normal(0, 0.2), 0, 1)
        if name in _WHOLE:
            amounts[name] = float(amount)
            continue
        for side in chosen or "LR":
            amounts[f"{name}_{side}"] = float(np.clip(amount * (1 + (lean if side == "L" else -lean)), 0, AMOUNTS[1]))
    return amounts


_WHOLE = ("jawOpen", "mouthRollLower", "mouthRollUpper", "mouthShrugLower", "mouthShrugUpper", "mouthFunnel", "mouthPucker")
"""Expressions without sides."""
