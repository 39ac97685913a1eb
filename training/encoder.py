"""The vision encoder: a 96×96 grey face → feature map, eight emotions, cues, action units, points, pose; one residual network.

It sees two worlds: FER+, 48 pixels enlarged, which alone has emotions (of ten people a face); and the faces of `faces_today`, which have
landmarks and blendshapes and whose emotions are what the network's own moving average reads in them before they are darkened, blurred,
packed and covered (noisy student). Of the latter, those at rest are also moved into the prototypes of each emotion (`training.intervene`).

    python -m training encoder --start runs/earlier --out runs/encoder
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from edge.bundle import UnitSpec
from edge.errors import InputError
from edge.language.labels import EMOTIONS_8
from training.augment import SIZE, Targets, augment, join, plain
from training.certainty import Answers, calibration_errors, fit_doubt, fit_world
from training.composed import composed
from training.cues import CUE_NAMES, POINTS, CueModel, fit_cue_model
from training.data import MARGIN, FerPlus, Today, elsewhere, load_ferplus, load_today, resized
from training.intervene import at_rest
from training.levelled import levelled
from training.metrics import recalls, war_uar
from training.run import Average, Run, cosine_schedule, load_checkpoint, progress, read_config
from training.units import SHAPES, UnitModel, fit_unit_model, unit_specs

log = logging.getLogger(__name__)
_EVERY = 4
"""Every so-many-th face of each world tells what is strange."""
_POSE_SCALE = 20.0  # degrees; brings pose to the size of the other targets


@dataclass(frozen=True, slots=True)
class EncoderConfig:
    """Everything that decides an encoder run."""

    widths: list[int]
    """Channels of the stem and of the four stages."""
    depths: list[int]
    """Residual blocks per stage; each stage halves the resolution."""
    epochs: int
    """Passes over FER+."""
    batch: int
    today_share: float
    """Share of a batch that comes from `faces_today`, with emotions as its own average reads them."""
    composed_share: float
    """Share of a batch that is composed: faces at rest, moved into an emotion."""
    composed: int
    """Faces composed of each emotion; 0: none are."""
    lr: float
    weight_decay: float
    average: float
    """Decay of the moving average of the weights."""
    refresh: int
    """After so many passes the average reads the faces of today again."""
    dropout: float
    rare_power: float
    """A face is drawn in proportion to (frequency of its emotions) ** −rare_power; 0 draws as they come."""
    keep: float
    """How much of the earlier encoder's trunk and emotion head is kept in the end, 0…1."""
    student_weight: float
    """Of the emotions read by the average, against those of FER+."""
    cue_weight: float
    unit_weight: float
    point_weight: float
    pose_weight: float
    seed: int


