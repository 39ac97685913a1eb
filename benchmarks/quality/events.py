"""`python -m benchmarks events`: are movements and blinks found when they happen, and is what is said of them true?

The truth is made (`benchmarks.quality.courses`): faces at rest are moved along known courses, at 30 and 60 frames a second, with sensor
noise, sway and changing light, and read as a stream by the whole line, any bundle's.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from benchmarks.command import Figures, of_pipeline, whole
from benchmarks.quality.courses import TRIES, Clip, Course, Stage, blinking_clip, closing_clip, load_portraits, moving_clip, still_clip
from benchmarks.quality.interval import share, spread
from edge.clip import ClipWriter
from edge.errors import InputError
from edge.language.course import HELD, MOVES, SPREAD
from edge.language.happenings import Happening, Stretch, allot
from edge.language.telling import check
from edge.live.dynamics import BLINK_MS, EYES
from edge.pipeline import Pipeline
from edge.spans import Clip as Read
from edge.types import CourseStatement, Event
from training.data import data_folder
from training.intervene import Mover

SHOWN_BY = {
    "smile": ("lip_corners", "mouth_width"),
    "brow raise": ("inner_brow", "outer_brow"),
    "jaw drop": ("mouth_opening", "jaw_drop", "chin_raise"),
}
"""Action → the cues that show it; times are those of the first of them in which it is found."""
OVERLAP = 0.5
"""A movement is the one that was made when they share so much of the time that either takes."""
RATES = (30, 60)
TURNED_DEG = 20.0
"""Heads that are turned, raised or lowered by more are left out: with their sway some frames are beyond what the runtime reads."""
_SECONDS = {moving_clip: 10.0, blinking_clip: 12.0, closing_clip: 10.0, still_clip: 20.0}
_FINE_S = 1e-3


@dataclass(frozen=True, slots=True)
class Watched:
    """A clip and what was told of it."""

    clip: Clip
    events: list[Event]
    spans: Read = field(default_factory=lambda: Read("", 0, 0.0, ()))
    """What it comes to, with what is said of it."""


def watch(pipeline: Pipeline, clip: Clip) -> Watched:
    """Read a clip as a stream."""
    events, writer = [], ClipWriter()
    with pipeline.stream(clip.frames(), explain="off") as stream:
        for reading in stream:
            writer.see(reading)
            events += [event for face in reading.faces for event in face.events]
    return Watched(clip, events, writer.clip())


def movements(watched: list[Watched]) -> Figures:
    """How the movements that were made were found.

    Returns:
        `found`, a share with its interval; `onset_frames`, `offset_frames`: the error; `gain`: how far the cue went of what the landmarks
        did; `others_per_min`: movements while none was made; `by_action`: found of each.
    """
    hits: list[tuple[Course, Event | None, float]] = []
    others = 0
    for one in watched:
        ended = [event for event in one.events if event.kind == "movement" and event.phase == "offset"]
        courses = [course for course, _ in one.clip.courses]
        hits += [(course, _shown(course, ended), one.clip.fps / 1e3) for course in courses]
        others += sum(not any(_overlap(course, event) > 0 for course in courses) for event in ended)
    found = [(course, event, per_ms) for course, event, per_ms in hits if event is not None]
    return {
        "n": len(hits),
        "found": share(np.array([event is not None for _, event, _ in hits])),
        "onset_frames": spread([abs(event.onset_ms - 1e3 * course.onset_s) * per_ms for course, event, per_ms in found]),
        "offset_frames": spread([abs(event.t_ms - 1e3 * course.offset_s) * per_ms for course, event, per_ms in found]),
        "gain": spread([event.amplitude / course.amplitude for course, event, _ in found])["median"],
        "others_per_min": others / _minutes(watched),
        "by_action": {
            action: share(np.array([event is not None for course, event, _ in hits if course.action == action])) for action in SHOWN_BY
        },
    }


def _minutes(watched: list[Watched]) -> float:
    return sum(one.clip.seconds for one in watched) / 60


def blinks(watched: list[Watched]) -> Figures:
    """How the blinks that were made were found: `precision`, `recall`, `f1`, and the error of their duration, ms."""
    made = told = hit = 0
    errors = []
    for one in watched:
        left = [event for event in one.events if event.kind == "blink"]
        made, told = made + len(one.clip.courses), told + len(left)
        for course, _ in one.clip.courses:
            near = [event for event in left if _overlap(course, event) > 0]
            if near:
                left.remove(near[0])
                hit += 1
                errors.append(abs((near[0].duration_ms or 0.0) - 1e3 * (course.offset_s - course.onset_s)))
    precision, recall = hit / told if told else float("nan"), hit / made if made else float("nan")
    return {
        "n": made,
        "precision": precision,
        "recall": recall,
        "f1": 2 * hit / (made + told) if made + told else float("nan"),
        "duration_error_ms": spread(errors)["median"],
    }


def stills(watched: list[Watched]) -> Figures:
    """What is told of faces that do nothing: events a minute, of each kind."""
    minutes = _minutes(watched)
    told = [event.kind for one in watched for event in one.events if event.phase in ("onset", "began", "done")]
    return {
        "minutes": minutes,
        "false_per_min": len(told) / minutes,
        "by_kind": {kind: told.count(kind) / minutes for kind in sorted(set(told))},
    }


def truth_of(clip: Clip) -> list[Happening]:
    """What happens in a clip: of each course every cue that the landmarks find moved, with the course's own times."""
    found = []
    for course, amount in clip.courses:
        when = 1e3 * course.onset_s, 1e3 * course.offset_s
        if course.action == "blink":
            kind = "blink" if when[1] - when[0] <= BLINK_MS else "eyes_closed"
            found.append(Happening(kind, f"{EYES}-", *when, True, course.amplitude))
        rise_s, held_s = course.top_s - course.onset_s, _held_s(course)
        for cue, effect in clip.stage.effects(course.action, amount).items():
            if abs(effect) >= MOVES:
                found.append(Happening("movement", f"{cue}{'+' if effect > 0 else '-'}", *when, True, abs(effect), rise_s, held_s))
    return found


