"""When an explanation is due, and the thread that makes it beside the fast path.

The worker yields to the fast path at every step of the decoder, gives up as soon as what it describes is over, and hands its outcome back
with the face, the spell of the label and the time that it belongs to: it is never attached to anything else.
"""

from __future__ import annotations

import copy
import logging
import math
import threading
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np

from edge.engine.backend import Session
from edge.errors import UsageError
from edge.language.explain import Explainer, Subject
from edge.types import Explanation, Verdict

log = logging.getLogger(__name__)

RETRY_MS = 500.0
"""After a change of label, an explanation that was not verified is tried again after this long."""
MAX_ASKED = 256
"""Most faces that are asked for between two frames; what is asked beyond is not remembered."""
_YIELD_S = 0.01  # longest wait of one step for the fast path: explanations must get on even where that is always busy
_JOIN_S = 5.0


@dataclass(frozen=True, slots=True)
class Task:
    """A face to be explained."""

    track: int
    spell: int
    """The person's spell: an explanation belongs to one."""
    t_ms: float
    """Time of the frame that it describes."""
    subject: Subject


@dataclass(frozen=True, slots=True)
class Outcome:
    """A task, explained."""

    task: Task
    explanation: Explanation
    spent_ms: dict[str, float]


class Asked:
    """The faces that somebody asks for; `ask` may be called from any thread."""

    def __init__(self) -> None:
        self._tracks: set[int] = set()
        self._all = False
        self._lock = threading.Lock()

    def ask(self, track: int | None) -> None:
        """Ask for one face, or for all in view at the next frame."""
        with self._lock:
            if track is None:
                self._all = True
            elif len(self._tracks) < MAX_ASKED:
                self._tracks.add(track)

    def look(self, tracks: Collection[int], known: Collection[int]) -> None:
        """A frame shows these tracks, of those that are still known: the rest is forgotten."""
        with self._lock:
            if self._all:
                self._tracks |= set(tracks)
                self._all = False
            self._tracks &= set(known)

    def __contains__(self, track: int) -> bool:
        return track in self._tracks

    def __len__(self) -> int:
        return len(self._tracks)

    def answered(self, track: int) -> None:
        """It has what was asked for."""
        with self._lock:
            self._tracks.discard(track)


class Due:
    """Decides whether a face is to be explained now; `ask` may be called from any thread."""

    def __init__(self, explain: str | float) -> None:
        named = explain in ("every", "change", "request", "off")
        if not named and (isinstance(explain, bool | str) or not isinstance(explain, int | float) or not 0 < explain < math.inf):
            raise UsageError(f"explain must be 'every', 'change', 'request', 'off' or seconds above 0, got {explain!r}")
        self.explain = explain
        self._tried: dict[int, Task] = {}
        self._verified: dict[int, Task] = {}
        self._asked = Asked()

    def ask(self, track: int | None) -> None:
        """Ask for one face, or for all in view at the next frame."""
        self._asked.ask(track)

    def look(self, tracks: Collection[int], known: Collection[int]) -> None:
        """A frame shows these tracks, of those that are still known: the rest is forgotten."""
        self._asked.look(tracks, known)
        for notes in (self._tried, self._verified):
            for track in set(notes) - set(known):
                del notes[track]

    def __call__(self, track: int, spell: int, t_ms: float) -> bool:
        """Whether this face is due."""
        if track in self._asked or self.explain == "every":
            return True
        if self.explain in ("request", "off"):
            return False
        last = self._tried.get(track)
        if last is None:
            return True
        if self.explain == "change":
            done = self._verified.get(track)
            return last.spell != spell or (t_ms - last.t_ms >= RETRY_MS and (done is None or done.spell != spell))
        return t_ms - last.t_ms >= 1000 * float(self.explain)

    def last_ms(self, track: int) -> float:
        """Time of the frame by which this face was last explained; minus infinity before the first."""
        return self._tried[track].t_ms if track in self._tried else -math.inf

    def tried(self, task: Task) -> None:
        """The face is being explained."""
        self._tried[task.track] = task
        self._asked.answered(task.track)

    def settled(self, outcome: Outcome) -> None:
        """An explanation is there."""
        if outcome.explanation.status is Verdict.VERIFIED:
            self._verified[outcome.task.track] = outcome.task


