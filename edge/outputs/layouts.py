"""How a table lays readings out: ours, or as OpenFace and py-feat write theirs, so that scripts made for those read it.

A foreign layout has those of their columns that are measured here, under their names, in their order and units; the scales are ours all the
same, and `about` says of each column what it is. What was not seen is NaN there, never 0.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from typing import Any, Protocol

from edge.errors import UsageError
from edge.types import Face, Reading

FORMATS = ("native", "openface", "pyfeat")
OPENFACE_UNITS = ("AU01", "AU02", "AU04", "AU05", "AU06", "AU07", "AU09", "AU10", "AU12", "AU14", "AU15", "AU17", "AU20", "AU23", "AU25",
                  "AU26", "AU45")  # fmt: skip
"""Action units whose intensity OpenFace 2.2 writes, in its order."""
OPENFACE_FULL = 5.0
"""Its highest intensity."""
PYFEAT_UNITS = ("AU01", "AU02", "AU04", "AU05", "AU06", "AU07", "AU09", "AU10", "AU11", "AU12", "AU14", "AU15", "AU17", "AU20", "AU23",
                "AU24", "AU25", "AU26", "AU28", "AU43")  # fmt: skip
"""Action units that py-feat's `Detectorv1` writes, in its order."""
PYFEAT_EMOTIONS = ("anger", "disgust", "fear", "happiness", "sadness", "surprise", "neutral")
_FORMULA = tuple("=+-@\t\r\n＝＋－＠'")
"""What a cell must not begin with: spreadsheets calculate it, full-width forms as well; the apostrophe is ours."""
_SAID = ("status", "answer", "text", "consistency", "grounding", "statements", "attempts")
_TEXT = frozenset(
    (
        "source",
        "emotion",
        "unclear",
        "hidden",
        "baseline",
        "status",
        "answer",
        "text",
        "statements",
        "events",
        "input",
        "approx_time",
        "Identity",
    )
)
_WHOLE = frozenset(("frame", "faces", "track", "attempts", "face_id", "success"))


class Layout(Protocol):
    """Columns, and what stands in them."""

    format: str
    """One of `FORMATS`."""
    columns: list[str]
    """In their order."""
    missing: str
    """What a cell without a value holds."""

    def rows(self, reading: Reading) -> Iterator[dict[str, Any]]:
        """A row for each face, or one for a frame without; absent keys are cells without a value."""
        ...

    def about(self) -> dict[str, str]:
        """Column → what it is here."""
        ...


def layout(format: str, labels: Sequence[str], cues: Sequence[str], units: Sequence[str]) -> Layout:
    """The layout of this name.

    Args:
        format: one of `FORMATS`.
        labels: the bundle's.
        cues: the bundle's.
        units: the bundle's action units.

    Raises:
        UsageError: no such layout.
    """
    match format:
        case "native":
            return Native(labels, cues, units)
        case "openface":
            return OpenFace(units)
        case "pyfeat":
            return PyFeat(labels, units)
        case _:
            raise UsageError(f"no table format {format!r}: expected one of {', '.join(FORMATS)}")


def kind(column: str) -> type:
    """`str`, `int` or `float`: what a column of any layout holds."""
    return str if column in _TEXT else int if column in _WHOLE else float


def sidecar(layout: Layout) -> str:
    """The JSON text that goes beside a table."""
    note = "Scales are those of erv-edge, whatever the names of the columns: values of different programs are not measured alike."
    return json.dumps({"format": layout.format, "note": note, "columns": layout.about()}, indent=1) + "\n"


class Native:
    """Our own columns."""

    format, missing = "native", ""

    def __init__(self, labels: Sequence[str], cues: Sequence[str], units: Sequence[str]) -> None:
        self.columns = columns(labels, cues, units)

    def rows(self, reading: Reading) -> Iterator[dict[str, Any]]:
        for row in rows(reading):  # without the action units that the table was not asked for
            yield {name: cell for name, cell in row.items() if name in self.columns or not name.startswith("au_")}

    def about(self) -> dict[str, str]:
        return {name: _ABOUT.get(name) or _of_group(name) for name in self.columns}


