"""Identities over time, and where a face is between two runs of the finder.

A track knows where its face was, how fast it moves and what it looks like. On a *keyframe* the finder's faces are matched to the tracks
by both: place, predicted by motion, and look, the correlation of the aligned crops. Between keyframes a face *follows* its landmarks:
the similarity that brings the landmarks of the last keyframe onto the newest ones moves box and points, and the finder rests.

A newcomer of whom the finder is not sure is shown when it has been found for a while: a badge that is taken for a face in one frame and not
in the next is nobody. A newcomer is compared once with the people who left (`edge.vision.again`), on the first keyframe that shows it well:
who was here before gets the number back.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from edge.types import Detection
from edge.vision.again import Left, Views, appearance, recognise, shows_well
from edge.vision.crop import crop_matrix
from edge.vision.cut import Cuts
from edge.vision.finder import box_overlap

KEYFRAME_MS = 200.0
"""The finder runs at least this often; a newcomer that is surely a face waits no longer."""
FINE_MS = 600.0
"""Where the smallest faces need a fine look at the whole picture, it is taken this often, and the coarse one between."""
FORGET_MS = 2000.0
"""A track survives this long without being seen; after that it is known by its appearance only."""
NEWCOMER_MS = 2000.0
"""A face that was not seen well for this long keeps the number that it got: numbers do not change late."""
BELIEVED_MS, _FOUND = 700.0, 0.8
"""A newcomer who is less than sure to be a face is believed when it was found for this long, by two fine looks if it needs them, and by
this share of all looks since the first."""

_CROSSING = 0.02  # boxes that overlap this much may soon be one: the finder runs on every frame
_REACH, _REACH_PER_S = 0.5, 1.5  # how far from its predicted place a face may be, in box sides, and more per second unseen
_ALIKE, _ALIKE_AGAIN = 0.3, 0.5  # least correlation of a face with its track, and with one that was out of sight
_ALIKE_CUT = 0.75  # and with one from before a cut: of people in the same place one pair in five has more than 0.6
_SAME = 0.6  # least correlation of a followed crop
_COAST_MS = 400.0  # a hidden face is thought to move on for this long
_NEVER = -math.inf


@dataclass(slots=True)
class _Track:
    number: int
    """0 until it has one."""
    anchor: Detection
    """The finder's, at the last keyframe."""
    landmarks_xy: np.ndarray
    """`[P,2]` at that keyframe; empty until they are known."""
    now: Detection
    """Newest, by landmarks."""
    look: np.ndarray
    """`[S·S]` centred crop of length 1, slowly renewed."""
    seen_ms: float
    velocity: np.ndarray
    """`[2]` pixels per millisecond of the box's middle."""
    views: Views = field(default_factory=Views)
    since_ms: float = 0.0
    compared: bool = False
    """Whether it was held against those who left."""
    believed: bool = False
    """Whether it is a face, as far as one can tell; until then it has no number and is not shown."""
    looks: int = 0
    """Keyframes since it was first found."""
    finds: int = 0
    """Of these, those that found it."""
    cut: bool = False
    """Whether the scene has changed since it was seen."""

    def at(self, t_ms: float) -> Detection:
        """Where the face should be, by its motion."""
        ahead = self.velocity * min(max(t_ms - self.seen_ms, 0.0), _COAST_MS)
        return moved(self.now, np.array([[1.0, 0.0, ahead[0]], [0.0, 1.0, ahead[1]]]))

    def go(self, place: Detection, t_ms: float) -> None:
        """The face was seen at a place."""
        passed_ms = t_ms - self.seen_ms
        if passed_ms > 0:
            step = (_middle(place) - _middle(self.now)) / passed_ms
            self.velocity = 0.5 * self.velocity + 0.5 * step if passed_ms < KEYFRAME_MS else step
        self.now, self.seen_ms = place, t_ms

    def renew(self, found: Detection, look: np.ndarray | None, t_ms: float) -> None:
        """The finder saw the face; its look is renewed only where no other face covers it."""
        if look is not None:
            mixed = 0.8 * self.look + 0.2 * look
            self.look = mixed / max(float(np.linalg.norm(mixed)), 1e-9)
        self.anchor, self.cut = found, False
        self.finds += 1
        self.go(found, t_ms)


