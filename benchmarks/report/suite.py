"""`python -m benchmarks all --out RUN`: every measurement into one folder, and its report.

Each part writes `RUN/<part>.json` when it is done, and is not measured again with the same bundles, data and options.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

from tqdm.auto import tqdm

from benchmarks.audit import figures
from benchmarks.command import Command, Figures, bundle_options, check, loaded, plain, whole, write_file
from benchmarks.peers import compare
from benchmarks.quality import accuracy, intervene, robustness, variants
from benchmarks.quality.moved import chosen, present
from benchmarks.quality.photographs import PACK, load_photographs
from benchmarks.quality.reading import Faces, load_faces
from benchmarks.report import curves, report
from benchmarks.report.findings import SCHEMA
from benchmarks.speed import hardware, latency, power, roofline, scaling
from edge.bundle import HASHES
from edge.cv import cv2
from edge.pipeline import Pipeline

_DATA = ("data", "split", "faces")
"""What parts hang on that are left out without `--data`."""


@dataclass(frozen=True, slots=True)
class Part:
    """One measurement of a run."""

    run: Callable[[], Figures]
    hangs_on: tuple[str, ...] = ()
    """Options that its figures depend on, beside bundles, device and threads."""
    pack: str | None = None
    """The pack beside the faces that it cannot do without."""


def measure(args: argparse.Namespace, pipelines: dict[str, Pipeline]) -> Figures:
    """Measure what is not there yet; write and return `results.json`."""
    folder: Path = args.out
    cv2.setNumThreads(args.threads)
    bundles = {name: _identity(pipeline) for name, pipeline in pipelines.items()}
    key: Figures = {"schema": SCHEMA, "bundles": [[title, about["hash"]] for title, about in bundles.items()]}
    key |= {"device": args.device, "threads": args.threads}
    parts: dict[str, Figures] = {}
    with tqdm(_work(args, pipelines).items(), desc="benchmarks", disable=None) as bar:
        for name, part in bar:
            bar.set_postfix_str(name)
            if part.hangs_on == _DATA and not args.data:
                parts[name] = {"figures": None, "seconds": 0.0, "skipped": "needs --data"}
            elif part.pack and not (args.data.parent / part.pack).is_file():
                parts[name] = {"figures": None, "seconds": 0.0, "skipped": f"needs {part.pack} beside the faces"}
            else:
                parts[name] = _measured(folder / f"{name}.json", part, key | {name: str(getattr(args, name)) for name in part.hangs_on})
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


def _work(args: argparse.Namespace, pipelines: dict[str, Pipeline]) -> dict[str, Part]:
    """The parts, in this order."""
    threads, rounds, first = args.threads, args.rounds, next(iter(pipelines.values()))
    wanted = compare.wanted_rivals(args)

    def faces(count: int) -> Faces:
        return load_faces(args.data, args.split, count, first)

    def timed() -> Figures:
        found = latency.measure(pipelines, threads, rounds=rounds)
        found["scaling"] = scaling.measure(first, args.device, threads, rounds=min(10, rounds))
        return {**found, "cold": scaling.cold_start(first.bundle.folder, args.device, threads, repeats=min(3, rounds))}

    def compared() -> Figures:
        with compare.Rivals(wanted, threads) as rivals:
            chosen = faces(args.faces) if args.data else None
            return compare.measure(first, rivals, threads, rounds=min(compare.ROUNDS, rounds), faces=chosen)

    def audited() -> Figures:
        return figures.measure({next(iter(pipelines)): first}, load_photographs(args.data.parent), pairs=args.faces)

    def moved() -> Figures:
        folder, count = args.data.parent, args.faces // 4 or intervene.FACES
        given = argparse.Namespace(data=folder, source=present(folder), faces=count, split=args.split)
        return intervene.measure(first, *chosen(first, given))

    return {
        "hardware": Part(hardware.measure),
        "latency": Part(timed, ("rounds",)),
        "power": Part(lambda: power.measure(first, seconds=3.0)),
        "roofline": Part(lambda: roofline.measure(first, threads, rounds=min(30, rounds), profile=True), ("rounds",)),
        "curves": Part(lambda: curves.measure(first, faces(0)), _DATA),
        "accuracy": Part(lambda: accuracy.measure(first, faces(0), closed=False), _DATA),
        "variants": Part(lambda: variants.measure(pipelines, faces(args.faces)), _DATA),
        "compare": Part(compared, ("rounds", *_DATA, "yunet", "fer", "python", "onnx")),
        "robustness": Part(lambda: robustness.measure(first, faces(args.faces)), _DATA),
        "audit": Part(audited, _DATA, PACK),
        "intervene": Part(moved, _DATA, intervene.PACK),
    }


def _measured(path: Path, part: Part, key: Figures) -> Figures:
    """Take a finished part from its file, or measure it and write the file."""
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        there = json.loads(path.read_text(encoding="utf-8"))
        if there["key"] == key:
            return {"figures": there["figures"], "seconds": there["seconds"]}
    started = time.perf_counter()
    found = {"figures": plain(part.run()), "seconds": time.perf_counter() - started}
    _write(path, {"key": key, **found})
    return found


def _write(path: Path, value: Figures) -> None:
    write_file(path, (json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode())


def _identity(pipeline: Pipeline) -> Figures:
    sums = (pipeline.bundle.folder / HASHES).read_bytes()
    record = pipeline.bundle.config.provenance
    return {"hash": hashlib.sha256(sums).hexdigest(), "commit": record.get("commit"), **variants.size(pipeline.bundle.folder)}


def _options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--out", type=Path, required=True, metavar="RUN", help="folder of the run; an interrupted one goes on")
    parser.add_argument("--data", type=Path, help="ferplus_images.npz or its folder, or DIR/<emotion>/*.png|jpg (default: no accuracy)")
    parser.add_argument("--split", choices=("train", "valid", "test"), default="test", help="of a pack (default: test)")
    how_many = "of all parts but accuracy, of intervene a quarter; 0: all (default: 200)"
    parser.add_argument("--faces", type=whole, default=200, metavar="N", help=how_many)
    bundle_options(parser, threads=2, several=True)
    parser.add_argument("--rounds", type=whole, default=latency.ROUNDS, metavar="N", help=f"turns of a stage (default: {latency.ROUNDS})")
    compare.rival_options(parser)


def _run(args: argparse.Namespace) -> Figures:
    check(args, rounds=1, threads=1)
    if args.data and (args.data / "ferplus_images.npz").is_file():  # a folder of the data packs means its FER+ images
        args.data /= "ferplus_images.npz"
    with loaded(args.bundle, args.device, args.threads) as pipelines:
        results = measure(args, pipelines)
    written = report.write([args.out], args.out)
    return {"seconds": results["seconds"], "results": str(args.out / "results.json"), **written}


COMMAND = Command(_options, _run)
