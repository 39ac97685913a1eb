"""What ships, trained networks again."""

import numpy as np
import torch
from tokenizers import Tokenizer

from edge.engine.backend import OrtSession
from edge.language.tokens import load_tokenizer
from edge.language.verifier import SentenceVerifier
from export.__main__ import main as export
from export.graphs import READINGS
from export.visibility import VisibilityGraph
from training.augment import SIZE
from training.encoder import load_encoder, load_units
from training.policy import load_policy
from training.verifier import load_verifier, read_texts
from training.visibility import load_visibility


def test_the_networks_of_the_shipped_bundle_come_back_out_of_it_as_they_are(pipeline, tmp_path):
    assert export(["recover", str(pipeline.bundle.folder), "--out", str(tmp_path)]) == 0
    encoder, _ = load_encoder(tmp_path / "encoder")
    assert load_units(tmp_path / "encoder") == pipeline.config.units
    sight = load_visibility(tmp_path / "visibility").network
    crops = np.random.default_rng(0).random((3, 1, SIZE, SIZE), np.float32)
    seen_by_bundle = pipeline.encoder.session.run({"pixel_values": crops})
    with torch.no_grad():
        read, seen = encoder(torch.from_numpy(crops)), VisibilityGraph(sight)(torch.from_numpy(crops))
    for name, output in READINGS.items():
        assert np.abs(read[name].numpy() - seen_by_bundle[output]).max() < 1e-4, name
    assert np.abs(seen.numpy() - seen_by_bundle["visible"]).max() < 1e-4
    assert encoder.doubt.abs().max() > 0, "a strange face is less sure"
    judge, words = load_verifier(tmp_path / "verifier")
    texts = ["The brows are pulled down.", "A broad smile lifts the cheeks, and the eyes are narrowed."]
    assert words.to_str() == Tokenizer.from_file(str(pipeline.bundle.folder / "verifier_tokenizer.json")).to_str()
    told = read_texts(judge, words, texts)
    config, folder = pipeline.config, pipeline.bundle.folder
    session = OrtSession(pipeline.bundle.graph("verifier"), device="cpu", threads=1)
    shipped = SentenceVerifier(session, load_tokenizer(folder / "verifier_tokenizer.json"), config)(texts)
    assert np.abs(told.emotions - shipped.emotions).max() < 0.01
    assert np.abs(told.claims - shipped.claims).max() < 0.01
    assert np.abs(told.covered - shipped.covered).max() < 0.01

    policy, processor = load_policy(tmp_path / "policy" / "policy")
    assert np.abs(policy.projector(read).detach().numpy() - seen_by_bundle["visual_tokens"]).max() < 1e-3
    completions = pipeline.explainer.policy.greedy(seen_by_bundle["visual_tokens"])
    inputs = processor(images=np.zeros((3, 1, SIZE, SIZE), np.uint8), return_tensors="pt")
    ids = policy.generate(input_ids=inputs["input_ids"], pixel_values=torch.from_numpy(crops)[:, None], do_sample=False)
    written = [processor.tokenizer.decode(row[inputs["input_ids"].shape[1] :], skip_special_tokens=False) for row in ids]
    assert [text.split("</s>")[0] for text in written] == completions
