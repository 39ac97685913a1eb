"""Would it have said so otherwise? Each thing that a shown explanation states of a face is taken back in the picture, and the face read.

`statements → what can be taken back → moved crops → one batch through the encoder`. A move that the encoder's own reading of the cue does
not follow proves nothing, so that reading comes with the answer's probability; and so does a control: the picture moved there and back.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np

from edge.bundle import BundleConfig
from edge.errors import InputError, UsageError
from edge.language.statements import CUE_KINDS
from edge.sources.picture import as_bgr, as_grey
from edge.types import Counterfactual, Face, Statement, Undone
from edge.vision.crop import align
from edge.vision.encoder import Encoded, FaceEncoder
from edge.vision.moves import Laid, Moves, UnmovableError

_NOT_A_CUE = {
    "pose": "the head cannot be turned in a picture",
    "covered": "what is covered is not in the picture",
    "certainty": "it speaks of the answer, not of the face",
    "runner_up": "it speaks of the answer, not of the face",
    "conclusion": "it is the answer",
}
_LEAST = 0.5
"""A cue that is read nearer to neutral than this in the picture has nothing to be taken back."""
_ELSEWHERE = 0.06
"""A face whose points are read so far from where they were, sides of the crop, is not in this picture. Measured: at most 0.02 in streams
of faces that move fast, 0.08 or more in a black picture."""
CONTROL = 0.5
"""How much of the largest move the control makes there and back: one that closed a mouth or an eye would lose what is inside."""


@dataclass(frozen=True, slots=True)
class _Part:
    """A statement, and the move that takes it back."""

    statement: Statement
    reason: str
    """Why there is none; empty when there is one."""
    shift: np.ndarray | None = None
    words: str = ""


def counterfactual(image: np.ndarray, face: Face, encoder: FaceEncoder, moves: Moves, config: BundleConfig) -> Counterfactual:
    """Take back what the explanation of a face states, one by one.

    Args:
        image: the picture that shows the face, as `Pipeline` takes it.
        face: with an explanation whose text is shown.
        encoder: the bundle's.
        moves: likewise.
        config: likewise.

    Raises:
        InputError: not a picture, or one that does not show the face where it was read.
        UsageError: the face has no verified explanation.
    """
    if face.explanation is None or not face.explanation.text:
        raise UsageError("there is no counterfactual of a face without a verified explanation: explain it first")
    started = time.perf_counter()
    grey = as_grey(as_bgr(image))
    crop, matrix = align(grey, face.detection, config.image)
    read = encoder(crop[None])
    size = config.image.size
    before = (face.points_xy @ matrix[:, :2].T + matrix[:, 2]) / size
    if float(np.linalg.norm(read.points_xy[0] - before, axis=-1).mean()) > _ELSEWHERE:
        raise InputError(
            f"this picture of {grey.shape[1]}×{grey.shape[0]} does not show the face where it was read: give the one of its reading"
        )
    laid: Laid | None = None
    try:
        laid, reason = moves.lay(read.points_xy[0] * size, map(float, read.pose_deg[0])), ""
    except UnmovableError as error:
        reason = str(error)
    parts = [_part(said, face, read, config, moves, laid, reason) for said in face.explanation.statements]
    shifts = [part.shift for part in parts if part.shift is not None]
    pictures: list[np.ndarray] = []
    if laid is not None and shifts:
        largest = max(shifts, key=lambda shift: float(np.abs(shift).max()))
        pictures = [*(moves.draw(crop, laid, shift) for shift in shifts), moves.draw(crop, laid, CONTROL * largest, there_and_back=True)]
    after = encoder.read(np.stack(pictures)) if pictures else None
    answer = config.labels.index(face.explanation.answer)
    names = [cue.name for cue in config.cues]
    undone, row = [], 0
    for part in parts:
        if part.shift is None or after is None:
            undone.append(Undone(part.statement, part.reason))
            continue
        column = names.index(part.statement.subject)
        undone.append(
            Undone(
                part.statement,
                "",
                part.words,
                float(after.probabilities[row, answer]),
                config.labels[int(after.probabilities[row].argmax())],
                float(read.cues[0, column]),
                float(after.cues[row, column]),
            )
        )
        row += 1
    return Counterfactual(
        face.explanation.answer,
        float(read.probabilities[0, answer]),
        float(after.probabilities[-1, answer]) if after is not None else None,
        tuple(undone),
        latency_ms=(time.perf_counter() - started) * 1e3,
    )


def _part(said: Statement, face: Face, read: Encoded, config: BundleConfig, moves: Moves, laid: Laid | None, reason: str) -> _Part:
    """What takes one statement back, or why nothing does."""
    if said.kind not in CUE_KINDS:
        return _Part(said, _NOT_A_CUE.get(said.kind, "it does not speak of a part of the face"))
    if said.kind == "rest":
        return _Part(said, "it is at rest already")
    if said.kind == "eyes_closed":
        return _Part(said, "what closed lids hide is not in the picture")
    if said.subject in face.hidden:
        return _Part(said, "it is out of sight in this picture")
    side = 1 if said.direction > 0 else -1
    if (said.subject, side) not in moves.known:
        return _Part(said, "no move takes it back believably")
    if laid is None:
        return _Part(said, reason)
    measured = float(read.cues[0, [cue.name for cue in config.cues].index(said.subject)])
    if measured * side < _LEAST:
        return _Part(said, "this picture does not show it")
    try:
        return _Part(said, "", moves.back(laid, said.subject, measured), moves.words(said.subject, side))
    except UnmovableError as error:
        return _Part(said, str(error))
