"""What every training run shares: seed, device, resolved configuration, log, metrics file, checkpoint."""

from __future__ import annotations

import dataclasses
import json
import logging
import pickle
import platform
import random
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from tqdm.auto import tqdm

from edge.errors import InputError, UsageError

log = logging.getLogger(__name__)
CONFIGS = Path(__file__).parent / "configs"
Config = TypeVar("Config")
T = TypeVar("T")


def read_config(kind: type[Config], name: str, given: Path | None, overrides: list[str]) -> Config:
    """Resolve a configuration: the shipped `configs/<name>.json`, or a given file, then `key=value` overrides.

    Raises:
        UsageError: an unknown key or a value that is not JSON.
    """
    path = given or CONFIGS / f"{name}.json"
    try:
        values = dict(json.loads(path.read_text()))
        values |= {key: json.loads(value) for key, _, value in (item.partition("=") for item in overrides)}
    except (OSError, ValueError, TypeError) as error:
        raise UsageError(f"cannot read the configuration '{path}' {overrides or ''}: {error}") from None
    known = {field.name for field in dataclasses.fields(kind)}  # type: ignore[arg-type]
    if unknown := sorted(set(values) - known):
        raise UsageError(f"unknown key {', '.join(unknown)} in the {name} configuration: expected {', '.join(sorted(known))}")
    if missing := sorted(known - set(values)):
        raise UsageError(f"missing key {', '.join(missing)} in the {name} configuration '{path}'")
    return kind(**values)


class Run:
    """A folder that holds one training run: `config.json`, `metrics.jsonl`, `model.pt`."""

    def __init__(self, folder: Path, config: Any, *, seed: int, resumed: bool = False) -> None:
        self.folder = folder
        self.seed = seed
        self.started = time.time()
        folder.mkdir(parents=True, exist_ok=True)
        random.seed(seed)
        np.random.seed(seed)  # noqa: NPY002 (libraries draw from it)
        torch.manual_seed(seed)
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.record = {"config": dataclasses.asdict(config), "seed": seed, "command": " ".join(sys.argv[1:]), **provenance()}
        if resumed and (folder / "config.json").is_file():
            self.record["resumed_from"] = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps(self.record, indent=2) + "\n")
        if not resumed:
            (folder / "metrics.jsonl").write_text("")

    def metrics(self, **values: float | int | str) -> None:
        """Append one line to `metrics.jsonl` and log it."""
        values["minutes"] = round((time.time() - self.started) / 60, 2)
        line = {key: round(value, 5) if isinstance(value, float) else value for key, value in values.items()}
        with (self.folder / "metrics.jsonl").open("a") as file:
            file.write(json.dumps(line) + "\n")
        log.info(" ".join(f"{key} {value}" for key, value in line.items()))

    def save(self, **parts: Any) -> None:
        """Write `model.pt`, by way of a temporary name so that a stop loses nothing."""
        temporary = self.folder / "model.pt.part"
        torch.save(_without_code({**parts, "record": self.record}), temporary)
        temporary.replace(self.folder / "model.pt")


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
