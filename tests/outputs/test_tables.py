"""Tables in other projects' formats, and all of them read back to stand side by side."""

import csv
import json
import math
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edge import ActionUnit, Detection, Face, InputError, Pose, Reading, UsageError, tables
from edge.cli import main
from edge.outputs import CsvSink
from edge.outputs.files import beside
from edge.outputs.parquet import ParquetSink

LABELS = ("neutral", "happiness", "contempt")
CUES = ("lip_corners",)
UNITS = ("AU43", "AU12", "AU01", "AU99")
OPENFACE = (
    "frame,face_id,timestamp,confidence,success,gaze_0_x,gaze_0_y,gaze_0_z,gaze_1_x,gaze_1_y,gaze_1_z,gaze_angle_x,gaze_angle_y,"
    "pose_Tx,pose_Ty,pose_Tz,pose_Rx,pose_Ry,pose_Rz,AU01_r,AU02_r,AU04_r,AU05_r,AU06_r,AU07_r,AU09_r,AU10_r,AU12_r,AU14_r,AU15_r,"
    "AU17_r,AU20_r,AU23_r,AU25_r,AU26_r,AU45_r,AU01_c,AU28_c"
)
"""The columns of OpenFace 2.2's output format, in order, without its landmarks."""
PYFEAT = (
    "FaceRectX,FaceRectY,FaceRectWidth,FaceRectHeight,FaceScore,Pitch,Roll,Yaw,X,Y,Z,AU01,AU02,AU04,AU05,AU06,AU07,AU09,AU10,AU11,AU12,"
    "AU14,AU15,AU17,AU20,AU23,AU24,AU25,AU26,AU28,AU43,anger,disgust,fear,happiness,sadness,surprise,neutral,input,frame,approx_time,Identity"
)
"""The columns of py-feat 2's `Detectorv1`, in order, without its landmarks."""


def face(track: int = 1) -> Face:
    detection = Detection(np.array([64, 48, 192.25, 240], np.float32), np.zeros((5, 2), np.float32), 0.934)
    units = {"AU12": ActionUnit(0.61), "AU01": ActionUnit(0.125), "AU99": ActionUnit(1.0)}  # AU43 is out of sight
    read = {"neutral": 0.2, "happiness": 0.7, "contempt": 0.1}
    return Face(track, detection, "happiness", 0.7, read, {"lip_corners": 2.5}, np.zeros((3, 2), np.float32), Pose(10, -20, 5),
                action_units=units)  # fmt: skip


def readings() -> list[Reading]:
    unclear = replace(face(2), unclear=("blur",), emotion="", probabilities={}, confidence=0.0)
    faces = ((face(), unclear), (), (face(),))
    return [Reading("=clip.avi", i, 61_000 + i * 33.367, 640, 480, some, {"total": 5.0}) for i, some in enumerate(faces)]


def written(path: Path, format: str) -> Path:
    with CsvSink(path, LABELS, CUES, UNITS, format=format) as sink:
        for reading in readings():
            sink.write(reading)
    return path


