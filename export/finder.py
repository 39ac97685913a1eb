"""Another face finder in a finished bundle, and nothing else touched.

`python -m export finder BUNDLE RUN_OR_FILE --out DIR` takes a run of `python -m training face`, or the file of a YuNet that the user has:
its licence and its weights are the user's own affair, its twelve outputs are decoded by the runtime's own few lines.
"""

from __future__ import annotations

import dataclasses
import hashlib
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch

from edge.bundle import HASHES, SCREEN, Bundle, FaceSpec
from edge.engine.backend import OrtSession
from edge.errors import EdgeError, InputError
from edge.pipeline import Pipeline
from edge.vision.finder import INPUT, OUTPUT
from edge.vision.screen import INPUT as SHOWN
from edge.vision.screen import OUTPUTS as TOLD
from edge.vision.screen import SIDE
from edge.vision.yunet import OUTPUTS
from export.graphs import export_face, export_screen, strip
from export.publish import write_config
from export.storage import store_weights
from training.cues import FIVE
from training.face import SPEC, load_face
from training.folders import new_folder
from training.run import read_record
from training.screen import Screen, load_screen

STORED_BITS = 16
SCREEN_BITS, ODDS_TOLERANCE = 8, 0.1
TOLERANCE = 0.5
"""Of a box or point, pixels of what the graph sees, between torch and the finished graph with stored weights; of a score, 0.02."""
YUNET = FaceSpec(SPEC.long_side, 0.6, 0.45, 10.0, channels=3, yunet=True)


def put_finder(folder: Path, source: Path, out: Path, screen: Path | None = None) -> dict[str, Any]:
    """Write a copy of a bundle with another face finder in it.

    Args:
        folder: the bundle.
        source: a run of `python -m training face`, or the `.onnx` file of a YuNet.
        out: the new bundle; an existing one is replaced at the very end.
        screen: a run of `python -m training screen`; the bundle's own when `None`.

    Returns:
        `face`: how the finder is run; `bytes` of its graph.

    Raises:
        BundleError: the bundle is damaged.
        InputError: no such run or file, it is no YuNet, or `out` cannot be written.
    """
    bundle = Bundle.load(folder)
    if not source.exists():
        raise InputError(f"no run and no file at '{source}': give a folder of training face, or a YuNet's .onnx")
    with new_folder(out, HASHES, sources=[bundle.folder, source]) as fresh:
        for path in bundle.folder.iterdir():
            shutil.copyfile(path, fresh / path.name)
        graph = fresh / "face.onnx"
        spec, record = _trained(source, graph) if source.is_dir() else _brought(source, graph)
        runs = {**bundle.config.provenance["runs"], "face": record}
        if not spec.screened:
            (fresh / f"{SCREEN}.onnx").unlink(missing_ok=True)
            runs.pop("screen", None)
        elif not (fresh / f"{SCREEN}.onnx").is_file() and screen is None:
            raise InputError(f"'{bundle.folder}' has no screen for this finder: give one to --screen, a run of training screen")
        if spec.screened and screen:
            write_screen(fresh / f"{SCREEN}.onnx", load_screen(screen), stored=True)
            runs["screen"] = read_record(screen)
        image = dataclasses.replace(bundle.config.image, five=list(map(list, FIVE)))
        config = dataclasses.replace(bundle.config, face=spec, image=image, provenance={**bundle.config.provenance, "runs": runs})
        write_config(fresh, config)
        Pipeline.load(fresh, device="cpu").close()
        size = graph.stat().st_size
    return {"face": dataclasses.asdict(spec), "bytes": size}


def _trained(run: Path, path: Path) -> tuple[FaceSpec, dict[str, Any]]:
    network = load_face(run)
    export_face(path, network)
    model = onnx.load(path)
    store_weights(model, STORED_BITS)
    onnx.save(model, str(path))
    shown = np.random.default_rng(0).integers(0, 256, (1, 1, 160, 224)).astype(np.float32)
    with torch.no_grad():
        wanted = network(torch.from_numpy(shown))[0].numpy()
    error = np.abs(OrtSession(path).run({INPUT: shown})[OUTPUT][0] - wanted)
    if not (error[:, 0].max() <= TOLERANCE / 25 and np.quantile(error[:, 1:], 0.99) <= TOLERANCE):
        raise InputError(f"torch and ONNX disagree about faces, by {error[:, 0].max():.1e} of a score and {error[:, 1:].max():.1e} pixels")
    return SPEC, read_record(run)


def write_screen(path: Path, screen: Screen, *, stored: bool = False) -> None:
    """Write the screen of a finder, its weights in `SCREEN_BITS` where they are to be `stored`, as a quantised bundle does.

    Raises:
        InputError: torch and the finished graph disagree.
    """
    export_screen(path, screen)
    if stored:
        store_screen(path)
    shown = np.random.default_rng(0).integers(0, 256, (8, 1, SIDE, SIDE)).astype(np.float32)
    with torch.no_grad():
        wanted = dict(zip(TOLD, screen(torch.from_numpy(shown)), strict=True))
    told = OrtSession(path).run({SHOWN: shown})
    error = max(float(np.abs(told[name] - value.numpy()).max()) for name, value in wanted.items())
    if not error <= ODDS_TOLERANCE:
        raise InputError(f"torch and ONNX disagree about what is a face, by {error:.1e} of its log odds")


def store_screen(path: Path) -> None:
    """Keep the screen's weights in `SCREEN_BITS`, in place."""
    model = onnx.load(path)
    store_weights(model, SCREEN_BITS)
    onnx.save(model, str(path))


def _brought(file: Path, path: Path) -> tuple[FaceSpec, dict[str, Any]]:
    try:
        model = onnx.load(file)
    except Exception as error:  # protobuf raises its own unrelated classes
        raise InputError(f"'{file}' is no ONNX graph: {str(error).splitlines()[0]}") from None
    names = {value.name for value in model.graph.output}
    if [value.name for value in model.graph.input] != ["input"] or names != OUTPUTS:
        wanted = "one input 'input' and the outputs cls_8 … kps_32"
        raise InputError(f"'{file}' is no YuNet as it is published since 2023: expected {wanted}, got {', '.join(sorted(names)[:4])}")
    sides = model.graph.input[0].type.tensor_type.shape.dim
    for side, name in zip(sides[2:], ("height", "width"), strict=True):
        side.dim_param = name  # those published with one size hold nothing that depends on it
    for value in model.graph.output:
        value.type.tensor_type.ClearField("shape")
    strip(model)
    onnx.save(model, str(path))
    try:
        for height, width in ((128, 160), (256, 128)):
            found = OrtSession(path).run({"input": np.zeros((1, 3, height, width), np.float32)})
            if found["kps_8"].shape != (1, height * width // 64, 10):
                raise ValueError("its outputs do not follow the picture's size")
    except EdgeError:
        raise
    except Exception as error:  # onnxruntime raises its own unrelated classes
        raise InputError(f"'{file}' cannot be run at any size: {str(error).splitlines()[0]}") from None
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    return YUNET, {"brought": "YuNet", "file": file.name, "sha256": digest, "licence": "its publisher's, not this bundle's"}