class _Cancelled(Exception):  # noqa: N818 (nobody's error)
    """What is being explained is over."""


class _Yielding:
    """A session whose every run first lets the fast path pass, and ends the work when it is cancelled."""

    def __init__(self, session: Session, worker: Worker) -> None:
        self.session, self.worker = session, worker
        self.provider, self.inputs = session.provider, session.inputs

    def run(self, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        self.worker.pause()
        return self.session.run(inputs)

    def run_into(self, inputs: dict[str, np.ndarray], outputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        self.worker.pause()
        return self.session.run_into(inputs, outputs)

    def close(self) -> None:
        """The session belongs to the pipeline."""


class Worker:
    """Explains in a thread of its own, one face at a time, always the newest frame of it."""

    def __init__(self, explainer: Explainer) -> None:
        self._explainer = copy.copy(explainer)  # the same graphs, without sharing what the other one notes down
        policy, verifier = copy.copy(explainer.policy), copy.copy(explainer.verifier)
        policy.embed, policy.decoder = _Yielding(policy.embed, self), _Yielding(policy.decoder, self)
        verifier.session = _Yielding(verifier.session, self)
        self._explainer.policy, self._explainer.verifier = policy, verifier
        self._waiting: dict[int, Task] = {}
        self._done: list[Outcome] = []
        self._error: Exception | None = None
        self._current: Task | None = None
        self._cancelled = self._stop = False
        self._changed = threading.Condition()
        self._idle = threading.Event()
        self._idle.set()
        self._thread = threading.Thread(target=self._run, name="explain", daemon=True)

    @contextmanager
    def fast_path(self) -> Iterator[None]:
        """While inside, the worker takes no further step (for at most `_YIELD_S` each)."""
        self._idle.clear()
        try:
            yield
        finally:
            self._idle.set()

    def submit(self, task: Task) -> None:
        """Explain this next; an older task of the same track that has not begun is dropped."""
        with self._changed:
            if self._stop:
                return
            if self._thread.ident is None:
                self._thread.start()
            self._waiting[task.track] = task
            self._changed.notify()

    def keep(self, spells: dict[int, int]) -> None:
        """Cancel what is not about one of these tracks in this spell of its label."""
        with self._changed:
            self._waiting = {track: task for track, task in self._waiting.items() if spells.get(track) == task.spell}
            if self._current and spells.get(self._current.track) != self._current.spell:
                self._cancelled = True

    def collect(self) -> list[Outcome]:
        """What has been explained since the last call; raises what went wrong in the thread."""
        with self._changed:
            done, self._done = self._done, []
            error, self._error = self._error, None
        if error is not None:
            raise error
        return done

    def close(self) -> None:
        """Give up what is being explained and end the thread."""
        with self._changed:
            self._stop = self._cancelled = True
            self._waiting.clear()
            self._changed.notify()
        self._idle.set()
        if self._thread.is_alive() and self._thread is not threading.current_thread():
            self._thread.join(_JOIN_S)

    def pause(self) -> None:
        """Called before every step: wait for the fast path, or leave."""
        self._idle.wait(_YIELD_S)
        if self._cancelled:
            raise _Cancelled

    def _run(self) -> None:
        while (task := self._take()) is not None:
            try:
                (explanation,) = self._explainer([task.subject])
            except _Cancelled:
                log.debug("explanation of track %d cancelled", task.track)
                continue
            except Exception as error:  # raised again where the stream is read
                self._error = error
                return
            with self._changed:
                if not self._cancelled:
                    self._done.append(Outcome(task, explanation, dict(self._explainer.spent_ms)))

    def _take(self) -> Task | None:
        with self._changed:
            self._current = None
            while not self._waiting and not self._stop:
                self._changed.wait()
            if self._stop:
                return None
            self._cancelled = False
            self._current = self._waiting.pop(next(iter(self._waiting)))
            return self._current
