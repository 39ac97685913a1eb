"""`python -m export quantize`: a smaller bundle that is proven to decide the same, or none.

A recipe lists for each graph what to try. Each candidate takes the graph's place in the running pipeline, and is timed against the
float32 graph in turns and judged by what the pipeline then decides; the smallest that passes is kept. The whole is then compared with
the float32 bundle once more, on faces that took no part in any choice.
"""

from __future__ import annotations

import dataclasses
import json
import logging
import platform
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

from edge.backend import OrtSession, Session
from edge.bundle import GRAPHS, Bundle
from edge.errors import BundleError, InputError, UsageError
from edge.pipeline import Pipeline
from edge.profiles import graph_profiles
from export.agreement import Decisions, Gates, ParityError, agreement, decisions, failures
from export.card import write_card
from export.crops import Crops, load_crops, scenes
from export.lint import lint_graph
from export.publish import new_bundle
from export.strategies import Feed, Strategy, apply
from training.run import progress

log = logging.getLogger(__name__)
RECIPES = Path(__file__).parent / "recipes"
NOISE = 1.05
"""A graph that takes less than this times as long as the float32 one ties with it: timing cannot tell them apart."""
_FLOAT = Strategy("float32")


@dataclass(frozen=True, slots=True)
class Recipe:
    """What to try on each graph."""

    name: str
    note: str
    calibration: int
    """Faces that activation ranges are chosen on."""
    judged: int
    """Faces that candidates are judged on."""
    targets: tuple[str, ...]
    """TensorRT versions that every graph must pass `lint` for."""
    graphs: dict[str, list[Strategy]]
    """Graph → candidates, the smallest first; a graph that is not named, or none of whose candidates passes, stays in float32."""
    device: str = "cpu"
    """What the candidates are timed and judged on."""
    max_size: float = 0.45
    """Largest size of the quantised bundle, of the float32 one."""
    every: bool = False
    """Try every candidate, and not only up to the first that passes."""


@dataclass(frozen=True, slots=True)
class Trial:
    """One candidate for one graph, measured."""

    graph: str
    strategy: Strategy
    size: float
    """Of the float32 graph's bytes."""
    time: float
    """Of the float32 graph's time, paired."""
    figures: dict[str, Any]
    """Agreement of the whole pipeline with only this graph replaced."""
    against: list[str]
    """Why it is not kept; empty when it may be."""
    path: Path | None


def read_recipe(given: str) -> Recipe:
    """Read a recipe: `auto` (this machine's kind of CPU), the name of a stored one, or a JSON file.

    Raises:
        UsageError: there is none of that name, or it is malformed.
    """
    kind = {"x86_64": "x86-64", "amd64": "x86-64", "aarch64": "aarch64", "arm64": "aarch64"}
    name = kind.get(platform.machine().lower(), "x86-64") if given == "auto" else given
    path = RECIPES / f"{name}.json"
    path = path if path.is_file() else Path(given)
    if not path.is_file():
        stored = ", ".join(sorted(p.stem for p in RECIPES.glob("*.json")))
        raise UsageError(f"no recipe '{given}': expected auto, a JSON file, or one of {stored}")
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        if unknown := set(values["graphs"]) - set(GRAPHS):
            raise ValueError(f"unknown graph {', '.join(sorted(unknown))}")
        graphs = {
            graph: [Strategy(**{**entry, "keep": tuple(entry.get("keep", ()))}) for entry in entries]
            for graph, entries in values.pop("graphs").items()
        }
        recipe = Recipe(graphs=graphs, targets=tuple(values.pop("targets")), **values)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise UsageError(f"the recipe '{path}' is malformed: {error}") from None
    if min(recipe.calibration, recipe.judged) < 1:
        raise UsageError(f"the recipe '{path}' needs at least one face to calibrate with and one to judge on")
    return recipe


