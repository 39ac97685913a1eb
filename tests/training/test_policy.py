import numpy as np
import pytest
import torch

from edge.errors import UsageError
from training.encoder import Encoder
from training.policy import TOKENS_PER_FRAME, ErvPolicy, ErvProcessor, load_policy
from training.sft import SftConfig, make_tokenizer, new_policy

_SHAPE = ([8, 8, 8, 8, 16], [1, 1, 1, 1])


@pytest.fixture(scope="module")
def parts() -> tuple[ErvPolicy, ErvProcessor]:
    torch.manual_seed(0)
    tokenizer = make_tokenizer(["<think>The lip corners are pulled up.</think><answer>happiness</answer>"], 300)
    config = SftConfig(32, 2, 4, 2, 64, 300, 0, 1, 8, 0.001, 0.0, 0.0, 0)
    policy = new_policy(Encoder(*_SHAPE), tokenizer, config).eval()
    policy.generation_config.max_new_tokens = 16
    return policy, ErvProcessor(tokenizer)


def _crops(count: int, frames: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, frames, 48, 48), np.uint8)


def _batch(processor: ErvProcessor, crops: np.ndarray):
    return processor(crops, padding=True, return_tensors="pt")


def test_generate_with_a_cache_equals_argmax_without(parts):
    policy, processor = parts
    batch = _batch(processor, _crops(2, 1))
    written = policy.generate(**batch, do_sample=False, min_new_tokens=16)
    ids = batch["input_ids"]
    for _ in range(16):
        logits = policy(input_ids=ids, pixel_values=batch["pixel_values"]).logits[:, -1]
        logits[:, [policy.config.image_token_id, processor.tokenizer.eos_token_id]] = -torch.inf
        ids = torch.cat([ids, logits.argmax(1, keepdim=True)], 1)
    assert torch.equal(written, ids)


def test_a_saved_policy_comes_back_the_same(parts, tmp_path):
    policy, processor = parts
    policy.save_pretrained(tmp_path)
    processor.save_pretrained(tmp_path)
    again, again_processor = load_policy(tmp_path)
    crops = _crops(3, 2)
    wanted = policy.generate(**_batch(processor, crops), do_sample=False)
    assert torch.equal(again.generate(**_batch(again_processor, crops), do_sample=False), wanted)


@pytest.mark.parametrize("frames", [1, 3, 8])
def test_one_to_eight_frames_are_taken(parts, frames):
    policy, processor = parts
    batch = _batch(processor, _crops(2, frames))
    assert batch["input_ids"].shape[1] == 1 + frames * TOKENS_PER_FRAME
    assert policy.generate(**batch, do_sample=False).shape[0] == 2


def test_other_numbers_of_frames_are_refused(parts):
    for frames in (0, 9):
        with pytest.raises(UsageError, match="1 to 8 frames"):
            parts[1](_crops(1, frames))


def test_what_is_seen_changes_what_is_predicted(parts):
    policy, processor = parts
    batch = _batch(processor, _crops(1, 1))
    other = {**batch, "pixel_values": torch.zeros_like(batch["pixel_values"])}
    assert not torch.allclose(policy(**batch).logits[:, -1], policy(**other).logits[:, -1])


def test_completions_are_learned_with_gradients_into_projector_and_decoder(parts):
    policy, processor = parts
    text = "<s><image><think>The lip corners are pulled up.</think><answer>happiness</answer></s>"
    batch = processor(_crops(2, 1), [text] * 2, padding=True, return_tensors="pt")
    loss = policy(**batch, labels=batch["input_ids"]).loss
    loss.backward()
    assert policy.projector.places.weight.grad.abs().sum() > 0
    assert policy.decoder.lm_head.weight.grad.abs().sum() > 0
    assert all(p.grad is None for p in policy.encoder.parameters())
    policy.zero_grad()


def test_the_tokenizer_gives_every_text_back(parts):
    tokenizer = parts[1].tokenizer
    text = "<think>Brows up — and “odd” çharacters.</think><answer>fear</answer>"
    assert tokenizer.decode(tokenizer(text, add_special_tokens=False).input_ids, skip_special_tokens=False) == text
