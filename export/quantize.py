"""`python -m export quantize`: a smaller bundle that is proven to decide the same, or none.

A recipe lists for each graph what to try. Each candidate takes the graph's place in the running pipeline, and is timed against the
float32 graph in turns and judged by what the pipeline then decides; the smallest that passes is kept. The whole is then compared with
the float32 bundle once more, on faces that took no part in any choice.
"""

from __future__ import annotations

import dataclasses
import logging
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnxruntime

from edge.bundle import GRAPHS, HASHES, SCREEN, Bundle, BundleConfig
from edge.engine.backend import OrtSession
from edge.errors import BundleError, InputError
from edge.pipeline import Pipeline
from edge.profiles import graph_profiles
from export.agreement import Decisions, ParityError, agreement, decisions, failures
from export.crops import Crops, load_crops
from export.finder import store_screen
from export.lint import lint_graph
from export.probe import full_path, paired_time, record, replaced
from export.publish import write_config
from export.recipe import Recipe
from export.strategies import Feed, Strategy, apply
from training.folders import new_folder
from training.run import progress

log = logging.getLogger(__name__)
NOISE = 1.05
"""A graph that takes less than this times as long as the float32 one ties with it: timing cannot tell them apart."""
_FLOAT = Strategy("float32")


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


def quantize(folder: Path, out: Path, data: Path, recipe: Recipe) -> dict[str, Any]:
    """Make a quantised bundle.

    Args:
        folder: the float32 bundle.
        out: the new bundle; an existing one is replaced at the very end.
        data: folder of the data packs, or a folder of face crops (see `load_crops`).
        recipe: what to try, and what the result must keep to.

    Returns:
        `trials` (one row each), `kept` (graph → strategy), `size`, `time`, `agreement`.

    Raises:
        BundleError: the bundle is damaged.
        InputError: no faces, or `out` cannot be written.
        ParityError: the result decides differently, or is not small enough; nothing is written.
    """
    bundle = Bundle.load(folder)
    calibration, judged, proof = _faces(data, bundle.config.image.size, recipe)
    with new_folder(out, HASHES, sources=[bundle.folder]) as fresh, Pipeline.load(folder, device=recipe.device, threads=1) as pipeline:
        feeds = record(pipeline, calibration)
        wanted = decisions(pipeline, judged)
        work = fresh.with_name("candidates")
        work.mkdir()
        trials = list(_trials(pipeline, recipe, feeds, (judged, wanted), work))
        chosen = _fit_together(pipeline, trials, (judged, wanted), recipe)
        for path in bundle.folder.iterdir():
            shutil.copyfile(path, fresh / path.name)
        for name, trial in chosen.items():
            if trial.path:
                shutil.copyfile(trial.path, fresh / f"{name}.onnx")
        if (fresh / f"{SCREEN}.onnx").is_file():
            store_screen(fresh / f"{SCREEN}.onnx")
        kept = {name: str(chosen[name].strategy) if name in chosen else str(_FLOAT) for name in GRAPHS}
        size = _bytes(fresh) / _bytes(bundle.folder)
        write_config(fresh, _noted(bundle, {}))  # so that it loads; its figures follow
        figures, ratio = _prove(pipeline, fresh, proof, recipe, size)
        chosen_by = {"recipe": recipe.name, **kept, "size": round(size, 4), "full_path_time": round(ratio, 3)}
        shown = {**figures, "tensors": {name: error["relative"] for name, error in figures["tensors"].items()}}
        write_config(fresh, _noted(bundle, {"quantised": chosen_by, "agreement with float32": shown}))
        Bundle.load(fresh)
    return {"trials": [_row(trial) for trial in trials], "kept": kept, "size": size, "time": ratio, "agreement": figures}


def _prove(pipeline: Pipeline, fresh: Path, proof: Crops, recipe: Recipe, size: float) -> tuple[dict[str, Any], float]:
    """Agreement and time of the finished bundle, next to the float32 pipeline; `ParityError` when it does not pass."""
    with Pipeline.load(fresh, device=recipe.device, threads=1) as small:
        reference = decisions(pipeline, proof)
        figures = agreement(reference, decisions(small, proof, reference=reference), proof.labels)
        ratio = full_path(pipeline, small, proof)
    against = failures(figures, recipe.gates)
    against += [f"it takes {ratio:.2f} times as long"] * (ratio > NOISE)
    against += [f"it has {size:.1%} of the bytes (gate {recipe.max_size:.0%})"] * (size > recipe.max_size)
    if against:
        raise ParityError(f"the quantised bundle is not written: {'; '.join(against)}; try --recipe sweep")
    return figures, ratio


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


def _trials(
    pipeline: Pipeline, recipe: Recipe, feeds: dict[str, list[Feed]], judged: tuple[Crops, Decisions], work: Path
) -> Iterator[Trial]:
    """Try each graph's candidates in order."""
    for graph, strategies in recipe.graphs.items():
        for i, strategy in enumerate(progress(strategies, graph)):
            trial = try_one(pipeline, graph, strategy, feeds[graph], judged, work / f"{graph}-{i}.onnx", recipe)
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
    path: Path,
    recipe: Recipe,
) -> Trial:
    """Make, time and judge one candidate; one that cannot be made, or does not run, is a trial that failed."""
    source = pipeline.bundle.graph(graph)
    if not feeds:
        raise InputError(f"graph '{graph}' is never run for the calibration faces, of which nothing can be said: give others")
    if strategy.kind == "float32":
        return Trial(graph, strategy, 1.0, 1.0, {}, [], None)
    try:
        apply(strategy, source, path, feeds)
        session = OrtSession(path, device=recipe.device, threads=1)
    except (BundleError, InputError):
        raise
    except Exception as error:  # whatever the quantisers cannot take
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        return Trial(graph, strategy, 1.0, 1.0, {}, [f"it cannot be made: {reason}"], None)
    crops, wanted = judged
    whole = OrtSession(source, device=recipe.device, threads=1)  # as fresh as the candidate: the pipeline's own has grown its memory
    try:
        ratio = paired_time(whole, session, feeds[len(feeds) // 2])
        with replaced(pipeline, graph, session):
            figures = agreement(wanted, decisions(pipeline, crops, reference=wanted), crops.labels)
    finally:
        session.close()
        whole.close()
    against = failures(figures, recipe.gates.halved())
    against += [f"it takes {ratio:.2f} times as long"] * (ratio > NOISE)
    return Trial(graph, strategy, path.stat().st_size / source.stat().st_size, ratio, figures, against, path)


def _fit_together(pipeline: Pipeline, trials: list[Trial], judged: tuple[Crops, Decisions], recipe: Recipe) -> dict[str, Trial]:
    """The smallest passing candidate of every graph; where they do not pass together, the one that costs most agreement steps back."""
    passing = {
        graph: sorted((t for t in trials if t.graph == graph and not t.against and t.path), key=lambda t: t.size) for graph in GRAPHS
    }
    crops, wanted = judged
    while chosen := {graph: options[0] for graph, options in passing.items() if options}:
        if not (against := failures(_together(pipeline, list(chosen.values()), crops, wanted, recipe.device), recipe.gates)):
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


def _noted(bundle: Bundle, figures: dict[str, Any]) -> BundleConfig:
    """The configuration of a bundle made from `bundle`, with further figures."""
    record = {**bundle.config.provenance, "quantiser": f"onnxruntime {onnxruntime.__version__}"}
    return dataclasses.replace(bundle.config, metrics={**bundle.config.metrics, **figures}, provenance=record)


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
