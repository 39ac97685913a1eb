"""`edge-run`: read expressions from a camera, a video, pictures or the demo picture. stdout is data, stderr is logs."""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import logging
import os
import subprocess
import sys
from pathlib import Path

from edge.errors import EdgeError, UsageError
from edge.outputs.options import Outputs, add_options, check_options, has_source, open_outputs
from edge.types import Reading, Verdict

log = logging.getLogger(__name__)
_QUIT = (27, ord("q"))


def main(argv: list[str] | None = None) -> int:
    """Run the command; return its exit code (0 done, 2 usage, 3 bundle or backend, 4 camera or input, 130 interrupted)."""
    parser = _parser()
    args = parser.parse_args(argv)
    level = logging.DEBUG if args.verbose else logging.WARNING
    logging.basicConfig(level=level, format="%(levelname)s %(name)s: %(message)s", stream=sys.stderr)
    if not args.verbose:  # our own errors say what OpenCV and FFmpeg would, in one sentence; read when OpenCV is imported
        os.environ.setdefault("OPENCV_LOG_LEVEL", "SILENT")
        os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="backslashreplace")  # file names need not be text
    try:
        return _run(args)
    except EdgeError as error:
        print(f"edge-run: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # the reader of our output has gone; nothing is left to say
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="edge-run",
        description="Read the apparent expression of faces and explain it; every explanation is checked before it is shown.",
    )
    source = parser.add_mutually_exclusive_group()
    source.add_argument("--camera", metavar="N", help="camera number or path, rtsp:// or http:// address, csi://N, GStreamer pipeline")
    source.add_argument("--video", type=Path, metavar="F", help="video file")
    source.add_argument("--image", type=Path, metavar="F", nargs="+", help="picture files")
    source.add_argument("--demo", action="store_true", help="a public-domain portrait (needs the 'demo' extra)")
    parser.add_argument("--bundle", type=Path, metavar="DIR", help="bundle folder (default: the shipped one)")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda", "tensorrt"), default="auto")
    parser.add_argument("--threads", type=int, default=0, metavar="N", help="threads per graph (default: the runtime's choice)")
    wanted = "narrowest face to look for, pixels or a share of the width such as 2%% (default: the bundle's; smaller takes longer)"
    parser.add_argument("--min-face", type=_width, metavar="W", help=wanted)
    parser.add_argument(
        "--explain",
        type=_when,
        default="every",
        metavar="every|change|request|off|SECONDS",
        help="when to explain (default: every); request: when e is pressed in the window",
    )
    parser.add_argument("--realtime", action="store_true", help="play the video at its own speed, leaving out what is not read in time")
    parser.add_argument("--calibrate", type=_seconds, default=0.0, metavar="SECONDS", help="take each new face's first seconds as neutral")
    parser.add_argument("--baseline", type=Path, metavar="F", help="a saved neutral face; cues are measured against it")
    parser.add_argument("--save-baseline", type=Path, metavar="F", help="save the calibrated neutral face (needs --calibrate)")
    parser.add_argument("--json", action="store_true", help="one JSON object a line on stdout")
    parser.add_argument("--no-display", action="store_true", help="open no window")
    parser.add_argument("--save", type=Path, metavar="F", help="write the annotated picture or video; a folder for several pictures")
    parser.add_argument("--max-frames", type=_positive, metavar="N", help="stop after N frames")
    parser.add_argument("--verbose", action="store_true", help="debug log on stderr")
    add_options(parser)
    return parser


def _when(text: str) -> str | float:
    if text in ("every", "change", "request", "off"):
        return text
    try:
        return _seconds(text)
    except argparse.ArgumentTypeError:
        raise argparse.ArgumentTypeError(f"expected every, change, request, off or seconds above 0, got '{text}'") from None


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < float("inf"):
        raise argparse.ArgumentTypeError(f"expected seconds above 0, got '{text}'")
    return seconds


def _width(text: str) -> float:
    """Pixels, or a share of the picture's width: 24, 0.02, 2%."""
    share = text.endswith("%")
    try:
        width = float(text.removesuffix("%")) / (100 if share else 1)
    except ValueError:
        width = 0.0
    if not 0 < width < (1 if share else float("inf")):
        raise argparse.ArgumentTypeError(f"expected pixels, or a share of the width such as 2% or 0.02, got '{text}'")
    return width


