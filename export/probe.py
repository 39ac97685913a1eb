"""Looking into a running pipeline: what its graphs get, what happens with another one in a graph's place, and how long that takes."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import numpy as np

from edge.bundle import GRAPHS
from edge.engine.backend import Session
from edge.pipeline import Pipeline
from export.agreement import decisions
from export.crops import Crops, scenes
from export.strategies import Feed

_EXPLAINED = 8
"""Faces that are explained while inputs are recorded: of one alone there may be nothing to choose."""


class Recorder:
    """A session that keeps a copy of what goes in."""

    def __init__(self, session: Session, feeds: list[Feed]) -> None:
        self.session, self.feeds, self.provider, self.inputs = session, feeds, session.provider, session.inputs

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


def _place(pipeline: Pipeline, graph: str) -> tuple[object, str]:
    """Which object's which attribute is the session of a graph."""
    explainer = pipeline.explainer
    places: dict[str, tuple[object, str]] = {
        "face": (pipeline.finder, "session"),
        "vision_encoder": (pipeline.encoder, "session"),
        "embed_tokens": (explainer.policy, "embed"),
        "decoder_model_merged": (explainer.policy, "decoder"),
        "verifier": (explainer.verifier, "session"),
    }
    return places[graph]


@contextmanager
def replaced(pipeline: Pipeline, graph: str, session: Session) -> Iterator[None]:
    """Let another session run one of the pipeline's graphs for a while."""
    owner, name = _place(pipeline, graph)
    before = getattr(owner, name)
    setattr(owner, name, session)
    try:
        yield
    finally:
        setattr(owner, name, before)


def record(pipeline: Pipeline, crops: Crops) -> dict[str, list[Feed]]:
    """What each graph really gets while the pipeline reads these faces one at a time, and explains the first ones."""
    feeds: dict[str, list[Feed]] = {name: [] for name in GRAPHS}
    with ExitStack() as stack:
        for graph in GRAPHS:
            recorder = Recorder(getattr(*_place(pipeline, graph)), feeds[graph])
            stack.enter_context(replaced(pipeline, graph, recorder))
        for picture in scenes(crops.images, min(32, len(crops)), seed=1):
            pipeline.finder(picture)
        for i in range(len(crops)):
            pipeline.encoder(crops.images[i : i + 1])
        decisions(pipeline, crops.part(0, _EXPLAINED))
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


def full_path(a: Pipeline, b: Pipeline, crops: Crops, *, rounds: int = 5, calls: int = 3) -> float:
    """How long `b` takes, in units of `a`, to find, read and explain the faces of a few pictures: the median of paired runs.

    Of each picture's calls in a run the quickest counts, since a machine that is also busy with something else only ever adds time.
    """
    pictures = [np.repeat(picture[..., None], 3, 2) for picture in scenes(crops.images, 4, seed=2)]
    ratios = []
    for _ in range(rounds + 1):
        spent = [0.0, 0.0]
        for picture in pictures:
            quickest = [float("inf"), float("inf")]
            for call in range(calls):
                for i in (0, 1) if call % 2 else (1, 0):
                    started = time.perf_counter()
                    (a, b)[i](picture)
                    quickest[i] = min(quickest[i], time.perf_counter() - started)
            spent = [total + best for total, best in zip(spent, quickest, strict=True)]
        ratios.append(spent[1] / spent[0])
    return float(np.median(ratios[1:]))
