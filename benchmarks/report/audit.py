"""`python -m benchmarks audit`: is everybody found, read and explained alike, and does light, skin or a mirror change what is read?

On the photographs of the audit pack, which nothing was trained on or tuned to.
"""

from __future__ import annotations

import argparse
import re
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import pictures
from benchmarks.audit.changes import CHANGES
from benchmarks.audit.figures import measure
from benchmarks.audit.groups import LEAST
from benchmarks.blocks import Block, Pictures, Table, interval, markdown
from benchmarks.command import Command, Figures, bundle_options, loaded, plain, whole, write_file
from benchmarks.quality.photographs import Photographs, load_photographs
from benchmarks.report import plots
from edge.cv import cv2
from edge.errors import UsageError

PAIRS = 560
"""Photographs that are changed as well, 80 of each race."""
AXES = {"race": "race", "gender": "gender", "age": "age", "race_gender": "race × gender"}
SHARES = ("found", "read", "unclear", "verified", "rejected", "abstained")
ASKED = {"found": "≥ 0.97", "gap": "≤ 0.04, or less than before", "label": "≤ 0.03"}
_SIZE = 9.6, 8.4
"""Of the picture, inches."""
_BEGIN, _END = "<!-- audit {} -->", "<!-- end -->"
"""The lines of a page that its tables stand between."""


def blocks(figures: Figures) -> list[Block]:
    """What a report says of an audit: the summary first, then the picture and the tables of every bundle."""
    found: list[Block] = [summary(figures), _told(figures), Pictures([_picture(figures)])]
    for name, bundle in figures["bundles"].items():
        found += details(bundle, f", {name}" if len(figures["bundles"]) > 1 else "")
    return found


def _picture(figures: Figures) -> str:
    return plots.svg("Who is read", plots.audit, figures, *_SIZE)


def summary(figures: Figures) -> Table:
    """What was asked for, of every bundle; with two, by how much the first one's gap or share is larger."""
    bundles, against = figures["bundles"], figures["against"]
    rows = [["found, least of race × gender", ASKED["found"], *map(_least, bundles.values()), ""]]
    for share in ("found", "unclear", "verified", "abstained"):
        asked = ASKED["gap"] if share in ("verified", "abstained") else ""
        cells = [_gap(bundle["gaps"]["race"]["shares"][share]) for bundle in bundles.values()]
        changed = _signed(against["gaps"][share]) if against else None
        rows.append([f"largest gap between races: {share}", asked, *cells, changed])
    for way in CHANGES:
        for what in ("label", "verdict"):
            asked = ASKED["label"] if what == "label" and ("skin" in way or way == "mirrored") else ""
            cells = [_interval(bundle["changes"][way][what]) for bundle in bundles.values()]
            rows.append([f"{way}: other {what}", asked, *cells, _signed(against["changes"][way][what]) if against else None])
    columns = ["what", "asked", *(f"{name} ({bundle['commit']})" for name, bundle in bundles.items()), "difference"]
    return Table("", columns if against else columns[:-1], rows if against else [row[:-1] for row in rows])


def details(bundle: Figures, of: str = "") -> list[Block]:
    """One bundle's tables: groups, gaps, labels, cues, action units, changes."""
    groups, apart, changes = bundle["groups"], bundle["gaps"], bundle["changes"]
    shares = [[name, row["n"], *(_interval(row["shares"][m]) for m in SHARES)] for name, row in _rows(groups)]
    gaps = [[AXES[axis], m, *_gap_cells(apart[axis]["shares"][m], "p")] for axis in AXES for m in SHARES]
    found: list[Block] = [
        Table(f"Groups{of}", ["group", "n", *SHARES], shares),
        Table(f"Largest gaps{of}", ["between", "share", *_GAP], gaps),
    ]
    labels = list(groups["all"]["all"]["labels"])
    for family, title in (("labels", "Labels, shares of those read"), ("verified", "Verified, of those read under each label")):
        rows = [[name, *(_three(row[family][m]) for m in labels)] for name, row in _rows(groups, ("race", "gender", "age"))]
        found.append(Table(f"{title}{of}", ["group", *labels], rows))
    for family, title in (
        ("labels", "Labels: largest gaps between races"),
        ("verified", "Verified under each label: largest gaps between races"),
        ("cues", "Cues: largest offsets between races, deviations of neutral faces"),
        ("cues_neutral", "Cues of faces read as neutral: largest offsets between races"),
        ("action_units", "Action units: largest offsets between races, intensity"),
    ):
        if rows := [[m, *_gap_cells(gap, "p_family")] for m, gap in apart["race"][family].items()]:
            found.append(Table(f"{title}{of}", [family.split("_")[0], *_GAP], rows))
    rows = [[way, what, row["n"], _interval(row), *_gap_cells(row["gap"], "p")] for way in changes for what, row in changes[way].items()]
    title = f"Changed photographs, and the largest gap between races{of}"
    return [*found, Table(title, ["change", "what changes", "n", "share", *_GAP], rows)]


_GAP = ("gap", "from", "to", "by chance", "p")


