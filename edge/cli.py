"""`edge-run`: read expressions from a camera, a video, pictures or the demo picture. stdout is data, stderr is logs."""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import logging
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from edge.arguments import Parser, configure, explain_when, face_width, positive, seconds
from edge.boundary import guarded
from edge.errors import EdgeError, UsageError
from edge.outputs.files import put
from edge.outputs.options import Outputs, add_options, check_options, has_source, name_files, open_outputs
from edge.plain import is_address, plain
from edge.stop import unstopped
from edge.types import Reading, Verdict

if TYPE_CHECKING:
    from edge.outputs.save import VideoSink

log = logging.getLogger(__name__)
_QUIT = (27, ord("q"))
_DISPLAY_S = 10  # longer than a display on a slow line takes to open a window


def main(argv: list[str] | None = None) -> int:
    """Run the command; return its exit code (0 done, 2 usage, 3 bundle or backend, 4 camera, input or output, 128 and
    the signal's number when it was interrupted: 130 by Ctrl-C, 143 by SIGTERM)."""
    return guarded("edge-run", lambda: _main(argv))


def _main(argv: list[str] | None) -> int:
    parser = _parser()
    args = parser.parse_args(argv)
    if empty := [name for name, value in vars(args).items() if value == []]:  # what argparse makes of '--csv=--'
        parser.error(f"argument --{empty[0].replace('_', '-')}: expected a value, got '--'")
    configure(verbose=args.verbose)
    return _run(args)


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="edge-run",
        description="Read the apparent expression of faces and explain it; every explanation is checked before it is shown.",
    )
    source = parser.add_mutually_exclusive_group()
    source.add_argument("--camera", metavar="N", help="camera number or path, rtsp:// or http:// address, csi://N, GStreamer pipeline")
    source.add_argument("--video", type=_file, metavar="F", help="video file")
    source.add_argument("--image", type=_file, metavar="F", nargs="+", help="picture files")
    source.add_argument("--demo", action="store_true", help="a public-domain portrait (needs the 'demo' extra)")
    parser.add_argument("--bundle", type=Path, metavar="DIR", help="bundle folder (default: the shipped one)")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda", "tensorrt"), default="auto")
    parser.add_argument("--threads", type=int, default=0, metavar="N", help="threads per graph (default: the runtime's choice)")
    wanted = "narrowest face to look for, pixels or a share of the width such as 2%% (default: the bundle's; smaller takes longer)"
    parser.add_argument("--min-face", type=face_width, metavar="W", help=wanted)
    parser.add_argument(
        "--explain",
        type=explain_when,
        default="every",
        metavar="every|change|request|off|SECONDS",
        help="when to explain (default: every); request: when e is pressed in the window",
    )
    parser.add_argument("--realtime", action="store_true", help="play the video at its own speed, leaving out what is not read in time")
    parser.add_argument("--calibrate", type=seconds, default=0.0, metavar="SECONDS", help="take each new face's first seconds as neutral")
    parser.add_argument("--baseline", type=Path, metavar="F", help="a saved neutral face; cues are measured against it")
    parser.add_argument("--save-baseline", type=Path, metavar="F", help="save the calibrated neutral face (needs --calibrate)")
    parser.add_argument("--no-remember", action="store_true", help="who leaves and comes back is somebody new: looks are not compared")
    parser.add_argument("--json", action="store_true", help="one JSON object a line on stdout")
    parser.add_argument("--no-display", action="store_true", help="open no window")
    parser.add_argument("--max-frames", type=positive, metavar="N", help="stop after N frames")
    parser.add_argument("--verbose", action="store_true", help="debug log on stderr")
    add_options(parser)
    return parser


def _file(text: str) -> Path:
    if is_address(text):
        raise argparse.ArgumentTypeError(f"expected a file, got the address '{text}': addresses go to --camera")
    return Path(text)


def _run(args: argparse.Namespace) -> int:
    with unstopped():  # an import that a signal cuts looks like one that is not there
        from edge.pipeline import Pipeline
        from edge.sources.camera import demo_picture

    check_options(args)
    _check_live(args)
    pictures = ([demo_picture()] if args.demo else args.image or [])[: args.max_frames]
    targets = name_files(args, pictures)
    loaded = Pipeline.load(args.bundle, device=args.device, threads=args.threads, min_face=args.min_face, remember=not args.no_remember)
    with loaded as pipeline, open_outputs(args, pipeline) as outputs:
        log.debug("graphs run on %s", pipeline.provider)
        code = 0
        if has_source(args):
            code = _pictures(pipeline, pictures, targets, args, outputs) if pictures else _stream(pipeline, args, outputs)
        outputs.hold()
        return code


def _check_live(args: argparse.Namespace) -> None:
    """Options that need another one, or a source with time."""
    if args.realtime and not args.video:
        raise UsageError("--realtime is for --video: a camera is always read in real time, pictures have no time")
    if args.save_baseline and not args.calibrate:
        raise UsageError("--save-baseline needs --calibrate SECONDS: there is nothing to save without it")
    if (args.calibrate or args.baseline) and args.camera is None and not args.video:
        raise UsageError("--calibrate and --baseline are for --camera and --video: pictures have no history")


