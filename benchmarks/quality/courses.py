"""Clips whose truth is known: photographs of faces at rest, moved along known courses, with sensor noise, head sway and changing light."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.quality.reading import cue_model
from edge.bundle import BundleConfig
from edge.cv import cv2
from edge.errors import InputError
from edge.pipeline import Pipeline
from edge.sources.camera import Frame
from training.cues import CUE_NAMES, frontalise, raw_measures
from training.intervene import PROTOTYPES, Mover, at_rest, draw_amounts

SIDE = 320
"""Of a frame, pixels; the face fills about half of it."""
_ZOOM = 1.7
_LEVELS = 48  # pictures drawn of one movement: one every two hundredths of a second of a slow one
ACTIONS: dict[str, tuple[tuple[str, ...], str]] = {
    "smile": (("mouthSmile_L", "mouthSmile_R"), "lip_corners"),
    "brow raise": (("browInnerUp_L", "browInnerUp_R", "browOuterUp_L", "browOuterUp_R"), "inner_brow"),
    "jaw drop": (("jawOpen",), "jaw_drop"),
    "blink": (("eyeBlink_L", "eyeBlink_R"), "eye_opening"),
}
"""What is done → expressions that do it, and the cue that shows it."""


@dataclass(frozen=True, slots=True)
class Course:
    """One movement: up and down along raised cosines, or the smoothest courses there are (minimum jerk), with a hold between."""

    action: str
    onset_s: float
    top_s: float
    """When the rise ends."""
    fall_s: float
    """When the fall begins."""
    offset_s: float
    amplitude: float
    """Deviations of its cue, by the landmarks; of a blink the amount of closing."""
    smoothest: bool = False

    def __call__(self, t_s: float) -> float:
        """How much of it there is, 0…1."""
        if not self.onset_s < t_s < self.offset_s:
            return 0.0
        if self.top_s <= t_s <= self.fall_s:
            return 1.0
        rising = t_s < self.top_s
        x = (t_s - self.onset_s) / (self.top_s - self.onset_s) if rising else (self.offset_s - t_s) / (self.offset_s - self.fall_s)
        return x**3 * (10 - 15 * x + 6 * x**2) if self.smoothest else float(0.5 - 0.5 * np.cos(np.pi * x))


@dataclass(frozen=True, slots=True)
class Portrait:
    """A face at rest."""

    image: np.ndarray
    """`[128,128]` uint8."""
    landmarks: np.ndarray
    """`[172,3]` pixels of it."""


TRIES = 20
"""Faces that may not be movable, for each that is wanted."""
ACTED_S, ACTED_FPS = 4.0, 25.0
"""Of a clip that shows an emotion."""
SHARES = (0.3, 0.9)
"""Of its time that the expression takes up, rise and fall included."""
NEUTRAL = "neutral"
_TALK = 0.3  # of a dropped jaw: lips that move and mean nothing
LOOKED_AT = 240
"""So many faces at rest were looked at by hand, the first of a fixed order; a sixth of them have their eyes closed, in the dark or behind
glasses that nobody sees through, and cannot be seen to blink:"""
HIDDEN_EYES = (
    2069, 2749, 2865, 2942, 4483, 5397, 5850, 11165, 11355, 11634, 11798, 12832, 13566, 13729, 15106, 15742, 16619, 16701, 17574, 18006,
    18398, 20118, 20468, 21207, 21674, 22135, 22958, 23630, 24643, 24782, 25332, 25333, 25578, 26086, 26434, 27218, 27378, 27393, 29534,
)  # fmt: skip


def load_portraits(folder: Path, count: int, *, seed: int, eyes: bool = False) -> list[Portrait]:
    """`count` faces at rest of `faces_today`, in an order by `seed`; with `eyes` those looked at whose eyes are open and in sight.

    `InputError` if the pack is missing or damaged.
    """
    path = folder / "faces_today.zip"
    try:
        with zipfile.ZipFile(path) as pack, np.load(path.with_suffix(".npz")) as known:
            rest = np.flatnonzero(at_rest(known["blendshapes"], known["blendshape_names"]))
            if eyes:
                rest = np.random.default_rng(1).permutation(rest)[:LOOKED_AT]
                rest = rest[~np.isin(known["id"][rest], HIDDEN_EYES)]
            chosen = np.random.default_rng(seed).permutation(rest)[:count]
            names, landmarks = known["id"][chosen], known["landmarks"][chosen].astype(np.float32) / 16
            images = [cv2.imdecode(np.frombuffer(pack.read(f"{int(name)}.jpg"), np.uint8), cv2.IMREAD_GRAYSCALE) for name in names]
    except (OSError, KeyError, ValueError, zipfile.BadZipFile, cv2.error) as error:
        raise InputError(f"'{path}' is missing or damaged: {error}") from None
    return [Portrait(image, points) for image, points in zip(images, landmarks, strict=True)]


class Stage:
    """Moves one portrait; pictures are drawn once for each of a few levels."""

    def __init__(self, mover: Mover, portrait: Portrait, config: BundleConfig, shows: dict[str, dict[str, float]] | None = None) -> None:
        """Args: shows: further actions → expression → amount."""
        self._mover, self._portrait = mover, portrait
        self._does = {action: dict.fromkeys(expressions, 1.0) for action, (expressions, _) in ACTIONS.items()} | (shows or {})
        self._model = cue_model(config, CUE_NAMES)
        self._drawn: dict[tuple[str, float, int], np.ndarray] = {}
        pose = self._model.measure(portrait.landmarks[None], mover.mesh.point_index)[1][0]
        self.turned_deg = float(np.abs(pose[:2]).max())
        """How far the head is turned, raised or lowered."""

    def effects(self, action: str, amount: float) -> dict[str, float]:
        """How far an amount moves each cue, in deviations by the landmarks; `ValueError` for a face that cannot be moved so."""
        moved = self._moved(action, amount)[1]
        both = np.stack([self._portrait.landmarks, moved])
        frontal, _ = frontalise(both, self._mover.mesh.point_index, self._model.shape)
        rest, there = raw_measures(frontal, self._mover.mesh.point_index)
        return dict(zip(CUE_NAMES, ((there - rest) / self._model.std).tolist(), strict=True))

    def amount(self, action: str, amplitude: float) -> float | None:
        """The amount that moves the action's cue by so many deviations; `None` where this face does not reach it."""
        amounts = np.linspace(0.1, 1.4, 9)
        reached = np.array([self.effects(action, amount)[ACTIONS[action][1]] for amount in amounts])
        if not reached[0] < amplitude < reached.max():
            return None
        return float(np.interp(amplitude, np.maximum.accumulate(reached), amounts))

    def picture(self, action: str, amount: float, share: float) -> np.ndarray:
        """`[128,128]` uint8: the face with so much of an amount."""
        level = round(share * _LEVELS)
        key = (action, amount, level)
        if level and key not in self._drawn:
            self._drawn[key] = self._moved(action, amount * level / _LEVELS)[0]
        return self._drawn[key] if level else self._portrait.image

    def _moved(self, action: str, amount: float) -> tuple[np.ndarray, np.ndarray]:
        amounts = {expression: value * amount for expression, value in self._does[action].items()}
        return self._mover.move(self._portrait.image, self._portrait.landmarks, amounts)


