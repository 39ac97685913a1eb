"""The outputs of `edge-run`: its options, and everything that one run writes to."""

from __future__ import annotations

import argparse
import contextlib
import re
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from edge.errors import UsageError
from edge.outputs import Broker, CsvSink, LslSink, MqttSink, OscSink, Sink
from edge.outputs.files import beside
from edge.outputs.layouts import FORMATS
from edge.outputs.pulse import Pulse
from edge.types import Reading

if TYPE_CHECKING:
    from edge.live.stream import Stream
    from edge.pipeline import Pipeline
    from edge.server import Server
    from edge.spans import Clip

_SAVE = (
    "write the annotated picture or video, whole or not at all; a folder for several pictures. A killed process leaves a part beside F, "
    "which an .mkv or .avi lets you play and an .mp4 does not"
)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that say where readings go."""
    group = parser.add_argument_group("outputs")
    group.add_argument(
        "--serve", type=_address, metavar="[HOST:]PORT",
        help="a local page with the live picture, and the readings at /readings as a WebSocket (needs the 'serve' extra); "
        "without a source it reads the browser's own camera",
    )  # fmt: skip
    group.add_argument("--save", type=Path, metavar="F", help=_SAVE)
    group.add_argument("--overwrite", action="store_true", help="let --save replace older pictures in a folder")
    group.add_argument("--csv", type=Path, metavar="F", help="write a table, one row a face and frame, to a new file")
    group.add_argument(
        "--csv-format", choices=FORMATS, default="native",
        help="columns of --csv: ours, or those of OpenFace or py-feat that are measured here, with F.json beside it",
    )  # fmt: skip
    told = "write what happened in --video, as its name ends: .json, .tsv, .vtt (captions), .eaf (ELAN), .svg or .png (a picture)"
    group.add_argument("--summary", type=Path, metavar="F", help=told)
    group.add_argument("--lsl", metavar="NAME", help="publish a Lab Streaming Layer stream (needs the 'lsl' extra)")
    group.add_argument(
        "--lsl-people",
        type=int,
        default=1,
        metavar="N",
        help="with --lsl: a stream for each of so many people (default: the largest face)",
    )
    group.add_argument("--osc", type=_receiver, metavar="HOST:PORT", help="send Open Sound Control messages (needs the 'osc' extra)")
    group.add_argument(
        "--mqtt", type=_broker, metavar="[mqtts://][USER@]HOST[:PORT]/TOPIC",
        help="send readings to an MQTT broker, with Home Assistant's discovery (needs the 'mqtt' extra); password in EDGE_MQTT_PASSWORD",
    )  # fmt: skip


def has_source(args: argparse.Namespace) -> bool:
    """Whether the run reads a source of its own, and not only browsers' cameras."""
    return bool(args.demo or args.image or args.video or args.camera is not None)


def check_options(args: argparse.Namespace) -> None:
    """Raise `UsageError` when there is nothing to read, or nothing that an output could be written from."""
    if args.summary:
        from edge.outputs.summary import check_summary

        check_summary(args.summary)
        if not args.video:
            raise UsageError("--summary is for --video: a camera has no end, pictures have no time")
    if args.csv_format != "native" and not args.csv:
        raise UsageError(f"--csv-format {args.csv_format} needs --csv F: it says how that table is laid out")
    if args.lsl_people != 1 and not args.lsl:
        raise UsageError(f"--lsl-people {args.lsl_people} needs --lsl NAME: it says how many streams are published under that name")
    if args.overwrite and not args.save:
        raise UsageError("--overwrite needs --save F: it lets that replace older pictures")
    if has_source(args):
        return
    if not args.serve:
        raise UsageError("no source: give --camera, --video, --image or --demo, or --serve for the browser's own camera")
    if args.csv or args.lsl or args.osc or args.mqtt or args.save or args.json:
        raise UsageError("--json, --save, --csv, --lsl, --osc and --mqtt need a source: the browser's own camera is only shown on the page")


def name_files(args: argparse.Namespace, pictures: list[Path]) -> list[Path]:
    """Name everything that the run reads and writes, and make the folder of its pictures.

    Args:
        args: parsed options.
        pictures: the pictures that are read; without any it is a video or a camera.

    Returns:
        Where each annotated picture, or the video, goes; empty without `--save`.

    Raises:
        UsageError: targets that collide with each other or with what is read, or cannot be written.
    """
    from edge.bundle import SHIPPED
    from edge.outputs.plan import RunFiles

    files = RunFiles()
    files.reads("--demo" if args.demo else "--image", *pictures)
    sources = {"--video": args.video, "--camera": args.camera and Path(args.camera), "--baseline": args.baseline}
    for option, path in sources.items():
        if path:
            files.reads(option, path)
    files.reads_bundle(args.bundle or SHIPPED)
    targets = _targets(pictures, args.save) if args.save and has_source(args) else []
    several = len(targets) > 1
    files.writes("--save", *targets, replaces=args.overwrite or not several, into=args.save if several else None)
    if args.csv:
        files.writes("--csv", args.csv, *([beside(args.csv)] if args.csv_format != "native" else []), replaces=False)
    if args.summary:
        files.writes("--summary", args.summary, replaces=False)
    if args.save_baseline:
        files.writes("--save-baseline", args.save_baseline)
    files.check()
    files.prepare()
    return targets


