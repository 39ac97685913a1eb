"""What `Pipeline.counterfactual` needs, as one small file of a bundle: how a face moves when one of its cues is taken back to neutral.

`python -m export moves BUNDLE --out DIR` puts it into a finished bundle and touches nothing else. Fields come from ICT-FaceKit (MIT, USC
ICT) through the training side's own mesh and levers, scaled by the bundle's own standardisation of the cues.
"""

from __future__ import annotations

import dataclasses
import logging
import shutil
from pathlib import Path
from typing import Any

import numpy as np

from edge.bundle import HASHES, MOVES, Bundle, BundleConfig
from edge.errors import InputError
from edge.files import sha256_of
from edge.pipeline import Pipeline
from edge.vision.moves import MoveArrays
from export.publish import write_config
from training.cues import CUE_NAMES, POINTS, CueModel
from training.folders import new_folder
from training.intervene import AMOUNTS, Mover
from training.levers import LEVERS, Steer
from training.mesh import EYES, GAP, LIDS, LIP_COLUMNS, MOUTH, OVAL, RING_TRIANGLES, RINGS, SKIN, lid_ring, spread

log = logging.getLogger(__name__)
PACK = "facs_displacements.npz"
"""What it needs of the data packs."""
SOURCE = "ICT-FaceKit, USC Institute for Creative Technologies; MIT"
RIGID = (33, 133, 362, 263, 1, 2)
"""Points of the encoder that expressions hardly move: eye corners, tip and base of the nose."""
FAR = (2.5, 2.0, 1.5, 1.0)
"""Deviations from which the mean face is taken back: the first to which it can be moved at all."""
WORDS: dict[str, dict[int, str]] = {
    "inner_brow": {1: "the raised inner brows", -1: "the lowered inner brows"},
    "outer_brow": {1: "the raised outer brows", -1: "the lowered outer brows"},
    "brow_gap": {1: "the brows drawn apart", -1: "the brows drawn together"},
    "eye_opening": {1: "the wide eyes", -1: "the lowered lids"},
    "nose_wrinkle": {1: "the wrinkled nose"},
    "upper_lip": {1: "the raised upper lip"},
    "lip_corners": {1: "the raised lip corners", -1: "the lowered lip corners"},
    "corner_asymmetry": {1: "the higher left lip corner", -1: "the higher right lip corner"},
    "mouth_width": {1: "the wide mouth", -1: "the narrow mouth"},
    "mouth_opening": {1: "the parted lips"},
    "jaw_drop": {1: "the dropped jaw"},
}
"""Cue → side → what is taken back, in words. Left out, on pictures that were looked at: a low upper lip and a long nose (they swell), and
what would open a mouth, whose inside is not in the picture."""


def put_moves(folder: Path, data: Path, out: Path) -> dict[str, Any]:
    """Write a copy of a bundle with the moves in it.

    Args:
        folder: the bundle.
        data: folder of the data packs.
        out: the new bundle; an existing one is replaced at the very end.

    Returns:
        `moves`: cue and side of each; `bytes` of the file.

    Raises:
        BundleError: the bundle is damaged.
        InputError: the pack is missing, the bundle lacks a cue that landmarks tell, or `out` cannot be written.
    """
    bundle = Bundle.load(folder)
    if not (data / PACK).is_file():
        raise InputError(f"no data pack at '{data / PACK}': moves are made from it")
    with new_folder(out, HASHES, sources=[bundle.folder]) as fresh:
        for path in bundle.folder.iterdir():
            shutil.copyfile(path, fresh / path.name)
        write_config(fresh, add_moves(fresh, bundle.config, data))
        with Pipeline.load(fresh, device="cpu") as pipeline:
            assert pipeline.moves
            names = [f"{cue}{'+' if side > 0 else '-'}" for cue, side in pipeline.moves.known]
        size = (fresh / MOVES).stat().st_size
    return {"moves": names, "bytes": size}


def add_moves(folder: Path, config: BundleConfig, data: Path) -> BundleConfig:
    """Write `moves.npz` into the folder of a bundle that is being made; return the configuration that knows of it.

    Without the pack there is nothing to make them from, and the bundle tells no counterfactuals.
    """
    if not (data / PACK).is_file():
        log.warning("no data pack at '%s': the bundle will tell no counterfactuals", data / PACK)
        return config
    model = CueModel(np.array(config.rigid_shape), *(_column(config, key) for key in ("mean", "std")))
    arrays = moves_of(Steer(Mover.load(data), model))
    np.savez_compressed(folder / MOVES, **{field.name: getattr(arrays, field.name) for field in dataclasses.fields(arrays)})
    named = config.provenance["data"]
    record = {
        "data": named if any("ICT-FaceKit" in name for name in named) else [*named, "ICT-FaceKit (MIT, USC ICT)"],
        "moves": {"pack": PACK, "sha256": sha256_of(data / PACK), "licence": SOURCE},
    }
    return dataclasses.replace(config, movable=sorted({*map(str, arrays.cues)}), provenance={**config.provenance, **record})


