import json
from argparse import Namespace

import cv2
import numpy as np
import pytest
from moving import write_moving_crops, write_moving_packs
from taking import write_fields

from benchmarks.__main__ import main


@pytest.fixture
def packs(tmp_path):
    write_moving_packs(tmp_path)
    write_moving_crops(tmp_path)
    return write_fields(tmp_path)


def test_runtime_and_trainer_take_back_the_same_faces(packs, movable_folder, capsys):
    sheet = packs / "ten.png"
    given = ["--data", str(packs), "--faces", "4", "--threads", "1", "--bundle", str(movable_folder)]
    assert main(["counterfactual", *given, "--source", "today", "--source", "ferplus", "--sheet", str(sheet), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert 0 < found["faces"] <= 8
    assert found["moves"] == sum(row["n"] for row in found["cues"].values()) == found["all"]["n"] > 0
    assert found["control"]["mean"] < found["control"]["moved"]
    assert 0 <= found["counts"] <= 1
    picture = cv2.imread(str(sheet), cv2.IMREAD_GRAYSCALE)
    side = (picture.shape[1] // 2) // 3
    cells = [picture[18 : 18 + side, i * side : (i + 1) * side].astype(int) for i in range(3)]
    assert np.abs(cells[0] - cells[1]).max() > 10, "the drawn face has moved"
    assert main(["counterfactual", *given, "--source", "today", "--sheet", str(sheet / "ten.png")]) == 2
    assert "cannot write" in capsys.readouterr().err
    assert main(["counterfactual", *given, "--source", "ferplus", "--sheet", str(sheet)]) == 2
    assert "draws faces of 'today' only" in capsys.readouterr().err


def test_a_bundle_without_moves_cannot_be_compared(pipeline, monkeypatch):
    from benchmarks.quality.taken_back import measure
    from edge.errors import UsageError

    monkeypatch.setattr(pipeline, "moves", None)
    with pytest.raises(UsageError, match="has no moves: add them with 'python -m export moves'"):
        measure(pipeline, Namespace())