@dataclass(frozen=True, slots=True)
class Clip:
    """A recording to be, and what happens in it."""

    stage: Stage
    courses: tuple[tuple[Course, float], ...]
    """Each with its amount; they do not overlap."""
    seconds: float
    fps: float
    seed: int
    noise: float = 3.0
    """Standard deviation of the sensor's noise, grey levels."""

    def frames(self) -> Iterator[Frame]:
        """Its frames."""
        rng = np.random.default_rng(self.seed)
        phases = rng.uniform(0, 2 * np.pi, 6)
        for i in range(round(self.seconds * self.fps)):
            t_s = i / self.fps
            now = [(course, amount) for course, amount in self.courses if course.onset_s < t_s < course.offset_s]
            crop = self.stage.picture(now[0][0].action, now[0][1], now[0][0](t_s)) if now else self.stage.picture("smile", 0.0, 0.0)
            yield Frame(self._shot(crop, t_s, phases, rng), "made", i, t_s * 1e3)

    def _shot(self, crop: np.ndarray, t_s: float, phases: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """What a camera sees of a face that sways a little, under light that changes: `[SIDE,SIDE,3]`."""
        sway = np.sin(2 * np.pi * np.array([0.23, 0.31, 0.17, 0.41, 0.08, 0.61]) * t_s + phases)
        zoom, turn = _ZOOM * (1 + 0.02 * sway[3]), np.radians(2.5 * sway[2])
        turned = zoom * np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
        centre = np.array([SIDE / 2 + 8 * sway[0], SIDE / 2 + 6 * sway[1]])
        move = np.column_stack([turned, centre - turned @ np.array([64.0, 64.0])])
        grey = cv2.warpAffine(crop, move, (SIDE, SIDE), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE).astype(np.float32)
        grey = grey * (1 + 0.12 * sway[4]) + 4 * sway[5] + rng.normal(0, self.noise, grey.shape)
        return np.repeat(np.clip(np.round(grey), 0, 255).astype(np.uint8)[..., None], 3, 2)


def moving_clip(stage: Stage, fps: float, seconds: float, *, seed: int) -> Clip:
    """A clip of smiles, brow raises and jaw drops, 0.2 to 2 s long, 2 to 4 deviations far, at least 1.2 s apart."""
    rng = np.random.default_rng(seed)
    courses: list[tuple[Course, float]] = []
    t_s = 1.5
    while True:
        long_s = float(np.exp(rng.uniform(np.log(0.2), np.log(2.0))))
        if t_s + long_s + 1.0 > seconds:
            return Clip(stage, tuple(courses), seconds, fps, seed)
        action = str(rng.choice(["smile", "brow raise", "jaw drop"]))
        amplitude = float(rng.uniform(2, 4))
        amount = stage.amount(action, amplitude)
        rise, fall = (min(0.6, long_s * share) for share in rng.uniform(0.25, 0.5, 2))
        if amount is not None:
            ends = (t_s, t_s + rise, t_s + long_s - fall, t_s + long_s)
            courses.append((Course(action, *ends, amplitude, smoothest=bool(rng.integers(2))), amount))
            t_s += long_s
        t_s += float(rng.uniform(1.2, 2.0))


def blinking_clip(stage: Stage, fps: float, seconds: float, *, seed: int) -> Clip:
    """A clip of blinks of 100 to 400 ms: a third to close, the rest to open again."""
    times = _times(seed, seconds - 1.5, (0.1, 0.4), (0.8, 3.0))
    courses = [Course("blink", t_s, t_s + long_s / 3, t_s + long_s / 2.5, t_s + long_s, 1.0) for t_s, long_s in times]
    return Clip(stage, tuple((course, 1.0) for course in courses), seconds, fps, seed)


def closing_clip(stage: Stage, fps: float, seconds: float, *, seed: int) -> Clip:
    """A clip in which the eyes close for 0.8 to 3.5 s."""
    times = [(t_s, long_s) for t_s, long_s in _times(seed, seconds, (0.8, 3.5), (1.2, 2.0)) if t_s + long_s + 1.0 <= seconds]
    courses = [Course("blink", t_s, t_s + 0.15, t_s + long_s - 0.2, t_s + long_s, 1.0) for t_s, long_s in times]
    return Clip(stage, tuple((course, 1.0) for course in courses), seconds, fps, seed)


def _times(seed: int, end_s: float, long_s: tuple[float, float], apart_s: tuple[float, float]) -> Iterator[tuple[float, float]]:
    """Onsets before an end, and lengths."""
    rng = np.random.default_rng(seed)
    t_s = 1.5
    while t_s < end_s:
        yield t_s, (last_s := float(rng.uniform(*long_s)))
        t_s += last_s + float(rng.uniform(*apart_s))


def still_clip(stage: Stage, fps: float, seconds: float, *, seed: int) -> Clip:
    """A clip in which nothing happens but noise, sway and light."""
    return Clip(stage, (), seconds, fps, seed)


def acted_clips(folder: Path, pipeline: Pipeline, count: int, seed: int) -> Iterator[tuple[str, Clip]]:
    """So many clips with their labels, all labels alike often; `InputError` where too few faces can be moved."""
    rng, mover = np.random.default_rng(seed), Mover.load(folder)
    labels = [label for label in pipeline.config.labels if label == NEUTRAL or label in PROTOTYPES]
    portraits = iter(load_portraits(folder, TRIES * count, seed=seed))
    for i in range(count):
        label = labels[i % len(labels)]
        yield label, _acted_clip(mover, portraits, pipeline.config, label, rng)


def _acted_clip(mover: Mover, portraits: Iterator[Portrait], config: BundleConfig, label: str, rng: np.random.Generator) -> Clip:
    for portrait in portraits:
        try:
            stage = Stage(mover, portrait, config, {label: draw_amounts(label, rng)} if label in PROTOTYPES else None)
            stage.picture("jaw drop" if label == NEUTRAL else label, _TALK, 1.0)  # a face that cannot be moved says so here
        except ValueError:
            continue
        return Clip(stage, tuple(_acted_courses(label, rng)), ACTED_S, ACTED_FPS, int(rng.integers(2**31)))
    raise InputError("too few faces at rest can be moved: fewer clips")


def _acted_courses(label: str, rng: np.random.Generator) -> Iterator[tuple[Course, float]]:
    if label == NEUTRAL:
        for start_s in np.arange(0.6, ACTED_S - 0.6, 0.5):
            yield Course("jaw drop", start_s, start_s + 0.12, start_s + 0.16, start_s + 0.3, 1.0), float(rng.uniform(0, _TALK))
        return
    long_s = float(rng.uniform(*SHARES)) * ACTED_S
    start_s, ramp_s = float(rng.uniform(0, ACTED_S - long_s)), min(0.4, long_s / 3)
    yield Course(label, start_s, start_s + ramp_s, start_s + long_s - ramp_s, start_s + long_s, 1.0), 1.0
