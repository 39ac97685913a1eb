"""The annotated picture: the frame with its faces marked, beside a panel that shows the reading of the largest one."""

from __future__ import annotations

import textwrap

import numpy as np

from edge.cv import cv2
from edge.outputs.words import in_words, measure
from edge.types import Explanation, Face, Reading, Verdict

PANEL_PX = 380
_MIN_HEIGHT = 600
_FOOT = 46
"""Height of what stands below the panel, pixels."""
_INK, _DIM, _PAPER, _BAR = (235, 235, 235), (150, 150, 150), (32, 28, 26), (214, 158, 72)
_COLOURS = {Verdict.VERIFIED: (110, 200, 90), Verdict.REJECTED: (90, 110, 230), Verdict.ABSTAINED: (80, 190, 240)}
_WORDS = {
    Verdict.VERIFIED: "explanation verified",
    Verdict.REJECTED: "explanation rejected, not shown",
    Verdict.ABSTAINED: "unsure: no explanation",
}
_FONT = cv2.FONT_HERSHEY_SIMPLEX


def annotate(image_bgr: np.ndarray, reading: Reading, cue_points: dict[str, list[int]]) -> np.ndarray:
    """Draw a reading.

    Args:
        image_bgr: `[H,W,3]` uint8, the frame that was read; not changed.
        reading: its reading.
        cue_points: cue → indices into `Face.points_xy` that show it.

    Returns:
        `[H',W',3]` uint8: the frame, scaled to at least the panel's height and at most 1280 pixels wide, with the panel at its right.
    """
    height, width = image_bgr.shape[:2]
    scale = min(max(1.0, _MIN_HEIGHT / height), 1280 / width)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    frame = np.asarray(cv2.resize(image_bgr, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC))
    for face in reversed(reading.faces):
        _mark(frame, face, scale, cue_points)
    canvas = np.full((max(size[1], _MIN_HEIGHT), size[0] + PANEL_PX, 3), _PAPER, np.uint8)
    canvas[: size[1], : size[0]] = frame
    panel = canvas[:, size[0] :]
    if reading.faces:
        _panel(panel, reading.faces[0])
    else:
        _text(panel, "no face", 20, 40, 0.7, _DIM)
    _text(panel, "expression analysis is on: apparent expression,", 20, canvas.shape[0] - 30, 0.4, _DIM)
    _text(panel, "not what anybody feels", 20, canvas.shape[0] - 14, 0.4, _DIM)
    return canvas


def _mark(frame: np.ndarray, face: Face, scale: float, cue_points: dict[str, list[int]]) -> None:
    colour = _COLOURS[face.explanation.status] if face.explanation else _BAR
    x1, y1, x2, y2 = (round(float(v) * scale) for v in face.detection.box_xyxy)
    reach = max(6, (x2 - x1) // 5)
    for x, y, dx, dy in ((x1, y1, 1, 1), (x2, y1, -1, 1), (x1, y2, 1, -1), (x2, y2, -1, -1)):
        cv2.line(frame, (x, y), (x + dx * reach, y), colour, 2, cv2.LINE_AA)
        cv2.line(frame, (x, y), (x, y + dy * reach), colour, 2, cv2.LINE_AA)
    claimed: set[int] = set()
    if face.explanation and face.explanation.text:
        claimed = {i for claim in face.explanation.claims for i in cue_points.get(claim.cue, [])}
    for i, (x, y) in enumerate(face.points_xy * scale):
        radius, ink = (4, colour) if i in claimed else (1, _INK)
        cv2.circle(frame, (round(float(x)), round(float(y))), radius, ink, -1, cv2.LINE_AA)
    label = f"{face.track}  {face.emotion} {face.confidence:.0%}" if face.emotion else f"{face.track}  not read: {', '.join(face.unclear)}"
    (wide, high), _ = cv2.getTextSize(label, _FONT, 0.5, 1)
    left, base = max(0, min(x1, frame.shape[1] - wide - 8)), max(high + 8, y1 - 6)
    cv2.rectangle(frame, (left, base - high - 7), (left + wide + 8, base + 4), colour, -1)
    _text(frame, label, left + 4, base - 2, 0.5, (20, 20, 20))


def _panel(panel: np.ndarray, face: Face) -> None:
    if not face.emotion:
        _text(panel, f"not read: {', '.join(face.unclear)}", 20, 42, 0.7, _DIM)
        return
    _text(panel, face.emotion, 20, 42, 1.0, _INK)
    _text(panel, f"{face.confidence:.0%}", PANEL_PX - 80, 42, 0.8, _INK)
    y = 72
    for name, value in face.probabilities.items():
        _text(panel, name, 20, y, 0.45, _INK if name == face.emotion else _DIM)
        cv2.rectangle(panel, (120, y - 9), (PANEL_PX - 20, y - 1), (58, 52, 48), -1)
        cv2.rectangle(panel, (120, y - 9), (120 + round(value * (PANEL_PX - 140)), y - 1), _BAR, -1)
        y += 20
    if face.hidden:
        for line in textwrap.wrap(f"out of sight: {', '.join(face.hidden)}", 50)[:3]:
            _text(panel, line, 20, y, 0.42, _DIM)
            y += 17
    if face.explanation:
        _explanation(panel, face.explanation, y + 14)


def _explanation(panel: np.ndarray, explanation: Explanation, y: int) -> None:
    colour = _COLOURS[explanation.status]
    cv2.circle(panel, (26, y - 4), 5, colour, -1, cv2.LINE_AA)
    _text(panel, _WORDS[explanation.status], 40, y, 0.5, colour)
    y += 26
    for line in textwrap.wrap(explanation.text, 44)[:6]:
        _text(panel, line, 20, y, 0.48, _INK)
        y += 20
    statements = explanation.statements if explanation.text else ()
    y, room = y + 6, (panel.shape[0] - _FOOT - y - 6) // 16
    for said in statements if len(statements) <= room else statements[: max(0, room - 1)]:
        mark = _COLOURS[Verdict.VERIFIED] if said.holds else _DIM
        _text(panel, in_words(said), 20, y, 0.4, mark)
        _text(panel, measure(said).replace("°", " deg"), PANEL_PX - 80, y, 0.4, mark)
        y += 16
    if len(statements) > room:
        _text(panel, f"and {len(statements) - max(0, room - 1)} more", 20, y, 0.4, _DIM)


def _text(image: np.ndarray, text: str, x: int, y: int, size: float, colour: tuple[int, int, int]) -> None:
    cv2.putText(image, text, (x, y), _FONT, size, colour, 1, cv2.LINE_AA)
