"""TRL's output layer in plain PyTorch, for machines without Triton.

TRL 1.15 computes the log-probabilities of its trainers with Triton kernels, which no CPU build of PyTorch carries; there it has nothing
to call. `ensure_head` puts the same quantities in their place, and does nothing where the kernels are at hand.
"""

from __future__ import annotations

from types import SimpleNamespace

import torch
from trl.trainer import utils


def ensure_head() -> None:
    """Give TRL an output layer where it has none; call it before a trainer is made."""
    if utils._ChunkedLogProbFunction is None:
        utils._ChunkedLogProbFunction = SimpleNamespace(apply=log_probs)


def log_probs(
    hidden: torch.Tensor,
    weight: torch.Tensor,
    bias: torch.Tensor | None,
    targets: torch.Tensor,
    temperature: float,
    chunk_size: int,
    softcap: float | None = None,
    logit_scale: float = 1.0,
    outputs: tuple[str, ...] = (),
) -> tuple[torch.Tensor | None, ...]:
    """Log-probability of each target, then entropy, sum of squared probabilities, mean logit and whether it is the top one.

    Args:
        hidden: `[N,H]` last hidden states.
        weight: `[V,H]` of the output layer.
        bias: `[V]`, or none.
        targets: `[N]` token ids.
        temperature: the logits are divided by it.
        chunk_size: unused here; the kernel's tile.
        softcap: of the logits, by tanh.
        logit_scale: the logits are multiplied by it first.
        outputs: which of the four are wanted besides the first; the others are `None`.
    """
    logits = torch.nn.functional.linear(hidden, weight, bias).float() * logit_scale
    if softcap is not None:
        logits = softcap * torch.tanh(logits / softcap)
    spread = (logits / temperature).log_softmax(-1)
    found = {
        "entropy": lambda: -(spread.exp() * spread).sum(-1),
        "log_sum_sq_probs": lambda: (2 * spread).logsumexp(-1),
        "mean_logits": lambda: logits.mean(-1),
        "is_top1": lambda: spread.argmax(-1) == targets,
    }
    chosen = spread.gather(-1, targets[:, None])[:, 0]
    return chosen, *(make() if name in outputs else None for name, make in found.items())
