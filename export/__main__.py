"""`python -m export COMMAND`: make bundles and prove what was made; `--help` lists the commands."""

from __future__ import annotations

import argparse
import dataclasses
import json
import logging
import shutil
import sys
from pathlib import Path

from edge.boundary import guarded
from edge.bundle import AUDIT, HASHES, SHIPPED, Bundle
from edge.errors import InputError
from edge.files import read_json
from edge.outputs.plan import RunFiles
from edge.whole import write_whole


def main(argv: list[str] | None = None) -> int:
    """Parse, do, return an exit code."""
    return guarded("python -m export", lambda: _main(argv))


def _main(argv: list[str] | None) -> int:
    args = _parser().parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(message)s", stream=sys.stderr)
    for name in ("onnx_ir", "onnxscript", "torch.onnx", "optimum"):
        logging.getLogger(name).setLevel(logging.ERROR)
    return int(args.run_command(args))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m export", description="Make bundles, and prove what was made.")
    commands = parser.add_subparsers(dest="command", required=True)
    data = {"help": "folder of the data packs, or (but for bundle) of face crops (default: ERV_DATA, or ../shared/data)"}

    bundle = commands.add_parser("bundle", help="trained parts → graphs → parity check → calibration → bundle")
    for part in ("face", "screen", "encoder", "grammar", "verifier", "visibility"):
        kept = ", or a bundle whose finder is kept" if part == "face" else ""
        bundle.add_argument(f"--{part}", type=Path, default=Path("runs") / part, help=f"run of the {part}{kept}")
    bundle.add_argument("--policy", type=Path, default=Path("runs/grpo"), help="run of the policy, or folder of a SmolVLM-family model")
    bundle.add_argument("--data", **data)
    bundle.add_argument("--out", type=Path, default=SHIPPED, help="bundle folder (default: the shipped one)")

    reword = commands.add_parser("reword", help="the words of training/phrases.py in a finished bundle")
    reword.add_argument("bundle", type=Path, help="bundle folder")
    reword.add_argument("--out", type=Path, required=True, help="folder of the new bundle")
    recalibrate = commands.add_parser("recalibrate", help="when a finished bundle looks twice and when it abstains, chosen anew")
    recalibrate.add_argument("bundle", type=Path, help="bundle folder")
    recalibrate.add_argument("--data", help="folder of the data packs (default: ERV_DATA, or ../shared/data)")
    recalibrate.add_argument("--out", type=Path, required=True, help="folder of the new bundle")
    recover = commands.add_parser("recover", help="the trained encoder, visibility network, verifier and policy back out of a bundle")
    recover.add_argument("bundle", type=Path, nargs="?", default=SHIPPED, help="bundle folder (default: the shipped one)")
    recover.add_argument("--out", type=Path, default=Path("runs"), help="folder of the runs (default: runs)")

    visibility = commands.add_parser("visibility", help="put a trained visibility network into a finished bundle")
    visibility.add_argument("bundle", type=Path)
    visibility.add_argument("--run", type=Path, default=Path("runs/visibility"), help="of training visibility (default: runs/visibility)")
    visibility.add_argument("--out", type=Path, required=True, help="folder of the new bundle")
    visibility.add_argument("--data", **data)
    visibility.add_argument("--faces", type=int, metavar="N", help="compare with the given bundle on the first N faces only")

    finder = commands.add_parser("finder", help="put another face finder into a finished bundle: a trained one, or a YuNet of your own")
    finder.add_argument("bundle", type=Path)
    finder.add_argument("source", type=Path, metavar="RUN_OR_FILE", help="run of training face, or the .onnx file of a YuNet")
    finder.add_argument("--screen", type=Path, help="run of training screen, which tells what it found are faces (default: the bundle's)")
    finder.add_argument("--out", type=Path, required=True, help="folder of the new bundle")

    moves = commands.add_parser("moves", help="put into a finished bundle how a face moves when a cue is taken back: counterfactuals")
    moves.add_argument("bundle", type=Path)
    moves.add_argument("--out", type=Path, required=True, help="folder of the new bundle")
    moves.add_argument("--data", help="folder of the data packs (default: ERV_DATA, or ../shared/data)")

    quantize = commands.add_parser("quantize", help="bundle → smaller bundle that decides the same")
    quantize.add_argument("bundle", type=Path, help="a float32 bundle")
    quantize.add_argument("--out", type=Path, required=True, help="folder of the new bundle")
    quantize.add_argument("--data", **data)
    quantize.add_argument(
        "--recipe", default="portable", help="portable, auto (this CPU's), x86-64, aarch64, gpu, sweep, or a JSON file (default: portable)"
    )

    check = commands.add_parser("check", help="do two bundles, or a bundle and its checkpoints, decide the same?")
    check.add_argument("a", type=Path, help="the reference: a bundle, or a folder of runs (face, grpo or sft, verifier)")
    check.add_argument("b", type=Path, help="the one under test, likewise")
    check.add_argument("--data", **data)
    check.add_argument("--split", default="test", choices=("valid", "test"), help="of the pack (default: test)")
    check.add_argument("--faces", type=int, metavar="N", help="look at the first N faces only")
    check.add_argument("--gate", nargs="+", default=[], metavar="NAME=VALUE", help="tensors, faces, labels, streams, verdicts, war")
    check.add_argument("--report", type=Path, metavar="F.md", help="also write the report as Markdown")

    lint = commands.add_parser("lint", help="would TensorRT take this bundle?")
    lint.add_argument("bundle", type=Path)
    lint.add_argument("--target", nargs="+", default=["trt10.3", "trt10.16"], help="trt10.3, trt10.16 (default: both)")

    tensorrt = commands.add_parser("tensorrt", help="build the engines of a bundle on this machine")
    tensorrt.add_argument("bundle", type=Path)

    triton = commands.add_parser("triton", help="bundle → model repository for NVIDIA Triton")
    triton.add_argument("bundle", type=Path)
    triton.add_argument("--out", type=Path, required=True, help="folder of the repository")
    triton.add_argument("--device", choices=("cpu", "gpu"), default="gpu", help="what Triton runs the graphs on (default: gpu)")

    measured = commands.add_parser("measured", help="record benchmark results in a bundle's configuration and model card")
    measured.add_argument("bundle", type=Path)
    measured.add_argument("results", nargs="*", metavar="NAME=FILE.json", help="title and a JSON object of figures")
    measured.add_argument("--audit", type=Path, metavar="FILE.png", help="the card's picture of who is read, as benchmarks audit draws it")
    for name, command in commands.choices.items():
        command.set_defaults(run_command=globals()[f"_{name}"])
    return parser