def quantize(folder: Path, out: Path, data: Path, recipe: Recipe, *, gates: Gates | None = None) -> dict[str, Any]:
    """Make a quantised bundle.

    Args:
        folder: the float32 bundle.
        out: the new bundle; an existing one is replaced at the very end.
        data: folder of the data packs, or a folder of face crops (see `load_crops`).
        recipe: what to try.
        gates: what the result must keep to, next to the recipe's size.

    Returns:
        `trials` (one row each), `kept` (graph → strategy), `size`, `time`, `agreement`.

    Raises:
        BundleError: the bundle is damaged.
        InputError: no faces, or `out` cannot be written.
        ParityError: the result decides differently, or is not small enough; nothing is written.
    """
    gates = gates or Gates()
    bundle = Bundle.load(folder)
    calibration, judged, proof = _faces(data, bundle.config.image.size, recipe)
    with new_bundle(out) as fresh, Pipeline.load(folder, device=recipe.device, threads=1) as pipeline:
        feeds = record(pipeline, calibration)
        wanted = decisions(pipeline, judged)
        work = fresh.with_name("candidates")
        work.mkdir()
        trials = list(_trials(pipeline, recipe, feeds, (judged, wanted), gates, work))
        chosen = _fit_together(pipeline, trials, (judged, wanted), gates, recipe.device)
        shutil.copytree(bundle.folder, fresh, dirs_exist_ok=True)
        for name, trial in chosen.items():
            if trial.path:
                shutil.copyfile(trial.path, fresh / f"{name}.onnx")
        kept = {name: str(chosen[name].strategy) if name in chosen else str(_FLOAT) for name in GRAPHS}
        size = _bytes(fresh) / _bytes(bundle.folder)
        write_config(fresh, bundle, {})  # so that it loads; its figures follow
        with Pipeline.load(fresh, device=recipe.device, threads=1) as small:
            figures = agreement(reference := decisions(pipeline, proof), decisions(small, proof, reference=reference), proof.labels)
            ratio = full_path(pipeline, small, proof)
        against = failures(figures, gates)
        against += [f"it takes {ratio:.2f} times as long"] * (ratio > NOISE)
        against += [f"it has {size:.1%} of the bytes (gate {recipe.max_size:.0%})"] * (size > recipe.max_size)
        if against:
            raise ParityError(f"the quantised bundle is not written: {'; '.join(against)}; try --recipe sweep")
        chosen_by = {"recipe": recipe.name, **kept, "size": round(size, 4), "full_path_time": round(ratio, 3)}
        shown = {**figures, "tensors": {name: error["relative"] for name, error in figures["tensors"].items()}}
        write_config(fresh, bundle, {"quantised": chosen_by, "agreement with float32": shown})
        Bundle.load(fresh)
    return {"trials": [_row(trial) for trial in trials], "kept": kept, "size": size, "time": ratio, "agreement": figures}


