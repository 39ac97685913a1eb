import json

import cv2
import numpy as np
import pytest
from grammars import whole_grammar
from moving import write_moving_crops, write_moving_packs

from benchmarks.__main__ import main
from benchmarks.quality import followed
from benchmarks.quality.followed import Case
from benchmarks.quality.intervene import MOVES, _unnamed
from benchmarks.quality.moved import CONTROLS, Item, Outcome, present, subjects
from benchmarks.quality.reading import cue_model
from edge.bundle import UnitSpec
from edge.errors import InputError
from edge.types import Explanation, Statement, Verdict
from training.cues import CUE_NAMES
from training.intervene import Mover
from training.levers import Steer

NOTHING = np.zeros((48, 48), np.uint8)
SMILE = ("movement", "lip_corners", 1, "plain")
BROWS = ("movement", "inner_brow", -1, "strong")


def _cues(**values: float) -> np.ndarray:
    return np.array([values.get(name, 0.0) for name in CUE_NAMES])


def _outcome(read, *statements, label="happiness", p=0.8, shown=True, units=(0.0,)) -> Outcome:
    said = tuple(Statement(*s, 0.0, True) for s in statements)
    status = Verdict.VERIFIED if shown else Verdict.REJECTED
    probabilities = {label: p, "neutral" if label != "neutral" else "anger": 1 - p}
    explanation = Explanation("text", label, status, 1.0, 1.0, said, 1)
    return Outcome(label, probabilities, dict(zip(CUE_NAMES, map(float, read), strict=True)), explanation, np.array(units))


def _case(kind, before, after, was, now, wanted=None, face=0, answer="") -> Case:
    return Case(Item(face, kind, NOTHING, after, wanted or {}, answer), before, was, now, "ferplus", "happiness")


def _moved(cue, by, slope, *, others=0.0, said=(), face=0, start=0.0) -> Case:
    """One cue moved by `by`, of which a share is read; of every other cue `others` is."""
    before, after = _cues(**{cue: start}), _cues(**{cue: start + by})
    read = np.where(np.array(CUE_NAMES) == cue, start + by * slope, others)
    return _case("move", before, after, _outcome(before), _outcome(read, *said), {cue: by}, face)


def test_reading_tells_sign_slope_and_specificity():
    cases = [_moved("lip_corners", by, 0.5, others=0.1, face=i) for i, by in enumerate((2.0, -2.0, 3.0, -1.0))]
    cases.append(_moved("lip_corners", 2.0, -0.5, others=0.1, face=4))
    found = followed.reading(cases)
    assert found["sign"]["share"] == pytest.approx(3 / 4), "one deviation is too little to be asked for a sign"
    assert found["slope"]["by"] == pytest.approx(0.5 * (4 + 4 + 9 + 1 - 4) / (4 + 4 + 9 + 1 + 4))
    assert found["specificity"]["by"] == pytest.approx(0.5 * 10 / 5 / 0.1)
    assert found["slope"]["n"] == 5
    assert np.isnan(followed.reading([])["sign"]["share"])


def test_reading_between_faces_is_the_slope_over_them():
    cases = []
    for i, z in enumerate((-2.0, -1.0, 0.0, 1.0, 2.0, 9.0)):
        was = _outcome(_cues(jaw_drop=0.7 * z + 0.3))
        cases.append(_case("base", _cues(jaw_drop=z), _cues(jaw_drop=z), was, was, face=i))
    assert followed.between(cases)["jaw_drop"]["by"] == pytest.approx(0.7), "what lies beyond what encoders tell is left out"


def test_units_are_asked_for_where_the_lever_raises_them():
    smile = UnitSpec("AU12", "lip corner puller", "lip_corners", [0], [1.0], 0.9)
    frown = UnitSpec("AU15", "lip corner depressor", "lip_corners", [], [1.0], 0.9)
    brow = UnitSpec("AU01", "inner brow raiser", "inner_brow", [0], [1.0], 0.9)
    up, down = _moved("lip_corners", 2.0, 1.0), _moved("lip_corners", -2.0, 1.0, face=1)
    raised = Case(up.item, up.before, up.was, _outcome(up.item.after, units=(0.5,)), "ferplus", "happiness")
    found = followed.units([raised, down], [smile, frown])
    assert set(found) == {"AU12"}, "what has no column of its own is read from a cue"
    assert (found["AU12"]["share"], found["AU12"]["n"]) == (1, 1)
    still = followed.units([_moved("inner_brow", 2.0, 1.0)], [brow])
    assert (still["AU01"]["share"], still["AU01"]["n"]) == (0, 1)


