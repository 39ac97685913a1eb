"""A process of its own that decodes pictures, held to limits of memory and time; run as a script it is that process.

It is started with the first picture, serves one after another, and ends with its parent. It imports nothing of `edge`: a Python that takes
nothing from the working folder would not find a checkout.
"""

from __future__ import annotations

import os
import struct
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path
from typing import IO

import numpy as np

_ASKED = struct.Struct("<QqQQ")
"""Length of the data, flags, bytes of memory, seconds of work."""
_ANSWERED = struct.Struct("<cQQQc")
"""`1` and the array's shape and type; `0`: no picture; `X`: it asked for too much."""


class TooLargeError(Exception):
    """A picture asked for more than it was allowed."""


class Helper:
    """The process, from its parent's side; usable from any thread."""

    _all: dict[int, Helper] = {}  # noqa: RUF012 (one for each process: after a fork the parent's pipes are not the child's)

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()

    @classmethod
    def here(cls) -> Helper:
        """This process's helper; nothing is started yet."""
        return cls._all.setdefault(os.getpid(), cls())

    def decode(self, data: bytes, flags: int, memory: int, patience_s: float) -> np.ndarray | None:
        """Decode a picture.

        Args:
            data: the file's bytes.
            flags: as `cv2.imdecode` takes them.
            memory: bytes that the decoder may take; not every platform can hold it to that.
            patience_s: how long it may work.

        Returns:
            The array; `None` when it is no picture.

        Raises:
            TooLargeError: it took more memory or time, or broke the decoder.
            OSError: the process cannot be started.
        """
        with self._lock:
            process = self._process = self._process if self._process and self._process.poll() is None else _start()
            assert process.stdin
            assert process.stdout
            alarm = threading.Timer(patience_s, process.kill)
            alarm.start()
            try:
                process.stdin.write(_ASKED.pack(len(data), flags, memory, int(patience_s)))
                process.stdin.write(data)
                process.stdin.flush()
                return _take(process.stdout)
            except (EOFError, BrokenPipeError):  # it was killed, or died of the picture
                self._end()
                raise TooLargeError from None
            except BaseException:  # Ctrl-C: what is on its way would be the next one's answer
                self._end()
                raise
            finally:
                alarm.cancel()

    def _end(self) -> None:
        if self._process:
            self._process.kill()
            self._process.communicate()
            self._process = None

    def close(self) -> None:
        """End the process; the next picture starts another."""
        with self._lock:
            self._end()


def _start() -> subprocess.Popen[bytes]:
    import atexit

    from edge.cv import isolated

    if not sys.executable or getattr(sys, "frozen", False):
        raise OSError("there is no Python to run it")
    atexit.register(Helper.here().close)
    code = f"import runpy; runpy.run_path({str(Path(__file__).absolute())!r}, run_name='__main__')"
    return subprocess.Popen(isolated(code), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)


def _take(stream: IO[bytes]) -> np.ndarray | None:
    status, height, width, channels, kind = _ANSWERED.unpack(_exactly(stream, _ANSWERED.size))
    if status == b"X":
        raise TooLargeError
    if status == b"0":
        return None
    shape = (height, width, channels) if channels else (height, width)
    image = np.empty(shape, np.dtype(kind.decode()))
    view, at = image.reshape(-1).view(np.uint8).data, 0
    while at < len(view):
        at += _some(stream.readinto(view[at:]))  # type: ignore[attr-defined]
    return image


def _exactly(stream: IO[bytes], count: int) -> bytes:
    data = stream.read(count)
    _some(len(data) == count)
    return data


def _some(count: int) -> int:
    if not count:
        raise EOFError
    return count


def _serve() -> None:
    """Decode what comes on stdin until it ends."""
    import signal

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's: it ends this process
    import cv2

    cv2.setNumThreads(1)
    source, target = sys.stdin.buffer, sys.stdout.buffer
    own = _address_space()
    while header := source.read(_ASKED.size):
        length, flags, memory, seconds = _ASKED.unpack(header)
        data = np.frombuffer(source.read(length), np.uint8)
        _limit(own + length + memory, seconds)
        status, image = b"0", None
        try:
            image = cv2.imdecode(data, flags)
        except cv2.error as error:
            too_large = error.code == cv2.Error.StsNoMem or "validateInputImageSize" in str(error)
            status = b"X" if too_large else b"0"
        except MemoryError:
            status = b"X"
        if image is None:
            target.write(_ANSWERED.pack(status, 0, 0, 0, b"B"))
        else:
            height, width, *channels = image.shape
            target.write(_ANSWERED.pack(b"1", height, width, *(channels or [0]), image.dtype.char.encode()))
            target.write(np.ascontiguousarray(image).data)
        target.flush()
        del data, image


def _address_space() -> int:
    """Bytes of address space that this process has, more than it uses; 0 where that is not told."""
    with suppress(OSError):
        return int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    return 0


def _limit(memory: int, seconds: int) -> None:
    try:
        import resource
    except ImportError:  # Windows: the parent's patience is the limit, and OpenCV's own of 2^30 pixels
        return
    spent = sum(resource.getrusage(resource.RUSAGE_SELF)[:2])
    wanted = [(resource.RLIMIT_CPU, int(spent) + seconds + 1)]
    if sys.platform == "linux":  # elsewhere the kernel counts what nobody uses, or nothing
        wanted.append((resource.RLIMIT_AS, memory))
    for kind, value in wanted:
        hard = resource.getrlimit(kind)[1]
        with suppress(ValueError, OSError):
            resource.setrlimit(kind, (value if hard == resource.RLIM_INFINITY else min(value, hard), hard))


if __name__ == "__main__":
    _serve()
