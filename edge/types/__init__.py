"""What the pipeline returns: frozen records with plain-JSON `to_dict()`."""

from edge.types.course import Blinks, CourseStatement, Event
from edge.types.said import AT_REST, FOLLOWED, UNBOUNDED, Claim, Counterfactual, Explanation, Statement, Undone, Verdict
from edge.types.seen import CIRCUMPLEX, JSON_SCHEMA, ActionUnit, Detection, Face, Pose, Reading, StreamStatus

__all__ = [
    "AT_REST",
    "CIRCUMPLEX",
    "FOLLOWED",
    "JSON_SCHEMA",
    "UNBOUNDED",
    "ActionUnit",
    "Blinks",
    "Claim",
    "Counterfactual",
    "CourseStatement",
    "Detection",
    "Event",
    "Explanation",
    "Face",
    "Pose",
    "Reading",
    "Statement",
    "StreamStatus",
    "Undone",
    "Verdict",
]
