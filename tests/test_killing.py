"""Commands killed at random moments: what was whole stays whole, and what is new has its name only when it is whole.

60 rounds; `make kill`, or `ERV_KILLS=600 python -m pytest tests/test_killing.py`, takes ten times as many. A round's number is its seed,
and a failure names it.
"""

from __future__ import annotations

import json
import os
import queue
import random
import shutil
import signal
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge.bundle import SHIPPED, Bundle
from edge.whole import left_behind

if sys.platform == "win32":
    pytest.skip("signals and limits of processes are POSIX", allow_module_level=True)

from killing import Child, Stable

from training.run import load_checkpoint, read_record

ROUNDS = int(os.environ.get("ERV_KILLS", "60"))
_SIGNALS = {"SIGINT": signal.SIGINT, "SIGTERM": signal.SIGTERM, "SIGKILL": signal.SIGKILL}
_ENDS = (*_SIGNALS, "full disk", "broken pipe")
_KINDS = ("record", "batch", "record", "export", "record", "train")
_SECONDS = {"record": 0.4, "batch": 0.3, "export": 0.1, "train": 0.15}
"""About what each takes from its first line on, the first of which is when it has loaded; an export prints none."""
_FRAMES, _PICTURES, _SAVES = 30, 6, 6
_RESERVE = 2_000_000  # of a video: about what must be free for it to go on


@pytest.fixture(scope="module")
def material(tmp_path_factory, portrait) -> Path:
    """A video, pictures, an older recording in each format, and an older run."""
    folder = tmp_path_factory.mktemp("material")
    writer = cv2.VideoWriter(str(folder / "clip.avi"), cv2.VideoWriter.fourcc(*"MJPG"), 10, (160, 160))
    for i in range(_FRAMES):
        writer.write(cv2.resize(portrait[0:480, i : i + 480], (160, 160), interpolation=cv2.INTER_AREA))
    writer.release()
    for i in range(_PICTURES):
        cv2.imwrite(str(folder / f"{i}.png"), cv2.resize(portrait, (256, 256)))
    (folder / "figures.json").write_text(json.dumps({"figure": list(range(3000))}))
    return folder