class Tracker:
    """Gives faces numbers that stay theirs; one per stream.

    On every frame: `begin`, `expected`, and when that is empty or not `recognised`, the finder and `match`; then `settle` of those with a
    number.
    """

    def __init__(self, sure: float = 0.0, *, remember: bool = True) -> None:
        """Begin without faces.

        Args:
            sure: score 0…1 from which a newcomer is believed at once.
            remember: compare newcomers with the people who left.
        """
        self._sure, self._remembers = sure, remember
        self._tracks: list[_Track] = []
        self._left, self._cuts = Left(), Cuts()
        self._next = 1
        self._keyframe_ms = self._fine_ms = _NEVER

    def begin(self, grey: np.ndarray) -> None:
        """Take in a frame `[H,W]` before anybody is looked for: after a cut nobody is followed, and who is found in somebody's place is
        somebody else, unless they look very much alike."""
        if self._cuts(grey):
            self._keyframe_ms = self._fine_ms = _NEVER
            for track in self._tracks:
                track.cut = True

    def fine_due(self, t_ms: float) -> bool:
        """Whether the finder should look at this frame as finely as it can; from `True` on the next time is counted."""
        due = not 0 <= t_ms - self._fine_ms < FINE_MS
        self._fine_ms = t_ms if due else self._fine_ms
        return due

    def unfound(self, found: list[Detection], t_ms: float) -> list[tuple[Detection, bool]]:
        """Where the faces of the last keyframe should be that are not among those found now, and whether each is believed to be one."""
        places = [(track.at(t_ms), track.believed) for track in self._tracks if track.seen_ms >= self._keyframe_ms]
        if not found or not places:
            return places
        shared = box_overlap(np.stack([place.box_xyxy for place, _ in places]), np.stack([face.box_xyxy for face in found])).max(1)
        return [place for place, share in zip(places, shared, strict=True) if share < _CROSSING]

    def known(self, crop: np.ndarray) -> bool:
        """Whether a crop `[S,S]` looks like one of the faces."""
        return any(float(_look(crop) @ track.look) >= _SAME for track in self._tracks)

    def expected(self, t_ms: float) -> list[Detection]:
        """Where the faces should be, largest first, when following them suffices; empty when the finder must run."""
        if not self._shown or not 0 <= t_ms - self._keyframe_ms < KEYFRAME_MS:
            return []
        if any(track.seen_ms < self._keyframe_ms or not len(track.landmarks_xy) for track in self._shown):
            return []
        self._tracks.sort(key=lambda track: -_side(track.now))
        places = [track.at(t_ms) for track in self._shown]
        boxes = np.stack([place.box_xyxy for place in places])
        shared = box_overlap(boxes, boxes) - np.eye(len(boxes))
        return places if shared.max() < _CROSSING else []

    def recognised(self, crops: list[np.ndarray]) -> list[int]:
        """The numbers of the expected faces; empty when a crop `[S,S]` there looks like something else."""
        alike = [float(_look(crop) @ track.look) for crop, track in zip(crops, self._shown, strict=True)]
        return [track.number for track in self._shown] if min(alike, default=0.0) >= _SAME else []

    def match(self, found: list[Detection], crops: list[np.ndarray], t_ms: float, *, whole: list[bool] | None = None) -> list[int]:
        """Give each face that the finder found, with its crop `[S,S]`, the number of its track, or of who left, or a new one (from 1); 0 to
        those that are not believed yet.

        Args:
            found: the finder's.
            crops: of each.
            t_ms: time of the frame.
            whole: which crops lie within the picture and are large enough to tell people by; `None`: all.
        """
        self._keyframe_ms = t_ms
        looks, alone = [_look(crop) for crop in crops], _alone(found)
        owners: list[_Track | None] = [None] * len(found)
        pairs = [(self._fit(track, face, look, t_ms), i, track) for i, (face, look) in enumerate(zip(found, looks, strict=True))
                 for track in self._tracks]  # fmt: skip
        taken: set[int] = set()
        for fit, i, track in sorted(pairs, key=lambda pair: (not pair[2].believed, -pair[0])):  # who is known chooses first
            if fit > _NEVER and owners[i] is None and id(track) not in taken:
                owners[i] = track
                taken.add(id(track))
                track.renew(found[i], looks[i] if alone[i] else None, t_ms)
        for track in self._tracks:
            track.looks += 1
            if track.believed and t_ms - track.seen_ms > FORGET_MS:
                self._left.add(track.number, track.views)
        self._tracks = [track for track in self._tracks if t_ms - track.seen_ms <= (FORGET_MS if track.believed else KEYFRAME_MS)]
        numbers = []
        for i, (face, owner) in enumerate(zip(found, owners, strict=True)):
            track = owner or _Track(0, face, np.zeros((0, 2)), face, looks[i], t_ms, np.zeros(2), since_ms=t_ms, looks=1, finds=1)
            lasting = t_ms - track.since_ms >= BELIEVED_MS and track.finds >= _FOUND * track.looks
            if not track.believed and (face.score >= self._sure or lasting):
                track.believed, track.since_ms = True, t_ms
            if self._remembers and track.believed and alone[i] and (whole is None or whole[i]):
                self._remember(track, crops[i], t_ms)
            if track.believed and not track.number:
                track.number, self._next = self._next, self._next + 1
            if owner is None:
                self._tracks.append(track)
            numbers.append(track.number)
        return numbers

    def settle(self, numbers: list[int], landmarks_xy: np.ndarray, t_ms: float) -> list[Detection]:
        """Where the faces are, now that their landmarks `[N,P,2]` are known: the finder's places, or the followed ones."""
        mine = {track.number: track for track in self._shown}
        for number, points in zip(numbers, landmarks_xy, strict=True):
            track = mine[number]
            if t_ms == self._keyframe_ms:
                track.landmarks_xy = points.astype(np.float64)
            else:
                track.go(moved(track.anchor, crop_matrix(track.landmarks_xy, points)), t_ms)
        return [mine[number].now for number in numbers]

    @property
    def _shown(self) -> list[_Track]:
        return [track for track in self._tracks if track.believed]

    def _fit(self, track: _Track, face: Detection, look: np.ndarray, t_ms: float) -> float:
        """How well a face fits a track: likeness less distance; −inf when it cannot be it."""
        place = track.at(t_ms)
        unseen_s = max(t_ms - track.seen_ms, 0.0) / 1e3
        side = math.sqrt(_side(face) * _side(place))
        away = float(np.linalg.norm(_middle(face) - _middle(place))) / side
        alike = float(look @ track.look)
        hidden = track.seen_ms < self._keyframe_ms - KEYFRAME_MS
        if away > _REACH + _REACH_PER_S * unseen_s or not 0.5 < _side(face) / _side(place) < 2:
            return _NEVER
        least = _ALIKE_CUT if track.cut else _ALIKE_AGAIN if hidden else _ALIKE
        return alike - away if alike >= least else _NEVER

    def _remember(self, track: _Track, crop: np.ndarray, t_ms: float) -> None:
        """Keep how a face looks, now and then; before the first time find out whether it was here before."""
        if not track.views.due(t_ms) or not shows_well(crop):
            return
        view = appearance(crop)
        newcomer, track.compared = not track.compared and t_ms - track.since_ms <= NEWCOMER_MS, True
        if newcomer:
            hidden = {other.number: other.views for other in self._shown if other.seen_ms < t_ms}
            number = recognise(view, self._left.people | hidden)
            if number is not None:
                track.number, track.views = number, hidden[number] if number in hidden else self._left.people.pop(number)
                self._tracks = [other for other in self._tracks if other is track or other.number != number]
        track.views.take(view, t_ms)


