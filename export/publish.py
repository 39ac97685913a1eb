"""A bundle's configuration with all that is made from it."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path
from typing import Any

from edge.bundle import BundleConfig, write_hashes
from export.card import write_card


def _without_nan(value: Any) -> Any:
    """JSON has no NaN: what could not be measured is `None`."""
    if isinstance(value, dict):
        return {key: _without_nan(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_without_nan(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def write_config(folder: Path, config: BundleConfig) -> None:
    """Write `config.json`, model card and hashes of a bundle whose other files are there."""
    figures = {part: _without_nan(getattr(config, part)) for part in ("provenance", "metrics")}
    text = json.dumps(dataclasses.asdict(config) | figures, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    (folder / "config.json").write_text(text, encoding="utf-8")
    write_card(folder, config)
    write_hashes(folder)
