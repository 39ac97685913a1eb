"""What a report says of faces in which one thing was moved."""

from __future__ import annotations

from benchmarks.command import Figures
from benchmarks.report.blocks import Block, Table, interval, named

_FOLLOWED = (
    ("reading", "sign", "the moved cue is read to move the same way (two deviations)"),
    ("reading", "slope", "deviations read for one moved"),
    ("reading", "specificity", "moved cue over the mean of the others, read"),
    ("reading", "moved", "the same by the landmarks"),
    ("text", "present", "what moved beyond its rule's limit is said"),
    ("text", "present_of_may", "… where the encoder reads it so"),
    ("text", "opposite", "the opposite of what the landmarks show is said"),
    ("text", "gone", "what is undone is no longer said"),
    ("text", "kept", "what did not move is still said"),
    ("necessity", "more", "undoing what is named costs the answer more than undoing as much else"),
    ("necessity", "ratio", "one fall of its probability over the other"),
    ("sufficiency", "raised", "building what was named on a face at rest raises the answer"),
    ("sufficiency", "more", "… more than building as much else"),
)


def blocks(found: Figures) -> list[Block]:
    """What a report says of `intervene`: all faces, each source and each emotion side by side, the controls, cues and action units."""
    told = (
        f"{found['faces']} faces, {found['pictures']} pictures: one cue moved by one to three deviations, what the text names undone or "
        f"built, or nothing that matters changed. Faces could be taken to {found['reached']:.0%} of the moves. Intervals are over faces."
    )
    parts = {"all": found["all"], **found["sources"], **found["emotions"]}
    rows = [[text, *(interval(part[group][key]) for part in parts.values())] for group, key, text in _FOLLOWED]
    rows.append(["movements said that are absent", *(interval(part["absent"]) for part in parts.values())])
    changed = {name: {key: interval(value) for key, value in row.items()} for name, row in found["all"]["controls"].items()}
    cues = {name: {key: interval(value) for key, value in row.items()} for name, row in found["cues"].items()}
    for name, row in cues.items():
        row["between faces"] = interval(found["between"].get(name))
    said: list[Block] = [told, Table("What follows", ["", *parts], rows)]
    said.append(named("What must change nothing: changed", "control", changed, ("label", "statements", "turned", "verdict")))
    said.append(named("Reading, cue by cue", "cue", cues, ("sign", "slope", "between faces", "specificity", "moved")))
    if found["units"]:
        said.append(Table("Action units that rise", ["unit", "share"], [[name, interval(v)] for name, v in found["units"].items()]))
    smile = [[name, interval(value)] for name, value in found["conflict"].items()]
    return [*said, Table("A smile under lowered brows", ["", "share"], smile)]
