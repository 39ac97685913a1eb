"""The temperatures of an encoder that has been trained, fitted anew (`training.certainty`): not a step of training.

python -m training temperatures --encoder runs/encoder --out runs/tempered
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from training.augment import SIZE
from training.data import elsewhere, load_ferplus
from training.encoder import fit_temperatures, labelled, load_encoder
from training.run import Run, load_checkpoint, read_config


@dataclass(frozen=True, slots=True)
class TemperaturesConfig:
    """Everything that decides a run."""

    seed: int


def train(folder: Path, out: Path, config: TemperaturesConfig, *, encoder: str) -> Path:
    """Fit the temperatures of the run `encoder` on the labelled packs under `folder`; write the encoder to `out`, under its own record."""
    model, _ = load_encoder(Path(encoder))
    checkpoint = load_checkpoint(Path(encoder))
    run = Run(out, config, seed=config.seed)
    run.record = {**checkpoint.pop("record"), "temperatures": run.record}
    checkpoint["state"]["doubt"] = fit_temperatures(run, model, labelled(load_ferplus(folder, "valid"), elsewhere(folder, SIZE)))
    run.save(**checkpoint)
    return out


def configure(given: Path | None, overrides: list[str]) -> TemperaturesConfig:
    """The resolved configuration."""
    return read_config(TemperaturesConfig, "temperatures", given, overrides)
