"""Tables of readings, ours and those of OpenFace and py-feat, read into pandas with the same names and units, to stand side by side.

from edge import tables

frames = tables.read("talk.csv")
"""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge.errors import InputError
from edge.language.labels import EMOTIONS_11, parse_emotion
from edge.library import load
from edge.outputs.layouts import OPENFACE_FULL, PYFEAT_EMOTIONS

if TYPE_CHECKING:
    import pandas

COMMON = ("frame", "t_s", "person", "seen", "score", "x1", "y1", "x2", "y2", "yaw", "pitch", "roll")
"""Columns that every table has after it was read; NaN where its program does not tell."""
_V2 = ("Anger", "Angry", "Contempt", "Disgust", "Fear", "Happy", "Happiness", "Neutral", "Sad", "Sadness", "Surprise")
"""Emotions as py-feat's `Detectorv2` may write them."""


def read(path: Path | str, *, fps: float | None = None) -> pandas.DataFrame:
    """Read a table.

    Args:
        path: a CSV or Parquet file of `edge-run` or `edge-batch` in any of their formats, of OpenFace's FeatureExtraction, or of py-feat.
        fps: frames a second, for tables of py-feat, which tell time to the second only.

    Returns:
        A row a face and frame, or one of a frame without a face. First `frame` (from 0), `t_s` (seconds), `person`, `seen` (whether a face
        was, by OpenFace's and our `success` whether it was well), `score` (0…1), `x1, y1, x2, y2` (pixels), `yaw, pitch, roll` (degrees:
        positive to the person's left, up, clockwise); then `p_<label>` and `AU<number>` (0…1) as far as there are any; then every other
        column as it was. `attrs["format"]` is `native`, `openface` or `pyfeat`. Names and units are alike then, scales are not.

    Raises:
        InputError: it cannot be read, or is no such table.
        BackendError: pandas, or for Parquet pyarrow, is missing.
    """
    found = _load(Path(path))
    names = set(found.columns)
    if {"t_ms", "track", "faces"} <= names:
        table, kind = _native(found), "native"
    elif {"timestamp", "success", "confidence"} <= names:
        table, kind = _openface(found), "openface"
    elif {"FaceRectX", "FaceScore"} <= names:
        table, kind = _pyfeat(found, fps), "pyfeat"
    else:
        raise InputError(
            f"'{path}' is not a table of erv-edge, OpenFace or py-feat: its columns are {', '.join(map(str, found.columns[:6]))} …"
        )
    for name in COMMON:
        if name not in table:
            table[name] = math.nan
    read_of = [name for name in table if str(name).startswith("p_") and parse_emotion(str(name)[2:], EMOTIONS_11)]
    units = sorted(name for name in table if str(name)[:2] == "AU" and str(name)[2:].isdigit())
    first = [*COMMON, *read_of, *units]
    table = table[[*first, *(name for name in table if name not in first)]]
    table.attrs["format"] = kind
    return table


def _load(path: Path) -> Any:
    pandas = load("pandas", name="pandas", holds="read_csv", get="pip install 'erv-edge[tables]'")
    if not os.path.isfile(path):
        raise InputError(f"no table at '{path}'")
    try:
        if path.suffix.lower() in (".parquet", ".pq"):
            load("pyarrow", name="pyarrow", holds="schema", get="pip install 'erv-edge[batch]'")
            table = pandas.read_parquet(path)
        else:
            table = pandas.read_csv(path, skipinitialspace=True, encoding_errors="backslashreplace", low_memory=False)
    except (ValueError, OSError, MemoryError) as error:  # pandas' and pyarrow's own errors are ValueErrors
        said = str(error).strip().splitlines() or [type(error).__name__]
        raise InputError(f"'{path}' cannot be read as a table: {said[0]}") from None
    table.columns = [str(name).strip() for name in table.columns]
    return table


def _native(table: Any) -> Any:
    for name in table.columns:
        if name in ("source", "emotion", "unclear", "hidden", "baseline", "status", "answer", "text", "statements", "events"):
            table[name] = table[name].map(lambda text: text.removeprefix("'") if isinstance(text, str) else "")
    table = table.rename(columns={"track": "person", **{name: name[3:] for name in table.columns if name.startswith("au_")}})
    table.insert(2, "t_s", table.pop("t_ms") / 1e3)
    table["seen"] = table["faces"] > 0
    return table


def _openface(table: Any) -> Any:
    units = {name: name[:-2] for name in table.columns if name.startswith("AU") and name.endswith("_r")}
    for name in units:
        table[name] = table[name] / OPENFACE_FULL
    table = table.rename(columns={**units, "timestamp": "t_s", "face_id": "person", "confidence": "score"})
    table["frame"] -= 1
    table["seen"] = table.pop("success") == 1
    return _turned(table, yaw=("pose_Ry", -1), pitch=("pose_Rx", -1), roll=("pose_Rz", 1))


def _pyfeat(table: Any, fps: float | None) -> Any:
    labels = {name: f"p_{name}" for name in PYFEAT_EMOTIONS}
    labels |= {name: f"p_{parse_emotion(name, EMOTIONS_11)}" for name in _V2}
    table = table.rename(columns={**labels, "Identity": "person", "FaceScore": "score"})
    table["seen"] = table["score"].notna()
    table["x1"], table["y1"] = table.pop("FaceRectX"), table.pop("FaceRectY")
    table["x2"], table["y2"] = table["x1"] + table.pop("FaceRectWidth"), table["y1"] + table.pop("FaceRectHeight")
    if fps:
        table["t_s"] = table["frame"] / fps
    elif "approx_time" in table:
        table["t_s"] = table["approx_time"].map(_seconds)
    return _turned(table, yaw=("Yaw", -1), pitch=("Pitch", 1), roll=("Roll", 1))


def _turned(table: Any, **axes: tuple[str, int]) -> Any:
    """Their radians as our degrees."""
    for name, (theirs, sign) in axes.items():
        if theirs in table:
            table[name] = table.pop(theirs) * (sign * 180 / math.pi)
    return table


def _seconds(text: Any) -> float:
    """`MM:SS`."""
    minutes, _, seconds = str(text).partition(":")
    return int(minutes) * 60.0 + int(seconds) if minutes.isdigit() and seconds.isdigit() else math.nan
