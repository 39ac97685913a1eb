"""Checkpoints of a trainer that a stop or a full disk may have cut: sealed when they are whole, and only then taken up again."""

from __future__ import annotations

import hashlib
import json
import logging
import re
from pathlib import Path
from typing import Any

from accelerate import PartialState
from transformers import TrainerCallback

from edge.whole import write_whole

log = logging.getLogger(__name__)
SEAL = "sealed.json"
"""File → SHA-256, for every file of a checkpoint; written last."""


class Seal(TrainerCallback):
    """Seals each checkpoint when all of it is written."""

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Called after the trainer's last file; every process has written its own by then."""
        PartialState().wait_for_everyone()
        if state.is_world_process_zero:
            seal(Path(args.output_dir) / f"checkpoint-{state.global_step}")


def seal(folder: Path) -> None:
    """Write down what a checkpoint holds."""
    sums = {name: _digest(path) for name, path in _files(folder).items()}
    write_whole(folder / SEAL, (json.dumps(sums, indent=1) + "\n").encode())


def last_whole(folder: Path) -> Path | None:
    """The newest whole checkpoint in a trainer's folder; newer ones that are not whole are named in the log."""
    steps = {int(found[1]): path for path in folder.glob("checkpoint-*") if (found := re.fullmatch(r"checkpoint-(\d{1,12})", path.name))}
    for step in sorted(steps, reverse=True):
        if is_whole(steps[step]):
            return steps[step]
        log.warning("'%s' is not whole and is passed over: a run was stopped while it wrote it, or it has been changed", steps[step])
    return None


def step_of(checkpoint: Path | None) -> int:
    """Steps that a checkpoint stands for; 0 for none."""
    return int(checkpoint.name.rpartition("-")[2]) if checkpoint else 0


def is_whole(folder: Path) -> bool:
    """Whether a checkpoint has a seal, and every file that it names is there and unchanged."""
    files = _files(folder)
    try:
        sums = json.loads((folder / SEAL).read_text(encoding="utf-8"))
        return bool(sums) and all(name in files and digest == _digest(files[name]) for name, digest in sums.items())
    except (OSError, ValueError, AttributeError):
        return False


def _files(folder: Path) -> dict[str, Path]:
    return {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file() and path.name != SEAL}


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        found = hashlib.sha256()
        while block := file.read(1 << 20):
            found.update(block)
    return found.hexdigest()
