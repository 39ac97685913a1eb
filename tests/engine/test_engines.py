"""The TensorRT path as far as it runs without TensorRT: keys, cache, profiles, splitting, plan, errors."""

import dataclasses
import importlib.util
import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

from edge.bundle import GRAPHS, SHIPPED, Bundle
from edge.engine.backend import OrtSession, SplitSession, split_batch, tensorrt_options
from edge.engine.cache import EngineCache, EngineKey, engine_key
from edge.engine.cuda import Cuda
from edge.engine.fold import fold_constants
from edge.engine.tensorrt import import_tensorrt
from edge.errors import BackendError
from edge.pipeline import Pipeline
from edge.profiles import MAX_FACES, Profile, graph_profiles
from edge.whole import write_whole
from export.__main__ import main
from export.tensorrt import plan

_HAS_TENSORRT = importlib.util.find_spec("tensorrt") is not None
_PROFILES = (Profile("a", {"x": (1, 4)}, {"x": (1, 4)}, {"x": (3, 4)}),)


@pytest.fixture
def key(tmp_path) -> EngineKey:
    (tmp_path / "face.onnx").write_bytes(b"graph")
    return engine_key("face", tmp_path / "face.onnx", _PROFILES, tensorrt="10.3.0.26", capability="8.7")


def test_a_stored_engine_is_loaded_again(key, tmp_path):
    cache = EngineCache(tmp_path / "cache")
    assert cache.load(key) is None
    cache.store(key, b"engine")
    assert cache.load(key) == b"engine"


@pytest.mark.parametrize(
    "change",
    [{"onnx": "0" * 64}, {"tensorrt": "10.16.1"}, {"capability": "8.9"}, {"precision": "fp16"}, {"profiles": "[]"}, {"builder": 0}],
)
def test_an_engine_of_another_key_is_never_loaded(key, tmp_path, change):
    cache = EngineCache(tmp_path / "cache")
    path = cache.store(key, b"engine")
    other = dataclasses.replace(key, **change)
    assert cache.load(other) is None
    shutil.copy(path, cache.path(other))  # even when a foreign file has the right name
    shutil.copy(path.with_suffix(".json"), cache.path(other).with_suffix(".json"))
    assert cache.load(other) is None


@pytest.mark.parametrize("damage", ["engine", "note", "no note"])
def test_a_damaged_engine_is_not_loaded(key, tmp_path, damage):
    cache = EngineCache(tmp_path / "cache")
    path = cache.store(key, b"engine")
    if damage == "engine":
        path.write_bytes(b"engin")
    elif damage == "note":
        path.with_suffix(".json").write_text("[1")
    else:
        path.with_suffix(".json").unlink()
    assert cache.load(key) is None


def test_a_new_engine_replaces_the_stale_one_of_its_graph_only(key, tmp_path):
    cache = EngineCache(tmp_path / "cache")
    old = cache.store(key, b"old")
    other = cache.store(dataclasses.replace(key, graph="verifier"), b"other")
    new = cache.store(dataclasses.replace(key, onnx="1" * 64), b"new")
    assert not old.exists()
    assert not old.with_suffix(".json").exists()
    assert new.exists()
    assert other.exists()


def test_an_engine_that_cannot_be_kept_is_an_error_and_leaves_nothing(key, tmp_path, monkeypatch):
    def full(self, target):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(BackendError, match=r"No space left on device.*ERV_CACHE"):
        EngineCache(tmp_path / "cache").store(key, b"engine")
    assert list((tmp_path / "cache").iterdir()) == []


def test_a_written_file_is_the_old_one_or_the_new_one(tmp_path):
    write_whole(tmp_path / "f", b"1")
    write_whole(tmp_path / "f", b"2")
    assert [(p.name, p.read_bytes()) for p in tmp_path.iterdir()] == [("f", b"2")]


def test_the_key_names_all_that_an_engine_depends_on(key):
    assert json.loads(key.profiles)[0]["most"] == {"x": [3, 4]}
    digests = {key.digest} | {dataclasses.replace(key, **{f.name: "other"}).digest for f in dataclasses.fields(key)}
    assert len(digests) == 1 + len(dataclasses.fields(key))


