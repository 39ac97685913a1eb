import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from phrasebook import CUES, PROMPT, WIDTH, Decoder, Embed, make_policy, make_spec, make_tokenizer

from edge.language.grammar import Scope, Walk
from edge.language.policy import RationalePolicy
from edge.language.rationale import parse_completion, write_completion
from edge.vision.encoder import softmax

LABELS = ("neutral", "happiness", "sadness", "anger")


def _tokens(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(count, PROMPT, WIDTH)).astype(np.float32)


def _reference(policy: RationalePolicy, tokens: np.ndarray, scope: Scope, random: np.random.Generator | None = None) -> tuple[str, int]:
    """One face, one token a step, everything read afresh: masked argmax over the whole vocabulary, also where there is but one way on."""
    table, think = policy.embed.table, policy.tokenizer.token_to_id("<think>")
    ids = {i: policy.tokenizer.token_to_id(phrase.text) for i, phrase in enumerate(policy.grammar.phrases)}
    read, walk, steps = [table[policy.spec.bos], *tokens, table[think]], Walk(scope), 0
    while walk.edges:
        logits = policy.decoder.logits(np.stack(read))
        options = [ids[edge.number] for edge in walk.edges]
        if random is None:
            masked = np.full(len(logits), -np.inf)
            masked[options] = logits[options]
            chosen = int(masked.argmax())
        elif len(options) == 1:
            chosen = options[0]
        else:
            shares = softmax(logits[options] / policy.spec.temperature).cumsum()
            chosen = options[int(np.searchsorted(shares, random.random(), side="right"))]
        read.append(table[chosen])
        walk.take(next(edge for edge in walk.edges if ids[edge.number] == chosen))
        steps += 1
    return (write_completion(walk.text, policy.grammar.conclusion(walk.taken)) if walk.ended else ""), steps


_faces = st.lists(st.tuples(st.integers(0, 10**6), st.sets(st.sampled_from(CUES))), min_size=1, max_size=6)


@given(_faces)
@settings(max_examples=60)
def test_decoding_equals_masked_argmax_step_by_step(small_grammar, faces):
    policy = make_policy(small_grammar)
    tokens = np.concatenate([_tokens(1, seed) for seed, _ in faces])
    scopes = [small_grammar.scope(hidden) for _, hidden in faces]
    found = policy.greedy(tokens, scopes)
    wanted = [_reference(policy, face, scope) for face, scope in zip(tokens, scopes, strict=True)]
    assert found == [text for text, _ in wanted]
    assert len(policy.decoder.calls) <= max(steps for _, steps in wanted), "what is forced costs no step"


def test_a_hundred_faces_are_decoded_to_the_texts_that_each_has_alone(small_grammar):
    policy, tokens = make_policy(small_grammar), _tokens(100)
    scopes = [small_grammar.scope([("mouth_opening", "lip_corners"), (), ("eye_opening",)][i % 3]) for i in range(100)]
    together = policy.greedy(tokens, scopes)
    steps = len(policy.decoder.calls)
    assert together == [policy.greedy(tokens[i : i + 1], scopes[i : i + 1])[0] for i in range(100)]
    assert len(set(together)) > 30, "they are not all alike"
    assert len({len(text) for text in together}) > 10, "nor of one length"
    assert steps <= 7, "a step serves every face that still has something to choose"
    assert {rows for rows, _ in policy.decoder.calls[:steps]} > {100}, "a face that is done leaves the batch"


def test_what_the_grammar_forces_is_appended_unasked(small_grammar):
    policy, tokens = make_policy(small_grammar), _tokens(30)
    for face in tokens:
        policy.decoder.calls.clear()
        (text,) = policy.greedy(face[None])
        numbers = [small_grammar.number[p.text] for p in small_grammar.parse(parse_completion(text, LABELS).rationale).phrases]
        walk, choices = Walk(small_grammar.scope()), 0
        for number in numbers:
            choices += len(walk.edges) > 1
            walk.take(next(edge for edge in walk.edges if edge.number == number))
        assert len(policy.decoder.calls) == choices


def test_every_text_is_of_the_grammar_and_answers_what_it_concludes(small_grammar):
    policy = make_policy(small_grammar, temperature=2.0)
    texts = policy.greedy(_tokens(40)) + [text for i in range(10) for text in policy.sample(_tokens(1, i), 20, seed=i)]
    for text in texts:
        done = parse_completion(text, LABELS)
        assert small_grammar.parse(done.rationale).conclusion == done.answer != ""


def test_hidden_cues_are_not_spoken_of_and_what_is_covered_is_told(small_grammar):
    hidden = ("lip_corners", "mouth_opening")
    texts = make_policy(small_grammar, temperature=3.0).sample(_tokens(1), 200, seed=0, scope=small_grammar.scope(hidden))
    assert len(set(texts)) > 30
    for text in texts:
        said = small_grammar.parse(parse_completion(text, LABELS).rationale).said
        assert [s.subject for s in said if s.kind == "covered"] == ["mouth"]
        assert not {s.subject for s in said} & set(hidden)


