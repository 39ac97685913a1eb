"""What every training run shares: seed, device, resolved configuration, log, metrics file, checkpoint."""

from __future__ import annotations

import dataclasses
import json
import logging
import pickle
import platform
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from multiprocessing import get_context
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from tqdm.auto import tqdm

from edge.errors import InputError, OutputError, UsageError
from edge.files import parse_json, read_json
from edge.ranges import Range, build
from edge.stop import unstopped
from edge.whole import Part, clear, left_behind, write_whole
from training.folders import new_folder

log = logging.getLogger(__name__)
CONFIGS = Path(__file__).parent / "configs"
POLICY = "policy"
"""The folder within a run that `from_pretrained` reads."""
_WEIGHTS, _CONFIG, _METRICS, _RECORD = "model.pt", "config.json", "metrics.jsonl", "run.json"
Config = TypeVar("Config")
T = TypeVar("T")
_MAY_BE_0 = {
    "seed", "limit", "views", "wider", "fold", "written", "epochs", "steps", "smallest_px", "composed", "composed_each", "nudged",
    "evidence_passes",
}  # fmt: skip
"""Whole numbers of configurations that may be 0."""


def read_config(kind: type[Config], name: str, given: Path | None, overrides: list[str]) -> Config:
    """Resolve a configuration: the shipped `configs/<name>.json`, or a given file, then `key=value` overrides.

    Raises:
        UsageError: an unknown key, a value that is not JSON, of another kind, negative or not finite, or 0 where that makes no sense.
    """
    path = given or CONFIGS / f"{name}.json"
    try:
        values = read_json(path)
        values |= {key: parse_json(value) for key, _, value in (item.partition("=") for item in overrides)}
        config = build(kind, values, name, numbers=Range(0, 10_000_000))
        for field in dataclasses.fields(kind):  # type: ignore[arg-type]
            if getattr(config, field.name) == 0 and field.type == "int" and field.name not in _MAY_BE_0:
                raise ValueError(f"{name}.{field.name} must be at least 1")
    except (InputError, ValueError, TypeError) as error:
        raise UsageError(f"cannot use the configuration '{path}' {' '.join(overrides)}: {error}") from None
    return config


