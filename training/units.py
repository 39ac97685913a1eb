"""Action units from blendshapes: what the units head of the encoder is taught, and what each column of it means.

Units keep the numbers of FACS, as OpenFace and py-feat have them. A blendshape coefficient is no FACS intensity: an intensity of 1 is what
one face in two hundred reaches. Units whose blendshape is dead on real faces (AU06, AU09) are read from a cue instead, AU25 as well; those
that have neither (AU23) are left out.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edge.bundle import UnitSpec
from training.cues import CUE_NAMES


@dataclass(frozen=True, slots=True)
class Unit:
    """One action unit."""

    name: str
    """As OpenFace writes it."""
    meaning: str
    """FACS name."""
    cue: str
    """The cue that shows the same part of the face."""
    shapes: tuple[str, ...]
    """One blendshape, or that of the subject's left and that of the right side; none: it is read from the cue."""


UNITS: tuple[Unit, ...] = (
    Unit("AU01", "inner brow raiser", "inner_brow", ("browInnerUp",)),
    Unit("AU02", "outer brow raiser", "outer_brow", ("browOuterUpLeft", "browOuterUpRight")),
    Unit("AU04", "brow lowerer", "brow_gap", ("browDownLeft", "browDownRight")),
    Unit("AU05", "upper lid raiser", "eye_opening", ("eyeWideLeft", "eyeWideRight")),
    Unit("AU06", "cheek raiser", "cheek_raise", ()),
    Unit("AU07", "lid tightener", "eye_opening", ("eyeSquintLeft", "eyeSquintRight")),
    Unit("AU09", "nose wrinkler", "nose_wrinkle", ()),
    Unit("AU10", "upper lip raiser", "upper_lip", ("mouthUpperUpLeft", "mouthUpperUpRight")),
    Unit("AU12", "lip corner puller", "lip_corners", ("mouthSmileLeft", "mouthSmileRight")),
    Unit("AU14", "dimpler", "lip_corners", ("mouthDimpleLeft", "mouthDimpleRight")),
    Unit("AU15", "lip corner depressor", "lip_corners", ("mouthFrownLeft", "mouthFrownRight")),
    Unit("AU17", "chin raiser", "chin_raise", ("mouthShrugLower",)),
    Unit("AU18", "lip pucker", "mouth_width", ("mouthPucker",)),
    Unit("AU20", "lip stretcher", "mouth_width", ("mouthStretchLeft", "mouthStretchRight")),
    Unit("AU24", "lip pressor", "lip_fullness", ("mouthPressLeft", "mouthPressRight")),
    Unit("AU25", "lips part", "mouth_opening", ()),
    Unit("AU26", "jaw drop", "jaw_drop", ("jawOpen",)),
    Unit("AU43", "eyes closed", "eye_opening", ("eyeBlinkLeft", "eyeBlinkRight")),
)
RELIABLE = 0.6
"""Least correlation with the teacher, on held-out faces, of a unit that is told."""
_CUE_FULL = 4.0
"""Deviations of a cue at an intensity of 1."""
SHAPES: tuple[str, ...] = tuple(shape for unit in UNITS for shape in unit.shapes)
"""The columns of the units head."""
SHAPE_MIRROR: tuple[int, ...] = tuple(SHAPES.index(s.replace("Left", "?").replace("Right", "Left").replace("?", "Right")) for s in SHAPES)
"""Each column's partner in a mirror image."""
_TOP = 99.5
_LEAST = 0.02


@dataclass(frozen=True, slots=True)
class UnitModel:
    """Blendshape coefficients → intensities."""

    full: np.ndarray
    """`[U]` coefficient of an intensity of 1."""
    spread: np.ndarray
    """`[U]` standard deviation of the intensities, the measure of the units head."""

    def measure(self, blendshapes: np.ndarray, names: tuple[str, ...]) -> np.ndarray:
        """Intensities 0…1, `[N,U]`; NaN for a face without blendshapes.

        Args:
            blendshapes: `[N,B]` coefficients 0…1; all 0 where no face was found.
            names: of the columns.
        """
        return intensities(blendshapes, names, self.full)


def fit_unit_model(packs: list[tuple[np.ndarray, tuple[str, ...]]]) -> UnitModel:
    """The coefficient that one face in two hundred reaches in the pack where it is larger, and the spread over all of them."""
    tops = [np.percentile(_columns(b[b.any(1)], names), _TOP, axis=0) for b, names in packs]
    full = np.maximum(np.max(tops, 0), _LEAST).astype(np.float32)
    every = np.concatenate([intensities(b[b.any(1)], names, full) for b, names in packs])
    return UnitModel(full, every.std(0).astype(np.float32))


def intensities(blendshapes: np.ndarray, names: tuple[str, ...], full: np.ndarray) -> np.ndarray:
    """See `UnitModel.measure`."""
    found = np.clip(_columns(blendshapes, names) / full, 0, 1).astype(np.float32)
    found[~blendshapes.any(1)] = np.nan
    return found


def _columns(blendshapes: np.ndarray, names: tuple[str, ...]) -> np.ndarray:
    return np.asarray(blendshapes[:, [names.index(shape) for shape in SHAPES]], np.float32)


def unit_specs(unit_model: UnitModel, units: tuple[np.ndarray, np.ndarray], cues: tuple[np.ndarray, np.ndarray]) -> list[UnitSpec]:
    """How a bundle reads the units that are reliable.

    Args:
        unit_model: what the units head was taught with.
        units: `[N,U]` as the encoder reads held-out faces, and as their blendshapes have it.
        cues: `[N,C]` likewise, the latter from their landmarks.
    """
    found = []
    for unit in UNITS:
        columns = [SHAPES.index(shape) for shape in unit.shapes]
        at, (read, truth) = (columns, units) if columns else ([CUE_NAMES.index(unit.cue)], cues)
        reliability = float(np.mean([np.corrcoef(read[:, c], truth[:, c])[0, 1] for c in at]))
        if reliability >= RELIABLE:
            full = [round(float(1 / unit_model.spread[c]), 4) for c in columns] or [_CUE_FULL]
            found.append(UnitSpec(unit.name, unit.meaning, unit.cue, columns, full, round(reliability, 3)))
    return found
