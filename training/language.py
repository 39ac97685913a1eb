"""The language of the written rationales: phrases with what they state, how they follow each other, and when each statement holds.

One command makes the grammar that writer, parser and decoder are derived from; what the encoder cannot read reliably is left out of it.

    python -m training grammar --encoder runs/encoder --out runs/grammar
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy.optimize import minimize_scalar

from edge.language.grammar import END, FILE, START, VERSION, Grammar, load_grammar, read_grammar
from edge.language.labels import EMOTIONS_8
from edge.types import UNBOUNDED as _FAR
from edge.vision.encoder import softmax
from training import phrases
from training.augment import SIZE
from training.cues import CUE_NAMES, MIRROR_SIGN
from training.data import load_ferplus, load_today, unlabelled
from training.encoder import load_encoder, read_faces
from training.run import Run, read_config
from training.writer import Readings

log = logging.getLogger(__name__)

REGIONS = {
    "brows": ("inner_brow", "outer_brow", "brow_gap"),
    "eyes": ("eye_opening",),
    "mouth": ("lip_corners", "mouth_width", "mouth_opening"),
}
"""Region → the cues that are all hidden where it is out of sight."""
_BROWS = ("inner_brow", "outer_brow")
_TOLD_ONCE = (_BROWS, ("lip_corners", "mouth_width", "mouth_opening"))
"""Cues of one part: a second clause about it would be clumsy, and there are phrases that tell both."""
_FARTHEST = 8.0  # a cue that is not read reliably by then is not stated
_AHEAD = {"yaw": [-28.0, 28.0], "pitch": [-22.0, 22.0]}
_ASIDE, _FAR_ASIDE = ({**_AHEAD, "yaw": [-side, side]} for side in (38.0, 45.0))
"""How far a head may be turned for a part to be said to be at rest. Of FER+ validation faces turned by 28° to 38° the landmarks show eyes
within 1.5 of rest in 0.98, cheeks in 0.94, as of those that look ahead; lip corners in 0.73."""
_STIRRED = {"neutral": [0.0, 0.5]}
_NO_SMILE = {"happiness": [0.0, 0.5]}
_CONDITIONS = {
    # what brows and lids of a neutral face lie beyond the mean is how it is built, and low brows of a smiling one: against the same
    # person's other photographs half of it holds, of a neutral face's raised upper lip two in three, of its smile or wide mouth three in
    # five (`benchmarks persons`)
    **{f"{brow}+": _STIRRED for brow in _BROWS},
    **{f"{brow}-": {**_STIRRED, **_NO_SMILE} for brow in _BROWS},
    "eye_opening-": _STIRRED,
    "upper_lip+": _STIRRED,
    "mouth_width+": _STIRRED,
    # a smile shortens and widens the nose by its landmarks, and nobody sees it wrinkled; nor of a neutral face
    "nose_wrinkle+": {**_STIRRED, **_NO_SMILE},
    # perspective skews the mouth of a turned head
    "corner_asymmetry+": {"yaw": [-12.0, 12.0]},
    "corner_asymmetry-": {"yaw": [-12.0, 12.0]},
    # with an open mouth the lower lip moves, not the chin
    "chin_raise+": {"mouth_opening": [-_FAR, 1.0]},
    # a mouth that gapes is narrow between its corners, and nobody would call it small
    "mouth_width-": {"mouth_opening": [-_FAR, 1.0]},
    # the middle of the lips sinks when the mouth opens wide to shout: corners above it are a smile only where the mouth is wide as well
    "lip_corners+": {
        **_STIRRED,
        "mouth_width": [0.8, _FAR],
        "jaw_drop": [-_FAR, 1.2],
        "anger": [0.0, 0.3],
        "fear": [0.0, 0.3],
        "sadness": [0.0, 0.4],
    },
    # landmarks miss a wide stare, a faint smile, drooping corners and bunched cheeks, which the whole face gives away: then, and
    # where the head is turned, nothing is said to be at rest there
    "eye_opening=": {**_FAR_ASIDE, "surprise": [0.0, 0.2], "fear": [0.0, 0.2], "anger": [0.0, 0.15], "happiness": [0.0, 0.5]},
    "lip_corners=": {**_AHEAD, "happiness": [0.0, 0.3], "sadness": [0.0, 0.6], "anger": [0.0, 0.5], "disgust": [0.0, 0.3]},
    "mouth_opening=": _AHEAD,
    **{brow: {**_ASIDE, "surprise": [0.0, 0.2], "fear": [0.0, 0.2]} for brow in ("inner_brow=", "outer_brow=")},
    "mouth_width=": {**_AHEAD, "mouth_opening": [-_FAR, 1.0]},
    "cheek_raise=": {**_ASIDE, "happiness": [0.0, 0.3], "mouth_opening": [-_FAR, 1.0], "mouth_width": [-_FAR, 1.0]},
}
"""Cue and side → what else must be so for it to mean what its name says."""


@dataclass(frozen=True, slots=True)
class GrammarConfig:
    """Everything that decides which statements can be made, and from where."""

    precision: float
    """Share of validation faces, and of held-out faces of today, read beyond a threshold on which the landmarks show the cue beyond +1."""
    contradicted: float
    """And at most this share on which they show the other side of neutral."""
    least_faces: int
    """With fewer validation faces beyond it a threshold is not judged: the cue is then not stated."""
    floor: dict[str, float]
    """Cue, or cue and side (`eye_opening-`) → least threshold whatever the landmarks say: what lies below is often how a person is built
    (`benchmarks persons`); `""` for all others."""
    rest: dict[str, float]
    """Cue → a reading within ± this is at rest; `""` for all others."""
    denied: list[str]
    """Cues whose words of rest deny movement above neutral alone: corners that turn down are no smile either."""
    slight: dict[str, float]
    """Cue → *slight* is said up to this many deviations."""
    strong: dict[str, float]
    """Cue → *strong* from this many."""
    seed: int


def _says(text: str) -> list[list[Any]]:
    """Statements from their short form: `lip_corners+ mouth_opening+!`; `!` strong, `?` slight, `=` at rest."""
    found: list[list[Any]] = []
    for word in text.split():
        name, mark = word.rstrip("+-!?="), word.lstrip("abcdefghijklmnopqrstuvwxyz_")
        band = "strong" if "!" in mark else "slight" if "?" in mark else "plain"
        direction = 1 if "+" in mark else -1
        if name in ("yaw", "pitch"):
            found.append(["pose", name, direction, "far" if band == "strong" else "plain"])
        elif name == "eyes_closed":
            found.append(["eyes_closed", "eye_opening", 0, ""])
        elif mark == "=":
            found.append(["rest", name, 0, ""])
        else:
            found.append(["one_sided" if name == "corner_asymmetry" else "movement", name, direction, band])
    return found


def build(rules: dict[str, Any]) -> dict[str, Any]:
    """The grammar's JSON for these rules: without the phrases that no rule could ever let through."""
    moving = _clauses(phrases.MOVEMENTS, rules)
    still = _clauses(phrases.RESTS, rules)
    beside = [clause for clause in still if not any(cue in phrases.ALONE for _, cue, _, _ in clause[1])]
    posed = _clauses(phrases.POSES, rules)
    classes: dict[str, list[list[Any]]] = {
        "Movement": _capital(moving),
        "movement": moving,
        "Rest": _capital(still),
        "rest": still,
        "Beside": _capital(beside),
        "beside": beside,
        "pose": posed,
        "covered": [
            [text, [["covered", region, 0, ""] for region in regions.split()]]
            for regions, texts in phrases.COVERED.items()
            for text in texts
        ],
        "and": [[text, []] for text in phrases.ANDS],
        "stop": [[". ", []]],
        "closing": list(_closings(phrases.CLOSINGS)),
        "closing neutral": list(_closings(phrases.CLOSINGS, neutral=True)),
        "sum": list(_closings(phrases.SUMS)),
        "sum neutral": list(_closings(phrases.SUMS, neutral=True)),
    }
    for label in EMOTIONS_8:
        says = [["conclusion", label, 0, ""], ["certainty", "", 0, "likely"]]
        classes[f"likely {label}"] = [[text, says] for text in _likely(label)]
        classes[f"second {label}"] = [[text, [["runner_up", label, 0, ""]]] for text in _second(label)]
    return {"version": VERSION, "phrases": classes, "moves": _moves(), "rules": rules}


