"""The report's pictures: each is drawn of a part's figures, as an inline SVG that takes the page's text colour, light or dark."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from typing import Any

import matplotlib
import numpy as np
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure

from benchmarks.command import Figures
from benchmarks.quality.corruptions import SEVERITIES
from benchmarks.speed.stages import ASKED, STAGES

COLOURS = ("#3b82f6", "#f59e0b", "#10b981", "#ec4899", "#8b5cf6", "#64748b")
"""Legible on white and on near-black."""

_INK, _FAINT = "#010203", "#040506"
"""Stand-ins that become the page's colours."""

_STYLE = {
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "legend.frameon": False,
    "axes.titlesize": 10,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    **dict.fromkeys(("text.color", "axes.labelcolor", "xtick.color", "ytick.color"), _INK),
    **dict.fromkeys(("axes.edgecolor", "grid.color"), _FAINT),
    "axes.prop_cycle": matplotlib.cycler(color=COLOURS),
}


Draw = Callable[[Figure, Figures], None]
"""Draws a part's figures onto an empty figure, which it may make larger."""


def picture(title: str, width: float, height: float) -> Callable[[Draw], Callable[[Figures], str]]:
    """What draws becomes what returns an inline SVG of `width`×`height` inches, described by `title`."""
    return lambda draw: lambda figures: svg(title, draw, figures, width, height)


def svg(title: str, draw: Draw, figures: Figures, width: float, height: float) -> str:
    """Draw on a transparent figure; returns the `<svg>` element."""
    style, options = {"svg.hashsalt": title}, {"transparent": True, "metadata": {"Date": None, "Creator": None}}
    figure, data = _drawn(draw, figures, width, height, style, format="svg", **options)
    text = data.decode()
    text = text[text.index("<svg") :].replace(_INK, "currentColor").replace(_FAINT, "var(--line)")
    text = re.sub(r'(<svg[^>]*?) width="[^"]*" height="[^"]*"', r"\1", text, count=1)
    slug = re.sub(r"\W+", "-", title.lower())
    text = re.sub(r'(\bid="|(?:xlink:)?href="#|url\(#)', rf"\1{slug}-", text)
    wide = f"max-width:{figure.get_figwidth() * 104:.0f}px"
    return text.replace("<svg", f'<svg role="img" aria-label="{title}" style="{wide}"', 1)


def png(draw: Draw, figures: Figures, width: float, height: float) -> bytes:
    """Draw on white; returns a PNG file."""
    style = {"grid.color": "0.85", "axes.edgecolor": "0.6"}
    return _drawn(draw, figures, width, height, style, format="png", dpi=90, metadata={"Software": None})[1]


def _drawn(draw: Draw, figures: Figures, width: float, height: float, style: dict[str, str], **options: Any) -> tuple[Figure, bytes]:
    held = io.BytesIO()
    with matplotlib.rc_context({**_STYLE, **style}):
        figure = Figure(figsize=(width, height), layout="constrained")
        draw(figure, figures)
        figure.savefig(held, **options)
    return figure, held.getvalue()


@picture("Latency of every stage", 7.6, 5.0)
def latency(figure: Figure, figures: Figures) -> None:
    """A bar per stage and variant up to the median, with a line to the 95th percentile, on a logarithmic axis."""
    variants = figures["variants"]
    stages = [stage for stage in (*STAGES, ASKED) if all(stage in variant["stages"] for variant in variants.values())]
    rows, height = np.arange(len(stages)), 0.8 / len(variants)
    figure.set_figheight(1.2 + 0.32 * len(stages) * max(1, len(variants) * 0.7))
    axes = figure.subplots()
    for i, (title, variant) in enumerate(variants.items()):
        median, p95 = (np.array([variant["stages"][stage][key] for stage in stages]) for key in ("median_ms", "p95_ms"))
        error = {"xerr": [np.zeros(len(rows)), p95 - median], "error_kw": {"ecolor": _INK, "elinewidth": 1}}
        axes.barh(rows + (i - (len(variants) - 1) / 2) * height, median, height * 0.85, label=title, alpha=0.8, **error)
    names = [name.replace("_", " ") for name in stages]
    axes.set(xlabel="milliseconds: median, and line to the 95th percentile", xscale="log", yticks=rows, yticklabels=names)
    axes.invert_yaxis()
    axes.grid(visible=False, axis="y")
    if len(variants) > 1:
        axes.legend(loc="upper right")