class Block(nn.Module):
    """Two 3×3 convolutions with squeeze-and-excitation and a shortcut."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.norm1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(outputs)
        self.squeeze = nn.Conv2d(outputs, outputs // 8, 1)
        self.excite = nn.Conv2d(outputs // 8, outputs, 1)
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or inputs != outputs:
            self.shortcut = nn.Sequential(nn.AvgPool2d(stride), nn.Conv2d(inputs, outputs, 1, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = F.relu(self.norm1(self.conv1(x)))
        y = self.norm2(self.conv2(y))
        gate = torch.sigmoid(self.excite(F.relu(self.squeeze(y.mean((2, 3), keepdim=True)))))
        return F.relu(y * gate + self.shortcut(x))


class Encoder(nn.Module):
    """Grey face crops → feature map and readings."""

    def __init__(self, widths: list[int], depths: list[int], dropout: float = 0.0) -> None:
        super().__init__()
        self.widths, self.depths = widths, depths
        # twice the resolution of FER+ costs one layer: it sees 6×6 pixels and halves at once
        self.stem = nn.Sequential(nn.Conv2d(1, widths[0], 6, 2, 2, bias=False), nn.BatchNorm2d(widths[0]), nn.ReLU())
        blocks, channels = [], widths[0]
        for width, depth in zip(widths[1:], depths, strict=True):
            for i in range(depth):
                blocks.append(Block(channels, width, 2 if i == 0 else 1))
                channels = width
        self.stages = nn.Sequential(*blocks)
        self.dropout = nn.Dropout(dropout)
        self.emotion = nn.Linear(channels, len(EMOTIONS_8))
        # cues, units, points and pose depend on where things are: they read the whole 3×3 map, not its mean
        flat = channels * (SIZE // 32) ** 2
        self.geometry = nn.Sequential(nn.Linear(flat, 96), nn.ReLU())
        self.cues = nn.Linear(96, len(CUE_NAMES))
        self.points = nn.Linear(96, 2 * len(POINTS))
        self.pose = nn.Linear(96, 3)
        self.moved = nn.Sequential(nn.Linear(flat, 96), nn.ReLU())
        self.units = nn.Linear(96, len(SHAPES))
        self.evidence = nn.Linear(96, len(EMOTIONS_8), bias=False)
        # how strange a face is, from the pooled features, and the logarithms of the temperature of a familiar and of a strange one
        self.register_buffer("world", torch.zeros(channels + 1))
        self.register_buffer("doubt", torch.zeros(2))

    def forward(self, pixels: torch.Tensor) -> dict[str, torch.Tensor]:
        """Read faces.

        Args:
            pixels: `[N,1,96,96]` float, 0…1. Brightness and contrast are removed inside.

        Returns:
            `map [N,C,3,3]`, `emotion [N,8]` calibrated logits, `cues [N,K]` z-scores, `units [N,U]` in standard deviations,
            `points [N,P,2]` in fractions of the crop, `pose [N,3]` degrees (yaw, pitch, roll), `strangeness [N]` 0…1.
        """
        centred = pixels - pixels.mean((2, 3), keepdim=True)
        pixels = centred / (centred.square().mean((2, 3), keepdim=True) + 1e-3).sqrt()
        features = self.stages(self.stem(pixels))
        geometry = self.geometry(self.dropout(features.flatten(1)))
        moved = self.moved(self.dropout(features.flatten(1)))
        pooled = features.mean((2, 3))
        logits = self.emotion(self.dropout(pooled)) + self.evidence(moved)
        strangeness = torch.sigmoid(pooled @ self.world[1:] + self.world[0])
        return {
            "map": features,
            # a temperature of each face's own (after On Calibration of Modern Neural Networks, 2017); 1 until it is fitted
            "emotion": logits / torch.exp(self.doubt[0] + (self.doubt[1] - self.doubt[0]) * strangeness)[:, None],
            "cues": self.cues(geometry),
            "units": self.units(moved),
            "points": self.points(geometry).reshape(-1, len(POINTS), 2) + 0.5,
            "pose": self.pose(geometry) * _POSE_SCALE,
            "strangeness": strangeness,
        }


def grow(state: dict[str, torch.Tensor], model: Encoder) -> dict[str, torch.Tensor]:
    """Weights of an encoder for 48-pixel crops in the places of this one, which then reads every crop as that one reads its half size.

    Raises:
        InputError: the weights are of a network of another shape.
    """
    grown = dict(model.state_dict())
    for name, value in state.items():
        if name == "stem.0.weight" and value.shape[-1] == 3:
            value = value.repeat_interleave(2, 2).repeat_interleave(2, 3) / 4
        if name not in grown or grown[name].shape != value.shape:
            raise InputError(f"cannot start from that run: its weight '{name}' does not fit")
        grown[name] = value
    if "evidence.weight" not in state:
        grown["evidence.weight"] = torch.zeros_like(grown["evidence.weight"])
    return grown


def losses(out: dict[str, torch.Tensor], target: Targets, trust: torch.Tensor, config: EncoderConfig) -> torch.Tensor:
    """Soft cross-entropy on the emotions, each face's as far as it is trusted, plus Huber losses on all else, where it is known."""
    emotion = -((target.emotion * F.log_softmax(out["emotion"].float(), 1)).sum(1) * trust).sum() / trust.sum()
    known, told = target.cues.isfinite().all(1), target.units.isfinite().all(1)

    def huber(name: str, truth: torch.Tensor, rows: torch.Tensor, beta: float, scale: float = 1.0) -> torch.Tensor:
        return F.smooth_l1_loss(out[name][rows].float() / scale, truth[rows] / scale, beta=beta)

    return (
        emotion
        + config.cue_weight * huber("cues", target.cues, known, 1.0)
        + config.unit_weight * huber("units", target.units, told, 1.0)
        + config.point_weight * huber("points", target.points, known, 0.02) * 10
        + config.pose_weight * huber("pose", target.pose, known, 0.5, _POSE_SCALE)
    )


