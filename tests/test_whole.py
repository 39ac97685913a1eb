"""Files that appear whole or not at all, beside whatever else lies there."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from edge.whole import Part, clear, left_behind, whole, write_whole


def _names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_is_replaced_whole_and_a_failure_leaves_the_older_one(tmp_path):
    target = tmp_path / "a.json"
    write_whole(target, b"one")
    with pytest.raises(RuntimeError), whole(target) as path:  # noqa: PT012
        path.write_bytes(b"half")
        raise RuntimeError
    assert target.read_bytes() == b"one"
    with whole(target) as path:
        path.write_bytes(b"two")
        assert target.read_bytes() == b"one"
    assert (target.read_bytes(), _names(tmp_path)) == (b"two", ["a.json"])


def test_a_full_disk_leaves_the_older_file_and_nothing_else(tmp_path):
    resource = pytest.importorskip("resource", reason="limits of processes are POSIX")
    target = tmp_path / "a"
    write_whole(target, b"one")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100, before[1]))
        with pytest.raises(OSError, match="too large"):
            write_whole(target, bytes(1000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert (target.read_bytes(), _names(tmp_path)) == (b"one", ["a"])


def test_a_disk_that_says_only_at_the_end_that_it_is_full_leaves_the_older_file(tmp_path, monkeypatch):
    target = tmp_path / "a"
    write_whole(target, b"one")

    def full(handle):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("edge.whole.os.fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_whole(target, b"two")
    assert (target.read_bytes(), _names(tmp_path)) == (b"one", ["a"])


def test_two_parts_of_one_target_do_not_meet(tmp_path):
    first, second = Part(tmp_path / "a"), Part(tmp_path / "a")
    first.write(b"first")
    second.discard()
    first.publish()
    assert (tmp_path / "a").read_bytes() == b"first"


def test_planted_links_are_never_followed(tmp_path, monkeypatch):
    victim = tmp_path / "victim"
    victim.write_bytes(b"precious")
    names = iter(["00000000", "00000001"])
    monkeypatch.setattr("edge.whole.secrets.token_hex", lambda _: next(names))
    (tmp_path / ".a.00000000.part").symlink_to(victim)
    (tmp_path / "a").symlink_to(victim)
    write_whole(tmp_path / "a", b"mine")
    assert victim.read_bytes() == b"precious"
    assert (tmp_path / "a").read_bytes() == b"mine"
    assert not (tmp_path / "a").is_symlink(), "the link gave way, what it led to did not"


@pytest.mark.parametrize("name", ["x" * 250 + ".png", "é" * 120 + ".mp4", "a." + "x" * 240, ".hidden", "no suffix", "a.b.c\nd.mkv"])
def test_any_name_that_a_file_may_have_can_be_written(tmp_path, name):
    write_whole(tmp_path / name, b"x")
    visible = Part(tmp_path / name, hidden=False)
    visible.write(b"y")
    assert visible.path.suffix == (Path(name).suffix if 0 < len(Path(name).suffix) < 12 else ".part")
    assert left_behind([tmp_path / name]) == [], "its run lives"
    visible.publish()
    assert (tmp_path / name).read_bytes() == b"y"
    assert _names(tmp_path) == [name]


def test_what_killed_runs_have_left_is_told_from_what_is_being_written(tmp_path):
    pytest.importorskip("fcntl", reason="locks of files are POSIX")
    code = "import os, sys, pathlib, edge.whole as w; p = [w.Part(pathlib.Path(a)) for a in sys.argv[1:]]; os.kill(os.getpid(), 9)"
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "a.mkv"), str(tmp_path / "b.mkv")], check=False)
    mine = Part(tmp_path / "a.mkv")
    (tmp_path / ".a.12345678.part.txt").touch()
    os.mkfifo(tmp_path / ".a.12345678.part.mkv")
    (found,) = left_behind([tmp_path / "a.mkv"])
    assert found != mine.path
    assert found.name.startswith(".a.")
    assert len(left_behind([tmp_path / "a.mkv", tmp_path / "b.mkv"])) == 2
    assert not clear(mine.path)
    assert clear(found)
    assert not found.exists()
    mine.abandon()
    assert mine.path in left_behind([tmp_path / "a.mkv"])
