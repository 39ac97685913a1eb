"""What the encoder's batches are drawn from: FER+ as published and levelled, faces of today, composed emotions, and moved faces beside
themselves."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from edge.errors import InputError
from training.augment import Targets, augment, join
from training.composed import composed
from training.cues import CueModel, fit_cue_model
from training.data import MARGIN, FerPlus, Today, load_ferplus, load_today
from training.intervene import at_rest
from training.levelled import levelled
from training.nudged import Nudged, nudged
from training.recipe import EncoderConfig
from training.units import fit_unit_model

_NEITHER = torch.zeros(0, dtype=torch.long)


def fit_cues(faces: FerPlus, today: Today, seed: int) -> CueModel:
    """Cues standardised on the neutral faces of both worlds, as many of each."""
    rest, neutral = np.flatnonzero(at_rest(today.blendshapes, today.shape_names)), np.flatnonzero(faces.label == 0)
    neutral = np.random.default_rng(seed).permutation(neutral)[: len(rest)]
    chosen = np.concatenate([np.isin(np.arange(len(faces)), neutral), np.isin(np.arange(len(today)), rest)])
    # measured in distances between the eyes: crops of different sizes go together
    return fit_cue_model(np.concatenate([faces.landmarks, today.landmarks]), faces.point_index, chosen)


class Material:
    """Faces to learn from, with what they should read as."""

    def __init__(self, folder: Path, config: EncoderConfig) -> None:
        faces, today = load_ferplus(folder, "train"), load_today(folder, held_out=False)
        if not faces.shape_names:
            raise InputError(f"no blendshapes of FER+ in '{folder}'")
        self.cue_model = fit_cues(faces, today, config.seed)
        self.unit_model = fit_unit_model([(faces.blendshapes, faces.shape_names), (today.blendshapes, today.shape_names)])
        faces = faces.take((faces.votes.sum(1) >= 3) & (faces.rest[:, 1] <= faces.votes.sum(1)))
        level = levelled(faces)
        self.raw = Targets.of(faces, self.cue_model, self.unit_model)
        self.levelled = Targets.of(level, self.cue_model, self.unit_model)
        self.today = Targets.of(today, self.cue_model, self.unit_model)
        still = self.today.take(_NEITHER)
        self.composed = composed(folder, today, self.cue_model, config.composed, config.seed) if config.composed else still
        self.moved = [
            nudged(folder, source, self.cue_model, config.nudged, config.seed) if config.nudged else Nudged(faces.take(_NEITHER), _NEITHER)
            for source, faces in ((level, self.levelled), (today, self.today))
        ]
        self.draw = rare_first(torch.from_numpy(faces.target), config.rare_power)
        pairs = config.pair_share if config.nudged else 0.0
        shares = (config.today_share, config.composed_share if config.composed else 0.0, pairs / 4, pairs / 4)
        self.sizes = [round(config.batch * share) for share in shares]
        self.sizes.insert(0, config.batch - sum(self.sizes) - sum(self.sizes[-2:]))
        self.steps = len(faces) // self.sizes[0]

    def batches(self, generator: torch.Generator) -> Iterator[tuple[Targets, torch.Tensor]]:
        """One pass over FER+: augmented batches, and the rows of the pairs in them, each `[2,P]` of a face and of the same one moved."""
        weights = [self.draw, *(torch.ones(max(1, n)).double() for n in (len(self.today), len(self.composed), *map(len, self.moved)))]
        rows = [
            torch.multinomial(w, max(1, self.steps * size), replacement=True, generator=generator)[: self.steps * size].view(
                self.steps, size
            )
            for w, size in zip(weights, self.sizes, strict=True)
        ]
        for fer, now, made, *pair in zip(*rows, strict=True):
            straight = torch.rand(len(fer), generator=generator) < 0.5
            origins = [moved.origin[chosen] for moved, chosen in zip(self.moved, pair, strict=True)]
            after = [moved.faces.take(chosen) for moved, chosen in zip(self.moved, pair, strict=True)]
            near = [self.raw.take(fer[~straight]), self.levelled.take(fer[straight]), self.levelled.take(origins[0]), after[0]]
            wide = [self.today.take(now), self.composed.take(made), self.today.take(origins[1]), after[1]]
            places = torch.arange(sum(map(len, near + wide))).split([*map(len, near), *map(len, wide)])
            both = torch.cat([torch.stack([places[2], places[3]]), torch.stack([places[6], places[7]])], 1)
            yield join([augment(join(near), generator), augment(join(wide), generator, MARGIN)]), both

    def labelled(self, generator: torch.Generator) -> Iterator[Targets]:
        """One pass over the faces whose emotion is known, augmented: those of FER+ and composed ones."""
        for _ in range(self.steps):
            fer = torch.multinomial(self.draw, self.sizes[0], replacement=True, generator=generator)
            half = len(fer) // 2
            yield augment(join([self.raw.take(fer[:half]), self.levelled.take(fer[half:])]), generator)
            if self.sizes[2]:
                made = torch.randint(len(self.composed), (self.sizes[2],), generator=generator)
                yield augment(self.composed.take(made), generator, MARGIN)


def rare_first(emotion: torch.Tensor, power: float) -> torch.Tensor:
    """Weights to draw faces with, `[N]`: (frequency of their emotions `[N,8]`) ** −power."""
    return emotion.double() @ (emotion.double().mean(0).clamp(min=1e-4) ** -power)
