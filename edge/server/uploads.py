"""Pictures that browsers send, read one after another on a thread of their own."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING

from edge.server.wire import decode_jpeg
from edge.track import Tracker
from edge.types import Reading

if TYPE_CHECKING:
    from edge.pipeline import Pipeline


class Visit:
    """One browser's camera: its count of pictures and the identities of its faces."""

    def __init__(self) -> None:
        self.count = 0
        self.tracker = Tracker()


class PictureReader:
    """Reads the pictures of all browsers; one pipeline, loaded when the first picture comes."""

    def __init__(self, load: Callable[[], Pipeline], *, explain: bool) -> None:
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
        image = decode_jpeg(jpeg)
        if self._pipeline is None:
            self._pipeline = self._load()
        reading = self._pipeline(image, explain=self._explain)
        numbers = visit.tracker([face.detection for face in reading.faces])
        faces = tuple(replace(face, track=number) for face, number in zip(reading.faces, numbers, strict=True))
        visit.count += 1
        return replace(reading, source="browser", frame=visit.count - 1, t_ms=t_ms, faces=faces)
