"""What a stream remembers of one face: its smoothed label, its last frames for the policy, its neutral face, its explanation."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from edge.bundle import BundleConfig
from edge.language.explain import Subject
from edge.language.statements import Facts, Rules
from edge.live.baseline import Baseline, Calibration
from edge.live.dynamics import Dynamics
from edge.live.schedule import Outcome, Task
from edge.live.smooth import LabelSmoother
from edge.types import Counterfactual, Event, Explanation, Face
from edge.vision.quality import unclear

WINDOW_MS = 1000.0
"""Frames older than this are not shown to the policy."""
_UNSURER = 0.05
"""By so much the label's probability may fall below that of abstention before its explanation is withdrawn."""


@dataclass(frozen=True, slots=True)
class _Glimpse:
    """A clear frame of the face."""

    t_ms: float
    label: int
    tokens: np.ndarray
    cues: dict[str, float]
    pose: tuple[float, float]
    """Yaw and pitch, degrees."""
    hidden: tuple[str, ...]
    veiled: tuple[str, ...]
    dim: tuple[str, ...]


def _in_half(groups: list[tuple[str, ...]]) -> frozenset[str]:
    """Names that half of the groups or more have: cues of frames."""
    counts = Counter(name for group in groups for name in group)
    return frozenset(name for name, count in counts.items() if 2 * count >= len(groups))


def _unseen(glimpses: list[_Glimpse]) -> tuple[frozenset[str], frozenset[str], frozenset[str]]:
    """Cues that are hidden in half of the frames or more, those that are veiled, and those that are dim."""
    return _in_half([g.hidden for g in glimpses]), _in_half([g.veiled for g in glimpses]), _in_half([g.dim for g in glimpses])


