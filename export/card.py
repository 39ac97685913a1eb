"""The model card of a bundle, generated from its configuration."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from edge.bundle import AUDIT, CALIBRATION, GRAPHS, SCREEN, BundleConfig
from export.attribution import attributions


def write_card(folder: Path, config: BundleConfig) -> None:
    """Write `README.md` into a bundle folder."""
    graphs = [path for name in (*GRAPHS, SCREEN) if (path := folder / f"{name}.onnx").is_file()]
    sizes = [(path.name, path.stat().st_size / 1e6) for path in graphs]
    verdict = config.verdict
    sight = verdict.min_visible, verdict.min_said, verdict.min_rest
    lines = [
        "# Model card: erv-edge bundle",
        "",
        "Finds faces, reads their *apparent expression*, explains it in plain sentences, and checks each explanation before it is",
        "shown.",
        "It does not read what anybody feels. Expressions differ between people, cultures and situations.",
        "",
        "## Intended use and limits",
        "",
        "For human–computer interaction research and software that reacts to visible expression, with the knowledge and consent of the",
        "people seen. Not for decisions about people (hiring, education, policing, credit, health). In the European Union, inferring",
        "emotions of people at",
        "work and in education is prohibited outside medical and safety reasons (AI Act, article 5(1)(f)), and people exposed to emotion",
        "recognition must be told (article 50(3)); systems for emotion recognition are listed as high-risk (annex III, point 1(c)).",
        "Rare expressions (contempt, disgust, fear) are read far less reliably than common ones;",
        "the training faces are web photographs of uneven age, skin tone and pose. Who is found, read and explained less often, by race,",
        "gender and age, and what light and skin tone change, was audited on FairFace's validation photographs (CC BY 4.0):",
        "`docs/fairness.md` of the project has the figures and what they cannot show (`python -m benchmarks audit`).",
        *(["", "![Found, verified and abstained by race, gender and age](audit.png)"] if (folder / AUDIT).is_file() else []),
        "",
        "## Parts",
        "",
        "| file | MB |",
        "|---|---|",
        *(f"| `{name}` | {size:.2f} |" for name, size in sizes),
        "",
        f"Labels: {', '.join(config.labels)}.",
        "",
        "## Cues",
        "",
        "Standard deviations from neutral faces; the head's rotation is removed first.",
        "",
        "| cue | action units | measure (over the distance between the outer eye corners) |",
        "|---|---|---|",
        *(f"| {cue.name} | {cue.action_unit} | {cue.formula} |" for cue in config.cues),
        "",
        *_units(config),
        *_moves(config),
        "## Verdict",
        "",
        "An explanation says only what is checked, and is shown only if all of it holds: every statement, read exactly by `grammar.json`,",
        "lies within its rule's tolerance on this face, and the masked evidence speaks for the answer",
        f"(consistency ≥ {verdict.min_consistency}). A text outside the grammar is",
        "never shown."
        if verdict.min_covered > 1
        else f"shown only where the verifier finds nothing in it that it did not read (covered ≥ {verdict.min_covered}).",
        *(
            [
                f"A claim about a cue that is in sight with a probability below {max(sight[:2])} is not shown, nor one that it is at rest",
                f"below {max(sight)}.",
            ]
            * bool(verdict.min_visible)
        ),
        *(["A face is read the way round in which its left half is the lighter, as its mirror image is."] * bool(config.image.mirror)),
        *([f"Who has two labels closer together than {config.image.torn} is read both ways round."] * bool(config.image.torn)),
        *(["Who is lit evenly from both sides is, too."] * bool(config.image.even)),
        f"Below a calibrated confidence of {verdict.min_confidence} the pipeline abstains. The thresholds were chosen on validation faces,",
        "for at most 2 % of the texts made to deceive, mean over the attacks (`false_accepts` below); temperature",
        f"{config.temperature}.",
        "",
        *(["![Reliability, and risk over coverage, on validation faces](calibration.png)", ""] if (folder / CALIBRATION).is_file() else []),
        "## Figures",
        "",
    ]
    for title, values in config.metrics.items():
        lines += [f"### {title}", "", "| figure | value |", "|---|---|", *_rows(values), ""]
    record = config.provenance
    lines += ["## Data", "", "| what | used for | licence and origin |", "|---|---|---|", *attributions(record["data"]), ""]
    if moves := record.get("moves"):
        lines += [f"`moves.npz` was made from `{moves['pack']}` (SHA-256 {moves['sha256']}): {moves['licence']}.", ""]
    lines += ["What is known of each: `docs/data.md` of the project.", ""]
    lines += ["## Provenance", "", f"Trained on: {', '.join(record['data'])}. Exported at commit {record['commit']}.", ""]
    if words := record.get("reworded"):
        lines += [f"Its words are those of `training/phrases.py` at commit {words}.", ""]
    for name, run in record["runs"].items():
        lines.append(f"- {name}: {_origin(run)}")
    (folder / "README.md").write_text("\n".join(lines) + "\n", encoding="utf-8")


def _origin(run: dict[str, Any]) -> str:
    """Where a part comes from: a run of training, or a file that somebody brought."""
    if "brought" in run:
        return f"{run['brought']}, brought as `{run['file']}` (SHA-256 {run['sha256']}); its licence is {run['licence']}"
    made = f"`python -m training {run['command']}`, seed {run['seed']}, commit {run['commit']}"
    return f"{made}; after {_origin(run['after'])}" if "after" in run else made


def _units(config: BundleConfig) -> list[str]:
    """The action units, where each is read, and how reliably."""
    if not config.units:
        return []
    return [
        "## Action units",
        "",
        "Intensities from 0 to 1 on this project's own scale, not FACS' A to E: 1 is what one face in two hundred reaches, or four",
        "deviations of a cue. Reliability is the correlation with what MediaPipe's blendshapes, or the landmarks, say of held-out",
        "photographs; units below 0.6 are left out.",
        "",
        "| unit | FACS name | read from | sides | reliability |",
        "|---|---|---|---|---|",
        *(
            f"| {unit.name} | {unit.meaning} | {'blendshapes' if unit.columns else f'the cue {unit.cue}'} | "
            f"{'left, right' if len(unit.columns) == 2 else 'together'} | {unit.reliability:.2f} |"
            for unit in config.units
        ),
        "",
    ]


def _moves(config: BundleConfig) -> list[str]:
    """What can be taken back in a picture, and whose fields move it."""
    if not config.movable:
        return []
    return [
        "## Counterfactuals",
        "",
        f"`moves.npz` takes back to neutral, on request: {', '.join(config.movable)}.",
        "It moves the crop by fields of ICT-FaceKit (USC Institute for Creative Technologies; MIT), scaled by this bundle's own deviations",
        "of the cues, and the face is read anew. A change of the answer is told with how far the reading of the cue followed: where it",
        "hardly did, it proves nothing. It is the model that is asked: what it would have answered, not what anybody would have felt.",
        "",
    ]


def _rows(values: dict[str, Any], prefix: str = "") -> list[str]:
    rows = []
    for name, value in values.items():
        rows += _rows(value, f"{prefix}{name}.") if isinstance(value, dict) else [f"| {prefix}{name} | {_number(value)} |"]
    return rows


def _number(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