def test_text_that_follows_is_told_from_one_that_does_not():
    rules = whole_grammar().rules
    follows = _moved("lip_corners", 3.0, 1.0, said=[SMILE])
    silent = _moved("lip_corners", 3.0, 1.0, face=1)
    unread = _moved("lip_corners", 3.0, 0.1, face=2)
    against = _moved("inner_brow", 3.0, 1.0, said=[BROWS], face=3)
    found = followed.text([follows, silent, unread, against], [], rules)
    assert found["present"]["share"] == pytest.approx(1 / 4)
    assert found["may"]["share"] == pytest.approx(3 / 4)
    assert found["present_of_may"]["share"] == pytest.approx(1 / 3)
    assert found["opposite"]["share"] == pytest.approx(1 / 4)


def test_text_keeps_what_did_not_move_and_drops_what_was_undone():
    rules = whole_grammar().rules
    before = _cues(lip_corners=3.0, inner_brow=-3.0)
    was = _outcome(before, SMILE, BROWS)
    after = _cues(inner_brow=-3.0)
    dropped = _case("undo", before, after, was, _outcome(after, BROWS), {"lip_corners": -3.0})
    clinging = _case("undo", before, after, was, _outcome(after, SMILE), {"lip_corners": -3.0}, face=1)
    found = followed.text([], [dropped, clinging], rules)
    assert found["gone"]["share"] == 0.5
    kept = _case("move", before, after, was, _outcome(after, BROWS), {"lip_corners": -3.0})
    turned = _case("move", before, after, was, _outcome(after, ("movement", "inner_brow", 1, "plain")), {"lip_corners": -3.0}, face=1)
    found = followed.text([kept, turned], [], rules)
    assert (found["kept"]["share"], found["kept"]["n"]) == (0.5, 2), "only the brows were not moved"


@pytest.mark.parametrize(("band", "grown"), [("strong", 1), ("plain", 1), ("slight", 0)])
def test_intensity_grows_with_the_movement(band, grown):
    before, after = _cues(mouth_width=2.0), _cues(mouth_width=3.5)
    was = _outcome(before, ("movement", "mouth_width", 1, "plain"))
    case = _case("move", before, after, was, _outcome(after, ("movement", "mouth_width", 1, band)), {"mouth_width": 1.5})
    found = followed.text([case], [], whole_grammar().rules)["grows"]
    assert (found["share"], found["n"]) == (grown, 1)


def test_reasons_are_necessary_where_undoing_them_costs_more():
    was = _outcome(_cues(), SMILE, p=0.9)

    def pair(face, named, unnamed):
        make = lambda kind, p: _case(kind, _cues(), _cues(), was, _outcome(_cues(), p=p), {}, face, "happiness")  # noqa: E731
        return make("named", named), make("unnamed", unnamed)

    first, second = zip(pair(0, 0.5, 0.8), pair(1, 0.85, 0.7), strict=True)
    alone = _case("named", _cues(), _cues(), was, _outcome(_cues(), p=0.1), {}, 2, "happiness")
    found = followed.necessity([*first, alone], list(second))
    assert (found["more"]["share"], found["more"]["n"]) == (0.5, 2), "a face without its like is left out"
    assert found["by_named"]["by"] == pytest.approx((0.4 + 0.05) / 2)
    assert found["ratio"]["by"] == pytest.approx(0.45 / 0.3)


def test_reasons_suffice_where_building_them_makes_the_answer():
    rest = _outcome(_cues(), label="neutral", p=0.9)
    rest.probabilities["happiness"] = 0.1
    other = _outcome(_cues(), label="neutral", p=0.85)
    other.probabilities["happiness"] = 0.15
    built = _case("built", _cues(), _cues(), rest, _outcome(_cues(), p=0.7), {}, 0, "happiness")
    otherwise = _case("built otherwise", _cues(), _cues(), rest, other, {}, 0, "happiness")
    found = followed.sufficiency([built], [otherwise])
    assert found["raised"]["share"] == found["more"]["share"] == 1
    assert followed.sufficiency([otherwise], [built])["more"]["share"] == 0


def test_controls_count_what_changed_and_a_mirror_turns_sides():
    left, right = ("one_sided", "corner_asymmetry", 1, "plain"), ("one_sided", "corner_asymmetry", -1, "plain")
    was = _outcome(_cues(), SMILE, left)
    mirrored = _case("mirror", _cues(), _cues(), was, _outcome(_cues(), SMILE, right))
    pressed = _case("jpeg", _cues(), _cues(), was, _outcome(_cues(), SMILE, label="neutral"))
    hidden = _case("light", _cues(), _cues(), was, _outcome(_cues(), shown=False))
    found = followed.controls([mirrored, pressed, hidden])
    assert set(found) == set(CONTROLS)
    assert (found["mirror"]["statements"]["share"], found["mirror"]["label"]["share"]) == (0, 0)
    assert (found["jpeg"]["statements"]["share"], found["jpeg"]["label"]["share"]) == (0.5, 1)
    assert (found["light"]["verdict"]["share"], found["light"]["statements"]["n"]) == (1, 0)