def _faces(data: Path, size: int, recipe: Recipe) -> tuple[Crops, Crops, Crops]:
    """Faces to calibrate with, to choose on, and to prove it on; no face is in two of them."""
    valid = load_crops(data, "valid", size)
    if valid.labels is not None:
        least = min(recipe.calibration, len(valid) // 2)
        return valid.part(0, least), valid.part(least, least + recipe.judged), load_crops(data, "test", size)
    thirds = [min(recipe.calibration, len(valid) // 3), (2 * len(valid)) // 3]
    if not thirds[0]:
        raise InputError(f"'{data}' holds {len(valid)} pictures: at least 3 are needed, to calibrate, to choose and to prove")
    return valid.part(0, thirds[0]), valid.part(thirds[0], thirds[1]), valid.part(thirds[1])


class Recorder:
    """A session that keeps a copy of what goes in."""

    def __init__(self, session: Session, feeds: list[Feed]) -> None:
        self.session, self.feeds, self.provider = session, feeds, session.provider

    def run(self, inputs: Feed) -> Feed:
        """Run the graph."""
        self.feeds.append({name: value.copy() for name, value in inputs.items()})
        return self.session.run(inputs)

    def run_into(self, inputs: Feed, outputs: Feed) -> Feed:
        """Run the graph into the given arrays."""
        self.feeds.append({name: value.copy() for name, value in inputs.items()})
        return self.session.run_into(inputs, outputs)

    def close(self) -> None:
        """Nothing is held."""


@contextmanager
def replaced(pipeline: Pipeline, graph: str, session: Session) -> Iterator[None]:
    """Let another session run one of the pipeline's graphs for a while."""
    explainer = pipeline.explainer
    owner, name = {
        "face": (pipeline.finder, "session"),
        "vision_encoder": (pipeline.encoder, "session"),
        "embed_tokens": (explainer.policy, "embed"),
        "decoder_model_merged": (explainer.policy, "decoder"),
        "verifier": (explainer.verifier, "session"),
    }[graph]
    before = getattr(owner, name)
    setattr(owner, name, session)
    try:
        yield
    finally:
        setattr(owner, name, before)


def session_of(pipeline: Pipeline, graph: str) -> Session:
    """The session that runs one of the pipeline's graphs."""
    explainer = pipeline.explainer
    found: dict[str, Session] = {
        "face": pipeline.finder.session,
        "vision_encoder": pipeline.encoder.session,
        "embed_tokens": explainer.policy.embed,
        "decoder_model_merged": explainer.policy.decoder,
        "verifier": explainer.verifier.session,
    }
    return found[graph]


def record(pipeline: Pipeline, crops: Crops) -> dict[str, list[Feed]]:
    """What each graph really gets while the pipeline reads and explains these faces, one at a time."""
    feeds: dict[str, list[Feed]] = {name: [] for name in GRAPHS}

    def listen(names: tuple[str, ...], calls: list[Any]) -> None:
        if not names:
            for call in calls:
                call()
            return
        with replaced(pipeline, names[0], Recorder(session_of(pipeline, names[0]), feeds[names[0]])):
            listen(names[1:], calls)

    pictures = scenes(crops.images, min(32, len(crops)), seed=1)
    listen(("face",), [lambda p=p: pipeline.finder(p) for p in pictures])
    listen(("vision_encoder",), [lambda i=i: pipeline.encoder(crops.images[i : i + 1]) for i in range(len(crops))])
    listen(GRAPHS[2:], [lambda: decisions(pipeline, crops.part(0, 1))])
    return feeds


def paired_time(a: Session, b: Session, feed: Feed, *, rounds: int = 9, calls: int = 20) -> float:
    """How long `b` takes in units of `a`: the middle, over rounds of calls in turns, of the ratio of the rounds' medians."""
    ratios = []
    for _ in range(rounds + 1):
        spent: tuple[list[float], list[float]] = ([], [])
        for call in range(calls):
            for i in (0, 1) if call % 2 else (1, 0):  # who comes second finds the inputs in the cache
                started = time.perf_counter()
                (a, b)[i].run(feed)
                spent[i].append(time.perf_counter() - started)
        ratios.append(float(np.median(spent[1]) / np.median(spent[0])))
    return float(np.median(ratios[1:]))  # the first round warms up


def full_path(a: Pipeline, b: Pipeline, crops: Crops, *, rounds: int = 5) -> float:
    """How long `b` takes, in units of `a`, to find, read and explain the faces of a few pictures: the median of paired runs."""
    pictures = [np.repeat(picture[..., None], 3, 2) for picture in scenes(crops.images, 12, seed=2)]
    ratios = []
    for _ in range(rounds + 1):
        spent = [0.0, 0.0]
        for turn, picture in enumerate(pictures):
            for i in (0, 1) if turn % 2 else (1, 0):
                started = time.perf_counter()
                (a, b)[i](picture)
                spent[i] += time.perf_counter() - started
        ratios.append(spent[1] / spent[0])
    return float(np.median(ratios[1:]))


def _trials(
    pipeline: Pipeline, recipe: Recipe, feeds: dict[str, list[Feed]], judged: tuple[Crops, Decisions], gates: Gates, work: Path
) -> Iterator[Trial]:
    """Try each graph's candidates in order."""
    for graph, strategies in recipe.graphs.items():
        for i, strategy in enumerate(progress(strategies, graph)):
            trial = try_one(pipeline, graph, strategy, feeds[graph], judged, gates, work / f"{graph}-{i}.onnx", recipe.device)
            if trial.path and recipe.targets:
                profiles = graph_profiles(graph, pipeline.bundle.config)
                found = [str(finding) for target in recipe.targets for finding in lint_graph(trial.path, profiles, target)]
                trial = dataclasses.replace(trial, against=trial.against + found[:1])
            log.info("%s: %s: size %.2f, time %.2f: %s", graph, strategy, trial.size, trial.time, "; ".join(trial.against) or "passes")
            yield trial
            if not trial.against and not recipe.every:
                break


def try_one(
    pipeline: Pipeline,
    graph: str,
    strategy: Strategy,
    feeds: list[Feed],
    judged: tuple[Crops, Decisions],
    gates: Gates,
    path: Path,
    device: str,
) -> Trial:
    """Make, time and judge one candidate; one that cannot be made, or does not run, is a trial that failed."""
    source = pipeline.bundle.graph(graph)
    if strategy.kind == "float32":
        return Trial(graph, strategy, 1.0, 1.0, {}, [], None)
    try:
        apply(strategy, source, path, feeds)
        session = OrtSession(path, device=device, threads=1)
    except (BundleError, InputError):
        raise
    except Exception as error:  # whatever the quantisers cannot take
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        return Trial(graph, strategy, 1.0, 1.0, {}, [f"it cannot be made: {reason}"], None)
    crops, wanted = judged
    try:
        ratio = paired_time(session_of(pipeline, graph), session, feeds[len(feeds) // 2])
        with replaced(pipeline, graph, session):
            figures = agreement(wanted, decisions(pipeline, crops, reference=wanted), crops.labels)
    finally:
        session.close()
    against = failures(figures, gates.halved())
    against += [f"it takes {ratio:.2f} times as long"] * (ratio > NOISE)
    return Trial(graph, strategy, path.stat().st_size / source.stat().st_size, ratio, figures, against, path)


def _fit_together(pipeline: Pipeline, trials: list[Trial], judged: tuple[Crops, Decisions], gates: Gates, device: str) -> dict[str, Trial]:
    """The smallest passing candidate of every graph; where they do not pass together, the one that costs most agreement steps back."""
    passing = {
        graph: sorted((t for t in trials if t.graph == graph and not t.against and t.path), key=lambda t: t.size) for graph in GRAPHS
    }
    crops, wanted = judged
    while chosen := {graph: options[0] for graph, options in passing.items() if options}:
        if not (against := failures(_together(pipeline, list(chosen.values()), crops, wanted, device), gates)):
            break
        worst = min(chosen.values(), key=lambda t: (t.figures["streams"] + t.figures["verdicts"], -t.size))
        log.info("together: %s; %s gives up %s", "; ".join(against), worst.graph, worst.strategy)
        passing[worst.graph].pop(0)
    return chosen


def _together(pipeline: Pipeline, trials: list[Trial], crops: Crops, wanted: Decisions, device: str) -> dict[str, Any]:
    if not trials:
        return agreement(wanted, decisions(pipeline, crops, reference=wanted), crops.labels)
    session = OrtSession(trials[0].path or pipeline.bundle.graph(trials[0].graph), device=device, threads=1)
    with replaced(pipeline, trials[0].graph, session):
        return _together(pipeline, trials[1:], crops, wanted, device)


def write_config(fresh: Path, bundle: Bundle, figures: dict[str, Any]) -> None:
    """Write configuration, model card and hashes of a bundle made from `bundle`, with further figures."""
    from edge.bundle import write_hashes

    metrics = {**bundle.config.metrics, **figures}
    record = {**bundle.config.provenance, "quantiser": f"onnxruntime {onnxruntime.__version__}"}
    config = dataclasses.replace(bundle.config, metrics=metrics, provenance=record)
    text = json.dumps(dataclasses.asdict(config), indent=1, ensure_ascii=False) + "\n"
    (fresh / "config.json").write_text(text, encoding="utf-8")
    write_card(fresh, config, metrics)
    write_hashes(fresh)


def table(result: dict[str, Any]) -> str:
    """The trials as a Markdown table, the kept ones marked."""
    lines = ["| graph | strategy | size | time | labels | streams | verdicts | |", "|---|---|---|---|---|---|---|---|"]
    for row in result["trials"]:
        shares = " | ".join(f"{row[level]:.2%}" if level in row else "" for level in ("labels", "streams", "verdicts"))
        kept = result["kept"][row["graph"]] == row["strategy"]
        mark = "**kept**" if kept else "; ".join(row["against"]) or "passes"
        lines.append(f"| {row['graph']} | {row['strategy']} | {row['size']:.2f} | {row['time']:.2f} | {shares} | {mark} |")
    return "\n".join(lines) + "\n"


def _row(trial: Trial) -> dict[str, Any]:
    shares = {level: trial.figures[level] for level in ("faces", "labels", "streams", "verdicts") if level in trial.figures}
    measured = {"size": round(trial.size, 4), "time": round(trial.time, 3)}
    return {"graph": trial.graph, "strategy": str(trial.strategy), **measured, **shares, "against": trial.against}


def _bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.iterdir())
