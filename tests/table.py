"""The table of what people and programs hand to options: every option of `edge-run` is fed every value, and none may end in a traceback.

    python tests/table.py [COUNT]

runs the whole table, or COUNT rows spread over it, each in a process of its own (without the powers of root), and prints what fell through.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np

from edge.cli import _parser

ROOT = Path(__file__).parents[1]
CODES = {0, 2, 3, 4, 130}
SUFFIXES = {"--save": ("", ".png", ".mp4"), "--csv": ("", ".csv"), "--save-baseline": ("", ".json"), "--baseline": ("", ".json"),
            "--image": ("", ".png"), "--video": ("", ".mp4"), "--camera": ("", ".mp4")}  # fmt: skip
_WAITS_S = 60  # far longer than any row takes
_POWERLESS = ["setpriv", "--bounding-set=-all", "--inh-caps=-all"]  # root who may not read everything


def furnish(folder: Path) -> None:
    """Put what the values name into a folder."""
    picture = np.full((96, 96, 3), 90, np.uint8)
    cv2.imwrite(str(folder / "picture.png"), picture)
    writer = cv2.VideoWriter(str(folder / "clip.mp4"), cv2.VideoWriter.fourcc(*"mp4v"), 10, (96, 96))
    for i in range(3):  # of frames that are alike the decoder would be asked, in a process of its own
        writer.write(picture + np.uint8(30 * i))
    writer.release()
    (folder / "text").write_text("no picture, no video, no JSON")
    (folder / "empty").touch()
    (folder / "folder").mkdir()
    os.mkfifo(folder / "pipe")
    (folder / "loop").symlink_to(folder / "loop")
    (folder / "nowhere").symlink_to(folder / "not" / "there")
    (folder / "locked").mkdir(mode=0o000)
    (folder / "secret").write_text("{}")
    (folder / "secret").chmod(0o000)
    with (folder / "huge").open("wb") as file:
        file.truncate(60 * 2**30)
    good = {"schema": 1, "frames": 9, "cues": {"lip_corners": 0.5}}
    for name, text in {
        "infinite": json.dumps({**good, "cues": {"lip_corners": float("inf")}}),
        "overflow": json.dumps(good).replace("0.5", "1e400"),
        "digits": json.dumps(good).replace("0.5", "9" * 400),
        "many-digits": json.dumps(good).replace("0.5", "9" * 5000),
        "brackets": "[" * 100_000,
        "list": "[1, 2]",
        "bytes": "\udcff\udcfe",
        "keys": json.dumps({**good, "cues": {"lip_corners": {"a": 1}}}),
    }.items():
        (folder / name).write_bytes(text.encode(errors="surrogateescape"))


def values(folder: Path) -> list[str]:
    """What is handed to every option."""
    # fmt: off
    there = [
        "text", "empty", "folder", "pipe", "loop", "nowhere", "locked", "secret", "huge", "infinite", "overflow", "digits", "many-digits",
        "brackets", "list", "bytes", "keys", "picture.png", "clip.mp4", "text/under", "locked/under", "folder/new",
    ]
    numbers = ["-1", "0", "1", "9" * 20, "9" * 31, "9" * 4400, "nan", "inf", "-inf", "1e400", "1e-400", "0.5", "²", "٣"]
    names = [
        "", " ", ".", "..", "/", "x" * 250, "x" * 255, "x" * 256, "x" * 5000, "/x" * 2500, "b\udcff", "a\nb", "\x1b[31m", "a:b",
        "%s%n%05d", "~", "名前", "-", "--", "=1+1", "/dev/null", "/dev/zero", "/dev/full", "/proc/self/mem", "/dev/fd/9",
    ]
    hosts = [
        "..:9", f"{'a' * 70}.example:9", "b\udcff:9", "127.0.0.1:99999", "127.0.0.1:0", ":9", "[::1]:0", "[:9", "256.1.1.1:9", "a b:9",
        "x://",
    ]
    # fmt: on
    return [*(str(folder / name) for name in there), *numbers, *names, *hosts]


def rows(folder: Path) -> Iterator[list[str]]:
    """Every row of the table, as arguments of `edge-run`."""
    video = ["--video", str(folder / "clip.mp4"), "--explain", "off", "--max-frames", "1", "--no-display"]
    picture = ["--image", str(folder / "picture.png"), "--explain", "off", "--no-display"]
    for action in _parser()._actions:
        if not action.option_strings or action.nargs == 0:
            continue
        option = action.option_strings[0]
        for value in values(folder):
            for suffix in SUFFIXES.get(option, ("",)):
                given = f"{option}={value}{suffix}"
                if option in ("--camera", "--video", "--image"):
                    yield [given, "--explain", "off", "--max-frames", "1", "--no-display"]
                elif option == "--save-baseline":
                    yield [*video, "--calibrate", "0.05", given]
                elif option == "--serve":
                    yield [given]
                elif option == "--save" and suffix != ".mp4":
                    yield [*picture, given]
                else:
                    yield [*video, given]


def spread(table: list[list[str]], count: int) -> list[list[str]]:
    """So many rows, evenly spread over the table."""
    return [table[i * len(table) // count] for i in range(min(count, len(table)))]


def run(arguments: list[str], folder: Path) -> str:
    """Run one row in a process; what is wrong with its end, empty when nothing is."""
    hidden = ("DISPLAY", "WAYLAND_DISPLAY")
    env = {k: v for k, v in os.environ.items() if k not in hidden} | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "HOME": str(folder)}
    before = _POWERLESS if os.geteuid() == 0 and shutil.which(_POWERLESS[0]) else []
    process = subprocess.Popen(
        [*before, sys.executable, "-B", "-m", "edge.cli", *arguments],
        cwd=folder, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    serves = arguments[0].startswith("--serve")
    try:
        _, said = process.communicate(timeout=6 if serves else _WAITS_S)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGINT)
        try:
            _, said = process.communicate(timeout=_WAITS_S)
        except subprocess.TimeoutExpired:
            process.kill()
            return "it could not be interrupted"
        if not serves:
            return f"it did not end within {_WAITS_S} s"
    return verdict(process.returncode, said.decode(errors="replace"))


def verdict(code: int | str | None, said: str) -> str:
    """What is wrong with how a row ended, empty when nothing is."""
    if "Traceback" in said or "Exception ignored" in said:
        return said[-600:]
    return "" if code in CODES else f"exit code {code}: {said[-300:]}"


def main() -> int:
    """Run the table; the exit code says whether anything fell through."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("count", type=int, nargs="?", help="rows, spread over the table (default: all)")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        folder = Path(name)
        furnish(folder)
        table = list(rows(folder))
        chosen = spread(table, args.count or len(table))
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            found = list(pool.map(lambda row: run(row, folder), chosen))
        for row, wrong in zip(chosen, found, strict=True):
            if wrong:
                print(" ".join(part[:80] for part in row).encode(errors="backslashreplace").decode(), "\n   ", wrong, flush=True)
        print(f"{len(chosen)} of {len(table)} rows, {sum(map(bool, found))} fell through")
    return any(found)


if __name__ == "__main__":
    sys.exit(main())
