"""`python -m benchmarks align`: what each alignment recipe does to the explanations, under the verifier and under an independent judge.

Every metric comes twice, on the full rationale and with emotion words hidden. The independent judge shares neither architecture nor
training faces nor cue source with the verifier; the foreign one has never read this language. Differences between arms are paired, face by
face. Needs the `training` extra.
"""

from __future__ import annotations

import argparse
import json
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import combinations
from pathlib import Path

import numpy as np

from benchmarks.blocks import interval, markdown, named
from benchmarks.command import Command, Figures, assigned, progress
from benchmarks.quality.accuracy import claim_figures
from benchmarks.quality.interval import difference
from edge.errors import InputError
from edge.language.grammar import Grammar, Parsed
from edge.language.labels import EMOTIONS_8, mask_emotions
from edge.language.rationale import Completion, parse_completion, split_sentences
from edge.language.statements import CUE_KINDS
from edge.language.verdict import judge as weigh
from training.contrast import Contrast
from training.cues import CUE_NAMES
from training.data import data_folder, load_ferplus
from training.encoder import load_encoder
from training.judge import load_judge
from training.language import load_language, load_temperature
from training.metrics import coherence, war_uar
from training.policy import load_policy
from training.run import load_checkpoint
from training.verifier import load_verifier, read_texts
from training.views import Views, complete, look
from training.writer import ByFace, Writer, facts_of, text_of

#: Rationales → the label that each speaks for, `[N]`; −1 for an empty one.
Judging = Callable[[list[str]], np.ndarray]
WRITER = "writer alone"
"""The arm without a policy."""


def _options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--arm", action="append", required=True, metavar="NAME=RUN", help="a recipe and its run; repeat")
    parser.add_argument("--data", type=Path, help="folder of the data packs (default: ERV_DATA, or ../shared/data)")
    parser.add_argument("--split", choices=("train", "valid", "test"), default="test")
    for name in ("encoder", "verifier", "grammar"):
        parser.add_argument(f"--{name}", type=Path, default=Path("runs") / name, help=f"run of the {name} (default: runs/{name})")
    parser.add_argument("--judge", action="append", metavar="NAME=RUN", help="an independent judge; repeat (default: judge=runs/judge)")
    parser.add_argument("--foreign", metavar="ENCODER", help="a further judge: a sentence encoder, by folder or hub name (see the module)")
    parser.add_argument("--out", type=Path, default=Path("runs/align"), help="folder of the results (default: runs/align)")


@dataclass(frozen=True, slots=True)
class Faces:
    """Labelled faces as the frozen encoder reads them, with their landmarks' cues (NaN where there are none)."""

    views: Views
    label: np.ndarray
    cues: np.ndarray


def read_faces(data: Path, split: str, encoder: Path) -> Faces:
    """The faces of a split that the reference protocol counts."""
    network, cue_model = load_encoder(encoder)
    faces = load_ferplus(data, split)
    faces = faces.take(faces.label >= 0)
    cues, _ = cue_model.measure(faces.landmarks, faces.point_index)
    return Faces(look(network, faces, cue_model, 0, 0), faces.label, cues)


class Reader:
    """The verifier as a judge of whole rationales; every sentence is read once."""

    def __init__(self, folder: Path) -> None:
        self.model, self.tokenizer = load_verifier(folder)
        self.prior = np.asarray(load_checkpoint(folder)["prior"])
        self.known: dict[str, np.ndarray] = {}

    def judge(self, texts: list[str]) -> np.ndarray:
        """The label that the sentences' evidence speaks for."""
        if new := sorted({s for text in texts for s in split_sentences(text)} - set(self.known)):
            self.known |= dict(zip(new, read_texts(self.model, self.tokenizer, new).emotions, strict=True))
        read = ([self.known[sentence] for sentence in split_sentences(text)] for text in texts)
        return np.array([weigh(np.stack(each), self.prior, len(EMOTIONS_8)) if each else -1 for each in read])


Measured = tuple[Figures, dict[str, np.ndarray]]
"""One policy's figures; and those that have a value for every face: figure → `[N]` 0 or 1, whose mean is the figure."""


def measure(completions: list[Completion], faces: Faces, grammar: Grammar, judges: Mapping[str, Judging]) -> Measured:
    """Every figure of one policy's greedy completions."""
    answer = np.array([EMOTIONS_8.index(c.answer) if c.answer else -1 for c in completions])
    plain = [c.rationale for c in completions]
    war, uar = war_uar(faces.label, answer, len(EMOTIONS_8))
    parsed = [grammar.parse(text) for text in plain]
    # masked: without the conclusion, whose form alone tells a neutral face from the others
    masked = [p.evidence if p else mask_emotions(text) for p, text in zip(parsed, plain, strict=True)]
    answered = answer >= 0
    of_grammar = np.mean([p is not None for p in parsed])
    figures: Figures = {"parseable": float(answered.mean()), "of_grammar": float(of_grammar), "war": war, "uar": uar}
    marks = {"war": answer == faces.label}
    for name, judging in judges.items():
        for prefix, texts in ((f"{name}.", plain), (f"{name}.m", masked)):
            judged = judging(texts)
            figures |= {f"{prefix}{key}": value for key, value in coherence(faces.label, answer, judged).items()}
            marks[f"{prefix}epc"] = answered & (judged == answer)
            # nearly all that speaks for a neutral face denies something, and there are judges that do not hear a *no*
            marks[f"{prefix}epc_of_emotions"] = marks[f"{prefix}epc"] & (answer != EMOTIONS_8.index("neutral"))
            figures[f"{prefix}epc_of_emotions"] = float(marks[f"{prefix}epc_of_emotions"].mean())
            marks[f"{prefix}eea"] = answered & (judged >= 0) & (judged == faces.label)
    figures |= _claims(parsed, faces, grammar)
    figures |= {"words": float(np.mean([len(text.split()) for text in plain])), "distinct": len(set(plain)) / max(1, len(plain))}
    return figures, marks


