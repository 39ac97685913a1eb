"""`python -m benchmarks clips`: one answer and one rationale for a whole clip, the paper's task, on other people's clips or on made ones.

    python -m benchmarks clips --dataset dfew --data ROOT      # DFEW's official layout (training/clips.py), --fold 1 … 5
    python -m benchmarks clips --dataset mafw --data ROOT      # MAFW's, single labels
    python -m benchmarks clips --dataset DIR                   # DIR/<emotion>/: recordings, or folders of frames
    python -m benchmarks clips --dataset made                  # faces at rest moved into each emotion for a part of the time

The answer is that of the person who is longest in sight. Explanation figures speak of the rationale of the span that supports it, as it was
written, checked or not; a clip without one counts as wrong in all of them. A label that the bundle lacks can only be answered wrongly: such
clips are in `war` and `uar`, and left out of `known`.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.command import Figures, of_pipeline, progress, whole
from benchmarks.quality.accuracy import judged
from benchmarks.quality.courses import acted_clips
from benchmarks.quality.reading import of_emotions
from edge.clip import ClipWriter
from edge.cv import cv2
from edge.errors import InputError, UsageError
from edge.live.pool import Pool
from edge.pipeline import Pipeline
from edge.sources.camera import Frame, Source
from edge.sources.picture import read_image
from edge.spans import Answer
from edge.types import Explanation, Verdict
from training.clips import PICTURES, load_dfew, load_mafw
from training.data import data_folder
from training.metrics import coherence, expected_calibration_error, recalls, war_uar

FPS = 25.0
"""Of a folder's frames."""
MARGIN = 0.25
"""Of a folder's frames, which are faces cut out close: so much of a frame's side is added around it, for the face finder."""
_NOTHING = Explanation("", "", Verdict.REJECTED, 0.0, 0.0, (), 0)


@dataclass(frozen=True, slots=True)
class Answered:
    """What was made of one."""

    label: str
    answer: Answer | None
    explanation: Explanation
    """Of the span that supports the answer."""
    course: bool
    """Whether something is said of that span's course."""
    moments: np.ndarray
    """`[N,E]` the person's probabilities, frame by frame; empty without any."""


def read(pipeline: Pipeline, label: str, source: Source) -> Answered:
    """Read a clip as a recording."""
    writer, moments = ClipWriter(), dict[int, list[list[float]]]()
    with pipeline.stream(source, explain="change") as stream:
        for reading in stream:
            writer.see(reading)
            for face in reading.faces:
                if face.probabilities:
                    moments.setdefault(face.track, []).append(list(face.probabilities.values()))
    found = writer.clip()
    answer = found.answer
    span = found.people[0].spans[answer.span] if answer and answer.span is not None else None
    seen = moments.get(found.people[0].track, []) if found.people else []
    explanation = (span.explanation if span else None) or _NOTHING
    return Answered(label, answer, explanation, bool(span and span.course), np.array(seen))


def figures(pipeline: Pipeline, found: list[Answered]) -> Figures:
    """All figures.

    Returns:
        `n`, `found` (clips with an answer), `unknown` (with a label that the bundle lacks); `war`, `uar`, `known` (both without those),
        `recall` of each label, `ece`; `eea`, `epc`, `fcr` and, with emotion words hidden, `meea`, `mepc`, `mfcr`, by the bundle's verifier;
        `verified` and `verified_and_wrong`, shares of clips; `course`, the share with a sentence about the span's course; `pooling`, the
        same clips' answers by other ways to pool.
    """
    labels = list(pipeline.config.labels)
    names = [*labels, *sorted({one.label for one in found} - set(labels))]
    truth = np.array([names.index(one.label) for one in found])
    answer = np.array([names.index(one.answer.label) if one.answer else -1 for one in found])
    right, known, count = answer == truth, truth < len(labels), len(names)
    war, uar = war_uar(truth, answer, count)
    drafts = [one.explanation for one in found]
    verified = np.array([draft.status is Verdict.VERIFIED for draft in drafts])
    sure = np.array([one.answer.confidence if one.answer else 0.0 for one in found])
    full, masked = (coherence(truth, answer, judged(pipeline, drafts, hidden)) for hidden in (False, True))
    return {
        "n": len(found),
        "found": int((answer >= 0).sum()),
        "unknown": int((~known).sum()),
        "war": war,
        "uar": uar,
        "known": dict(zip(("war", "uar"), war_uar(truth[known], answer[known], count), strict=True)),
        "recall": dict(zip(names, recalls(truth, answer, count).tolist(), strict=True)),
        "ece": expected_calibration_error(sure[answer >= 0], right[answer >= 0]),
        **full,
        **{f"m{key}": value for key, value in masked.items()},
        "verified": float(verified.mean()),
        "verified_and_wrong": float((verified & ~right).mean()),
        "course": float(np.mean([one.course for one in found])),
        "pooling": _pooled(found, truth, labels, count),
    }