def _moves() -> dict[str, list[list[str]]]:
    """Three evidence clauses at most, in one or two sentences, then the conclusion.

    What is at rest speaks for a neutral expression alone: states after which something has been said to move are `moved`, the others
    `calm`, and only from a moved one another label is come to. Only what has two clauses can be summed up.
    """
    moves: dict[str, list[list[str]]] = {
        START: [["covered", "open"], ["Movement", "m1"], ["Rest", "r1"]],
        "open": [["Movement", "m1"], ["Rest", "r1"]],
        # one clause was said: another of this sentence, or the next sentence
        "m1": [["and", "m1 and"], ["stop", "second moved one"]],
        "r1": [["and", "r1 and"], ["stop", "second calm one"]],
        "m1 and": [["movement", "end1 moved"], ["beside", "end1 moved"], ["pose", "posed moved"]],
        "r1 and": [["movement", "end1 moved"], ["rest", "end1 calm"], ["pose", "posed calm"]],
        END: [],
    }
    for kind, last in (("moved", "m2"), ("calm", "r2")):
        one, several = _conclusions(kind == "moved", 1), _conclusions(kind == "moved", 2)
        still = "beside" if kind == "moved" else "rest"
        more = [["Movement", "m2"], [still.capitalize(), last]]
        moves |= {
            f"end1 {kind}": [["stop", f"second {kind}"]],
            f"posed {kind}": [["stop", f"second {kind} one"]],  # where the head points is no second reason
            f"second {kind} one": [*more, *one],
            f"second {kind}": [*more, *several],
            last: [["and", f"{last} and"], ["stop", f"last {kind}"]],
            f"{last} and": [["movement", "end2 moved"], [still, f"end2 {kind}"], ["pose", f"end2 {kind}"]],
            f"end2 {kind}": [["stop", f"last {kind}"]],
            f"last {kind}": several,
        }
    for label in EMOTIONS_8:
        moves[f"torn {label}"] = [[f"second {other}", END] for other in EMOTIONS_8 if other != label]
    return moves


