import csv
from pathlib import Path

import cv2
import numpy as np
import pytest
from packs import draw_face

from edge.errors import InputError, UsageError
from training.clips import clip_frames, load_dfew, load_mafw
from training.data import load_fer2013, load_ferplus

_VOTES = ["neutral", "happiness", "surprise", "sadness", "anger", "disgust", "fear", "contempt", "unknown", "NF"]


def _frames(folder: Path, count: int, suffix: str) -> None:
    folder.mkdir(parents=True)
    for i in range(count):
        cv2.imwrite(str(folder / f"{i:03}.{suffix}"), draw_face(i % 8, np.random.default_rng(i), 64))


def _video(path: Path, count: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), 10, (64, 64))
    for i in range(count):
        writer.write(np.full((64, 64, 3), 20 * i, np.uint8))
    writer.release()


@pytest.fixture
def dfew(tmp_path: Path) -> Path:
    for split, rows in (("train", [("00001", 1), ("2", 7)]), ("test", [("00003", 3)])):
        folder = tmp_path / "EmoLabel_DataSplit" / f"{split}(single-labeled)"
        folder.mkdir(parents=True)
        (folder / "set_1.csv").write_text("video_name,label\n" + "".join(f"{n},{label}\n" for n, label in rows))
    _frames(tmp_path / "Clip" / "clip_224x224" / "00001", 12, "jpg")
    _video(tmp_path / "Clip" / "original" / "part_1" / "2.mp4", 6)
    return tmp_path


@pytest.fixture
def mafw(tmp_path: Path) -> Path:
    for kind, lines in (("single", "00001.mp4 anger\n"), ("compound", "00001.mp4 anger_disgust\n00002.mp4 anxiety\n")):
        folder = tmp_path / "Train & Test Set" / kind / "no_caption" / "set_2"
        folder.mkdir(parents=True)
        (folder / "train.txt").write_text(lines)
    _video(tmp_path / "data" / "clips" / "00001.mp4", 6)
    _frames(tmp_path / "data" / "frames" / "00002", 3, "png")
    return tmp_path


def test_dfew_clips_come_as_frames_or_videos_with_their_labels(dfew):
    clips = load_dfew(dfew, "train")
    assert [(c.name, c.emotions) for c in clips] == [("00001", ("happiness",)), ("00002", ("fear",))]
    assert [len(clip_frames(c, 4)) for c in clips] == [4, 4]
    first, last = clip_frames(clips[1], 2)
    assert first.mean() < 10 < last.mean()


def test_dfew_names_what_is_missing_or_broken(dfew):
    with pytest.raises(InputError, match="00003"):
        load_dfew(dfew, "test")
    with pytest.raises(InputError, match=r"set_2\.csv"):
        load_dfew(dfew, "train", fold=2)
    table = dfew / "EmoLabel_DataSplit" / "train(single-labeled)" / "set_1.csv"
    table.write_text("video_name,label\n00001,8\n")
    with pytest.raises(InputError, match="line 2"):
        load_dfew(dfew, "train")
    with pytest.raises(UsageError, match="fold 1 to 5"):
        load_dfew(dfew, "train", fold=6)


def test_mafw_reads_single_and_compound_labels(mafw):
    assert [c.emotions for c in load_mafw(mafw, "train", fold=2)] == [("anger",)]
    clips = load_mafw(mafw, "train", fold=2, compound=True)
    assert [c.emotions for c in clips] == [("anger", "disgust"), ("anxiety",)]
    assert [len(clip_frames(c, 8)) for c in clips] == [6, 3]


def test_mafw_names_what_is_missing_or_broken(mafw):
    table = mafw / "Train & Test Set" / "single" / "no_caption" / "set_2" / "train.txt"
    table.write_text("00001.mp4 anger_disgust\n")
    with pytest.raises(InputError, match="not a single label"):
        load_mafw(mafw, "train", fold=2)
    table.write_text("00009.mp4 anger\n")
    with pytest.raises(InputError, match="00009"):
        load_mafw(mafw, "train", fold=2)
    (mafw / "data" / "clips" / "00001.mp4").write_bytes(b"no video")
    table.write_text("00001.mp4 anger\n")
    with pytest.raises(InputError, match=r"00001\.mp4"):
        clip_frames(load_mafw(mafw, "train", fold=2)[0], 4)


def _write_tables(folder: Path, rows: list[tuple[str, str, list[int]]]) -> None:
    with (folder / "fer2013.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["emotion", "pixels", "Usage"])
        table.writerows([0, " ".join(map(str, draw_face(i % 8, np.random.default_rng(i)).ravel())), row[0]] for i, row in enumerate(rows))
    with (folder / "fer2013new.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["Usage", "Image name", *_VOTES])
        table.writerows([usage, name, *votes] for usage, name, votes in rows)


def test_the_original_tables_read_like_the_pack(tmp_path):
    clear, removed = [0, 8, 0, 0, 1, 0, 0, 0, 0, 1], [0] * 9 + [10]
    _write_tables(tmp_path, [("Training", "a.png", clear), ("Training", "", removed), ("PrivateTest", "b.png", clear)])
    faces = load_ferplus(tmp_path, "train")
    assert faces.images.shape == (1, 48, 48)
    assert faces.label.tolist() == [1]
    assert faces.votes[0].tolist() == [0, 8, 0, 0, 0, 0, 0, 0]
    assert len(load_ferplus(tmp_path, "test")) == 1


def test_broken_tables_are_named(tmp_path):
    _write_tables(tmp_path, [("Training", "a.png", [8] + [0] * 9)])
    with pytest.raises(InputError, match="valid"):
        load_fer2013(tmp_path / "fer2013.csv", tmp_path / "fer2013new.csv", "valid")
    lines = (tmp_path / "fer2013.csv").read_text().splitlines()
    (tmp_path / "fer2013.csv").write_text(f"{lines[0]}\n0,1 2 3,Training\n")
    with pytest.raises(InputError, match="line 2"):
        load_ferplus(tmp_path, "train")
    (tmp_path / "fer2013new.csv").unlink()
    with pytest.raises(InputError, match="fer2013new"):
        load_ferplus(tmp_path, "train")