def lines(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


@pytest.mark.parametrize(("format", "published"), [("openface", OPENFACE), ("pyfeat", PYFEAT)])
def test_columns_are_published_ones_in_their_order_and_all_are_explained(tmp_path, format, published):
    path = written(tmp_path / "t.csv", format)
    columns = list(lines(path)[0])
    assert columns == [name for name in published.split(",") if name in columns]
    assert len(columns) > 9
    told = json.loads(beside(path).read_text())
    assert list(told["columns"]) == columns
    assert "Scales are those of erv-edge" in told["note"]


def test_openface_has_its_units_and_nan_where_nothing_was_seen(tmp_path):
    clear, unclear, nobody, _ = lines(written(tmp_path / "t.csv", "openface"))
    assert clear == {
        "frame": "1", "face_id": "1", "timestamp": "61.000", "confidence": "0.93", "success": "1", "pose_Rx": "0.349",
        "pose_Ry": "-0.175", "pose_Rz": "0.087", "AU01_r": "0.62", "AU12_r": "3.05",
    }  # fmt: skip
    assert (unclear["success"], unclear["face_id"]) == ("0", "2")
    assert {name: value for name, value in nobody.items() if value != "NaN"} == {"frame": "2", "timestamp": "61.033", "success": "0"}


def test_pyfeat_has_its_units_and_nan_where_nothing_was_seen(tmp_path):
    clear, unclear, nobody, _ = lines(written(tmp_path / "t.csv", "pyfeat"))
    assert clear == {
        "FaceRectX": "64.0", "FaceRectY": "48.0", "FaceRectWidth": "128.2", "FaceRectHeight": "192.0", "FaceScore": "0.934",
        "Pitch": "-0.3491", "Roll": "0.0873", "Yaw": "-0.1745", "AU01": "0.125", "AU12": "0.61", "AU43": "NaN", "happiness": "0.7",
        "neutral": "0.2", "input": "'=clip.avi", "frame": "0", "approx_time": "01:01", "Identity": "Person_1",
    }  # fmt: skip
    assert (unclear["happiness"], unclear["FaceScore"]) == ("NaN", "0.934")
    told = {name for name, value in nobody.items() if value != "NaN"}
    assert told == {"input", "frame", "approx_time"}


@pytest.mark.parametrize("format", ["native", "openface", "pyfeat"])
def test_every_format_reads_back_alike_within_its_printed_precision(tmp_path, format):
    pytest.importorskip("pandas", reason="tables are read with pandas")
    table = tables.read(written(tmp_path / "t.csv", format))
    assert table.attrs["format"] == format
    assert list(table.columns[: len(tables.COMMON)]) == list(tables.COMMON)
    first, nobody = table.iloc[0], table.iloc[2]
    assert list(table["frame"]) == [0, 0, 1, 2]
    assert first["t_s"] == pytest.approx(61.0)
    assert (bool(first["seen"]), bool(nobody["seen"])) == (True, False)
    assert first["score"] == pytest.approx(0.934, abs=0.0051)
    assert (first["yaw"], first["pitch"], first["roll"]) == pytest.approx((10, -20, 5), abs=0.03)
    assert (first["AU12"], first["AU01"]) == pytest.approx((0.61, 0.125), abs=0.0011)
    assert math.isnan(nobody["AU12"])
    assert math.isnan(nobody["yaw"])
    assert "au_AU12" not in table
    if format != "openface":
        assert (first["x1"], first["x2"], first["y2"]) == pytest.approx((64, 192.2, 240), abs=0.06)
        assert first["p_happiness"] == pytest.approx(0.7)
        assert math.isnan(nobody["p_happiness"])


def test_old_and_new_results_stand_side_by_side(tmp_path):
    pandas = pytest.importorskip("pandas", reason="tables are read with pandas")
    theirs = tmp_path / "theirs.csv"
    cells = ["1", "0", "0.04", "0.98", "1", *["0"] * 14, *["2.5"] * 17, "1", "0"]
    theirs.write_text(OPENFACE.replace(",", ", ") + "\n" + ", ".join(cells) + "\n")
    both = pandas.concat([tables.read(theirs), tables.read(written(tmp_path / "ours.csv", "native"))])
    assert list(both["AU12"][:2]) == [0.5, 0.61]
    assert list(both["frame"]) == [0, 0, 0, 1, 2]
    assert both["gaze_0_x"].isna().sum() == 4


def test_pyfeats_frames_get_their_time_from_the_rate(tmp_path):
    pytest.importorskip("pandas", reason="tables are read with pandas")
    path = written(tmp_path / "t.csv", "pyfeat")
    assert list(tables.read(path)["t_s"]) == [61, 61, 61, 61]
    assert list(tables.read(path, fps=25)["t_s"]) == [0, 0, 0.04, 0.08]


def test_parquet_reads_back_like_csv(tmp_path):
    pytest.importorskip("pyarrow", reason="Parquet needs pyarrow")
    pandas = pytest.importorskip("pandas", reason="tables are read with pandas")
    for format in ("native", "openface", "pyfeat"):
        with ParquetSink(tmp_path / "t.parquet", LABELS, CUES, UNITS, format=format) as sink:
            for reading in readings():
                sink.write(reading)
        there, here = tables.read(tmp_path / "t.parquet"), tables.read(written(tmp_path / f"{format}.csv", format))
        numbers = [name for name in here if here[name].dtype.kind in "if" and not here[name].isna().all()]
        assert "AU12" in numbers
        pandas.testing.assert_frame_equal(there[numbers], here[numbers], check_dtype=False)


@pytest.mark.parametrize(
    ("text", "said"),
    [(None, "no table at"), ("a,b\n1,2\n", "is not a table of erv-edge, OpenFace or py-feat"), ("", "cannot be read as a table")],
)
def test_what_is_no_table_is_one_sentence(tmp_path, text, said):
    pytest.importorskip("pandas", reason="tables are read with pandas")
    path = tmp_path / "t.csv"
    if text is not None:
        path.write_text(text)
    with pytest.raises(InputError, match=said):
        tables.read(path)


def test_edge_run_writes_a_format_with_its_sidecar_and_overwrites_neither(tmp_path, portrait_path, capsys):
    path = tmp_path / "t.csv"
    run = ["--image", str(portrait_path), "--explain", "off", "--no-display", "--csv", str(path), "--csv-format", "openface"]
    assert main(run) == 0
    (row,) = lines(path)
    assert (row["frame"], row["success"]) == ("1", "1")
    path.unlink()
    before = beside(path).read_text()
    assert main(run) == 2
    assert "exists" in capsys.readouterr().err
    assert beside(path).read_text() == before
    assert main([*run[:-4], "--csv-format", "openface"]) == 2
    assert "needs --csv" in capsys.readouterr().err
    with pytest.raises(UsageError, match="exists"):
        CsvSink(path, LABELS, CUES, UNITS, format="openface")


@pytest.mark.parametrize(("format", "numbers"), [("native", ["0", "2"]), ("openface", ["1", "3"]), ("pyfeat", ["0", "2"])])
def test_the_pictures_of_one_run_are_told_apart(tmp_path, portrait_path, capsys, format, numbers):
    path, pictures = tmp_path / "t.csv", [str(portrait_path), str(tmp_path / "gone.png"), str(portrait_path)]
    assert main(["--image", *pictures, "--explain", "off", "--json", "--csv", str(path), "--csv-format", format]) == 4
    assert [row["frame"] for row in lines(path)] == numbers
    assert [json.loads(line)["frame"] for line in capsys.readouterr().out.splitlines()] == [0, 2]


def test_pyfeats_own_reader_takes_both(tmp_path):
    """In a process of its own: py-feat imports far more than it needs for this."""
    pytest.importorskip("feat", reason="needs py-feat, which no extra brings")
    written(tmp_path / "o.csv", "openface")
    written(tmp_path / "p.csv", "pyfeat")
    code = (
        "import sys; from feat.utils.io import read_feat, read_openface; o, p = read_openface(sys.argv[1]), read_feat(sys.argv[2]);"
        "print(list(o['AU12_r'])[0], list(o.time.columns), list(p['AU12'])[0], len(p.faceboxes), p.aus.shape[1], p.emotion_columns)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path / "o.csv"), str(tmp_path / "p.csv")], capture_output=True, text=True,
                          check=True)  # fmt: skip
    assert done.stdout.startswith("3.05 ['frame', 'timestamp'] 0.61 4 3 ['anger'")
