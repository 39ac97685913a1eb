"""Pictures that browsers send, read one after another on a thread of their own."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from edge.errors import InputError
from edge.live.scene import Scene
from edge.server.wire import decode_jpeg
from edge.sources.camera import Frame
from edge.types import Reading

if TYPE_CHECKING:
    from edge.pipeline import Pipeline


MAX_EXPLAINED = 8
"""Faces that are explained with one picture; in a crowd they take turns, so that no other browser waits for all of them."""


class Visit:
    """One browser's camera: a scene of its own, which is given a frame whenever a picture has come."""

    def __init__(self) -> None:
        self._scene: Scene | None = None
        self._count, self._t_ms = 0, -1.0

    def read(self, pipeline: Pipeline, explain: str | float, jpeg: bytes, t_ms: float) -> Reading:
        """Read a picture; on one thread.

        Raises:
            InputError: it cannot be decoded, or is not later than the one before.
        """
        if t_ms <= self._t_ms:
            raise InputError(f"t_ms must rise from picture to picture: {t_ms:g} came after {self._t_ms:g}")
        frame = Frame(decode_jpeg(jpeg), "browser", self._count, t_ms)
        self._count, self._t_ms = self._count + 1, t_ms
        if self._scene is None:
            self._scene = Scene(pipeline, explain=explain, at_once=MAX_EXPLAINED)
        return self._scene.read(frame)

    def explain(self, track: int | None = None) -> None:
        """Ask for an explanation of one face, or of all, with the next picture."""
        if self._scene:
            self._scene.explain(track)

    def counterfactual(self, track: int | None = None) -> None:
        """Ask what becomes of its answer without each thing that its explanation states, with the next picture."""
        if self._scene:
            self._scene.counterfactual(track)


class PictureReader:
    """Reads the pictures of all browsers; one pipeline, loaded when the first picture comes."""

    def __init__(self, load: Callable[[], Pipeline], *, explain: str | float) -> None:
        self._load, self._explain = load, explain
        self._pipeline: Pipeline | None = None
        self._thread = ThreadPoolExecutor(1, "edge-uploads")

    async def __call__(self, jpeg: bytes, t_ms: float, visit: Visit) -> Reading:
        """Read a picture.

        Raises:
            InputError: it cannot be decoded.
            EdgeError: the pipeline cannot be loaded.
        """
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._read, jpeg, t_ms, visit)

    def close(self) -> None:
        """Let the picture in work be finished, and free the pipeline."""
        self._thread.shutdown(wait=True, cancel_futures=True)
        if self._pipeline:
            self._pipeline.close()

    def _read(self, jpeg: bytes, t_ms: float, visit: Visit) -> Reading:
        if self._pipeline is None:
            self._pipeline = self._load()
        return visit.read(self._pipeline, self._explain, jpeg, t_ms)