def _conclusions(moved: bool, clauses: int) -> list[list[str]]:
    """Ways to the end, after something that moves or after rest alone."""
    kinds = ["closing", "sum"][:clauses]
    plain = [[f"{kind}{end}", END] for kind in kinds for end in (("", " neutral") if moved else (" neutral",))]
    return [*plain, *([f"likely {label}", f"torn {label}"] for label in EMOTIONS_8 if moved or label == "neutral")]


def _clauses(table: dict[str, tuple[str, ...]], rules: dict[str, Any]) -> list[list[Any]]:
    return [[text, says] for short, texts in table.items() if _possible(says := _says(short), rules) for text in texts]


def _possible(says: list[list[Any]], rules: dict[str, Any]) -> bool:
    """Whether every movement of a phrase is one that can be read."""
    return all(band in rules["movement"].get(cue, {}).get(str(d), {}) for kind, cue, d, band in says if kind in ("movement", "one_sided"))


def _capital(clauses: list[list[Any]]) -> list[list[Any]]:
    return [[text[0].upper() + text[1:], says] for text, says in clauses]


def _closings(forms: dict[str, tuple[tuple[str, ...], tuple[str, ...]]], neutral: bool = False) -> Iterable[list[Any]]:
    for label in EMOTIONS_8:
        if (label == "neutral") != neutral:
            continue
        for band, (others, still) in forms.items():
            says = [["conclusion", label, 0, ""], *([["certainty", "", 0, band]] if band else [])]
            for text in still if neutral else others:
                yield [_fill(text, label), says]


def _likely(label: str) -> list[str]:
    return [_fill(text, label) for text in (phrases.NEUTRAL_TORN if label == "neutral" else phrases.TORN)]


def _second(label: str) -> list[str]:
    return [text.format(noun=phrases.SECOND[label]) for text in phrases.SECONDS]


def _fill(text: str, label: str) -> str:
    return text.format(noun=label, adjective=phrases.ADJECTIVES[label])


def reliable_from(sets: list[tuple[Readings, np.ndarray]], config: GrammarConfig) -> dict[str, dict[str, float]]:
    """From where each movement can be stated: cue → direction → least z · direction; a direction that never can is missing.

    Args:
        sets: of faces that the encoder was not trained on: as it reads them, and `[N,C]` z-scores by their landmarks, NaN rows where
            there are none. A threshold must hold on each set that has enough faces beyond it, and on one at least; faces of which the
            movement cannot be stated for other reasons are left out.
        config: what reliable means.
    """
    found: dict[str, dict[str, float]] = {}
    for column, (cue, mirror) in enumerate(zip(CUE_NAMES, MIRROR_SIGN, strict=True)):
        for direction in (1, -1):
            floor = config.floor.get(f"{cue}{'+' if direction > 0 else '-'}", config.floor.get(cue, config.floor[""]))
            for least in np.arange(floor, _FARTHEST, 0.05):
                judged = []
                for read, measured in sets:
                    sides = (direction, -direction) if mirror < 0 else (direction,)  # left and right are one thing seen in a mirror
                    beyond = np.concatenate(
                        [side * measured[_sayable(read, cue, side) & (side * read.cues[:, column] >= least), column] for side in sides]
                    )
                    beyond = beyond[np.isfinite(beyond)]
                    if len(beyond) >= config.least_faces:
                        judged.append((beyond > 1).mean() >= config.precision and (beyond < 0).mean() <= config.contradicted)
                if not judged:
                    break
                if all(judged):
                    found.setdefault(cue, {})[str(direction)] = round(float(least), 2)
                    break
    return found


