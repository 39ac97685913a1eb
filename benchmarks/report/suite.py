"""`python -m benchmarks all --out RUN`: every measurement into one folder, and its report.

Each part writes `RUN/<part>.json` when it is done. A part whose file is there, made with the same bundles, data and options, is not
measured again: an interrupted run goes on where it stopped. `results.json` (see `results.schema.json`) holds all of them.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import sys
import time
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path

from tqdm.auto import tqdm

from benchmarks.audit import figures
from benchmarks.audit.photographs import PACK, load_photographs
from benchmarks.command import Command, Figures, bundle_options, check, loaded, plain, whole
from benchmarks.peers import compare
from benchmarks.quality import accuracy, intervene, robustness, variants
from benchmarks.quality.moved import present
from benchmarks.quality.reading import load_faces, read_crops
from benchmarks.report import curves
from benchmarks.report.findings import SCHEMA
from benchmarks.speed import hardware, latency, power, roofline, scaling
from edge.bundle import HASHES
from edge.cv import cv2
from edge.errors import UsageError
from edge.pipeline import Pipeline
from edge.whole import write_whole

_NEEDS_DATA = ("accuracy", "curves", "variants", "robustness")
_NEEDS_PACK = {"audit": PACK, "intervene": intervene.PACK}
"""Part → what it needs beside the faces, too."""


def measure(args: argparse.Namespace, pipelines: dict[str, Pipeline]) -> Figures:
    """Measure what is not there yet; write and return `results.json`."""
    folder: Path = args.out
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"--out '{folder}': {error.strerror}") from None
    cv2.setNumThreads(args.threads)
    bundles = {name: _identity(pipeline) for name, pipeline in pipelines.items()}
    parts: dict[str, Figures] = {}
    with tqdm(_work(args, pipelines).items(), desc="benchmarks", disable=None) as bar:
        for name, run in bar:
            bar.set_postfix_str(name)
            if lacking := _lacking(name, args):
                parts[name] = {"figures": None, "seconds": 0.0, "skipped": lacking}
            else:
                parts[name] = _part(folder / f"{name}.json", _key(name, args, bundles), run)
            tqdm.write(f"{name}: {parts[name].get('skipped') or format(parts[name]['seconds'], '.0f') + ' s'}", file=sys.stderr)
    results = {
        "schema": SCHEMA,
        "created": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "bundles": bundles,
        "options": {"device": args.device, "threads": args.threads, "split": args.split, "faces": args.faces},
        "seconds": sum(part["seconds"] for part in parts.values()),
        "parts": parts,
    }
    _write(folder / "results.json", results)
    return results


def _lacking(name: str, args: argparse.Namespace) -> str:
    """What a part needs and does not have; empty when it can be measured."""
    if args.data is None:
        return "needs --data" if name in (*_NEEDS_DATA, *_NEEDS_PACK) else ""
    pack = _NEEDS_PACK.get(name)
    return f"needs {pack} beside the faces" if pack and not (args.data.parent / pack).is_file() else ""


def _work(args: argparse.Namespace, pipelines: dict[str, Pipeline]) -> dict[str, Callable[[], Figures]]:
    """What to do for each part, in this order."""
    threads, rounds, first = args.threads, args.rounds, next(iter(pipelines.values()))
    wanted = compare.wanted_rivals(args)

    def faces(count: int) -> accuracy.Faces:
        return load_faces(args.data, args.split, count, first)

    def timed() -> Figures:
        found = latency.measure(pipelines, threads, rounds=rounds)
        found["scaling"] = scaling.measure(first, args.device, threads, rounds=min(10, rounds))
        return {**found, "cold": scaling.cold_start(first.bundle.folder, args.device, threads, repeats=min(3, rounds))}

    def compared() -> Figures:
        with compare.started(wanted, threads) as rivals:
            chosen = faces(args.faces) if args.data else None
            return compare.measure(first, rivals, threads, rounds=min(compare.ROUNDS, rounds), faces=chosen)

    def drawn() -> Figures:
        every = faces(0)
        read = read_crops(first, every.crops)
        return curves.measure(list(first.bundle.config.labels), every.labels, read.shown, read.confidence)

    def audited() -> Figures:
        return figures.measure({next(iter(pipelines)): first}, load_photographs(args.data.parent), pairs=args.faces)

    def moved() -> Figures:
        folder = args.data.parent
        return intervene.measure(first, folder, sources=present(folder), faces=args.faces // 4 or intervene.FACES, split=args.split)

    return {
        "hardware": lambda: {**hardware.probe(), "state": hardware.state()},
        "latency": timed,
        "power": lambda: power.measure(first, seconds=3.0),
        "roofline": lambda: roofline.measure(first, threads, rounds=min(30, rounds), profile=True),
        "curves": drawn,
        "accuracy": lambda: accuracy.measure(first, faces(0), closed=False),
        "variants": lambda: variants.measure(pipelines, faces(args.faces)),
        "compare": compared,
        "robustness": lambda: robustness.measure(first, faces(args.faces)),
        "audit": audited,
        "intervene": moved,
    }


def _part(path: Path, key: Figures, run: Callable[[], Figures]) -> Figures:
    """Take a finished part from its file, or measure it and write the file."""
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        there = json.loads(path.read_text(encoding="utf-8"))
        if there["key"] == key:
            return {"figures": there["figures"], "seconds": there["seconds"]}
    started = time.perf_counter()
    part = {"figures": plain(run()), "seconds": time.perf_counter() - started}
    _write(path, {"key": key, **part})
    return part


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


def _key(name: str, args: argparse.Namespace, bundles: Figures) -> Figures:
    """What a part's figures depend on."""
    key: Figures = {"schema": SCHEMA, "bundles": [[title, about["hash"]] for title, about in bundles.items()]}
    key |= {"device": args.device, "threads": args.threads}
    if name in ("latency", "roofline", "compare"):
        key["rounds"] = args.rounds
    if name in (*_NEEDS_DATA, *_NEEDS_PACK, "compare"):
        key |= {"data": str(args.data), "split": args.split, "faces": args.faces}
    if name == "compare":
        key["rivals"] = [args.yunet, args.fer, args.python, args.onnx]
    return key


def _options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--out", type=Path, required=True, metavar="RUN", help="folder of the run; an interrupted one goes on")
    parser.add_argument("--data", type=Path, help="ferplus_images.npz or its folder, or DIR/<emotion>/*.png|jpg (default: no accuracy)")
    parser.add_argument("--split", choices=("train", "valid", "test"), default="test", help="of a pack (default: test)")
    parser.add_argument(
        "--faces",
        type=whole,
        default=200,
        metavar="N",
        help="of all parts but accuracy, of intervene a quarter; 0: all (default: 200)",
    )
    bundle_options(parser, threads=2, several=True)
    parser.add_argument("--rounds", type=whole, default=latency.ROUNDS, metavar="N", help=f"turns of a stage (default: {latency.ROUNDS})")
    compare.rival_options(parser)


def _run(args: argparse.Namespace) -> Figures:
    from benchmarks.report import report

    check(args, rounds=1, threads=1)
    if args.data and (args.data / "ferplus_images.npz").is_file():  # a folder of the data packs means its FER+ images
        args.data /= "ferplus_images.npz"
    with loaded(args.bundle, args.device, args.threads) as pipelines:
        results = measure(args, pipelines)
    written = report.write([args.out], args.out)
    return {"seconds": results["seconds"], "results": str(args.out / "results.json"), **written}


COMMAND = Command(_options, _run)
