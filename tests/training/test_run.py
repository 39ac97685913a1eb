"""What a training leaves behind: weights and their configuration change together; a stop or a full disk leaves what was whole."""

import json
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

from edge.errors import InputError, OutputError, UsageError
from training import checkpoints, folders, run
from training.__main__ import main as train
from training.checkpoints import SEAL, is_whole, last_whole, seal, step_of
from training.folders import check_out, exchange, new_folder
from training.run import Run, load_checkpoint, read_record


@dataclass(frozen=True, slots=True)
class Config:
    name: str


class Saved:
    """Saves itself as a model does."""

    def __init__(self, text: str) -> None:
        self.text = text

    def save_pretrained(self, folder: Path) -> None:
        (folder / ("config.json" if self.text[0] == "m" else "tokenizer.json")).write_text(self.text)


class Killed(BaseException):
    """Stands in for a kill: nothing runs after it but what this test looks at."""


def _pair(folder: Path) -> tuple[str, str]:
    """The name in the configuration, and in the weights' record."""
    config = json.loads((folder / "config.json").read_text()) if (folder / "config.json").exists() else None
    return config and config["config"]["name"], load_checkpoint(folder)["record"]["config"]["name"]


def test_an_older_run_stays_whole_until_the_new_one_has_weights(tmp_path):
    first = Run(tmp_path, Config("one"), seed=1)
    first.metrics(loss=1.0)
    first.save(state=torch.ones(2))
    assert _pair(tmp_path) == ("one", "one")
    second = Run(tmp_path, Config("two"), seed=1)
    second.metrics(loss=2.0)
    assert _pair(tmp_path) == ("one", "one")
    assert '"loss": 1.0' in (tmp_path / "metrics.jsonl").read_text()
    second.save(state=torch.zeros(2))
    second.metrics(loss=3.0)
    assert _pair(tmp_path) == ("two", "two")
    assert [json.loads(line)["loss"] for line in (tmp_path / "metrics.jsonl").read_text().splitlines()] == [2.0, 3.0]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["config.json", "metrics.jsonl", "model.pt"]


@pytest.mark.parametrize("step", range(8))
def test_no_moment_of_a_stop_pairs_weights_with_another_configuration(tmp_path, monkeypatch, step):
    Run(tmp_path, Config("one"), seed=1).save(state=torch.ones(2))
    second, count = Run(tmp_path, Config("two"), seed=1), iter(range(100))

    def stop_at(call):
        def checked(*args, **given):
            if next(count) == step:
                raise Killed
            return call(*args, **given)

        return checked

    with monkeypatch.context() as patch:
        for name in ("unlink", "replace"):
            patch.setattr(Path, name, stop_at(getattr(Path, name)))
        for name in ("fsync", "open"):
            patch.setattr(f"edge.whole.os.{name}", stop_at(getattr(run.Part.__init__.__globals__["os"], name)))
        try:
            second.save(state=torch.zeros(2))
        except Killed:
            pass
        else:
            assert step > 5, "every step before was one of saving"
    config, weights = _pair(tmp_path)
    assert config in (weights, None)
    assert read_record(tmp_path)["config"]["name"] == weights, "what is missing is written again"
    assert _pair(tmp_path) == (weights, weights)


def test_a_policy_changes_together_with_the_configuration(tmp_path):
    Run(tmp_path, Config("one"), seed=1).save_policy(Saved("model 1"), Saved("words 1"))
    second = Run(tmp_path, Config("two"), seed=1)
    assert read_record(tmp_path)["config"]["name"] == "one"
    second.save_policy(Saved("model 2"), Saved("words 2"))
    assert (tmp_path / "policy" / "config.json").read_text() == "model 2"
    assert read_record(tmp_path)["config"]["name"] == "two"
    (tmp_path / "config.json").unlink()
    assert read_record(tmp_path)["config"]["name"] == "two"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["config.json", "metrics.jsonl", "policy"]


def test_a_resumed_run_goes_on_with_the_metrics_of_the_one_that_was_stopped(tmp_path):
    Run(tmp_path, Config("one"), seed=1).save_policy(Saved("model 1"), Saved("words 1"))
    Run(tmp_path, Config("two"), seed=1).metrics(loss=2.0)
    third = Run(tmp_path, Config("three"), seed=1, resumed=True)
    third.metrics(loss=3.0)
    third.save_policy(Saved("model 3"), Saved("words 3"))
    assert [json.loads(line)["loss"] for line in (tmp_path / "metrics.jsonl").read_text().splitlines()] == [2.0, 3.0]
    assert read_record(tmp_path)["resumed_from"]["config"]["name"] == "two"