class Person:
    """One track's memory."""

    def __init__(self, config: BundleConfig, *, rules: Rules, baseline: Baseline | None, calibrate_s: float) -> None:
        self.config, self._rules = config, rules
        self.seen_ms = 0.0
        self.spell = 0
        """Counts the changes of the shown label, and how often its explanation was withdrawn for what has changed since."""
        self._given = baseline
        self._calibration = Calibration(calibrate_s) if calibrate_s > 0 else None
        self._smoother = LabelSmoother()
        self._glimpses: deque[_Glimpse] = deque(maxlen=config.policy.max_frames)
        self._explanation: Explanation | None = None
        self._explained_ms: float | None = None
        self.counterfactual: Counterfactual | None = None
        """The one that was asked for last, while the shown label and what is in sight stay."""
        self._dynamics = Dynamics([cue.name for cue in config.cues])

    @property
    def calibrated(self) -> Baseline | None:
        """This face's own neutral, once it has been measured here."""
        return self._calibration.baseline if self._calibration else None

    def see(self, face: Face, crop: np.ndarray, side_px: float, tokens: np.ndarray, t_ms: float) -> Face:
        """Take in one frame of the face as the encoder read it; return it as the stream shows it, without explanation.

        Args:
            face: the encoder's reading.
            crop: `[S,S]` uint8.
            side_px: side of the crop in the picture.
            tokens: `[T,D]` visual tokens.
            t_ms: time of the frame.
        """
        self.seen_ms = t_ms
        before, smoother = self._smoother.shown, self._smoother
        faults = face.unclear + unclear(crop, side_px, face.pose)
        events = self._dynamics.see(face, t_ms, clear=not faults)
        if faults:
            smoother.miss(t_ms)
        else:
            probabilities = np.array(list(face.probabilities.values()))
            smoother.see(probabilities, t_ms)
            if self._calibration:
                self._calibration.see({name: value for name, value in face.cues.items() if name not in face.hidden}, t_ms)
            self._glimpses.append(
                _Glimpse(
                    t_ms,
                    int(probabilities.argmax()),
                    tokens,
                    face.cues,
                    (face.pose.yaw_deg, face.pose.pitch_deg),
                    face.hidden,
                    face.veiled,
                    face.dim,
                )
            )
        shown = self._shown(face, faults, events)
        if smoother.shown != before or self._covered(t_ms) or (not faults and self._outlived(shown, t_ms)):
            self.spell += 1
            self._explanation = self._explained_ms = self.counterfactual = None
        return shown

    def task(self, face: Face, t_ms: float) -> Task | None:
        """What to explain now: the last clear frames that read as the shown label; `None` without any."""
        recent = self._speaking(t_ms)
        if not recent or not face.emotion:
            return None
        subject = Subject(np.concatenate([g.tokens for g in recent]), face.emotion, face.confidence, self._facts(recent, face))
        return Task(face.track, self.spell, recent[-1].t_ms, subject)

    def attach(self, outcome: Outcome) -> bool:
        """Keep an explanation, if it is about this spell and not older than the one at hand."""
        if outcome.task.spell != self.spell or outcome.task.t_ms < (self._explained_ms or 0.0):
            return False
        self._explanation, self._explained_ms = outcome.explanation, outcome.task.t_ms
        return True

    def explained(self, face: Face) -> Face:
        """The face with the explanation at hand, and what was asked about it."""
        return replace(face, explanation=self._explanation, explained_t_ms=self._explained_ms, counterfactual=self.counterfactual)

    def _facts(self, glimpses: list[_Glimpse], face: Face) -> Facts:
        """What frames show together of a face with these probabilities."""
        hidden, veiled, dim = _unseen(glimpses)
        middle = {}
        for name in glimpses[0].cues:
            middle[name] = float(np.mean([g.cues[name] for g in glimpses if name in hidden or name not in g.hidden]))
        pose = np.mean([g.pose for g in glimpses], 0)
        return Facts(self._measured(middle), float(pose[0]), float(pose[1]), face.probabilities, hidden, veiled, dim)

    def _speaking(self, t_ms: float) -> list[_Glimpse]:
        """The last frames that read as the shown label: what is explained."""
        return [g for g in self._recent(t_ms) if g.label == self._smoother.shown]

    def _recent(self, t_ms: float) -> list[_Glimpse]:
        return [g for g in self._glimpses if t_ms - g.t_ms <= WINDOW_MS]

    def _covered(self, t_ms: float) -> bool:
        """Whether something has come to lie over what the shown explanation speaks of, or what it calls out of sight is seen again."""
        if self._explanation is None or not self._explanation.text:
            return False
        hidden, veiled, _ = _unseen(self._recent(t_ms))
        told = [said.subject for said in self._explanation.statements if said.kind == "covered"]
        uncovered = any(not hidden.issuperset(self._rules.regions[region]) for region in told)
        return uncovered or any(claim.cue in hidden | veiled for claim in self._explanation.claims)

    def _outlived(self, face: Face, t_ms: float) -> bool:
        """Whether the last frames no longer show what the explanation states, or its label has become too unsure to be explained."""
        if self._explanation is None or not self._explanation.text:
            return False
        recent = self._speaking(t_ms)
        if not recent or recent[-1].t_ms != t_ms:  # another label is coming, and with it another explanation
            return False
        if face.confidence < self.config.verdict.min_confidence - _UNSURER:
            return True
        facts = self._facts(recent, face)
        return any(self._rules.outlived(said, facts) for said in self._explanation.statements)

    def _shown(self, face: Face, faults: tuple[str, ...], events: tuple[Event, ...]) -> Face:
        shown, values = self._smoother.shown, self._smoother.probabilities
        read: Mapping[str, float] = dict(zip(self.config.labels, map(float, values), strict=True)) if shown >= 0 else {}
        emotion = self.config.labels[shown] if shown >= 0 else ""
        neutral = "personal" if self._baseline else "calibrating" if self._calibration else "population"
        return replace(
            face,
            emotion=emotion,
            confidence=read.get(emotion, 0.0),
            probabilities=dict(read),
            cues=self._measured(face.cues),
            unclear=faults,
            baseline=neutral,
            events=events,
            blinks=self._dynamics.blinks,
            no_blinks=self._dynamics.no_blinks,
        )

    @property
    def _baseline(self) -> Baseline | None:
        return self.calibrated or self._given

    def _measured(self, cues: dict[str, float]) -> dict[str, float]:
        return self._baseline.apply(cues) if self._baseline else cues