@picture("Threads, batch and faces", 9.6, 2.9)
def scaling(figure: Figure, figures: Figures) -> None:
    """Threads, batch and faces, side by side."""
    line = {"fast_ms": "fast path", "full_ms": "with explanation"}
    each = {"encode_per_face_ms": "encode, a face", "explain_per_face_ms": "explain, a face"}
    for axes, of, keys in zip(figure.subplots(1, 3), ("threads", "batch", "faces"), (line, each, line), strict=True):
        rows = figures["scaling"][of]
        places = [row[of] for row in rows]
        for key, label in keys.items():
            axes.plot(places, [row[key] for row in rows], marker="o", markersize=4, label=label)
        axes.set(xlabel=of, xticks=places, ylim=(0, None))
        axes.legend()
    figure.supylabel("milliseconds", fontsize=10)


@picture("Reliability", 4.4, 3.8)
def reliability(figure: Figure, figures: Figures) -> None:
    """Accuracy over confidence, with the number of faces below."""
    bins = figures["reliability"]
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    above.plot([0, 1], [0, 1], color=_INK, linewidth=0.8, linestyle="--")
    above.plot([b["confidence"] for b in bins], [b["accuracy"] for b in bins], marker="o")
    above.set(ylabel="accuracy", ylim=(0, 1), title=f"expected calibration error {figures['ece']:.3f}")
    below.bar([(b["from"] + b["to"]) / 2 for b in bins], [b["count"] for b in bins], width=0.09, color=COLOURS[5])
    below.set(xlabel="confidence", ylabel="faces", xlim=(0, 1))


@picture("Risk and coverage", 4.4, 3.8)
def risk_coverage(figure: Figure, figures: Figures) -> None:
    """Share of wrong labels among the surest faces."""
    coverage, risk = ([row[key] for row in figures["risk_coverage"]] for key in ("coverage", "risk"))
    axes = figure.subplots()
    axes.plot(coverage, risk)
    axes.fill_between(coverage, risk, alpha=0.15)
    axes.set(xlabel="coverage: share of faces that get a label", ylabel="risk: share of these that are wrong")
    axes.set(title=f"area {figures['aurc']:.3f}", xlim=(0, 1), ylim=(0, None))


@picture("Confusion", 5.6, 4.6)
def confusion(figure: Figure, figures: Figures) -> None:
    """Share of each true emotion's faces by the label that is shown."""
    counts, names = np.array(figures["confusion"], float), figures["labels"]
    shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    axes = figure.subplots()
    axes.grid(visible=False)
    axes.imshow(np.ones_like(shares), cmap=ListedColormap([COLOURS[0]]), alpha=shares * 0.85, vmin=0, vmax=1)
    for i, j in np.argwhere(counts):
        axes.text(j, i, f"{shares[i, j]:.2f}"[1:] if shares[i, j] < 1 else "1", ha="center", va="center", fontsize=8)
    axes.set(xlabel="shown", ylabel="true")
    axes.set_xticks(range(len(names)), names, rotation=40, ha="right")
    axes.set_yticks(range(len(names)), [f"{name} ({int(n)})" for name, n in zip(names, counts.sum(1), strict=True)])
    axes.spines[:].set_visible(False)


