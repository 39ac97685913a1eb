"""Where frames come from: pictures, video files, cameras, network streams, or a capture of the caller's own.

`find_feed` says what a source is and how it is opened; `recorded` reads a file frame by frame; `edge.sources.capture` follows a live one;
`edge.sources.recording` is what both open files and addresses as.
"""

from __future__ import annotations

import importlib.util
import os
import re
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np

from edge.cv import cv2
from edge.errors import BackendError, InputError
from edge.plain import is_address, without_secrets
from edge.sources.clock import Clock
from edge.sources.decoder import check_capture
from edge.sources.names import is_text, open_video
from edge.sources.picture import as_bgr, kind_of, read_image
from edge.sources.recording import Recording

NETWORK = ("rtsp", "rtsps", "rtmp", "http", "https", "udp", "tcp", "srt")
"""Schemes of the URLs that are handed to FFmpeg."""

_TIMEOUT_MS = 5000
_CSI = (
    "nvarguscamerasrc sensor-id={number} ! video/x-raw(memory:NVMM),width=1280,height=720,framerate=30/1 ! nvvidconv ! "
    "video/x-raw,format=BGRx ! videoconvert ! video/x-raw,format=BGR ! appsink drop=true max-buffers=1 sync=false"
)


@runtime_checkable
class Capture(Protocol):
    """An opened device, in OpenCV's protocol; `cv2.VideoCapture` is one."""

    def isOpened(self) -> bool:  # noqa: N802 (OpenCV's name)
        """Whether it can deliver."""
        ...

    def grab(self) -> bool:
        """Wait for the next frame; False when there is none any more."""
        ...

    def retrieve(self) -> tuple[bool, np.ndarray | None]:
        """The grabbed frame, in an array of its own, as `edge.sources.picture.as_bgr` takes it."""
        ...

    def release(self) -> None:
        """Let go of the device."""
        ...


Opener = Callable[[], Capture]


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """One picture of a source; equal to itself alone."""

    image_bgr: np.ndarray
    """`[H,W,3]` uint8."""
    source: str
    index: int
    """From 0; live, frames that were never read count too."""
    t_ms: float
    """Time within the source, milliseconds: a file's own timestamp; live, the time of capture since the first frame's."""
    captured_s: float = 0.0
    """`time.monotonic()` at capture; 0 for a picture or a file that is not played in real time."""


Source = int | str | Path | list[Path] | tuple[Path, ...] | Opener | Iterator[Frame | None]
"""A camera number or path, a URL, `csi://N`, a GStreamer pipeline, a video file, picture files, a function that opens a capture, or frames
of the caller's own, which are read one by one like a file's; a `None` among them, no new frame, is passed over."""


@dataclass(frozen=True, slots=True)
class Feed:
    """A source that is opened as a capture."""

    name: str
    """As readings call it: a path, a URL without its password, `camera:0`."""
    live: bool
    """Whether it goes on by itself; a file waits."""
    open: Opener
    trouble: str
    """The error when it cannot be opened."""
    ends: Callable[[], bool] = lambda: False
    """Whether a source without a known length has come to its end, and not been lost; asked when it delivers no more."""


def find_feed(source: int | str | Path | Opener) -> Feed:
    """Say what a source is; nothing is opened yet.

    Raises:
        InputError: a negative camera number, no such file, an unknown kind of URL, or no source at all.
        BackendError: the source needs GStreamer and this OpenCV has none.
    """
    if callable(source):
        return Feed("capture", True, source, "the function that opens the capture gave none that delivers frames")
    if not isinstance(source, int | np.integer | str | os.PathLike):
        raise InputError(
            f"expected a camera number, an address, a path, a list of paths, a function or an iterator of Frames, got {kind_of(source)}"
        )
    text = str(source)
    if not isinstance(source, Path) and re.fullmatch(r"-?[0-9]+", text):
        return _camera(int(text) if len(text) < 20 else 10**20)  # Python refuses to read thousands of digits
    pipeline = isinstance(source, str) and " ! " in text and not os.path.isfile(text)
    address = isinstance(source, str) and is_address(text)
    if (pipeline or address) and not is_text(text):
        raise InputError("an address or a GStreamer pipeline must be UTF-8 text")
    if pipeline:
        return _gstreamer(text, "gstreamer")
    if address:
        scheme, _, rest = text.partition("://")
        if scheme == "csi" and rest.isdigit():
            return _gstreamer(_CSI.format(number=rest), text)
        if scheme not in NETWORK:
            raise InputError(f"cannot read '{without_secrets(text)}': expected csi://N or one of {', '.join(NETWORK)}")
        limits = [cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, _TIMEOUT_MS, cv2.CAP_PROP_READ_TIMEOUT_MSEC, _TIMEOUT_MS]
        name = without_secrets(text)
        trouble = f"cannot read '{name}': check the address, and that it is reachable"
        return Feed(name, True, lambda: Recording(cv2.VideoCapture(text, cv2.CAP_FFMPEG, limits), name), trouble, lambda: _is_finite(text))
    path = file_path(source if isinstance(source, Path) else text)
    if path.is_char_device():
        return Feed(text, True, lambda: open_video(text, cv2.CAP_V4L2), f"no camera at '{text}': {_CHECK}")
    if text.startswith("/dev/"):
        raise InputError(f"no camera at '{text}': {_CHECK}")
    if not path.is_file():
        raise InputError(f"no video file at '{path}'")
    whole = str(path.absolute())
    return Feed(text, False, lambda: Recording(open_video(whole), text, whole), f"'{text}' is not a video that OpenCV can decode")