def test_sampling_draws_what_a_step_by_step_reference_draws(small_grammar):
    for seed in range(20):
        policy, tokens = make_policy(small_grammar, temperature=0.7 + seed / 10), _tokens(1, seed)
        (found,) = policy.sample(tokens, 1, seed=seed)
        assert found == _reference(policy, tokens[0], small_grammar.scope(), np.random.default_rng(seed))[0]


def test_sampling_is_the_same_for_the_same_seed_and_turns_into_argmax_when_it_is_cold(small_grammar):
    policy, tokens = make_policy(small_grammar), _tokens(1)
    assert policy.sample(tokens, 8, seed=1) == policy.sample(tokens, 8, seed=1) != policy.sample(tokens, 8, seed=2)
    cold = make_policy(small_grammar, temperature=1e-6)
    assert set(cold.sample(tokens, 4, seed=0)) == set(cold.greedy(tokens))


def test_where_nothing_can_be_said_nothing_is_written_and_the_network_is_not_asked(small_grammar):
    policy, mute = make_policy(small_grammar), small_grammar.scope(CUES)
    assert policy.greedy(_tokens(2), [mute, mute]) == ["", ""]
    assert policy.sample(_tokens(1), 3, seed=0, scope=mute) == ["", "", ""]
    assert policy.decoder.calls == []
    mixed = policy.greedy(_tokens(3), [mute, small_grammar.scope(), mute])
    assert mixed == ["", policy.greedy(_tokens(3)[1:2])[0], ""]
    assert policy.greedy(_tokens(0)) == []


def test_a_text_without_a_choice_is_written_unasked(small_grammar):
    text = "The mouth is closed. Most likely this is anger; sadness is close."
    allowed = np.isin([phrase.text for phrase in small_grammar.phrases], [p.text for p in small_grammar.parse(text).phrases])
    policy = make_policy(small_grammar)
    assert policy.greedy(_tokens(2), [small_grammar.scope(allowed=allowed)] * 2) == [write_completion(text, "anger")] * 2
    assert policy.decoder.calls == []


@pytest.mark.parametrize("limit", range(1, 9))
def test_a_completion_that_reaches_its_limit_is_empty_and_never_cut(small_grammar, limit):
    tokens = _tokens(40)
    whole, short = (make_policy(small_grammar, max_new_tokens=n).greedy(tokens) for n in (24, limit))
    assert all(a == b or b == "" for a, b in zip(whole, short, strict=True))
    fits = [len(small_grammar.parse(parse_completion(text, LABELS).rationale).phrases) <= limit - 1 for text in whole]
    assert all(b for b, fit in zip(short, fits, strict=True) if fit), "what has room is written"
    if limit == 1:
        assert set(short) == {""}


def test_several_frames_and_fixed_text_stand_before_the_completion(small_grammar):
    policy = make_policy(small_grammar, prefix=[5], suffix=[6, 7])
    frames = _tokens(2, 7).reshape(1, 2 * PROMPT, WIDTH)
    (found,) = policy.greedy(frames)
    table = policy.embed.table
    bare = make_policy(small_grammar, bos=1)
    assert found == _reference(bare, np.concatenate([table[[5]], frames[0], table[[6, 7]]]), small_grammar.scope())[0]


class _Eager(Decoder):
    """Writes the ids that it was given, one after the other, and then ends."""

    def __init__(self, words: int, ids: list[int]) -> None:
        super().__init__(words)
        self.ids = ids

    def run_into(self, inputs, outputs):
        found = super().run_into(inputs, outputs)["logits"] * 0
        step = inputs["cache_position"][:, -1] - PROMPT
        found[np.arange(len(found)), [self.ids[i] for i in step]] = 1.0
        found[:, 3] = 2.0  # the placeholder, which is never an answer
        return {"logits": found}


@pytest.mark.parametrize(
    ("limit", "wanted"), [(12, "<think> the mouth is open </think>"), (4, "<think> the mouth is open </think>"), (3, "")]
)
def test_a_policy_with_words_of_its_own_writes_freely_until_it_ends(small_grammar, limit, wanted):
    tokenizer = make_tokenizer(small_grammar)
    ids = [tokenizer.token_to_id(text) for text in ("<think>", "the mouth is open", "</think>", "<eos>")] + [2] * 12
    spec = make_spec(constrained=False, max_new_tokens=limit)
    policy = RationalePolicy(Embed(60), _Eager(len(tokenizer), ids), tokenizer, spec, small_grammar)
    assert policy.greedy(_tokens(2)) == [wanted] * 2
