"""A limit in time on single runs: a graph may loop for ever, and nothing in its file says so."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from edge.engine.backend import OrtSession, Session
from edge.errors import BundleError


@contextmanager
def watched(sessions: Sequence[Session], patience_s: float) -> Iterator[None]:
    """Inside the block, a run of ONNX Runtime that has not ended after `patience_s` is broken off; TensorRT cannot break one off.

    Raises:
        BundleError: one was; these sessions are of no use afterwards.
    """
    done, halted = threading.Event(), threading.Event()
    watchable = [session for session in sessions if isinstance(session, OrtSession)]

    def watch() -> None:
        ended, since_s = -1, time.monotonic()
        while not done.wait(min(0.1, patience_s / 4)):
            now = sum(session.runs for session in watchable)
            if now != ended:
                ended, since_s = now, time.monotonic()
            elif time.monotonic() - since_s > patience_s:
                halted.set()
                for session in watchable:
                    session.halt()
                return

    thread = threading.Thread(target=watch, name="watch", daemon=True)
    thread.start()
    try:
        yield
    except Exception:
        if halted.is_set():
            raise BundleError(f"a graph has not ended after {patience_s:g} s") from None
        raise
    finally:
        done.set()
        thread.join()
