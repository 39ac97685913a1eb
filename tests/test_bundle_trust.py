"""A bundle's list of hashes, and a run's folder, come from strangers: neither is believed, and reading them runs nothing."""

from __future__ import annotations

import os
import pickle
import shutil
import time

import pytest

from edge.bundle import HASHES, SHIPPED, Bundle, write_hashes
from edge.errors import BundleError, InputError


@pytest.fixture
def copied(tmp_path):
    return shutil.copytree(SHIPPED, tmp_path / "bundle", ignore=shutil.ignore_patterns("*.py", "__pycache__"))


@pytest.mark.parametrize(
    "name", ["../secret", "/etc/hostname", "sub/../../secret", "..", ".", "pipe", "/dev/zero", "config.json/", "more.txt", "a\x1b[2J"]
)
def test_the_list_names_only_files_of_a_bundle(copied, name):
    (copied.parent / "secret").write_text("x")
    if hasattr(os, "mkfifo"):
        os.mkfifo(copied / "pipe")
    with (copied / HASHES).open("a") as file:
        file.write(f"{'0' * 64}  {name}\n")
    began = time.thread_time()
    with pytest.raises(BundleError, match="no file of a bundle") as caught:
        Bundle.load(copied)
    assert time.thread_time() - began < 2
    assert "\x1b" not in str(caught.value)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs pipes with names")
@pytest.mark.parametrize("name", [HASHES, "config.json", "face.onnx"])
def test_what_is_no_regular_file_is_not_waited_for(copied, name):
    (copied / name).unlink()
    os.mkfifo(copied / name)
    began = time.thread_time()
    with pytest.raises(BundleError):
        Bundle.load(copied)
    assert time.thread_time() - began < 2


def test_a_file_without_end_is_not_read(copied):
    with (copied / "face.onnx").open("r+b") as file:
        file.truncate(60 << 30)
    with pytest.raises(BundleError, match="longer than any file"):
        Bundle.load(copied)
    with (copied / HASHES).open("ab") as file:
        file.truncate(1 << 30)
    with pytest.raises(BundleError, match="not readable"):
        Bundle.load(copied)


def test_a_bundle_of_links_is_one(copied, tmp_path):
    linked = tmp_path / "linked"
    linked.mkdir()
    for path in copied.iterdir():
        (linked / path.name).symlink_to(path)
    assert Bundle.load(linked).config == Bundle.load(copied).config
    write_hashes(copied)
    assert Bundle.load(copied)


class Code:
    """Runs a command when it is unpickled."""

    def __init__(self, command: str) -> None:
        self.command = command

    def __reduce__(self):
        return os.system, (self.command,)


def test_reading_a_run_runs_no_code(tmp_path):
    torch = pytest.importorskip("torch")
    from training.run import load_checkpoint

    mark = tmp_path / "mark"
    torch.save({"state": {}, "offsets": Code(f"touch {mark}")}, tmp_path / "model.pt")
    with pytest.raises(InputError, match="could run code"):
        load_checkpoint(tmp_path)
    (tmp_path / "model.pt").write_bytes(pickle.dumps(Code(f"touch {mark}"), protocol=2))
    with pytest.raises(InputError):
        load_checkpoint(tmp_path)
    assert not mark.exists()


def test_a_run_keeps_arrays_and_records_as_plain_values(tmp_path):
    torch = pytest.importorskip("torch")
    import numpy as np

    from training.cues import CueModel
    from training.run import Run, load_checkpoint

    run = Run.adopt(tmp_path / "run", {"config": {"widths": (1, 2)}, "seed": 3})
    run.save(state={"w": torch.ones(2)}, cue_model=CueModel(np.zeros((4, 3)), np.ones(2), np.ones(2)), figures={"a": np.float32(0.5)})
    read = load_checkpoint(tmp_path / "run")
    assert read["record"] == {"config": {"widths": [1, 2]}, "seed": 3}
    assert read["figures"] == {"a": 0.5}
    assert {name: tuple(value.shape) for name, value in read["cue_model"].items()} == {"shape": (4, 3), "mean": (2,), "std": (2,)}
