"""`python -m benchmarks all --out RUN`: every measurement into one folder, and its report.

Each piece writes `RUN/<piece>.json` when it is done. A piece whose file is there, made with the same bundles, data and options, is not
measured again: an interrupted run goes on where it stopped. `results.json` (see `results.schema.json`) holds the parts, each made of one
piece or of several: latency is timed in slices between the other pieces, since other work on the machine stays for minutes, and a whole
run sees more of it.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import math
import sys
import time
from collections.abc import Callable
from datetime import datetime, timezone
from functools import partial
from pathlib import Path
from typing import Any

from tqdm.auto import tqdm

from benchmarks.command import Command, Figures, bundle_options, check, loaded, plain, whole
from benchmarks.peers import compare
from benchmarks.quality import accuracy, robustness, variants
from benchmarks.quality.reading import load_faces, read_crops
from benchmarks.report import curves
from benchmarks.speed import hardware, latency, power, roofline, scaling
from edge.bundle import HASHES
from edge.cv import cv2
from edge.errors import UsageError
from edge.pipeline import Pipeline
from edge.whole import write_whole

SCHEMA = 6
"""Version of `results.json`."""

NEEDS_DATA = ("accuracy", "curves", "variants", "robustness", "compare-accuracy")

_SLICES = tuple(f"latency-{n}" for n in range(1, 8))


def measure(args: argparse.Namespace, pipelines: dict[str, Pipeline]) -> Figures:
    """Measure what is not there yet; write and return `results.json`."""
    folder: Path = args.out
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"--out '{folder}': {error.strerror}") from None
    cv2.setNumThreads(args.threads)
    bundles = {name: _identity(pipeline) for name, pipeline in pipelines.items()}
    pieces: dict[str, Figures] = {}
    work = _work(args, pipelines)
    with tqdm(total=len(work), desc="benchmarks", disable=None) as bar:
        for name, run in work.items():
            bar.set_postfix_str(name)
            key = _key(name, args, bundles)
            pieces[name] = _piece(folder / f"{name}.json", key, run, args.data is None and name in NEEDS_DATA)
            note = pieces[name].get("skipped") or f"{pieces[name]['seconds']:.0f} s"
            tqdm.write(f"{name}: {note}", file=sys.stderr)
            bar.update()
    results = {
        "schema": SCHEMA,
        "created": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "bundles": bundles,
        "options": {"device": args.device, "threads": args.threads, "split": args.split, "faces": args.faces},
        "seconds": sum(piece["seconds"] for piece in pieces.values()),
        "parts": _parts(pieces),
    }
    _write(folder / "results.json", results)
    return results


def _work(args: argparse.Namespace, pipelines: dict[str, Pipeline]) -> dict[str, Callable[[], Figures]]:
    """What to do for each piece, in this order."""
    threads, first = args.threads, next(iter(pipelines.values()))
    rivals = compare.wanted_rivals(args)

    def faces(count: int) -> accuracy.Faces:
        return load_faces(args.data, args.split, count, first)

    def sliced(fps: float = 0.0) -> Figures:
        load, count = partial(loaded, args.bundle, args.device, threads), len(_SLICES)
        return latency.measure(load, threads, rounds=math.ceil(args.rounds / count), seconds=args.seconds / count, fps=fps)

    def scaled() -> Figures:
        found = scaling.measure(first, args.device, threads, rounds=min(10, args.rounds))
        return {"scaling": found, "cold": scaling.cold_start(first.bundle.folder, args.device, threads, repeats=min(3, args.rounds))}

    def compared_speed() -> Figures:
        with compare.started(rivals, threads) as running:
            return compare.speed(first, running, threads, rounds=max(3, args.rounds // 3), seconds=args.seconds / 5)

    def compared_accuracy() -> Figures:
        with compare.started(rivals, threads) as running:
            return compare.recognition(first, running, faces(args.faces))

    def drawn() -> Figures:
        every = faces(0)
        read = read_crops(first, every.crops)
        return curves.measure(list(first.bundle.config.labels), every.labels, read.shown, read.confidence)

    return {
        "hardware": lambda: {**hardware.probe(), "state": hardware.state()},
        "latency-1": partial(sliced, fps=30.0),
        "power": lambda: power.measure(first, seconds=3.0),
        "roofline": lambda: roofline.measure(first, threads, rounds=args.rounds, profile=True),
        "curves": drawn,
        "latency-2": sliced,
        "accuracy": lambda: accuracy.measure(first, faces(0), closed=False),
        "latency-3": sliced,
        "scaling": scaled,
        "latency-4": sliced,
        "compare-speed": compared_speed,
        "latency-5": sliced,
        "compare-accuracy": compared_accuracy,
        "variants": lambda: variants.measure(pipelines, faces(args.faces)),
        "latency-6": sliced,
        "robustness": lambda: robustness.measure(first, faces(args.faces)),
        "latency-7": sliced,
    }


def _parts(pieces: dict[str, Figures]) -> dict[str, Figures]:
    """The pieces put together as `results.json` has them."""
    rest = dict(pieces)
    slices, scaled = [rest.pop(name) for name in _SLICES], rest.pop("scaling")
    speed, right = rest.pop("compare-speed"), rest.pop("compare-accuracy")
    timed = {**latency.pool([piece["figures"] for piece in slices]), **scaled["figures"]}
    compared = compare.join(speed["figures"], right["figures"]) if right["figures"] else speed["figures"]
    return {
        **rest,
        "latency": {"figures": timed, "seconds": sum(piece["seconds"] for piece in (*slices, scaled))},
        "compare": {"figures": compared, "seconds": speed["seconds"] + right["seconds"]},
    }


def _piece(path: Path, key: dict[str, Any], run: Callable[[], Figures], lacking: bool) -> Figures:
    """Take a finished piece from its file, or measure it and write the file."""
    if lacking:
        return {"figures": None, "seconds": 0.0, "skipped": "needs --data"}
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        there = json.loads(path.read_text(encoding="utf-8"))
        if there["key"] == key:
            return {"figures": there["figures"], "seconds": there["seconds"]}
    started = time.perf_counter()
    piece = {"key": key, "figures": plain(run()), "seconds": time.perf_counter() - started}
    _write(path, piece)
    return {"figures": piece["figures"], "seconds": piece["seconds"]}


def _write(path: Path, value: Figures) -> None:
    """Whole or not at all."""
    try:
        write_whole(path, (json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode())
    except OSError as error:
        raise UsageError(f"cannot write '{path}': {error.strerror}") from None


def _identity(pipeline: Pipeline) -> Figures:
    sums = (pipeline.bundle.folder / HASHES).read_bytes()
    record = pipeline.bundle.config.provenance
    return {"hash": hashlib.sha256(sums).hexdigest(), "commit": record.get("commit"), **variants.size(pipeline.bundle.folder)}


def _key(name: str, args: argparse.Namespace, bundles: Figures) -> dict[str, Any]:
    """What a piece's figures depend on."""
    key: dict[str, Any] = {"schema": SCHEMA, "bundles": [[title, about["hash"]] for title, about in bundles.items()]}
    key |= {"device": args.device, "threads": args.threads}
    if name in NEEDS_DATA:
        key |= {"data": str(args.data), "split": args.split, "faces": args.faces}
    if name in (*_SLICES, "roofline", "scaling", "compare-speed"):
        key |= {"rounds": args.rounds}
    if name in (*_SLICES, "compare-speed"):
        key |= {"seconds": args.seconds}
    if name in ("compare-speed", "compare-accuracy"):
        key |= {"rivals": [args.yunet, args.fer, args.python, args.onnx]}
    return key


