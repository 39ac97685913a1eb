"""A bundle's configuration with all that is made from it."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

from edge.bundle import BundleConfig, write_hashes
from export.card import write_card


def write_config(folder: Path, config: BundleConfig) -> None:
    """Write `config.json`, model card and hashes of a bundle whose other files are there."""
    text = json.dumps(dataclasses.asdict(config), indent=1, ensure_ascii=False) + "\n"
    (folder / "config.json").write_text(text, encoding="utf-8")
    write_card(folder, config)
    write_hashes(folder)
