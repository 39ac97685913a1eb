"""`python -m benchmarks align`: what each alignment recipe does to the explanations, under the verifier and under an independent judge.

Every metric comes twice, on the full rationale and with emotion words hidden. The independent judge shares neither architecture nor
training faces nor cue source with the verifier, and no reward uses it. Needs the `training` extra.
"""

from __future__ import annotations

import argparse
import json
import random
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from tqdm.auto import tqdm

from benchmarks.command import Command, Figures
from benchmarks.quality.align_curves import draw_curves
from benchmarks.quality.endpoint import Endpoint
from edge.errors import InputError
from edge.language.labels import EMOTIONS_8, mask_emotions
from edge.language.rationale import Completion, masked_sentences, parse_completion, split_sentences
from edge.language.verdict import judge as weigh
from edge.language.verdict import read_claims
from edge.types import Claim
from training.cues import CUE_NAMES
from training.data import data_folder, load_ferplus
from training.encoder import load_encoder
from training.judge import load_judge
from training.metrics import claim_rates, coherence, war_uar
from training.policy import load_policy
from training.run import load_checkpoint
from training.verifier import load_verifier, read_texts
from training.views import Views, complete, look

#: Rationales → the label that each speaks for, `[N]`; −1 for an empty one.
Judging = Callable[[list[str]], np.ndarray]
CLAIMED = 0.5


