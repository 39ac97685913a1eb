import json
import random

import numpy as np
import pytest
import torch
from grammars import whole_grammar

from edge.errors import UsageError
from edge.language.grammar import FILE, Walk
from edge.language.labels import EMOTIONS_8
from edge.language.rationale import parse_completion, write_completion
from training.constraint import GrammarLogits, Template, constrain, make_tokenizer
from training.cues import CUE_NAMES, SIDED
from training.language import build
from training.network import Encoder
from training.policy import TOKENS_PER_FRAME, ErvPolicy, ErvProcessor, load_policy
from training.sft import SftConfig, new_policy

_SHAPE = ([8, 8, 8, 8, 16], [1, 1, 1, 1], [8, 8, 8, 8])


@pytest.fixture(scope="module")
def parts() -> tuple[ErvPolicy, ErvProcessor]:
    torch.manual_seed(0)
    tokenizer = make_tokenizer(whole_grammar())
    config = SftConfig(32, 2, 4, 2, 64, 0, 0.0, 1, 8, 0.001, 0.0, 0.0, 0)
    policy = new_policy(Encoder(*_SHAPE), tokenizer, config).eval()
    policy.generation_config.max_new_tokens = 16
    return policy, ErvProcessor(tokenizer)


def _crops(count: int, frames: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, frames, 96, 96), np.uint8)


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
    rules = whole_grammar().rules.to_dict()
    (tmp_path / FILE).write_text(json.dumps(build(rules)))
    again, again_processor = load_policy(tmp_path)
    crops = _crops(3, 2)
    constrain(policy, whole_grammar(), processor.tokenizer)
    wanted = policy.generate(**_batch(processor, crops), do_sample=False)
    policy.constraint = None
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


def test_a_mirror_image_is_told_alike(parts):
    policy, _ = parts
    random = np.random.default_rng(4)
    read = {
        name: torch.from_numpy(random.normal(0, 2, (5, size)).astype(np.float32))
        for name, size in (("emotion", 8), ("cues", len(CUE_NAMES)), ("pose", 3))
    }
    turned = torch.from_numpy(np.where(SIDED, -1, 1).astype(np.float32))
    mirror = read | {"cues": read["cues"] * turned[:-3], "pose": read["pose"] * turned[-3:]}
    assert torch.equal(policy.projector(read), policy.projector(mirror))
    assert not torch.equal(policy.projector(read), policy.projector(mirror | {"cues": -mirror["cues"]}))


def test_completions_are_learned_with_gradients_into_projector_and_decoder(parts):
    policy, processor = parts
    text = "<s><image><think>The lip corners are pulled up.</think><answer>happiness</answer></s>"
    batch = processor(_crops(2, 1), [text] * 2, padding=True, return_tensors="pt")
    loss = policy(**batch, labels=batch["input_ids"]).loss
    loss.backward()
    assert policy.projector.readings[0].weight.grad.abs().sum() > 0
    assert policy.decoder.lm_head.weight.grad.abs().sum() > 0
    assert all(p.grad is None for p in policy.encoder.parameters())
    policy.zero_grad()


def test_the_tokenizer_cuts_every_text_of_the_grammar_at_its_phrases(parts):
    tokenizer, grammar, rng = parts[1].tokenizer, whole_grammar(), random.Random(0)
    template = Template(grammar, tokenizer)
    for _ in range(300):
        walk = Walk(grammar.scope())
        while not walk.ended:
            walk.take(rng.choice(walk.edges))
        ids = template.ids(walk.taken)
        text = tokenizer.decode(ids, skip_special_tokens=False)
        assert text == write_completion(walk.text, grammar.conclusion(walk.taken)) + tokenizer.eos_token
        assert tokenizer(text, add_special_tokens=False).input_ids == ids


def test_whatever_the_network_says_the_grammar_is_kept(parts):
    policy, processor = parts
    constrain(policy, whole_grammar(), processor.tokenizer)
    policy.generation_config.max_new_tokens = 24
    written = policy.generate(**_batch(processor, _crops(8, 1)), do_sample=True, temperature=3.0)
    policy.constraint = None
    for row in written[:, 1 + TOKENS_PER_FRAME :]:
        text = processor.tokenizer.decode(row, skip_special_tokens=False).split("</s>")[0]
        done = parse_completion(text, EMOTIONS_8)
        assert whole_grammar().parse(done.rationale).conclusion == done.answer


def test_the_choice_is_the_most_probable_of_what_may_follow(parts):
    tokenizer = parts[1].tokenizer
    processor = GrammarLogits(Template(whole_grammar(), tokenizer))
    scores = torch.randn(1, len(tokenizer))
    ids = torch.tensor([[tokenizer.bos_token_id, processor.template.think]])
    allowed = processor.options(ids[0].tolist())
    assert processor(ids, scores)[0].argmax() == max(allowed, key=lambda token: scores[0, token])
    assert len(allowed) > 100


def test_probabilities_are_those_of_sampling(parts):
    policy, processor = parts
    constrain(policy, whole_grammar(), processor.tokenizer)
    constraint, policy.generation_config.max_new_tokens = policy.constraint, 24
    batch = _batch(processor, _crops(6, 1))
    done = policy.generate(**batch, do_sample=True, temperature=2.0, top_k=0, return_dict_in_generate=True, output_scores=True)
    policy.constraint = None
    ids, count = done.sequences, len(done.scores)
    logits = policy(input_ids=ids, pixel_values=batch["pixel_values"]).logits[:, -count - 1 : -1] / 2.0
    found = constraint.spread(logits, ids).gather(2, ids[:, -count:, None])[..., 0]
    sampled = torch.stack(done.scores, 1).log_softmax(-1).gather(2, ids[:, -count:, None])[..., 0]
    written = ids[:, -count:] != processor.tokenizer.pad_token_id
    torch.testing.assert_close(found[written], sampled[written], atol=1e-4, rtol=1e-4)
    assert (found[:, 0] == 0).all(), "what must follow is certain"
    assert found[~written].eq(0).all()
    assert found[written].lt(-0.1).any()