def _targets(pictures: list[Path], save: Path) -> list[Path]:
    from edge.outputs.save import check_target

    if len(pictures) < 2:
        check_target(save, video=not pictures)
        return [save]
    targets = [save / f"{path.stem}.png" for path in pictures]
    if len(set(targets)) < len(targets):
        raise UsageError(f"--save '{save}': several of the pictures have the same name; read them one by one")
    return targets


def open_outputs(args: argparse.Namespace, pipeline: Pipeline) -> Outputs:
    """Open what the options ask for.

    Args:
        args: parsed options.
        pipeline: gives the labels and cues; without a source of its own, the run leaves it to the page.

    Raises:
        UsageError: an output cannot be opened.
        BackendError: an extra is missing.
    """
    config = pipeline.bundle.config
    columns = config.labels, [cue.name for cue in config.cues], [unit.name for unit in config.units]
    with contextlib.ExitStack() as opened:
        sinks: list[Sink] = []
        if args.csv:
            sinks.append(opened.enter_context(CsvSink(args.csv, *columns, format=args.csv_format)))
        if args.lsl:
            sinks.append(opened.enter_context(LslSink(args.lsl, *columns, people=args.lsl_people)))
        if args.osc:
            sinks.append(opened.enter_context(OscSink(*args.osc)))
        if args.mqtt:
            sinks.append(opened.enter_context(MqttSink(args.mqtt, config.labels)))
        server = opened.enter_context(_server(args, pipeline)) if args.serve else None
        pulse = opened.enter_context(Pulse())
        return Outputs(sinks, server, pulse, opened.pop_all())


class Outputs:
    """Everything one run writes to; a context manager."""

    def __init__(self, sinks: list[Sink], server: Server | None, pulse: Pulse, opened: contextlib.ExitStack) -> None:
        self.sinks, self.server, self.pulse = sinks, server, pulse
        self.clip: Clip | None = None
        """What a recording that has ended came to, for the page."""
        self._opened = opened

    def follow(self, stream: Stream) -> None:
        """Let a page show the stream's status, and ask it for explanations; a service's pulse is the stream's."""
        self.pulse.follow(stream)
        if self.server:
            self.server.follow(stream)

    def write(self, reading: Reading, image_bgr: np.ndarray) -> None:
        """Give a reading and its picture `[H,W,3]` to every output."""
        for sink in self.sinks:
            sink.write(reading)
        if self.server:
            self.server.write(reading, image_bgr)
        self.pulse.write(reading)  # last: a run that hangs in an output is not alive

    def hold(self) -> None:
        """With a page: keep it up until the command is interrupted; without: return."""
        if self.server:
            self.server.end(self.clip)
            threading.Event().wait()

    def __enter__(self) -> Outputs:
        return self

    def __exit__(self, *_: object) -> None:
        self._opened.close()


def _server(args: argparse.Namespace, pipeline: Pipeline) -> Server:
    from edge.pipeline import Pipeline
    from edge.server import Server
    from edge.server.guard import is_loopback

    source = has_source(args)

    def reader() -> Pipeline:  # one pipeline serves one thread: with a source, the browsers' pictures need their own
        if not source:
            return pipeline
        return Pipeline.load(args.bundle, device=args.device, threads=args.threads, min_face=args.min_face, remember=pipeline.remember)

    host, port = args.serve
    server = Server(pipeline.bundle.config, reader, host=host, port=port, source=source, explain=args.explain)
    print(f"edge-run: the page is at {server.url}", file=sys.stderr, flush=True)
    if not is_loopback(host):
        print("edge-run: whoever has this address sees the pictures, and they travel unencrypted", file=sys.stderr, flush=True)
    return server


def _address(text: str, form: str = "[HOST:]PORT, e.g. 8000 or 127.0.0.1:8000") -> tuple[str, int]:
    """`[HOST:]PORT`; loopback without a host. `form` is what is expected, for who gave something else."""
    host, colon, port = text.rpartition(":")
    if not colon:
        host = "127.0.0.1"
    if not host or not re.fullmatch(r"[0-9]{1,5}", port) or int(port) > 65535:
        raise argparse.ArgumentTypeError(f"expected {form}, got '{text}'")
    return host.strip("[]"), int(port)


def _receiver(text: str) -> tuple[str, int]:
    form = "HOST:PORT, e.g. 127.0.0.1:9000, with a port from 1 to 65535"
    host, port = _address(text, form)
    if ":" not in text or not port:
        raise argparse.ArgumentTypeError(f"expected {form}, got '{text}'")
    return host, port


def _broker(text: str) -> Broker:
    try:
        return Broker.parse(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
