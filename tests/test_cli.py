import json
import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge.cli import main
from edge.live import scene
from edge.vision.track import Tracker


@pytest.fixture(autouse=True)
def no_display(monkeypatch):
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)


def _lines(capsys) -> list[dict]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_demo_prints_a_checked_reading_and_saves_the_picture(tmp_path):
    target = tmp_path / "demo.png"
    done = subprocess.run(
        [sys.executable, "-m", "edge.cli", "--demo", "--json", "--save", str(target)], capture_output=True, text=True, check=False,
        env={k: v for k, v in os.environ.items() if k not in ("DISPLAY", "WAYLAND_DISPLAY")},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    (line,) = map(json.loads, done.stdout.splitlines())
    assert line["faces"][0]["explanation"]["status"] == "verified"
    picture = cv2.imread(str(target))
    assert picture.shape[1] > picture.shape[0]
    assert [p.name for p in tmp_path.iterdir()] == ["demo.png"]


def test_text_output_names_label_verdict_and_explanation(capsys, portrait_path):
    assert main(["--image", str(portrait_path), "--no-display"]) == 0
    out = capsys.readouterr().out
    assert "happiness" in out
    assert "verified: " in out


def test_a_bad_picture_is_named_and_the_others_are_read(capsys, tmp_path, portrait_path):
    text = tmp_path / "note.jpg"
    text.write_text("this is no picture")
    empty = tmp_path / "empty.png"
    empty.touch()
    assert main(["--image", str(text), str(portrait_path), str(empty), str(tmp_path / "gone.png"), "--json"]) == 4
    captured = capsys.readouterr()
    assert len(captured.out.splitlines()) == 1
    errors = captured.err.splitlines()
    assert [any(name in line for line in errors) for name in ("note.jpg", "empty.png", "gone.png")] == [True] * 3
    assert "Traceback" not in captured.err


def test_picture_files_of_every_format_are_read(capsys, tmp_path, portrait):
    grey = cv2.cvtColor(portrait, cv2.COLOR_BGR2GRAY)
    pictures = {
        "grey.png": grey,
        "deep.png": portrait.astype(np.uint16) * 257,
        "alpha.png": cv2.cvtColor(portrait, cv2.COLOR_BGR2BGRA),
        "small.jpg": portrait,
    }
    for name, picture in pictures.items():
        cv2.imwrite(str(tmp_path / name), picture)
    assert main(["--image", *(str(tmp_path / name) for name in pictures), "--json", "--save", str(tmp_path / "out")]) == 0
    assert {line["faces"][0]["emotion"] for line in _lines(capsys)} == {"happiness"}
    assert {p.name for p in (tmp_path / "out").iterdir()} == {"grey.png", "deep.png", "alpha.png", "small.png"}


def test_a_video_is_read_and_saved_whole(capsys, tmp_path, video):
    target = tmp_path / "read.mp4"
    assert main(["--video", str(video), "--json", "--save", str(target), "--max-frames", "5"]) == 0
    assert [line["frame"] for line in _lines(capsys)] == list(range(5))
    capture = cv2.VideoCapture(str(target))
    assert int(capture.get(cv2.CAP_PROP_FRAME_COUNT)) == 5
    capture.release()
    assert not list(tmp_path.glob("*part*"))


def test_a_truncated_video_yields_its_frames_and_an_error(capsys, tmp_path, video):
    broken = tmp_path / "broken.avi"
    data = video.read_bytes()
    broken.write_bytes(data[: len(data) // 2])
    code = main(["--video", str(broken), "--json", "--save", str(tmp_path / "out.mp4")])
    captured = capsys.readouterr()
    frames = captured.out.splitlines()
    assert "Traceback" not in captured.err
    assert code == 4
    assert 0 < len(frames) < 12
    assert f"holds what was recorded until then, {len(frames)} frames" in captured.err
    capture = cv2.VideoCapture(str(tmp_path / "out.mp4"))
    assert int(capture.get(cv2.CAP_PROP_FRAME_COUNT)) == len(frames)
    capture.release()
    assert not list(tmp_path.glob("*part*"))


@pytest.mark.parametrize("content", [b"", b"no video at all" * 50])
def test_a_file_that_is_no_video_is_named_and_nothing_is_written(capsys, tmp_path, content):
    path = tmp_path / "x.mp4"
    path.write_bytes(content)
    assert main(["--video", str(path), "--save", str(tmp_path / "out.mp4")]) == 4
    assert "x.mp4" in capsys.readouterr().err
    assert [p.name for p in tmp_path.iterdir()] == ["x.mp4"]


def test_a_neutral_face_is_saved_on_request_and_taken_again(capsys, tmp_path, video):
    target = tmp_path / "me.json"
    assert main(["--video", str(video), "--json", "--explain", "off", "--calibrate", "0.5", "--save-baseline", str(target)]) == 0
    lines = _lines(capsys)
    assert [line["faces"][0]["baseline"] for line in lines][::11] == ["calibrating", "personal"]
    assert main(["--video", str(video), "--json", "--explain", "off", "--baseline", str(target), "--max-frames", "1"]) == 0
    (face,) = _lines(capsys)[0]["faces"]
    assert face["baseline"] == "personal"
    assert abs(face["cues"]["lip_corners"]) < abs(lines[0]["faces"][0]["cues"]["lip_corners"])


def test_a_neutral_face_that_was_not_measured_is_not_saved(capsys, tmp_path, video):
    target = tmp_path / "me.json"
    arguments = ["--video", str(video), "--explain", "off", "--calibrate", "60", "--save-baseline", str(target)]
    assert main(arguments) == 2
    assert "is not written" in capsys.readouterr().err
    assert not target.exists()
    assert main(["--video", str(video), "--baseline", str(target)]) == 4
    assert "me.json" in capsys.readouterr().err


def test_a_video_in_real_time_may_leave_frames_out_but_keeps_its_length(capsys, tmp_path, video):
    target = tmp_path / "read.avi"
    assert main(["--video", str(video), "--realtime", "--json", "--save", str(target)]) == 0
    lines = _lines(capsys)
    assert all(line["t_ms"] == 100 * line["frame"] for line in lines)
    capture = cv2.VideoCapture(str(target))
    assert int(capture.get(cv2.CAP_PROP_FRAME_COUNT)) == lines[-1]["frame"] - lines[0]["frame"] + 1
    capture.release()


@pytest.mark.parametrize("number", ["97", "-1", "99999999999", "/dev/video977"])
def test_a_camera_that_is_not_there_is_named(capsys, number):
    assert main(["--camera", number, "--no-display"]) == 4
    assert "no camera" in (said := capsys.readouterr().err)
    assert number in said


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["--demo", "--camera", "0"],
        ["--demo", "--explain", "never"],
        ["--demo", "--explain", "-1"],
        ["--demo", "--max-frames", "0"],
        ["--demo", "--device", "abacus"],
        ["--demo", "--typo"],
        ["--demo", "--threads", "-2"],
        ["--demo", "--min-face", "0"],
        ["--demo", "--min-face", "-3"],
        ["--demo", "--min-face", "100%"],
        ["--demo", "--min-face", "small"],
        ["--demo", "--save", "reading.txt"],
        ["--demo", "--save", "no/such/folder/x.png"],
        ["--video", "x.mp4", "--save", "x.png"],
        ["--camera", "0", "--realtime"],
        ["--demo", "--calibrate", "2"],
        ["--video", "x.mp4", "--calibrate", "0"],
        ["--video", "x.mp4", "--save-baseline", "x.json"],
        ["--video", "x.mp4", "--calibrate", "1", "--save-baseline", "no/such/folder/x.json"],
    ],
)
def test_usage_errors_exit_with_2(capsys, arguments):
    try:
        code = main(arguments)
    except SystemExit as stop:
        code = stop.code
    assert code == 2
    assert capsys.readouterr().out == ""


def test_a_smallest_face_that_no_picture_holds_is_told_with_the_picture(capsys, portrait_path):
    assert main(["--image", str(portrait_path), "--min-face", "25%", "--json"]) == 0
    assert len(_lines(capsys)[0]["faces"]) == 1
    assert main(["--image", str(portrait_path), "--min-face", "9000"]) == 2
    captured = capsys.readouterr()
    assert (captured.out, captured.err.count("\n")) == ("", 1)
    assert "min_face 9000 px: the picture has only 512×512" in captured.err


@pytest.mark.parametrize("option", [[], ["--no-remember"]])
def test_whether_looks_are_compared_is_the_user_s_choice(capsys, video, monkeypatch, option):
    asked = []

    class Noted(Tracker):
        def __init__(self, *args: float, remember: bool) -> None:
            asked.append(remember)
            super().__init__(*args, remember=remember)

    monkeypatch.setattr(scene, "Tracker", Noted)
    assert main(["--video", str(video), "--max-frames", "1", "--json", "--no-display", "--explain", "off", *option]) == 0
    assert asked == [not option]


def test_a_missing_bundle_exits_with_3(capsys, tmp_path):
    assert main(["--demo", "--bundle", str(tmp_path / "none")]) == 3
    assert "no bundle folder" in capsys.readouterr().err


def test_a_reader_that_leaves_early_is_no_error(video):
    command = f"{sys.executable} -m edge.cli --video {video} --json --explain off | head -n 1"
    done = subprocess.run(["bash", "-o", "pipefail", "-c", command], capture_output=True, text=True, check=False)
    assert done.returncode == 0
    assert done.stderr == ""
    assert json.loads(done.stdout)["frame"] == 0


def test_an_unwritable_folder_is_a_clear_error(capsys, tmp_path, portrait_path):
    blocked = tmp_path / "file"
    blocked.touch()
    assert main(["--image", str(portrait_path), str(portrait_path), "--save", str(blocked)]) == 2
    assert Path(blocked).read_bytes() == b""
    assert "folder" in capsys.readouterr().err


def test_the_input_is_never_overwritten(capsys, tmp_path, portrait, video):
    path = tmp_path / "face.png"
    cv2.imwrite(str(path), portrait)
    before = path.read_bytes(), video.read_bytes()
    assert main(["--image", str(path), "--save", str(tmp_path / "." / "face.png")]) == 2
    assert main(["--video", str(video), "--save", str(video)]) == 2
    other = tmp_path / "other.png"
    other.write_bytes(before[0])
    assert main(["--image", str(path), str(other), "--save", str(tmp_path)]) == 2
    assert capsys.readouterr().err.count("overwrite") == 3
    assert (path.read_bytes(), video.read_bytes()) == before


def test_pictures_of_the_same_name_never_replace_each_other(capsys, tmp_path, portrait_path):
    for folder in "ab":
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "face.png").write_bytes(portrait_path.read_bytes())
    paths = [str(tmp_path / folder / "face.png") for folder in "ab"]
    assert main(["--image", *paths, "--save", str(tmp_path / "out")]) == 2
    assert "same name" in capsys.readouterr().err
    assert main(["--image", *paths, "--max-frames", "1", "--save", str(tmp_path / "one.png")]) == 0
    assert (tmp_path / "one.png").is_file()


def test_a_display_that_is_gone_is_no_reason_to_fail(tmp_path, video):
    command = [sys.executable, "-m", "edge.cli", "--video", str(video), "--explain", "off", "--max-frames", "1"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, "DISPLAY": ":7777"})
    assert done.returncode == 0
    assert "no window" in done.stderr


def test_a_picture_is_turned_upright_by_its_orientation(capsys, tmp_path, portrait):
    data = cv2.imencode(".jpg", cv2.rotate(portrait, cv2.ROTATE_90_COUNTERCLOCKWISE))[1].tobytes()
    exif = b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0"
    (tmp_path / "phone.jpg").write_bytes(data[:2] + b"\xff\xe1" + (len(exif) + 2).to_bytes(2, "big") + exif + data[2:])
    assert main(["--image", str(tmp_path / "phone.jpg"), "--json"]) == 0
    (face,) = _lines(capsys)[0]["faces"]
    assert face["emotion"] == "happiness"
    assert abs(face["pose"]["roll"]) < 20
