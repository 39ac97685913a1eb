"""The fast path's network: aligned faces → visual tokens, emotion probabilities, cues, points, pose, and which cues are in sight."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np

from edge.bundle import BundleConfig, check_graph
from edge.engine.backend import Session
from edge.errors import BundleError
from edge.types import ActionUnit

INPUT = "pixel_values"
_READ = ("visual_tokens", "probabilities", "cues", "points", "pose", "visible", "units")
"""What is read of a face, in the order of `Encoded`."""


@dataclass(frozen=True, slots=True)
class Encoded:
    """What the encoder read from N faces."""

    tokens: np.ndarray
    """`[N,T,D]` float32 visual tokens, as the policy takes them."""
    probabilities: np.ndarray
    """`[N,E]` calibrated emotion probabilities."""
    cues: np.ndarray
    """`[N,C]` standard deviations from neutral faces."""
    points_xy: np.ndarray
    """`[N,P,2]` in fractions of the crop."""
    pose_deg: np.ndarray
    """`[N,3]` yaw, pitch, roll."""
    visible: np.ndarray
    """`[N,C]` probability 0…1 that the part of the face that shows the cue is in sight; 1 where the encoder does not tell."""
    units: np.ndarray
    """`[N,U]` action units, some with a column a side, in units of `UnitSpec.full`; no columns where the encoder reads none."""

    def row(self, i: int) -> Encoded:
        """One of the faces."""
        return Encoded(*(getattr(self, field.name)[i : i + 1] for field in fields(Encoded)))

    @staticmethod
    def joined(parts: list[Encoded]) -> Encoded:
        """Several in one."""
        return Encoded(*(np.concatenate([getattr(part, field.name) for part in parts]) for field in fields(Encoded)))


def prepare(crops: np.ndarray, scale: float) -> np.ndarray:
    """Crops `[N,S,S]` uint8 → the graph's `[N,1,S,S]` float32."""
    return np.asarray(crops[:, None].astype(np.float32) * np.float32(scale))


def softmax(logits: np.ndarray) -> np.ndarray:
    """Softmax over the last axis."""
    e = np.exp(logits - logits.max(-1, keepdims=True))
    return np.asarray(e / e.sum(-1, keepdims=True))


class FaceEncoder:
    """Reads aligned faces."""

    def __init__(self, session: Session, config: BundleConfig, inputs: tuple[str, ...] = (INPUT,)) -> None:
        check_graph("vision_encoder", {INPUT}, inputs)
        self.session, self.config = session, config
        self._of_both: tuple[str, ...] = _READ if config.image.mirror else ("probabilities",)
        if config.policy.tower:  # its tokens are the crop itself, which has no mean
            self._of_both = tuple(name for name in self._of_both if name != "visual_tokens")

    def __call__(self, crops: np.ndarray) -> Encoded:
        """Read `[N,S,S]` uint8 crops, each the way round in which its left half is the lighter, and both ways round where neither is or two
        labels are nearly tied (`ImageSpec`): so a face and its mirror image are read alike.

        Raises:
            BundleError: the configuration asks for what the graph does not tell.
        """
        spec = self.config.image
        lighter = _lighter(crops) if spec.mirror else np.full(len(crops), np.inf)
        turned = lighter < 0
        out = self._run(np.where(turned[:, None, None], crops[:, :, ::-1], crops))
        second, first = np.partition(out["probabilities"], -2)[:, -2:].T
        torn = first - second < spec.torn
        # what is read goes over by and by from one way round to both: half and half where neither half is lighter, or two labels are tied
        share = np.maximum(_near(first - second, spec.torn), _near(np.abs(lighter), spec.even)) / 2
        if (twice := share > 0).any():
            both = self._run(np.where(turned[twice, None, None], crops[twice], crops[twice][:, :, ::-1]))
            for name in self._of_both:
                part = np.where(torn[twice], 0.5, share[twice]) if name == "probabilities" else share[twice]
                part = part.astype(np.float32).reshape(-1, *[1] * (out[name].ndim - 1))
                out[name][twice] = (1 - part) * out[name][twice] + part * self._mirrored(name, both[name])
        if turned.any():
            for name, read in out.items():
                read[turned] = self._mirrored(name, read[turned])
        return Encoded(*(out[name] for name in _READ))

    def _run(self, crops: np.ndarray) -> dict[str, np.ndarray]:
        out = self.session.run({INPUT: prepare(crops, self.config.image.scale)})
        out["probabilities"] = softmax(out["emotion_logits"] / self.config.temperature)
        if "visible" not in out:
            if self.config.verdict.min_visible:
                raise BundleError("min_visible is set, but graph 'vision_encoder' has no output 'visible': export the bundle again")
            out["visible"] = np.ones_like(out["cues"])
        units = out.setdefault("units", np.zeros((len(crops), 0), np.float32))
        if len(columns := {c for unit in self.config.units for c in unit.columns}) and max(columns) >= units.shape[1]:
            raise BundleError("action units are listed, but graph 'vision_encoder' does not read them: export the bundle again")
        return {name: out[name] for name in _READ}

    def _mirrored(self, name: str, read: np.ndarray) -> np.ndarray:
        """What was read of a mirror image, as it is of the face."""
        if name == "visual_tokens":
            return read[..., ::-1] if self.config.policy.tower else read
        if name == "cues":
            return np.asarray(np.where([cue.mirrored for cue in self.config.cues], -read, read))
        if name == "points":
            return np.asarray(read[:, self.config.image.mirror] * np.array([-1, 1], np.float32) + np.array([1, 0], np.float32))
        if name == "pose":
            return read * np.array([-1, 1, -1], np.float32)
        if name == "units":
            turned = np.arange(read.shape[1])
            for left, right in (unit.columns for unit in self.config.units if len(unit.columns) == 2):
                turned[[left, right]] = right, left
            return read[:, turned]
        return read

    def read(self, crops: np.ndarray, *, batch: int = 64) -> Encoded:
        """Read any number (one at least) of `[N,S,S]` uint8 crops, so many at a time."""
        return Encoded.joined([self(crops[i : i + batch]) for i in range(0, len(crops), batch)])


