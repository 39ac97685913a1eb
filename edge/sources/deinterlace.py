"""PyAV, an extra, as the decoder of interlaced video: two fields, taken at different times, become one picture (yadif)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from edge.errors import InputError
from edge.library import load
from edge.sources.decoder import check_frame, squared
from edge.sources.names import spelled

if TYPE_CHECKING:
    from av import VideoFrame


class AvDecoder:
    """A video file through PyAV; progressive frames pass as they are."""

    def __init__(self, path: str) -> None:
        """Open the file.

        Raises:
            BackendError: PyAV is not installed, or not whole.
            InputError: it cannot read the file either, or its frames are larger than is read.
        """
        self._av: Any = load("av", name="PyAV", holds="open", get="pip install 'erv-edge[video]'")
        try:
            with spelled(path) as name:
                self._container: Any = self._av.open(name)
            self._stream = self._container.streams.video[0]
        except (self._av.error.FFmpegError, IndexError) as error:
            raise InputError(f"'{path}' is not a video that PyAV can decode ({error})") from None
        codec = self._stream.codec_context
        check_frame(codec.width, codec.height, codec.name, path)
        self._stream.thread_type = "AUTO"
        self.length, self.rate = int(self._stream.frames), float(self._stream.average_rate or 0)
        self._turns, self._frames = 0, self._deinterlaced()
        self._frame: VideoFrame | None = None
        self._first_s: float | None = None

    def grab(self) -> bool:
        try:
            self._frame = next(self._frames, None)
        except self._av.error.FFmpegError:  # the rest cannot be decoded: it breaks off here
            self._frame = None
        return self._frame is not None

    def retrieve(self) -> np.ndarray | None:
        if self._frame is None:
            return None
        aspect = float(self._stream.sample_aspect_ratio or 1)
        image = squared(self._frame.to_ndarray(format="bgr24"), aspect)
        return np.ascontiguousarray(np.rot90(image, self._turns))

    def position_ms(self) -> float:
        """Milliseconds since the first frame."""
        now_s = self._frame.time if self._frame is not None else None
        if now_s is None:
            return -1.0
        self._first_s = now_s if self._first_s is None else self._first_s
        return float(now_s - self._first_s) * 1e3

    def release(self) -> None:
        self._frames, self._frame = iter(()), None
        self._container.close()

    def _deinterlaced(self) -> Iterator[VideoFrame]:
        graph = self._av.filter.Graph()
        graph.link_nodes(
            graph.add_buffer(template=self._stream), graph.add("yadif", "mode=send_frame:deint=interlaced"), graph.add("buffersink")
        )
        graph.configure()
        for frame in self._container.decode(self._stream):
            self._turns = round(frame.rotation / 90) % 4
            graph.push(frame)
            yield from self._ready(graph)
        graph.push(None)
        yield from self._ready(graph)

    def _ready(self, graph: Any) -> Iterator[VideoFrame]:
        while True:
            try:
                yield graph.pull()
            except (self._av.error.BlockingIOError, self._av.error.EOFError):
                return
