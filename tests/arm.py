"""Two processors' readings of the demo portrait and of a video, held against each other: `make test-arm`.

python tests/arm.py make FOLDER FRAMES FACES   a video of the portrait, moving, and faces of the data packs where there are some
python tests/arm.py read FOLDER                one reading a line, after a line about the machine; on both processors
python tests/arm.py compare HERE THERE         exit 1 unless labels and verdicts are the same, probabilities within 1e-3, and texts but for
                                               one in fifty, verified on both: a cue differs by up to 0.07 deviations with the decoder
                                               of pictures, and where two wordings are as good as tied either may be chosen
"""

from __future__ import annotations

import importlib
import json
import os
import platform
import sys
from pathlib import Path

import numpy as np

TOLERANCE = float(os.environ.get("ERV_ARM_TOLERANCE", "1e-3"))
"""Of a probability."""
OTHERWISE = 0.02
"""Share of the explanations that may be worded otherwise; one may always."""


def make(folder: Path, frames: int, faces: int) -> None:
    """Write the portrait, moving and growing, as MJPEG, which every OpenCV decodes alike, and faces of FER+'s test set as PNG."""
    import cv2

    from edge.sources.camera import demo_picture

    portrait = cv2.imread(str(demo_picture()))
    writer = cv2.VideoWriter(str(folder / "clip.avi"), cv2.VideoWriter.fourcc(*"MJPG"), 10, (320, 320))
    for i in range(frames):
        side = 480 - 4 * (i % 20)
        writer.write(cv2.resize(portrait[i % 13 : i % 13 + side, i % 17 : i % 17 + side], (320, 320)))
    writer.release()
    pack = Path(os.environ.get("ERV_DATA") or Path(__file__).resolve().parents[2] / "shared" / "data") / "ferplus_images.npz"
    if faces and pack.is_file():
        with np.load(pack) as data:
            images = data["test_images"]
        for i in range(faces):
            face = cv2.resize(images[i * len(images) // faces], None, fx=4, fy=4, interpolation=cv2.INTER_CUBIC)
            cv2.imwrite(str(folder / f"face-{i:04}.png"), cv2.copyMakeBorder(face, 60, 60, 60, 60, cv2.BORDER_REPLICATE))


def read(folder: Path) -> None:
    """Print what the shipped bundle reads."""
    from edge import Pipeline
    from edge.sources.camera import demo_picture

    onnxruntime = importlib.import_module("onnxruntime")  # after edge, which keeps it from reporting to its maker
    about = {"machine": platform.machine(), "python": platform.python_version(), "onnxruntime": onnxruntime.__version__}
    print(json.dumps(about), flush=True)
    with Pipeline.load(device="cpu", threads=1) as pipeline:
        for source in ([demo_picture(), *sorted(folder.glob("face-*.png"))], folder / "clip.avi"):
            for _, reading in pipeline.watch(source, explain="every"):
                print(json.dumps(reading.to_dict()), flush=True)


def compare(here: list[dict], there: list[dict]) -> list[str]:
    """What differs between two runs of `read`; the first line of each is about its machine."""
    otherwise, told = list[str](), 0
    wrong = [] if here[0]["machine"] != there[0]["machine"] else [f"both were read on {here[0]['machine']}"]
    if len(here) != len(there) or len(here) < 3:
        return [*wrong, f"{len(here) - 1} readings here, {len(there) - 1} there"]
    for i, (ours, theirs) in enumerate(zip(here[1:], there[1:], strict=True)):
        if len(ours["faces"]) != len(theirs["faces"]):
            wrong.append(f"reading {i}: {len(ours['faces'])} faces here, {len(theirs['faces'])} there")
            continue
        for one, other in zip(ours["faces"], theirs["faces"], strict=True):
            if one["emotion"] != other["emotion"]:
                wrong.append(f"reading {i}: {one['emotion']} here, {other['emotion']} there")
            said = [(face["explanation"] or {}).get(key) for face in (one, other) for key in ("status", "text")]
            told += said[0] is not None
            if said[:2] != said[2:]:
                (otherwise if said[0] == said[2] == "verified" else wrong).append(f"reading {i}: {said[:2]} here, {said[2:]} there")
            gap = max((abs(p - other["probabilities"].get(name, 0.0)) for name, p in one["probabilities"].items()), default=0.0)
            if gap > TOLERANCE + 1e-9:  # both are rounded
                wrong.append(f"reading {i}: probabilities differ by {gap:.4f}")
    if len(otherwise) > max(1, OTHERWISE * told):
        return wrong + otherwise
    print(f"{len(otherwise)} of {told} explanations are worded otherwise, verified on both", *otherwise, sep="\n")
    return wrong


def main() -> int:
    """Run one of the three commands."""
    command, *rest = sys.argv[1:]
    if command == "make":
        make(Path(rest[0]), int(rest[1]), int(rest[2]))
    elif command == "read":
        read(Path(rest[0]))
    else:
        here, there = ([json.loads(line) for line in Path(name).read_text(encoding="utf-8").splitlines()] for name in rest)
        faces = [face for reading in here[1:] for face in reading["faces"]]
        wrong = compare(here, there)
        said = f"{len(here) - 1} readings, {len(faces)} faces, {sum(bool(f['explanation']) for f in faces)} explanations"
        print(
            f"{here[0]} here, {there[0]} there: {said}, {len({f['emotion'] for f in faces})} labels, {len(wrong)} differences",
            *wrong,
            sep="\n",
        )
        return int(bool(wrong))
    return 0


if __name__ == "__main__":
    sys.exit(main())
