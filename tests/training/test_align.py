"""Alignment end to end on small models: rewards by name, resuming, several processes, a large policy, the benchmark and its judges."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from packs import write_text_encoder
from safetensors.torch import load_file
from transformers import AutoModelForImageTextToText
from vlm import make_vlm

from benchmarks.__main__ import main as benchmark
from benchmarks.quality.align import WRITER
from edge.errors import UsageError
from training.__main__ import main as train
from training.grpo import GrpoConfig, reward_functions
from training.judge import load_judge
from training.trl_head import log_probs
from training.verifier import load_verifier, read_texts

_STEPS = ["steps=2", "faces=2", "group=4", "save_every=1", "max_new_tokens=16"]


def _grpo(runs: Path, data: Path, out: Path, *values: str, policy: Path | None = None) -> list[str]:
    given = [
        "--encoder",
        runs / "encoder",
        "--grammar",
        runs / "grammar",
        "--policy",
        policy or runs / "sft" / "policy",
        "--verifier",
        runs / "distill",
    ]
    return ["grpo", "--data", str(data), "--out", str(out), *map(str, given), "--set", *_STEPS, *values]


def test_unknown_rewards_and_none_at_all_are_refused():
    config = {"dataset": "ferplus", "fold": 1, "frames": 1, "steps": 1, "faces": 1, "group": 2, "max_new_tokens": 8, "temperature": 1.0}
    config |= {"beta": 0.0, "lr": 1e-4, "save_every": 1, "averaged": 1, "seed": 1}
    with pytest.raises(UsageError, match="kindness"):
        reward_functions(GrpoConfig(rewards={"kindness": 1}, **config), None, None)
    with pytest.raises(UsageError, match="switched off"):
        reward_functions(GrpoConfig(rewards={"format": 0}, **config), None, None)


def test_alignment_goes_on_from_its_last_checkpoint(runs, data, tmp_path):
    assert train(_grpo(runs, data, tmp_path / "run")) == 0
    assert train(_grpo(runs, data, tmp_path / "run", "steps=3")) == 0
    assert (tmp_path / "run" / "checkpoints" / "checkpoint-3").is_dir()
    logged = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert [row["step"] for row in logged][-1] == 3
    assert json.loads((tmp_path / "run" / "config.json").read_text())["resumed_from"]["config"]["steps"] == 2
    policies = ("checkpoints/checkpoint-1", "checkpoints/checkpoint-2", "checkpoints/checkpoint-3", "policy")
    *each, mean = (load_file(tmp_path / "run" / name / "model.safetensors") for name in policies)
    assert all(torch.allclose(mean[n], sum(one[n] for one in each) / 3) for n in mean if mean[n].is_floating_point())
    assert train(_grpo(runs, data, tmp_path / "run", "steps=1")) == 0  # an earlier state is taken from its checkpoint
    kept, first = (tmp_path / "run" / name / "model.safetensors" for name in ("policy", "checkpoints/checkpoint-1"))
    assert kept.read_bytes() == first.read_bytes()
    assert {"reward", "kl", "rewards/format/mean", "rewards/masked/mean"} <= set(logged[-1])


def test_alignment_moves_projector_and_decoder_and_leaves_the_encoder(runs, data):
    from training.policy import load_policy

    before, after = (dict(load_policy(runs / stage / "policy")[0].named_parameters()) for stage in ("sft", "grpo"))
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    assert {name.split(".")[0] for name in moved} == {"projector", "decoder"}


def test_accelerate_runs_alignment_on_two_processes(runs, data, tmp_path):
    command = [sys.executable, "-m", "accelerate.commands.launch", "--cpu", "--num_processes", "2", "--num_machines", "1"]
    command += ["--mixed_precision", "no", "--dynamo_backend", "no", "--main_process_port", "0", "-m", "training"]
    done = subprocess.run(
        [*command, *_grpo(runs, data, tmp_path / "run")], capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"}
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert (tmp_path / "run" / "policy" / "model.safetensors").is_file()


def test_a_large_policy_goes_through_cold_start_and_alignment(runs, data, tmp_path):
    folder = make_vlm(tmp_path / "vlm")
    start = [
        "large",
        "--data",
        str(data),
        "--policy",
        str(folder),
        "--encoder",
        str(runs / "encoder"),
        "--grammar",
        str(runs / "grammar"),
        "--out",
        str(tmp_path / "large"),
    ]
    assert train([*start, "--set", "limit=8", "batch=4", "lr=0.01"]) == 0
    learned = tmp_path / "large" / "policy"
    before, after = (AutoModelForImageTextToText.from_pretrained(f).state_dict() for f in (folder, learned))
    assert any(not torch.equal(before[name], after[name]) for name in before)
    assert train(_grpo(runs, data, tmp_path / "grpo", policy=learned)) == 0
    assert AutoModelForImageTextToText.from_pretrained(tmp_path / "grpo" / "policy").config.model_type == "idefics3"
    assert (
        train(
            [
                "large",
                "--data",
                str(data),
                "--policy",
                str(tmp_path / "none"),
                "--encoder",
                str(runs / "encoder"),
                "--grammar",
                str(runs / "grammar"),
            ]
        )
        == 4
    )


def test_the_plain_output_layer_equals_the_definition():
    torch.manual_seed(0)
    hidden, weight, targets = torch.randn(5, 8), torch.randn(11, 8), torch.tensor([0, 3, 10, 2, 2])
    found, entropy, squares, mean, top = log_probs(
        hidden, weight, None, targets, 0.7, 0, outputs=("entropy", "log_sum_sq_probs", "mean_logits", "is_top1")
    )
    p = torch.softmax(hidden @ weight.T / 0.7, -1)
    assert torch.allclose(found.exp(), p[torch.arange(5), targets], atol=1e-6)
    assert torch.allclose(entropy, torch.distributions.Categorical(p).entropy(), atol=1e-5)
    assert torch.allclose(squares.exp(), (p**2).sum(-1), atol=1e-6)
    assert torch.equal(top, p.argmax(-1) == targets)
    assert torch.allclose(mean, (hidden @ weight.T).mean(-1), atol=1e-6)
    assert log_probs(hidden, weight, None, targets, 1.0, 0)[1:] == (None,) * 4


def test_teacher_and_student_read_the_same_shapes(runs):
    for stage in ("verifier", "distill"):
        read = read_texts(*load_verifier(runs / stage), ["The mouth is open.", "", "x" * 5000])
        assert read.emotions.shape == (3, 11)
        assert read.claims.shape[2] == 3
        assert read.covered.shape == (3,)
        assert all(((part >= 0) & (part <= 1)).all() for part in (read.emotions, read.covered))


def test_the_judge_answers_each_rationale_and_none_for_an_empty_one(runs):
    read = load_judge(runs / "judge").read(["The lip corners are pulled up.", "", "口角"])
    assert read.tolist()[1] == -1
    assert set(read.tolist()) <= set(range(-1, 8))


def test_the_alignment_benchmark_compares_recipes(runs, data, tmp_path, capsys):
    parts = [f"--{name}={runs / name}" for name in ("encoder", "grammar")]
    parts += [f"--verifier={runs / 'distill'}", f"--judge=judge={runs / 'judge'}", f"--foreign={write_text_encoder(tmp_path / 'foreign')}"]
    arms = [f"--arm=SFT={runs / 'sft'}", f"--arm=ours={runs / 'grpo'}"]
    assert benchmark(["align", *arms, *parts, "--data", str(data), "--out", str(tmp_path), "--json"]) == 0
    figures = json.loads(capsys.readouterr().out)
    assert list(figures["arms"]) == [WRITER, "SFT", "ours"]
    alone, started = figures["arms"][WRITER], figures["arms"]["SFT"]
    assert alone["of_grammar"] == alone["parseable"] > 0.5
    assert started["of_grammar"] == 1, "decoding follows the grammar"
    gap = figures["differences"][f"SFT − {WRITER}"]["judge.mepc"]
    assert np.isclose(gap["by"], started["judge.mepc"] - alone["judge.mepc"])
    assert gap["low"] <= gap["by"] <= gap["high"]
    assert figures["differences"]["ours − SFT"].keys() >= {"war", "judge.mepc", "foreign.mepc", "verifier.meea"}
    assert {"war", "judge.mepc", "even_judge.mepc", "verifier.mfcr", "cue_precision", "rest_supported"} <= set(started)
    assert (tmp_path / "samples.md").read_text().count("## ") == 10
    assert "judge.mepc" in (tmp_path / "align.md").read_text()
