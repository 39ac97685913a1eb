"""One calibration for both worlds: a temperature of each face's own, from how strange the face is, fitted on both validation sets."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional as F

from training.metrics import expected_calibration_error

_RIDGE = 1e-3
_FOLDS = 4


@dataclass(frozen=True, slots=True)
class Answers:
    """What an encoder without a fitted temperature answers on labelled faces."""

    logits: torch.Tensor
    """`[N,8]`."""
    strangeness: torch.Tensor
    """`[N,4]`, see `Encoder.strangeness`."""
    label: torch.Tensor
    """`[N]`."""

    def take(self, rows: torch.Tensor) -> Answers:
        """The chosen rows."""
        return Answers(self.logits[rows], self.strangeness[rows], self.label[rows])


def fit_doubt(sets: list[Answers]) -> torch.Tensor:
    """What each kind of strangeness does to the logarithm of the temperature, `[4]`: least negative log likelihood, mean over the sets."""
    doubt = torch.zeros(sets[0].strangeness.shape[1], requires_grad=True)
    solver = torch.optim.LBFGS([doubt], max_iter=200, line_search_fn="strong_wolfe")

    def loss() -> torch.Tensor:
        solver.zero_grad()
        each = [F.cross_entropy(_tempered(part, doubt), part.label) for part in sets]
        total = torch.stack(each).mean() + _RIDGE * doubt[1:].square().sum()
        total.backward()
        return total

    solver.step(loss)
    return doubt.detach()


def calibration_errors(sets: dict[str, Answers], seed: int = 0) -> dict[str, float]:
    """Expected calibration error of each set: before, and with temperatures fitted on the other three quarters of the faces."""
    generator = torch.Generator().manual_seed(seed)
    folds = {name: torch.randint(_FOLDS, (len(part.label),), generator=generator) for name, part in sets.items()}
    tempered = {name: torch.empty_like(part.logits) for name, part in sets.items()}
    for fold in range(_FOLDS):
        doubt = fit_doubt([part.take(folds[name] != fold) for name, part in sets.items()])
        for name, part in sets.items():
            rows = folds[name] == fold
            tempered[name][rows] = _tempered(part.take(rows), doubt)
    found = {f"ece_before.{name}": _error(part.logits, part.label) for name, part in sets.items()}
    return found | {f"ece.{name}": _error(tempered[name], part.label) for name, part in sets.items()}


def _tempered(part: Answers, doubt: torch.Tensor) -> torch.Tensor:
    return part.logits / torch.exp((part.strangeness @ doubt).clamp(-1.0, 2.0))[:, None]


def _error(logits: torch.Tensor, label: torch.Tensor) -> float:
    sure, answer = logits.softmax(1).max(1)
    return expected_calibration_error(np.asarray(sure), np.asarray(answer == label))
