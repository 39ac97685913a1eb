"""`python -m benchmarks report RUN…`: one HTML file that needs nothing else, and the same in Markdown, of folders that `all` wrote."""

from __future__ import annotations

import argparse
import html
import json
from pathlib import Path
from string import Template

from benchmarks.blocks import Block, Pictures, Table, markdown
from benchmarks.command import Command, Figures, write_file
from benchmarks.report.findings import SCHEMA, Change, changes, part
from benchmarks.report.sections import sections, threads, tiles
from edge.errors import InputError

SCHEMA_FILE = Path(__file__).with_name("results.schema.json")
_TEMPLATE = Path(__file__).with_name("report.html")
_KINDS = {"worse": "text worse", "better": "text better"}
_CAUTION = (
    "A stage counts as slower from 10% more matmuls. Other work on the machine can do that too: to be sure, time both bundles in one run "
    "(--bundle A --bundle B), where each pair is seconds apart."
)


def read_run(run: Path) -> Figures:
    """The `results.json` of a run (its folder, or the file); `InputError` if it is missing or does not follow the published schema."""
    import jsonschema

    path = run / "results.json" if run.is_dir() else run
    try:
        results: Figures = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"no run at '{run}': {error.strerror}; make one with `python -m benchmarks all --out {run}`") from None
    except ValueError as error:
        raise InputError(f"'{path}' is not JSON: {error}") from None
    if isinstance(results, dict) and results.get("schema", SCHEMA) != SCHEMA:
        again = "measure again with `python -m benchmarks all`, or read it with the version that made it"
        raise InputError(f"'{path}' is of schema {results['schema']}, and {SCHEMA} is read here: {again}")
    try:
        jsonschema.validate(results, json.loads(SCHEMA_FILE.read_text(encoding="utf-8")))
    except jsonschema.ValidationError as error:
        raise InputError(f"'{path}' does not follow {SCHEMA_FILE.name}: {error.json_path}: {error.message[:200]}") from None
    return results


def write(runs: list[Path], out: Path) -> Figures:
    """Write `report.html` and `report.md` into the folder `out`; the report speaks of the last run, compared with the first.

    Returns `html`, `markdown` (paths), and the `regressions` of every later run against the first.
    """
    results = [read_run(run) for run in runs]
    last, blocks = results[-1], sections(results[-1])
    regressions = []
    for run, other in reversed(list(zip(runs[1:], results[1:], strict=True))):
        found = changes(results[0], other)
        regressions[:0] = [f"{run.name}: {change.figure}" for change in found if change.verdict == "worse"]
        blocks.insert(0, ("Against the first run", [_CAUTION, _comparison(runs[0].name, run.name, found)]))
    write_file(out / "report.html", _html(last, blocks).encode())
    write_file(out / "report.md", _markdown(last, blocks).encode())
    return {"html": str(out / "report.html"), "markdown": str(out / "report.md"), "regressions": regressions}


def _title(results: Figures) -> str:
    machine = part(results, "hardware") or {}
    return f"erv-edge on {(machine.get('jetson') or {}).get('module') or machine.get('cpu') or 'this machine'}"


def _told(results: Figures) -> str:
    names = ", ".join(f"{name} ({about['hash'][:8]})" for name, about in results["bundles"].items())
    options = results["options"]
    spent = f"{results['seconds'] / 60:.1f} minutes"
    return f"{results['created']} · {names} · {options['device']}, {threads(options['threads'])} · measured in {spent}"


def _comparison(first: str, name: str, found: list[Change]) -> Table:
    rows = [[c.figure, c.before, c.after, f"{c.after / c.before - 1:+.1%}" if c.before else None, c.verdict] for c in found]
    worse = sum(c.verdict == "worse" for c in found)
    said = f"{worse or 'no'} regression{'s' if worse > 1 else ''}"
    return Table(f"{name} against {first}: {said}", ["figure", first, name, "change", "verdict"], rows)


def _html(results: Figures, blocks: list[tuple[str, list[Block]]]) -> str:
    body = [_tag("h1", _title(results)), _tag("p", _told(results), "dim"), '<div class="tiles">']
    body += [f'<div class="tile">{_tag("b", value)}{_tag("span", name)}</div>' for name, value in tiles(results)]
    body.append("</div>")
    for heading, content in blocks:
        body += [_tag("h2", heading), *map(_block, content)]
    return Template(_TEMPLATE.read_text(encoding="utf-8")).substitute(title=html.escape(_title(results)), body="\n".join(body))


def _block(block: Block) -> str:
    if isinstance(block, str):
        return _tag("p", block)
    if isinstance(block, Pictures):
        drawn = "".join(f"<figure>{picture}</figure>" for picture in block.pictures)
        return f'<div class="pair">{drawn}</div>' if len(block.pictures) > 1 else drawn
    kinds = ["text" if any(isinstance(row[i], str) for row in block.rows) else "" for i in range(len(block.columns))]
    head = "".join(_tag("th", name, kind) for name, kind in zip(block.columns, kinds, strict=True))
    rows = ["".join(_tag("td", text, _KINDS.get(text, kind)) for text, kind in zip(row, kinds, strict=True)) for row in block.cells()]
    title = _tag("h3", block.title) if block.title else ""
    body = "".join(f"<tr>{row}</tr>" for row in rows)
    return f'{title}<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def _tag(name: str, text: str, kind: str | None = None) -> str:
    opened = name if kind is None else f'{name} class="{kind}"'
    return f"<{opened}>{html.escape(text)}</{name}>"


def _markdown(results: Figures, blocks: list[tuple[str, list[Block]]]) -> str:
    lines = [f"# {_title(results)}", "", _told(results), "", *(f"- {name}: **{value}**" for name, value in tiles(results)), ""]
    for heading, content in blocks:
        lines += [f"## {heading}", "", *markdown(content)]
    return "\n".join(lines)


def _options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("runs", type=Path, nargs="+", metavar="RUN", help="folders that `all` wrote; the first is compared against")
    parser.add_argument("--out", type=Path, metavar="DIR", help="where the report goes (default: the last run)")


def _run(args: argparse.Namespace) -> Figures:
    return write(args.runs, args.out or (args.runs[-1] if args.runs[-1].is_dir() else args.runs[-1].parent))


COMMAND = Command(_options, _run)
