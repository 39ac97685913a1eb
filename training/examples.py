"""Labelled pictures with written rationales, from any of the data sets, for policies that look at pictures themselves."""

from __future__ import annotations

import random
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from PIL.Image import Image as Picture

from edge.cv import cv2
from edge.errors import InputError, UsageError
from edge.language.labels import EMOTIONS_8
from edge.language.rationale import write_completion
from edge.sources.picture import as_grey
from edge.vision.encoder import softmax
from training.augment import SIZE
from training.clips import Clip, clip_frames, load_dfew, load_mafw
from training.contrast import Contrast
from training.data import load_ferplus
from training.encoder import load_encoder, read_faces
from training.language import load_language, load_temperature
from training.network import Encoder
from training.writer import Readings, Writer, at_random, facts_of, text_of

DATASETS = ("ferplus", "dfew", "mafw")


@dataclass(frozen=True, slots=True)
class Example:
    """One face or clip."""

    pictures: list[Picture]
    """RGB, in the order of time."""
    label: str
    measured: list[float]
    """Cues and pose by the landmarks; empty when there are none."""
    read: list[float]
    """Cues, pose and label probabilities as the encoder reads the last picture."""
    completion: str
    """Written about what the encoder reads in the last picture."""


def read_examples(
    folder: Path, split: str, dataset: str, encoder: Path, grammar: str, *, fold: int = 1, frames: int = 1, limit: int = 0, seed: int = 0
) -> list[Example]:
    """Read a split and write a rationale for each face.

    Args:
        folder: the data packs, or the root of DFEW or MAFW in its official layout; MAFW clips with a label outside FER+'s eight, and
            compound ones, are left out.
        split: `train`, `valid` (FER+ only) or `test`.
        dataset: one of `DATASETS`.
        encoder: run of the encoder that reads the cues.
        grammar: run of the grammar to write in.
        fold: of DFEW and MAFW.
        frames: pictures per clip.
        limit: at most so many, from the first; 0 takes all.
        seed: of the writer's style.

    Raises:
        UsageError: unknown data set.
        InputError: files are missing or broken, or nothing is left.
    """
    if dataset not in DATASETS:
        raise UsageError(f"unknown data set '{dataset}': expected {', '.join(DATASETS)}")
    network, cue_model = load_encoder(encoder)
    if dataset == "ferplus":
        faces = load_ferplus(folder, split)
        faces = faces.take(np.flatnonzero(faces.label >= 0)[: limit or None])
        cues = np.concatenate(cue_model.measure(faces.landmarks, faces.point_index), 1)
        pictures = [[image] for image in faces.images]
        labels = [EMOTIONS_8[i] for i in faces.label]
        measured = [row.tolist() if np.isfinite(row).all() else [] for row in cues]
    else:
        load = load_dfew if dataset == "dfew" else load_mafw
        clips: list[Clip] = [c for c in load(folder, split, fold=fold) if c.emotions[0] in EMOTIONS_8][: limit or None]
        pictures = [[np.asarray(cv2.cvtColor(f, cv2.COLOR_BGR2RGB)) for f in clip_frames(clip, frames)] for clip in clips]
        labels, measured = [clip.emotions[0] for clip in clips], [[] for _ in clips]
    if not labels:
        raise InputError(f"'{folder}' has no face of the {split} split with one of the labels {', '.join(EMOTIONS_8)}")
    readings = _read(network, [seen[-1] for seen in pictures], load_temperature(grammar))
    language, rng = load_language(grammar), random.Random(seed)
    writer = Writer(language, Contrast.fit(readings.cues, readings.probabilities, language))
    found = []
    for i, (seen, label, row) in enumerate(zip(pictures, labels, measured, strict=True)):
        text = text_of(writer.write(facts_of(readings, i), label, at_random(rng)))
        read = [*readings.flat[i].tolist(), *readings.probabilities[i].tolist()]
        found.append(Example([Image.fromarray(p).convert("RGB") for p in seen], label, row, read, write_completion(text, label)))
    return found


@torch.no_grad()
def _read(network: Encoder, pictures: list[np.ndarray], temperature: float) -> Readings:
    grey = [cv2.resize(as_grey(p[..., ::-1]) if p.ndim == 3 else p, (SIZE, SIZE), interpolation=cv2.INTER_AREA) for p in pictures]
    read = read_faces(network, np.stack(grey))
    return Readings(read["cues"], read["pose"], softmax(read["emotion"] / temperature))