def _pack(data: Path | None) -> Path | None:
    """A folder of the data packs means its FER+ images."""
    if data is None or data.suffix == ".npz" or not (data / "ferplus_images.npz").is_file():
        return data
    return data / "ferplus_images.npz"


def _options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--out", type=Path, required=True, metavar="RUN", help="folder of the run; an interrupted one goes on")
    parser.add_argument("--data", type=Path, help="ferplus_images.npz or its folder, or DIR/<emotion>/*.png|jpg (default: no accuracy)")
    parser.add_argument("--split", choices=("train", "valid", "test"), default="test", help="of a pack (default: test)")
    parser.add_argument("--faces", type=whole, default=200, metavar="N", help="of robustness, variants and compare; 0: all (default: 200)")
    bundle_options(parser, threads=2, several=True)
    parser.add_argument("--rounds", type=whole, default=40, metavar="N", help="turns of every stage, at least (default: 40)")
    parser.add_argument(
        "--seconds",
        type=float,
        default=latency.SECONDS,
        metavar="T",
        help=f"of latency, at least; compare takes a fifth (default: {latency.SECONDS:g})",
    )
    compare.rival_options(parser)


def _run(args: argparse.Namespace) -> Figures:
    from benchmarks.report import report

    check(args, rounds=1, seconds=0, threads=1)
    args.data = _pack(args.data)
    with loaded(args.bundle, args.device, args.threads) as pipelines:
        results = measure(args, pipelines)
    written = report.write([args.out], args.out)
    return {"seconds": results["seconds"], "results": str(args.out / "results.json"), **written}


COMMAND = Command(_options, _run)
