"""What happens in a face over time, on courses that are made: times, kinds, and nothing where nothing happens."""

import numpy as np
import pytest

from edge import Detection, Event, Face, Pose
from edge.live.dynamics import Dynamics

CUES = ("lip_corners", "eye_opening", "jaw_drop")


def course(t_s: float, onset_s: float, rise_s: float, fall_s: float, offset_s: float) -> float:
    """Up and down along raised cosines."""
    if not onset_s < t_s < offset_s:
        return 0.0
    if t_s < onset_s + rise_s:
        return 0.5 - 0.5 * np.cos(np.pi * (t_s - onset_s) / rise_s)
    return 1.0 if t_s < offset_s - fall_s else 0.5 - 0.5 * np.cos(np.pi * (offset_s - t_s) / fall_s)


def play(
    seconds: float, *, fps: float = 30.0, noise: float = 0.15, seed: int = 0, times=None, clear=lambda t_s: True, hidden=lambda t_s: (),
    **moves,
) -> tuple[list[Event], Dynamics, list[float]]:  # fmt: skip
    """Events of cues (and `yaw`, `pitch`) that follow functions of the time in seconds."""
    rng, dynamics, found, told = np.random.default_rng(seed), Dynamics(CUES), [], []
    for t_s in np.arange(0, seconds, 1 / fps) if times is None else times:
        values = {name: moves.get(name, lambda _: 0.0)(t_s) + rng.normal(0, noise) for name in CUES}
        pose = Pose(*(moves.get(axis, lambda _: 0.0)(t_s) + rng.normal(0, 3 * noise) for axis in ("yaw", "pitch")), 0.0)
        detection = Detection(np.zeros(4, np.float32), np.zeros((5, 2), np.float32), 0.9)
        face = Face(1, detection, "neutral", 1.0, {"neutral": 1.0}, values, np.zeros((1, 2), np.float32), pose, hidden=hidden(t_s))
        new = dynamics.see(face, t_s * 1e3, clear=clear(t_s))
        found += new
        told += [t_s * 1e3 - event.t_ms for event in new]
    return found, dynamics, told


def short(events: list[Event]) -> list[tuple[str, str, str, int]]:
    return [(event.kind, event.phase, event.subject, event.direction) for event in events]


@pytest.mark.parametrize("fps", [25, 30, 60])
@pytest.mark.parametrize(("long_s", "rise_s"), [(0.25, 0.1), (0.6, 0.2), (2.0, 0.5)])
def test_a_movement_is_told_when_it_begins_peaks_and_ends(fps, long_s, rise_s):
    events, _, told = play(5, fps=fps, lip_corners=lambda t: 0.7 + 3 * course(t, 2, rise_s, rise_s, 2 + long_s))
    assert short(events) == [("movement", phase, "lip_corners", 1) for phase in ("onset", "apex", "offset")]
    onset, apex, offset = events
    frame_ms = 1e3 / fps
    assert onset.t_ms == pytest.approx(2000, abs=max(3 * frame_ms, 80))
    assert offset.onset_ms == pytest.approx(2000, abs=max(2 * frame_ms, 40))
    assert offset.t_ms == pytest.approx(2000 + 1e3 * long_s, abs=max(2 * frame_ms, 40))
    assert offset.rise_ms == pytest.approx(1e3 * rise_s, abs=150)
    assert apex.t_ms == pytest.approx(offset.onset_ms + offset.rise_ms)
    assert offset.amplitude == pytest.approx(3, abs=0.5)
    assert offset.duration_ms == pytest.approx(offset.t_ms - offset.onset_ms)
    assert told[0] < 200 + 1e3 * rise_s / 2


@pytest.mark.parametrize("fps", [30, 60])
@pytest.mark.parametrize("seed", range(3))
def test_a_face_that_gives_way_a_little_before_it_goes_down_ends_when_it_is_back(fps, seed):
    def smile(t: float) -> float:  # 3.3 deviations at its highest, then 3.0, then 2.1 for a fifth of a second
        return 2.1 * course(t, 2, 0.5, 0.3, 4) + 0.9 * course(t, 2, 0.5, 0.2, 3.6) + 0.3 * course(t, 2.3, 0.15, 0.15, 2.6)

    events, _, _ = play(6, fps=fps, noise=0.1, seed=seed, lip_corners=smile)
    (offset,) = [event for event in events if event.phase == "offset"]
    assert (offset.onset_ms, offset.t_ms) == pytest.approx((2000, 4000), abs=120)


@pytest.mark.parametrize("fps", [30, 60])
def test_smoothing_does_not_make_a_short_movement_longer(fps):
    events, _, _ = play(5, fps=fps, noise=0.01, lip_corners=lambda t: 3 * course(t, 2, 0.1, 0.1, 2.3))
    (offset,) = [event for event in events if event.phase == "offset"]
    assert (offset.onset_ms, offset.t_ms) == pytest.approx((2000, 2300), abs=25)


def test_movements_below_the_rest_have_their_direction():
    events, _, _ = play(5, lip_corners=lambda t: -2.5 * course(t, 2, 0.3, 0.3, 3.2), jaw_drop=lambda t: 2.5 * course(t, 3, 0.2, 0.2, 3.8))
    assert [(e.subject, e.direction) for e in events if e.phase == "offset"] == [("lip_corners", -1), ("jaw_drop", 1)]


