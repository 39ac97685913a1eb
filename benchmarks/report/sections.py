"""What a report says, part by part: headings with text, tables and pictures, for HTML and Markdown alike."""

from __future__ import annotations

from typing import Any

from benchmarks.blocks import Block, Pictures, Table, interval, named
from benchmarks.command import Figures
from benchmarks.report import audit, plots
from benchmarks.report.findings import part, stages

_RATIO = "{:.3f} ({:.3f} to {:.3f})"
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
    ("absent", "all", "movements said that are absent"),
    ("absent", "smile_of_happy", "… raised lip corners, of happiness"),
    ("absent", "smile_of_others", "… of others"),
)


def tiles(results: Figures) -> list[tuple[str, str]]:
    """The figures that come first."""
    found = []
    right, robust = part(results, "accuracy"), part(results, "robustness")
    for name, text in (("fast", "find, align and read a face"), ("full", "explained and checked")):
        if stage := stages(results).get(name):
            found.append((f"{text} ({stage['matmuls']:.2f} matmuls)", f"{stage['median_ms']:.2f} ms"))
    if right:
        named = {"war": "accuracy (WAR)", "uar": "mean recall (UAR)", "verified_rate": "explanations verified"}
        named["verified_and_wrong"] = "verified and wrong"
        found += [(text, f"{right[key]:.1%}") for key, text in named.items() if right.get(key) is not None]
    if robust and (shown := [hidden["shown"] for hidden in robust["mouth_hidden"].values() if hidden["shown"] is not None]):
        found.append(("mouth hidden: claims about it still shown", f"{max(shown):.0%}"))
    return [*found, ("bundle", f"{next(iter(results['bundles'].values()))['bytes'] / 1e6:.1f} MB")]


def sections(results: Figures) -> list[tuple[str, list[Block]]]:
    """Headings and what stands under them; a part that was not measured says why."""
    makers = (
        ("Machine", "hardware", _machine),
        ("Latency", "latency", _latency),
        ("Energy", "power", _power),
        ("Distance to the hardware's limit", "roofline", _roofline),
        ("Recognition", "accuracy", _accuracy),
        ("Confusion, reliability, risk", "curves", _curves),
        ("Variants", "variants", lambda found: _variants(found, part(results, "latency"))),
        ("Beside other packages", "compare", _compare),
        ("Robustness", "robustness", _robustness),
        ("Who is read", "audit", audit.blocks),
        ("Would it have said so otherwise", "intervene", _interventions),
    )
    said: list[tuple[str, list[Block]]] = []
    for heading, name, make in makers:
        figures, entry = part(results, name), results["parts"].get(name)
        if figures is not None:
            said.append((heading, make(figures)))
        elif entry:
            said.append((heading, [f"Not measured: {entry.get('skipped', 'no figures')}."]))
    return said


def threads(count: int) -> str:
    """A number of threads in words."""
    return "one thread" if count == 1 else f"{count} threads"


