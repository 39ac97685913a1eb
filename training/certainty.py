"""One calibration for both worlds: class offsets, how strange a face is to what the emotions were learned from, and what its answer is
worth then, nearly as the runtime comes to it: who is torn between two labels is read both ways round, though as the face comes and not the
lighter half first.

Strangeness is the probability that a face belongs to the unlabelled world (`faces_today`) and not to the labelled one (FER+), by a linear
model over the trunk's features. It knows no emotion. Temperatures of a familiar and of a strange face are chosen on both validation sets.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional as F

from edge.language.labels import EMOTIONS_8
from training.metrics import expected_calibration_error, war_uar

AIMS = {"FER+": 0.02, "elsewhere": 0.05}
"""Expected calibration errors that count alike."""
_RIDGE = 1e-3
_FOLDS = 4
_FAMILIAR, _STRETCH = np.arange(0.5, 1.55, 0.05), (1.0, 1.2, 1.4, 1.6, 1.8, 2.0, 2.3)
"""Temperatures of a familiar face, and by how much more a strange one's is. Of the validation faces one in fifteen is wholly strange, of
today's portraits almost all: what is unsure beyond that has not been seen."""
TORN = 0.5
"""Whose two best labels lie closer than this, as probabilities, is read both ways round and answered by the mean (`ImageSpec.torn`). Of
validation faces, FER+ and elsewhere, 0.0003 and none then have another label in the mirror (before 0.058, 0.098), for a second look at
0.20 and 0.42 of them."""


@dataclass(frozen=True, slots=True)
class Answers:
    """What an encoder without fitted temperatures answers on labelled faces, as they are and in the mirror."""

    logits: torch.Tensor
    """`[N,2,8]`."""
    strangeness: torch.Tensor
    """`[N,2]`, 0…1."""
    label: torch.Tensor
    """`[N]`."""

    def take(self, rows: torch.Tensor) -> Answers:
        """The chosen rows."""
        return Answers(self.logits[rows], self.strangeness[rows], self.label[rows])

    def answered(self, doubt: torch.Tensor) -> torch.Tensor:
        """The probabilities `[N,8]` with which the runtime would answer."""
        temperature = torch.exp(torch.lerp(doubt[0], doubt[1], self.strangeness))
        views = (self.logits / temperature[:, :, None]).softmax(2)
        best = views[:, 0].topk(2).values
        torn = best[:, 0] - best[:, 1] < TORN
        return torch.where(torn[:, None], views.mean(1), views[:, 0])


def fit_world(familiar: torch.Tensor, strange: torch.Tensor) -> torch.Tensor:
    """Logistic regression of strangeness on features `[N,C]` of faces of both kinds: bias, then weights, `[C+1]`."""
    features = torch.cat([familiar, strange])
    truth = torch.cat([torch.zeros(len(familiar)), torch.ones(len(strange))])
    mean, spread = features.mean(0), features.std(0) + 1e-3
    scaled, weights = (features - mean) / spread, torch.zeros(features.shape[1] + 1, requires_grad=True)
    solver = torch.optim.LBFGS([weights], max_iter=200, line_search_fn="strong_wolfe")

    def loss() -> torch.Tensor:
        solver.zero_grad()
        error = F.binary_cross_entropy_with_logits(scaled @ weights[1:] + weights[0], truth) + _RIDGE * weights[1:].square().sum()
        error.backward()
        return error

    solver.step(loss)
    slope = weights.detach()[1:] / spread
    return torch.cat([(weights.detach()[0] - slope @ mean)[None], slope])


def fit_evidence(features: torch.Tensor, logits: torch.Tensor, emotion: torch.Tensor) -> torch.Tensor:
    """Weights `[8,F]` of features `[N,F]` that, added to the logits `[N,8]`, tell the emotions `[N,8]` best."""
    weights = torch.zeros(emotion.shape[1], features.shape[1], requires_grad=True)
    spread = features.std(0) + 1e-3
    solver = torch.optim.LBFGS([weights], max_iter=100, line_search_fn="strong_wolfe")

    def loss() -> torch.Tensor:
        solver.zero_grad()
        answer = F.log_softmax(logits + (features / spread) @ weights.T, 1)
        error = -(emotion * answer).sum(1).mean() + _RIDGE * weights.square().sum()
        error.backward()
        return error

    solver.step(loss)
    return weights.detach() / spread


def fit_doubt(sets: dict[str, Answers]) -> torch.Tensor:
    """Logarithms of the temperatures of a wholly familiar and of a wholly strange face, `[2]`: those with which the worse of the sets'
    calibration errors, each over its aim, is least."""
    tried = [torch.tensor(np.log([a, a * b]), dtype=torch.float32) for a in _FAMILIAR for b in _STRETCH]
    return min(tried, key=lambda doubt: max(_error(part.answered(doubt), part.label) / AIMS[name] for name, part in sets.items()))


def class_offsets(sets: list[tuple[np.ndarray, np.ndarray]], weight: float = 0.25) -> tuple[np.ndarray, float]:
    """Offsets `[8]` to add to the logits, by coordinate search for the highest mean of WAR + `weight` · UAR over sets of logits and labels;
    and that mean, less a little for their size.

    Only the classes that a set has are answered there.
    """
    offsets = np.zeros(len(EMOTIONS_8), np.float32)
    present = [np.isin(np.arange(len(EMOTIONS_8)), label) for _, label in sets]

    def score(candidate: np.ndarray) -> float:
        found = []
        for (logits, label), there in zip(sets, present, strict=True):
            war, uar = war_uar(label, np.where(there, logits + candidate, -np.inf).argmax(1), len(EMOTIONS_8))
            found.append(war + weight * uar)
        return float(np.mean(found)) - 0.002 * float(np.abs(candidate).mean())

    best = score(offsets)
    for step in (0.4, 0.2, 0.1):
        for _ in range(4):
            for i in range(len(offsets)):
                for move in (-step, step):
                    candidate = offsets.copy()
                    candidate[i] += move
                    if (value := score(candidate)) > best:
                        best, offsets = value, candidate
    return offsets - offsets.mean(), best


def calibration_errors(sets: dict[str, Answers], seed: int = 0) -> dict[str, float]:
    """Expected calibration error of each set: before, and with temperatures fitted on the other three quarters of the faces."""
    generator = torch.Generator().manual_seed(seed)
    folds = {name: torch.randint(_FOLDS, (len(part.label),), generator=generator) for name, part in sets.items()}
    cooled = {name: torch.empty_like(part.logits[:, 0]) for name, part in sets.items()}
    for fold in range(_FOLDS):
        doubt = fit_doubt({name: part.take(folds[name] != fold) for name, part in sets.items()})
        for name, part in sets.items():
            rows = folds[name] == fold
            cooled[name][rows] = part.take(rows).answered(doubt)
    found = {f"ece_before.{name}": _error(part.answered(torch.zeros(2)), part.label) for name, part in sets.items()}
    return found | {f"ece.{name}": _error(cooled[name], part.label) for name, part in sets.items()}


def _error(probabilities: torch.Tensor, label: torch.Tensor) -> float:
    sure, answer = probabilities.max(1)
    return expected_calibration_error(np.asarray(sure), np.asarray(answer == label))
