"""Move facial cues by so many deviations: which expressions move a cue, and how much of them a face needs. Free of torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from training.cues import CUE_NAMES, CueModel, frontalise, raw_measures
from training.intervene import AMOUNTS, Laid, Mover

_PROBE = 0.3
_STEPS = 2

Lever = dict[str, float]

#: Cue → expressions that raise it, and those that lower it (without a side: both), chosen to leave other cues alone as far as a face can.
LEVERS: dict[str, tuple[Lever, Lever]] = {
    "inner_brow": ({"browInnerUp": 1.0}, {"browInnerUp": -1.0, "browDown": 0.5}),
    "outer_brow": ({"browOuterUp": 1.0}, {"browOuterUp": -1.0, "browDown": 0.3}),
    "brow_gap": ({"browDown": -1.0}, {"browDown": 1.0}),
    "eye_opening": ({"eyeWide": 1.0}, {"eyeBlink": 1.0}),
    "nose_wrinkle": ({"noseSneer": 1.0}, {"noseSneer": -1.0}),
    "upper_lip": ({"mouthUpperUp": 1.0, "mouthShrugLower": 0.8}, {"mouthUpperUp": -1.0}),
    "lip_corners": ({"mouthSmile": 1.0}, {"mouthFrown": 1.0}),
    "corner_asymmetry": ({"mouthSmile_L": 0.7, "mouthFrown_R": 0.3}, {"mouthSmile_R": 0.7, "mouthFrown_L": 0.3}),
    "mouth_width": ({"mouthStretch": 1.0}, {"mouthPucker": 1.0}),
    "mouth_opening": ({"mouthLowerDown": 0.7, "mouthUpperUp": 0.4}, {"mouthLowerDown": -0.7, "mouthUpperUp": -0.4, "jawOpen": -0.3}),
    "jaw_drop": ({"jawOpen": 1.0}, {"jawOpen": -1.0, "mouthShrugLower": 0.4}),
}
"""Left out: `cheek_raise` (a raised cheek takes the lower lid with it; the cue is the distance between them), `chin_raise` (chin and lower
lip rise together; what is left of their distance cannot be seen), `lip_fullness` (what thickens or thins the lips moves three other cues
further)."""
_OPEN = "mouth_opening"
"""Closing a mouth takes the jaw: it is not opening it backwards."""


def lever(names: Sequence[str], cue: str, up: bool, share: float) -> dict[str, float]:
    """Expression → amount of a share of a cue's lever, both sides named as in `names`, all expressions that there are."""
    return {
        one: weight * share
        for name, weight in LEVERS[cue][0 if up else 1].items()
        for one in ((name,) if name in names else (f"{name}_L", f"{name}_R"))
    }


class Steer:
    """Finds amounts that take a face's cues where they are wanted."""

    def __init__(self, mover: Mover, model: CueModel) -> None:
        self.mover, self.model = mover, model

    def measure(self, landmarks: np.ndarray) -> np.ndarray:
        """`[N,C]` cues of landmarks `[N,172,3]`, not clipped."""
        index = self.mover.mesh.point_index
        frontal, _ = frontalise(landmarks, index, self.model.shape)
        return (raw_measures(frontal, index) - self.model.mean) / self.model.std

    def hold(self, landmarks: np.ndarray) -> Held:
        """One face, ready to be moved.

        Raises:
            ValueError: landmarks that the mover refuses.
        """
        return Held(self, self.mover.lay(landmarks), self.measure(landmarks[None])[0])


class Held:
    """One face in a `Steer`; what was tried of it is kept."""

    def __init__(self, steer: Steer, laid: Laid, cues: np.ndarray) -> None:
        self.cues = cues
        """`[C]` where they are."""
        self._steer, self._laid = steer, laid
        self._slopes: dict[tuple[str, bool, bool], np.ndarray] = {}

    def to(self, wanted: Mapping[str, float]) -> tuple[dict[str, float], np.ndarray] | None:
        """Amounts after which cues have moved by `wanted` deviations, by Newton's method on the levers of those cues.

        Args:
            wanted: cue → deviations, negative to lower it; each has a lever.

        Returns:
            Expression → amount, and where all cues then are `[C]`; `None` where the face cannot be taken there: a muscle cannot do so much,
            or the cues cannot be had at least half way together.
        """
        rows = [CUE_NAMES.index(cue) for cue in wanted]
        shift = np.array(list(wanted.values()), float)
        levers = [(cue, self._up(row, by)) for (cue, by), row in zip(wanted.items(), rows, strict=True)]
        slopes = np.stack([self._slope(*lever, by)[rows] for lever, by in zip(levers, shift, strict=True)], 1)
        share, reached, amounts = np.zeros(len(levers)), self.cues, {}
        for _ in range(_STEPS):
            step, *_ = np.linalg.lstsq(slopes, self.cues[rows] + shift - reached[rows], rcond=0.05)
            share = np.clip(share + step, -3.0, 3.0)
            amounts = self._amounts(levers, share)
            reached = self._after(amounts)
        within = all(AMOUNTS[0] <= amount <= AMOUNTS[1] for amount in amounts.values())
        near = np.abs(reached[rows] - self.cues[rows] - shift) <= 0.5 * np.abs(shift)
        return (amounts, reached) if within and near.all() else None

    def _up(self, row: int, by: float) -> bool:
        """Which lever moves a cue: what stands out goes back the way it came."""
        back = self.cues[row] * by < 0 and abs(self.cues[row]) >= 1 and CUE_NAMES[row] != _OPEN
        return bool(self.cues[row] > 0) if back else by > 0

    def _slope(self, cue: str, up: bool, by: float) -> np.ndarray:
        """`[C]` change for a whole lever, tried in the direction in which it will be used."""
        forth = (by > 0) == up
        if (cue, up, forth) not in self._slopes:
            probe = _PROBE if forth else -_PROBE
            self._slopes[cue, up, forth] = (self._after(lever(self._steer.mover.names, cue, up, probe)) - self.cues) / probe
        return self._slopes[cue, up, forth]

    def _after(self, amounts: dict[str, float]) -> np.ndarray:
        return self._steer.measure(self._steer.mover.place(self._laid, amounts)[None])[0]

    def _amounts(self, levers: list[tuple[str, bool]], shares: np.ndarray) -> dict[str, float]:
        total: dict[str, float] = {}
        for (cue, up), share in zip(levers, shares, strict=True):
            for name, amount in lever(self._steer.mover.names, cue, up, float(share)).items():
                total[name] = total.get(name, 0.0) + amount
        return total
