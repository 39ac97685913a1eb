"""`python -m export tensorrt`: build every engine of a bundle on this machine, ahead of its first use."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

from tqdm.auto import tqdm

from edge.bundle import GRAPHS, TOWER, Bundle
from edge.engine.cache import EngineCache, engine_key
from edge.engine.cuda import Cuda
from edge.engine.tensorrt import import_tensorrt, ready_engine
from edge.profiles import Profile, graph_profiles

log = logging.getLogger(__name__)


def plan(bundle: Bundle) -> list[tuple[str, Path, tuple[Profile, ...]]]:
    """The engines that a bundle needs: graph, its file, its profiles."""
    names = [*GRAPHS, *([TOWER] if bundle.config.policy.tower else [])]
    return [(name, bundle.graph(name), graph_profiles(name, bundle.config)) for name in names]


def build_engines(folder: Path) -> list[Path]:
    """Build the engines that this machine does not have yet.

    Args:
        folder: the bundle.

    Returns:
        Where the engines lie.

    Raises:
        BundleError: the bundle is damaged.
        BackendError: TensorRT, the CUDA runtime or a GPU is missing, or TensorRT cannot build a graph.
    """
    bundle = Bundle.load(folder)
    version, cuda, cache = import_tensorrt().__version__, Cuda(), EngineCache()
    log.info("TensorRT %s, compute capability %s", version, cuda.capability)
    paths = []
    for name, onnx, profiles in plan(bundle):
        with tqdm(desc=name, disable=None, leave=False) as bar:
            ready_engine(name, onnx, profiles, cuda, cache=cache, progress=_shown(bar))
        paths.append(cache.path(engine_key(name, onnx, profiles, tensorrt=version, capability=cuda.capability)))
    cuda.close()
    return paths


def _shown(bar: tqdm) -> Callable[[str, int, int], None]:
    def show(phase: str, step: int, steps: int) -> None:
        bar.total, bar.n = steps, step
        bar.set_postfix_str(phase)

    return show
