"""What became of the answer without each thing that its explanation states: pipeline, stream and JSON."""

import json
from dataclasses import fields, replace
from pathlib import Path

import cv2
import jsonschema
import numpy as np
import pytest

import edge
from edge import Counterfactual, InputError, Statement, UsageError, Verdict
from edge.counterfactual import counterfactual
from edge.live.scene import Scene
from edge.sources.camera import Frame
from edge.sources.picture import as_grey
from edge.vision.crop import align
from edge.vision.encoder import Encoded

SCHEMA = json.loads((Path(edge.__file__).parent / "reading.schema.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def found(movable, portrait) -> Counterfactual:
    return movable.counterfactual(portrait, movable(portrait).faces[0])


class Altered:
    """An encoder whose reading of single crops is another."""

    def __init__(self, encoder, **values) -> None:
        self.encoder, self.values = encoder, values

    def __call__(self, crops: np.ndarray) -> Encoded:
        return replace(self.encoder(crops), **self.values)

    def read(self, crops: np.ndarray) -> Encoded:
        return self.encoder.read(crops)


def _stating(face, *statements: Statement):
    return replace(face, explanation=replace(face.explanation, statements=statements))


SMILE = Statement("movement", "lip_corners", 1, "plain", 3.0, True)


def test_every_statement_is_taken_back_or_told_why_not(movable, portrait, found):
    face = movable(portrait).faces[0]
    assert found.answer == "happiness"
    assert found.probability == pytest.approx(face.probabilities["happiness"], abs=1e-5)
    assert [one.statement for one in found.undone] == list(face.explanation.statements)
    taken = [one for one in found.undone if not one.reason]
    assert {"lip_corners", "mouth_width"} <= {one.statement.subject for one in taken}
    for one in taken:
        assert one.words.startswith("the ")
        assert one.cue_before == pytest.approx(face.cues[one.statement.subject], abs=1e-4)
        assert abs(one.cue_after) < abs(one.cue_before), "its reading goes back"
        assert one.followed == pytest.approx(1 - one.cue_after / one.cue_before)
        assert [replace(one, cue_after=share * one.cue_before).counts for share in (0.4, 0.6)] == [True, False]
    for one in found.undone:
        assert bool(one.reason) == (one.probability is None) == (one.followed is None) == (not one.words)
        assert not (one.reason and one.counts)
    smile = next(one for one in taken if one.statement.subject == "lip_corners")
    assert smile.probability < found.probability
    assert 0 < found.latency_ms < 60_000


def test_with_nothing_taken_back_the_probability_stays(found):
    assert found.control == pytest.approx(found.probability, abs=0.02)
    moved = max(abs(one.probability - found.probability) for one in found.undone if not one.reason)
    assert abs(found.control - found.probability) < moved


def test_what_is_no_part_of_a_face_is_told_apart(movable, portrait):
    face = movable(portrait).faces[0]
    others = {
        Statement("rest", "inner_brow", 0, "", 0.1, True): "at rest already",
        Statement("eyes_closed", "eye_opening", 0, "", -3.0, True): "closed lids",
        Statement("pose", "yaw", 1, "plain", 20.0, True): "cannot be turned",
        Statement("covered", "mouth", 0, "", 1.0, True): "covered",
        Statement("certainty", "", 0, "sure", 0.9, True): "the answer, not of the face",
        Statement("runner_up", "anger", 0, "", 0.2, True): "the answer, not of the face",
        Statement("movement", "chin_raise", 1, "plain", 2.0, True): "no move takes it back",
        Statement("movement", "lip_corners", -1, "plain", -2.0, True): "this picture does not show it",
    }
    told = movable.counterfactual(portrait, _stating(face, *others))
    for one, (statement, reason) in zip(told.undone, others.items(), strict=True):
        assert reason in one.reason, statement
    assert told.control is None, "nothing was moved"


def test_what_is_hidden_and_a_turned_head_are_left_alone(movable, portrait):
    face = _stating(movable(portrait).faces[0], SMILE)
    (hidden,) = movable.counterfactual(portrait, replace(face, hidden=("lip_corners",))).undone
    assert hidden.reason == "it is out of sight in this picture"
    turned = Altered(movable.encoder, pose_deg=np.array([[-42.0, 0.0, 0.0]]))
    (away,) = counterfactual(portrait, face, turned, movable.moves, movable.config).undone
    assert away.reason == "the head is turned by 42°, more than 35°"
    _, matrix = align(as_grey(portrait), face.detection, movable.config.image)
    points = np.random.default_rng(0).uniform(0, 1, (1, 23, 2))
    back, size = np.linalg.inv(np.vstack([matrix, [0, 0, 1]])), movable.config.image.size
    torn = Altered(movable.encoder, points_xy=points)
    face = replace(face, points_xy=points[0] * size @ back[:2, :2].T + back[:2, 2])
    (none,) = counterfactual(portrait, face, torn, movable.moves, movable.config).undone
    assert none.reason == "the points that were read do not form a face"


def test_what_the_picture_shows_further_than_any_muscle_goes_is_told(movable, portrait):
    face = _stating(movable(portrait).faces[0], SMILE)
    cues = movable.encoder(np.zeros((1, 96, 96), np.uint8)).cues * 0 + 60
    (one,) = counterfactual(portrait, face, Altered(movable.encoder, cues=cues), movable.moves, movable.config).undone
    assert one.reason.startswith("no muscle goes so far: 60.0 deviations")


def test_a_picture_that_does_not_show_the_face_is_refused(movable, portrait):
    face = movable(portrait).faces[0]
    black, flipped = np.zeros_like(portrait), np.ascontiguousarray(portrait[:, ::-1])
    for other in (black, portrait[:20, :20], cv2.resize(portrait, (256, 256)), flipped, np.roll(portrait, 20, axis=1)):
        with pytest.raises(InputError, match="does not show the face where it was read"):
            movable.counterfactual(other, face)
    assert movable.counterfactual(portrait[:300, :400], face).answer == "happiness", "the face is all there"


def test_a_face_without_a_verified_explanation_has_none(movable, portrait):
    face = movable(portrait).faces[0]
    for other in (replace(face, explanation=None), replace(face, explanation=replace(face.explanation, status=Verdict.REJECTED))):
        with pytest.raises(UsageError, match="without a verified explanation: explain it first"):
            movable.counterfactual(portrait, other)


def test_a_bundle_without_moves_says_so_and_reads_on(pipeline, portrait, monkeypatch):
    monkeypatch.setattr(pipeline, "moves", None)
    face = pipeline(portrait).faces[0]
    with pytest.raises(UsageError, match=r"has no moves\.npz and tells no counterfactuals: add it with 'python -m export moves'"):
        pipeline.counterfactual(portrait, face)


def test_json_is_as_the_schema_says(movable, portrait, found):
    reading = movable(portrait)
    whole = replace(reading, faces=(replace(reading.faces[0], counterfactual=found),)).to_dict()
    jsonschema.Draft202012Validator(SCHEMA).validate(json.loads(json.dumps(whole, allow_nan=False)))
    told = whole["faces"][0]["counterfactual"]
    for data, name in ((told, "counterfactual"), (told["undone"][0], "undone")):
        assert list(data) == list(SCHEMA["$defs"][name]["properties"]) == SCHEMA["$defs"][name]["required"]
    assert {field.name for field in fields(Counterfactual)} == {*told}
    wrong = {**told, "undone": [{**told["undone"][0], "probability": None}]}
    assert not jsonschema.Draft202012Validator({**SCHEMA, **SCHEMA["$defs"]["counterfactual"]}).is_valid(wrong)


def _frames(scene: Scene, portrait: np.ndarray, times: range):
    return [scene.read(Frame(portrait, "test", i, 40.0 * i)) for i in times]


def test_a_stream_answers_with_its_next_reading_and_keeps_the_answer_while_the_label_stays(movable, portrait):
    with Scene(movable, explain="change") as scene:
        (first,) = _frames(scene, portrait, range(1))
        assert first.faces[0].counterfactual is None
        scene.counterfactual(1)
        second, third = _frames(scene, portrait, range(1, 3))
        told = second.faces[0].counterfactual
        assert told.t_ms == 40
        assert told.answer == "happiness"
        assert second.latency_ms["total"] >= told.latency_ms
        assert third.faces[0].counterfactual is told
        scene.counterfactual()
        (fourth,) = _frames(scene, portrait, range(3, 4))
        assert fourth.faces[0].counterfactual.t_ms == 120
        blank = np.zeros_like(portrait)
        assert not scene.read(Frame(blank, "test", 4, 10_000.0)).faces
        (again,) = [scene.read(Frame(portrait, "test", 5, 20_000.0))]
        assert again.faces[0].counterfactual is None, "it is another spell"


def test_a_frame_that_shows_the_face_elsewhere_is_passed_over(movable, portrait, monkeypatch):
    told, found = [], movable.counterfactual

    def refused_once(image_bgr, face):
        told.append(face.track)
        if len(told) == 1:
            raise InputError("this picture does not show the face")
        return found(image_bgr, face)

    monkeypatch.setattr(movable, "counterfactual", refused_once)
    with Scene(movable, explain="every") as scene:
        _frames(scene, portrait, range(1))
        scene.counterfactual(1)
        first, second = _frames(scene, portrait, range(1, 3))
    assert first.faces[0].counterfactual is None
    assert second.faces[0].counterfactual.t_ms == 80


def test_a_stream_waits_for_an_explanation_to_ask_about(movable, portrait):
    with Scene(movable, explain="request") as scene:
        _frames(scene, portrait, range(1))
        scene.counterfactual(1)
        (silent,) = _frames(scene, portrait, range(1, 2))
        assert silent.faces[0].counterfactual is None
        scene.explain(1)
        (told,) = _frames(scene, portrait, range(2, 3))
        assert told.faces[0].counterfactual.t_ms == 80


def test_a_live_stream_passes_the_wish_on(movable, portrait):
    with movable.stream((Frame(portrait, "test", i, 40.0 * i) for i in range(3)), explain="every") as stream:
        next(stream)
        stream.counterfactual(1)
        assert next(stream).faces[0].counterfactual is not None


def test_a_stream_of_a_bundle_without_moves_refuses_the_wish(movable, pipeline):
    bare = replace(movable.config, movable=[])
    scene = Scene(pipeline)
    scene._config = bare
    with pytest.raises(UsageError, match="no counterfactuals"):
        scene.counterfactual(1)


def test_what_is_taken_back_is_taken_from_the_crop_that_was_read(movable, portrait, found):
    """Its points are a little better than those by which it was cropped; the answer must not change for that."""
    face = movable(portrait).faces[0]
    assert face.detection.cropped_xy is not None
    assert (face.detection.cropped_xy != face.detection.points_xy).any()
    assert found.probability == pytest.approx(face.probabilities["happiness"], abs=1e-6)
