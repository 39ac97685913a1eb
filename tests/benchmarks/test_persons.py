import json
import zipfile
from dataclasses import replace

import cv2
import pytest

from benchmarks.__main__ import main
from benchmarks.quality.persons import Portrait, figures, own_rest

AT_REST = Portrait({"outer_brow": 1.8, "lip_corners": 0.0}, "neutral", [])


def test_brows_that_are_always_high_are_no_expression_and_a_smile_is():
    raised = replace(AT_REST, stated=[("outer_brow", 1)])
    smile = Portrait({"outer_brow": 1.8, "lip_corners": 2.4}, "happiness", [("lip_corners", 1)])
    found = figures({"one": [raised, AT_REST, AT_REST, AT_REST, smile], "too few": [smile, AT_REST, AT_REST]})
    assert (found["people"], found["photographs"]) == (1, 5)
    assert {name: (its["share"], its["n"]) for name, its in found["by_cue"].items()} == {"outer_brow+": (0.0, 1), "lip_corners+": (1.0, 1)}
    assert found["holds"]["share"] == 0.5
    assert (found["neutral"]["share"], found["neutral"]["n"]) == (0.0, 1)


def test_rest_is_that_of_the_neutral_photographs_or_of_all_where_there_are_too_few():
    smiles = [Portrait({"lip_corners": value}, "happiness", []) for value in (2.0, 3.0, 4.0)]
    still = [Portrait({"lip_corners": value}, "neutral", []) for value in (0.0, 0.2)]
    assert own_rest(smiles + still, "lip_corners") == pytest.approx(0.1)
    assert own_rest(smiles + still[:1], "lip_corners") == pytest.approx(2.5)


def test_photographs_are_gathered_by_person(tmp_path, portrait, capsys):
    data = cv2.imencode(".png", portrait)[1].tobytes()
    names = [f"portrait/Some_Body_{i // 3}{i % 3}.jpg" for i in range(6)] + ["portrait/Else_00.jpg", "scene/1.jpg"]
    with zipfile.ZipFile(tmp_path / "photos.zip", "w") as pack:
        pack.writestr("index.json", json.dumps([{"file": name} for name in names]))
        for name in names:
            pack.writestr(name, data)
    assert main(["persons", "--data", str(tmp_path / "photos.zip"), "--threads", "1", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["people"], found["photographs"]) == (1, 6)
    assert found["holds"]["share"] in (0.0, None), "the same photograph six times: nothing has moved"
    (tmp_path / "photos.zip").write_bytes(b"no pack")
    assert main(["persons", "--data", str(tmp_path / "photos.zip")]) == 4
    assert "is not a readable photo pack" in capsys.readouterr().err
