import json

import cv2
import numpy as np
import pytest
from packs import write_packs

from benchmarks.__main__ import main
from benchmarks.quality.corruptions import COVERS, SEVERITIES, SIMPLE, cover, covering
from benchmarks.quality.robustness import cues_of, mouth_claims
from benchmarks.report.curves import curves
from edge.types import Explanation, Statement, Verdict


@pytest.mark.parametrize("name", SIMPLE)
def test_a_corruption_grows_with_its_severity_and_repeats_itself(name, portrait):
    grey = cv2.cvtColor(portrait, cv2.COLOR_BGR2GRAY)
    faces = [cv2.resize(grey[10 * i : 200, 120 : 310 - 10 * i], (48, 48), interpolation=cv2.INTER_AREA) for i in range(6)]
    gaps = []
    for severity in SEVERITIES:
        bad = [SIMPLE[name](face, severity, np.random.default_rng(i)) for i, face in enumerate(faces)]
        again = [SIMPLE[name](face, severity, np.random.default_rng(i)) for i, face in enumerate(faces)]
        assert all((a == b).all() and a.shape == (48, 48) and a.dtype == np.uint8 for a, b in zip(bad, again, strict=True))
        gaps.append(np.mean([np.abs(a.astype(float) - b).mean() for a, b in zip(bad, faces, strict=True)]))
    assert 0 < gaps[0] < gaps[-1]


def test_covering_hides_the_whole_part_at_the_last_severity():
    crop = np.arange(48 * 48, dtype=np.uint32).astype(np.uint8).reshape(48, 48)
    points = np.array([[16.0, 30.0], [32.0, 30.0], [24.0, 38.0]])
    plain = covering("plain", crop, crop, np.random.default_rng(0))
    hidden = [(cover(crop, points, severity, plain) != crop) for severity in SEVERITIES]
    assert hidden[0].sum() < hidden[1].sum() < hidden[2].sum()
    assert len(np.unique(cover(crop, points, 3, plain)[30:38, 16:32])) == 1
    assert (cover(crop, points, 3, plain)[:25] == crop[:25]).all()
    assert cover(crop, points + 100, 3, plain).shape == crop.shape, "a part outside the crop hides nothing"


def test_cues_are_told_apart_by_their_action_units(pipeline):
    cues = pipeline.bundle.config.cues
    mouth, eyes = ({cue.name for cue in cues_of(part, cues)} for part in ("mouth", "eyes"))
    assert {"lip_corners", "mouth_opening"} <= mouth
    assert {"inner_brow", "eye_opening"} <= eyes
    assert not mouth & eyes


def _said(status: Verdict, *cues: str) -> Explanation:
    return Explanation("x", "happiness", status, 1.0, 1.0, tuple(Statement("movement", cue, 1, "plain", 2.0, True) for cue in cues), 1)


def test_claims_about_a_hidden_mouth_vanish_are_withheld_or_are_shown():
    good, bad = Verdict.VERIFIED, Verdict.REJECTED
    before = [_said(good, "lips"), _said(good, "lips"), _said(good, "lips", "brow"), _said(good, "lips"), _said(good, "brow")]
    drafts = [_said(good, "brow"), _said(bad, "lips"), _said(good, "lips"), _said(bad, "lips"), _said(good, "lips")]
    final = [_said(good, "brow"), _said(bad, "lips"), _said(good, "lips"), _said(good, "brow"), _said(good, "lips")]
    found = mouth_claims(before, drafts, final, {"lips"})
    assert (found["faces"], found["claimed_clean"], found["claimed_hidden"]) == (4, 0.8, 0.8)
    assert (found["vanished"], found["withheld"], found["shown"]) == (0.25, 0.5, 0.25)
    assert mouth_claims([_said(good)], [_said(good)], [_said(good)], {"lips"})["shown"] is None


def test_robustness_reports_every_corruption(capsys, tmp_path):
    write_packs(tmp_path, 32)
    assert main(["robustness", "--data", str(tmp_path / "ferplus_images.npz"), "--faces", "4", "--threads", "1", "--json"]) == 0
    figures = json.loads(capsys.readouterr().out)
    assert figures["n"] == 4
    assert set(figures["corrupted"]) == {*SIMPLE, *(f"{part} hidden, {kind}" for part in ("eyes", "mouth") for kind in COVERS)}
    assert set(figures["mouth_hidden"]) == set(COVERS)
    for name, rows in figures["corrupted"].items():
        assert set(rows) == ({"3"} if name.endswith(COVERS[1:]) else {"1", "2", "3"})
        for row in rows.values():
            assert 0 <= row["war"] <= 1
            assert 0 <= row["verified_rate"] + row["abstained_rate"] <= 1


def test_gates_follow_size_blur_and_pose(capsys, tmp_path):
    write_packs(tmp_path, 32)
    given = ["gates", "--data", str(tmp_path / "ferplus_images.npz"), "--faces", "6", "--threads", "1", "--json"]
    assert main(given) == 0
    figures = json.loads(capsys.readouterr().out)
    assert figures["n"] == 6
    assert [row["side_px"] for row in figures["size"]] == sorted((row["side_px"] for row in figures["size"]), reverse=True)
    assert figures["blur"][0]["unsharp"] <= figures["blur"][-1]["unsharp"] == 1
    assert abs(figures["size"][0]["war"] - figures["blur"][0]["war"]) < 0.2, "neither is changed, but for rounding, and who is torn may tip"


def test_curves_count_what_was_shown():
    truth, shown = np.array([0, 0, 1, 1]), np.array([0, 1, 1, 1])
    found = curves(["a", "b"], truth, shown, np.array([0.9, 0.6, 0.8, 0.95]))
    assert found["confusion"] == [[1, 1], [0, 2]]
    assert [row["risk"] for row in found["risk_coverage"]] == [0, 0, 0, 0.25], "the wrong one is the least sure"
    assert sum(row["count"] for row in found["reliability"]) == 4
    assert found["aurc"] == 0.0625
