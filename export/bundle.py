"""`python -m export bundle`: trained parts → graphs → parity check → calibration → a bundle, written whole or not at all."""

from __future__ import annotations

import dataclasses
import hashlib
import logging
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge.bundle import (
    CALIBRATION,
    HASHES,
    SCHEMA,
    SCREEN,
    Bundle,
    BundleConfig,
    CueSpec,
    FaceSpec,
    ImageSpec,
    PolicySpec,
    VerdictSpec,
)  # fmt: skip
from edge.errors import InputError
from edge.files import read_json
from edge.language.grammar import FILE, load_grammar
from edge.language.labels import EMOTIONS_8, EMOTIONS_11
from edge.pipeline import Pipeline
from edge.ranges import build as build_spec
from export.calibrate import calibrate
from export.check import check_parity
from export.finder import write_screen
from export.graphs import export_graphs
from export.moves import add_moves
from export.plots import draw_calibration
from export.publish import write_config
from export.visibility import CLEAR, FIGURES, VEILED, graft
from training.augment import SIZE
from training.certainty import TORN
from training.constraint import constrain
from training.cues import CUES, POINT_MIRROR, POINTS, CueModel
from training.data import elsewhere, load_ferplus
from training.encoder import load_encoder, load_units, temperatures_of
from training.face import SPEC, load_face
from training.folders import new_folder
from training.levelled import crop_spec
from training.policy import MAX_FRAMES, TOKENS_PER_FRAME, ErvPolicy, ErvProcessor, load_policy
from training.run import provenance, read_record
from training.screen import load_screen
from training.sft import MAX_NEW_TOKENS
from training.verifier import load_verifier
from training.visibility import load_visibility

log = logging.getLogger(__name__)
_EVEN = 5.0
"""A crop that is a pixel off moves the difference between the halves by 2 to 3 grey levels; between faces it has a deviation of 35."""


@dataclass(frozen=True, slots=True)
class Runs:
    """The folders of the trained parts."""

    face: Path
    """Of the face finder; or a bundle, whose finder is kept as it is."""
    encoder: Path
    grammar: Path
    policy: Path
    """Run of the cold start (or a later stage); its model is in `policy/`."""
    verifier: Path
    visibility: Path
    screen: Path
    """Of the finder; not asked for where a bundle's finder is kept."""


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
    if not (runs.policy / "policy").is_dir():
        raise InputError(f"no trained policy in '{runs.policy}': run `python -m training sft` first")
    kept = kept_finder(runs.face) if (runs.face / HASHES).is_file() else None
    face = None if kept else load_face(runs.face)
    verifier, verifier_tokenizer = load_verifier(runs.verifier)
    policy, processor = load_policy(runs.policy / "policy")
    constrain(policy, load_grammar(runs.grammar / FILE), processor.tokenizer)  # it may say less than the policy learned, never more
    visibility = load_visibility(runs.visibility)
    encoder, cue_model = load_encoder(runs.encoder)
    policy.encoder.load_state_dict(encoder.state_dict())  # the policy may have learned beside an earlier one
    faces, valid = load_ferplus(data, "train"), load_ferplus(data, "valid").at(SIZE)
    with new_folder(out, HASHES) as folder:
        export_graphs(folder, face, policy, verifier)
        if kept:
            for name in ("face.onnx", *([f"{SCREEN}.onnx"] if kept[0].screened else [])):
                shutil.copyfile(runs.face / name, folder / name)
        else:
            write_screen(folder / f"{SCREEN}.onnx", load_screen(runs.screen))
        graft(folder / "vision_encoder.onnx", visibility.network)
        processor.tokenizer.backend_tokenizer.save(str(folder / "tokenizer.json"))
        verifier_tokenizer.save(str(folder / "verifier_tokenizer.json"))
        shutil.copyfile(runs.grammar / FILE, folder / FILE)
        config = _config(policy, processor, cue_model, crop_spec(faces), runs, visibility.threshold)
        if kept:
            config = dataclasses.replace(config, face=kept[0])
            config.provenance["runs"] |= kept[1]
        config = add_moves(folder, config, data)
        write_config(folder, config)
        with Pipeline.load(folder, device="cpu") as pipeline:
            parity = check_parity(pipeline, face, policy, processor, verifier, valid.images[:128])
            log.info("parity %s", parity)
            found = calibrate(pipeline, valid, elsewhere(data, SIZE))
            log.info("calibration %s", found.seen)
        draw_calibration(folder / CALIBRATION, found.confidence, found.right)
        figures = {"parity": parity, "validation": found.seen, FIGURES: visibility.figures}
        write_config(folder, dataclasses.replace(found.config, metrics=figures))
        Bundle.load(folder)
    return figures


def kept_finder(folder: Path) -> tuple[FaceSpec, dict[str, Any]]:
    """How the finder of a bundle of any schema is run, and the records of its training and of its screen's.

    Raises:
        InputError: the bundle is damaged.
    """
    try:
        sums = dict(reversed(line.split("  ")) for line in (folder / HASHES).read_text(encoding="utf-8").splitlines())
        if sums["face.onnx"] != hashlib.sha256((folder / "face.onnx").read_bytes()).hexdigest():
            raise ValueError("face.onnx does not match its SHA-256")
        values = read_json(folder / "config.json")
        spec, records = build_spec(FaceSpec, values["face"], "face"), values["provenance"]["runs"]
        return spec, {name: dict(records[name]) for name in ("face", *(["screen"] if spec.screened else []))}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"cannot keep the face finder of '{folder}': {error}") from None


def _config(policy: ErvPolicy, processor: ErvProcessor, cue_model: CueModel, image: ImageSpec, runs: Runs, least: float) -> BundleConfig:
    """A configuration with everything but what calibration measures."""
    tokenizer, text = processor.tokenizer, policy.config.get_text_config()
    cues = [
        CueSpec(c.name, c.action_unit, c.formula, float(m), float(s), [POINTS.index(p) for p in c.points], c.mirrored)
        for c, m, s in zip(CUES, cue_model.mean, cue_model.std, strict=True)
    ]
    # a bundle, whose finder is kept with its screen, has records of its own
    own = ("face", "screen") if (runs.face / HASHES).is_file() else ()
    found = {name: folder for name, folder in dataclasses.asdict(runs).items() if name not in own}
    records = {name: read_record(folder) for name, folder in found.items()}
    records["encoder"] = records["encoder"] | temperatures_of(runs.encoder)  # the exporter folds them into constants without a name
    return BundleConfig(
        schema=SCHEMA,
        labels=list(EMOTIONS_8),
        verifier_labels=list(EMOTIONS_11),
        cues=cues,
        image=dataclasses.replace(image, torn=TORN, mirror=POINT_MIRROR.tolist(), even=_EVEN),
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
        verdict=VerdictSpec(0.0, 0.0, 0.5, 1.1, [1.0] * len(EMOTIONS_11), 64, least, VEILED, CLEAR),
        temperature=1.0,
        units=load_units(runs.encoder),
        rigid_shape=[[round(float(v), 6) for v in point] for point in cue_model.shape],
        provenance={
            **provenance(),
            "runs": records,
            "data": [
                "FER2013 images",
                "FER+ votes",
                "FairFace (CC BY 4.0)",
                "MediaPipe landmarks and blendshapes of both (Apache-2.0)",
                "ICT-FaceKit (MIT, USC ICT)",
                "GoEmotions",
                "faces_in_context",
            ],
        },
        metrics={},
    )
