"""Who reads the items of a study: this process, or the workers of a Ray cluster, each with a pipeline of its own."""

from __future__ import annotations

import logging
import os
import signal
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, Protocol

from edge.batch.reader import Order, Outcome, Reader, fail
from edge.batch.study import Item
from edge.errors import BackendError, InputError, UsageError
from edge.library import load

log = logging.getLogger(__name__)

Watch = Callable[[dict[str, float]], None]
"""Is told, now and then, the share that has been read of every item at hand."""
_POLL_S = 1.0
_STORE = 80_000_000  # bytes of shared memory; no pictures go through it
_MOST = max(16, 4 * (os.cpu_count() or 1))  # more workers only wait for each other
_STARTS = 3  # Ray gives its own processes half a minute, which a busy machine may not have
_DEATHS = 2  # workers that an item may take with it


class Pool(Protocol):
    """Reads items in some order."""

    def read(self, items: list[Item], watch: Watch) -> Iterator[Outcome]:
        """The outcomes, as they come.

        Raises:
            BackendError: nobody is left to read.
        """
        ...

    def close(self) -> None:
        """End the workers."""
        ...


class Here:
    """Reads one item after the other in this process."""

    def __init__(self, order: Order) -> None:
        self._reader = Reader(order)

    def read(self, items: list[Item], watch: Watch) -> Iterator[Outcome]:
        for item in items:
            yield self._reader.read(item, lambda share, item=item: watch({item.name: share}))  # type: ignore[misc]

    def close(self) -> None:
        self._reader.close()


class Cluster:
    """Workers that Ray starts: on this machine, or on those of a cluster."""

    def __init__(self, order: Order, *, address: str | None, workers: int, cpus: float, gpus: float) -> None:
        """Start, or join, the cluster.

        Args:
            order: what the workers are told.
            address: of a running cluster; `None` starts one on this machine, which ends with this process.
            workers: how many; 0: as many as the cluster has room for.
            cpus: of each worker.
            gpus: of each worker.

        Raises:
            BackendError: Ray is missing, or the cluster is not there.
            UsageError: the cluster has no room for that.
        """
        self._ray = load_ray()
        self._where = f"the cluster at '{address}'" if address else "Ray on this machine"
        self._order = order
        if not address and max(1, workers) * cpus > _MOST:
            raise UsageError(f"{max(1, workers)} workers of {cpus:g} CPUs: at most {_MOST} CPUs are shared out on this machine")
        self._start(address, max(1.0, cpus * workers) if workers else None)
        room = self._room(cpus, gpus)
        self._workers = workers or room
        if not 1 <= self._workers <= room:
            self.close()
            raise UsageError(f"{self._where} has room for {room} workers of {cpus:g} CPUs and {gpus:g} GPUs, not for {max(1, workers)}")
        self._kind = self._ray.remote(num_cpus=cpus, num_gpus=gpus, max_concurrency=2)(_Worker)

    def read(self, items: list[Item], watch: Watch) -> Iterator[Outcome]:
        queue, deaths = deque(items), Counter[str]()
        try:
            idle = [self._kind.remote(self._order) for _ in range(min(self._workers, len(items)))]
            busy: dict[Any, tuple[Any, Item]] = {}
            while queue or busy:
                while queue and idle:
                    worker, item = idle.pop(), queue.popleft()
                    busy[worker.read.remote(item)] = worker, item
                ready, _ = self._ray.wait(list(busy), timeout=_POLL_S)
                for reference in ready:
                    worker, item = busy.pop(reference)
                    try:
                        outcome = self._ray.get(reference)
                    except self._ray.exceptions.RayActorError as error:
                        log.info("the worker that read '%s' has died: %s", item.listed, error)
                        idle.append(self._kind.remote(self._order))
                        deaths[item.name] += 1
                        if deaths[item.name] < _DEATHS:
                            queue.append(item)  # perhaps another one took its memory
                            continue
                        said = f"'{item.listed}' ended {_DEATHS} workers, as when memory runs out: it is left out"
                        outcome = fail(self._order, item, InputError(said), time.monotonic())
                    else:
                        idle.append(worker)
                    yield outcome
                watch(self._shares(list(busy.values())))
        except self._ray.exceptions.RayError as error:
            raise BackendError(f"{self._where} is gone ({_line(error)}); what was finished is kept, start the same run again") from None

    def close(self) -> None:
        with suppress(Exception), _own_signals():  # a cluster that is gone cannot be left in good order
            self._ray.shutdown()

    def _start(self, address: str | None, cpus: float | None) -> None:
        local: dict[str, Any] = {"num_cpus": cpus and int(-(-cpus // 1)), "include_dashboard": False, "object_store_memory": _STORE}
        given = {"address": address} if address else {"address": "local", **local}
        said = ""
        for _ in range(1 if address else _STARTS):
            try:
                with _own_signals():
                    self._ray.init(**given, logging_level=logging.ERROR, log_to_driver=False)
                return
            except Exception as error:  # Ray raises whatever its parts do, bare exceptions too
                log.debug("what lies behind the message", exc_info=True)
                said = _line(error)
                self.close()
        advice = "check the address, and that it is running" if address else "try again when the machine is less busy, or --workers 0"
        raise BackendError(f"{self._where} cannot be started or reached ({said}): {advice}")

    def _room(self, cpus: float, gpus: float) -> int:
        """How many workers there is room for."""
        has = self._ray.cluster_resources()
        room = has.get("CPU", 0.0) / cpus
        return int(min(room, has.get("GPU", 0.0) / gpus) if gpus else room)

    def _shares(self, busy: list[tuple[Any, Item]]) -> dict[str, float]:
        """How far the workers are; nothing of one that does not answer at once."""
        asked = {worker.share.remote(): item.name for worker, item in busy}
        if not asked:
            return {}
        told, _ = self._ray.wait(list(asked), num_returns=len(asked), timeout=_POLL_S)
        shares = {}
        for reference in told:
            with suppress(self._ray.exceptions.RayError):  # it has died: `read` sees to that
                shares[asked[reference]] = float(self._ray.get(reference))
        return shares


def load_ray() -> Any:
    """Import Ray, without its reports to its makers; raises `BackendError`."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    return load("ray", name="Ray", holds="remote", get="pip install 'erv-edge[batch]'")


class _Worker:
    """What runs in a worker's process; asked from two threads, one of which reads."""

    def __init__(self, order: Order) -> None:
        self._reader = Reader(order)

    def read(self, item: Item) -> Outcome:
        return self._reader.read(item)

    def share(self) -> float:
        return self._reader.share


def _line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")


@contextmanager
def _own_signals() -> Iterator[None]:
    """Keep this process's answers to signals: Ray would take SIGTERM for itself."""
    names = [number for name in ("SIGINT", "SIGTERM", "SIGHUP") if (number := getattr(signal, name, None)) is not None]
    before = {number: signal.getsignal(number) for number in names}
    try:
        yield
    finally:
        for number, handler in before.items():
            with suppress(ValueError, TypeError):  # another thread, or a handler that is not Python's
                signal.signal(number, handler)
