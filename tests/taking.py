"""The shipped bundle with moves, so that it tells counterfactuals: of the data packs where they are, else of a drawn mesh."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from moving import NAMES, drawn_mesh

from edge.bundle import SHIPPED
from edge.pipeline import Pipeline


def write_fields(folder: Path) -> Path:
    """`facs_displacements.npz` of the drawn mesh, its nose where a face has it."""
    neutral, fields = drawn_mesh()
    neutral[[1, 2]] = (0, 0.05, 1.15), (0, -0.05, 1.05)
    np.savez(folder / "facs_displacements.npz", names=np.array(NAMES), neutral=neutral, displacement=fields)
    return folder


@pytest.fixture(scope="session")
def drawn_fields(tmp_path_factory) -> Path:
    """A folder with the fields of the drawn mesh."""
    return write_fields(tmp_path_factory.mktemp("fields"))


@pytest.fixture(scope="session")
def movable_folder(tmp_path_factory, drawn_fields: Path) -> Path:
    """A copy of the shipped bundle with `moves.npz`."""
    from export.moves import put_moves

    packs = Path(os.environ.get("ERV_DATA") or Path(__file__).resolve().parents[2] / "shared" / "data")
    folder = tmp_path_factory.mktemp("movable") / "bundle"
    put_moves(SHIPPED, packs if (packs / "facs_displacements.npz").is_file() else drawn_fields, folder)
    return folder


@pytest.fixture(scope="session")
def movable(movable_folder: Path) -> Iterator[Pipeline]:
    """That bundle, on the CPU."""
    with Pipeline.load(movable_folder, device="cpu", threads=1) as loaded:
        yield loaded
