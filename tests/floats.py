"""The shipped bundle as it was before its weights were stored in fewer bits: what quantisation starts from."""

from __future__ import annotations

import functools
import shutil
import tempfile
import weakref
from pathlib import Path

from edge.bundle import GRAPHS, SHIPPED, write_hashes
from edge.engine.fold import fold_constants


@functools.cache
def float_bundle() -> Path:
    """A copy whose graphs hold float32 weights; made once."""
    keep = tempfile.TemporaryDirectory(prefix="float-bundle-")
    weakref.finalize(float_bundle, keep.cleanup)
    folder = Path(shutil.copytree(SHIPPED, Path(keep.name) / "bundle"))
    for name in GRAPHS:
        fold_constants(SHIPPED / f"{name}.onnx", folder / f"{name}.onnx")
    write_hashes(folder)
    return folder
