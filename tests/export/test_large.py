"""A small randomly initialised SmolVLM, exported into the bundle's contract and run by the runtime."""

import dataclasses
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from grammars import whole_grammar
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, PreTrainedTokenizerFast, SmolVLMConfig, SmolVLMForConditionalGeneration
from transformers.models.smolvlm.configuration_smolvlm import SmolVLMVisionConfig

from edge.bundle import SHIPPED, Bundle, write_hashes
from edge.engine.backend import OrtSession
from edge.errors import BundleError, InputError
from edge.language.policy import RationalePolicy
from edge.language.tokens import load_tokenizer
from export.__main__ import main as export
from export.large import TowerGraph, export_policy, generate, is_large, load_large, policy_spec

_SPECIAL = ["<|endoftext|>", "<|im_start|>", "<image>", "<fake_token_around_image>", "<global-img>", "<end_of_utterance>"]
_TEXT = "<think>The lip corners are pulled up.</think><answer>happiness</answer>"


def _tokenizer() -> PreTrainedTokenizerFast:
    raw = Tokenizer(models.BPE())
    raw.pre_tokenizer, raw.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    raw.train_from_iterator(
        [_TEXT] * 4, trainers.BpeTrainer(vocab_size=400, special_tokens=_SPECIAL, initial_alphabet=alphabet, show_progress=False)
    )
    return PreTrainedTokenizerFast(tokenizer_object=raw, bos_token=_SPECIAL[1], eos_token=_SPECIAL[0], pad_token=_SPECIAL[0])


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    torch.manual_seed(3)
    tokenizer, where = _tokenizer(), tmp_path_factory.mktemp("smolvlm")
    vision = SmolVLMVisionConfig(
        hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=2, image_size=64, patch_size=8
    )
    text = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=48, intermediate_size=96, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
        max_position_embeddings=512, pad_token_id=0, bos_token_id=1, eos_token_id=0, initializer_range=0.2,
    )  # fmt: skip
    config = SmolVLMConfig(
        vision_config=vision.to_dict(),
        text_config=text.to_dict(),
        image_token_id=tokenizer.convert_tokens_to_ids("<image>"),
        scale_factor=2,
    )
    model = SmolVLMForConditionalGeneration(config).eval()
    model.save_pretrained(where)
    tokenizer.save_pretrained(where)
    return where


def test_greedy_tokens_equal_those_of_generate_for_64_tokens(folder, tmp_path, monkeypatch):
    # a text that reaches its limit is withheld; here its tokens are wanted
    whole = property(lambda self: self._tokenizer.decode(self._ids))
    monkeypatch.setattr("edge.language.policy._Free.text", whole)
    model, tokenizer = load_large(folder)
    spec = dataclasses.replace(policy_spec(model, tokenizer), max_new_tokens=64, eos=len(tokenizer) + 1)  # nothing ends a text early
    export_policy(tmp_path, model, tokenizer, spec, folder)
    embed, decoder, tower = (OrtSession(tmp_path / f"{name}.onnx") for name in ("embed_tokens", "decoder_model_merged", "policy_vision"))
    own = load_tokenizer(tmp_path / "tokenizer.json")
    policy = RationalePolicy(embed, decoder, own, spec, whole_grammar(), (embed.inputs, decoder.inputs), tower)
    crops = np.random.default_rng(0).random((3, 96, 96), np.float32)
    wanted = generate(model, spec, TowerGraph(model, 0.5, 0.5).eval(), crops)
    assert wanted.shape == (3, 64)
    assert len({tuple(row.tolist()) for row in wanted}) == 3, "the three faces must be told apart, or nothing is shown"
    assert policy.greedy(crops) == [tokenizer.decode(row, skip_special_tokens=False) for row in wanted]


def test_only_the_family_is_taken_for_large(folder, tmp_path):
    assert is_large(folder)
    assert not is_large(tmp_path)
    (tmp_path / "config.json").write_text('{"model_type": "erv_policy"}')
    assert not is_large(tmp_path)


def test_a_damaged_model_folder_is_named(folder, tmp_path):
    copy = Path(shutil.copytree(folder, tmp_path / "copy"))
    (copy / "model.safetensors").write_bytes(b"\x00" * 64)
    with pytest.raises(InputError, match="cannot load the policy"):
        load_large(copy)


def test_a_bundle_with_a_tower_hashes_it_and_one_that_lost_it_is_refused(tmp_path):
    copy = Path(shutil.copytree(SHIPPED, tmp_path / "bundle"))
    (copy / "policy_vision.onnx").write_bytes(b"tower")
    write_hashes(copy)
    Bundle.load(copy)
    (copy / "policy_vision.onnx").write_bytes(b"other")
    with pytest.raises(BundleError, match=r"policy_vision\.onnx does not match"):
        Bundle.load(copy)
    (copy / "policy_vision.onnx").unlink()
    with pytest.raises(BundleError, match=r"policy_vision\.onnx is missing"):
        Bundle.load(copy)


def test_a_policy_that_does_not_speak_the_template_leaves_no_bundle(folder, tmp_path, small_runs, capsys):
    runs, data = small_runs
    parts = [f"--{name}={runs / name}" for name in ("face", "screen", "encoder", "grammar", "verifier", "visibility")]
    assert export(["bundle", *parts, f"--policy={folder}", "--data", str(data), "--out", str(tmp_path / "out")]) == 4
    assert "follows the template" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_policy_that_has_learned_the_template_becomes_a_bundle_that_runs(folder, tmp_path, small_runs, capsys):
    runs, data = small_runs
    learned = _teach(folder, tmp_path / "learned")
    parts = [f"--{name}={runs / name}" for name in ("face", "screen", "encoder", "grammar", "verifier", "visibility")]
    out = tmp_path / "out"
    assert export(["bundle", *parts, f"--policy={learned}", "--data", str(data), "--out", str(out)]) == 0, capsys.readouterr().err
    from edge.pipeline import Pipeline

    with Pipeline.load(out, device="cpu", threads=1) as pipeline:
        tokens = pipeline.encoder(np.zeros((2, 96, 96), np.uint8)).tokens
        assert tokens.shape == (2, 96, 96)
        assert pipeline.explainer.policy.greedy(tokens) == [_TEXT] * 2
    assert Bundle.load(out).config.metrics["parity"]["equal_completions"] == 1.0


def _teach(folder: Path, to: Path) -> Path:
    """Overfit the language model on one completion: a stand-in for fine-tuning that takes seconds."""
    model, tokenizer = load_large(folder)
    spec = policy_spec(model, tokenizer)
    answer = [*tokenizer(_TEXT, add_special_tokens=False).input_ids, spec.eos]
    prompt = [spec.bos, *spec.prefix, *[spec.image] * spec.tokens_per_frame, *spec.suffix]
    ids = torch.tensor([prompt + answer] * 4)
    labels = ids.clone()
    labels[:, : len(prompt)] = -100
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
    model.train()
    for _ in range(40):
        loss = model(input_ids=ids, pixel_values=torch.randn(4, 1, 3, 64, 64), labels=labels).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    model.save_pretrained(to)
    tokenizer.save_pretrained(to)
    return to
