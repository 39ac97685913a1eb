"""Clips whose truth is made, and how what is told of them is held against it; without any data."""

import itertools
import math

import numpy as np
import pytest

from benchmarks.quality.courses import SIDE, Clip, Course, blinking_clip, moving_clip, still_clip
from benchmarks.quality.events import Watched, blinks, movements, stills
from edge.types import Event

SMILE = Course("smile", 2.0, 2.4, 3.0, 3.5, 3.0)
BLINK = Course("blink", 5.0, 5.05, 5.1, 5.2, 1.0)


class Stage:
    """Draws how much there is of an action as grey."""

    def amount(self, action: str, amplitude: float) -> float | None:
        return None if action == "jaw drop" else 0.7

    def picture(self, action: str, amount: float, share: float) -> np.ndarray:
        return np.full((128, 128), 100 + 100 * share, np.uint8)


def ended(onset_ms: float, t_ms: float, cue: str = "lip_corners", direction: int = 1) -> Event:
    return Event("movement", "offset", cue, direction, t_ms, onset_ms, 1.5, 100.0, t_ms - onset_ms)


def watched(*courses: Course, events: list[Event], fps: float = 30, seconds: float = 10) -> Watched:
    return Watched(Clip(Stage(), tuple((course, 1.0) for course in courses), seconds, fps, 0), events)


@pytest.mark.parametrize("smoothest", [False, True])
def test_a_course_rises_holds_and_falls_at_its_times(smoothest):
    course = Course("smile", 2.0, 2.4, 3.0, 3.5, 3.0, smoothest)
    assert [course(t) for t in (1.9, 2.0, 2.4, 2.7, 3.0, 3.5, 4.0)] == pytest.approx([0, 0, 1, 1, 1, 0, 0])
    assert (course(2.2), course(3.25)) == pytest.approx((0.5, 0.5))
    assert course(2.1) < 0.2


def test_movements_are_matched_by_cue_direction_and_time():
    right = watched(SMILE, events=[ended(2033, 3400), ended(2000, 3500, "jaw_drop"), ended(7000, 7500)])
    found = movements([right])
    assert (found["n"], found["found"]["share"], found["gain"]) == (1, 1, 0.5)
    assert (found["onset_frames"]["median"], found["offset_frames"]["median"]) == pytest.approx((0.99, 3.0))
    assert found["others_per_min"] == pytest.approx(6)
    for wrong in (ended(2000, 3500, direction=-1), ended(2000, 3500, "outer_brow"), ended(2900, 5000)):
        assert movements([watched(SMILE, events=[wrong])])["found"]["share"] == 0
    assert math.isnan(movements([watched(SMILE, events=[])])["onset_frames"]["p95"])


def test_each_blink_answers_for_one():
    told = Event("blink", "done", "eye_opening", -1, 5180, 5020, 3, 50, 160)
    other = Event("blink", "done", "eye_opening", -1, 8000, 7900, 3, 50, 100)
    found = blinks([watched(BLINK, events=[told, told, other])])
    assert (found["recall"], found["precision"], found["f1"]) == pytest.approx((1, 1 / 3, 0.5))
    assert found["duration_error_ms"] == pytest.approx(40)
    assert blinks([watched(BLINK, events=[])])["f1"] == 0


def test_stills_count_what_begins():
    onset = Event("movement", "onset", "jaw_drop", 1, 10, 10, 1)
    found = stills([watched(events=[onset, ended(10, 400, "jaw_drop")], seconds=30)])
    assert (found["minutes"], found["false_per_min"], found["by_kind"]) == (0.5, 2, {"movement": 2})


def test_clips_keep_their_promises():
    clip = moving_clip(Stage(), 30, 30, seed=3)
    courses = [course for course, _ in clip.courses]
    assert len(courses) > 5
    assert {course.action for course in courses} == {"smile", "brow raise"}  # this face's jaw does not go so far
    assert all(0.2 <= course.offset_s - course.onset_s <= 2 and 2 <= course.amplitude <= 4 for course in courses)
    assert all(b.onset_s - a.offset_s >= 1.2 for a, b in itertools.pairwise(courses))
    lasts = [course.offset_s - course.onset_s for course, _ in blinking_clip(Stage(), 30, 60, seed=3).courses]
    assert len(lasts) > 10
    assert all(0.1 <= last <= 0.4 for last in lasts)


def test_a_clip_shows_its_courses_at_their_times_with_noise_and_sway(monkeypatch):
    clip = Clip(Stage(), ((SMILE, 1.0),), 3.0, 30, seed=1)
    frames = list(clip.frames())
    assert len(frames) == 90
    assert [frame.t_ms for frame in frames[:3]] == pytest.approx([0, 33.33, 66.67], abs=0.01)
    assert frames[0].image_bgr.shape == (SIDE, SIDE, 3)
    grey = [float(frame.image_bgr.mean()) for frame in frames]
    assert grey[80] > 1.6 * grey[55]
    still = list(still_clip(Stage(), 30, 1.0, seed=1).frames())
    assert 2 < float(np.std(still[0].image_bgr[..., 0] - still[0].image_bgr[..., 0].mean())) < 4
