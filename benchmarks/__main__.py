"""`python -m benchmarks COMMAND`: measure a bundle and the machine it runs on; `--json` prints one object and nothing else.

Every command's room is imported only when it is asked for: `latency` on a bare device needs no training packages.
"""

from __future__ import annotations

import argparse
import json
import sys
from importlib import import_module
from typing import Any

from benchmarks.blocks import interval
from benchmarks.command import Command, plain
from edge.boundary import guarded
from edge.errors import BackendError

COMMANDS = {
    "accuracy": ("quality.accuracy", "recognition, calibration, explanations, verdicts"),
    "latency": ("speed.latency", "milliseconds and matmuls per stage"),
    "hardware": ("speed.hardware", "what this machine is, and what state it is in"),
    "power": ("speed.power", "energy per frame and per explanation"),
    "roofline": ("speed.roofline", "FLOPs, bytes, and the share of this machine's ceiling that each graph reaches"),
    "curves": ("report.curves", "confusion, reliability, risk and coverage"),
    "variants": ("quality.variants", "size and agreement of bundles with the first one"),
    "compare": ("peers.compare", "the same frames through other packages"),
    "robustness": ("quality.robustness", "blur, noise, darkness, JPEG, rotation, low resolution, occlusion, crop error"),
    "gates": ("quality.gates", "size, blur and pose at which a face is no longer read"),
    "align": ("quality.align", "what each alignment recipe does to the explanations, under the verifier and an independent judge"),
    "language": ("quality.language", "what is shown: is it of the language, does it hold, how does it read"),
    "audit": ("report.audit", "is everybody found, read and explained alike; light, skin, mirror"),
    "events": ("quality.events", "movements and blinks along known courses: found, when, none in still faces; is what is said true"),
    "clips": ("quality.clips", "one answer and one rationale for a whole clip: DFEW, MAFW, your own, or made ones"),
    "intervene": ("quality.intervene", "one thing in a face is moved: do reading, text and label follow it, and nothing else?"),
    "counterfactual": ("quality.taken_back", "what the runtime takes back of a face, beside the trainer's mover"),
    "attacks": ("quality.attacks", "how often texts that deceive pass the verdict, and true ones do"),
    "persons": ("quality.persons", "what is stated of a face, held against the same person's other photographs: expression or build?"),
    "readers": ("quality.readers", "faces elsewhere: what two readers saw, the one label that the pack has, and what a bundle sees"),
    "soak": ("speed.soak", "a live stream for a long time: memory, threads, age of frames, fast path beside explanations"),
    "faces": ("quality.faces", "the face finder"),
    "again": ("quality.again", "who leaves a stream and comes back: who is known again, who is taken for somebody else"),
    "crop": ("quality.crop", "does the runtime's own crop of a face read like the FER+ image?"),
    "versus": ("speed.versus", "this checkout beside an older one, each with its own bundle"),
    "reference": ("speed.reference", "a short latency run against the committed figures"),
    "all": ("report.suite", "all of it into one run folder, resumable, with its report"),
    "report": ("report.report", "HTML and Markdown from run folders"),
}
"""Command → its room and what it is for."""


def main(argv: list[str] | None = None) -> int:
    """Parse, measure, print, return an exit code."""
    return guarded("benchmarks", lambda: _main(sys.argv[1:] if argv is None else argv))


def _main(given: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Measure a bundle and the machine it runs on.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    chosen = None
    for name, (room, text) in COMMANDS.items():
        command = commands.add_parser(name, help=text, description=f"{text[0].upper()}{text[1:]}.")
        command.add_argument("--json", action="store_true", help="print one JSON object")
        if given[:1] == [name]:
            chosen = _room(room)
            chosen.options(command)
    args = parser.parse_args(given)
    assert chosen
    figures = plain(chosen.run(args))
    if args.json or chosen.told:
        print(json.dumps(figures) if args.json else chosen.told(figures))
    else:
        show(figures)
    return 0


def _room(name: str) -> Command:
    try:
        command: Command = import_module(f"benchmarks.{name}").COMMAND
    except ImportError as error:
        if (error.name or "").partition(".")[0] in ("benchmarks", "edge", "training"):
            raise
        raise BackendError(f"this benchmark needs the package '{error.name}': pip install 'erv-edge[bench]' (or [training])") from None
    return command


def show(figures: dict[str, Any], indent: str = "") -> None:
    """Print figures for a reader: raw values are counted, not listed."""
    for name, value in figures.items():
        if isinstance(value, dict) and not {"low", "high"} <= set(value):
            print(f"{indent}{name}")
            show(value, indent + "  ")
        elif isinstance(value, list) and value and isinstance(value[0], dict):
            for row in value:
                print(f"{indent}{name}: " + ", ".join(f"{k} {_short(v)}" for k, v in row.items() if not isinstance(v, dict)))
        else:
            print(f"{indent}{name + ' ':<24}{_short(value)}")


def _short(value: Any) -> str:
    """A figure; a share, a difference or a ratio with its interval."""
    if isinstance(value, dict):
        return (interval(value, "{:.4f} ({:.4f} to {:.4f})") or "") + (f", n {value['n']}" if "n" in value else "")
    if isinstance(value, float):
        return f"{value:.4f}"
    if isinstance(value, list):
        return ", ".join(map(str, value)) if len(str(value)) < 90 else f"{len(value)} values"
    return "" if value is None else str(value)


if __name__ == "__main__":
    sys.exit(main())
