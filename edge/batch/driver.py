"""Ray in a process of its own: it prints where it likes, and ends the process that it runs in when its cluster goes away."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import suppress
from multiprocessing.connection import Connection
from typing import Any

from edge.batch.pool import Cluster, Watch
from edge.batch.reader import Order, Outcome
from edge.batch.study import Item
from edge.errors import BackendError, EdgeError

_PATIENCE_S = 15.0  # for Ray to leave in good order


class Driver:
    """A `Cluster` in another process; a pool."""

    def __init__(
        self, order: Order, *, address: str | None, workers: int, cpus: float, gpus: float, drive: Callable[..., None] | None = None
    ) -> None:
        """Start, or join, the cluster.

        Args:
            order: what the workers are told.
            address: as of `Cluster`.
            workers: as of `Cluster`.
            cpus: as of `Cluster`.
            gpus: as of `Cluster`.
            drive: what the process runs.

        Raises:
            BackendError: the cluster is not there.
            UsageError: it has no room.
        """
        self._where = f"the cluster at '{address}'" if address else "Ray on this machine"
        context = multiprocessing.get_context("spawn")
        self._line, theirs = context.Pipe()
        given = {"address": address, "workers": workers, "cpus": cpus, "gpus": gpus}
        self._process = context.Process(target=drive or drive_cluster, args=(theirs, order, given), name="edge-batch cluster", daemon=True)
        self._process.start()
        theirs.close()
        try:
            self._next()
        except EdgeError:
            self.close()
            raise

    def read(self, items: list[Item], watch: Watch) -> Iterator[Outcome]:
        with suppress(OSError):  # it has ended: `_next` says so
            self._line.send(items)
        while (message := self._next())[0] != "end":
            if message[0] == "outcome":
                yield message[1]
            else:
                watch(message[1])

    def close(self) -> None:
        self._line.close()
        self._process.join(_PATIENCE_S)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()

    def _next(self) -> tuple[str, Any]:
        try:
            kind, content = self._line.recv()
        except (EOFError, OSError):
            raise BackendError(f"{self._where} is gone; what was finished is kept, start the same run again") from None
        if kind == "error":
            raise content
        return kind, content


def drive_cluster(line: Connection, order: Order, given: dict[str, Any]) -> None:
    """Run a cluster for whoever holds the other end; end when that is closed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to the command, which closes the line
    os.dup2(2, 1)  # stdout is data
    with suppress(OSError, EOFError):  # the command has ended
        try:
            cluster = Cluster(order, **given)
            try:
                line.send(("ready", None))
                for outcome in cluster.read(line.recv(), lambda shares: line.send(("watch", shares))):
                    line.send(("outcome", outcome))
                line.send(("end", None))
            finally:
                cluster.close()
        except EdgeError as error:
            line.send(("error", error))