def test_a_smile_that_is_said_and_not_there_is_counted():
    false = _case("base", _cues(), _cues(), _outcome(_cues(), SMILE), _outcome(_cues()))
    true = _case("base", _cues(lip_corners=3), _cues(lip_corners=3), _outcome(_cues(), SMILE), _outcome(_cues()), face=1)
    found = followed.absent([false, true])
    assert (found["smile_of_happy"]["share"], found["smile_of_happy"]["n"]) == (1, 1)
    assert found["smile_of_others"]["n"] == 0
    assert found["all"]["n"] == 2 * 2 * len(CUE_NAMES) - 1
    assert found["all"]["share"] == pytest.approx(1 / found["all"]["n"])


def test_conflict_tells_which_half_of_the_face_the_text_follows():
    smile, both = _outcome(_cues(), SMILE), _outcome(_cues(), SMILE, BROWS, label="anger")
    wrong = _outcome(_cues(), ("movement", "lip_corners", -1, "plain"))
    silent = _outcome(_cues(), shown=False)
    cases = [_case("apart", _cues(), _cues(), smile, now, face=i) for i, now in enumerate((smile, both, wrong, silent))]
    found = followed.conflict(cases)
    shares = {name: round(row["share"], 3) for name, row in found.items()}
    assert shares == {"happiness": 0.75, "anger": 0.25, "shown": 0.75, "smile": 0.667, "brows": 0.333, "false": 0.333}


def test_faces_are_moved_and_read_from_end_to_end(tmp_path, capsys):
    write_moving_packs(tmp_path)
    assert main(["intervene", "--data", str(tmp_path), "--source", "ferplus", "--faces", "3", "--threads", "1", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["faces"] == found["all"]["faces"] == found["sources"]["ferplus"]["faces"] == 3
    assert set(found["emotions"]) == {"neutral"}
    assert found["pictures"] > 3 * (1 + len(CONTROLS))
    assert found["all"]["reading"]["moved"]["by"] > 1, "the moved cue moves further than the others"
    assert found["all"]["controls"]["jpeg"]["label"]["n"] == 3
    assert main(["intervene", "--data", str(tmp_path), "--source", "today", "--faces", "3", "--threads", "1"]) == 4
    assert "no data pack" in capsys.readouterr().err


def test_held_out_and_labelled_faces_are_taken_in_turns(tmp_path, pipeline):
    write_moving_packs(tmp_path)
    write_moving_crops(tmp_path)
    steer = Steer(Mover.load(tmp_path), cue_model(pipeline.config, CUE_NAMES))
    today = subjects("today", tmp_path, steer, 10, "test")
    assert len(today) == 4, "ten, twenty, thirty, forty: nothing that is trained on"
    assert all(one.truth is None and one.at_rest for one in today)
    elsewhere = subjects("elsewhere", tmp_path, steer, 6, "test")
    assert [one.truth for one in elsewhere] == ["anger", "neutral"] * 3
    assert elsewhere[0].crop(elsewhere[0].image, 48).shape == (48, 48)
    assert present(tmp_path) == ("ferplus", "today", "elsewhere")
    (tmp_path / "faces_today.zip").write_bytes(b"PK")
    with pytest.raises(InputError, match="damaged"):
        subjects("today", tmp_path, steer, 10, "test")


def test_gallery_shows_every_move_of_every_face(tmp_path, capsys):
    write_moving_packs(tmp_path)
    write_moving_crops(tmp_path)
    path = tmp_path / "gallery.png"
    assert main(["intervene", "--data", str(tmp_path), "--gallery", str(path), "--threads", "1"]) == 0
    sheet = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
    side = sheet.shape[1] // len(MOVES)
    cells = [sheet[18 : 18 + side, i * side : (i + 1) * side].astype(int) for i in range(len(MOVES))]
    assert sheet.shape[0] == 18 + 4 * side
    assert all(np.abs(cell - cells[0]).max() > 20 for cell in cells[1:])
    assert main(["intervene", "--data", str(tmp_path), "--gallery", str(path / "gallery.png"), "--threads", "1"]) == 2


def test_unnamed_cues_stand_in_for_named_ones_and_do_not_pass_neutral():
    statements = (Statement("movement", "lip_corners", 1, "plain", 3.0, True),)
    cues = _cues(lip_corners=4.0, mouth_width=-2.0, inner_brow=1.0)
    other, fit = _unnamed(statements, cues, [4.0])
    assert other == {"mouth_width": 4.0}
    assert fit == 0.5
    other, fit = _unnamed(statements, cues, [1.5, 0.5])
    assert other == {"mouth_width": 1.5, "inner_brow": -0.5}
    assert fit == 1
