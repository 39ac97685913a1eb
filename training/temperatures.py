"""The temperatures of an encoder that has been trained, fitted anew (`training.certainty`).

Nothing else of it changes: weights, class offsets and action units stay as they are.

    python -m training temperatures --encoder runs/encoder --out runs/tempered
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from training.augment import SIZE
from training.data import elsewhere, load_ferplus
from training.encoder import EncoderConfig, fit_temperatures, labelled, load_encoder
from training.run import Run, load_checkpoint, read_config


def train(folder: Path, out: Path, config: EncoderConfig, *, encoder: str) -> Path:
    """Fit the temperatures of the run `encoder` on the labelled packs under `folder`; write the encoder with them to `out`."""
    model, _ = load_encoder(Path(encoder))
    checkpoint = load_checkpoint(Path(encoder))
    before = checkpoint.pop("record")
    shape = {name: before["config"][name] for name in ("widths", "depths", "motion")}
    run = Run(out, replace(config, **shape), seed=config.seed, after=before)
    checkpoint["state"]["doubt"] = fit_temperatures(run, model, labelled(load_ferplus(folder, "valid"), elsewhere(folder, SIZE)))
    run.save(**checkpoint)
    return out


def configure(given: Path | None, overrides: list[str]) -> EncoderConfig:
    """The configuration of an encoder, whose place that of the trained one takes."""
    return read_config(EncoderConfig, "encoder", given, overrides)
