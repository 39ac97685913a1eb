"""The report's pictures: each a function of a part's figures, each an inline SVG that takes the page's text colour, light or dark."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from typing import Any

import matplotlib

matplotlib.use("svg")
import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.command import Figures
from benchmarks.quality.corruptions import SEVERITIES
from benchmarks.speed.stages import STAGES

COLOURS = ("#3b82f6", "#f59e0b", "#10b981", "#ec4899", "#8b5cf6", "#64748b")
"""Legible on white and on near-black."""

_INK, _FAINT = "#010203", "#040506"
"""Stand-ins that become the page's colours."""

_STYLE = {
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.size": 10,
    "text.color": _INK,
    "axes.labelcolor": _INK,
    "axes.edgecolor": _FAINT,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.grid": True,
    "grid.color": _FAINT,
    "grid.linewidth": 0.6,
    "xtick.color": _INK,
    "ytick.color": _INK,
    "legend.frameon": False,
    "axes.titlesize": 10,
    "axes.prop_cycle": matplotlib.cycler(color=COLOURS),
}


def svg(title: str, draw: Callable[[Figure], None], width: float, height: float) -> str:
    """Draw on a transparent figure of `width`×`height` inches; returns the `<svg>` element, described by `title`."""
    with plt.rc_context({**_STYLE, "svg.hashsalt": title}):
        figure = plt.figure(figsize=(width, height), layout="constrained")
        draw(figure)
        held = io.StringIO()
        figure.savefig(held, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
        plt.close(figure)
    text = held.getvalue()[held.getvalue().index("<svg") :]
    text = text.replace(_INK, "currentColor").replace(_FAINT, "var(--line)")
    text = re.sub(r'(<svg[^>]*?) width="[^"]*"', r"\1", text, count=1)
    text = re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", text, count=1)
    slug = re.sub(r"\W+", "-", title.lower())
    text = re.sub(r'\bid="', f'id="{slug}-', text)
    text = re.sub(r'((?:xlink:)?href="|url\()#', rf"\1#{slug}-", text)
    return text.replace("<svg", f'<svg role="img" aria-label="{title}" style="max-width:{width * 104:.0f}px"', 1)


def latency(figures: Figures) -> str:
    """Box per stage and variant: quartiles, whiskers at 5 and 95 %, on a logarithmic axis."""
    variants = figures["variants"]
    names = [s for s in STAGES if all("raw_ms" in v["stages"][s] for v in variants.values())]

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        height = 0.7 / len(variants)
        for row, (title, variant) in enumerate(variants.items()):
            colour = COLOURS[row % len(COLOURS)]
            places = [len(names) - i - (row - (len(variants) - 1) / 2) * height for i in range(len(names))]
            axes.boxplot(
                [variant["stages"][name]["raw_ms"] for name in names],
                positions=places,
                widths=height * 0.8,
                orientation="horizontal",
                whis=(5, 95),
                showfliers=False,
                patch_artist=True,
                manage_ticks=False,
                boxprops={"facecolor": colour, "edgecolor": colour, "alpha": 0.75},
                whiskerprops={"color": colour},
                capprops={"color": colour},
                medianprops={"color": _INK, "linewidth": 1.4},
            )
            axes.plot([], [], color=colour, linewidth=6, alpha=0.75, label=title)
        axes.set_yticks(range(len(names), 0, -1), [name.replace("_", " ") for name in names])
        axes.set_xscale("log")
        axes.set_xlabel("milliseconds")
        axes.grid(visible=False, axis="y")
        if len(variants) > 1:
            axes.legend(loc="lower right")

    return svg("Latency of every stage", draw, 7.6, 1.2 + 0.32 * len(names) * max(1, len(variants) * 0.7))


def scaling(figures: Figures) -> str:
    """Threads, batch and faces, side by side."""
    rows = figures["scaling"]

    def line(axes: Axes, of: str, x: str, keys: dict[str, str]) -> None:
        for key, label in keys.items():
            axes.plot([r[x] for r in rows[of]], [r[key] for r in rows[of]], marker="o", markersize=4, label=label)
        axes.set_xlabel(x)
        axes.set_ylim(bottom=0)
        axes.set_xticks([r[x] for r in rows[of]])
        axes.legend()

    def draw(figure: Figure) -> None:
        left, middle, right = figure.subplots(1, 3)
        line(left, "threads", "threads", {"fast_ms": "fast path", "full_ms": "with explanation"})
        left.set_ylabel("milliseconds")
        line(middle, "batch", "batch", {"encode_per_face_ms": "encode, a face", "explain_per_face_ms": "explain, a face"})
        line(right, "faces", "found", {"fast_ms": "fast path", "full_ms": "with explanation"})
        right.set_xlabel("faces found in the picture")

    return svg("Threads, batch and faces", draw, 9.6, 2.9)


def pareto(figures: Figures, sizes: Figures) -> str:
    """Speed against agreement with the first bundle; the disc's area is the size."""

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        for i, (title, row) in enumerate(sizes.items()):
            x, y = figures["variants"][title]["stages"]["full"]["median_ms"], row["agreement"]
            if y is None:
                continue
            axes.scatter([x], [y], s=row["bytes"] / 1e6 * 18, color=COLOURS[i % len(COLOURS)], alpha=0.7)
            axes.annotate(f"{title}, {row['bytes'] / 1e6:.1f} MB", (x, y), xytext=(12, -14), textcoords="offset points")
        axes.margins(0.35)
        axes.set_xlabel("full line, median milliseconds")
        axes.set_ylabel("labels that agree with the first")

    return svg("Size, speed and agreement", draw, 5.6, 3.4)


def reliability(figures: Figures) -> str:
    """Accuracy over confidence, with the number of faces below."""
    bins = figures["reliability"]

    def draw(figure: Figure) -> None:
        above, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
        above.plot([0, 1], [0, 1], color=_INK, linewidth=0.8, linestyle="--")
        above.plot([b["confidence"] for b in bins], [b["accuracy"] for b in bins], marker="o", color=COLOURS[0])
        above.set_ylabel("accuracy")
        above.set_ylim(0, 1)
        above.set_title(f"expected calibration error {figures['ece']:.3f}")
        below.bar([(b["from"] + b["to"]) / 2 for b in bins], [b["count"] for b in bins], width=0.09, color=COLOURS[5])
        below.set_xlabel("confidence")
        below.set_ylabel("faces")
        below.set_xlim(0, 1)

    return svg("Reliability", draw, 4.4, 3.8)


def risk_coverage(figures: Figures) -> str:
    """Share of wrong labels among the surest faces."""
    rows = figures["risk_coverage"]

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        axes.plot([r["coverage"] for r in rows], [r["risk"] for r in rows], color=COLOURS[0])
        axes.fill_between([r["coverage"] for r in rows], [r["risk"] for r in rows], color=COLOURS[0], alpha=0.15)
        axes.set_xlabel("coverage: share of faces that get a label")
        axes.set_ylabel("risk: share of these that are wrong")
        axes.set_title(f"area {figures['aurc']:.3f}")
        axes.set_xlim(0, 1)
        axes.set_ylim(bottom=0)

    return svg("Risk and coverage", draw, 4.4, 3.8)


def confusion(figures: Figures) -> str:
    """Share of each true emotion's faces by the label that is shown."""
    counts = np.array(figures["confusion"], float)
    shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    names, count = figures["labels"], len(figures["labels"])

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        axes.grid(visible=False)
        axes.imshow(np.ones_like(shares), cmap=matplotlib.colors.ListedColormap([COLOURS[0]]), alpha=shares * 0.85, vmin=0, vmax=1)
        for i in range(count):
            for j in range(count):
                if counts[i, j]:
                    axes.text(j, i, f"{shares[i, j]:.2f}"[1:] if shares[i, j] < 1 else "1", ha="center", va="center", fontsize=8)
        axes.set_xticks(range(count), names, rotation=40, ha="right")
        axes.set_yticks(range(count), [f"{name} ({int(n)})" for name, n in zip(names, counts.sum(1), strict=True)])
        axes.set_xlabel("shown")
        axes.set_ylabel("true")
        for spine in axes.spines.values():
            spine.set_visible(False)

    return svg("Confusion", draw, 5.6, 4.6)


def robustness(figures: Figures) -> str:
    """Accuracy, verified share and calibration error over severity, one square per corruption."""
    names, clean = list(figures["corrupted"]), figures["clean"]

    def draw(figure: Figure) -> None:
        grid = np.atleast_1d(figure.subplots(-(-len(names) // 3), 3, sharex=True, sharey=True)).ravel()
        for axes, name in zip(grid, names, strict=False):
            each = figures["corrupted"][name]
            rows, places = [clean, *(each[key] for key in sorted(each))], [0, *map(int, sorted(each))]
            for key, label in (("war", "accuracy"), ("verified_rate", "verified"), ("ece", "calibration error")):
                axes.plot(places, [row[key] for row in rows], marker="o", markersize=3.5, label=label)
            axes.set_title(name)
            axes.set_ylim(0, 1)
            axes.set_xticks(range(len(SEVERITIES) + 1), ["clean", *map(str, SEVERITIES)])
        for axes in grid[len(names) :]:
            axes.set_visible(False)
        figure.legend(*grid[0].get_legend_handles_labels(), loc="outside upper left", ncols=3)
        figure.supxlabel("severity", fontsize=10)

    return svg("Robustness", draw, 8.4, 2.1 * -(-len(names) // 3))


def roofline(figures: Figures) -> str:
    """The machine's roof and where each graph stands under it."""
    peak, stream = figures["gemm_gflops"], figures["bandwidth_gbs"]
    single = figures["gemm_gflops_one_thread"], figures["bandwidth_gbs_one_thread"]
    known = {name: stage for name, stage in figures["stages"].items() if stage["gflops"]}

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        reach = [stage["intensity"] for stage in known.values()] or [1.0]
        x = np.geomspace(min(reach) / 4, max(*reach, peak / stream) * 4, 200)
        axes.plot(
            x,
            np.minimum(peak, x * stream),
            color=_INK,
            linewidth=1.2,
            label="one thread" if figures["threads"] == 1 else f"{figures['threads']} threads",
        )
        if figures["threads"] > 1:
            axes.plot(x, np.minimum(single[0], x * single[1]), color=_INK, linewidth=0.9, linestyle=":", label="one thread")
        for i, (name, stage) in enumerate(known.items()):
            axes.plot(stage["intensity"], stage["gflops"], "o", color=COLOURS[i % len(COLOURS)], markersize=8)
            share = f"{name} {stage['share_of_gemm']:.0%}"
            axes.annotate(share, (stage["intensity"], stage["gflops"]), xytext=(8, -12), textcoords="offset points", fontsize=9)
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.set_xlabel("FLOPs per byte that no cache saves")
        axes.set_ylabel("GFLOP/s, and share of the product's")
        axes.margins(x=0.12)
        axes.legend(loc="upper left")

    return svg("Roofline", draw, 7.0, 3.8)


def operators(figures: Figures) -> str:
    """Where the time of every graph goes."""
    stages = {name: stage["operators"] for name, stage in figures["stages"].items() if stage.get("operators")}
    spent: dict[str, float] = {}
    for rows in stages.values():
        for row in rows:
            spent[row["operator"]] = spent.get(row["operator"], 0) + row["share"]
    chosen = [name for name in sorted(spent, key=lambda n: -spent[n]) if name not in ("others", "outside")][:6]

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        left = np.zeros(len(stages))
        for i, name in enumerate([*chosen, "others", "outside"]):
            shares = np.array([sum(r["share"] for r in rows if _kind(r, chosen) == name) for rows in stages.values()])
            colour = (*COLOURS[:5], "#14b8a6", COLOURS[5], "#94a3b8")[i]
            axes.barh(range(len(stages)), shares, left=left, label=name, color=colour, alpha=0.85, height=0.6)
            left += shares
        axes.set_yticks(range(len(stages)), list(stages))
        axes.invert_yaxis()
        axes.set_xlim(0, 1)
        axes.set_xlabel("share of a run (profiled)")
        axes.grid(visible=False, axis="y")
        figure.legend(loc="outside right upper", fontsize=9)

    return svg("Where the time goes", draw, 7.6, 0.9 + 0.42 * len(stages))


def _kind(row: dict[str, Any], chosen: list[str]) -> str:
    return row["operator"] if row["operator"] in chosen or row["operator"] == "outside" else "others"
