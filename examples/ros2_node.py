"""A ROS 2 node that says what faces show, in the messages of ROS4HRI (REP 155): `python3 examples/ros2_node.py [SOURCE]`.

| topic | message |
|---|---|
| `/humans/faces/tracked` | `hri_msgs/IdsList` |
| `/humans/faces/<id>/roi` | `hri_msgs/NormalizedRegionOfInterest2D` |
| `/humans/faces/<id>/expression` | `hri_msgs/Expression` |
| `/humans/faces/<id>/facs` | `hri_msgs/FacialActionUnits`, of a bundle that reads action units |
| `/humans/faces/<id>/explanation` | `std_msgs/String`: an explanation that was verified; not in REP 155 |

SOURCE is what `edge-run --camera` takes, 0 without one. ROS 2 comes with its own Python, so make the environment with
`--system-site-packages`, and install `ros-<distribution>-hri-msgs`. Only `main` needs ROS: the mapping is plain Python.
"""

import sys
import time
from collections.abc import Mapping
from typing import Any

from edge import Face, Pipeline, Reading

UNITS = 99
EXPRESSIONS = {
    "neutral": "neutral", "happiness": "happy", "surprise": "surprised", "sadness": "sad", "anger": "angry", "disgust": "disgusted",
    "fear": "scared",
}  # fmt: skip
"""Label → `Expression.expression`. The message has no word for contempt: its expression stays empty, valence and arousal do not."""


def face_id(face: Face) -> str:
    """A name in topics, which may not begin with a digit; like the track it is nobody's identity."""
    return f"face_{face.track}"


def roi_of(face: Face, width: int, height: int) -> dict[str, float]:
    """Fields of a `NormalizedRegionOfInterest2D`; `width` and `height` are the picture's, pixels."""
    x1, y1, x2, y2 = (float(value) for value in face.detection.box_xyxy)
    corners = {"xmin": x1 / width, "ymin": y1 / height, "xmax": x2 / width, "ymax": y2 / height}
    return {**{name: min(max(value, 0.0), 1.0) for name, value in corners.items()}, "c": float(face.detection.score)}


def expression_of(face: Face) -> dict[str, Any]:
    """Fields of an `Expression`; empty where the face is not read."""
    if not face.emotion:
        return {}
    affect = {"valence": float(face.valence or 0.0), "arousal": float(face.arousal or 0.0)}
    return {"expression": EXPRESSIONS.get(face.emotion, ""), **affect, "confidence": float(face.confidence)}


def units_of(face: Face, reliability: Mapping[str, float]) -> dict[str, list[float]]:
    """Fields of a `FacialActionUnits`: one value per code, and confidence 0 where a unit is not read; empty without any.

    Args:
        face: what was read.
        reliability: the bundle's, of each unit (`AU12`).
    """
    intensity, confidence = [0.0] * UNITS, [0.0] * UNITS
    for name, unit in face.action_units.items():
        code = int(name.removeprefix("AU"))
        intensity[code], confidence[code] = float(unit.intensity), float(reliability.get(name, 0.0))
    return {"intensity": intensity, "confidence": confidence} if face.action_units else {}


def messages_of(reading: Reading, reliability: Mapping[str, float]) -> dict[str, tuple[str, dict[str, Any]]]:
    """What a reading is in messages: topic → the message's type and its fields."""
    found: dict[str, tuple[str, dict[str, Any]]] = {"tracked": ("IdsList", {"ids": [face_id(face) for face in reading.faces]})}
    for face in reading.faces:
        said = face.explanation.text if face.explanation else ""  # only a verified explanation has a text
        parts = {
            "roi": ("NormalizedRegionOfInterest2D", roi_of(face, reading.width, reading.height)),
            "expression": ("Expression", expression_of(face)),
            "facs": ("FacialActionUnits", units_of(face, reliability)),
            "explanation": ("String", {"data": said} if said else {}),
        }
        found |= {f"{face_id(face)}/{name}": part for name, part in parts.items() if part[1]}
    return {f"/humans/faces/{topic}": message for topic, message in found.items()}


class Publishers:
    """Publishes readings; a publisher is made when its topic first occurs, and goes with its face."""

    def __init__(self, node: Any, types: Any) -> None:
        self._node, self._types, self._made = node, types, {}

    def publish(self, reading: Reading, reliability: Mapping[str, float], stamp: Any) -> None:
        """Publish one reading, stamped with the time of its picture."""
        found = messages_of(reading, reliability)
        present = {topic.rpartition("/")[0] for topic in found}
        for topic in [topic for topic in self._made if topic.rpartition("/")[0] not in present]:
            self._node.destroy_publisher(self._made.pop(topic))
        for topic, (kind, fields) in found.items():
            message = self._types[kind](**fields)
            if kind != "String":
                message.header.stamp = stamp
            if topic not in self._made:
                self._made[topic] = self._node.create_publisher(self._types[kind], topic, 1)
            self._made[topic].publish(message)


def main() -> None:
    """Read the source until ROS or the source ends."""
    import rclpy
    from hri_msgs.msg import Expression, FacialActionUnits, IdsList, NormalizedRegionOfInterest2D
    from rclpy.duration import Duration
    from std_msgs.msg import String

    kinds = (Expression, FacialActionUnits, IdsList, NormalizedRegionOfInterest2D, String)
    rclpy.init()
    node = rclpy.create_node("erv_edge")
    try:
        with Pipeline.load() as pipeline, pipeline.stream(sys.argv[1] if len(sys.argv) > 1 else 0, explain="change") as stream:
            publishers = Publishers(node, {kind.__name__: kind for kind in kinds})
            reliability = {unit.name: unit.reliability for unit in pipeline.config.units}
            for reading in stream:
                if not rclpy.ok():
                    break
                age_s = time.monotonic() - reading.captured_s if reading.captured_s else 0.0
                publishers.publish(reading, reliability, (node.get_clock().now() - Duration(seconds=age_s)).to_msg())
    finally:
        node.destroy_node()
        rclpy.try_shutdown()


if __name__ == "__main__":
    main()
