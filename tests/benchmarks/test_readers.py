import json
from pathlib import Path

import numpy as np
import pytest
from moving import write_moving_crops

from benchmarks.__main__ import main
from benchmarks.quality.readers import LABELS, compare, load_readers
from edge.errors import InputError
from edge.language.labels import EMOTIONS_8
from training.data import data_folder

HEAD = "face,first,first_perhaps,second,second_perhaps\n"


def test_readers_labels_and_bundle_are_held_against_each_other(tmp_path):
    truth = np.repeat(np.arange(LABELS), 10)
    said = [
        [EMOTIONS_8[label], "", "fear", "disgust" if label == 5 else ""] if i % 10 < 4 else ["fear"] * 4 for i, label in enumerate(truth)
    ]
    (tmp_path / "seen.csv").write_text(HEAD + "\n".join(f"{i},{','.join(row)}" for i, row in enumerate(said)))
    saw = load_readers(tmp_path / "seen.csv")
    mix = np.array([0.7, 0.05, 0.05, 0.05, 0.05, 0.05, 0.05])
    found = compare(saw, truth, np.where(np.arange(70) % 10 < 2, truth, 0), mix)
    fear, disgust = found["labels"]["fear"], found["labels"]["disgust"]
    assert found["first"]["uar"]["share"] == pytest.approx((6 * 0.4 + 1) / 7)
    assert found["second"]["war"]["share"] == pytest.approx(0.05)
    assert found["agree"]["war"]["share"] == pytest.approx(0.95 * 0.6 + 0.05)
    assert found["bundle"]["war"]["share"] == pytest.approx(0.7 + 6 * 0.05 * 0.2)
    assert found["bundle"]["war"]["low"] < found["bundle"]["war"]["share"] < found["bundle"]["war"]["high"]
    assert (fear["both"]["faces"], fear["both"]["recall"]["share"]) == (10, 0.2)
    assert (disgust["both"]["faces"], disgust["both_perhaps"]["faces"]) == (0, 4)
    assert disgust["both_perhaps"]["recall"]["share"] == 0.5


@pytest.mark.parametrize("text", ["", "face,first\n1,fear\n", HEAD + "one,fear,,fear,\n", HEAD + "1,boredom,,fear,\n"])
def test_a_table_of_something_else_is_named(tmp_path, text):
    (tmp_path / "seen.csv").write_text(text)
    with pytest.raises(InputError, match=r"seen\.csv' is no table of what readers saw"):
        load_readers(tmp_path / "seen.csv")


def test_a_pack_that_the_readers_did_not_see_is_refused(tmp_path: Path, capsys):
    assert main(["readers", "--data", str(tmp_path)]) == 4
    assert "no faces_elsewhere.zip" in capsys.readouterr().err
    assert main(["readers", "--data", str(write_moving_crops(tmp_path))]) == 4
    assert "has 40 faces of seven labels; the readers saw a version of 2366" in capsys.readouterr().err


def test_the_faces_that_were_read_are_those_of_the_pack(capsys):
    try:
        folder = data_folder()
    except InputError as error:
        pytest.skip(f"the packs are not here: {error}")
    assert main(["readers", "--data", str(folder), "--threads", "1", "--json"]) == 0
    labels = json.loads(capsys.readouterr().out)["labels"]
    # all faces of the two labels that the pack has least of, or doubts most
    assert (labels["disgust"]["faces"], labels["fear"]["faces"]) == (186, 20)
    assert 0.5 < labels["happiness"]["mean"] > labels["disgust"]["mean"]
