"""On-device emotion recognition whose explanations are checked before anyone sees them.

from edge import Pipeline

with Pipeline.load() as pipeline:
    reading = pipeline(image_bgr)
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from edge.errors import BackendError, BundleError, EdgeError, InputError, OutputError, UsageError
from edge.types import (
    ActionUnit,
    Blinks,
    Claim,
    Counterfactual,
    CourseStatement,
    Detection,
    Event,
    Explanation,
    Face,
    Pose,
    Reading,
    Statement,
    StreamStatus,
    Undone,
    Verdict,
)

if TYPE_CHECKING:
    from edge.clip import read_clip
    from edge.live.baseline import Baseline
    from edge.live.scene import Scene
    from edge.live.stream import Stream
    from edge.pipeline import Pipeline
    from edge.sources.camera import Frame
    from edge.spans import Clip

__version__ = "0.1.0"
__all__ = [
    "ActionUnit", "BackendError", "Baseline", "Blinks", "BundleError", "Claim", "Clip", "Counterfactual", "CourseStatement", "Detection",
    "EdgeError", "Event", "Explanation", "Face", "Frame", "InputError", "OutputError", "Pipeline", "Pose", "Reading", "Scene", "Statement",
    "Stream", "StreamStatus", "Undone", "UsageError", "Verdict", "read_clip",
]  # fmt: skip

_LATE = {
    "Baseline": "live.baseline",
    "Clip": "spans",
    "Frame": "sources.camera",
    "Pipeline": "pipeline",
    "Scene": "live.scene",
    "Stream": "live.stream",
    "read_clip": "clip",
}
"""What imports OpenCV, which takes a while and may be missing: only when asked for."""


def __getattr__(name: str) -> Any:
    if name in _LATE:
        return getattr(importlib.import_module(f"edge.{_LATE[name]}"), name)
    raise AttributeError(f"module 'edge' has no attribute '{name}'")
