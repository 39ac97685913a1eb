"""The vision encoder: a 96×96 grey face → feature map, eight emotions, cues, action units, points, pose.

Two networks look at a face. The *trunk* tells its emotion from what FER+'s people said of faces. The *motion* branch keeps where things are
and reads cues, units, points and pose; it learns from FER+ and from faces of today (`faces_today`), among them composed emotions and faces
beside themselves with a part moved (`training.nudged`), where what is read must differ by what has moved. What the branch saw may then
correct the trunk's emotion, as far as both validations gain by it.

    python -m training encoder --start runs/earlier --out runs/encoder
"""

from __future__ import annotations

from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn import functional as F

from edge.bundle import UnitSpec
from edge.errors import InputError
from edge.language.labels import EMOTIONS_8
from training.augment import SIZE, Targets, plain
from training.certainty import Answers, calibration_errors, class_offsets, fit_doubt, fit_evidence, fit_world
from training.cues import CueModel
from training.data import MARGIN, FerPlus, elsewhere, load_ferplus, load_today, resized
from training.material import Material
from training.metrics import recalls, war_uar
from training.network import POSE_SCALE, PROBED, TRUNK, Encoder, standardise, thaw
from training.recipe import EncoderConfig
from training.run import Average, Run, cosine_schedule, descend, load_checkpoint, progress, read_config
from training.units import UnitModel, unit_specs

_EVERY = 4
"""Every so-many-th face of each world tells what is strange."""
_EVIDENCE_SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)


def grow(state: dict[str, torch.Tensor], model: Encoder) -> dict[str, torch.Tensor]:
    """The trunk and emotion head of an earlier encoder in the places of this one, and its motion branch where it has the same; a trunk for
    48-pixel crops then reads every crop as it read its half size.

    Raises:
        InputError: the trunk is of another shape.
    """
    grown = dict(model.state_dict())
    branch = {name: value.shape for name, value in grown.items() if name.startswith("motion.")}
    same = all(name in state and state[name].shape == shape for name, shape in branch.items())
    for name in grown:
        if name.split(".")[0] in TRUNK or (same and name in branch):
            value = state.get(name)
            if name == "stem.0.weight" and value is not None and value.shape[-1] == 3:
                value = value.repeat_interleave(2, 2).repeat_interleave(2, 3) / 4
            if value is None or value.shape != grown[name].shape:
                raise InputError(f"cannot start from that run: its weight '{name}' does not fit")
            grown[name] = value
    return grown


def losses(out: dict[str, torch.Tensor], target: Targets, pairs: torch.Tensor, config: EncoderConfig) -> torch.Tensor:
    """Huber losses on all that is known and, where the trunk learns as well, soft cross-entropy on the emotions.

    Args:
        out: what the network read; with `emotion` where the trunk learns.
        target: what it should have read.
        pairs: `[2,P]` rows of faces and of the same ones moved: their cues must differ by what has moved.
        config: the weights.
    """
    known, told = target.cues.isfinite().all(1), target.units.isfinite().all(1)

    def huber(name: str, truth: torch.Tensor, rows: torch.Tensor, beta: float, scale: float = 1.0) -> torch.Tensor:
        return F.smooth_l1_loss(out[name][rows].float() / scale, truth[rows] / scale, beta=beta)

    total = (
        config.cue_weight * huber("cues", target.cues, known, 1.0)
        + config.unit_weight * huber("units", target.units, told, 1.0)
        + config.point_weight * huber("points", target.points, known, 0.02) * 10
        + config.pose_weight * huber("pose", target.pose, known, 0.5, POSE_SCALE)
    )
    if pairs.shape[1]:
        before, after = pairs
        moved = F.smooth_l1_loss((out["cues"][after] - out["cues"][before]).float(), target.cues[after] - target.cues[before], beta=1.0)
        total = total + config.pair_weight * config.cue_weight * moved
    if "emotion" in out:
        rows = target.emotion.isfinite().all(1)
        total = total - (target.emotion[rows] * F.log_softmax(out["emotion"][rows].float(), 1)).sum(1).mean()
    return total


def read_faces(model: Encoder, images: np.ndarray, batch: int = 256) -> dict[str, np.ndarray]:
    """Run the encoder over crops `[N,S,S]` uint8 of any size; every output as one array."""
    return _read(model, torch.from_numpy(resized(images, SIZE)), 1.0, batch)


@torch.no_grad()
def _read(model: Encoder, images: torch.Tensor, margin: float = 1.0, batch: int = 256, *, rough: bool = False) -> dict[str, np.ndarray]:
    model.eval()
    device = next(model.parameters()).device
    parts = []
    for start in range(0, len(images), batch):
        pixels = plain(images[start : start + batch], margin).to(device, memory_format=torch.channels_last)
        with torch.autocast(device.type, torch.bfloat16, enabled=rough):
            parts.append({key: value.float().cpu().numpy() for key, value in model(pixels).items()})
    return {key: np.concatenate([part[key] for part in parts]) for key in parts[0]}


