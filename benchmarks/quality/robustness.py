"""`python -m benchmarks robustness`: how reading, checking and calibration fare when the picture is bad.

With the mouth hidden, claims about it must vanish from the draft, or the explanation must not be shown.
"""

from __future__ import annotations

import re
from collections.abc import Callable

import numpy as np

from benchmarks.command import Figures, progress
from benchmarks.quality.corruptions import COVERS, SEVERITIES, SIMPLE, Corrupt, cover, covering
from benchmarks.quality.reading import Faces, Read, explain, over_faces, read_crops, verdict_rates
from edge.bundle import CueSpec
from edge.pipeline import Pipeline
from edge.types import Explanation, Verdict
from training.metrics import expected_calibration_error, war_uar

_MOUTH_UNITS = {10, 12, 13, 14, 15, 16, 17, 18, 20, 22, 23, 24, 25, 26, 27, 28}
_EYE_UNITS = {1, 2, 4, 5, 6, 7, 43}
"""FACS action units of the lower face, and of brows and eyes (Facial Action Coding System, 2002)."""


def cues_of(part: str, cues: list[CueSpec]) -> list[CueSpec]:
    """The bundle's cues that are wholly about the `mouth` or the `eyes`, by their action units."""
    wanted = _MOUTH_UNITS if part == "mouth" else _EYE_UNITS
    return [cue for cue in cues if (units := set(map(int, re.findall(r"\d+", cue.action_unit)))) and units <= wanted]


def measure(pipeline: Pipeline, faces: Faces, *, seed: int = 0) -> Figures:
    """Read the faces clean and under every corruption (grain and skin over eyes or mouth at the last severity only).

    Returns:
        `n`, `clean`, and `corrupted`: name → severity (`1` … `3`) → `war`, `uar`, `ece`, `confidence`, `verified_rate`,
        `verified_and_wrong`, `abstained_rate`; and `mouth_hidden`: what lies over the wholly covered mouth (`COVERS`) → `mouth_claims`.
    """
    config = pipeline.bundle.config
    read = read_crops(pipeline, faces.crops)
    before, settled = explain(pipeline, read, title="clean")
    points = read.encoded.points_xy * config.image.size
    changes = {name: _each(faces.crops, corrupt, seed) for name, corrupt in SIMPLE.items()}
    for part in ("eyes", "mouth"):
        shown = sorted({point for cue in cues_of(part, config.cues) for point in cue.points})
        for kind in COVERS if shown else ():
            changes[f"{part} hidden, {kind}"] = _covered(faces.crops, points[:, shown], kind, seed)
    figures: Figures = {"n": len(faces.labels), "clean": _figures(pipeline, faces, read, settled), "corrupted": {}, "mouth_hidden": {}}
    mouth = {cue.name for cue in cues_of("mouth", config.cues)}
    cells = [(name, severity) for name in changes for severity in SEVERITIES if severity == SEVERITIES[-1] or not name.endswith(COVERS[1:])]
    for name, severity in progress(cells, "robustness"):
        bad = read_crops(pipeline, changes[name](severity))
        drafts, final = explain(pipeline, bad, title=f"{name} {severity}")
        figures["corrupted"].setdefault(name, {})[str(severity)] = _figures(pipeline, faces, bad, final)
        if name.startswith("mouth hidden") and severity == SEVERITIES[-1]:
            figures["mouth_hidden"][name.rpartition(" ")[2]] = mouth_claims(before, drafts, final, mouth)
    return figures


def _each(crops: np.ndarray, corrupt: Corrupt, seed: int) -> Callable[[int], np.ndarray]:
    """Severity → all crops corrupted, each with random numbers of its own that do not depend on the others."""
    return lambda severity: np.stack([corrupt(crop, severity, np.random.default_rng([seed, i])) for i, crop in enumerate(crops)])


def _covered(crops: np.ndarray, points: np.ndarray, kind: str, seed: int) -> Callable[[int], np.ndarray]:
    over = [covering(kind, crop, crops[i - 1], np.random.default_rng([seed, i])) for i, crop in enumerate(crops)]
    return lambda severity: np.stack([cover(crop, each, severity, cut) for crop, each, cut in zip(crops, points, over, strict=True)])


def mouth_claims(before: list[Explanation], drafts: list[Explanation], final: list[Explanation], cues: set[str]) -> Figures:
    """What becomes of claims about the mouth, by the names of its `cues`: clean drafts `before`, and both with the mouth covered.

    Returns:
        `claimed_clean`, `claimed_hidden`: share of drafts that speak of the mouth. Among the `faces` whose clean draft did:
        `vanished` from the draft, `withheld` (claimed, but rejected or abstained for whatever reason), `shown`; these sum to 1.
    """
    spoke, speaks, tells = (np.array([any(c.cue in cues for c in e.claims) for e in group], bool) for group in (before, drafts, final))
    shows = tells & [e.status is Verdict.VERIFIED for e in final]
    found: Figures = {"faces": int(spoke.sum()), "claimed_clean": float(spoke.mean()), "claimed_hidden": float(speaks.mean())}
    if not found["faces"]:
        return found | dict.fromkeys(("vanished", "withheld", "shown"))
    vanished, shown = (float(which[spoke].mean()) for which in (~speaks & ~shows, shows))
    return found | {"vanished": vanished, "withheld": 1 - shown - vanished, "shown": shown}


def _figures(pipeline: Pipeline, faces: Faces, read: Read, final: list[Explanation]) -> Figures:
    war, uar = war_uar(faces.labels, read.shown, len(pipeline.bundle.config.labels))
    right = read.shown == faces.labels
    calibration = {"ece": expected_calibration_error(read.confidence, right), "confidence": float(read.confidence.mean())}
    return {"war": war, "uar": uar, **calibration, **verdict_rates(final, right)}


COMMAND = over_faces(measure, faces=300)
