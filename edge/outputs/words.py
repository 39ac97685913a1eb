"""Statements in plain words, for whoever looks on: the drawn picture and the page say them alike."""

from __future__ import annotations

import math

from edge.language.statements import CUE_KINDS
from edge.types import Event, Statement

_SIDES = {"yaw": {1: "turned{} to the person's left", -1: "turned{} to the person's right"}, "pitch": {1: "raised{}", -1: "lowered{}"}}
_AT_REST = {0: "at rest", 1: "not above neutral", -1: "not below neutral"}
_HOW_MUCH = {"slight": "slightly ", "strong": "strongly "}


def in_words(said: Statement) -> str:
    """What a statement says, such as `mouth opening strongly above neutral`."""
    subject = said.subject.replace("_", " ")
    match said.kind:
        case "movement":
            return f"{subject} {_HOW_MUCH.get(said.band, '')}{'above' if said.direction > 0 else 'below'} neutral"
        case "rest":
            return f"{subject} {_AT_REST[said.claim.denied]}"
        case "one_sided":
            return f"{subject}: higher on the person's {'left' if said.direction > 0 else 'right'}"
        case "eyes_closed":
            return "eyes closed"
        case "pose":
            way = _SIDES.get(said.subject, {}).get(said.direction, f"at {subject}{{}}")
            return f"head {way.format(' far' if said.band == 'far' else '')}"
        case "covered":
            return f"{subject} out of sight"
        case "certainty":
            return f"certainty: {said.band}"
        case "runner_up":
            return f"second: {subject}"
        case _:
            return f"{said.kind.replace('_', ' ')}: {subject}"


def measure(said: Statement) -> str:
    """What was measured for it, with its unit: deviations from neutral, degrees, or a share."""
    if not math.isfinite(said.measured):
        return "not measured"
    if said.kind in CUE_KINDS:
        return f"{round(said.measured, 1) + 0:+.1f}"  # no −0.0
    return f"{round(said.measured):+d}°" if said.kind == "pose" else f"{said.measured:.0%}".replace("%", " %")


def event_in_words(event: Event) -> str:
    """What an event is, such as `lip_corners rises`, `blink`, `yaw left`."""
    ways = {"yaw": ("right", "left"), "pitch": ("down", "up")}.get(event.subject, ("falls", "rises"))
    return event.kind if event.kind in ("blink", "eyes_closed") else f"{event.subject} {ways[event.direction > 0]}"