class OpenFace:
    """As OpenFace 2.2's FeatureExtraction writes it: frames from 1, seconds, radians, intensities of 0 to 5, and its decimals."""

    format, missing = "openface", "NaN"

    def __init__(self, units: Sequence[str]) -> None:
        self._units = [name for name in OPENFACE_UNITS if name in units]
        first = ["frame", "face_id", "timestamp", "confidence", "success", "pose_Rx", "pose_Ry", "pose_Rz"]
        self.columns = [*first, *(f"{name}_r" for name in self._units)]

    def rows(self, reading: Reading) -> Iterator[dict[str, Any]]:
        frame = {"frame": reading.frame + 1, "timestamp": f"{reading.t_ms / 1e3:.3f}"}
        if not reading.faces:
            yield frame | {"success": 0}
        for face in reading.faces:
            # x right, y down, z away from the camera: looking down and turning to the person's right are positive
            pose = {"pose_Rx": -face.pose.pitch_deg, "pose_Ry": -face.pose.yaw_deg, "pose_Rz": face.pose.roll_deg}
            cells = {"face_id": face.track, "confidence": f"{face.detection.score:.2f}", "success": int(not face.unclear)}
            cells |= {name: f"{math.radians(value):.3f}" for name, value in pose.items()}
            found = [name for name in self._units if name in face.action_units]
            yield frame | cells | {f"{name}_r": f"{OPENFACE_FULL * face.action_units[name].intensity:.2f}" for name in found}

    def about(self) -> dict[str, str]:
        told = {
            "frame": "number of the frame, from 1",
            "face_id": "number of the person in the recording, from 1; not who it is",
            "timestamp": "seconds in the recording",
            "confidence": "0…1, whether it is a face, by the face finder; NaN without a face",
            "success": "1: a face is seen well enough to be read; 0: none, or too small, turned or blurred",
            "pose_Rx": "radians, positive: looking down",
            "pose_Ry": "radians, positive: turned to the person's right",
            "pose_Rz": "radians, positive: tilted clockwise in the picture",
        }
        scale = "0…5, five times erv-edge's intensity, where 5 is what one face in two hundred reaches; NaN where it is not in sight"
        return told | {f"{name}_r": f"{name}: {scale}" for name in self._units}