def evaluate(model: Encoder, valid: FerPlus, others: FerPlus | None, today: Targets, cue_model: CueModel) -> dict[str, float]:
    """WAR and UAR on the reference protocol and elsewhere, with its recalls; mean correlation of cues and units with what is measured."""
    out, label = read_faces(model, valid.images), valid.label
    kept = label >= 0
    war, uar = war_uar(label[kept], out["emotion"][kept].argmax(1), len(EMOTIONS_8))
    truth, _ = cue_model.measure(valid.landmarks, valid.point_index)
    known = np.isfinite(truth).all(1)
    found = {"war": war, "uar": uar, "cue_corr": _correlation(truth[known], out["cues"][known])}
    if others is not None:
        answer = read_faces(model, others.images)["emotion"][:, :7].argmax(1)
        found["war_elsewhere"], found["uar_elsewhere"] = war_uar(others.label, answer, 7)
        found |= {f"elsewhere_{e}": float(r) for e, r in zip(EMOTIONS_8, recalls(others.label, answer, 7), strict=False)}
    read = _read(model, today.images, MARGIN)
    seen, told = today.cues.isfinite().all(1).numpy(), today.units.isfinite().all(1).numpy()
    found["cue_corr_today"] = _correlation(today.cues.numpy()[seen], read["cues"][seen])
    found["unit_corr_today"] = _correlation(today.units.numpy()[told], read["units"][told])
    return found


def _correlation(truth: np.ndarray, read: np.ndarray) -> float:
    return float(np.mean([np.corrcoef(a, b)[0, 1] for a, b in zip(truth.T, read.T, strict=True)]))


