"""`python -m export bundle`: trained parts → graphs → parity check → calibration → a bundle, written whole or not at all."""

from __future__ import annotations

import dataclasses
import json
import logging
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edge.bundle import (
    CALIBRATION,
    HASHES,
    SCHEMA,
    Bundle,
    BundleConfig,
    CueSpec,
    ImageSpec,
    PolicySpec,
    VerdictSpec,
)  # fmt: skip
from edge.errors import InputError
from edge.language.labels import EMOTIONS_8, EMOTIONS_11
from edge.pipeline import Pipeline
from export.calibrate import calibrate
from export.check import check_parity
from export.graphs import export_graphs
from export.plots import draw_calibration
from export.publish import write_config
from export.visibility import FIGURES, graft
from training.cues import CUES, POINTS, CueModel, mean_five_points
from training.data import load_ferplus
from training.encoder import SIZE, load_encoder
from training.face import SPEC, load_face
from training.policy import MAX_FRAMES, TOKENS_PER_FRAME, ErvPolicy, ErvProcessor, load_policy
from training.run import provenance
from training.sft import MAX_NEW_TOKENS
from training.verifier import load_verifier
from training.visibility import load_visibility

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Runs:
    """The folders of the trained parts."""

    face: Path
    encoder: Path
    policy: Path
    """Run of the cold start (or a later stage); its model is in `policy/`."""
    verifier: Path
    visibility: Path


def build(runs: Runs, data: Path, out: Path) -> dict[str, Any]:
    """Build, check and calibrate a bundle.

    Args:
        runs: trained parts.
        data: folder of the data packs; validation faces are used.
        out: the bundle's folder; an existing one is replaced at the very end.

    Returns:
        Parity and calibration figures.

    Raises:
        InputError: a part is missing, or torch and ONNX disagree.
    """
    if out.exists() and any(out.iterdir()) and not (out / HASHES).is_file():
        raise InputError(f"'{out}' holds something that is not a bundle: choose another --out")
    if not (runs.policy / "policy").is_dir():
        raise InputError(f"no trained policy in '{runs.policy}': run `python -m training sft` first")
    face, (verifier, verifier_tokenizer) = load_face(runs.face), load_verifier(runs.verifier)
    policy, processor = load_policy(runs.policy / "policy")
    visibility = load_visibility(runs.visibility)
    _, cue_model = load_encoder(runs.encoder)
    faces, valid = load_ferplus(data, "train"), load_ferplus(data, "valid")
    five = mean_five_points(faces.landmarks, faces.point_index)
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=".bundle-") as name:
        folder = Path(name) / "bundle"
        folder.mkdir()
        export_graphs(folder, face, policy, verifier)
        graft(folder / "vision_encoder.onnx", visibility.network)
        processor.tokenizer.backend_tokenizer.save(str(folder / "tokenizer.json"))
        verifier_tokenizer.save(str(folder / "verifier_tokenizer.json"))
        config = _config(policy, processor, cue_model, five, runs, visibility.threshold)
        write_config(folder, config)
        with Pipeline.load(folder, device="cpu") as pipeline:
            parity = check_parity(pipeline, face, policy, processor, verifier, valid.images[:128])
            log.info("parity %s", parity)
            found = calibrate(pipeline, valid)
            log.info("calibration %s", found.seen)
        draw_calibration(folder / CALIBRATION, found.confidence, found.right)
        figures = {"parity": parity, "validation": found.seen, FIGURES: visibility.figures}
        write_config(folder, dataclasses.replace(found.config, metrics=figures))
        Bundle.load(folder)
        if out.exists():
            out.rename(Path(name) / "replaced")
        folder.rename(out)
    return figures


def _config(policy: ErvPolicy, processor: ErvProcessor, cue_model: CueModel, five: np.ndarray, runs: Runs, least: float) -> BundleConfig:
    """A configuration with everything but what calibration measures."""
    tokenizer, text = processor.tokenizer, policy.config.get_text_config()
    cues = [
        CueSpec(c.name, c.action_unit, c.formula, float(m), float(s), [POINTS.index(p) for p in c.points])
        for c, m, s in zip(CUES, cue_model.mean, cue_model.std, strict=True)
    ]
    records = {name: _record(folder) for name, folder in dataclasses.asdict(runs).items()}
    return BundleConfig(
        schema=SCHEMA,
        labels=list(EMOTIONS_8),
        verifier_labels=list(EMOTIONS_11),
        cues=cues,
        image=ImageSpec(SIZE, 1, 1 / 255, [[round(float(v), 3) for v in point] for point in five]),
        face=SPEC,
        policy=PolicySpec(
            bos=tokenizer.bos_token_id,
            eos=tokenizer.eos_token_id,
            image=policy.config.image_token_id,
            tokens_per_frame=TOKENS_PER_FRAME,
            max_frames=MAX_FRAMES,
            max_new_tokens=MAX_NEW_TOKENS,
            layers=text.num_hidden_layers,
            kv_heads=text.num_key_value_heads,
            head_dim=text.hidden_size // text.num_attention_heads,
            candidates=4,
            temperature=0.8,
        ),
        verdict=VerdictSpec(0.0, 0.0, 0.0, 0.5, [1.0] * len(EMOTIONS_11), 64, least),
        temperature=1.0,
        rigid_shape=[[round(float(v), 6) for v in point] for point in cue_model.shape],
        provenance={
            **provenance(),
            "runs": records,
            "data": ["FER2013 images", "FER+ votes", "MediaPipe landmarks of them", "GoEmotions", "faces_in_context"],
        },
        metrics={},
    )


def _record(folder: Path) -> dict[str, Any]:
    record: dict[str, Any] = json.loads((folder / "config.json").read_text())
    return record