def _pictures(pipeline, paths: list[Path], targets: list[Path], args: argparse.Namespace, outputs: Outputs) -> int:  # type: ignore[no-untyped-def]
    """Read every picture, numbered as a list of them is; one that cannot be read is named and does not keep the others from being read."""
    from edge.outputs.draw import annotate
    from edge.outputs.save import save_picture
    from edge.outputs.window import Window

    show = not args.json and sys.stdout.isatty() and not args.no_display and not args.serve and _has_display()
    code, window = 0, Window() if show else None
    for i, path in enumerate(paths):
        try:
            frame, reading = next(pipeline.watch([path], explain=args.explain))
        except EdgeError as error:
            print(f"edge-run: {error}", file=sys.stderr)
            code = error.exit_code
            continue
        reading = replace(reading, frame=i)
        _print(reading, args.json)
        outputs.write(reading, frame.image_bgr)
        if targets or window:
            picture = annotate(frame.image_bgr, reading, _cue_points(pipeline))
            if targets:
                save_picture(targets[i], picture)
            if window and window.show(picture, wait=True) in _QUIT:
                break
    return code


def _stream(pipeline, args: argparse.Namespace, outputs: Outputs) -> int:  # type: ignore[no-untyped-def]
    from edge.outputs.save import VideoSink

    sink = VideoSink(args.save, _rate(args.video)) if args.save else None
    try:
        _follow(pipeline, args, outputs, sink)
    except BaseException:
        if sink and sink.frames:
            print(f"edge-run: '{sink.path}' holds what was recorded until then, {sink.frames} frames", file=sys.stderr)
        raise
    return 0


def _follow(pipeline, args: argparse.Namespace, outputs: Outputs, sink: VideoSink | None) -> None:  # type: ignore[no-untyped-def]
    from edge.clip import ClipWriter
    from edge.live.baseline import Baseline
    from edge.outputs.draw import annotate
    from edge.outputs.summary import write_summary
    from edge.outputs.window import Window

    source = args.camera if args.camera is not None else args.video
    baseline = Baseline.load(args.baseline) if args.baseline else None
    show = not args.no_display and not args.serve and _has_display()
    with contextlib.ExitStack() as stack:
        if sink:
            stack.callback(sink.close)  # once more, if a signal came just before the first time
            stack.enter_context(sink)
        window = stack.enter_context(Window()) if show else None
        realtime = args.realtime or bool(args.video and args.serve)  # a page is watched: a file plays at its own speed
        stream = pipeline.stream(source, explain=args.explain, realtime=realtime, baseline=baseline, calibrate_s=args.calibrate)
        stack.enter_context(stream)
        outputs.follow(stream)
        if args.save_baseline:
            stack.callback(_save_baseline, stream, args.save_baseline)
        clip = ClipWriter()
        paged = args.serve and (args.video or args.max_frames)  # a clip grows with what happens: there is none of what has no end
        if args.summary:
            stack.callback(lambda: write_summary(args.summary, clip.clip()))  # also of what was read until an interruption
        for reading in itertools.islice(stream, args.max_frames):
            _print(reading, args.json)
            outputs.write(reading, stream.frame.image_bgr)
            if args.summary or paged:
                clip.see(reading)
            if sink or window:
                picture = annotate(stream.frame.image_bgr, reading, _cue_points(pipeline))
                if sink:
                    sink.write(picture, reading.t_ms)
                key = window.show(picture) if window else 0
                if key in _QUIT:
                    break
                if key == ord("e"):
                    stream.explain()
        outputs.clip = clip.clip() if paged else None


def _save_baseline(stream, path: Path) -> None:  # type: ignore[no-untyped-def]
    """Also after Ctrl-C: what has been measured by then is whole."""
    baseline = stream.baseline()
    if baseline is None:
        raise UsageError(f"no face was seen clearly for long enough: '{path}' is not written")
    baseline.save(path)


def _print(reading: Reading, as_json: bool) -> None:
    put(sys.stdout, json.dumps(reading.to_dict()) + "\n" if as_json else _said(reading))


def _said(reading: Reading) -> str:
    where = plain(f"{reading.source} #{reading.frame}")
    lines = [] if reading.faces else [f"{where}: no face"]
    for face in reading.faces:
        label = f"{face.emotion} ({face.confidence:.0%})" if face.emotion else f"not read ({', '.join(face.unclear)})"
        lines.append(f"{where}: face {face.track}: {label}")
        if face.explanation:
            said = face.explanation.text if face.explanation.status is Verdict.VERIFIED else "no explanation is shown"
            lines.append(f"  {face.explanation.status.value}: {plain(said)}")
    return "\n".join(lines) + "\n"


def _cue_points(pipeline) -> dict[str, list[int]]:  # type: ignore[no-untyped-def]
    return {cue.name: cue.points for cue in pipeline.bundle.config.cues}


def _rate(video: Path | None) -> float:
    """Frames per second of the file, 25 where unknown."""
    from edge.cv import cv2
    from edge.sources.names import open_video

    if video is None:
        return 25.0
    capture = open_video(video)
    rate = capture.get(cv2.CAP_PROP_FPS) if capture.isOpened() else 0.0
    capture.release()
    return float(rate) if 1 <= rate <= 240 else 25.0


def _has_display() -> bool:
    """Whether a window can be opened, tried in a process of its own: a display that is gone aborts OpenCV's window code."""
    from edge.cv import isolated

    if sys.platform == "linux" and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        return False
    # a display may also accept the line and never answer: the alarm ends the process whatever it hangs in, and when we are gone, too
    alarm = f"import signal; signal.alarm({_DISPLAY_S}); " if hasattr(signal, "alarm") else ""
    code = f"import cv2; {alarm}cv2.namedWindow('erv-edge'); cv2.waitKey(1); cv2.destroyAllWindows()"
    try:
        good = not subprocess.run(isolated(code), capture_output=True, check=False, timeout=_DISPLAY_S + 60).returncode
    except subprocess.TimeoutExpired:
        good = False
    if not good:
        log.warning("no window can be opened on this display with this OpenCV; going on without one")
    return good


if __name__ == "__main__":
    sys.exit(main())
