"""`python -m benchmarks roofline`: how far each graph is from what this machine can do.

The ceiling is measured, not read from a data sheet: the rate of a large matrix product and the bandwidth of memory. A graph's
*attainable* rate is the lesser of the two at its arithmetic intensity (Roofline: An Insightful Visual Performance Model for Multicore
Architectures, 2009), with only the bytes counted that no cache can save; weights count unpacked. `--profile` adds, per operator, where
the time goes.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from copy import copy
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from benchmarks.command import Command, Figures, bundle_options, check, whole
from benchmarks.speed.clock import UNIT, UNIT_FLOPS, interleave, timed
from benchmarks.speed.flops import Count, count, node_flops
from benchmarks.speed.stages import Feed, Scene, Watched, demo_frame
from edge.cv import cv2
from edge.engine.fold import fold_constants
from edge.errors import UsageError
from edge.language.rationale import parse_completion
from edge.language.verdict import sentences_of
from edge.pipeline import Pipeline
from edge.vision.crop import align

_CPU = "CPUExecutionProvider"
Owner = TypeVar("Owner")
"""Of a session: a finder, an encoder, a policy, a verifier."""

_SHOWN = 0.02
"""Least share of a run for a row of its own in the profile."""


def feeds(scene: Scene) -> dict[str, tuple[str, Feed]]:
    """What the pipeline really gives each graph for one face: stage → graph and feed.

    The decoder appears twice: reading the prompt, and one token in the middle of the rationale.
    """
    pipeline, explainer = scene.pipeline, scene.pipeline.explainer
    fed: dict[str, list[Feed]] = {}

    def listening(name: str, owner: Owner, session: str = "session") -> Owner:
        """A twin of a part of the pipeline that keeps what its graph is given."""
        twin, kept = copy(owner), fed.setdefault(name, [])
        keep = Watched(getattr(owner, session), before=lambda feed: kept.append({key: array.copy() for key, array in feed.items()}))
        setattr(twin, session, keep)
        return twin

    listening("face", pipeline.finder)(scene.grey)
    listening("encode", pipeline.encoder)(align(scene.grey, scene.detection, pipeline.config.image)[0][None])
    scope = explainer.grammar.scope(scene.subject.facts.hidden)
    listening("token", explainer.policy, "decoder").greedy(scene.subject.tokens[None], [scope])
    done = parse_completion(scene.text, tuple(pipeline.config.labels))
    sentences = sentences_of(done, explainer.grammar.parse(done.rationale))
    listening("verify", explainer.verifier)(sentences or [scene.text])
    return {
        "face": ("face", fed["face"][0]),
        "encode": ("vision_encoder", fed["encode"][0]),
        "prompt": ("decoder_model_merged", fed["token"][0]),
        "token": ("decoder_model_merged", fed["token"][len(fed["token"]) // 2]),
        "verify": ("verifier", fed["verify"][0]),
    }


def bandwidth(threads: int, megabytes: int = 256, repeats: int = 7) -> float:
    """Bytes per second of copying an array that no cache holds, read and written bytes both counted; the best of `repeats`."""
    source = np.ones(megabytes * 2**20 // 8)
    target = np.zeros_like(source)
    parts = list(zip(np.array_split(target, threads), np.array_split(source, threads), strict=True))
    best = np.inf
    with ThreadPoolExecutor(threads) as pool:
        for _ in range(repeats):
            started = time.perf_counter()
            list(pool.map(lambda part: np.copyto(*part), parts))
            best = min(best, time.perf_counter() - started)
    return 2 * source.nbytes / best


def measure(pipeline: Pipeline, threads: int, *, rounds: int = 30, profile: bool = False) -> Figures:
    """Count and time every graph on one face in a 640×480 picture.

    Returns:
        `threads`, `gemm_gflops`, `bandwidth_gbs`, and `stages`: stage → `graph`, `median_ms`, `mflops`, `weight_mb`, `intensity` (FLOPs per
        byte), `gflops` reached, `share_of_gemm`, `share_of_attainable`, `bound` (`compute` or `memory`), `uncounted`; with
        `profile` also `operators`. The decoder runs on one thread whatever `threads` says, so its ceiling is that of one.
        What rests on uncounted operators is `None`, and so is every share on a provider other than the CPU, whose ceiling is not known.
    """
    cv2.setNumThreads(threads)
    scene = Scene.of(pipeline, demo_frame())
    given = feeds(scene)
    work = [timed(name, _runner(pipeline, *one)) for name, one in given.items()]
    times = interleave(work, threads, rounds=rounds, title="roofline")
    roofs = _roofs(times[UNIT], threads) if pipeline.provider == _CPU else {}
    stages = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, (graph, feed) in given.items():
            own = 1 if graph == "decoder_model_merged" else threads
            unpacked = Path(folder) / f"{name}.onnx"
            fold_constants(pipeline.bundle.graph(graph), unpacked)
            stage = _place(count(unpacked, feed), float(np.median(times[name])), *roofs.get(own, (None, None)))
            stages[name] = {"graph": graph, "threads": own, **stage}
            if profile and roofs:
                stages[name]["operators"] = operators(unpacked, feed, own, roofs[own][0])
    ceilings: Figures = {}
    for end, own in (("", threads), ("_one_thread", 1)):
        gemm, stream = roofs.get(own, (np.nan, np.nan))
        ceilings |= {f"gemm_gflops{end}": gemm / 1e9, f"bandwidth_gbs{end}": stream / 1e9}
    return {"threads": threads, **ceilings, "provider": pipeline.provider, "stages": stages}


def _roofs(unit: np.ndarray, threads: int) -> dict[int, tuple[float, float]]:
    """Threads, as many as given and one → FLOP/s and bytes/s of this machine's CPU.

    FLOP/s of the fastest matmul: a ceiling is what the machine can do, not what it does while others use it.
    """
    units = {1: unit if threads == 1 else interleave([], 1, rounds=len(unit), title="one thread")[UNIT], threads: unit}
    return {own: (float(UNIT_FLOPS / spent.min() * 1e3), bandwidth(own)) for own, spent in units.items()}


def _place(cost: Count, median_ms: float, ceiling: float | None, stream: float | None) -> Figures:
    known = dict.fromkeys(("mflops", "intensity", "gflops", "share_of_gemm", "share_of_attainable", "bound"))
    figures: Figures = {"median_ms": median_ms, "weight_mb": cost.weight_bytes / 1e6}
    figures |= {"uncounted": list(cost.uncounted), **known}
    if cost.flops is None:
        return figures
    rate, intensity = cost.flops / median_ms * 1e3, cost.flops / cost.least_bytes
    figures |= {"mflops": cost.flops / 1e6, "intensity": intensity, "gflops": rate / 1e9}
    if ceiling is None or stream is None:
        return figures
    figures |= {"share_of_gemm": rate / ceiling, "share_of_attainable": rate / min(ceiling, intensity * stream)}
    return figures | {"bound": "memory" if intensity * stream < ceiling else "compute"}


def _runner(pipeline: Pipeline, graph: str, feed: Feed) -> Callable[[], object]:
    """The graph in the pipeline's own session, given the pipeline's own feed."""
    policy = pipeline.explainer.policy
    owners = {
        "face": pipeline.finder.session,
        "vision_encoder": pipeline.encoder.session,
        "decoder_model_merged": policy.decoder,
        "verifier": pipeline.explainer.verifier.session,
    }
    session = owners[graph]
    if graph == "decoder_model_merged":  # as the policy runs it: the caches are updated in place
        into = {present: feed[past] for past, present in zip(policy.past, policy.present, strict=True)}
        return lambda: session.run_into(feed, into)
    return lambda: session.run(feed)


def operators(path: Path, feed: Feed, threads: int, ceiling: float, runs: int = 40) -> list[Figures]:
    """ONNX Runtime's own profile of a graph on the CPU, operators of a kind together, the most expensive first.

    Returns:
        Rows of `operator`, `calls` in a run, `us` in a run (mean over the faster half of the runs), `share` of the run, `mflops` as it was
        run (padded channels included), `share_of_gemm`. `others` are those below 2 % together, `outside` is the part of a run that no
        operator accounts for; the clock readings of the profile itself are in it.
    """
    import onnxruntime as ort

    with tempfile.TemporaryDirectory() as folder:
        options = ort.SessionOptions()
        options.enable_profiling, options.profile_file_prefix = True, str(Path(folder) / "profile")
        options.intra_op_num_threads, options.log_severity_level = threads, 3
        session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        for _ in range(runs):
            session.run(None, feed)
        events = json.loads(Path(session.end_profiling()).read_text(encoding="utf-8"))
    wholes = np.array([event["dur"] for event in events if event.get("name") == "model_run"])
    nodes = [e for e in events if e.get("cat") == "Node" and e.get("name", "").endswith("_kernel_time")]
    each = np.array([e["dur"] for e in nodes]).reshape(runs, -1)
    kinds = [e["args"]["op_name"] for e in nodes[: each.shape[1]]]
    work = [_work(e["args"]) for e in nodes[: each.shape[1]]]
    calm = np.argsort(wholes, kind="stable")[: runs // 2]
    total = float(wholes[calm].mean())
    rows = []
    for kind in dict.fromkeys(kinds):
        which = [i for i, name in enumerate(kinds) if name == kind]
        spent, known = float(each[np.ix_(calm, which)].sum(1).mean()), [w for i in which if (w := work[i]) is not None]
        flops = sum(known) if len(known) == len(which) else None
        rows.append(_row(kind, len(which), spent, total, flops, ceiling))
    rows.sort(key=lambda row: -row["us"])
    shown, small = [r for r in rows if r["share"] >= _SHOWN], [r for r in rows if r["share"] < _SHOWN]
    others = _row("others", sum(r["calls"] for r in small), sum(r["us"] for r in small), total, 0, ceiling)
    return [*shown, others, _row("outside", 1, float((wholes - each.sum(1))[calm].mean()), total, 0, ceiling)]


def _row(operator: str, calls: int, spent_us: float, total_us: float, flops: int | None, ceiling: float) -> Figures:
    share = flops / (spent_us * 1e-6) / ceiling if flops else None
    mflops = None if flops is None else flops / 1e6
    return {"operator": operator, "calls": calls, "us": spent_us, "share": spent_us / total_us, "mflops": mflops, "share_of_gemm": share}


def _work(args: dict[str, Any]) -> int | None:
    inputs, outputs = ([tuple(shape) for entry in args[f"{way}_type_shape"] for shape in entry.values()] for way in ("input", "output"))
    return node_flops(args["op_name"], inputs, outputs)


def _options(parser: argparse.ArgumentParser) -> None:
    bundle_options(parser, threads=2)
    parser.add_argument("--rounds", type=whole, default=30, metavar="N", help="turns of every graph (default: 30)")
    parser.add_argument("--profile", action="store_true", help="also the time of every kind of operator (CPU)")


def _run(args: argparse.Namespace) -> Figures:
    check(args, rounds=1)
    if args.threads < 1:
        raise UsageError("--threads 0: a ceiling needs a number of threads of 1 or more")
    with Pipeline.load(args.bundle, device=args.device, threads=args.threads) as pipeline:
        return measure(pipeline, args.threads, rounds=args.rounds, profile=args.profile)


COMMAND = Command(_options, _run)