def _near(value: np.ndarray, limit: float) -> np.ndarray:
    """1 at 0, falling to 0 at the limit and beyond."""
    return np.clip(1 - value / limit, 0, 1) if limit else np.zeros(len(value))


def _lighter(crops: np.ndarray) -> np.ndarray:
    """`[N]` how much lighter the left half of `[N,S,S]` is than the right one, grey levels; of a mirror image it is the same below zero."""
    half = crops.shape[2] // 2
    left, right = (part.sum((1, 2), dtype=np.int64) for part in (crops[:, :, :half], crops[:, :, -half:]))
    return np.asarray((left - right) / (crops.shape[1] * half))


def hidden_cues(visible: np.ndarray, config: BundleConfig, beyond: np.ndarray | None = None, least: float | None = None) -> tuple[str, ...]:
    """Names of one face's cues that are out of sight.

    Args:
        visible: `[C]` probabilities.
        config: which points show a cue, and how sure it must be that they are in sight.
        beyond: `[P]` bool: the points that lie beyond the picture; a cue that one of them shows is not in it.
        least: probability that is asked; `VerdictSpec.min_visible` when `None`.
    """
    gone = [beyond is not None and bool(beyond[cue.points].any()) for cue in config.cues]
    unseen = [not p >= (config.verdict.min_visible if least is None else least) for p in visible]
    return tuple(cue.name for cue, out, dark in zip(config.cues, gone, unseen, strict=True) if out or dark)


def veiled_cues(visible: np.ndarray, config: BundleConfig, beyond: np.ndarray | None = None) -> tuple[str, ...]:
    """Names of one face's cues that are out of sight or may well be; arguments as for `hidden_cues`."""
    return hidden_cues(visible, config, beyond, max(config.verdict.min_visible, config.verdict.min_said))


def dim_cues(visible: np.ndarray, config: BundleConfig, beyond: np.ndarray | None = None) -> tuple[str, ...]:
    """Names of one face's cues that are not clearly in sight, the veiled ones among them; arguments as for `hidden_cues`."""
    least = config.verdict.min_visible, config.verdict.min_said, config.verdict.min_rest
    return hidden_cues(visible, config, beyond, max(least))


def action_units(cues: dict[str, float], units: np.ndarray, hidden: tuple[str, ...], config: BundleConfig) -> dict[str, ActionUnit]:
    """One face's action units; those whose part of the face is hidden are left out.

    Args:
        cues: cue → deviations from neutral.
        units: `[U]` what the encoder reads.
        hidden: cues out of sight.
        config: where each unit is read.
    """
    found = {}
    for spec in config.units:
        if spec.cue in hidden:
            continue
        values = [float(units[column]) for column in spec.columns] or [cues[spec.cue]]
        sides = [min(max(value / full, 0.0), 1.0) for value, full in zip(values, spec.full, strict=True)]
        found[spec.name] = ActionUnit(max(sides), *(sides if len(sides) == 2 else ()))
    return found