def _positive(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number above 0, got '{text}'")
    return int(text)


def _run(args: argparse.Namespace) -> int:
    from edge.pipeline import Pipeline
    from edge.sources.camera import demo_picture

    check_options(args)
    if not 0 <= args.threads <= 1024:
        raise UsageError(f"--threads {args.threads}: expected 0 to 1024")
    _check_live(args)
    pictures = ([demo_picture()] if args.demo else args.image or [])[: args.max_frames]
    targets = _targets(pictures or [args.video], args.save, video=not pictures) if args.save and has_source(args) else []
    loaded = Pipeline.load(args.bundle, device=args.device, threads=args.threads, min_face=args.min_face)
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
    if args.save_baseline and not args.save_baseline.absolute().parent.is_dir():
        raise UsageError(f"--save-baseline '{args.save_baseline}': there is no folder '{args.save_baseline.parent}'")
    if (args.calibrate or args.baseline) and args.camera is None and not args.video:
        raise UsageError("--calibrate and --baseline are for --camera and --video: pictures have no history")


def _targets(sources: list[Path | None], save: Path, *, video: bool) -> list[Path]:
    """Where each source's annotated picture or video goes; `UsageError` when that would overwrite a source or another target."""
    from edge.outputs.save import check_target

    if len(sources) > 1:
        try:
            save.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UsageError(f"--save '{save}': for several pictures it must be a folder ({error.strerror})") from None
        targets = [save / f"{path.stem}.png" for path in sources if path]
    else:
        targets = [save]
        check_target(save, video=video)
    if len(set(targets)) < len(targets):
        raise UsageError(f"--save '{save}': several of the pictures have the same name; read them one by one")
    if {t.resolve() for t in targets} & {path.resolve() for path in sources if path}:
        raise UsageError(f"--save '{save}' would overwrite the input")
    return targets


def _pictures(pipeline, paths: list[Path], targets: list[Path], args: argparse.Namespace, outputs: Outputs) -> int:  # type: ignore[no-untyped-def]
    """Read every picture; one that cannot be read is named and does not keep the others from being read."""
    from edge.outputs.draw import annotate
    from edge.outputs.save import save_picture

    show = not args.json and sys.stdout.isatty() and not args.no_display and not args.serve and _has_display()
    code = 0
    for i, path in enumerate(paths):
        try:
            frame, reading = next(pipeline.watch([path], explain=args.explain))
        except EdgeError as error:
            print(f"edge-run: {error}", file=sys.stderr)
            code = error.exit_code
            continue
        _print(reading, args.json)
        outputs.write(reading, frame.image_bgr)
        if targets or show:
            picture = annotate(frame.image_bgr, reading, _cue_points(pipeline))
            if targets:
                save_picture(targets[i], picture)
            if show and _key(picture, wait_ms=0) in _QUIT:
                break
    return code


def _stream(pipeline, args: argparse.Namespace, outputs: Outputs) -> int:  # type: ignore[no-untyped-def]
    from edge.live.baseline import Baseline
    from edge.outputs.draw import annotate
    from edge.outputs.save import VideoSink

    source = args.camera if args.camera is not None else args.video
    baseline = Baseline.load(args.baseline) if args.baseline else None
    show = not args.no_display and not args.serve and _has_display()
    with contextlib.ExitStack() as stack:
        sink = stack.enter_context(VideoSink(args.save, _rate(args.video))) if args.save else None
        if show:
            stack.callback(_close_windows)
        realtime = args.realtime or bool(args.video and args.serve)  # a page is watched: a file plays at its own speed
        stream = pipeline.stream(source, explain=args.explain, realtime=realtime, baseline=baseline, calibrate_s=args.calibrate)
        stack.enter_context(stream)
        outputs.follow(stream)
        if args.save_baseline:
            stack.callback(_save_baseline, stream, args.save_baseline)
        for reading in itertools.islice(stream, args.max_frames):
            _print(reading, args.json)
            outputs.write(reading, stream.frame.image_bgr)
            if sink or show:
                picture = annotate(stream.frame.image_bgr, reading, _cue_points(pipeline))
                if sink:
                    sink.write(picture, reading.t_ms)
                key = _key(picture) if show else 0
                if key in _QUIT:
                    break
                if key == ord("e"):
                    stream.explain()
    return 0


def _save_baseline(stream, path: Path) -> None:  # type: ignore[no-untyped-def]
    """Also after Ctrl-C: what has been measured by then is whole."""
    baseline = stream.baseline()
    if baseline is None:
        raise UsageError(f"no face was seen clearly for long enough: '{path}' is not written")
    baseline.save(path)


def _print(reading: Reading, as_json: bool) -> None:
    if as_json:
        print(json.dumps(reading.to_dict()), flush=True)
        return
    where = f"{reading.source} #{reading.frame}"
    if not reading.faces:
        print(f"{where}: no face", flush=True)
    for face in reading.faces:
        label = f"{face.emotion} ({face.confidence:.0%})" if face.emotion else f"not read ({', '.join(face.unclear)})"
        print(f"{where}: face {face.track}: {label}", flush=True)
        if face.explanation:
            said = face.explanation.text if face.explanation.status is Verdict.VERIFIED else "no explanation is shown"
            print(f"  {face.explanation.status.value}: {said}", flush=True)


def _cue_points(pipeline) -> dict[str, list[int]]:  # type: ignore[no-untyped-def]
    return {cue.name: cue.points for cue in pipeline.bundle.config.cues}


def _rate(video: Path | None) -> float:
    """Frames per second of the file, 25 where unknown."""
    from edge.cv import cv2

    if video is None:
        return 25.0
    capture = cv2.VideoCapture(str(video))
    rate = capture.get(cv2.CAP_PROP_FPS) if capture.isOpened() else 0.0
    capture.release()
    return float(rate) if 1 <= rate <= 240 else 25.0


def _has_display() -> bool:
    """Whether a window can be opened, tried in a process of its own: a display that is gone aborts OpenCV's window code."""
    if sys.platform == "linux" and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        return False
    code = "import cv2; cv2.namedWindow('erv-edge'); cv2.waitKey(1); cv2.destroyAllWindows()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
    if done.returncode:
        log.warning("no window can be opened on this display with this OpenCV; going on without one")
    return done.returncode == 0


def _key(picture, *, wait_ms: int = 1) -> int:  # type: ignore[no-untyped-def]
    """Show a frame; return the key that was pressed, 255 for none. `wait_ms` 0 waits for one."""
    from edge.cv import cv2

    cv2.imshow("erv-edge", picture)
    return int(cv2.waitKey(wait_ms)) & 0xFF


def _close_windows() -> None:
    from edge.cv import cv2

    with contextlib.suppress(cv2.error):
        cv2.destroyAllWindows()


if __name__ == "__main__":
    sys.exit(main())