def _claims(parsed: list[Parsed | None], faces: Faces, grammar: Grammar) -> dict[str, float | None]:
    """Claims against the landmarks: signed ones by the design's definition, claims of rest apart."""
    claims = [
        grammar.rules.claim(said, float(row[CUE_NAMES.index(said.subject)]))
        for text, row in zip(parsed, faces.cues, strict=True)
        if text and np.isfinite(row).all()
        for said in text.said
        if said.kind in CUE_KINDS
    ]
    still = [claim.supported for claim in claims if not claim.direction]
    moved = claim_figures([claim for claim in claims if claim.direction], faces.cues)
    return {**moved, "rest_supported": sum(still) / len(still) if still else None}


def run(args: argparse.Namespace) -> Figures:
    """Measure every recipe's policy; write `align.json`, `align.md` and `samples.md` to `--out`."""
    out = args.out
    out.mkdir(parents=True, exist_ok=True)
    data, grammar = args.data or data_folder(), load_language(args.grammar)
    faces = read_faces(data, args.split, args.encoder)
    judges, about = _judges(args, data)
    written = {WRITER: written_alone(grammar, faces, load_temperature(args.grammar))}
    for name, folder in progress(assigned("--arm", args.arm).items(), "policies"):
        written[name] = completions_of(Path(folder) / "policy", faces)
    measured = {name: measure(done, faces, grammar, judges) for name, done in written.items()}
    arms, apart = {name: found for name, (found, _) in measured.items()}, differences(measured)
    figures = {"split": args.split, "n": len(faces.label), **about, "arms": arms, "differences": apart}
    (out / "align.json").write_text(json.dumps(figures, indent=1) + "\n")
    (out / "align.md").write_text(tables(arms, apart))
    (out / "samples.md").write_text(samples(written, faces))
    return figures


def _judges(args: argparse.Namespace, data: Path) -> tuple[dict[str, Judging], Figures]:
    """The judges, and what is to be told of them."""
    judges: dict[str, Judging] = {"verifier": Reader(args.verifier).judge}
    for name, folder in assigned("--judge", args.judge or ["judge=runs/judge"]).items():
        independent = load_judge(Path(folder))
        judges |= {name: independent.read, f"even_{name}": partial(independent.read, even_handed=True)}
    about: Figures = {}
    if args.foreign:
        from benchmarks.quality.foreign import teach

        foreign = teach(args.foreign, data)
        judges["foreign"], about["foreign_judge"] = foreign.read, foreign.tried
    return judges, about


def written_alone(grammar: Grammar, faces: Faces, temperature: float) -> list[Completion]:
    """What the writer says of the encoder's readings under the encoder's label, wording following the face as in the cold start."""
    readings = faces.views.readings(0, temperature)
    writer = Writer(grammar, Contrast.fit(readings.cues, readings.probabilities, grammar))
    wording = ByFace.fit(readings.flat)
    labels = [EMOTIONS_8[i] for i in readings.probabilities.argmax(1)]
    texts = [text_of(writer.write(facts_of(readings, i), label, wording(readings.flat[i]))) for i, label in enumerate(labels)]
    return [Completion(text, label if text else "") for text, label in zip(texts, labels, strict=True)]


def differences(measured: Mapping[str, Measured]) -> dict[str, dict[str, Figures]]:
    """`later − earlier` → figure → by how much the later arm lies above the earlier, with its paired interval."""
    return {
        f"{later} − {earlier}": {key: difference(measured[later][1][key], marks) for key, marks in measured[earlier][1].items()}
        for earlier, later in combinations(measured, 2)
    }


def completions_of(folder: Path, faces: Faces) -> list[Completion]:
    """A saved policy's greedy completions, parsed."""
    if not folder.is_dir():
        raise InputError(f"no policy in '{folder}'")
    policy, processor = load_policy(folder)
    return [parse_completion(text, EMOTIONS_8) for text in complete(policy, processor.tokenizer, faces.views)]


def tables(arms: Mapping[str, Figures], apart: Mapping[str, Figures]) -> str:
    """The figures in Markdown: arms, and pairs of them, across."""
    figures = {key: {arm: each[key] for arm, each in arms.items()} for key in arms[WRITER]}
    form = "{:+.3f} ({:+.3f} to {:+.3f})"
    gaps = {key: {pair: interval(each[key], form) for pair, each in apart.items()} for key in next(iter(apart.values()))}
    return "\n".join(markdown([named("", "figure", figures, list(arms)), named("", "difference (95 %)", gaps, list(apart))]))


def samples(written: dict[str, list[Completion]], faces: Faces, count: int = 10, seed: int = 0) -> str:
    """Ten faces side by side, drawn at random: what the landmarks measure, and what each recipe says."""
    known = np.flatnonzero(np.isfinite(faces.cues).all(1))
    lines = []
    for face in random.Random(seed).sample(known.tolist(), min(count, len(known))):
        strong = sorted(zip(CUE_NAMES, faces.cues[face], strict=True), key=lambda pair: -abs(pair[1]))[:5]
        lines += [f"## {EMOTIONS_8[faces.label[face]]}", "", "Landmarks: " + ", ".join(f"{n} {z:+.1f}" for n, z in strong), ""]
        lines += [f"- **{name}** → {done[face].answer or 'unparseable'}: {done[face].rationale}" for name, done in written.items()]
        lines.append("")
    return "\n".join(lines)


COMMAND = Command(_options, run)
