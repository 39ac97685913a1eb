"""How `make test` shares the tests among pytest-xdist's workers: by file, what is trained once at one place, and timings by themselves."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

_TRAINED = "runs"  # the fixture of `line` that all its others are made of


def _is_worker(config: pytest.Config) -> bool:
    return hasattr(config, "workerinput")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Tests of a file share its fixtures; those of whichever file that need the trained line share that."""
    if _is_worker(config):
        for item in items:
            trained = _TRAINED in getattr(item, "fixturenames", ())
            item.add_marker(pytest.mark.xdist_group("line" if trained else item.path.stem))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """A test marked `alone` waits until the other workers' tests have ended, and they wait for it."""
    if not _is_worker(item.config):
        return (yield)
    from fcntl import LOCK_EX, LOCK_SH, LOCK_UN, flock

    folder = Path(item.config.option.basetemp).parent  # of all workers
    with (folder / "door").open("w") as door, (folder / "room").open("w") as room:
        flock(door, LOCK_EX)  # who waits to be alone is not overtaken
        flock(room, LOCK_EX if item.get_closest_marker("alone") else LOCK_SH)
        flock(door, LOCK_UN)
        try:
            return (yield)
        finally:
            flock(room, LOCK_UN)  # a forked child may still hold the file