class Run:
    """A folder that holds one training run: `config.json`, `metrics.jsonl`, and `model.pt` or a folder of weights.

    They change together. What an older run has left stays as it is until this one has weights of its own; until then its configuration and
    metrics are called `config.json.new` and `metrics.jsonl.new`. A stop at any moment leaves no weights beside another run's
    configuration: at worst `config.json` is missing, and is written again from the record that lies in the weights.
    """

    def __init__(self, folder: Path, config: Any, *, seed: int, resumed: bool = False, after: dict[str, Any] | None = None) -> None:
        """Begin a run, or go on with the one in `folder` (`resumed`); `after`: the record of another one whose weights it takes over."""
        self.folder = folder
        self.seed = seed
        self.started = time.time()
        folder.mkdir(parents=True, exist_ok=True)
        random.seed(seed)
        np.random.seed(seed)  # noqa: NPY002 (libraries draw from it)
        torch.manual_seed(seed)
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.record = {"config": dataclasses.asdict(config), "seed": seed, "command": command(), **provenance()}
        if after:
            self.record["after"] = after
        self._clear()
        self._older = any((folder / name).exists() for name in (_WEIGHTS, POLICY))
        new = ".new" if self._older else ""
        self._log = folder / f"{_METRICS}{new}"
        if resumed:
            begun = folder / f"{_CONFIG}.new"  # of a run that was stopped before it had weights
            if self._older or begun.is_file() or (folder / _CONFIG).is_file():
                self.record["resumed_from"] = read_record(folder, begun if begun.is_file() else None)
            self._log = self._log if self._log.is_file() else folder / _METRICS
        else:
            write_whole(self._log, b"")
        write_whole(folder / f"{_CONFIG}{new}", self._text())

    @classmethod
    def adopt(cls, folder: Path, record: dict[str, Any]) -> Run:
        """A run that was made elsewhere, under its own record."""
        folder.mkdir(parents=True)
        run = cls.__new__(cls)
        run.folder, run.record, run._older = folder, record, False
        write_whole(folder / _CONFIG, run._text())
        return run

    def metrics(self, **values: float | int | str) -> None:
        """Append one line to the metrics and log it."""
        values["minutes"] = round((time.time() - self.started) / 60, 2)
        line = {key: round(value, 5) if isinstance(value, float) else value for key, value in values.items()}
        with self._log.open("a") as file:
            file.write(json.dumps(line) + "\n")
        log.info(" ".join(f"{key} {value}" for key, value in line.items()))

    def save(self, **parts: Any) -> None:
        """Write `model.pt`, whole or not at all.

        Raises:
            OutputError: it cannot be written; what was there is untouched.
        """
        target = self.folder / _WEIGHTS
        try:
            part = Part(target)
            try:
                torch.save(_without_code({**parts, "record": self.record}), part.path)
                with unstopped(), self._together():
                    part.publish()
            except BaseException:
                part.discard()
                raise
        except (OSError, RuntimeError) as error:  # torch's own writer raises the latter
            raise OutputError(f"cannot write '{target}': {getattr(error, 'strerror', None) or error}; is the disk full?") from None

    def save_policy(self, model: Any, processor: Any, grammar: Path | None = None) -> None:
        """Write `policy/`, a model and its processor as `from_pretrained` reads them, with the grammar they keep to, whole or not at all.

        Raises:
            InputError: it cannot be written; what was there is untouched.
        """
        with new_folder(self.folder / POLICY, _CONFIG, publishing=self._together()) as folder:
            model.save_pretrained(folder)
            processor.save_pretrained(folder)
            if grammar:
                shutil.copyfile(grammar, folder / grammar.name)
            (folder / _RECORD).write_bytes(self._text())

    @contextmanager
    def _together(self) -> Iterator[None]:
        """Around the step that puts weights in place: no configuration rather than another one's."""
        if self._older:
            (self.folder / _CONFIG).unlink(missing_ok=True)
        yield
        if self._older:
            (self.folder / f"{_CONFIG}.new").replace(self.folder / _CONFIG)
            if self._log.suffix == ".new":
                self._log = self._log.replace(self.folder / _METRICS)
        self._older = False

    def _text(self) -> bytes:
        return (json.dumps(self.record, indent=2) + "\n").encode()

    def _clear(self) -> None:
        for path in left_behind(self.folder / name for name in (_WEIGHTS, _CONFIG, _METRICS, f"{_CONFIG}.new", f"{_METRICS}.new")):
            if clear(path):
                log.warning("'%s' is cleared: a run that was killed had left it", path)
        config, inner = self.folder / _CONFIG, self.folder / POLICY / _RECORD
        if config.is_file() and inner.parent.is_dir() and not inner.exists():  # of a run that did not yet keep it with the weights
            write_whole(inner, config.read_bytes())


def read_record(folder: Path, path: Path | None = None) -> dict[str, Any]:
    """The record of a run: its configuration, seed, command and versions. A `config.json` that a stop has taken is written again.

    Args:
        folder: of the run.
        path: another file than its `config.json`.

    Raises:
        InputError: there is none, or it is damaged.
    """
    path = path or folder / _CONFIG
    try:
        if not path.is_file():
            inner = folder / POLICY / _RECORD
            record = json.loads(inner.read_text()) if inner.is_file() else load_checkpoint(folder)["record"]
            write_whole(path, (json.dumps(record, indent=2) + "\n").encode())
        found: dict[str, Any] = json.loads(path.read_text())
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"'{path}' is not the record of a run: {error}") from None
    return found


