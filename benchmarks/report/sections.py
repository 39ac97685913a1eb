"""What a report says, part by part: headings with text, tables and pictures, for HTML and Markdown alike."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.command import Figures
from benchmarks.report import plots
from benchmarks.report.findings import part
from benchmarks.speed.clock import STEADY
from benchmarks.speed.stages import STAGES


@dataclass(frozen=True, slots=True)
class Text:
    """A paragraph."""

    text: str


@dataclass(frozen=True, slots=True)
class Table:
    """Rows under columns; empty cells are unknown."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Any]]
    percent: Sequence[str] = ()
    """Columns that show changes in percent."""


@dataclass(frozen=True, slots=True)
class Pictures:
    """SVG elements, side by side where there is room; Markdown leaves them out."""

    pictures: Sequence[str]


Block = Text | Table | Pictures


def tiles(results: Figures) -> list[tuple[str, str]]:
    """The figures that come first."""
    found = []
    timed, right, robust = part(results, "latency"), part(results, "accuracy"), part(results, "robustness")
    if timed:
        stages = next(iter(timed["variants"].values()))["stages"]
        for stage, text in (("fast", "find, align and read a face"), ("full", "explained and checked")):
            found.append((f"{text} ({stages[stage]['matmuls']:.2f} matmuls)", f"{stages[stage]['median_ms']:.2f} ms"))
    if right:
        found += [("accuracy (WAR)", f"{right['war']:.1%}"), ("mean recall (UAR)", f"{right['uar']:.1%}")]
        found.append(("explanations verified", f"{right['verified_rate']:.1%}"))
        if right.get("verified_and_wrong") is not None:
            found.append(("verified and wrong", f"{right['verified_and_wrong']:.1%}"))
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
    )
    said: list[tuple[str, list[Block]]] = []
    for heading, name, make in makers:
        figures, entry = part(results, name), results["parts"].get(name)
        if figures is not None:
            said.append((heading, make(figures)))
        elif entry:
            said.append((heading, [Text(f"Not measured: {entry.get('skipped', 'no figures')}.")]))
    return said


def threads(count: int) -> str:
    """A number of threads in words."""
    return "one thread" if count == 1 else f"{count} threads"


def _machine(found: Figures) -> list[Block]:
    rows: list[list[Any]] = [[name.replace("_", " "), _plain(value)] for name, value in found.items() if name not in ("state", "jetson")]
    rows += [[name.replace("_", " "), _plain(value)] for name, value in (found["jetson"] or {}).items()]
    rows += [[name.replace("_", " "), _plain(value)] for name, value in found["state"].items()]
    return [Table("", ["", ""], [row for row in rows if row[1]])]