def _pooled(found: list[Answered], truth: np.ndarray, labels: list[str], count: int) -> Figures:
    def weighted(moments: np.ndarray) -> np.ndarray:
        pool = Pool()
        for row in moments:
            pool.see(dict(zip(labels, row.tolist(), strict=True)), 1.0)
        return np.array(list(pool.probabilities.values()))

    ways: dict[str, Callable[[np.ndarray], np.ndarray]] = {
        "by expression": weighted,
        "mean": lambda moments: moments.mean(0),
        "mean of logarithms": lambda moments: np.exp(np.log(moments + 1e-3).mean(0)),
        "highest moment": lambda moments: moments.max(0),
    }
    table = {}
    for name, pool in ways.items():
        pooled = np.array([pool(one.moments) if len(one.moments) else np.full(len(labels), np.nan) for one in found])
        pooled /= pooled.sum(1, keepdims=True)
        there = np.isfinite(pooled).all(1)
        answer = np.where(there, np.nan_to_num(pooled).argmax(1), -1)
        war, uar = war_uar(truth, answer, count)
        ece = expected_calibration_error(pooled[there].max(1), (answer == truth)[there])
        table[name] = {"war": war, "uar": uar, "ece": ece}
    return table


def find_clips(args: argparse.Namespace, pipeline: Pipeline) -> Iterable[tuple[str, Source]]:
    """Labels and clips that the options name; `UsageError` without the `--data` that they need, `InputError` where there is none."""
    if args.dataset == "made":
        made = acted_clips(data_folder(args.data), pipeline, args.limit or 40, args.seed)
        return ((label, clip.frames()) for label, clip in made)
    if args.dataset in ("dfew", "mafw"):
        if args.data is None:
            raise UsageError(f"--dataset {args.dataset} needs --data ROOT, the folder in its official layout")
        load = load_dfew if args.dataset == "dfew" else load_mafw
        named = [(clip.path, clip.emotions[0]) for clip in load(args.data, args.split, fold=args.fold)]
    else:
        labels = pipeline.config.labels
        named = of_emotions(Path(args.dataset), labels)
        if not named:
            raise InputError(f"'{args.dataset}' has no sub-folder named after an emotion with clips in it ({', '.join(labels)})")
    chosen = named if not args.limit else [named[i] for i in sorted(np.random.default_rng(args.seed).permutation(len(named))[: args.limit])]
    return [(label, _frames(path) if path.is_dir() else path) for path, label in chosen]


def _frames(folder: Path) -> Iterator[Frame]:
    """A folder's pictures in the order of their names, as a recording."""
    pictures = sorted(path for path in folder.iterdir() if path.suffix.lower() in PICTURES)
    if not pictures:
        raise InputError(f"clip '{folder}' has no frame in it")
    for i, path in enumerate(pictures):
        image = read_image(path)
        edge = round(MARGIN * max(image.shape[:2]))
        yield Frame(cv2.copyMakeBorder(image, edge, edge, edge, edge, cv2.BORDER_REPLICATE), str(folder), i, 1e3 * i / FPS)


def _options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--dataset", required=True, metavar="dfew|mafw|made|DIR", help="whose clips; DIR/<emotion>/ holds your own")
    parser.add_argument("--data", type=Path, metavar="ROOT", help="root of DFEW or MAFW; of made clips the data packs")
    parser.add_argument("--split", choices=("train", "test"), default="test", help="of DFEW and MAFW (default: test)")
    parser.add_argument("--fold", type=whole, default=1, metavar="N", help="of DFEW and MAFW, 1 to 5 (default: 1)")
    parser.add_argument("--limit", type=whole, default=0, metavar="N", help="so many clips, drawn at random (default: all; 40 made ones)")
    parser.add_argument("--seed", type=int, default=1, help="of what is drawn (default: 1)")


def _run(pipeline: Pipeline, args: argparse.Namespace) -> Figures:
    found = [read(pipeline, label, clip) for label, clip in progress(find_clips(args, pipeline), "clips")]
    if not found:
        raise InputError(f"no clip in '{args.data or args.dataset}'")
    return {"dataset": args.dataset, **figures(pipeline, found)}


COMMAND = of_pipeline(_run, _options, default_threads=1)