def moved(place: Detection, matrix: np.ndarray) -> Detection:
    """A detection carried by a similarity `[2,3]`; its box stays upright."""
    middle = matrix[:, :2] @ _middle(place) + matrix[:, 2]
    half = (place.box_xyxy[2:] - place.box_xyxy[:2]) / 2 * math.hypot(matrix[0, 0], matrix[1, 0])

    def carried(points: np.ndarray) -> np.ndarray:
        return np.asarray(points @ matrix[:, :2].T + matrix[:, 2], np.float32)

    box, cropped = np.concatenate([middle - half, middle + half]).astype(np.float32), place.cropped_xy
    return Detection(box, carried(place.points_xy), place.score, place.upright, None if cropped is None else carried(cropped))


def _middle(place: Detection) -> np.ndarray:
    return np.asarray((place.box_xyxy[:2] + place.box_xyxy[2:]) / 2, np.float64)


def _side(place: Detection) -> float:
    width, height = place.box_xyxy[2:] - place.box_xyxy[:2]
    return math.sqrt(max(float(width), 1.0) * max(float(height), 1.0))


def _alone(found: list[Detection]) -> list[bool]:
    """Which faces no other one covers."""
    boxes = np.stack([face.box_xyxy for face in found]) if found else np.zeros((0, 4))
    return [bool((np.delete(shared, i) < _CROSSING).all()) for i, shared in enumerate(box_overlap(boxes, boxes))]


def _look(crop: np.ndarray) -> np.ndarray:
    """A crop as a vector whose dot product with another's is their correlation; a blank one is like nothing."""
    values = crop.astype(np.float64).ravel()
    values -= values.mean()
    return np.asarray(values / max(float(np.linalg.norm(values)), 1e-9))
