"""The measured course that events are held against: times, and nothing where the course does not show it."""

from dataclasses import replace

import numpy as np
import pytest
from test_dynamics import CUES, course

from edge import Detection, Event, Face, Pose
from edge.live.course import Course, Spread
from edge.live.dynamics import Dynamics
from edge.live.strip import MOST, Means


def follow(seconds: float, *, noise: float = 0.12, fps: float = 30, told=lambda events, t_ms: events, unclear=lambda t: False, **moves):
    """What a face that follows functions of the time in seconds is measured to have done; `told` may change its events."""
    rng, dynamics, measured, found = np.random.default_rng(1), Dynamics(CUES), Course(CUES), []
    for t_s in np.arange(0, seconds, 1 / fps):
        values = {name: moves.get(name, lambda _: 0.0)(t_s) + rng.normal(0, noise) for name in CUES}
        pose = Pose(*(moves.get(axis, lambda _: 0.0)(t_s) + rng.normal(0, noise) for axis in ("yaw", "pitch")), 0.0)
        detection = Detection(np.zeros(4, np.float32), np.zeros((5, 2), np.float32), 0.9)
        face = Face(1, detection, "neutral", 1.0, {"neutral": 1.0}, values, np.zeros((1, 2), np.float32), pose)
        events = dynamics.see(face, t_s * 1e3, clear=not unclear(t_s))
        face = replace(face, events=told(events, t_s * 1e3), unclear=("blur",) if unclear(t_s) else ())
        found += measured.see(face, t_s * 1e3)[1]
    return found, measured


@pytest.mark.parametrize(("long_s", "rise_s"), [(0.5, 0.2), (1.5, 0.4), (4.0, 1.2)])
@pytest.mark.parametrize("way", [1, -1])
def test_rise_hold_and_duration_are_those_of_the_course(long_s, rise_s, way):
    (one,), _ = follow(8, lip_corners=lambda t: 0.5 + way * 3 * course(t, 2, rise_s, 0.2, 2 + long_s))
    assert (one.kind, one.subject, one.ended) == ("movement", "lip_corners+" if way > 0 else "lip_corners-", True)
    assert (one.start_ms, one.end_ms) == pytest.approx((2000, 2000 + 1e3 * long_s), abs=70)
    assert one.rise_s == pytest.approx(rise_s, abs=max(0.1, 0.15 * rise_s))
    held_s = np.mean([course(t, 2, rise_s, 0.2, 2 + long_s) >= 0.6 for t in np.linspace(2, 2 + long_s, 1000)]) * long_s
    assert one.held_s == pytest.approx(held_s, abs=0.1)
    assert one.amplitude == pytest.approx(3, abs=0.4)


def test_what_is_under_way_at_the_end_or_before_a_pause_has_not_ended():
    found, measured = follow(5, lip_corners=lambda t: 3 * course(t, 2, 0.3, 0.3, 9))
    assert found == []
    (one,) = measured.pause()
    assert (one.ended, one.subject) == (False, "lip_corners+")
    assert one.held_s == pytest.approx(2.8, abs=0.15)
    assert measured.pause() == []


def test_what_the_course_does_not_show_did_not_happen():
    def invented(events: tuple[Event, ...], t_ms: float) -> tuple[Event, ...]:
        if abs(t_ms - 4000) > 1:
            return ()
        return (
            Event("movement", "offset", "jaw_drop", 1, 3900, 3000, 2.0, 200, 900),
            Event("blink", "done", "eye_opening", -1, 3900, 3700, 3.0, 60, 200),
            Event("nod", "done", "pitch", -1, 3900, 3200, 9.0, None, 700),
            Event("movement", "offset", "no_such_cue", 1, 3900, 3000, 2.0, 200, 900),
        )

    assert follow(5, told=invented)[0] == []
    shown = {"jaw_drop": lambda t: 2 * course(t, 3, 0.2, 0.2, 3.9), "eye_opening": lambda t: -3 * course(t, 3.7, 0.06, 0.1, 3.9),
             "pitch": lambda t: -9 * course(t, 3.2, 0.3, 0.3, 3.9)}  # fmt: skip
    found, _ = follow(5, told=invented, **shown)
    assert [one.kind for one in found] == ["movement", "blink", "nod"]
    assert follow(5, told=invented, unclear=lambda t: 3.1 < t < 3.7, jaw_drop=shown["jaw_drop"])[0] == []  # it was not seen


def test_memory_does_not_grow_with_time():
    _, measured = follow(20)
    assert len(measured._samples) < 6 * 30
    means = Means(1000.0)
    for i in range(5 * MOST):
        means.see(1000.0 + 100.0 * i, {"a": float(i), "b": float("nan")})
    found = means.means()
    assert list(found) == ["a"]
    assert MOST / 2 <= len(found["a"]) <= MOST
    assert found["a"][0] == pytest.approx((means.step_ms / 100 - 1) / 2)
    assert np.isfinite(found["a"]).all()


def test_spread_is_of_what_moves_and_not_of_noise():
    rng = np.random.default_rng(0)

    def of(move) -> Spread:
        spread = Spread()
        for i in range(300):
            spread.see(np.array([move(i / 30) + rng.normal(0, 0.5), np.nan if i % 3 == 0 else rng.normal(0, 0.5)]))
        return spread

    assert of(lambda t: 0.0).value < 0.25
    assert of(lambda t: 3 * course(t, 2, 0.3, 0.3, 5)).value > 1
    assert of(lambda t: 0.0).seen == pytest.approx(2 / 3)
    assert Spread().value == float("inf")