def _words(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{k.replace('_', ' ')} {said}" for k, v in value.items() if (said := _words(v)))
    if isinstance(value, list):
        return ", ".join(map(_words, value))
    return "" if value is None else f"{value:g}" if isinstance(value, float) else str(value)


def _machine(found: Figures) -> list[Block]:
    told = {**found, **(found["jetson"] or {}), **found["state"], "state": None, "jetson": None}
    return [Table("", ["", ""], [[name.replace("_", " "), said] for name, value in told.items() if (said := _words(value))])]


def _latency(found: Figures) -> list[Block]:
    told = (
        f"One face in a {found['width']}×{found['height']} picture, {threads(found['threads'])}, {found['rounds']} rounds in which stages "
        f"and variants take turns. A matmul, a 1024³ float32 product in the same rounds, took {found['matmul_ms']:.2f} ms. Against the "
        f"first variant: ratios within a round, with their 95% interval. Frames come from: {found['capture_source']}."
    )
    blocks: list[Block] = [told, f"Before: {_words(found['before'])}. After: {_words(found['after'])}."]
    blocks.append(Pictures([plots.latency(found), *([plots.scaling(found)] if "scaling" in found else [])]))
    for name, variant in found["variants"].items():
        title = f"{name}: {variant['provider']}, a rationale of {variant['tokens']} tokens"
        rows = {stage: {**row, "against the first": interval(row.get("ratio"), _RATIO)} for stage, row in variant["stages"].items()}
        blocks.append(named(title, "stage", rows, ("median_ms", "p95_ms", "matmuls", "against the first")))
    for name, rows in found.get("scaling", {}).items():
        blocks.append(Table(f"By {name}", [key.replace("_", " ") for key in rows[0]], [list(row.values()) for row in rows]))
    if "cold" in found:
        blocks.append(named("A fresh process", "", {"": found["cold"]}, ("import_ms", "load_ms", "first_ms", "total_ms")))
    return blocks


def _power(found: Figures) -> list[Block]:
    if not found["meter"]:
        return [f"Not measured: {found['reason']}."]
    rows = {name: {**found[name], "watts": found[name]["watts"].get("total")} for name in ("frame", "explanation")}
    rest = f"; at rest {found['idle_w']:.2f} W" if found["idle_w"] is not None else ""
    return [f"By {found['meter']}{rest}.", named("", "", rows, ("count", "watts", "joules", "joules_above_idle"))]


def _roofline(found: Figures) -> list[Block]:
    keys = ("threads", "median_ms", "mflops", "weight_mb", "intensity", "gflops", "share_of_gemm", "share_of_attainable", "bound")
    table = named("", "graph", found["stages"], keys)
    if found["gemm_gflops"] is None:
        return [f"The ceilings of {found['provider']} are not known: shares stay empty.", table]
    told = (
        f"Measured ceilings on {threads(found['threads'])}: {found['gemm_gflops']:.0f} GFLOP/s in a matrix product, "
        f"{found['bandwidth_gbs']:.1f} GB/s from memory. "
        "Only convolutions and products are counted as work; the rest of a graph takes time and counts as none."
    )
    blocks: list[Block] = [told, table, Pictures([plots.roofline(found)])]
    for name, stage in found["stages"].items():
        if rows := stage.get("operators"):
            kinds = {row["operator"]: row for row in rows}
            blocks.append(named(f"{name}, operator by operator", "operator", kinds, ("calls", "us", "share")))
    return blocks


def _accuracy(found: Figures) -> list[Block]:
    flat = [[name.replace("_", " "), value] for name, value in found.items() if not isinstance(value, dict)]
    return [Table("", ["figure", "value"], flat), Table("Recall", ["emotion", "recall"], list(found["recall"].items()))]


def _curves(found: Figures) -> list[Block]:
    return [Pictures([plots.confusion(found)]), Pictures([plots.reliability(found), plots.risk_coverage(found)])]


def _variants(found: Figures, timed: Figures | None) -> list[Block]:
    full = {name: variant["stages"]["full"]["median_ms"] for name, variant in timed["variants"].items()} if timed else {}
    rows = {name: {**row, "MB": row["bytes"] / 1e6, "full_ms": full.get(name)} for name, row in found.items()}
    keys = ("MB", "full_ms", "war", "uar", "agreement", "equal_texts", "probability_gap", "verified_rate")
    return [named("", "bundle", rows, keys)]


def _compare(found: Figures) -> list[Block]:
    told = (
        f"Milliseconds and matmuls ({found['matmul_ms']:.2f} ms) on {threads(found['threads'])}, one face, in the same {found['rounds']} "
        "rounds; over our whole fast path within a round, with the 95% interval. Accuracy over the faces whose label the package knows, "
        "a face that is not found counting as wrong; ours on the same faces beside it."
    )
    speeds, accuracies = [], {}
    for name, row in found["systems"].items():
        for stage, spent in row["stages"].items():
            over = interval(spent.get("ratio"), _RATIO)
            speeds.append([f"{name} {row['version']}", stage, *(spent[k] for k in ("median_ms", "p95_ms", "matmuls")), over, row["note"]])
        if right := row.get("accuracy"):
            ours = right.get("ours", {})
            accuracies[name] = {**right, "ours": ours.get("war"), "ours_crop": ours.get("war_crop")}
    columns = ["system", "stage", "median ms", "p95 ms", "matmuls", "over ours", "how"]
    keys = ("n", "found", "war", "uar", "war_found", "war_crop", "ours", "ours_crop")
    tables = [
        Table("Latency", columns, speeds),
        named("Accuracy", "system", accuracies, keys),
        Table("Missing", ["system", "why"], list(found["missing"].items())),
    ]
    return [told, *(table for table in tables if table.rows)]


def _robustness(found: Figures) -> list[Block]:
    keys = ("war", "uar", "ece", "confidence", "verified_rate", "verified_and_wrong", "abstained_rate")
    rows = {f"{name} {severity}": row for name, each in found["corrupted"].items() for severity, row in each.items()}
    blocks: list[Block] = [f"{found['n']} faces, every corruption at up to three severities.", Pictures([plots.robustness(found)])]
    if found["mouth_hidden"]:
        blocks.append("With the mouth covered, what became of the claims about it, over the faces whose clean text made one:")
        blocks.append(named("Mouth hidden", "behind", found["mouth_hidden"], ("faces", "vanished", "withheld", "shown")))
    return [*blocks, named("", "", {"clean": found["clean"], **rows}, keys)]


def _interventions(found: Figures) -> list[Block]:
    """All faces, each source and each emotion side by side, the controls, cues and action units."""
    told = (
        f"{found['faces']} faces, {found['pictures']} pictures: one cue moved by one to three deviations, what the text names undone or "
        f"built, or nothing that matters changed. Faces could be taken to {found['reached']:.0%} of the moves. Intervals are over faces."
    )
    parts = {"all": found["all"], **found["sources"], **found["emotions"]}
    rows = [[text, *(interval(part[group][key]) for part in parts.values())] for group, key, text in _FOLLOWED]
    changed = {name: {key: interval(value) for key, value in row.items()} for name, row in found["all"]["controls"].items()}
    read = {name: {**row, "between faces": found["between"].get(name)} for name, row in found["cues"].items()}
    cues = {name: {key: interval(value) for key, value in row.items()} for name, row in read.items()}
    said: list[Block] = [told, Table("What follows", ["", *parts], rows)]
    said.append(named("What must change nothing: changed", "control", changed, ("label", "statements", "verdict")))
    said.append(named("Reading, cue by cue", "cue", cues, ("sign", "slope", "between faces", "specificity", "moved")))
    if found["units"]:
        said.append(Table("Action units that rise", ["unit", "share"], [[name, interval(v)] for name, v in found["units"].items()]))
    smile = [[name, interval(value)] for name, value in found["conflict"].items()]
    return [*said, Table("A smile under lowered brows", ["", "share"], smile)]
