import json

import pytest
from packs import write_text_encoder

from benchmarks.quality.foreign import teach
from edge.errors import InputError

_HAPPY, _ANGRY = "the lip corners are pulled up", "the brows are drawn together"


def _explain(folder, count: int) -> None:
    """Explanations whose words, emotion words aside, tell the label."""
    rows = []
    for i in range(count):
        label, text = (("happy", _HAPPY), ("angry", _ANGRY))[i % 3 == 0]
        rows.append((label, f"{text} and {'wide ' * (i % 4)} the eyes. This is angry."))
    lines = (json.dumps({"emotion": label, "explanation": text}) for label, text in rows)
    (folder / "merr_explanations.jsonl").write_text("\n".join(lines) + "\n")


def test_the_foreign_judge_learns_from_masked_words_and_tells_how_well(tmp_path):
    _explain(tmp_path, 60)
    judge = teach(str(write_text_encoder(tmp_path / "encoder")), tmp_path)
    assert judge.tried["accuracy"] == judge.tried["macro_accuracy"] == 1, "the named emotion is always the same and tells nothing"
    assert (judge.tried["taught"], judge.tried["tried"]) == (30, 30)
    assert judge.tried["answers"] == ["happiness", "anger"]
    assert judge.read([f"{_HAPPY} the eyes", f"{_ANGRY} the eyes", ""]).tolist() == [1, 4, -1]
    assert set(judge.read(["wide", "x", "0"] * 20).tolist()) <= {1, 4}, "it answers no label that it was never told of"
    assert bool(judge.weight.isfinite().all())


def test_an_encoder_that_is_not_there_is_named(tmp_path):
    _explain(tmp_path, 6)
    with pytest.raises(InputError, match="cannot load the sentence encoder"):
        teach(str(tmp_path / "none"), tmp_path)
