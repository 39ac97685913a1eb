import json
from dataclasses import replace

import numpy as np
import pytest
from grammars import whole_grammar
from packs import write_audit
from PIL import Image
from spoken import explainer_of, spoken_faces

from benchmarks.__main__ import main, show
from benchmarks.quality.interval import difference, share
from benchmarks.quality.language import draw_sheet, draw_texts, of_photos
from benchmarks.quality.photographs import load_photographs
from benchmarks.quality.said import Told, statements, texts, verdicts
from edge.errors import UsageError
from edge.types import Verdict


@pytest.fixture(scope="module")
def told() -> Told:
    """Faces whose every text is verified, right and true by the landmarks."""
    explainer = explainer_of(whole_grammar())
    faces = spoken_faces(explainer.grammar, 120, seed=3)
    explained = [explainer.judge([text], [subject])[0] for subject, text in faces]
    labels = [subject.emotion for subject, _ in faces]
    picture = np.full((48, 48), 128, np.uint8)
    facts = [subject.facts for subject, _ in faces]
    return Told([picture] * len(faces), labels, [s.confidence for s, _ in faces], explained, labels, facts)


def test_true_texts_hold_in_every_kind_and_parse(told):
    rules = whole_grammar().rules
    found = statements(told, rules)
    assert {"movement", "movement slight", "movement strong", "rest", "pose", "conclusion", "runner_up"} <= set(found)
    for kind, row in found.items():
        if "holds" in row:
            assert (row["holds"]["share"], row["contradicted"]["share"]) == (1, 0), kind
    read = texts(told, whole_grammar(), lambda text: len(text.split()))
    assert read["parsed"]["share"] == 1
    assert 700 < read["distinct_per_1000"] <= 1000
    assert 1 / 120 <= read["commonest_share"] < 1
    assert verdicts(told)["verified"]["share"] == 1
    assert verdicts(told)["verified_and_wrong"]["share"] == 0


def test_landmarks_that_say_otherwise_contradict(told):
    turned = [replace(f, cues={c: -z for c, z in f.cues.items()}, yaw_deg=-f.yaw_deg, pitch_deg=-f.pitch_deg) for f in told.measured]
    found = statements(replace(told, measured=turned), whole_grammar().rules)
    for kind in ("movement", "movement strong", "pose"):
        assert found[kind]["contradicted"]["share"] == 1
        assert found[kind]["holds"]["share"] == 0
    assert found["rest"]["holds"]["share"] < 1, "no smile denies one side, and corners that went down go up"
    pairs = zip(told.explanations, turned, strict=True)
    rests = [replace(s, measured=f.cues[s.subject]).claim for e, f in pairs for s in e.statements if s.kind == "rest"]
    assert all(claim.supported for claim in rests if not claim.denied), "rest has no side, but where one alone is denied"
    known = statements(replace(told, measured=[None] * len(told), truth=None), whole_grammar().rules)
    assert all(set(row) == {"said"} for row in known.values()), "what nobody measured is only counted"


def test_a_pose_holds_from_two_thirds_of_its_band(told):
    rules = whole_grammar().rules
    posed = [i for i, e in enumerate(told.explanations) if any(s.kind == "pose" for s in e.statements)]
    rows = replace(told, **{k: [getattr(told, k)[i] for i in posed] for k in ("explanations", "labels", "truth", "confidence", "pictures")})

    def holds(of_band: float) -> float:
        measured = []
        for i in posed:
            s = next(s for s in told.explanations[i].statements if s.kind == "pose")
            angle = s.direction * of_band * rules.pose[s.subject][s.band].low
            measured.append(replace(told.measured[i], **{f"{s.subject}_deg": angle}))
        return statements(replace(rows, measured=measured), rules)["pose"]["holds"]["share"]

    assert holds(0.7) == 1
    assert holds(0.6) == 0