@picture("Robustness", 8.4, 2.1)
def robustness(figure: Figure, figures: Figures) -> None:
    """Accuracy, verified share and calibration error over severity, one square per corruption."""
    shown = {"war": "accuracy", "verified_rate": "verified", "ece": "calibration error"}
    height = -(-len(figures["corrupted"]) // 3)
    figure.set_figheight(2.1 * height)
    grid = figure.subplots(height, 3, sharex=True, sharey=True, squeeze=False).ravel()
    for axes, (name, each) in zip(grid, figures["corrupted"].items(), strict=False):
        rows = {0: figures["clean"], **{int(severity): each[severity] for severity in sorted(each)}}
        for key, label in shown.items():
            axes.plot(list(rows), [row[key] for row in rows.values()], marker="o", markersize=3.5, label=label)
        axes.set(title=name, ylim=(0, 1), xticks=range(len(SEVERITIES) + 1), xticklabels=["clean", *map(str, SEVERITIES)])
    for axes in grid[len(figures["corrupted"]) :]:
        axes.set_visible(False)
    figure.legend(*grid[0].get_legend_handles_labels(), loc="outside upper left", ncols=3)
    figure.supxlabel("severity", fontsize=10)


@picture("Roofline", 7.0, 3.8)
def roofline(figure: Figure, figures: Figures) -> None:
    """The machine's roof and where each graph stands under it."""
    roofs = {1: (figures["gemm_gflops_one_thread"], figures["bandwidth_gbs_one_thread"], ":")}
    roofs |= {figures["threads"]: (figures["gemm_gflops"], figures["bandwidth_gbs"], "-")}
    known = {name: stage for name, stage in figures["stages"].items() if stage["gflops"]}
    reach = [stage["intensity"] for stage in known.values()] or [1.0]
    x = np.geomspace(min(reach) / 4, max(*reach, figures["gemm_gflops"] / figures["bandwidth_gbs"]) * 4, 200)
    axes = figure.subplots()
    for count, (peak, stream, style) in roofs.items():
        axes.plot(x, np.minimum(peak, x * stream), color=_INK, linewidth=1, linestyle=style, label=f"threads: {count}")
    for name, stage in known.items():
        place = (stage["intensity"], stage["gflops"])
        axes.plot(*place, "o", markersize=8)
        axes.annotate(f"{name} {stage['share_of_gemm']:.0%}", place, xytext=(8, -12), textcoords="offset points", fontsize=9)
    axes.set(xlabel="FLOPs per byte that no cache saves", ylabel="GFLOP/s, and share of the product's", xscale="log", yscale="log")
    axes.margins(x=0.12)
    axes.legend(loc="upper left")


def audit(figure: Figure, figures: Figures) -> None:
    """Found, verified and abstained of every group, with intervals; a dashed line for all photographs."""
    axes_ = ("race", "gender", "age", "race_gender")
    bundles = figures["bundles"]
    first = next(iter(bundles.values()))
    names = [(axis, name) for axis in axes_ for name in first["groups"][axis]]
    rows = np.arange(len(names)) + np.array([axes_.index(axis) for axis, _ in names])
    panels = figure.subplots(1, 3, sharey=True)
    for axes, measure in zip(panels, ("found", "verified", "abstained"), strict=True):
        for i, (title, bundle) in enumerate(bundles.items()):
            shown = [bundle["groups"][axis][name]["shares"][measure] for axis, name in names]
            value, low, high = (np.array([row[key] for row in shown], float) for key in ("share", "low", "high"))  # None: NaN
            place = rows + (i - (len(bundles) - 1) / 2) * 0.34
            axes.errorbar(value, place, xerr=[value - low, high - value], fmt="o", markersize=3.5, linewidth=1, label=title)
            every = bundle["groups"]["all"]["all"]["shares"][measure]["share"] or 0
            axes.axvline(every, color=COLOURS[i], linewidth=0.8, linestyle="--")
        axes.set(title=measure, xlabel="share of all" if measure == "found" else "share of those read")
        axes.grid(visible=False, axis="y")
    panels[0].set_yticks(rows, [f"{name} ({first['groups'][axis][name]['n']})" for axis, name in names], fontsize=8)
    panels[0].invert_yaxis()
    if len(bundles) > 1:
        figure.legend(*panels[0].get_legend_handles_labels(), loc="outside upper left", ncols=len(bundles))
