"""Every example is run as a user would run it."""

import json
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import cv2
import numpy as np
import pytest

EXAMPLES = Path(__file__).parents[1] / "examples"


def _run(name: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-W", "error", str(EXAMPLES / name), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)


def test_embed_prints_label_and_checked_explanation(portrait_path):
    done = _run("embed.py", portrait_path)
    assert done.stderr == ""
    label, reason = done.stdout.splitlines()
    assert label.startswith("happiness (")
    assert reason.startswith("  verified: ")


def test_embed_is_ten_lines():
    lines = [line for line in (EXAMPLES / "embed.py").read_text().splitlines() if line.strip()]
    assert len(lines) <= 10


def test_record_and_analyse_prints_what_pandas_finds(tmp_path, video):
    pytest.importorskip("pandas", reason="the example needs pandas")
    table = tmp_path / "read.csv"
    done = _run("record_and_analyse.py", video, table)
    assert done.returncode == 0, done.stderr
    assert len(table.read_text().splitlines()) == 13
    for part in ("share of time", "changes of label", "mean cues", "happiness", "cue_lip_corners"):
        assert part in done.stdout
    again = _run("record_and_analyse.py", video, table)
    assert again.returncode == 1
    assert "exists" in again.stderr


def test_study_figure_draws_a_folder_of_recordings(tmp_path, video):
    pytest.importorskip("pandas", reason="the example needs pandas")
    pytest.importorskip("matplotlib", reason="the example needs matplotlib")
    folder = tmp_path / "study"
    folder.mkdir()
    video.rename(folder / "p01.avi")
    (folder / "p02.avi").write_bytes((folder / "p01.avi").read_bytes())
    for _ in range(2):  # the second time from the tables
        done = _run("study_figure.py", folder, tmp_path / "results", tmp_path / "figure.png")
        assert done.returncode == 0, done.stderr
        assert "figure.png: 2 recordings" in done.stdout
    assert "kept p01" in done.stdout
    assert cv2.imread(str(tmp_path / "figure.png")).std() > 20
    again = _run("study_figure.py", tmp_path / "none", tmp_path / "other", tmp_path / "figure.png")
    assert again.returncode == 4
    assert "neither a folder nor a .csv list" in again.stderr


def test_study_figure_leaves_out_recordings_without_a_face(tmp_path, video):
    pytest.importorskip("pandas", reason="the example needs pandas")
    pytest.importorskip("matplotlib", reason="the example needs matplotlib")
    folder = tmp_path / "study"
    folder.mkdir()
    writer = cv2.VideoWriter(str(folder / "p02.avi"), cv2.VideoWriter.fourcc(*"MJPG"), 10, (320, 320))
    for i in range(12):
        writer.write(np.full((320, 320, 3), 90 + i, np.uint8))
    writer.release()
    alone = _run("study_figure.py", folder, tmp_path / "alone", tmp_path / "none.png")
    assert (alone.returncode, alone.stderr) == (1, "no face could be read in any of the recordings\n")
    video.rename(folder / "p01.avi")
    done = _run("study_figure.py", folder, tmp_path / "results", tmp_path / "figure.png")
    assert done.returncode == 0, done.stderr
    assert "left out p02: no face could be read in it" in done.stdout
    assert "figure.png: 1 recordings" in done.stdout
    assert not [line for line in done.stdout.splitlines() if line.startswith("p02 ")]
    assert cv2.imread(str(tmp_path / "figure.png")).std() > 20


def test_async_service_reads_a_posted_picture_and_refuses_what_is_none(portrait):
    pytest.importorskip("aiohttp", reason="the example needs aiohttp")
    command = [sys.executable, "-u", str(EXAMPLES / "async_service.py"), "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            line = process.stdout.readline()
            assert "http://127.0.0.1:" in line, line + process.stderr.read()
            url = line.split()[3] + "/read"

            def post(data: bytes) -> dict:
                with urllib.request.urlopen(urllib.request.Request(url, data), timeout=60) as answer:
                    return json.load(answer)

            for data, code in ((b"no picture", 400), (b"", 400), (bytes(9_000_000), 413)):
                with pytest.raises(urllib.error.HTTPError) as refused:
                    post(data)
                assert refused.value.code == code
                refused.value.close()
            faces = post(cv2.imencode(".jpg", portrait)[1].tobytes())["faces"]
            assert [face["explanation"]["status"] for face in faces] == ["verified"]
        finally:
            process.terminate()


def test_qt_window_shows_picture_and_reading(tmp_path, video):
    reason = "the example needs PySide6 and the libraries of Qt's widgets"
    pytest.importorskip("PySide6.QtWidgets", reason=reason, exc_type=ImportError)
    shot = tmp_path / "window.png"
    code = f"""
import sys
sys.path.insert(0, {str(EXAMPLES)!r})
import qt_window
app = qt_window.QApplication([])
for source in ({str(video)!r}, "no such file.mp4"):
    window = qt_window.Window(source)
    window.show()
    window.watcher.finished.connect(app.quit)
    app.exec()
    print(window.words.text())
    window.grab().save({str(shot)!r}) if source.endswith("avi") else None
    window.close()
"""
    environment = {**os.environ, "QT_QPA_PLATFORM": "offscreen"}
    began = time.monotonic()
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, env=environment, timeout=120)
    assert done.returncode == 0, done.stderr
    words, wrong = done.stdout.splitlines()
    assert words.startswith("1: happiness (")
    assert "no such file.mp4" in wrong
    picture = cv2.imread(str(shot))
    assert picture.shape[0] > 320
    assert picture.std() > 30, f"the window is blank after {time.monotonic() - began:.0f} s"
