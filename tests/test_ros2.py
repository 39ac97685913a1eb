"""The ROS 2 example without ROS: what a reading becomes, and the node against stand-ins that have the messages' fields."""

import importlib.util
import sys
import types
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edge import Detection, Explanation, Face, Pose, Reading, Verdict
from edge.language.labels import EMOTIONS_8
from edge.types import ActionUnit

PATH = Path(__file__).parents[1] / "examples" / "ros2_node.py"
LISTED = {
    "neutral", "angry", "sad", "happy", "surprised", "disgusted", "scared", "pleading", "vulnerable", "despaired", "guilty", "disappointed",
    "embarrassed", "horrified", "skeptical", "annoyed", "furious", "suspicious", "rejected", "bored", "tired", "asleep", "confused",
    "amazed", "excited",
}  # fmt: skip
"""The constants of hri_msgs/Expression."""
FIELDS = {
    "IdsList": {"header", "ids"},
    "NormalizedRegionOfInterest2D": {"header", "xmin", "ymin", "xmax", "ymax", "c"},
    "Expression": {"header", "expression", "valence", "arousal", "confidence"},
    "FacialActionUnits": {"header", "intensity", "confidence"},
    "String": {"data"},
}


@pytest.fixture(scope="module")
def node():
    spec = importlib.util.spec_from_file_location("ros2_node", PATH)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def face(track=1, **values) -> Face:
    box = np.array([-64, 48, 192, 240], np.float32)
    probabilities = {**dict.fromkeys(EMOTIONS_8, 0.0), "happiness": 0.9, "neutral": 0.1}
    said = Explanation("A smile shows.", "happiness", Verdict.VERIFIED, 0.97, 1.0, (), 1)
    found, points = Detection(box, np.zeros((5, 2), np.float32), 0.9), np.zeros((3, 2), np.float32)
    plain = Face(track, found, "happiness", 0.9, probabilities, {}, points, Pose(1, 2, 3), said)
    units = {"AU06": ActionUnit(0.25), "AU12": ActionUnit(0.75, 0.5, 0.75)}
    return replace(plain, **{"action_units": units, **values})


def reading(*faces: Face) -> Reading:
    return Reading("0", 7, 280.0, 640, 480, faces, {"total": 5.0}, 3.0)


def test_a_face_becomes_messages_with_the_fields_of_hri_msgs(node):
    found = node.messages_of(reading(face(3)), {"AU12": 0.8})
    assert found["/humans/faces/tracked"] == ("IdsList", {"ids": ["face_3"]})
    kind, roi = found["/humans/faces/face_3/roi"]
    assert kind == "NormalizedRegionOfInterest2D"
    assert roi == pytest.approx({"xmin": 0.0, "ymin": 0.1, "xmax": 0.3, "ymax": 0.5, "c": 0.9})
    kind, said = found["/humans/faces/face_3/expression"]
    assert (kind, said["expression"]) == ("Expression", "happy")
    assert said["confidence"] == pytest.approx(0.9)
    assert said["valence"] == pytest.approx(0.9 * 0.81)
    assert said["arousal"] == pytest.approx(0.9 * 0.51)
    kind, units = found["/humans/faces/face_3/facs"]
    assert kind == "FacialActionUnits"
    assert (len(units["intensity"]), len(units["confidence"])) == (99, 99)
    assert {i: value for i, value in enumerate(units["intensity"]) if value} == {6: 0.25, 12: 0.75}
    assert {i: value for i, value in enumerate(units["confidence"]) if value} == {12: 0.8}
    assert found["/humans/faces/face_3/explanation"] == ("String", {"data": "A smile shows."})
    for kind, fields in found.values():
        assert set(fields) <= FIELDS[kind]


def test_what_is_not_read_or_not_verified_is_not_published(node):
    assert node.messages_of(reading(), {}) == {"/humans/faces/tracked": ("IdsList", {"ids": []})}
    unclear = face(emotion="", confidence=0.0, probabilities={}, action_units={}, explanation=None)
    assert set(node.messages_of(reading(unclear), {})) == {"/humans/faces/tracked", "/humans/faces/face_1/roi"}
    rejected = face(explanation=Explanation("", "happiness", Verdict.REJECTED, 0.1, 0.0, (), 4))
    assert "/humans/faces/face_1/explanation" not in node.messages_of(reading(rejected), {})


def test_every_label_has_a_listed_expression_or_none(node):
    assert set(node.EXPRESSIONS.values()) <= LISTED
    assert set(EMOTIONS_8) - set(node.EXPRESSIONS) == {"contempt"}
    scorn = node.expression_of(face(emotion="contempt"))
    assert scorn["expression"] == ""
    assert scorn["valence"] != 0


class _Message:
    def __init__(self, kind):
        self.kind, self.header = kind, types.SimpleNamespace(stamp=None)


def _message_type(name):
    def make(**fields):
        assert set(fields) <= FIELDS[name]
        message = _Message(name)
        vars(message).update(fields)
        return message

    make.__name__ = name
    return make


class _Time:
    def __init__(self, seconds):
        self.seconds = seconds

    def __sub__(self, other):
        return _Time(self.seconds - other.seconds)

    def to_msg(self):
        return self.seconds


def test_the_node_publishes_a_stream_and_lets_go_of_faces_that_left(node, monkeypatch, video):
    """`main` itself, with ROS's modules replaced by what it uses of them."""
    published, destroyed = [], []
    fake = types.SimpleNamespace(
        create_publisher=lambda kind, topic, depth: types.SimpleNamespace(
            topic=topic, publish=lambda message: published.append((topic, kind.__name__, message))
        ),
        destroy_publisher=lambda publisher: destroyed.append(publisher.topic),
        get_clock=lambda: types.SimpleNamespace(now=lambda: _Time(1000.0)),
        destroy_node=lambda: destroyed.append("node"),
    )
    modules = {
        "rclpy": types.SimpleNamespace(init=lambda: None, ok=lambda: True, create_node=lambda name: fake, try_shutdown=lambda: None),
        "rclpy.duration": types.SimpleNamespace(Duration=lambda seconds: _Time(seconds)),
        "hri_msgs": types.SimpleNamespace(),
        "hri_msgs.msg": types.SimpleNamespace(**{name: _message_type(name) for name in FIELDS if name != "String"}),
        "std_msgs": types.SimpleNamespace(),
        "std_msgs.msg": types.SimpleNamespace(String=_message_type("String")),
    }
    for name, module in modules.items():
        monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.setattr(sys, "argv", ["ros2_node.py", str(video)])
    node.main()
    topics = [topic for topic, _, _ in published]
    assert topics.count("/humans/faces/tracked") == 12
    assert topics.count("/humans/faces/face_1/expression") == 12
    assert destroyed == ["node"]
    assert {message.expression for topic, _, message in published if topic.endswith("/expression")} == {"happy"}
    assert all(message.header.stamp == 1000.0 for _, kind, message in published if kind != "String")
    several = node.Publishers(fake, {name: _message_type(name) for name in FIELDS})
    several.publish(reading(face(1), face(2)), {}, 1.0)
    several.publish(reading(face(2)), {}, 2.0)
    assert sorted(destroyed[1:]) == [f"/humans/faces/face_1/{name}" for name in ("explanation", "expression", "facs", "roi")]
