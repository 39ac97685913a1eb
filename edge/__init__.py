"""On-device emotion recognition whose explanations are checked before anyone sees them.

from edge import Pipeline

with Pipeline.load() as pipeline:
    reading = pipeline(image_bgr)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from edge.errors import BackendError, BundleError, EdgeError, InputError, UsageError
from edge.types import Claim, Detection, Explanation, Face, Pose, Reading, StreamStatus, Verdict

if TYPE_CHECKING:
    from edge.pipeline import Pipeline

__version__ = "0.1.0"
__all__ = [
    "BackendError", "BundleError", "Claim", "Detection", "EdgeError", "Explanation", "Face", "InputError", "Pipeline", "Pose",
    "Reading", "StreamStatus", "UsageError", "Verdict",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name == "Pipeline":  # its imports (OpenCV, tokenizers) take a while and may be missing: only when asked for
        from edge.pipeline import Pipeline

        return Pipeline
    raise AttributeError(f"module 'edge' has no attribute '{name}'")