def test_every_shape_that_the_pipeline_really_uses_lies_within_a_profile(pipeline, portrait):
    """Watched over a picture with an explanation and further candidates."""
    config, seen = pipeline.bundle.config, {name: [] for name in GRAPHS}
    one = config.policy.tokens_per_frame
    for session, name in zip(pipeline.sessions, GRAPHS, strict=False):
        run, run_into = session.run, session.run_into

        def watch(inputs, name=name, run=run):
            seen[name].append({key: value.shape for key, value in inputs.items()})
            return run(inputs)

        def watch_into(inputs, outputs, name=name, run_into=run_into):
            seen[name].append({key: value.shape for key, value in inputs.items()})
            return run_into(inputs, outputs)

        session.run, session.run_into = watch, watch_into
    try:
        pipeline(portrait)
        pipeline.explainer.policy.sample(np.zeros((1, one, 128), np.float32), config.policy.candidates, seed=0)
        pipeline.explainer.policy.greedy(np.zeros((2, one * config.policy.max_frames, 128), np.float32))
    finally:
        for session in pipeline.sessions[: len(GRAPHS)]:
            del session.run, session.run_into
    for name, shapes in seen.items():
        assert shapes, name
        own = {
            node.name: tuple(d if isinstance(d, int) else 0 for d in node.shape)
            for node in OrtSession(SHIPPED / f"{name}.onnx").ort.get_inputs()
        }
        profiles = [profile.filled(own) for profile in graph_profiles(name, config)]
        for shape in shapes:
            assert any(profile.fits(shape) for profile in profiles), (name, shape)


def test_a_shape_outside_its_profile_does_not_fit():
    profile = _PROFILES[0]
    assert profile.fits({"x": (3, 4)})
    assert not profile.fits({"x": (4, 4)})
    assert not profile.fits({"x": (3, 4, 1)})
    assert not profile.fits({"y": (3, 4)})


def test_large_batches_are_cut_to_what_the_profiles_allow():
    assert split_batch({"x": np.zeros((3, 4))}, _PROFILES) == [slice(None)]
    assert split_batch({"x": np.zeros((7, 4))}, _PROFILES) == [slice(0, 3), slice(3, 6), slice(6, 9)]


def test_a_split_session_writes_and_returns_what_the_whole_batch_would(pipeline):
    config = pipeline.bundle.config
    session = OrtSession(SHIPPED / "decoder_model_merged.onnx", threads=1)
    profiles, count = graph_profiles("decoder_model_merged", config), MAX_FACES + 5
    random = np.random.default_rng(0)
    spec = config.policy
    embeds = random.normal(size=(count, 11, 128)).astype(np.float32)
    names = [name for name in session.inputs if name.startswith("past")]
    results = []
    for run_by in (session, SplitSession(session, profiles)):
        caches = {name: np.zeros((count, spec.kv_heads, 83, spec.head_dim), np.float32) for name in names}
        into = {name.replace("past_key_values", "present"): cache for name, cache in caches.items()}
        out = run_by.run_into({"inputs_embeds": embeds, "cache_position": np.tile(np.arange(11), (count, 1)), **caches}, into)
        results.append((out["logits"], *caches.values()))
    assert results[0][1].any()
    for a, b in zip(*results, strict=True):
        assert np.allclose(a, b, atol=1e-5)


def test_steps_that_write_where_the_step_before_wrote_decode_as_sessions_of_their_own_do(pipeline):
    """Arrays that are given again stay bound, others are bound anew, and one more output may be asked for on the way."""
    path, spec, random = SHIPPED / "decoder_model_merged.onnx", pipeline.bundle.config.policy, np.random.default_rng(0)
    kept = OrtSession(path, threads=1)
    names = [name for name in kept.inputs if name.startswith("past")]
    steps = [random.normal(size=(2, length, 128)).astype(np.float32) for length in (9, 2, 1, 3)]
    results = []
    for fresh in (False, True):
        caches, at, logits = {name: np.zeros((2, spec.kv_heads, 40, spec.head_dim), np.float32) for name in names}, 0, None
        found = []
        for embeds in steps:
            feed = {"inputs_embeds": embeds, "cache_position": np.tile(np.arange(at, at + embeds.shape[1]), (2, 1)), **caches}
            into = {name.replace("past_key_values", "present"): cache for name, cache in caches.items()}
            session = OrtSession(path, threads=1) if fresh else kept
            into |= {} if fresh or logits is None else {"logits": logits}
            logits, at = session.run_into(feed, into).get("logits", logits), at + embeds.shape[1]
            found.append(logits.copy())
        results.append([*found, *caches.values()])
    assert results[0][-1].any()
    for a, b in zip(*results, strict=True):
        assert np.allclose(a, b, atol=1e-5)