@pytest.mark.parametrize("noise", [0.05, 0.15, 0.3])
def test_noise_sway_and_slow_drift_are_no_events(noise):
    events, _, _ = play(
        60, noise=noise, seed=4, lip_corners=lambda t: 0.4 * np.sin(t * 1.5) + 0.05 * t, eye_opening=lambda t: 0.3 * np.sin(t * 2.2),
        pitch=lambda t: 4 * np.sin(t * 1.9), yaw=lambda t: 8 * np.sin(t * 1.3),
    )  # fmt: skip
    assert events == []


@pytest.mark.parametrize("fps", [30, 60])
def test_blinks_are_counted_and_timed(fps):
    begins = [2.0, 3.1, 4.5, 6.02, 8.0]
    lasts = [0.1, 0.15, 0.2, 0.3, 0.4]

    def eyes(t: float) -> float:
        return -4.5 * sum(course(t, b, long / 3, long / 2, b + long) for b, long in zip(begins, lasts, strict=True))

    events, dynamics, _ = play(12, fps=fps, eye_opening=eyes)
    assert {event.kind for event in events} == {"blink"}
    assert [event.onset_ms for event in events] == pytest.approx([1e3 * b for b in begins], abs=40)
    assert [event.duration_ms for event in events] == pytest.approx([1e3 * long for long in lasts], abs=75)
    blinks = dynamics.blinks
    assert (blinks.count, dynamics.no_blinks) == (5, "")
    assert blinks.rate_per_min == pytest.approx(5 / 11.5 * 60, rel=0.1)
    assert blinks.mean_ms == pytest.approx(230, abs=50)


def test_under_fifteen_frames_a_second_there_is_no_blink_and_it_says_why():
    events, dynamics, _ = play(10, fps=12, eye_opening=lambda t: -4.5 * course(t, 3, 0.1, 0.2, 3.35))
    assert "blink" not in {event.kind for event in events}
    assert dynamics.blinks is None
    assert dynamics.no_blinks == "12.0 frames a second: blinks need 15"


def test_eyes_closed_for_long_are_told_before_they_open_and_are_no_blink():
    events, dynamics, told = play(8, eye_opening=lambda t: -4.5 * course(t, 3, 0.1, 0.2, 5))
    assert short(events) == [("eyes_closed", "began", "eye_opening", -1), ("eyes_closed", "ended", "eye_opening", -1)]
    assert told[0] < 750
    assert events[1].duration_ms == pytest.approx(2000, abs=80)
    assert dynamics.blinks.count == 0


def test_a_squint_is_a_movement():
    events, dynamics, _ = play(8, noise=0.08, eye_opening=lambda t: -1.1 * course(t, 3, 0.3, 0.3, 5))
    assert short(events) == [("movement", phase, "eye_opening", -1) for phase in ("onset", "apex", "offset")]
    assert dynamics.blinks.count == 0


def test_time_counts_and_not_the_number_of_frames():
    rng = np.random.default_rng(3)
    times = np.cumsum(rng.choice([0.02, 0.033, 0.05, 0.1], 220, p=[0.3, 0.4, 0.2, 0.1]))
    events, _, _ = play(0, times=times, lip_corners=lambda t: 3 * course(t, 3, 0.4, 0.4, 4.5))
    assert [event.phase for event in events] == ["onset", "apex", "offset"]
    assert (events[2].onset_ms, events[2].t_ms) == pytest.approx((3000, 4500), abs=90)


def test_what_is_out_of_sight_moves_nothing_and_a_pause_ends_what_was_under_way():
    events, _, _ = play(6, lip_corners=lambda t: 3 * course(t, 2, 0.3, 0.3, 4), hidden=lambda t: ("lip_corners",) if t > 1 else ())
    assert events == []
    times = [t for t in np.arange(0, 8, 1 / 30) if not 2.5 < t < 3.5]
    events, _, _ = play(0, times=times, lip_corners=lambda t: 3 * course(t, 2, 0.2, 0.2, 3))
    assert [event.phase for event in events] == ["onset", "apex"]


@pytest.mark.parametrize(
    ("axis", "swing", "found"),
    [
        ("pitch", lambda t: -12 * course(t, 2, 0.25, 0.25, 2.5), [("nod", "pitch", -1)]),
        ("pitch", lambda t: -8 * np.sin(2 * np.pi * 1.5 * (t - 2)) * (2 < t < 4), [("nod", "pitch", -1)]),
        ("yaw", lambda t: 10 * np.sin(2 * np.pi * 1.5 * (t - 2)) * (2 < t < 4), [("shake", "yaw", 1)]),
        ("yaw", lambda t: 15 * course(t, 2, 0.3, 0.3, 2.6), []),
        ("pitch", lambda t: -15 * course(t, 2, 0.4, 0.4, 6), []),
    ],
    ids=["nod", "nods", "shake", "glance", "look down"],
)
def test_nods_and_shakes(axis, swing, found):
    events, _, _ = play(8, noise=0.1, **{axis: swing})
    assert [(event.kind, event.subject, event.direction) for event in events] == found


def test_a_head_that_is_turned_away_is_told_and_that_it_is_back():
    events, _, _ = play(10, noise=0.1, yaw=lambda t: -50 * course(t, 3, 0.8, 0.8, 7))
    assert short(events) == [("turned_away", "began", "yaw", -1), ("turned_away", "ended", "yaw", -1)]
    assert 3000 < events[0].t_ms < 3800
    assert events[1].amplitude == pytest.approx(50, abs=3)