def _plain(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{k.replace('_', ' ')} {said}" for k, v in value.items() if (said := _plain(v)))
    if isinstance(value, list):
        return ", ".join(map(_plain, value))
    return "" if value is None else f"{value:g}" if isinstance(value, float) else str(value)


def _latency(found: Figures) -> list[Block]:
    told = (
        f"One face in a {found['width']}×{found['height']} picture, {threads(found['threads'])}, "
        f"{found['rounds']} rounds (sittings: {found['sittings']}), stages and variants in turns of about {found['turn_ms']:g} ms. "
        f"A matmul is a 1024³ float32 product in the same rounds: {found['matmul_ms']:.2f} ms, like each stage's quiet ms the median of "
        f"the quietest fiftieth of its calls. "
        f"Frames come from: {found['capture_source']}."
    )
    errors = [_error_share(stage) for variant in found["variants"].values() for stage in variant["stages"].values()]
    if known := [share for share in errors if share is not None]:
        told += (
            f" {sum(share <= STEADY for share in known)} of {len(known)} figures in matmuls are steady: their standard error is at most "
            f"{STEADY:.2%} of them. Full reports were seen to agree within 5% where both are steady; elsewhere they may differ by more."
        )
    blocks: list[Block] = [Text(told), Text(f"Before: {_plain(found['before'])}. After: {_plain(found['after'])}.")]
    if all("raw_ms" in variant["stages"]["full"] for variant in found["variants"].values()):
        blocks.append(Pictures([plots.latency(found)]))
    for name, variant in found["variants"].items():
        keys = ("median_ms", "p90_ms", "p95_ms", "p99_ms", "quiet_ms", "matmuls")
        rows = []
        for stage in STAGES:
            figures = variant["stages"][stage]
            share = _error_share(figures)
            rows.append([stage.replace("_", " "), *(figures[key] for key in keys), None if share is None else 100 * share])
        title = f"{name}: {variant['provider']}, a rationale of {variant['tokens']} tokens"
        blocks.append(Table(title, ["stage", "median ms", "p90", "p95", "p99", "quiet ms", "matmuls", "standard error, %"], rows))
        if "dropped" in variant:
            drop = variant["dropped"]
            said = (
                f"Of a camera's {drop['fps']:g} frames a second the fast path drops {drop['fast']:.1%}, the full line {drop['full']:.1%}."
            )
            blocks.append(Text(said))
    if "scaling" in found:
        blocks.append(Pictures([plots.scaling(found)]))
    if "cold" in found:
        cold = found["cold"]
        rows = [[name.removesuffix("_ms"), cold[name]] for name in ("import_ms", "load_ms", "first_ms", "total_ms")]
        blocks.append(Table("A fresh process", ["", "ms"], rows))
    return blocks


def _error_share(stage: Figures) -> float | None:
    """The standard error of a stage's matmuls as a share of them."""
    return None if stage["matmuls_se"] is None else stage["matmuls_se"] / stage["matmuls"]


def _power(found: Figures) -> list[Block]:
    if not found["meter"]:
        return [Text(f"Not measured: {found['reason']}.")]
    rows = [
        [name, found[name]["count"], found[name]["watts"].get("total"), found[name]["joules"], found[name]["joules_above_idle"]]
        for name in ("frame", "explanation")
    ]
    return [
        Text(f"By {found['meter']}; at rest {found['idle_w']:.2f} W." if found["idle_w"] is not None else f"By {found['meter']}."),
        Table("", ["", "count", "watts", "joules each", "above rest"], rows),
    ]


def _roofline(found: Figures) -> list[Block]:
    told = f"The ceilings of {found['provider']} are not known: shares stay empty."
    if found["gemm_gflops"] is not None:
        told = (
            f"Measured ceilings on {threads(found['threads'])}: {found['gemm_gflops']:.0f} GFLOP/s in a matrix product, "
            f"{found['bandwidth_gbs']:.1f} GB/s from memory. "
            "Only convolutions and products are counted as work; the rest of a graph takes time and counts as none."
        )
    keys = ("threads", "median_ms", "mflops", "weight_mb", "intensity", "gflops", "share_of_gemm", "share_of_attainable", "bound")
    rows = [[name, *(stage[key] for key in keys)] for name, stage in found["stages"].items()]
    blocks: list[Block] = [Text(told)]
    blocks.append(Table("", ["graph", *(key.replace("_", " ") for key in keys)], rows))
    if found["gemm_gflops"] is not None:
        blocks.append(Pictures([plots.roofline(found)]))
    if any("operators" in stage for stage in found["stages"].values()):
        blocks.append(Pictures([plots.operators(found)]))
    for name, stage in found["stages"].items():
        if stage.get("operators"):
            keys = ("calls", "us", "share", "mflops", "share_of_gemm")
            rows = [[row["operator"], *(row[key] or None for key in keys)] for row in stage["operators"]]
            blocks.append(Table(f"{name}, operator by operator", ["operator", "calls", "µs", "share", "MFLOPs", "of the product"], rows))
    return blocks


def _accuracy(found: Figures) -> list[Block]:
    flat = [[name.replace("_", " "), value] for name, value in found.items() if not isinstance(value, dict)]
    recall = [[name, value] for name, value in found["recall"].items()]
    return [Table("", ["figure", "value"], flat), Table("Recall", ["emotion", "recall"], recall)]


def _curves(found: Figures) -> list[Block]:
    return [Pictures([plots.confusion(found)]), Pictures([plots.reliability(found), plots.risk_coverage(found)])]


def _variants(found: Figures, timed: Figures | None) -> list[Block]:
    keys = ("war", "uar", "agreement", "equal_texts", "probability_gap", "verified_rate")
    speeds = timed["variants"] if timed else {}
    rows = [
        [name, row["bytes"] / 1e6, speeds[name]["stages"]["full"]["median_ms"] if name in speeds else None, *(row[key] for key in keys)]
        for name, row in found.items()
    ]
    table = Table("", ["bundle", "MB", "full ms", *(key.replace("_", " ") for key in keys)], rows)
    return [table, Pictures([plots.pareto({"variants": speeds}, found)])] if len(found) > 1 and speeds else [table]


def _compare(found: Figures) -> list[Block]:
    told = (
        f"Milliseconds and matmuls ({found['matmul_ms']:.2f} ms) on {threads(found['threads'])}, one face, in the same "
        f"{found['rounds']} rounds. "
        "Accuracy over the faces whose label the package knows, a face that is not found counting as wrong; "
        "ours on the same faces beside it."
    )
    speeds, accuracies = [], []
    for name, row in found["systems"].items():
        stages = row["stages"]
        times = [stages[s]["median_ms"] if s in stages else None for s in ("find", "classify", "network", "read")]
        speeds.append([f"{name} {row['version']}", *times, stages["read"]["matmuls"] if "read" in stages else None, row["note"]])
        right = row.get("accuracy")
        if right:
            ours = right.get("ours", {})
            own = [right.get(key) for key in ("n", "found", "war", "uar", "war_found", "war_crop")]
            accuracies.append([name, *own, ours.get("war"), ours.get("war_crop")])
    blocks: list[Block] = [Text(told)]
    blocks.append(Table("Latency", ["system", "find ms", "classify", "network alone", "all", "matmuls", "how"], speeds))
    if accuracies:
        head = ["system", "faces", "found", "WAR", "UAR", "WAR of found", "WAR of bare crops", "ours", "ours, bare crops"]
        blocks.append(Table("Accuracy", head, accuracies))
    if found["missing"]:
        blocks.append(Table("Missing", ["system", "why"], [[name, reason] for name, reason in found["missing"].items()]))
    return blocks


def _robustness(found: Figures) -> list[Block]:
    keys = ("war", "uar", "ece", "confidence", "verified_rate", "verified_and_wrong", "abstained_rate")
    rows: list[list[Any]] = [["clean", *(found["clean"].get(key) for key in keys)]]
    rows += [
        [f"{name} {severity}", *(row.get(key) for key in keys)]
        for name, each in found["corrupted"].items()
        for severity, row in each.items()
    ]
    blocks: list[Block] = [Text(f"{found['n']} faces, every corruption at up to three severities."), Pictures([plots.robustness(found)])]
    outcomes = ("faces", "vanished", "withheld", "shown")
    hidden = [[kind, *(row[key] for key in outcomes)] for kind, row in found["mouth_hidden"].items()]
    if hidden:
        blocks.append(Text("With the mouth covered, what became of the claims about it, over the faces whose clean text made one:"))
        blocks.append(Table("Mouth hidden", ["behind", "faces", "vanished from the text", "withheld with it", "still shown"], hidden))
    return [*blocks, Table("", ["", *(key.replace("_", " ") for key in keys)], rows)]