def test_the_plan_has_an_engine_for_every_graph_and_two_profiles_for_the_decoder():
    planned = plan(Bundle.load())
    assert [name for name, _, _ in planned] == list(GRAPHS)
    assert {name: len(profiles) for name, _, profiles in planned if len(profiles) > 1} == {"decoder_model_merged": 2}


def test_options_of_the_provider_hold_bounds_and_a_folder_of_the_graph_alone(tmp_path, monkeypatch):
    monkeypatch.setenv("ERV_CACHE", str(tmp_path))
    options = tensorrt_options(SHIPPED / "vision_encoder.onnx", graph_profiles("vision_encoder", Bundle.load().config))
    assert options["trt_profile_max_shapes"] == f"pixel_values:{MAX_FACES}x1x96x96"
    changed = tmp_path / "vision_encoder.onnx"
    shutil.copy(SHIPPED / "embed_tokens.onnx", changed)
    other = tensorrt_options(changed, graph_profiles("embed_tokens", Bundle.load().config))
    assert other["trt_engine_cache_path"] != options["trt_engine_cache_path"]


def test_a_folded_graph_computes_the_same(tmp_path):
    fold_constants(SHIPPED / "vision_encoder.onnx", tmp_path / "folded.onnx")
    crop = {"pixel_values": np.random.default_rng(0).random((2, 1, 96, 96), np.float32)}
    a, b = (OrtSession(path).run(crop) for path in (SHIPPED / "vision_encoder.onnx", tmp_path / "folded.onnx"))
    assert all(np.allclose(a[name], b[name], atol=1e-4) for name in a)


@pytest.mark.skipif(_HAS_TENSORRT, reason="this machine has TensorRT")
def test_without_tensorrt_one_sentence_says_what_is_missing(capsys):
    for call in (import_tensorrt, lambda: Pipeline.load(device="tensorrt")):
        with pytest.raises(BackendError, match=r"TensorRT's Python package, which device 'tensorrt' needs, is not installed"):
            call()
    assert main(["tensorrt", str(SHIPPED)]) == 3
    assert "TensorRT's Python package" in capsys.readouterr().err


def test_an_old_tensorrt_is_refused(monkeypatch):
    module = type(sys)("tensorrt")
    module.__version__ = "8.6.1"
    monkeypatch.setitem(sys.modules, "tensorrt", module)
    with pytest.raises(BackendError, match=r"8\.6\.1 is too old"):
        import_tensorrt()


def test_without_the_cuda_runtime_one_sentence_says_so():
    with pytest.raises(BackendError, match=r"libnothere\.so is installed"):
        Cuda(("libnothere.so",))


@pytest.mark.gpu
@pytest.mark.skipif(not _HAS_TENSORRT, reason="TensorRT is not installed")
def test_engines_decide_what_the_graphs_decide(pipeline, portrait, tmp_path, monkeypatch):
    monkeypatch.setenv("ERV_CACHE", str(tmp_path))
    with Pipeline.load(device="tensorrt") as fast:
        assert fast.provider == "TensorRT"
        for a, b in zip(fast(portrait).faces, pipeline(portrait).faces, strict=True):
            assert a.emotion == b.emotion
            assert abs(a.confidence - b.confidence) < 0.01


@pytest.mark.gpu
def test_the_cuda_provider_decides_what_the_cpu_decides(pipeline, portrait):
    import onnxruntime

    if "CUDAExecutionProvider" not in onnxruntime.get_available_providers():
        pytest.skip("this ONNX Runtime has no CUDA provider")
    with Pipeline.load(device="cuda") as fast:
        assert fast.provider == "CUDAExecutionProvider"
        for a, b in zip(fast(portrait).faces, pipeline(portrait).faces, strict=True):
            assert a.emotion == b.emotion
            assert abs(a.confidence - b.confidence) < 0.01