def read_faces(model: Encoder, images: np.ndarray, batch: int = 256) -> dict[str, np.ndarray]:
    """Run the encoder over crops `[N,S,S]` uint8 of any size; every output as one array."""
    return _read(model, torch.from_numpy(resized(images, SIZE)), 1.0, batch)


@torch.no_grad()
def _read(model: Encoder, images: torch.Tensor, margin: float, batch: int = 256, *, rough: bool = False) -> dict[str, np.ndarray]:
    model.eval()
    device = next(model.parameters()).device
    parts = []
    for start in range(0, len(images), batch):
        pixels = plain(images[start : start + batch], margin).to(device, memory_format=torch.channels_last)
        with torch.autocast(device.type, torch.bfloat16, enabled=rough):
            parts.append({key: value.float().cpu().numpy() for key, value in model(pixels).items()})
    return {key: np.concatenate([part[key] for part in parts]) for key in parts[0]}


def own_answers(model: Encoder, images: torch.Tensor, margin: float, offsets: np.ndarray) -> torch.Tensor:
    """What the network takes the emotions of faces to be, `[N,8]`: the mean over the face and its mirror image, with the class offsets."""
    both = [_read(model, seen, margin, rough=True)["emotion"] for seen in (images, images.flip(2))]
    return torch.stack([torch.from_numpy(logits + offsets).softmax(1) for logits in both]).mean(0)


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


def class_offsets(sets: list[tuple[np.ndarray, np.ndarray]], weight: float = 0.25) -> np.ndarray:
    """Offsets `[8]` to add to the logits, by coordinate search for the highest mean of WAR + `weight` · UAR over sets of logits and labels.

    Only the classes that a set has are answered there.
    """
    offsets = np.zeros(len(EMOTIONS_8), np.float32)
    present = [np.isin(np.arange(len(EMOTIONS_8)), label) for _, label in sets]

    def score(candidate: np.ndarray) -> float:
        found = []
        for (logits, label), there in zip(sets, present, strict=True):
            war, uar = war_uar(label, np.where(there, logits + candidate, -np.inf).argmax(1), len(EMOTIONS_8))
            found.append(war + weight * uar)
        return float(np.mean(found)) - 0.002 * float(np.abs(candidate).mean())

    best = score(offsets)
    for step in (0.4, 0.2, 0.1):
        for _ in range(4):
            for i in range(len(offsets)):
                for move in (-step, step):
                    candidate = offsets.copy()
                    candidate[i] += move
                    if (value := score(candidate)) > best:
                        best, offsets = value, candidate
    return offsets - offsets.mean()


def fit_cues(faces: FerPlus, today: Today, seed: int) -> CueModel:
    """Cues standardised on the neutral faces of both worlds, as many of each."""
    rest, neutral = np.flatnonzero(at_rest(today.blendshapes, today.shape_names)), np.flatnonzero(faces.label == 0)
    neutral = np.random.default_rng(seed).permutation(neutral)[: len(rest)]
    chosen = np.concatenate([np.isin(np.arange(len(faces)), neutral), np.isin(np.arange(len(today)), rest)])
    # measured in distances between the eyes: crops of different sizes go together
    return fit_cue_model(np.concatenate([faces.landmarks, today.landmarks]), faces.point_index, chosen)