def options(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument(
        "--arm", action="append", required=True, metavar="NAME=RUN[,RUN…]", help="a recipe and its runs, one per seed; repeat"
    )
    parser.add_argument("--data", type=Path, help="folder of the data packs (default: ERV_DATA, or ../shared/data)")
    parser.add_argument("--split", choices=("train", "valid", "test"), default="test")
    parser.add_argument("--faces", type=int, default=0, metavar="N", help="measure on N faces only, drawn at random (default: all)")
    parser.add_argument("--curve-faces", type=int, default=0, metavar="N", help="also measure checkpoints on N validation faces")
    for name in ("encoder", "verifier"):
        parser.add_argument(f"--{name}", type=Path, default=Path("runs") / name, help=f"run of the {name} (default: runs/{name})")
    parser.add_argument("--judge", action="append", metavar="NAME=RUN", help="an independent judge; repeat (default: judge=runs/judge)")
    parser.add_argument("--endpoint", metavar="URL", help="a further judge: an OpenAI-compatible endpoint, up to and with /v1")
    parser.add_argument("--model", default="default", help="its model")
    parser.add_argument("--out", type=Path, default=Path("runs/align"), help="folder of the results (default: runs/align)")


@dataclass(frozen=True, slots=True)
class Faces:
    """Labelled faces as the frozen encoder reads them, with their landmarks' cues (NaN where there are none)."""

    views: Views
    label: np.ndarray
    cues: np.ndarray


def read_faces(data: Path, split: str, encoder: Path, limit: int = 0) -> Faces:
    """The faces of a split that the reference protocol counts; the first `limit` of a fixed shuffle when given."""
    network, cue_model = load_encoder(encoder)
    faces = load_ferplus(data, split)
    faces = faces.take(faces.label >= 0)
    if limit:
        faces = faces.take(np.random.default_rng(0).permutation(len(faces))[:limit])
    cues, _ = cue_model.measure(faces.landmarks, faces.point_index)
    return Faces(look(network, faces, cue_model, 0, 0), faces.label, cues)


class Reader:
    """The verifier as a judge of whole rationales and a reader of claims; every sentence is read once."""

    def __init__(self, folder: Path) -> None:
        self.model, self.tokenizer = load_verifier(folder)
        self.prior = np.asarray(load_checkpoint(folder)["prior"])
        self.known: dict[str, tuple[np.ndarray, np.ndarray]] = {}

    def read(self, sentences: list[str]) -> tuple[np.ndarray, np.ndarray]:
        """Emotions `[S,11]` and claims `[S,C,3]` of sentences."""
        new = sorted(set(sentences) - set(self.known))
        self.known |= dict(zip(new, zip(*read_texts(self.model, self.tokenizer, new), strict=True), strict=True)) if new else {}
        return np.stack([self.known[s][0] for s in sentences]), np.stack([self.known[s][1] for s in sentences])

    def judge(self, texts: list[str]) -> np.ndarray:
        """The label that the sentences' evidence speaks for."""
        self.read([s for text in texts for s in split_sentences(text)] or ["."])
        return np.array([weigh(self.read(split_sentences(t))[0], self.prior, len(EMOTIONS_8)) if t else -1 for t in texts])


def measure(completions: list[Completion], faces: Faces, reader: Reader, judges: dict[str, Judging]) -> dict[str, Any]:
    """Every figure of one policy's greedy completions."""
    answer = np.array([EMOTIONS_8.index(c.answer) if c.answer else -1 for c in completions])
    plain = [c.rationale for c in completions]
    war, uar = war_uar(faces.label, answer, len(EMOTIONS_8))
    figures: dict[str, Any] = {"parseable": float((answer >= 0).mean()), "war": war, "uar": uar}
    for name, judging in judges.items():
        for prefix, texts in (("", plain), ("m", [mask_emotions(t) for t in plain])):
            figures |= {f"{name}.{prefix}{k}": v for k, v in coherence(faces.label, answer, judging(texts)).items()}
    return {**figures, **_claims(completions, faces, reader), "words": float(np.mean([len(t.split()) for t in plain]))}


def _claims(completions: list[Completion], faces: Faces, reader: Reader) -> dict[str, float | None]:
    """Claims against the landmarks: signed ones by the design's definition, claims of rest apart."""
    moved: list[Claim] = []
    still: list[Claim] = []
    known = np.isfinite(faces.cues).all(1)
    for done, row in zip(completions, faces.cues, strict=True):
        if not done.rationale or not np.isfinite(row).all():
            continue
        said = reader.read(masked_sentences(done.rationale))[1]
        for claim in read_claims(said, dict(zip(CUE_NAMES, map(float, row), strict=True)), CLAIMED):
            (moved if claim.direction else still).append(claim)
    rates = claim_rates(sum(c.supported for c in moved), sum(c.contradicted for c in moved), len(moved))
    return {
        **rates,
        "claims_per_face": len(moved) / max(1, int(known.sum())),
        "rest_supported": sum(c.supported for c in still) / len(still) if still else None,
    }


def run(args: argparse.Namespace) -> Figures:
    """Measure every policy of every recipe; write `align.json`, `align.md`, `samples.md` and `curves.png` to `--out`."""
    arms = named_runs(args.arm)
    out: Path = args.out
    out.mkdir(parents=True, exist_ok=True)
    data = args.data or data_folder()
    faces, reader = read_faces(data, args.split, args.encoder, args.faces), Reader(args.verifier)
    judges: dict[str, Judging] = {"verifier": reader.judge}
    for name, folder in named_runs(args.judge or ["judge=runs/judge"]).items():
        independent = load_judge(folder[0])
        judges |= {name: independent.read, f"even_{name}": partial(independent.read, even_handed=True)}
    if args.endpoint:
        judges["endpoint"] = Endpoint(args.endpoint, args.model).judge
    figures: dict[str, Any] = {"split": args.split, "n": len(faces.label), "arms": {}}
    written: dict[str, list[Completion]] = {}
    for name, folder in tqdm([(n, f) for n, folders in arms.items() for f in folders], desc="policies", leave=False, disable=None):
        done = completions_of(folder / "policy", faces)
        written.setdefault(name, done)
        figures["arms"].setdefault(name, []).append({"run": folder.name, **measure(done, faces, reader, judges)})
    figures["summary"] = {name: summary(runs) for name, runs in figures["arms"].items()}
    (out / "align.json").write_text(json.dumps(figures, indent=1) + "\n")
    (out / "align.md").write_text(table(figures["summary"]))
    (out / "samples.md").write_text(samples(written, faces))
    if args.curve_faces:
        valid = read_faces(data, "valid", args.encoder, args.curve_faces)
        draw_curves(arms, lambda folder: measure(completions_of(folder, valid), valid, reader, judges), out)
    return figures


def named_runs(given: list[str]) -> dict[str, list[Path]]:
    """`NAME=RUN[,RUN…]` → name → runs."""
    return {name: [Path(folder) for folder in folders.split(",")] for name, _, folders in (item.partition("=") for item in given)}


def completions_of(folder: Path, faces: Faces) -> list[Completion]:
    """A saved policy's greedy completions, parsed."""
    if not folder.is_dir():
        raise InputError(f"no policy in '{folder}'")
    policy, processor = load_policy(folder)
    return [parse_completion(text, EMOTIONS_8) for text in complete(policy, processor.tokenizer, faces.views)]


def summary(runs: list[dict[str, Any]]) -> dict[str, tuple[float, float] | None]:
    """Mean and standard deviation over seeds of every figure; `None` where one run has none."""
    found: dict[str, tuple[float, float] | None] = {}
    for key in (k for k in runs[0] if k != "run"):
        values = [r[key] for r in runs]
        found[key] = None if None in values else (float(np.mean(values)), float(np.std(values, ddof=1)) if len(values) > 1 else 0.0)
    return found


def table(figures: dict[str, dict[str, tuple[float, float] | None]]) -> str:
    """A Markdown table: figures down, recipes across."""
    names = list(figures)
    rows = [f"| figure | {' | '.join(names)} |", "|---" * (len(names) + 1) + "|"]
    for key in figures[names[0]]:
        cells = [figures[name].get(key) for name in names]
        shown = ["–" if c is None else f"{c[0]:.3f}" + (f" ± {c[1]:.3f}" if c[1] else "") for c in cells]
        rows.append(f"| {key} | {' | '.join(shown)} |")
    return "\n".join(rows) + "\n"


def samples(written: dict[str, list[Completion]], faces: Faces, count: int = 10, seed: int = 0) -> str:
    """Ten faces side by side, drawn at random: what the landmarks measure, and what each recipe's first run says."""
    known = np.flatnonzero(np.isfinite(faces.cues).all(1))
    lines = []
    for face in random.Random(seed).sample(known.tolist(), min(count, len(known))):
        strong = sorted(zip(CUE_NAMES, faces.cues[face], strict=True), key=lambda pair: -abs(pair[1]))[:5]
        lines += [f"## {EMOTIONS_8[faces.label[face]]}", "", "Landmarks: " + ", ".join(f"{n} {z:+.1f}" for n, z in strong), ""]
        lines += [f"- **{name}** → {done[face].answer or 'unparseable'}: {done[face].rationale}" for name, done in written.items()]
        lines.append("")
    return "\n".join(lines)


COMMAND = Command(options, run)