def _sayable(read: Readings, cue: str, direction: int) -> np.ndarray:
    """`[N]` bool: whose other readings let the movement be stated."""
    values = {
        **dict(zip(CUE_NAMES, read.cues.T, strict=True)),
        **dict(zip(EMOTIONS_8, read.probabilities.T, strict=True)),
        "yaw": read.pose[:, 0],
        "pitch": read.pose[:, 1],
    }
    spans = _CONDITIONS.get(f"{cue}{'=+-'[direction]}", {})
    return np.all([(values[name] >= low) & (values[name] <= high) for name, (low, high) in spans.items()], 0) & np.ones(len(read), bool)


def make_rules(least: dict[str, dict[str, float]], config: GrammarConfig) -> dict[str, Any]:
    """Every tolerance, as the grammar's JSON has it."""

    def of(table: dict[str, float], cue: str) -> float:
        return table.get(cue, table[""])

    def bands(cue: str, low: float) -> dict[str, list[float]]:
        up_to = of(config.slight, cue)
        slight = {"slight": [low, up_to]} if low <= up_to - 0.3 else {}
        return {**slight, "plain": [low, _FAR], "strong": [max(low, of(config.strong, cue)), _FAR]}

    return {
        "movement": {cue: {d: bands(cue, low) for d, low in sides.items()} for cue, sides in least.items()},
        "rest": {cue: [-_FAR if cue in config.denied else -of(config.rest, cue), of(config.rest, cue)] for cue in CUE_NAMES},
        "pose": {
            "yaw": {"plain": [24.0, 90.0], "far": [38.0, 90.0]},
            "pitch": {"plain": [17.0, 90.0], "far": [32.0, 90.0]},
        },
        "certainty": {"sure": [0.95, 1.0], "likely": [0.35, 0.8], "unsure": [0.0, 0.6]},
        "eyes_closed": [-_FAR, -3.0],
        "runner_up": [0.15, 0.5],
        "only_while": _CONDITIONS,
        "regions": {name: list(cues) for name, cues in REGIONS.items()},
        "told_once": [list(cues) for cues in _TOLD_ONCE],
    }


def train(folder: Path, out: Path, config: GrammarConfig, *, encoder: str) -> Path:
    """Find what the encoder reads reliably on validation faces; write `grammar.json` and the run to `out`."""
    run = Run(out, config, seed=config.seed)
    network, cue_model = load_encoder(Path(encoder))
    valid, today = load_ferplus(folder, "valid"), unlabelled(load_today(folder, held_out=True), SIZE)
    read, kept = [read_faces(network, faces.images) for faces in (valid, today)], valid.label >= 0
    temperature = fit_temperature(read[0]["emotion"][kept], valid.label[kept])
    seen = [Readings(each["cues"], each["pose"], softmax(each["emotion"] / temperature)) for each in read]
    measured = [cue_model.measure(faces.landmarks, faces.point_index)[0] for faces in (valid, today)]
    least = reliable_from(list(zip(seen, measured, strict=True)), config)
    values = build(make_rules(least, config))
    grammar = read_grammar(values)
    (out / FILE).write_text(json.dumps(values, ensure_ascii=False) + "\n", encoding="utf-8")
    (out / "thresholds.json").write_text(json.dumps({"temperature": temperature, "least": least}, indent=1) + "\n")
    run.metrics(phrases=len(grammar.phrases), states=len(grammar.states), movements=sum(map(len, least.values())))
    log.info("stated from: %s", least)
    return out


def load_language(folder: Path | str) -> Grammar:
    """The grammar of a run."""
    return load_grammar(Path(folder) / FILE)


def load_temperature(folder: Path | str) -> float:
    """The calibration temperature of the encoder that a grammar was made with."""
    return float(json.loads((Path(folder) / "thresholds.json").read_text())["temperature"])


def fit_temperature(logits: np.ndarray, label: np.ndarray) -> float:
    """The temperature with the lowest negative log likelihood (On Calibration of Modern Neural Networks, 2017)."""

    def loss(log_t: float) -> float:
        chosen = softmax(logits / np.exp(log_t))[np.arange(len(label)), label]
        return float(-np.log(np.maximum(chosen, 1e-12)).mean())

    return float(np.exp(minimize_scalar(loss, bounds=(-1.5, 2.0), method="bounded").x))


def configure(given: Path | None, overrides: list[str]) -> GrammarConfig:
    """The resolved configuration of the grammar."""
    return read_config(GrammarConfig, "grammar", given, overrides)