class Round:
    """One command, killed once."""

    def __init__(self, number: int, material: Path, folder: Path) -> None:
        self.random = random.Random(number)
        self.number, self.material, self.folder = number, material, folder
        self.kind = _KINDS[number % len(_KINDS)]
        self.end = _ENDS[number // len(_KINDS) % len(_ENDS)]
        self.suffix = (".mkv", ".avi", ".mp4")[number % 3]
        self.lines, self.errors, self.code = 0, "", 0

    def __repr__(self) -> str:
        return f"round {self.number} ({self.kind}, {self.end}): exit {self.code} after {self.lines} lines\n{self.errors}"

    def play(self, stable: Stable) -> None:
        """Run it to its end, whichever that is, and look at what is left."""
        self.folder.mkdir()
        getattr(self, f"prepare_{self.kind}")()
        child = getattr(self, f"start_{self.kind}")(stable)
        self._end(child)
        assert "Traceback" not in self.errors, self
        wanted = {"SIGINT": (0, 130), "SIGTERM": (0, 143), "SIGKILL": (0, -9), "full disk": (0, 4), "broken pipe": (0,)}[self.end]
        early = (-15, 130) if self.lines == 0 else ()  # before the command has begun to listen
        assert self.code in wanted + early, self
        getattr(self, f"check_{self.kind}")()
        if self.end != "SIGKILL" and self.code >= 0:
            assert not [path for path in self.folder.rglob("*.part*") if path.name != "kept"], self

    def _end(self, child: Child) -> None:
        """Wait for its first line or not at all, a random while more, and end it."""
        with child.out, child.err:
            if self.end == "broken pipe":
                for _ in range(self.random.randint(1, 5)):
                    self.lines += bool(child.out.readline())
                child.out.close()
            elif self.end != "full disk":
                if self.kind != "export" and self.random.random() < 0.8:
                    self.lines += bool(child.out.readline())
                time.sleep(self.random.uniform(0, _SECONDS[self.kind]))
                child.kill(_SIGNALS[self.end])
            if not child.out.closed:
                self.lines += child.out.read().count(b"\n")
            self.errors = child.err.read().decode()
            self.code = child.wait()

    def _limit(self, low: int, high: int) -> int:
        return self.random.randint(low, high) if self.end == "full disk" else 0

    def prepare_record(self) -> None:
        self.target = self.folder / f"o{self.suffix}"
        self.older = b"older" * self.number
        self.target.write_bytes(self.older)

    def start_record(self, stable: Stable) -> Child:
        given = ["--video", self.material / "clip.avi", "--save", self.target, "--csv", self.folder / "o.csv"]
        limit = self._limit(_RESERVE // 2, 2 * _RESERVE)
        return stable.start("read", *map(str, given), "--json", "--explain", "off", "--no-display", "--threads", "1", limit=limit)

    def check_record(self) -> None:
        found = self.target.read_bytes()
        if found == self.older:
            frames = 0
        else:
            frames = _whole_frames(self.target)
            assert frames, f"{self}: a broken recording has the name of the older one"
        if self.end == "SIGKILL" or self.code < 0:
            assert frames in (0, _FRAMES), self
        elif self.code == 0 and self.end != "broken pipe":
            assert frames == _FRAMES, self
        else:
            assert frames >= self.lines - 1 - (self.end == "broken pipe"), f"{self}: {frames} frames were kept"

    def prepare_batch(self) -> None:
        (self.folder / "out").mkdir()
        for i in range(0, _PICTURES, 2):
            cv2.imwrite(str(self.folder / "out" / f"{i}.png"), np.zeros((8, 8, 3), np.uint8))

    def start_batch(self, stable: Stable) -> Child:
        given = ["--image", *(self.material / f"{i}.png" for i in range(_PICTURES)), "--save", self.folder / "out", "--overwrite"]
        return stable.start("read", *map(str, given), "--json", "--explain", "off", "--threads", "1", limit=self._limit(1000, 400_000))

    def check_batch(self) -> None:
        new = 0
        for i in range(_PICTURES):
            path = self.folder / "out" / f"{i}.png"
            picture = cv2.imread(str(path)) if path.exists() else None
            assert picture is not None or (i % 2 and not path.exists()), f"{self}: {path.name} is not whole"
            new += picture is not None and picture.shape[0] > 8
        assert new >= self.lines - 1 - (self.end == "broken pipe"), self

    def prepare_export(self) -> None:
        shutil.copytree(SHIPPED, self.folder / "bundle")

    def start_export(self, stable: Stable) -> Child:
        given = [self.folder / "bundle", f"a measurement={self.material / 'figures.json'}"]
        return stable.start("export", "measured", *map(str, given), limit=self._limit(1000, 4_000_000))

    def check_export(self) -> None:
        figures = Bundle.load(self.folder / "bundle").config.metrics
        if self.code == 0 and self.end != "SIGKILL":
            assert "a measurement" in figures, self
        if self.code == 4:
            assert "a measurement" not in figures, self

    def prepare_train(self) -> None:
        pass

    def start_train(self, stable: Stable) -> Child:
        older = stable.start("train", str(self.folder), "older", "1")
        older.out.read(), older.err.read()
        assert older.wait() == 0
        older.out.close(), older.err.close()
        return stable.start("train", str(self.folder), "new", str(_SAVES), limit=self._limit(1000, 120_000))

    def check_train(self) -> None:
        checkpoint = load_checkpoint(self.folder)
        said = checkpoint["record"]["config"]["name"]
        assert checkpoint["name"] == said, self
        policy = {name: (self.folder / "policy" / name).read_text()[:3] for name in ("config.json", "tokenizer.json")}
        assert len(set(policy.values())) == 1, f"{self}: a policy of two runs: {policy}"
        assert json.loads((self.folder / "policy" / "run.json").read_text())["config"]["name"][:3] == policy["config.json"], self
        if (self.folder / "config.json").exists():
            assert json.loads((self.folder / "config.json").read_text())["config"]["name"] == said, self
        assert read_record(self.folder)["config"]["name"] in ("older", "new"), self
        if self.lines:
            assert said == "new", self


def _whole_frames(path: Path) -> int:
    """Frames that can be decoded, 0 when the container promises others: seen by other means than the sink's own."""
    capture, found = cv2.VideoCapture(str(path)), 0
    promised = capture.get(cv2.CAP_PROP_FRAME_COUNT)
    while capture.read()[0]:
        found += 1
    capture.release()
    return found if abs(promised - found) <= 1 else 0


def test_what_is_killed_leaves_whole_things_whole(material, tmp_path):
    stables: queue.SimpleQueue[Stable] = queue.SimpleQueue()
    rounds = [Round(number, material, tmp_path / str(number)) for number in range(ROUNDS)]

    def play(one: Round) -> None:
        stable = stables.get()
        try:
            one.play(stable)
        finally:
            stables.put(stable)
        shutil.rmtree(one.folder)

    with Stable() as first, Stable() as second, ThreadPoolExecutor(2) as pool:
        stables.put(first)
        stables.put(second)
        list(pool.map(play, rounds))
    seen = Counter((one.kind, one.end, "cut" if one.code else "done") for one in rounds)
    print("\n".join(f"{count:4d} {' '.join(what)}" for what, count in sorted(seen.items())))
    for kind in set(_KINDS):
        assert sum(count for (k, _, how), count in seen.items() if k == kind and how == "cut"), f"no {kind} was cut: the moments are wrong"


def test_the_leftover_of_a_killed_recording_never_becomes_the_file(material, tmp_path):
    """It did when its name was always the same: the next run that wrote nothing took it for its own."""
    target = tmp_path / "o.mkv"
    target.write_bytes(b"older")
    given = ["--save", str(target), "--explain", "off", "--no-display", "--threads", "1"]
    with Stable() as stable:
        child = stable.start("read", "--video", str(material / "clip.avi"), "--json", *given)
        with child.out, child.err:
            for _ in range(4):
                child.out.readline()
            child.kill(signal.SIGKILL)
            assert child.wait() == -9
        (left,) = left_behind([target])
        before = left.read_bytes()
        (tmp_path / "no.avi").write_bytes(b"no video")
        child = stable.start("read", "--video", str(tmp_path / "no.avi"), *given)
        with child.out, child.err:
            said = child.err.read().decode()
            assert child.wait() == 4
    assert f"{left.name}' is left from a run that was killed" in said
    assert (target.read_bytes(), left.read_bytes()) == (b"older", before)
