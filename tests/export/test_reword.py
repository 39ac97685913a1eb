"""Finished bundles in other words, and silent elsewhere."""

import json

import pytest

from edge.bundle import Bundle
from edge.language.grammar import FILE, load_grammar
from export.__main__ import main as export
from export.calibrate import TORN
from training import phrases

BROWS = "inner_brow= outer_brow="


@pytest.fixture
def called(monkeypatch):
    """Call the last of some phrases otherwise, or leave it out."""

    def change(*texts: str) -> str:
        *kept, last = phrases.RESTS[BROWS]
        monkeypatch.setitem(phrases.RESTS, BROWS, (*kept, *texts))
        return last

    return change


def test_the_shipped_bundle_has_the_words_that_the_project_has(pipeline, tmp_path, capsys):
    assert export(["reword", str(pipeline.bundle.folder), "--out", str(tmp_path / "same")]) == 0
    assert json.loads(capsys.readouterr().out) == {}


def test_a_phrase_is_called_otherwise_where_the_verifier_reads_it_alike(pipeline, called, tmp_path, capsys):
    last, new = called("the brows are not lifted up"), "the brows are not lifted up"
    assert export(["reword", str(pipeline.bundle.folder), "--out", str(tmp_path / "new")]) == 0
    assert json.loads(capsys.readouterr().out)[last] == new
    bundle = Bundle.load(tmp_path / "new")
    grammar, before = (load_grammar(folder / FILE) for folder in (bundle.folder, pipeline.bundle.folder))
    text = "No smile is visible, and {}. The expression is neutral."
    assert before.parse(text.format(new)) is None
    assert grammar.parse(text.format(new)).said == before.parse(text.format(last)).said
    assert bundle.config.provenance["reworded"]


@pytest.mark.parametrize(
    ("texts", "complaint"),
    [
        (("a broad grin shows",), "does not read these as it read"),
        ((), "states other things"),
        (("the mouth is wide open",), "two meanings"),
    ],
    ids=["other meaning", "fewer", "another phrase's"],
)
def test_words_that_say_something_else_are_refused(pipeline, called, tmp_path, capsys, texts, complaint):
    called(*texts)
    assert export(["reword", str(pipeline.bundle.folder), "--out", str(tmp_path / "new")]) != 0
    assert complaint in capsys.readouterr().err
    assert not (tmp_path / "new").exists()


def test_a_bundle_is_made_to_look_twice_and_abstains_anew(bundle, data, tmp_path, capsys):
    before = Bundle.load(bundle).config
    assert export(["recalibrate", str(bundle), "--data", str(data), "--out", str(tmp_path / "new")]) == 0
    found, config = json.loads(capsys.readouterr().out), Bundle.load(tmp_path / "new").config
    assert config.image.torn == TORN
    assert config.verdict.min_confidence == found["min_confidence"]
    assert config.verdict.min_consistency == before.verdict.min_consistency
    assert config.metrics["validation, before it was recalibrated"] == before.metrics["validation"]
    assert 0 <= config.metrics["validation"]["ece"] <= 1
