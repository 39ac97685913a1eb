"""How latency grows: with threads, with the encoder's batch, with faces in the picture; and how long a fresh process needs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np

from benchmarks.command import Figures
from benchmarks.speed.clock import UNIT, Stage, interleave, summary, timed
from benchmarks.speed.stages import Scene, demo_frame
from edge.cv import cv2
from edge.errors import BackendError
from edge.language.explain import subjects_of
from edge.pipeline import Pipeline
from edge.vision.face import align

_BATCHES = (1, 2, 4, 8, 16, 100)
_FACES = (1, 2, 4, 9)
_ROUNDS = 10

_CHILD = """
import json, sys, time
started = time.perf_counter()
from edge.pipeline import Pipeline
imported = time.perf_counter()
import numpy as np
picture = np.load(sys.argv[1])
begun = time.perf_counter()
pipeline = Pipeline.load(sys.argv[2] or None, device=sys.argv[3], threads=int(sys.argv[4]))
loaded = time.perf_counter()
pipeline(picture)
read = time.perf_counter()
print(json.dumps({"import_ms": imported - started, "load_ms": loaded - begun, "first_ms": read - loaded}))
"""


def measure(pipeline: Pipeline, device: str, threads: int, *, rounds: int = _ROUNDS) -> Figures:
    """`threads`, `batch` and `faces`: lists of rows with milliseconds and matmuls."""
    swept = thread_sweep(pipeline.bundle.folder, device, rounds=rounds)
    cv2.setNumThreads(threads)
    return {
        "threads": swept,
        "batch": batch_sweep(pipeline, threads, rounds=rounds),
        "faces": face_sweep(pipeline, threads, rounds=rounds),
    }


def thread_sweep(folder: Path, device: str, *, rounds: int = _ROUNDS) -> list[Figures]:
    """Stages on 1, 2, 4 … threads, up to the cores this process may use; the matmul on as many."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    rows = []
    for count in sorted({*(2**i for i in range(cores.bit_length()) if 2**i <= cores), cores}):
        cv2.setNumThreads(count)
        with Pipeline.load(folder, device=device, threads=count) as pipeline:
            times = interleave(Scene.of(pipeline, demo_frame()).stages(), count, rounds=rounds, title=f"{count} threads")
        unit = times.pop(UNIT)
        rows.append(
            {
                "threads": count,
                "matmul_ms": float(np.median(unit)),
                **{f"{name}_ms": float(np.median(times[name])) for name in ("face", "encode", "fast", "explain", "full")},
            }
        )
    return rows


def batch_sweep(pipeline: Pipeline, threads: int, *, rounds: int = _ROUNDS) -> list[Figures]:
    """The encoder on 1 … 100 faces at once, and the policy on as many, whose texts differ."""
    scene = Scene.of(pipeline, demo_frame())
    crop = align(scene.grey, scene.detection, pipeline.bundle.config.image)[0]
    work: list[Stage] = []
    for count in _BATCHES:
        crops = _variants(crop, count)
        subjects = subjects_of(pipeline.encoder(crops), pipeline.config)
        work.append(timed(f"encode {count}", lambda crops=crops: pipeline.encoder(crops)))
        work.append(timed(f"explain {count}", lambda subjects=subjects: pipeline.explainer.write(subjects)))
    times = interleave(work, threads, rounds=rounds, title="batches")
    rows = []
    for count in _BATCHES:
        encode, explain = (summary(f"{stage} {count}", times) for stage in ("encode", "explain"))
        each = {"encode_per_face_ms": encode["median_ms"] / count, "explain_per_face_ms": explain["median_ms"] / count}
        rows.append({"batch": count, "encode_ms": encode["median_ms"], "explain_ms": explain["median_ms"], **each})
    return rows


def _variants(crop: np.ndarray, count: int) -> np.ndarray:
    """`[count,S,S]`: the crop first, then moved, mirrored, lit and covered in other ways."""
    random, found = np.random.default_rng(0), [crop]
    while len(found) < count:
        other = crop[:, ::-1] if random.random() < 0.5 else crop
        other = np.roll(other, random.integers(-4, 5, 2), (0, 1))
        found.append(np.clip(other * random.uniform(0.5, 1.3) + random.normal(0, 12, crop.shape), 0, 255).astype(np.uint8))
    return np.stack(found)


def face_sweep(pipeline: Pipeline, threads: int, *, rounds: int = _ROUNDS) -> list[Figures]:
    """The whole line on pictures with 1 … 9 faces; `found` says how many of them were found."""
    scenes = {count: Scene.of(pipeline, demo_frame(faces=count)) for count in _FACES}
    work: list[Stage] = []
    for count, scene in scenes.items():
        work.append(timed(f"fast {count}", lambda frame=scene.frame: pipeline.look(frame)))
        work.append(timed(f"full {count}", lambda frame=scene.frame: pipeline.explain(pipeline.look(frame))))
    times = interleave(work, threads, rounds=rounds, title="faces")
    rows = []
    for count, scene in scenes.items():
        fast, full = (summary(f"{stage} {count}", times) for stage in ("fast", "full"))
        found = len(scene.seen.reading.faces)
        rows.append({"faces": count, "found": found, "fast_ms": fast["median_ms"], "full_ms": full["median_ms"]})
    return rows


def cold_start(bundle: Path | None, device: str, threads: int, repeats: int = 3) -> Figures:
    """A fresh process: milliseconds to import, to load the bundle, and of its first reading with explanation; medians of `repeats`.

    Raises:
        BackendError: the process failed.
    """
    import tempfile

    rows = []
    with tempfile.TemporaryDirectory() as folder:
        picture = Path(folder) / "picture.npy"
        np.save(picture, demo_frame().image_bgr)
        for _ in range(repeats):
            command = [sys.executable, "-c", _CHILD, str(picture), str(bundle or ""), device, str(threads)]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                raise BackendError(f"a fresh process could not read a picture: {(done.stderr.strip() or 'no message').splitlines()[-1]}")
            rows.append(json.loads(done.stdout))
    figures = {name: float(np.median([row[name] for row in rows])) * 1e3 for name in rows[0]}
    return {**figures, "total_ms": sum(figures.values()), "repeats": repeats}
