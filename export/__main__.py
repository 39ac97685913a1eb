"""`python -m export {bundle,measured}`: make a bundle, or record measured figures in one."""

from __future__ import annotations

import argparse
import dataclasses
import json
import logging
import sys
from pathlib import Path

from edge.bundle import SHIPPED, Bundle, write_hashes
from edge.errors import EdgeError, InputError


def main(argv: list[str] | None = None) -> int:
    """Parse, export, return an exit code."""
    parser = argparse.ArgumentParser(prog="python -m export", description="Make bundles.")
    commands = parser.add_subparsers(dest="command", required=True)
    bundle = commands.add_parser("bundle", help="trained parts → graphs → parity check → calibration → bundle")
    for part in ("face", "encoder", "verifier"):
        bundle.add_argument(f"--{part}", type=Path, default=Path("runs") / part, help=f"run of the {part}")
    bundle.add_argument("--policy", type=Path, default=Path("runs/sft"), help="run of the policy")
    bundle.add_argument("--data", help="folder of the data packs (default: ERV_DATA, or ../shared/data)")
    bundle.add_argument("--out", type=Path, default=SHIPPED, help="bundle folder (default: the shipped one)")
    measured = commands.add_parser("measured", help="record benchmark results in a bundle's configuration and model card")
    measured.add_argument("bundle", type=Path)
    measured.add_argument("results", nargs="+", metavar="NAME=FILE.json", help="title and a JSON object of figures")
    args = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(message)s", stream=sys.stderr)
    for name in ("onnx_ir", "onnxscript", "torch.onnx"):
        logging.getLogger(name).setLevel(logging.ERROR)
    try:
        if args.command == "bundle":
            from export.bundle import Runs, build
            from training.data import data_folder

            runs = Runs(args.face, args.encoder, args.policy, args.verifier)
            print(json.dumps(build(runs, data_folder(args.data), args.out), indent=1))
        else:
            record(args.bundle, args.results)
    except EdgeError as error:
        print(f"{parser.prog}: {error}", file=sys.stderr)
        return error.exit_code
    return 0


def record(folder: Path, results: list[str]) -> None:
    """Put benchmark results into a bundle's configuration and card; raises `InputError` for an unreadable file."""
    from export.card import write_card

    config = Bundle.load(folder).config
    figures = dict(config.metrics)
    for item in results:
        name, _, path = item.partition("=")
        try:
            found = json.loads(Path(path).read_text())
        except (OSError, ValueError) as error:
            raise InputError(f"cannot read '{path}': {error}") from None
        if not isinstance(found, dict):
            raise InputError(f"'{path}' holds no JSON object of figures")
        figures[name] = found
    config = dataclasses.replace(config, metrics=figures)
    text = json.dumps(dataclasses.asdict(config), indent=1, ensure_ascii=False) + "\n"
    (folder / "config.json").write_text(text, encoding="utf-8")
    write_card(folder, config, figures)
    write_hashes(folder)


if __name__ == "__main__":
    sys.exit(main())
