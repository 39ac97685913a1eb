"""What a room of the benchmarks shows to `python -m benchmarks`: its options and what it measures."""

from __future__ import annotations

import argparse
import contextlib
import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from edge.errors import UsageError
from edge.pipeline import Pipeline
from edge.whole import write_whole

Figures = dict[str, Any]
Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class Command:
    """One command. A room holds it as `COMMAND`."""

    options: Callable[[argparse.ArgumentParser], None]
    """Adds the room's options."""
    run: Callable[[argparse.Namespace], Figures]
    """Measures; plain figures, NaN where something could not be measured."""
    told: Callable[[Figures], str] | None = None
    """The figures for a reader, where a list of them would be none."""


def bundle_options(parser: argparse.ArgumentParser, *, threads: int = 0, several: bool = False) -> None:
    """Add `--bundle` (repeatable when `several`), `--device` and `--threads`."""
    which = "bundle folder; repeat for variants (default: the shipped one)" if several else "bundle folder (default: the shipped one)"
    how_many = f"threads per graph (default: {threads or 'automatic'})"
    parser.add_argument("--bundle", type=Path, action="append" if several else "store", metavar="DIR", help=which)
    parser.add_argument("--device", choices=("auto", "cpu", "cuda", "tensorrt"), default="cpu")
    parser.add_argument("--threads", type=whole, default=threads, metavar="N", help=how_many)


def of_pipeline(
    measure: Callable[[Pipeline, argparse.Namespace], Figures],
    options: Callable[[argparse.ArgumentParser], None],
    *,
    default_threads: int = 0,
    **least: float,
) -> Command:
    """The command of a room that measures one loaded pipeline, once its options are not below their `least` values."""

    def every(parser: argparse.ArgumentParser) -> None:
        options(parser)
        bundle_options(parser, threads=default_threads)

    def run(args: argparse.Namespace) -> Figures:
        check(args, **least)
        with Pipeline.load(args.bundle, device=args.device, threads=args.threads) as pipeline:
            return measure(pipeline, args)

    return Command(every, run)


@contextlib.contextmanager
def loaded(folders: Sequence[Path | None] | None, device: str, threads: int) -> Iterator[dict[str, Pipeline]]:
    """Load several bundles: name of the folder, or `shipped`, → pipeline."""
    wanted: list[Path | None] = list(folders) if folders else [None]
    names = distinct([folder.resolve().name if folder else "shipped" for folder in wanted])
    with contextlib.ExitStack() as stack:
        opened = [stack.enter_context(Pipeline.load(folder, device=device, threads=threads)) for folder in wanted]
        yield dict(zip(names, opened, strict=True))


def progress(items: Iterable[Item], title: str) -> Iterator[Item]:
    """A progress bar on a terminal, nothing in a pipe."""
    from tqdm.auto import tqdm

    return iter(tqdm(items, desc=title, leave=False, disable=None))


def plain(value: Any) -> Any:
    """Plain JSON types; JSON has no NaN: what could not be measured is None."""
    if isinstance(value, dict):
        return {str(key): plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple | np.ndarray):
        return [plain(inner) for inner in value]
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value


def write_file(path: Path, data: bytes) -> None:
    """Write a file whole or not at all, and its folder; `UsageError` where that is not possible."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, data)
    except OSError as error:
        raise UsageError(f"cannot write '{path}': {error.strerror}") from None


def check(args: argparse.Namespace, **least: float) -> None:
    """Raise `UsageError` for an option below its least value (NaN and infinity too)."""
    for name, low in least.items():
        value = getattr(args, name)
        if not low <= value < math.inf:
            raise UsageError(f"--{name.replace('_', '-')} {value}: expected {low:g} or more")


def assigned(option: str, texts: Iterable[str] | None) -> dict[str, str]:
    """`NAME=VALUE` … of an option → name → value; `UsageError` for what is none."""
    found: dict[str, str] = {}
    for text in texts or ():
        name, _, found[name] = text.partition("=")
        if not (name and found[name]):
            raise UsageError(f"{option} '{text}': expected NAME=VALUE")
    return found


def distinct(names: Sequence[str]) -> list[str]:
    """The names, told apart by a number where two are the same."""
    found: list[str] = []
    for name in names:
        ways = itertools.chain([name], (f"{name} {n}" for n in itertools.count(2)))
        found.append(next(way for way in ways if way not in found))
    return found


def whole(text: str) -> int:
    """A whole number of 0 or more, for argparse."""
    if not text.isdigit():
        raise argparse.ArgumentTypeError(f"expected a whole number of 0 or more, got '{text}'")
    return int(text)
