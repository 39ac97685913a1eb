"""Writing a folder whole or not at all, and a bundle's configuration with all that is made from it."""

from __future__ import annotations

import dataclasses
import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from edge.bundle import HASHES, BundleConfig, write_hashes
from edge.errors import InputError
from export.card import write_card


@contextmanager
def new_folder(out: Path, marker: str = HASHES) -> Iterator[Path]:
    """An empty folder to fill; it takes the place of `out` when the block ends, and is gone without a trace when the block fails.

    Args:
        out: where it shall lie; an existing folder is replaced only if it holds `marker`, so that nothing foreign is lost.
        marker: a file that every folder of this kind has.

    Raises:
        InputError: `out` holds something else, or the disk is full or not writable.
    """
    if out.exists() and (not out.is_dir() or (any(out.iterdir()) and not (out / marker).is_file())):
        raise InputError(f"'{out}' holds something that this command did not write: choose another --out")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}-") as name:
            folder = Path(name) / "new"
            folder.mkdir()
            yield folder
            if out.exists():
                out.rename(Path(name) / "replaced")
            folder.rename(out)
    except OSError as error:
        raise InputError(f"cannot write '{out}': {error.strerror or error}; nothing was changed") from None


def write_config(folder: Path, config: BundleConfig) -> None:
    """Write `config.json`, model card and hashes of a bundle whose other files are there."""
    text = json.dumps(dataclasses.asdict(config), indent=1, ensure_ascii=False) + "\n"
    (folder / "config.json").write_text(text, encoding="utf-8")
    write_card(folder, config)
    write_hashes(folder)
