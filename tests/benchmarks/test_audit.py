import json
import zipfile
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from packs import write_audit

from benchmarks.__main__ import main
from benchmarks.audit.changes import CHANGES, TONE, expose, retone, skin
from benchmarks.audit.figures import Outcomes, changed, middle_face, tables
from benchmarks.audit.groups import LEAST, gap_changes, gaps, means, split
from benchmarks.quality import scenes
from benchmarks.quality.photographs import load_photographs
from edge.errors import InputError
from edge.sources.camera import Frame
from training.data import data_folder

WHO = np.array([f"group {i % 5}" for i in range(400)])


def test_a_planted_gap_is_found_and_named_and_none_is_seen_where_there_is_none():
    random = np.random.default_rng(0)
    same = (random.random((400, 40)) < 0.7).astype(float)
    groups = split([WHO], [])
    rows = gaps(same, groups, means(same, groups), shuffles=200)
    assert sum(row["p"] < 0.05 for row in rows) <= 6, "one in twenty, by chance"
    assert np.mean([row["by"] for row in rows]) == pytest.approx(np.mean([row["chance"] for row in rows]), abs=0.02)
    assert all(row["p"] <= row["p_family"] for row in rows)
    worse = same.copy()
    worse[groups.names.index("group 3") == groups.group, 0] = 0.0
    row = gaps(worse, groups, means(worse, groups), shuffles=200)[0]
    assert (row["lowest"], row["p"], row["p_family"]) == ("group 3", pytest.approx(1 / 201), pytest.approx(1 / 201))
    assert row["low"] > 2 * row["chance"]


def test_what_a_groups_age_explains_is_no_gap_of_the_group():
    random = np.random.default_rng(1)
    old = (random.random(400) < np.where(WHO == "group 0", 0.9, 0.2)).astype(str)
    value = (random.random(400) < np.where(old == "True", 0.3, 0.9)).astype(float)[:, None]
    alone, alike = split([WHO], []), split([WHO], [old])
    assert gaps(value, alone, means(value, alone), shuffles=200)[0]["p"] < 0.01
    assert gaps(value, alike, means(value, alike), shuffles=200)[0]["p"] > 0.05


def test_a_group_that_is_too_small_or_not_measured_is_not_compared():
    groups = split([np.array(["many"] * 100 + ["few"] * (LEAST - 1))], [])
    values = np.zeros((100 + LEAST - 1, 1))
    assert gaps(values, groups, means(values, groups)) == [None]
    halves = split([np.array(["a", "b"] * 50)], [])
    values = np.where(np.arange(100) % 2, np.nan, 1.0)[:, None]
    found = means(values, halves)
    assert found.count[:, 0].tolist() == [50, 0]
    assert np.isnan(found.value[1, 0])
    assert gaps(values, halves, found, shuffles=10) == [None]
    rare = np.where(np.arange(400) < 60, 1.0, np.nan)[:, None]  # twelve of each of five groups
    five = split([WHO], [])
    assert gaps(rare, five, means(rare, five), shuffles=10) == [None]
    assert gap_changes(means(rare, five), means(rare, five), five) == [None]


def test_two_bundles_that_do_the_same_have_the_same_gaps_and_a_better_one_smaller_ones():
    groups = split([WHO], [])
    old = np.random.default_rng(2).random((400, 1)) - 2.0 * (WHO == "group 1")[:, None]
    new = old + 1.8 * (WHO == "group 1")[:, None]
    assert gap_changes(means(old, groups), means(old, groups), groups) == [{"by": 0, "low": 0, "high": 0}]
    (row,) = gap_changes(means(new, groups), means(old, groups), groups)
    assert row["by"] < -1.5
    assert row["high"] < -1.2


def test_ages_stand_in_order():
    ages = np.array(["more than 70", "3-9", "0-2", "20-29", "10-19"])
    assert split([ages], []).names == ("0-2", "3-9", "10-19", "20-29", "more than 70")