_CHECK = "check that it is plugged in, free, and that this user may open it"


def _is_finite(address: str) -> bool:
    """Whether an address holds a file, whose length its server tells, and nothing that goes on; a playlist does."""
    if not address.lower().startswith(("http://", "https://")):
        return False
    import base64
    import http.client
    import urllib.parse
    import urllib.request

    try:
        parts = urllib.parse.urlsplit(address)
        request = urllib.request.Request(parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl())
        if parts.username is not None:
            given = f"{urllib.parse.unquote(parts.username)}:{urllib.parse.unquote(parts.password or '')}"
            password = "Basic " + base64.b64encode(given.encode()).decode()
            request.add_unredirected_header("Authorization", password)  # it is not for another host
        with urllib.request.urlopen(request, timeout=_TIMEOUT_MS / 1e3) as answer:
            kind = answer.headers.get_content_type()
            return answer.length is not None and "mpegurl" not in kind and "dash" not in kind
    except (OSError, ValueError, http.client.HTTPException):  # it has gone: nothing says that it had ended
        return False


def _camera(number: int) -> Feed:
    if not 0 <= number < 1000:
        raise InputError(f"no camera {number}: cameras are numbered from 0")
    return Feed(f"camera:{number}", True, lambda: _open_camera(number), f"no camera {number}: {_CHECK}")


def _open_camera(number: int) -> Capture:
    capture = cv2.VideoCapture(number)
    capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)
    return capture


def _gstreamer(pipeline: str, name: str) -> Feed:
    if not re.search(r"GStreamer:\s+YES", cv2.getBuildInformation()):
        raise BackendError(f"'{name}' needs an OpenCV with GStreamer, which this one lacks: on a Jetson use the OpenCV of JetPack")
    return Feed(
        name, True, lambda: cv2.VideoCapture(pipeline, cv2.CAP_GSTREAMER), f"cannot open '{name}': try the pipeline with gst-launch-1.0"
    )


def file_path(source: str | Path) -> Path:
    """The path of a picture or video file.

    Raises:
        InputError: it is an address, which `Path` has perhaps robbed of a slash.
    """
    text = str(source)
    if is_address(text) or (re.match(rf"({'|'.join(NETWORK)}):/", text, re.IGNORECASE) and not Path(text).exists()):
        raise InputError(f"'{without_secrets(text)}' is an address, not a file: addresses go to --camera, or as text to a stream")
    return Path(text)


def opened(feed: Feed) -> Capture:
    """Open a feed.

    Raises:
        InputError: it gives no capture, or its frames are larger than is read.
    """
    capture = feed.open()
    if not isinstance(capture, Capture):
        raise InputError(f"expected an opened capture such as cv2.VideoCapture(0), got {kind_of(capture)}")
    if isinstance(capture, cv2.VideoCapture):  # a `Recording` has looked before it decoded its first frame
        check_capture(capture, feed.name)
    return capture


def as_frame(frame: object) -> Frame:
    """A frame of the caller's own, its picture as `[H,W,3]` uint8 BGR; the same object where it is that already.

    Raises:
        InputError: not a `Frame`, or its picture is none that `as_bgr` takes.
    """
    if not isinstance(frame, Frame):
        raise InputError(f"expected a Frame(image_bgr, source, index, t_ms) of edge.sources.camera, got {kind_of(frame)}")
    try:
        image_bgr = as_bgr(frame.image_bgr)
    except InputError as error:
        raise InputError(f"frame {frame.index} of '{frame.source}': {error}") from None
    return frame if image_bgr is frame.image_bgr else replace(frame, image_bgr=image_bgr)


def pictures(paths: list[Path] | tuple[Path, ...]) -> Generator[Frame]:
    """Read picture files one after the other.

    Raises:
        InputError: one that cannot be read, or something that is no path.
    """
    for index, path in enumerate(paths):
        if not isinstance(path, str | os.PathLike):
            raise InputError(f"a list as a source holds paths of pictures, got {kind_of(path)}: hand in Frames as iter(frames)")
        yield Frame(read_image(file_path(path)), str(path), index, 0.0)


def recorded(feed: Feed) -> Generator[Frame]:
    """Read every frame of a file, as fast as they are asked for; it is closed when the iterator ends or is dropped.

    Raises:
        InputError: not a video, or it breaks off (after its last good frame).
    """
    capture = opened(feed)
    try:
        assert isinstance(capture, Recording), "a feed that is not live is a file"
        clock, index = Clock(capture), 0
        while capture.grab():
            good, image = capture.retrieve()
            if not good or image is None:
                break
            yield Frame(as_bgr(image), feed.name, index, clock())
            index += 1
        capture.check_whole(index)
    finally:
        capture.release()


def demo_picture() -> Path:
    """A real face to try: the public-domain portrait that scikit-image ships.

    Raises:
        InputError: scikit-image is not installed.
    """
    spec = importlib.util.find_spec("skimage")
    places = list(spec.submodule_search_locations or ()) if spec else []
    for place in places:
        path = Path(place) / "data" / "astronaut.png"
        if path.is_file():
            return path
    raise InputError("the demo picture comes with scikit-image: pip install 'erv-edge[demo]'")