def load_checkpoint(folder: Path) -> dict[str, Any]:
    """Load a run's `model.pt`: tensors and plain values; reading it runs no code, wherever it comes from.

    Raises:
        InputError: there is none, it is damaged, or it holds anything else, as the runs of version 0.1 do.
    """
    try:
        return torch.load(folder / "model.pt", map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise InputError(f"no trained model in '{folder}': run its training command first") from None
    except pickle.UnpicklingError:
        raise InputError(
            f"'{folder / 'model.pt'}' is damaged, or holds more than tensors and plain values, as runs of version 0.1 do, and could run "
            "code when it is read: train it again"
        ) from None
    except (OSError, RuntimeError, EOFError, ValueError, KeyError) as error:
        raise InputError(f"'{folder / 'model.pt'}' is damaged: {error}") from None


def _without_code(value: Any) -> Any:
    """Arrays as tensors and data classes as dictionaries: what can be read again without running anything."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: _without_code(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, dict):
        return {key: _without_code(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_without_code(one) for one in value]
    if isinstance(value, np.ndarray):
        return torch.from_numpy(value)
    return value.item() if isinstance(value, np.generic) else value


def command() -> str:
    """What was asked for, with the last two parts of a path from the root: where things lie on a machine is nobody's business."""
    parts = (Path(word) for word in sys.argv[1:])
    return " ".join("/".join(part.parts[-2:]) if part.is_absolute() else str(part) for part in parts)


def provenance() -> dict[str, Any]:
    """Commit, versions and machine of this run."""
    done = subprocess.run(["git", "describe", "--always", "--dirty"], capture_output=True, text=True, cwd=CONFIGS)
    versions = {}
    for package in ("torch", "transformers", "numpy", "onnx", "onnxruntime", "tokenizers"):
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            continue
    return {"commit": done.stdout.strip() or "unknown", "python": platform.python_version(), "versions": versions}


def progress(items: Iterable[T], title: str, total: int | None = None) -> Iterator[T]:
    """A progress bar on a terminal, nothing in a pipe."""
    return iter(tqdm(items, desc=title, total=total, leave=False, disable=None))


def cosine_schedule(optimizer: torch.optim.Optimizer, steps: int, warmup: int, floor: float = 0.01) -> torch.optim.lr_scheduler.LRScheduler:
    """Linear warm-up over `warmup` steps, then a half cosine down to `floor` of the peak at `steps`."""

    def factor(step: int) -> float:
        if step < warmup:
            return (step + 1) / warmup
        return floor + (1 - floor) * 0.5 * (1 + np.cos(np.pi * min(1.0, (step - warmup) / max(1, steps - warmup))))

    return torch.optim.lr_scheduler.LambdaLR(optimizer, factor)


def descend(
    loss: torch.Tensor, optimizer: torch.optim.Optimizer, schedule: torch.optim.lr_scheduler.LRScheduler, *, most: float | None = None
) -> None:
    """One step down a loss; a gradient that is longer than `most` is cut to it."""
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    if most is not None:
        torch.nn.utils.clip_grad_norm_([p for group in optimizer.param_groups for p in group["params"]], most)
    optimizer.step()
    schedule.step()


def in_two(work: Callable[[Any], T], tasks: list[Any]) -> list[T]:
    """Do independent pieces of work in two processes."""
    pool = get_context("fork").Pool(2, initializer=signal.signal, initargs=(signal.SIGTERM, signal.SIG_DFL))
    try:
        return pool.map(work, tasks)
    finally:
        pool.close()
        pool.join()


class Average:
    """Exponential moving average of a model's weights and buffers, warmed up so that it is useful from the start."""

    def __init__(self, model: torch.nn.Module, decay: float) -> None:
        self.decay, self.steps = decay, 0
        self.state = {key: value.detach().clone() for key, value in model.state_dict().items()}

    @torch.no_grad()
    def update(self, model: torch.nn.Module) -> None:
        """Move the average towards `model`."""
        self.steps += 1
        decay = min(self.decay, (1 + self.steps) / (10 + self.steps))
        for key, value in model.state_dict().items():
            if value.is_floating_point():
                self.state[key].lerp_(value, 1 - decay)
            else:
                self.state[key].copy_(value)