def test_a_full_disk_leaves_the_older_weights(tmp_path):
    resource = pytest.importorskip("resource", reason="limits of processes are POSIX")
    Run(tmp_path, Config("one"), seed=1).save(state=torch.ones(2))
    second, before = Run(tmp_path, Config("two"), seed=1), resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))
        with pytest.raises(OutputError, match=r"model\.pt"):
            second.save(state=torch.zeros(100_000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert _pair(tmp_path) == ("one", "one")
    assert not list(tmp_path.glob(".*"))


def test_a_folder_that_is_no_run_is_one_sentence(tmp_path):
    with pytest.raises(InputError, match="no trained model"):
        read_record(tmp_path)
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(InputError, match="not the record of a run"):
        read_record(tmp_path)


def _checkpoint(folder: Path, step: int) -> Path:
    made = folder / f"checkpoint-{step}"
    (made / "inner").mkdir(parents=True)
    for name in ("trainer_state.json", "optimizer.pt", "inner/model.safetensors"):
        (made / name).write_bytes(name.encode() * 100)
    seal(made)
    return made


@pytest.mark.parametrize("damage", ["unsealed", "cut", "changed", "lost", "no seal of ours"])
def test_a_damaged_checkpoint_is_passed_over(tmp_path, caplog, damage):
    good, bad = _checkpoint(tmp_path, 10), _checkpoint(tmp_path, 20)
    (tmp_path / "checkpoint-x").mkdir()
    assert (last_whole(tmp_path), step_of(bad)) == (bad, 20)
    weights = bad / "inner" / "model.safetensors"
    match damage:
        case "unsealed":
            (bad / SEAL).unlink()
        case "cut":
            weights.write_bytes(weights.read_bytes()[:50])
        case "changed":
            weights.write_bytes(weights.read_bytes()[::-1])
        case "lost":
            weights.unlink()
        case _:
            (bad / SEAL).write_text("[1, 2]")
    assert last_whole(tmp_path) == good
    assert "checkpoint-20' is not whole" in caplog.text
    assert not is_whole(bad)
    (good / SEAL).unlink()
    assert last_whole(tmp_path) is None
    assert step_of(None) == 0


def test_the_seal_is_the_trainers_last_word(tmp_path):
    made = _checkpoint(tmp_path, 5)
    (made / SEAL).unlink()

    class Args:
        output_dir = str(tmp_path)

    class State:
        is_world_process_zero, global_step = True, 5

    checkpoints.Seal().on_save(Args, State, None)
    assert is_whole(made)


@pytest.fixture(params=[True, False], ids=["exchange", "two renames"])
def way(request, monkeypatch) -> bool:
    """Whether the disk can exchange two names."""
    if not request.param:
        monkeypatch.setattr(folders, "exchange", lambda a, b: False)
    return request.param


def test_a_folder_is_replaced_whole_and_a_failure_changes_nothing(tmp_path, way):
    out = tmp_path / "out"
    for text in ("one", "two"):
        with new_folder(out, "mark") as fresh:
            (fresh / "mark").write_text(text)
            assert not out.exists() or (out / "mark").read_text() == "one"
    assert (out / "mark").read_text() == "two"
    with pytest.raises(Killed), new_folder(out, "mark") as fresh:  # noqa: PT012
        (fresh / "mark").write_text("three")
        raise Killed
    assert (out / "mark").read_text() == "two"
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    with pytest.raises(InputError, match="did not write"), new_folder(tmp_path, "mark"):
        pass


def test_a_folder_never_takes_the_place_of_what_it_is_made_from(tmp_path):
    (tmp_path / "runs" / "sft" / "policy").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "runs" / "sft")
    (tmp_path / "runs" / "sft" / "mark").touch()
    for out in ("runs/sft", "runs", "link", "runs/../link"):
        with pytest.raises(UsageError, match="would overwrite what"), new_folder(tmp_path / out, "mark", sources=[tmp_path / "runs/sft"]):
            pass
    check_out(tmp_path / "runs" / "grpo", {"--policy": tmp_path / "runs" / "sft" / "policy", "--encoder": tmp_path / "none"})
    given = ["grpo", "--policy", str(tmp_path / "runs/sft/policy"), "--data", str(tmp_path), "--out", str(tmp_path / "link")]
    assert train(given) == 2


def test_a_linked_folder_is_replaced_where_it_lies(tmp_path, way):
    (tmp_path / "disk").mkdir()
    (tmp_path / "out").symlink_to(tmp_path / "disk" / "real")
    for _ in range(2):
        with new_folder(tmp_path / "out", "mark") as fresh:
            (fresh / "mark").touch()
    assert (tmp_path / "out").is_symlink()
    assert [path.name for path in (tmp_path / "disk").iterdir()] == ["real"]


def test_names_are_exchanged_in_one_step(tmp_path):
    for name in "ab":
        (tmp_path / name).mkdir()
        (tmp_path / name / name).touch()
    if not exchange(tmp_path / "a", tmp_path / "b"):
        pytest.skip("this system or disk cannot exchange two names")
    assert (tmp_path / "a" / "b").exists()
    assert (tmp_path / "b" / "a").exists()
    assert not exchange(tmp_path / "a", tmp_path / "c")


@pytest.mark.parametrize("taken_away", [True, False])
def test_the_next_start_heals_what_a_killed_run_has_left(tmp_path, caplog, taken_away):
    left, out = tmp_path / ".out.0123abcd.part", tmp_path / "out"
    (left / "new").mkdir(parents=True)
    (left / "replaced" if taken_away else out).mkdir()
    (left / "replaced" / "mark" if taken_away else out / "mark").write_text("older")
    with pytest.raises(Killed), new_folder(out, "mark"):
        raise Killed
    assert (out / "mark").read_text() == "older"
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    assert "is cleared" in caplog.text
    assert ("is back" in caplog.text) is taken_away