class PyFeat:
    """As py-feat 2's `Detectorv1` writes it: boxes in pixels, radians, action units and emotions of 0 to 1."""

    format, missing = "pyfeat", "NaN"

    def __init__(self, labels: Sequence[str], units: Sequence[str]) -> None:
        self._units = [name for name in PYFEAT_UNITS if name in units]
        self._emotions = [name for name in PYFEAT_EMOTIONS if name in labels]
        self._others = [name for name in labels if name not in PYFEAT_EMOTIONS]
        first = ["FaceRectX", "FaceRectY", "FaceRectWidth", "FaceRectHeight", "FaceScore", "Pitch", "Roll", "Yaw"]
        self.columns = [*first, *self._units, *self._emotions, "input", "frame", "approx_time", "Identity"]

    def rows(self, reading: Reading) -> Iterator[dict[str, Any]]:
        minutes, seconds = divmod(int(reading.t_ms // 1000), 60)
        frame = {"input": guarded(reading.source), "frame": reading.frame, "approx_time": f"{minutes:02d}:{seconds:02d}"}
        if not reading.faces:
            yield frame
        for face in reading.faces:
            x1, y1, x2, y2 = (round(float(value), 1) for value in face.detection.box_xyxy)
            cells: dict[str, Any] = {
                "FaceRectX": x1,
                "FaceRectY": y1,
                "FaceRectWidth": round(x2 - x1, 1),
                "FaceRectHeight": round(y2 - y1, 1),
            }
            cells |= {"FaceScore": round(face.detection.score, 3), "Identity": f"Person_{face.track}"}
            pose = {"Pitch": face.pose.pitch_deg, "Roll": face.pose.roll_deg, "Yaw": -face.pose.yaw_deg}
            cells |= {name: round(math.radians(value), 4) for name, value in pose.items()}
            cells |= {name: round(face.action_units[name].intensity, 3) for name in self._units if name in face.action_units}
            cells |= {name: round(face.probabilities[name], 4) for name in self._emotions if name in face.probabilities}
            yield frame | cells

    def about(self) -> dict[str, str]:
        told = dict.fromkeys(("FaceRectX", "FaceRectY", "FaceRectWidth", "FaceRectHeight"), "pixels of the picture; NaN without a face")
        told["FaceScore"] = "0…1, whether it is a face, by the face finder"
        told |= {"Pitch": "radians, positive: raised", "Roll": "radians, positive: tilted clockwise in the picture"}
        told["Yaw"] = "radians, positive: turned to the person's right"
        scale = "erv-edge's intensity, 0…1, where 1 is what one face in two hundred reaches; NaN where it is not in sight"
        told |= {name: f"{name}: {scale}" for name in self._units}
        rest = f"; with {', '.join(self._others)}, which is left out, they sum to 1" if self._others else "; they sum to 1"
        told |= dict.fromkeys(self._emotions, f"calibrated probability of the label{rest}; NaN while the face cannot be read")
        told |= {
            "input": "the recording",
            "frame": "number of the frame, from 0",
            "approx_time": "minutes and whole seconds in the recording",
        }
        return told | {"Identity": "number of the person in the recording; not who it is"}


def columns(labels: Sequence[str], cues: Sequence[str], units: Sequence[str] = ()) -> list[str]:
    """Our table's columns, in order."""
    first = ["source", "frame", "t_ms", "faces", "track", "x1", "y1", "x2", "y2", "score", "emotion", "confidence"]
    last = ["yaw", "pitch", "roll", "unclear", "hidden", "baseline", *_SAID, "explained_t_ms", "events", "latency_ms"]
    read = [*(f"p_{name}" for name in labels), *(f"cue_{name}" for name in cues), "valence", "arousal", *(f"au_{name}" for name in units)]
    return [*first, *read, *last]


def rows(reading: Reading) -> Iterator[dict[str, Any]]:
    """Our table's rows for one reading; absent keys are empty cells."""
    whole = reading.to_dict()
    frame = {"source": guarded(whole["source"]), "frame": whole["frame"], "t_ms": whole["t_ms"]}
    frame |= {"faces": len(reading.faces), "latency_ms": whole["latency_ms"].get("total", "")}
    if not reading.faces:
        yield frame
    for face in reading.faces:
        yield frame | _cells(face)


def _cells(face: Face) -> dict[str, Any]:
    whole = face.to_dict()
    cells = {name: whole[name] for name in ("track", "score", "emotion", "confidence", "baseline", "explained_t_ms")}
    cells["unclear"], cells["hidden"] = " ".join(face.unclear), " ".join(face.hidden)
    cells |= dict(zip(("x1", "y1", "x2", "y2"), whole["box"], strict=True)) | whole["pose"]
    cells |= {f"p_{name}": value for name, value in whole["probabilities"].items()}
    cells |= {f"cue_{name}": value for name, value in whole["cues"].items()}
    cells |= {name: whole[name] for name in ("valence", "arousal")}
    cells |= {f"au_{name}": unit["intensity"] for name, unit in whole["action_units"].items()}
    cells["events"] = json.dumps(whole["events"]) if face.events else ""
    said = whole["explanation"] or {}
    cells |= {name: json.dumps(said[name]) if name == "statements" else said[name] for name in _SAID if name in said}
    return {name: guarded(value) if isinstance(value, str) else value for name, value in cells.items()}


def guarded(text: str) -> str:
    """A text that a spreadsheet shows instead of running it as a formula; taking away one leading `'` gives it back."""
    return f"'{text}" if text[:1] in _FORMULA else text


_ABOUT = {
    "source": "the recording or picture",
    "frame": "number of the frame, from 0",
    "t_ms": "milliseconds in the recording",
    "faces": "faces in this frame",
    "track": "number of the person in the recording, from 1; not who it is",
    **dict.fromkeys(("x1", "y1", "x2", "y2"), "box, pixels of the picture"),
    "score": "0…1, whether it is a face",
    "emotion": "label on display; empty while the face cannot be read",
    "confidence": "its calibrated probability",
    "valence": "−1 (unpleasant) to 1 (pleasant), derived from the probabilities",
    "arousal": "−1 (calm) to 1 (excited), derived from the probabilities",
    "yaw": "degrees, positive: turned to the person's left",
    "pitch": "degrees, positive: raised",
    "roll": "degrees, positive: tilted clockwise in the picture",
    "unclear": "why this frame does not show the face well enough, separated by spaces",
    "hidden": "cues that are out of sight: their values are guesses",
    "baseline": "what the cues are measured against",
    "status": "verdict on the explanation",
    "answer": "emotion that the explanation speaks for",
    "text": "the explanation, if it is verified",
    "consistency": "0…1, how well the text speaks for its answer",
    "grounding": "0…1, share of its statements that hold",
    "statements": "what it says, as JSON",
    "attempts": "candidates that were judged",
    "explained_t_ms": "time of the frame that it describes, milliseconds",
    "events": "what is found with this frame to have begun, peaked or ended, as JSON; empty when nothing",
    "latency_ms": "time spent on the frame, milliseconds; empty in a study",
}


def _of_group(column: str) -> str:
    group, _, name = column.partition("_")
    return {
        "p": f"calibrated probability of the label {name}",
        "cue": f"{name.replace('_', ' ')}: standard deviations from neutral faces",
        "au": f"{name}: 0…1, where 1 is what one face in two hundred reaches; empty where it is not in sight",
    }[group]