def test_light_and_mirror_change_what_they_say(portrait):
    picture = cv2.resize(portrait[6:226, 112:332], (224, 224))
    half, full = (np.full((2, 2, 3), level, np.uint8) for level in (137, 188))  # 0.25 and 0.5 in linear light
    assert np.abs(expose(full, -1.0).astype(int) - half).max() <= 1
    assert np.abs(expose(half, 1.0).astype(int) - full).max() <= 1
    assert (expose(picture, 1.0) >= picture).all()
    mirror = CHANGES["mirrored"]
    assert (mirror(mirror(picture)) == picture).all()
    assert (mirror(picture)[:, 0] == picture[:, -1]).all()


@pytest.mark.parametrize("by", [-TONE, TONE])
def test_skin_moves_in_lightness_and_the_background_stays(by):
    picture = np.full((224, 224, 3), (200, 90, 20), np.uint8)
    cv2.ellipse(picture, (112, 112), (70, 90), 0, 0, 360, (90, 120, 170), -1)
    for x in (85, 139):
        cv2.circle(picture, (x, 90), 9, (20, 20, 20), -1)
    moved = retone(picture, by)

    def lab(of):
        return cv2.cvtColor(of.astype(np.float32) / 255, cv2.COLOR_BGR2LAB)

    difference = lab(moved) - lab(picture)
    assert difference[120, 112, 0] == pytest.approx(by, abs=0.5)
    assert np.abs(difference[120, 112, 1:]).max() < 1, "its colour stays"
    assert np.abs(moved[:, :20].astype(int) - picture[:, :20]).max() <= 1
    assert np.abs(moved[90, 85].astype(int) - picture[90, 85]).max() <= 4, "eyes are no skin"
    assert skin(lab(picture))[120, 112] == pytest.approx(1, abs=0.01)


def test_only_the_face_in_the_middle_counts(pipeline):
    def seen(x):
        return pipeline.look(Frame(scenes.draw([(scenes.head(), x, 240, 1.0)]), "image", 0, 0.0))

    assert middle_face(seen(320)) == 0
    assert seen(140).reading.faces
    assert middle_face(seen(140)) is None


def _outcomes(label: list[str], verdict: list[str]) -> Outcomes:
    read = np.array(label) != ""
    return Outcomes(read, np.zeros(len(label), bool), np.array(label), np.array(verdict), {"lip_corners": np.where(read, 1.0, np.nan)}, {})


def test_shares_are_of_those_who_can_have_them():
    some = _outcomes(["neutral", "fear", ""], ["verified", "abstained", ""])
    found = tables(some, ["neutral", "fear"])
    assert np.nanmean(found["shares"]["found"]) == pytest.approx(2 / 3)
    assert np.nanmean(found["shares"]["verified"]) == 0.5, "of those read"
    assert np.nanmean(found["labels"]["fear"]) == 0.5
    assert [np.nanmean(found["verified"][label]) for label in ("neutral", "fear")] == [1, 0]
    assert np.isfinite(found["cues_neutral"]["lip_corners"]).tolist() == [True, False, False]
    after = replace(some, label=np.array(["fear", "", "fear"]), verdict=np.array(["verified", "", "verified"]))
    told = {name: values.tolist() for name, values in changed(some, after).items()}
    assert [told[name][0] for name in ("label", "verdict", "lost")] == [1, 0, 0]
    assert told["lost"][1] == 1
    assert np.isnan([told["label"][1], told["label"][2], told["lost"][2]]).all(), "who was not read cannot be read otherwise"


@pytest.fixture(scope="module")
def pack(tmp_path_factory, portrait) -> Path:
    """Six photographs of the portrait and six of nobody."""
    face = cv2.resize(portrait[0:240, 100:340], (224, 224), interpolation=cv2.INTER_AREA)
    return write_audit(tmp_path_factory.mktemp("audit") / "faces_audit.zip", [face, np.full_like(face, 90)] * 6)


