"""How latency grows: with threads, with the encoder's batch, with faces in the picture; and how long a fresh process needs."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

from benchmarks.command import Figures
from benchmarks.speed.clock import UNIT, interleave, timed
from benchmarks.speed.hardware import cores
from benchmarks.speed.stages import Scene, demo_frame
from edge.cv import cv2
from edge.errors import BackendError
from edge.language.explain import subjects_of
from edge.pipeline import Pipeline
from edge.vision.crop import align

CHECKOUT = Path(__file__).resolve().parents[2]
_BATCHES = (1, 2, 4, 8, 16, 100)
_FACES = (1, 2, 4, 9)

_CHILD = """
import json, sys, time
started = time.perf_counter()
sys.path.insert(0, sys.argv[1])
import edge.pipeline
imported = time.perf_counter()
if not edge.pipeline.__file__.startswith(sys.argv[1]):
    sys.exit(f"another 'edge' was read, '{edge.pipeline.__file__}'")
import numpy as np
pictures = np.load(sys.argv[2])
begun = time.perf_counter()
with edge.pipeline.Pipeline.load(sys.argv[3] or None, device=sys.argv[4], threads=int(sys.argv[5])) as pipeline:
    loaded = time.perf_counter()
    pipeline(pictures[0])
    read = time.perf_counter()
    turns = [pipeline(picture).latency_ms for _ in range(int(sys.argv[6])) for picture in pictures]
times = {"import_ms": imported - started, "load_ms": loaded - begun, "first_ms": read - loaded}
print(json.dumps([{name: spent * 1e3 for name, spent in times.items()}, turns]))
"""


def measure(pipeline: Pipeline, device: str, threads: int, *, rounds: int = 10) -> Figures:
    """`threads`, `batch` and `faces`: lists of rows with medians in milliseconds."""
    swept = thread_sweep(pipeline.bundle.folder, device, rounds=rounds)
    cv2.setNumThreads(threads)
    batches, faces = batch_sweep(pipeline, threads, rounds=rounds), face_sweep(pipeline, threads, rounds=rounds)
    return {"threads": swept, "batch": batches, "faces": faces}


def thread_sweep(folder: Path, device: str, *, rounds: int) -> list[Figures]:
    """Stages on 1, 2, 4 … threads, up to the cores this process may use; the matmul on as many."""
    most, rows = cores(), []
    for count in sorted({*(2**i for i in range(most.bit_length())), most}):
        cv2.setNumThreads(count)
        with Pipeline.load(folder, device=device, threads=count) as pipeline:
            times = interleave(Scene.of(pipeline, demo_frame()).stages(), count, rounds=rounds, title=f"{count} threads")
        shown = (UNIT, "face", "encode", "fast", "explain", "full")
        rows.append({"threads": count, **{f"{name}_ms": float(np.median(times[name])) for name in shown}})
    return rows


def batch_sweep(pipeline: Pipeline, threads: int, *, rounds: int) -> list[Figures]:
    """The encoder on 1 … 100 faces at once, and the policy on as many, whose texts differ."""
    scene = Scene.of(pipeline, demo_frame())
    crop = align(scene.grey, scene.detection, pipeline.bundle.config.image)[0]
    faces = {n: _variants(crop, n) for n in _BATCHES}
    subjects = {n: subjects_of(pipeline.encoder(faces[n]), pipeline.config) for n in _BATCHES}
    work = {"encode": lambda n: pipeline.encoder(faces[n]), "explain": lambda n: pipeline.explainer.write(subjects[n])}
    rows = _medians("batch", _BATCHES, work, threads, rounds)
    return [{**row, **{f"{name}_per_face_ms": row[f"{name}_ms"] / row["batch"] for name in work}} for row in rows]


def _variants(crop: np.ndarray, count: int) -> np.ndarray:
    """`[count,S,S]`: the crop first, then moved, mirrored, lit and covered in other ways."""
    random, found = np.random.default_rng(0), [crop]
    while len(found) < count:
        other = crop[:, ::-1] if random.random() < 0.5 else crop
        other = np.roll(other, random.integers(-4, 5, 2), (0, 1))
        found.append(np.clip(other * random.uniform(0.5, 1.3) + random.normal(0, 12, crop.shape), 0, 255).astype(np.uint8))
    return np.stack(found)


def face_sweep(pipeline: Pipeline, threads: int, *, rounds: int) -> list[Figures]:
    """The whole line on pictures with 1 … 9 faces; `found` says how many of them were found."""
    frames = {count: demo_frame(faces=count) for count in _FACES}
    work = {"fast": lambda n: pipeline.look(frames[n]), "full": lambda n: pipeline.explain(pipeline.look(frames[n]))}
    rows = _medians("faces", _FACES, work, threads, rounds)
    return [{**row, "found": len(pipeline.look(frames[row["faces"]]).reading.faces)} for row in rows]


def _medians(what: str, counts: tuple[int, ...], work: dict[str, Callable[[int], object]], threads: int, rounds: int) -> list[Figures]:
    """Each piece of work at each count, all in the same rounds."""
    stages = [timed(f"{name} {n}", lambda call=call, n=n: call(n)) for n in counts for name, call in work.items()]
    times = interleave(stages, threads, rounds=rounds, title=what)
    return [{what: n, **{f"{name}_ms": float(np.median(times[f"{name} {n}"])) for name in work}} for n in counts]


def cold_start(bundle: Path, device: str, threads: int, repeats: int = 3) -> Figures:
    """A fresh process: milliseconds to import, to load the bundle, and of its first explained reading; medians of `repeats`."""
    pictures = demo_frame().image_bgr[None]
    rows = [fresh(CHECKOUT, bundle, pictures, device, threads, calls=0)[0] for _ in range(repeats)]
    figures = {name: float(np.median([row[name] for row in rows])) for name in rows[0]}
    return {**figures, "total_ms": sum(figures.values()), "repeats": repeats}


def fresh(
    checkout: Path, bundle: Path | None, pictures: np.ndarray, device: str, threads: int, *, calls: int
) -> tuple[dict[str, float], list[dict[str, float]]]:
    """A checkout reads `[N,H,W,3]` uint8 BGR pictures with a bundle (by default its own), in a Python of its own; or `BackendError`.

    Returns `import_ms`, `load_ms` and `first_ms`, of its first reading; and, `calls` times of every picture, what a reading took.
    """
    with tempfile.TemporaryDirectory() as folder:  # from where no other checkout is imported
        np.save(Path(folder) / "pictures.npy", pictures)
        given = (checkout.resolve(), "pictures.npy", bundle.resolve() if bundle else "", device, threads, calls)
        command = [sys.executable, "-c", _CHILD, *map(str, given)]
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder)
    if done.returncode:
        raise BackendError(f"'{checkout}' cannot read a picture: {(done.stderr.strip() or 'no message').splitlines()[-1]}")
    times, turns = json.loads(done.stdout.splitlines()[-1])
    return times, turns