class Material:
    """What batches are drawn from: FER+ as published and levelled by its points, faces of today, and composed ones."""

    def __init__(self, folder: Path, config: EncoderConfig) -> None:
        faces, today = load_ferplus(folder, "train"), load_today(folder, held_out=False)
        if not faces.shape_names:
            raise InputError(f"no blendshapes of FER+ in '{folder}'")
        self.cue_model = fit_cues(faces, today, config.seed)
        self.unit_model = fit_unit_model([(faces.blendshapes, faces.shape_names), (today.blendshapes, today.shape_names)])
        faces = faces.take((faces.votes.sum(1) >= 3) & (faces.rest[:, 1] <= faces.votes.sum(1)))
        self.raw = Targets.of(faces, self.cue_model, self.unit_model)
        self.levelled = Targets.of(levelled(faces), self.cue_model, self.unit_model)
        self.today = Targets.of(today, self.cue_model, self.unit_model)
        none = self.today.take(torch.zeros(0, dtype=torch.long))
        self.composed = composed(folder, today, self.cue_model, config.composed, config.seed) if config.composed else none
        self.power = config.rare_power
        self.draw = self._rare(torch.from_numpy(faces.target))
        shares = (config.today_share, config.composed_share if config.composed else 0.0)
        self.sizes = [round(config.batch * share) for share in shares]
        self.sizes.insert(0, config.batch - sum(self.sizes))
        self.steps = len(faces) // self.sizes[0]

    def _rare(self, emotion: torch.Tensor) -> torch.Tensor:
        return emotion.double() @ (emotion.double().mean(0).clamp(min=1e-4) ** -self.power)

    def answered(self, model: Encoder, offsets: np.ndarray) -> None:
        """Give the faces of today the emotions that `model` reads in them."""
        self.today = replace(self.today, emotion=own_answers(model, self.today.images, MARGIN, offsets))

    def batches(self, generator: torch.Generator) -> Iterator[tuple[Targets, torch.Tensor]]:
        """One pass: augmented batches, and which faces of them have the emotions of people `[N]` (else of the network)."""
        draws = (self.draw, self._rare(self.today.emotion), torch.ones(max(1, len(self.composed.images))).double())
        rows = [
            torch.multinomial(weights, max(1, self.steps * size), replacement=True, generator=generator)[: self.steps * size].view(
                self.steps, size
            )
            for weights, size in zip(draws, self.sizes, strict=True)
        ]
        for fer, now, made in zip(*rows, strict=True):
            straight = torch.rand(len(fer), generator=generator) < 0.5
            parts = [self.raw.take(fer[~straight]), self.levelled.take(fer[straight])]
            wide = join([self.today.take(now), self.composed.take(made)])
            batch = join([augment(join(parts), generator), augment(wide, generator, MARGIN)])
            yield batch, torch.arange(len(batch.images)) < len(fer)


def train(folder: Path, out: Path, config: EncoderConfig, *, start: str | None = None) -> Path:
    """Train an encoder on the packs under `folder`; write the run to `out`.

    Args:
        folder: of the data packs.
        out: folder of the run.
        config: see there.
        start: run of an earlier encoder to go on from; without one, faces of today have no emotions in the first quarter of the run, and
            nothing is kept of an earlier one.

    Raises:
        InputError: a pack is missing or damaged, or the earlier encoder does not fit.
    """
    run = Run(out, config, seed=config.seed)
    model = Encoder(config.widths, config.depths, config.dropout)
    earlier = grow(load_checkpoint(Path(start))["state"], model) if start else None
    if earlier:
        model.load_state_dict(earlier)
    model = model.to(run.device, memory_format=torch.channels_last)
    material = Material(folder, config)
    valid, others = load_ferplus(folder, "valid"), elsewhere(folder, SIZE)
    held_out = Targets.of(load_today(folder, held_out=True), material.cue_model, material.unit_model)
    average, averaged = Average(model, config.average), Encoder(config.widths, config.depths).to(run.device)
    optimizer = torch.optim.AdamW(
        [
            {"params": [p for p in model.parameters() if p.ndim > 1], "weight_decay": config.weight_decay},
            {"params": [p for p in model.parameters() if p.ndim <= 1], "weight_decay": 0.0},
        ],
        lr=config.lr,
    )
    schedule = cosine_schedule(optimizer, config.epochs * material.steps, material.steps // 2)
    generator = torch.Generator().manual_seed(config.seed)
    for epoch in range(config.epochs):
        taught = bool(start) or 4 * epoch >= config.epochs
        if epoch % config.refresh == 0:
            averaged.load_state_dict(average.state)
            material.answered(averaged, _offsets(averaged, None, others, 1.0))
        model.train()
        total = 0.0
        for batch, people in progress(material.batches(generator), f"epoch {epoch}", material.steps):
            trust = torch.where(people, 1.0, config.student_weight if taught else 0.0).to(run.device)
            batch = Targets(*(getattr(batch, field.name).to(run.device) for field in fields(Targets)))
            with torch.autocast(run.device.type, torch.bfloat16):
                output = model(batch.images.to(memory_format=torch.channels_last))
            loss = losses(output, batch, trust, config)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 5.0)
            optimizer.step()
            schedule.step()
            average.update(model)
            total += loss.item()
        averaged.load_state_dict(average.state)
        run.metrics(epoch=epoch, loss=total / material.steps, **evaluate(averaged, valid, others, held_out, material.cue_model))
        run.save(state=average.state, cue_model=material.cue_model, units=[], offsets=np.zeros(len(EMOTIONS_8), np.float32))

    averaged.load_state_dict(blend(average.state, earlier, config.keep) if earlier else average.state)
    run.save(cue_model=material.cue_model, **finish(run, averaged, material, valid, others, held_out))
    return out