def test_a_text_that_is_not_of_the_language_and_a_wrong_label_are_counted(told):
    first = told.explanations[0]
    glued = replace(first, draft=f"{first.draft} right. The.")
    some = replace(
        told, explanations=[glued, *told.explanations[1:]], truth=["fear" if told.labels[0] != "fear" else "anger", *told.labels[1:]]
    )
    assert texts(some, whole_grammar(), len)["parsed"]["share"] == pytest.approx(119 / 120)
    found = verdicts(some)
    assert found["verified_and_wrong"]["share"] == pytest.approx(1 / 120)
    withheld = replace(some, explanations=[replace(e, status=Verdict.REJECTED) for e in some.explanations])
    assert verdicts(withheld)["verified_and_wrong"]["share"] == 0
    assert np.isnan(verdicts(withheld)["wrong_of_verified"]["share"])
    assert texts(withheld, whole_grammar(), len)["parsed"]["n"] == 0


def test_one_text_for_everybody_is_neither_distinct_nor_rare(told):
    alike = replace(told, explanations=[told.explanations[0]] * len(told))
    found = texts(alike, whole_grammar(), len)
    assert found["distinct_per_1000"] == pytest.approx(1000 / 120)
    assert found["commonest_share"] == 1
    assert found["commonest"] in told.explanations[0].draft


def test_intervals_hold_the_share_and_narrow_with_more_faces():
    few, many = (share(np.arange(n) % 4 == 0) for n in (40, 4000))
    assert few["low"] < 0.25 < few["high"]
    assert many["high"] - many["low"] < (few["high"] - few["low"]) / 5
    assert share(np.array([2, 0]), np.array([2, 0]))["n"] == 2
    paired = difference(np.ones(100), np.arange(100) % 2)
    assert paired["low"] < paired["by"] == 0.5 < paired["high"]


def test_sheets_show_every_face_and_name_a_folder_that_is_not_there(told, tmp_path):
    draw_sheet(told, list(range(12)), tmp_path / "sheet.png")
    whole = np.asarray(Image.open(tmp_path / "sheet.png"))
    assert 12 * 96 * 96 <= (whole == 128).all(2).sum() < 12.1 * 96 * 96, "a few grey pixels are of letters"
    written = draw_texts(told, list(range(7)), tmp_path / "texts.png", each=3)
    assert [path.name for path in written] == ["texts-1.png", "texts-2.png", "texts-3.png"]
    with pytest.raises(UsageError, match="cannot write"):
        draw_sheet(told, [0], tmp_path / "none" / "sheet.png")


def test_shares_are_printed_in_one_line(capsys):
    show({"verified": share(np.array([True, False, True, True]))})
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith("verified")
    assert "0.7500" in line
    assert "n 4" in line


def test_a_bundle_of_the_small_line_shows_only_its_language(bundle, data, tmp_path, capsys):
    given = ["--bundle", bundle, "--data", data, "--source", "ferplus", "--samples", "50", "--sheet", tmp_path / "sheet.png", "--json"]
    assert main(["language", *map(str, given)]) == 0
    figures = json.loads(capsys.readouterr().out)
    shown = figures["sources"]["ferplus"]
    assert shown["texts"]["parsed"]["share"] in (1, None)
    assert shown["texts"]["parsed"]["n"] == round(shown["verdicts"]["verified"]["share"] * shown["faces"])
    assert figures["sampled"]["completions"] == 50
    assert figures["sampled"]["parsed"]["share"] == 1
    assert figures["sampled"]["unfinished"] == 0
    assert figures["sheets"] == [str(tmp_path / "sheet.png")]
    assert (tmp_path / "sheet.png").stat().st_size > 1000


def test_whole_photographs_go_through_the_finder(pipeline, portrait, tmp_path):
    told, seen = of_photos(pipeline, load_photographs(write_audit(tmp_path / "faces_audit.zip", [portrait, portrait * 0])))
    assert (len(told), seen) == (1, 1)
    assert told.pictures[0].ndim == 3
    assert len(told.explanations) == 1
    assert told.truth is told.measured is None


def test_data_that_is_not_there_is_named(tmp_path, capsys):
    for source in ("ferplus", "elsewhere", "audit"):
        assert main(["language", "--data", str(tmp_path), "--source", source]) == 4
    assert "Traceback" not in capsys.readouterr().err
