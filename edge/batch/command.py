"""`edge-batch`: read a study, a folder or a list of recordings and pictures, into a table each; what was done is not done again."""

from __future__ import annotations

import argparse
import functools
import sys
from pathlib import Path

from edge.arguments import Parser, configure, explain_when, face_width, positive, seconds
from edge.batch.results import Options
from edge.boundary import guarded
from edge.errors import UsageError
from edge.outputs.layouts import FORMATS
from edge.stop import unstopped


def main(argv: list[str] | None = None) -> int:
    """Run the command; return its exit code (0 all is read, 2 usage, 3 bundle or backend, 4 some could not be read or nothing can be
    written, 128 and the signal's number when it was interrupted)."""
    return guarded("edge-batch", lambda: _main(argv))


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="edge-batch",
        description="Read a folder of recordings and pictures into a table each, with a summary and a manifest. Start the same line again "
        "after it was ended, however that was: what is done is not done again.",
    )
    parser.add_argument("study", type=Path, metavar="FOLDER|LIST.csv", help="a folder, or a CSV list with the column 'file'")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder of the results: new, or of the same run before")
    parser.add_argument("--table", choices=("csv", "parquet"), default="csv", help="kind of the tables (default: csv)")
    formats = "columns of the tables: ours, or those of OpenFace or py-feat that are measured here"
    parser.add_argument("--csv-format", choices=FORMATS, default="native", help=formats)
    parser.add_argument("--bundle", type=Path, metavar="DIR", help="bundle folder (default: the shipped one)")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda", "tensorrt"), default="auto")
    when = functools.partial(explain_when, words=("every", "change", "off"))
    parser.add_argument(
        "--explain", type=when, default="change", metavar="every|change|off|SECONDS", help="when to explain (default: change)"
    )
    parser.add_argument("--calibrate", type=seconds, default=0.0, metavar="SECONDS", help="take each new face's first seconds as neutral")
    wanted = "narrowest face to look for, pixels or a share of the width such as 2%% (default: the bundle's; smaller takes longer)"
    parser.add_argument("--min-face", type=face_width, metavar="W", help=wanted)
    parser.add_argument("--no-remember", action="store_true", help="who leaves and comes back is somebody new: looks are not compared")
    group = parser.add_argument_group("cluster")
    group.add_argument(
        "--workers", type=_count, metavar="N", help="readers side by side (default: one a core); 0: none, in this process, without Ray"
    )
    group.add_argument("--address", metavar="A", help="a running Ray cluster that sees the same paths (default: one on this machine)")
    group.add_argument("--cpus", type=seconds, metavar="N", help="CPUs of a worker (default: its threads)")
    group.add_argument("--gpus", type=seconds, default=0.0, metavar="N", help="GPUs of a worker, may be a part of one")
    group.add_argument("--threads", type=positive, default=1, metavar="N", help="threads per graph of a worker (default: 1)")
    parser.add_argument("--verbose", action="store_true", help="debug log on stderr")
    return parser


def _count(text: str) -> int:
    return 0 if text == "0" else positive(text)


def _main(argv: list[str] | None) -> int:
    args = _parser().parse_args(argv)
    configure(verbose=args.verbose)
    if args.workers == 0 and (args.address or args.gpus or args.cpus):
        raise UsageError("--workers 0 reads in this process: --address, --cpus and --gpus are for Ray's workers")
    with unstopped():  # an import that a signal cuts looks like one that is not there
        from edge.batch.run import Run
    return Run(
        args.study,
        args.out,
        Options(args.table, args.csv_format, args.explain, args.calibrate, args.device, args.min_face, not args.no_remember),
        bundle=args.bundle,
        threads=args.threads,
        workers=args.workers,
        address=args.address,
        cpus=args.cpus,
        gpus=args.gpus,
    ).read()


if __name__ == "__main__":
    sys.exit(main())