def _column(config: BundleConfig, key: str) -> np.ndarray:
    """`[C]` mean or deviation of the cues that the landmarks tell, in the order of `CUE_NAMES`."""
    specs = {cue.name: getattr(cue, key) for cue in config.cues}
    if missing := [name for name in CUE_NAMES if name not in specs]:
        raise InputError(f"the bundle has no cue '{missing[0]}': it cannot be moved")
    return np.array([specs[name] for name in CUE_NAMES])


def moves_of(steer: Steer) -> MoveArrays:
    """The file's arrays: mesh, and a field for each cue and side that the mean face can be brought to and taken back from."""
    mesh = steer.mover.mesh
    asked = [(cue, side) for cue, sides in WORDS.items() for side in sides if cue in LEVERS]
    found = {key: lever for key in asked if (lever := _taken_back(steer, *key))}
    levers = list(found.values())
    fields = np.stack([mesh.field(amounts) if amounts else np.zeros_like(mesh.neutral) for amounts, _ in levers])
    oval, around = list(OVAL), _rings(mesh.neutral)
    carried = np.concatenate([share * np.eye(len(OVAL), dtype=np.float32) for _, share in RINGS])
    normals = mesh.normals(mesh.neutral)[0]

    def with_rings(field: np.ndarray) -> np.ndarray:
        return np.concatenate([field[:SKIN], carried @ field[oval]])

    opened = np.concatenate([mesh.opened[:SKIN], _rings(mesh.opened)])
    return MoveArrays(
        rest=np.concatenate([mesh.neutral[:SKIN], around]).astype(np.float32),
        normals=np.concatenate([normals[:SKIN], np.tile(normals[oval], (len(RINGS), 1))]).astype(np.float16),
        spread=spread(opened, np.array(POINTS)).astype(np.float16),
        points=np.array(POINTS, np.uint16),
        rigid=np.array([POINTS.index(number) for number in RIGID], np.uint8),
        around=_renumbered(RING_TRIANGLES),
        mouth=MOUTH.astype(np.uint16),
        eyes=EYES.astype(np.uint16),
        skin=mesh.triangles.astype(np.uint16),
        rings=np.array([lid_ring(0), lid_ring(1)], np.uint16),
        lids=np.array(LIDS, np.uint16),
        lips=np.array(LIP_COLUMNS, np.uint16),
        gap=GAP.astype(np.uint16),
        cues=np.array([cue for cue, _ in found]),
        sides=np.array([side for _, side in found], np.int8),
        fields=np.stack([with_rings(field) for field in fields]).astype(np.float16),
        jaw=with_rings(mesh.field({"jawOpen": -1.0})).astype(np.float16),
        closing=np.array([jaw for _, jaw in levers], np.float32),
        most=np.array([_most(amounts, jaw) for amounts, jaw in levers], np.float32),
        words=np.array([WORDS[cue][side] for cue, side in found]),
        source=np.array(SOURCE),
    )


def _taken_back(steer: Steer, cue: str, side: int) -> tuple[dict[str, float], float] | None:
    """Expression → amount that takes a cue of the mean face one deviation back from a side, and how far the jaw closes with it."""
    mesh, row = steer.mover.mesh, CUE_NAMES.index(cue)
    landmarks = mesh.neutral[mesh.point_index] * 100
    held = steer.hold(landmarks)
    for far in FAR:
        if (there := held.to({cue: side * far - float(held.cues[row])})) is None:
            continue
        moved = steer.mover.place(steer.mover.lay(landmarks), there[0])
        if (back := steer.hold(moved).to({cue: -side * far})) is not None:
            amounts = {name: amount / far for name, amount in back[0].items()}
            jaw = -amounts.pop("jawOpen") if amounts.get("jawOpen", 0) < 0 else 0.0
            return amounts, jaw
    log.warning("the mean face cannot be taken back from %s %+d: no move", cue, side)
    return None


def _most(amounts: dict[str, float], jaw: float) -> float:
    return AMOUNTS[1] / max(jaw, *(abs(amount) for amount in amounts.values()), 1e-6)


def _rings(points: np.ndarray) -> np.ndarray:
    """The rings around the outline of a face `[V,3]`."""
    oval = points[list(OVAL)]
    centre = oval.mean(0)
    return np.concatenate([centre + np.array([out, out, 1]) * (oval - centre) for out, _ in RINGS])


def _renumbered(triangles: np.ndarray) -> np.ndarray:
    """Triangles of the rings, counted from the end of the skin: the irises are left out."""
    return np.where(triangles >= 478, triangles - 478 + SKIN, triangles).astype(np.uint16)
