"""Readers for other people's data in their official layouts: DFEW and MAFW clips. Free of torch.

DFEW/EmoLabel_DataSplit/{train,test}(single-labeled)/set_{1..5}.csv     video_name,label (1…7)
DFEW/Clip/clip_224x224/00001/*.jpg, or DFEW/Clip/original/**/00001.mp4
MAFW/Train & Test Set/{single,compound}/no_caption/set_{1..5}/{train,test}.txt     clip.mp4 label[_label…]
MAFW/data/frames/00001/*.png|jpg, or MAFW/data/clips/00001.mp4
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edge.errors import InputError, UsageError
from edge.language.labels import EMOTIONS_11, parse_emotion
from edge.sources.camera import find_feed, recorded
from edge.sources.picture import read_image

DFEW_LABELS = {1: "happiness", 2: "sadness", 3: "neutral", 4: "anger", 5: "surprise", 6: "disgust", 7: "fear"}
FOLDS = range(1, 6)
PICTURES = {".jpg", ".jpeg", ".png"}
"""Suffixes of a clip's frames."""


@dataclass(frozen=True, slots=True)
class Clip:
    """One labelled clip on disk."""

    name: str
    path: Path
    """A folder of frames, or a video file."""
    emotions: tuple[str, ...]
    """One emotion; several for a compound label, in the order given."""


def load_dfew(root: Path, split: str, *, fold: int = 1) -> list[Clip]:
    """Read one of DFEW's five folds.

    Args:
        root: folder that holds `EmoLabel_DataSplit` and `Clip`.
        split: `train` or `test`.
        fold: 1 to 5.

    Raises:
        InputError: a table or a clip is missing, or a row is broken.
    """
    table = root / "EmoLabel_DataSplit" / f"{_checked(split, fold)}(single-labeled)" / f"set_{fold}.csv"
    originals = {path.stem.lstrip("0"): path for path in (root / "Clip" / "original").rglob("*.mp4")}
    clips = []
    for line, row in enumerate(table_rows(table), 2):
        try:
            name, emotion = row["video_name"].strip(), DFEW_LABELS[int(row["label"])]
        except (KeyError, ValueError, AttributeError, TypeError):
            raise InputError(f"'{table}', line {line}: expected video_name,label with a label of 1 to 7, got {row}") from None
        folder = root / "Clip" / "clip_224x224" / name.zfill(5)
        clips.append(Clip(name.zfill(5), _found(folder, originals.get(name.lstrip("0"))), (emotion,)))
    return clips


def load_mafw(root: Path, split: str, *, fold: int = 1, compound: bool = False) -> list[Clip]:
    """Read one of MAFW's five folds, single or compound labels.

    Args:
        root: folder that holds `Train & Test Set` and `data`.
        split: `train` or `test`.
        fold: 1 to 5.
        compound: labels may name several emotions.

    Raises:
        InputError: a list or a clip is missing, or a line is broken.
    """
    kind = "compound" if compound else "single"
    table = root / "Train & Test Set" / kind / "no_caption" / f"set_{fold}" / f"{_checked(split, fold)}.txt"
    clips = []
    for number, line in enumerate(_text(table).splitlines(), 1):
        if not line.strip():
            continue
        file, _, label = line.strip().partition(" ")
        emotions = tuple(parse_emotion(part, EMOTIONS_11) or "" for part in label.strip().split("_"))
        if "" in emotions or (len(emotions) > 1 and not compound):
            raise InputError(f"'{table}', line {number}: '{label}' is not a {kind} label of {', '.join(EMOTIONS_11)}")
        name = Path(file).stem
        clips.append(Clip(name, _found(root / "data" / "frames" / name, root / "data" / "clips" / file), emotions))
    return clips


def clip_frames(clip: Clip, count: int) -> list[np.ndarray]:
    """`count` frames of a clip, evenly spaced and the last one included, BGR; fewer when the clip is shorter.

    Raises:
        InputError: a frame or the video cannot be read.
    """
    if clip.path.is_dir():
        pictures = sorted(p for p in clip.path.iterdir() if p.suffix.lower() in PICTURES)
        if not pictures:
            raise InputError(f"clip '{clip.path}' has no frame in it")
        return [read_image(pictures[i]) for i in _spread(len(pictures), count)]
    frames = [frame.image_bgr for frame in recorded(find_feed(clip.path))]
    return [frames[i] for i in _spread(len(frames), count)]


def _checked(split: str, fold: int) -> str:
    if split not in ("train", "test") or fold not in FOLDS:
        raise UsageError(f"no split '{split}' of fold {fold}: expected train or test, fold 1 to 5")
    return split


def _found(folder: Path, video: Path | None) -> Path:
    """The clip's frames, else its video."""
    if folder.is_dir():
        return folder
    if video is not None and video.is_file():
        return video
    raise InputError(f"clip missing: neither '{folder}' nor its video is there")


def _spread(length: int, count: int) -> list[int]:
    return sorted({round(i) for i in np.linspace(0, length - 1, min(count, length))})


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise InputError(f"no file at '{path}'") from None
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"'{path}' cannot be read: {error}") from None


def table_rows(path: Path) -> list[dict[str, str]]:
    """The rows of a table with a header; `InputError` when there is no such file, or it cannot be read."""
    return list(csv.DictReader(_text(path).splitlines()))
