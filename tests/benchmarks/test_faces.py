import numpy as np
import pytest
from packs import write_audit

from benchmarks.pictures import TITLE_PX
from benchmarks.quality.face_sets import held_out
from benchmarks.quality.faces import Looker, Misses, audit, compare
from benchmarks.quality.photographs import load_photographs
from edge.cv import cv2
from edge.types import Detection
from edge.vision.encoder import FaceEncoder
from edge.vision.screen import Screen
from training.compose import Piece, Scene


def _known(*boxes, unsure=(), turn_deg=0.0):
    points = np.array([[[x1, y1], [x2, y1], [(x1 + x2) / 2, (y1 + y2) / 2], [x1, y2], [x2, y2]] for x1, y1, x2, y2 in boxes], float)
    picture = np.zeros((200, 200), np.uint8)
    for x1, y1, x2, y2 in boxes:
        picture[y1:y2, x1:x2] = 200
    count = len(boxes)
    return Scene(picture, [np.array(box, float) for box in boxes], list(points), [turn_deg] * count, ["plain"] * count,
                 [np.array(box, float) for box in unsure])  # fmt: skip


def _finder(answers):
    """Finds what it is told, picture after picture."""
    left = iter(answers)
    return lambda _: [
        Detection(np.array(box, np.float32), np.array([[box[0], box[1]], [box[2], box[1]], [(box[0] + box[2]) / 2, (box[1] + box[3]) / 2],
                                                       [box[0], box[3]], [box[2], box[3]]], np.float32), 0.9)
        for box in next(left)
    ]  # fmt: skip


A, B, C = (10, 10, 50, 50), (100, 100, 160, 160), (60, 10, 70, 20)


def test_recall_false_faces_and_points_are_counted_against_what_is_known():
    pictures = [_known(A, B), _known(A, unsure=[C]), _known()]
    figures = compare(
        {"half": _finder([[A, C], [C], [B]]), "blind": _finder([[], [], []]), "whole": _finder([[A, B], [A], []])}, pictures, "x"
    )
    assert (figures["pictures"], figures["faces"]) == (3, 3)
    assert figures["whole"]["recall"]["share"] == 1
    assert figures["whole"]["point_error"] == 0
    assert figures["half"]["recall"]["share"] == figures["half"]["over_yardstick"]["share"] == pytest.approx(1 / 3)
    assert figures["half"]["false_a_picture"] == pytest.approx(2 / 3), "what lies on an unsure place is neither right nor wrong"
    assert figures["half"]["parts"]["width 20% to 100%"] == {"faces": 3, "recall": pytest.approx(1 / 3)}
    assert figures["blind"]["recall"]["share"] == 0
    assert figures["half"]["recall"]["low"] <= 1 / 3 <= figures["half"]["recall"]["high"]


def test_one_found_face_answers_for_one_known_face():
    near = (12, 12, 52, 52)
    figures = compare({"one": _finder([[A]]), "two": _finder([[A, near]])}, [_known(A, near)], "x")
    assert figures["one"]["recall"]["share"] == 0.5
    assert figures["two"]["recall"]["share"] == 1


def test_a_face_whose_points_lie_upside_down_is_found_and_not_the_right_way_up():
    upside = _known(A)
    upside.points[0] = upside.points[0][[4, 3, 2, 1, 0]]
    figures = compare({"one": _finder([[A]]), "two": _finder([[A]])}, [upside], "x")
    assert figures["one"]["recall"]["share"] == 1
    assert figures["one"]["right_way_up"] == 0


@pytest.mark.parametrize("turn_deg", [90, 180, 270])
def test_a_turned_photo_is_turned_with_its_faces(turn_deg):
    picture = np.zeros((60, 100), np.uint8)
    picture[10:30, 70:90] = 255
    piece = Piece(
        picture, np.array([[70.0, 10, 90, 30]]), np.array([[[75.0, 15], [85, 15], [80, 20], [75, 25], [85, 25]]]), np.zeros((0, 4))
    )
    (turned,) = held_out([piece], turn_deg)
    x1, y1, x2, y2 = turned.boxes[0].round().astype(int)
    assert turned.picture[y1:y2, x1:x2].min() == 255
    assert turned.picture.astype(int).sum() == 255 * 400
    eyes, mouth = turned.points[0][:2].mean(0), turned.points[0][3:].mean(0)
    down = np.array([-np.sin(np.radians(turn_deg)), np.cos(np.radians(turn_deg))])
    assert (mouth - eyes) @ down == pytest.approx(10)


def test_misses_and_false_faces_are_drawn():
    misses = Misses(side=32)
    compare({"mine": _finder([[C]]), "yunet": _finder([[A, B]])}, [_known(A, B)], "x", misses)
    assert {kind: len(tiles) for kind, tiles in misses.tiles.items()} == {"missed": 2, "false": 1}
    assert misses.picture().shape == (2 * (32 + TITLE_PX), 320)


def test_recall_is_told_by_turn():
    turned = _known(A, turn_deg=-170.0)
    parts = compare({"one": _finder([[A], []]), "two": _finder([[A], [A]])}, [_known(A), turned], "x")["one"]["parts"]
    assert parts["turned 0 to 30 deg"]["recall"] == 1
    assert parts["turned 120 to 181 deg"] == {"faces": 1, "recall": 0}


def test_an_audit_photograph_counts_where_a_face_lies_on_its_middle(tmp_path):
    photographs = load_photographs(write_audit(tmp_path / "faces_audit.zip", [np.zeros((200, 200, 3), np.uint8)] * 4))
    found = audit({"middle": _finder([[(50, 50, 150, 150)], [A], [], [A, B, (50, 50, 150, 150)]])}, photographs)["middle"]
    assert found["all"] == 0.5
    assert found["least"] == min(found["groups"].values())
    assert np.mean(list(found["groups"].values())) == 0.5


def test_the_screen_looks_at_finds_in_grey_and_in_colour_where_the_bundle_asks_for_it(pipeline, portrait):
    own = pipeline.finder.screen
    for screen, there in ((own, 1), (Screen(own.session, pipeline.config.image, 9.0), 0)):
        looker = Looker(pipeline.finder.session, pipeline.config.face, FaceEncoder(pipeline.encoder.session, pipeline.config), screen)
        for picture in (portrait, cv2.cvtColor(portrait, cv2.COLOR_BGR2GRAY)):
            assert len(looker.at(0)(picture)) == there