def test_the_command_tells_who_is_found_draws_it_and_fills_its_page(pack, tmp_path, capsys):
    import jsonschema

    page = tmp_path / "page.md"
    page.write_text("# A page\n\n<!-- audit summary -->\n<!-- end -->\n\ntext\n\n<!-- audit tables -->\nold\n<!-- end -->\n")
    given = ["audit", "--data", pack, "--pairs", "4", "--against", "edge/models", "--threads", "1"]
    written = ["--page", page, "--picture", tmp_path / "a.png", "--sheet", tmp_path / "s.jpg"]
    assert main([*map(str, [*given, *written]), "--json"]) == 0
    figures = json.loads(capsys.readouterr().out)
    schema = json.loads((Path("benchmarks/report/results.schema.json")).read_text())
    jsonschema.validate(figures, {**schema["$defs"]["audit"], "$defs": schema["$defs"]})
    shares = {race: row["shares"]["found"]["share"] for race, row in figures["bundles"]["shipped"]["groups"]["race"].items()}
    assert shares == {"Black": 1, "White": 0}
    mirrored = figures["bundles"]["shipped"]["changes"]["mirrored"]
    assert mirrored["lost"] == {**mirrored["lost"], "share": 0, "n": 2}
    assert figures["against"]["changes"]["mirrored"]["label"]["by"] == 0, "it is the same bundle"
    assert figures["bundles"]["shipped"]["gaps"]["race"]["shares"]["found"] is None, "six are too few to compare"
    text = page.read_text()
    assert text.startswith("# A page\n\n<!-- audit summary -->\n\n| what | asked | shipped (")
    assert "\ntext\n" in text
    assert "old" not in text
    assert "| White | 6 | 0.000 [0.000, 0.000]" in text
    assert cv2.imread(str(tmp_path / "a.png")).std() > 5
    assert cv2.imread(str(tmp_path / "s.jpg")).shape[1] == 112 * (1 + len(CHANGES))


def _zip(path: Path, files: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as pack:
        for name, data in files.items():
            pack.writestr(name, data)
    return path


@pytest.mark.parametrize(
    ("table", "said"),
    [
        (None, "lacks 'labels.csv'"),
        (b"file,race\n1.jpg,White\n", "has to name a file"),
        (b"file,race,gender,age\n", "has to name a file"),
        (b"file,race,gender,age\n1.jpg,White,,3-9\n", "in every line"),
        (b"file,race,gender,age\n1.jpg,White\n", "in every line"),
        (b"file,race,gender,age\n2.jpg,White,Male,3-9\n", "lacks '2.jpg'"),
        (b"\xff\xfe\x00", "damaged"),
    ],
)
def test_a_pack_that_lacks_something_is_told_in_a_sentence(tmp_path, table, said):
    path = _zip(tmp_path / "faces_audit.zip", {"1.jpg": b"x"} | ({"labels.csv": table} if table is not None else {}))
    with pytest.raises(InputError, match=said) as caught:
        load_photographs(path)
    assert "\n" not in str(caught.value)


def test_packs_that_are_missing_cut_short_or_hold_no_pictures_end_the_command(pack, tmp_path, capsys):
    assert main(["audit", "--data", str(tmp_path)]) == 4
    cut = tmp_path / "cut.zip"
    cut.write_bytes(pack.read_bytes()[:-200])
    assert main(["audit", "--data", str(cut)]) == 4
    broken = bytearray(pack.read_bytes())
    broken[200:400] = bytes(200)
    cut.write_bytes(broken)
    assert main(["audit", "--data", str(cut)]) == 4
    noise = _zip(tmp_path / "noise.zip", {"1.jpg": b"no picture", "labels.csv": b"file,race,gender,age\n1.jpg,White,Male,3-9\n"})
    with pytest.raises(InputError, match=r"'1\.jpg' of the audit pack is no picture"):
        load_photographs(noise).picture(0)
    page = tmp_path / "page.md"
    page.write_text("nothing to fill")
    assert main(["audit", "--data", str(pack), "--page", str(page)]) == 2
    assert main(["audit", "--data", str(pack), "--picture", "a.gif"]) == 2
    said = capsys.readouterr().err
    assert "Traceback" not in said
    assert len(said.splitlines()) == 5
    assert page.read_text() == "nothing to fill"


def test_the_pack_has_as_many_of_each_race_and_gender():
    try:
        photographs = load_photographs(data_folder())
    except InputError as error:
        pytest.skip(f"the audit pack is not here: {error}")
    crossed = split([photographs.race, photographs.gender], [photographs.age])
    assert crossed.members.sum(1).tolist() == [120] * 14
    some = photographs.take(photographs.some(140))
    assert split([some.race, some.gender], []).members.sum(1).tolist() == [10] * 14
    assert some.picture(0).shape == (224, 224, 3)
