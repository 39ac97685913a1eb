"""How `make test` shares the tests among pytest-xdist's workers: by file, what is trained once at one place, and timings by themselves."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

_TRAINED = re.compile(r"def test_\w+\([^)]*\b(runs|small_runs|bundle)\b")
"""A test that asks for a fixture of `line`."""


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Tests of a file share its fixtures, and the files that need the trained line share that."""
    from xdist.scheduler import LoadFileScheduling

    class Scheduling(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file: str = super()._split_scope(nodeid)
            return "line" if _TRAINED.search((config.rootpath / file).read_text(encoding="utf-8")) else file

    return Scheduling(config, log)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """A test marked `alone` waits until the other workers' tests have ended, and they wait for it."""
    if not hasattr(item.config, "workerinput"):
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
