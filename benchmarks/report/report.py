"""`python -m benchmarks report RUN…`: one HTML file that needs nothing else, and the same in Markdown.

The first run is the one that the others are compared with; regressions are flagged. A run is a folder that `all` wrote.
"""

from __future__ import annotations

import argparse
import html
import json
from pathlib import Path
from string import Template
from typing import Any

from benchmarks.command import Command, Figures
from benchmarks.report.findings import Change, changes, part
from benchmarks.report.sections import Block, Pictures, Table, Text, sections, threads, tiles
from edge.errors import InputError, UsageError
from edge.whole import write_whole

SCHEMA_FILE = Path(__file__).with_name("results.schema.json")
_TEMPLATE = Path(__file__).with_name("report.html")


def read_run(run: Path) -> Figures:
    """Read and check the `results.json` of a run (its folder, or the file itself).

    Raises:
        InputError: it is not there, or does not follow the published schema.
    """
    import jsonschema

    path = run / "results.json" if run.is_dir() else run
    try:
        results: Figures = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"no run at '{run}': {error.strerror}; make one with `python -m benchmarks all --out {run}`") from None
    except ValueError as error:
        raise InputError(f"'{path}' is not JSON: {error}") from None
    try:
        jsonschema.validate(results, json.loads(SCHEMA_FILE.read_text(encoding="utf-8")))
    except jsonschema.ValidationError as error:
        raise InputError(f"'{path}' does not follow {SCHEMA_FILE.name}: {error.json_path}: {error.message[:200]}") from None
    return results


def write(runs: list[Path], out: Path) -> Figures:
    """Write `report.html` and `report.md` into the folder `out`; the report speaks of the last run, compared with those before it.

    Returns:
        `html`, `markdown` (paths), `regressions` against the first run, and what is `unclear` (see `benchmarks.report.findings.Change`).
    """
    results = [read_run(run) for run in runs]
    last = results[-1]
    compared = [(run.name, changes(results[0], other)) for run, other in zip(runs[1:], results[1:], strict=True)]
    blocks = sections(last)
    try:
        out.mkdir(parents=True, exist_ok=True)
        write_whole(out / "report.html", _html(last, runs, compared, blocks).encode())
        write_whole(out / "report.md", _markdown(last, runs, compared, blocks).encode())
    except OSError as error:
        raise UsageError(f"cannot write the report into '{out}': {error.strerror}") from None
    told = {
        title: [f"{name}: {change.figure}" for name, found in compared for change in found if change.verdict == verdict]
        for title, verdict in (("regressions", "worse"), ("unclear", "unclear"))
    }
    return {"html": str(out / "report.html"), "markdown": str(out / "report.md"), **told}


def _title(results: Figures) -> str:
    machine = part(results, "hardware") or {}
    return f"erv-edge on {(machine.get('jetson') or {}).get('module') or machine.get('cpu') or 'this machine'}"


def _told(results: Figures) -> str:
    names = ", ".join(f"{name} ({about['hash'][:8]})" for name, about in results["bundles"].items())
    options = results["options"]
    spent = f"{results['seconds'] / 60:.1f} minutes"
    return f"{results['created']} · {names} · {options['device']}, {threads(options['threads'])} · measured in {spent}"


def _comparison(runs: list[Path], name: str, found: list[Change]) -> Table:
    rows = [[c.figure, c.before, c.after, c.after / c.before - 1 if c.before else None, c.verdict] for c in found]
    worse, unclear = (sum(c.verdict == verdict for c in found) for verdict in ("worse", "unclear"))
    said = "no regression" if not worse else f"{worse} regression{'s' if worse > 1 else ''}"
    said += f", {unclear} unclear" if unclear else ""
    return Table(f"{name} against {runs[0].name}: {said}", ["figure", runs[0].name, name, "change", "verdict"], rows, percent=("change",))


def _html(results: Figures, runs: list[Path], compared: list[tuple[str, list[Change]]], blocks: list[tuple[str, list[Block]]]) -> str:
    title = _title(results)
    body = [f"<h1>{html.escape(title)}</h1>", f'<p class="dim">{html.escape(_told(results))}</p>', '<div class="tiles">']
    body += [f'<div class="tile"><b>{html.escape(value)}</b><span>{html.escape(name)}</span></div>' for name, value in tiles(results)]
    body.append("</div>")
    for name, found in compared:
        body += ["<h2>Against the first run</h2>", _block(_comparison(runs, name, found))]
    for heading, content in blocks:
        body += [f"<h2>{html.escape(heading)}</h2>", *map(_block, content)]
    return Template(_TEMPLATE.read_text(encoding="utf-8")).substitute(title=html.escape(title), body="\n".join(body))


def _block(block: Block) -> str:
    if isinstance(block, Text):
        return f"<p>{html.escape(block.text)}</p>"
    if isinstance(block, Pictures):
        drawn = "".join(f"<figure>{picture}</figure>" for picture in block.pictures)
        return f'<div class="pair">{drawn}</div>' if len(block.pictures) > 1 else drawn
    words = [any(isinstance(row[i], str) for row in block.rows) for i in range(len(block.columns))]
    kinds = [' class="text"' if is_text else "" for is_text in words]
    head = "".join(f"<th{kind}>{html.escape(name)}</th>" for name, kind in zip(block.columns, kinds, strict=True))
    rows = []
    for row in block.rows:
        cells = []
        for value, name, usual in zip(row, block.columns, kinds, strict=True):
            text = cell(value, name in block.percent)
            kind = f' class="text {text}"' if text in ("worse", "better") else usual
            cells.append(f"<td{kind}>{html.escape(text)}</td>")
        rows.append(f"<tr>{''.join(cells)}</tr>")
    title = f"<h3>{html.escape(block.title)}</h3>" if block.title else ""
    return f'{title}<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>{"".join(rows)}</tbody></table></div>'


def _markdown(results: Figures, runs: list[Path], compared: list[tuple[str, list[Change]]], blocks: list[tuple[str, list[Block]]]) -> str:
    lines = [f"# {_title(results)}", "", _told(results), "", *(f"- {name}: **{value}**" for name, value in tiles(results)), ""]
    for name, found in compared:
        lines += ["## Against the first run", "", *_lines(_comparison(runs, name, found))]
    for heading, content in blocks:
        lines += [f"## {heading}", ""]
        for block in content:
            lines += _lines(block)
    return "\n".join(lines)


def _lines(block: Block) -> list[str]:
    if isinstance(block, Text):
        return [block.text, ""]
    if isinstance(block, Pictures):
        return []
    rule = "|" + "---|" * len(block.columns)
    rows = [
        "| " + " | ".join(cell(v, block.columns[i] in block.percent).replace("|", "\\|") for i, v in enumerate(row)) + " |"
        for row in block.rows
    ]
    title = [f"### {block.title}", ""] if block.title else []
    return [*title, "| " + " | ".join(block.columns) + " |", rule, *rows, ""]


def cell(value: Any, percent: bool = False) -> str:
    """A value for a table: three figures that count, empty where unknown."""
    if value is None:
        return ""
    if isinstance(value, bool | str):
        return str(value)
    if percent:
        return f"{value:+.1%}" if value else "0"
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("runs", type=Path, nargs="+", metavar="RUN", help="folders that `all` wrote; the first is compared against")
    parser.add_argument("--out", type=Path, metavar="DIR", help="where the report goes (default: the last run)")


def _run(args: argparse.Namespace) -> Figures:
    return write(args.runs, args.out or (args.runs[-1] if args.runs[-1].is_dir() else args.runs[-1].parent))


COMMAND = Command(_options, _run)