def _told(figures: Figures) -> str:
    return (
        f"{figures['photographs']:,} photographs, {figures['pairs']:,} of them changed as well. Found and read: of all; unclear (a stream "
        "would not read it): of those found; verified, rejected, abstained and labels: of those read. In brackets 95 % intervals over "
        f"photographs drawn anew. A gap is that of the two groups that lie furthest apart, of those with {LEAST} photographs and more; by "
        "chance: the largest when groups are shuffled among photographs that are alike in what else is known; p: how often that is as "
        "large, among labels, cues and action units counted for all of them together."
    )


def _rows(groups: Figures, axes: tuple[str, ...] = tuple(AXES)) -> list[tuple[str, Figures]]:
    return [("all", groups["all"]["all"]), *(row for axis in axes for row in groups[axis].items())]


def _least(bundle: Figures) -> str:
    shares = {name: row["shares"]["found"] for name, row in bundle["groups"]["race_gender"].items()}
    name = min(shares, key=lambda group: shares[group]["share"])
    return f"{_interval(shares[name])}, {name}"


_interval = partial(interval, form="{:.3f} [{:.3f}, {:.3f}]")
_signed = partial(interval, form="{:+.3f} [{:+.3f}, {:+.3f}]")


def _three(row: Figures) -> str | None:
    return None if row["share"] is None else f"{row['share']:.3f} ({row['n']})"


def _gap(row: Figures | None) -> str | None:
    return f"{_interval(row)}, by chance {row['chance']:.3f}, p {row['p']:.2g}" if row else None


def _gap_cells(row: Figures | None, p: str) -> list[Any]:
    return [_interval(row), row["lowest"], row["highest"], f"{row['chance']:.3f}", f"{row[p]:.2g}"] if row else [None] * len(_GAP)


def told(figures: Figures) -> str:
    """The figures as Markdown."""
    return "\n".join(markdown(blocks(figures))).rstrip()


def draw_sheet(photographs: Photographs, count: int = 7) -> np.ndarray:
    """Photographs of every race in turn, as they are and under every change, `[H,W,3]` BGR."""
    rows = []
    for picture in map(photographs.picture, photographs.some(count)):
        shown = [picture, *(change(picture) for change in CHANGES.values())]
        rows.append(np.hstack([cv2.resize(each, (112, 112), interpolation=cv2.INTER_AREA) for each in shown]))
    return np.vstack(rows)


def fill_page(page: str, figures: Figures) -> str:
    """A page with `summary` and `tables` put between their marks."""
    first, *others = blocks(figures)
    for name, content in (("summary", [first]), ("tables", others)):
        text = "\n".join([_BEGIN.format(name), "", *markdown(content), _END])
        page = _between(name).sub(lambda _, text=text: text, page, count=1)
    return page


def _options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--data", type=Path, help="faces_audit.zip or its folder (default: ERV_DATA, or ../shared/data)")
    parser.add_argument(
        "--pairs", type=whole, default=PAIRS, metavar="N", help=f"photographs that are changed as well; 0: all (default: {PAIRS})"
    )
    parser.add_argument("--picture", type=Path, metavar="FILE", help="draw the groups (PNG or SVG)")
    parser.add_argument("--sheet", type=Path, metavar="FILE", help="show what is done to the photographs (PNG or JPEG)")
    parser.add_argument("--page", type=Path, metavar="FILE", help="put the tables into this Markdown page, between its marks")
    bundle_options(parser)
    parser.add_argument("--against", type=Path, metavar="DIR", help="another bundle, shown the same photographs")


def _run(args: argparse.Namespace) -> Figures:
    for name, allowed in (("picture", (".png", ".svg")), ("sheet", (".png", ".jpg", ".jpeg"))):
        path: Path | None = getattr(args, name)
        if path and path.suffix not in allowed:
            raise UsageError(f"--{name} '{path}': expected a name that ends in {' or '.join(allowed)}")
    from training.data import data_folder

    photographs = load_photographs(args.data or data_folder())
    page = _page(args.page) if args.page else ""  # before minutes are spent
    with loaded([args.bundle, args.against] if args.against else [args.bundle], args.device, args.threads) as pipelines:
        figures: Figures = plain(measure(pipelines, photographs, pairs=args.pairs))
    if args.picture:
        as_png = args.picture.suffix == ".png"
        write_file(args.picture, plots.png(plots.audit, figures, *_SIZE) if as_png else _picture(figures).encode())
    if args.sheet:
        pictures.save(args.sheet, draw_sheet(photographs))
    if args.page:
        write_file(args.page, fill_page(page, figures).encode())
    return figures


def _page(path: Path) -> str:
    try:
        page = path.read_text(encoding="utf-8")
    except OSError as error:
        raise UsageError(f"--page '{path}': {error.strerror}") from None
    for name in ("summary", "tables"):
        if not _between(name).search(page):
            raise UsageError(f"--page '{path}' has no lines '{_BEGIN.format(name)}' and '{_END}' to put tables between")
    return page


def _between(name: str) -> re.Pattern[str]:
    return re.compile(f"{re.escape(_BEGIN.format(name))}\n.*?{re.escape(_END)}", re.DOTALL)


COMMAND = Command(_options, _run, told)