def blend(state: dict[str, torch.Tensor], earlier: dict[str, torch.Tensor], keep: float) -> dict[str, torch.Tensor]:
    """Weights between those of the run and of the encoder that it went on from (Robust fine-tuning of zero-shot models, 2022), as far as
    both have them: trunk and emotion head."""
    both = [name for name in state if name.split(".")[0] in ("stem", "stages", "emotion") and state[name].is_floating_point()]
    return {**state, **{name: torch.lerp(state[name], earlier[name].to(state[name]), keep) for name in both}}


def finish(run: Run, model: Encoder, material: Material, valid: FerPlus, others: FerPlus | None, held_out: Targets) -> dict[str, Any]:
    """Class offsets, calibration and the units that can be told, all chosen on validation faces: weights, and what is saved with them."""
    sets = {"FER+": valid.take(valid.label >= 0), **({"elsewhere": others} if others is not None else {})}
    offsets = _offsets(model, valid, others, 0.25)
    worlds = [
        torch.from_numpy(_read(model, part.images[::_EVERY], margin, rough=True)["map"].mean((2, 3)))
        for part, margin in ((material.raw, 1.0), (material.today, MARGIN))
    ]
    model.world.copy_(fit_world(*worlds))
    state = {name: value.clone() for name, value in model.state_dict().items()}
    with torch.no_grad():
        model.emotion.bias += torch.from_numpy(offsets).to(run.device)
    answers = {}
    for name, faces in sets.items():
        read = read_faces(model, faces.images)
        answers[name] = Answers(*(torch.from_numpy(part) for part in (read["emotion"], read["strangeness"], faces.label)))
    state["doubt"] = fit_doubt(answers)
    model.doubt.copy_(state["doubt"])
    run.metrics(split="with offsets and temperatures", **evaluate(model, valid, others, held_out, material.cue_model))
    run.metrics(**calibration_errors(answers), **dict(zip(("familiar", "strange"), map(float, state["doubt"].exp()), strict=True)))
    units = told_units(model, held_out, material.unit_model)
    run.metrics(**{unit.name: unit.reliability for unit in units})
    return {"state": state, "units": [asdict(unit) for unit in units], "offsets": offsets}


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
    return class_offsets([(read_faces(model, part.images)["emotion"], part.label) for part in labelled], weight)


def load_encoder(folder: Path) -> tuple[Encoder, CueModel]:
    """Load a trained encoder, its class offsets folded into the emotion head, and the cue model it learned from."""
    checkpoint = load_checkpoint(folder)
    config = checkpoint["record"]["config"]
    model = Encoder(config["widths"], config["depths"])
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
