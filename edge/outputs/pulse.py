"""A service's pulse: tells systemd that the run is ready, how it goes, and, reading by reading, that it is alive."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import time
from typing import TYPE_CHECKING

from edge.outputs.sink import Sink
from edge.types import Reading

if TYPE_CHECKING:
    from edge.live.stream import Stream

_USUAL_S = 4.0


class Pulse(Sink):
    """Sends what `sd_notify(3)` describes; without `NOTIFY_SOCKET` in the environment, nothing.

    While the source is live only a reading is a sign of life: a run that hangs gets silent, and systemd's watchdog ends it. While the
    source is lost the run is alive as long as it looks for it.
    """

    def __init__(self) -> None:
        """Say that the run is ready."""
        address = os.environ.get("NOTIFY_SOCKET", "")
        self._socket: socket.socket | None = None
        self._stream: Stream | None = None
        self._every_s = _interval_s() / 4  # of the time after which the watchdog gives up
        self._last_s = 0.0
        self._over = threading.Event()
        if not address.startswith(("/", "@")) or not hasattr(socket, "AF_UNIX"):
            return
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        with contextlib.suppress(OSError):  # who started the run does not listen any more
            self._socket.connect(address if address[0] == "/" else f"\0{address[1:]}")
        self._send("READY=1")
        self._thread = threading.Thread(target=self._idle, name="pulse", daemon=True)
        self._thread.start()

    def follow(self, stream: Stream) -> None:
        """Take a stream's state as one's own."""
        self._stream = stream

    def write(self, reading: Reading) -> None:
        if self._socket and time.monotonic() - self._last_s >= self._every_s:
            rate = f"{self._stream.status.fps:.1f} readings a second, " if self._stream else ""
            self._beat(f"{rate}{len(reading.faces)} faces in view")

    def close(self) -> None:
        if self._socket is None or self._over.is_set():
            return
        self._over.set()
        self._thread.join()
        self._send("STOPPING=1")
        self._socket.close()

    def _idle(self) -> None:
        while not self._over.wait(self._every_s):
            state = self._stream.status.state if self._stream else "no source"
            if state != "live":
                self._beat(state)

    def _beat(self, status: str) -> None:
        self._last_s = time.monotonic()
        self._send(f"WATCHDOG=1\nSTATUS={status}")

    def _send(self, message: str) -> None:
        assert self._socket
        with contextlib.suppress(OSError):  # systemd is being replaced, or its queue is full: the next one counts as well
            self._socket.send(message.encode())


def _interval_s() -> float:
    """After how long without a sign of life the watchdog gives up."""
    with contextlib.suppress(ValueError):
        if os.environ.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid()):
            return max(int(os.environ.get("WATCHDOG_USEC", "")) / 1e6, 0.4)
    return _USUAL_S * 4