def statements(watched: list[Watched]) -> Figures:
    """The sentences that were shown of clips, each held without a tolerance against the course that was made, as it was made.

    Returns:
        `hold`, the share of sentences that are true, with its interval over clips; `by_kind`; `told`, the share of what was made that a
        true sentence speaks of; `false`, the sentences that are not true.
    """
    judged = [_judged(one) for one in watched]
    every = [pair for each in judged for pair in each]
    made: list[bool] = []
    for one, each in zip(watched, judged, strict=True):
        spoken = [time_ms for said, holds in each if holds for time_ms in said.times_ms]
        made += [any(min(b, 1e3 * c.offset_s) > max(a, 1e3 * c.onset_s) for a, b in spoken) for c, _ in one.clip.courses]
    return {
        "hold": share(np.array([sum(holds for _, holds in each) for each in judged]), np.array([len(each) for each in judged])),
        "by_kind": {
            kind: share(np.array([holds for said, holds in every if said.kind == kind]))
            for kind in sorted({said.kind for said, _ in every})
        },
        "told": share(np.array(made)),
        "false": [said.text for said, holds in every if not holds],
    }


def _judged(one: Watched) -> list[tuple[CourseStatement, bool]]:
    """Each sentence that was shown, and whether it is true."""
    truth, judged = truth_of(one.clip), []
    for person in one.spans.people:
        spans = [Stretch(span.start_ms, span.end_ms, spread=SPREAD, seen=1.0) for span in person.spans]
        for span, known in zip(person.spans, allot(spans, truth), strict=True):
            for said in span.course:
                held = check(said.text, known, exact=True)
                judged.append((said, bool(held and held.holds)))
    return judged


def _held_s(course: Course) -> float:
    """Seconds for which there is `HELD` of it or more."""
    return float(sum(course(t_s) >= HELD for t_s in np.arange(course.onset_s, course.offset_s, _FINE_S))) * _FINE_S


def measure(pipeline: Pipeline, args: argparse.Namespace) -> Figures:
    """Make so many clips of each kind, read them, compare."""
    data, clips = data_folder(args.data), args.clips
    mover, portraits = Mover.load(data), iter(load_portraits(data, TRIES * 5 * clips, seed=args.seed, eyes=True))
    seeds = itertools.count(args.seed + 1)

    def watched(make: Callable[..., Clip], fps: float) -> list[Watched]:
        """So many clips of the next portraits; a face that cannot be moved is passed over."""
        found: list[Watched] = []
        for portrait, number in zip(portraits, seeds, strict=False):
            with contextlib.suppress(ValueError):
                stage = Stage(mover, portrait, pipeline.config)
                clip = make(stage, fps, _SECONDS[make], seed=number) if stage.turned_deg <= TURNED_DEG else None
                if clip and (make is not moving_clip or clip.courses):
                    found.append(watch(pipeline, clip))
            if len(found) == clips:
                return found
        raise InputError(f"too few faces at rest for {clips} clips of each kind: --clips fewer")

    figures: Figures = {"clips": clips}
    told: dict[int, list[Watched]] = {}
    for fps in RATES:
        moving, blinking = watched(moving_clip, fps), watched(blinking_clip, fps)
        figures[f"movements_{fps}"], figures[f"blinks_{fps}"] = movements(moving), blinks(blinking)
        told[fps] = moving + blinking
    still = watched(still_clip, RATES[0])
    figures["still"] = stills(still)
    told[RATES[0]] += still + watched(closing_clip, RATES[0])
    for fps in RATES:
        figures[f"sentences_{fps}"] = statements(told[fps])
    return figures


def _shown(course: Course, events: list[Event]) -> Event | None:
    for cue in SHOWN_BY[course.action]:
        for event in events:
            if event.subject == cue and event.direction > 0 and _overlap(course, event) >= OVERLAP:
                return event
    return None


def _overlap(course: Course, event: Event) -> float:
    """Intersection over union of their times."""
    first, last = max(1e3 * course.onset_s, event.onset_ms), min(1e3 * course.offset_s, event.t_ms)
    whole_ms = max(1e3 * course.offset_s, event.t_ms) - min(1e3 * course.onset_s, event.onset_ms)
    return max(0.0, last - first) / whole_ms if whole_ms > 0 else 0.0


def _options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--data", type=Path, help="folder of the data packs (default: ERV_DATA, or ../shared/data)")
    parser.add_argument("--clips", type=whole, default=12, metavar="N", help="clips of each kind (default: 12)")
    parser.add_argument("--seed", type=int, default=1, help="of faces and courses (default: 1)")


COMMAND = of_pipeline(measure, _options, default_threads=1, clips=1)