def _bundle(args: argparse.Namespace) -> int:
    from export.bundle import Runs, build
    from export.large import build_large, is_large
    from training.data import data_folder

    runs = Runs(args.face, args.encoder, args.grammar, args.policy, args.verifier, args.visibility, args.screen)
    make = build_large if is_large(args.policy) else build
    print(json.dumps(make(runs, data_folder(args.data), args.out), indent=1))
    return 0


def _recover(args: argparse.Namespace) -> int:
    from export.recover import recover

    print(json.dumps({"recovered": [str(args.out / name) for name in recover(args.bundle, args.out)]}))
    return 0


def _visibility(args: argparse.Namespace) -> int:
    from export.visibility import add_visibility
    from training.data import data_folder

    print(json.dumps(add_visibility(args.bundle, args.run, args.out, data_folder(args.data), faces=args.faces), indent=1))
    return 0


def _reword(args: argparse.Namespace) -> int:
    from export.reword import reword

    print(json.dumps(reword(args.bundle, args.out), indent=1, ensure_ascii=False))
    return 0


def _recalibrate(args: argparse.Namespace) -> int:
    from export.calibrate import recalibrate
    from training.data import data_folder

    print(json.dumps(recalibrate(args.bundle, data_folder(args.data), args.out), indent=1))
    return 0


def _finder(args: argparse.Namespace) -> int:
    from export.finder import put_finder

    print(json.dumps(put_finder(args.bundle, args.source, args.out, args.screen), indent=1))
    return 0


def _moves(args: argparse.Namespace) -> int:
    from export.moves import put_moves
    from training.data import data_folder

    print(json.dumps(put_moves(args.bundle, data_folder(args.data), args.out), indent=1))
    return 0


def _quantize(args: argparse.Namespace) -> int:
    from export.quantize import quantize, table
    from export.recipe import read_recipe
    from training.data import data_folder

    done = quantize(args.bundle, args.out, data_folder(args.data), read_recipe(args.recipe))
    print(table(done), file=sys.stderr)
    print(json.dumps(done, indent=1))
    return 0


def _check(args: argparse.Namespace) -> int:
    from export.check import compare, read_gates, report
    from training.data import data_folder

    gates = read_gates(args.gate)
    if args.report:
        files = RunFiles()
        files.reads_bundle(args.a)
        files.reads_bundle(args.b)
        files.writes("--report", args.report)
        files.check()
    result = compare(args.a, args.b, data_folder(args.data), gates, split=args.split, faces=args.faces)
    if args.report:
        try:
            write_whole(args.report, report(result).encode())
        except OSError as error:
            raise InputError(f"cannot write '{args.report}': {error.strerror}") from None
    print(json.dumps(result, indent=1))
    return 0 if result["passed"] else 1


def _lint(args: argparse.Namespace) -> int:
    from export.lint import lint

    count = 0
    for target in args.target:
        for finding in lint(args.bundle, target):
            print(f"{target}: {finding}")
            count += 1
    print(f"{count} findings for {', '.join(args.target)}", file=sys.stderr)
    return 1 if count else 0


def _tensorrt(args: argparse.Namespace) -> int:
    from export.tensorrt import build_engines

    for engine in build_engines(args.bundle):
        print(engine)
    return 0


def _triton(args: argparse.Namespace) -> int:
    from export.triton import write_repository

    for path in write_repository(args.bundle, args.out, gpu=args.device == "gpu"):
        print(path)
    return 0


def _measured(args: argparse.Namespace) -> int:
    record(args.bundle, args.results, audit=args.audit)
    return 0


def record(folder: Path, results: list[str], *, audit: Path | None = None) -> None:
    """Put benchmark results, and the audit's picture, into a bundle with its card; raises `InputError` for an unreadable file."""
    from export.publish import write_config
    from training.folders import new_folder

    config = Bundle.load(folder).config
    figures = dict(config.metrics)
    for item in results:
        name, _, path = item.partition("=")
        found = read_json(path)
        if not isinstance(found, dict):
            raise InputError(f"'{path}' holds no JSON object of figures")
        figures[name] = found
    picture = audit.read_bytes() if audit else b""
    if audit and not picture.startswith(b"\x89PNG"):
        raise InputError(f"--audit '{audit}' is no PNG picture")
    with new_folder(folder, HASHES) as fresh:
        shutil.copytree(folder, fresh, dirs_exist_ok=True)
        if audit:
            (fresh / AUDIT).write_bytes(picture)
        write_config(fresh, dataclasses.replace(config, metrics=figures))


if __name__ == "__main__":
    sys.exit(main())