def train(folder: Path, out: Path, config: EncoderConfig, *, start: str | None = None) -> Path:
    """Train an encoder on the packs under `folder`; write the run to `out`.

    Args:
        folder: of the data packs.
        out: folder of the run.
        config: see there.
        start: run of an earlier encoder, whose trunk and emotion head are kept as they are; without one they are learned, too.

    Raises:
        InputError: a pack is missing or damaged, or the earlier encoder does not fit.
    """
    run = Run(out, config, seed=config.seed)
    model = Encoder(config.widths, config.depths, config.motion, config.dropout)
    if start:
        model.load_state_dict(grow(load_checkpoint(Path(start))["state"], model))
    model = model.to(run.device, memory_format=torch.channels_last)
    material = Material(folder, config)
    if start:
        thaw(model, plain(material.raw.images[:PROBED]).to(run.device, memory_format=torch.channels_last))
        for name, part in model.named_children():
            part.requires_grad_(name not in TRUNK)
    valid, others = load_ferplus(folder, "valid"), elsewhere(folder, SIZE)
    held_out = Targets.of(load_today(folder, held_out=True), material.cue_model, material.unit_model)
    average, averaged = Average(model, config.average), Encoder(*model.shape).to(run.device)
    learned = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(
        [
            {"params": [p for p in learned if p.ndim > 1], "weight_decay": config.weight_decay},
            {"params": [p for p in learned if p.ndim <= 1], "weight_decay": 0.0},
        ],
        lr=config.lr,
    )
    schedule = cosine_schedule(optimizer, config.epochs * material.steps, material.steps // 2)
    generator = torch.Generator().manual_seed(config.seed)
    for epoch in range(config.epochs):
        model.train()
        total = 0.0
        for batch, pairs in progress(material.batches(generator), f"epoch {epoch}", material.steps):
            batch = Targets(*(getattr(batch, field.name).to(run.device) for field in fields(Targets)))
            pixels = batch.images.to(memory_format=torch.channels_last)
            with torch.autocast(run.device.type, torch.bfloat16):
                output = model.motion(standardise(pixels)) if start else model(pixels)
            loss = losses(output, batch, pairs, config)
            descend(loss, optimizer, schedule, most=5.0)
            average.update(model)
            total += loss.item()
        averaged.load_state_dict(average.state)
        run.metrics(epoch=epoch, loss=total / material.steps, **evaluate(averaged, valid, others, held_out, material.cue_model))
        run.save(state=average.state, cue_model=material.cue_model, units=[], offsets=np.zeros(len(EMOTIONS_8), np.float32))

    averaged.load_state_dict(average.state)
    if config.evidence_passes:
        learn_evidence(run, averaged, material, config, valid, others)
    run.save(cue_model=material.cue_model, **finish(run, averaged, material, valid, others, held_out))
    return out


@torch.no_grad()
def learn_evidence(run: Run, model: Encoder, material: Material, config: EncoderConfig, valid: FerPlus, others: FerPlus | None) -> None:
    """What moved, added to the trunk's logits: a linear model of the branch's features, and as much of it as both validations like best."""
    model.eval()
    generator = torch.Generator().manual_seed(config.seed)
    features, logits, emotion = [], [], []
    for _ in range(config.evidence_passes):
        for batch in progress(material.labelled(generator), "evidence", material.steps):
            read = model(batch.images.to(run.device, memory_format=torch.channels_last))
            features.append(read["moved"].cpu())
            logits.append(read["emotion"].cpu())
            emotion.append(batch.emotion)
    with torch.enable_grad():
        weights = fit_evidence(torch.cat(features), torch.cat(logits), torch.cat(emotion)).to(run.device)
    sets = []
    for part in (valid.take(valid.label >= 0), others):
        if part is not None:
            read = read_faces(model, part.images)
            sets.append((read["emotion"], read["moved"] @ weights.cpu().numpy().T, part.label))

    def worth(share: float) -> float:
        return class_offsets([(logits + share * extra, label) for logits, extra, label in sets])[1]

    found = {share: worth(share) for share in _EVIDENCE_SHARES}
    run.metrics(**{f"evidence_{share}": value for share, value in found.items()})
    model.evidence.weight.copy_(max(found, key=lambda share: found[share]) * weights)


def finish(run: Run, model: Encoder, material: Material, valid: FerPlus, others: FerPlus | None, held_out: Targets) -> dict[str, Any]:
    """Class offsets, calibration and the units that can be told, all chosen on validation faces: weights, and what is saved with them."""
    sets = labelled(valid, others)
    offsets = _offsets(model, valid, others, 0.25)
    worlds = [
        torch.from_numpy(_read(model, part.images[::_EVERY], margin, rough=True)["map"].mean((2, 3)))
        for part, margin in ((material.raw, 1.0), (material.today, MARGIN))
    ]
    model.world.copy_(fit_world(*worlds))
    state = {name: value.clone() for name, value in model.state_dict().items()}
    with torch.no_grad():
        model.emotion.bias += torch.from_numpy(offsets).to(run.device)
    state["doubt"] = fit_temperatures(run, model, sets)
    run.metrics(split="with offsets and temperatures", **evaluate(model, valid, others, held_out, material.cue_model))
    units = told_units(model, held_out, material.unit_model)
    run.metrics(**{unit.name: unit.reliability for unit in units})
    return {"state": state, "units": [asdict(unit) for unit in units], "offsets": offsets}


def labelled(valid: FerPlus, others: FerPlus | None) -> dict[str, FerPlus]:
    """Faces with labels, by where they are from."""
    return {"FER+": valid.take(valid.label >= 0), **({"elsewhere": others} if others is not None else {})}


@torch.no_grad()
def fit_temperatures(run: Run, model: Encoder, sets: dict[str, FerPlus]) -> torch.Tensor:
    """The logarithms of the temperatures `[2]` that suit labelled faces of both worlds; the model gets them."""
    model.doubt.zero_()
    answers = {}
    for name, faces in sets.items():
        read = [read_faces(model, np.ascontiguousarray(images)) for images in (faces.images, faces.images[:, :, ::-1])]
        both = (torch.from_numpy(np.stack([view[key] for view in read], 1)) for key in ("emotion", "strangeness"))
        answers[name] = Answers(*both, torch.from_numpy(faces.label))
    model.doubt.copy_(fit_doubt(answers))
    run.metrics(**calibration_errors(answers), **dict(zip(("familiar", "strange"), map(float, model.doubt.exp()), strict=True)))
    return model.doubt.clone()


def told_units(model: Encoder, held_out: Targets, unit_model: UnitModel) -> list[UnitSpec]:
    """The action units that are read reliably on held-out faces."""
    read, known = _read(model, held_out.images, MARGIN), (held_out.units.isfinite().all(1) & held_out.cues.isfinite().all(1)).numpy()
    pairs = [(read[name][known], truth.numpy()[known]) for name, truth in (("units", held_out.units), ("cues", held_out.cues))]
    return unit_specs(unit_model, *pairs)


def _offsets(model: Encoder, valid: FerPlus | None, others: FerPlus | None, weight: float) -> np.ndarray:
    """Class offsets that suit the given sets."""
    labelled = [part.take(part.label >= 0) for part in (valid, others) if part is not None]
    if not labelled:
        return np.zeros(len(EMOTIONS_8), np.float32)
    return class_offsets([(read_faces(model, part.images)["emotion"], part.label) for part in labelled], weight)[0]


def load_encoder(folder: Path) -> tuple[Encoder, CueModel]:
    """Load a trained encoder, its class offsets folded into the emotion head, and the cue model it learned from."""
    checkpoint = load_checkpoint(folder)
    config = checkpoint["record"]["config"]
    model = Encoder(config["widths"], config["depths"], config["motion"])
    model.load_state_dict(checkpoint["state"])
    with torch.no_grad():
        model.emotion.bias += checkpoint["offsets"]
    return model.eval(), CueModel(**{name: tensor.numpy() for name, tensor in checkpoint["cue_model"].items()})


def temperatures_of(folder: Path) -> dict[str, list[float]]:
    """What a trained encoder tells strange faces by, and the logarithms of its temperatures: `world` and `doubt`, plain JSON types."""
    state = load_checkpoint(folder)["state"]
    return {name: [round(value, 6) for value in state[name].tolist()] for name in ("world", "doubt")}


def load_units(folder: Path) -> list[UnitSpec]:
    """The action units that a trained encoder reads reliably."""
    return [UnitSpec(**spec) for spec in load_checkpoint(folder)["units"]]


def configure(given: Path | None, overrides: list[str]) -> EncoderConfig:
    """The resolved encoder configuration."""
    return read_config(EncoderConfig, "encoder", given, overrides)
