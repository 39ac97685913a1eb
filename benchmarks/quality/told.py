"""Are the sentences about time true? Each is held against the course that was made, as it was made, without a tolerance."""

from __future__ import annotations

import numpy as np

from benchmarks.command import Figures
from benchmarks.quality.courses import Clip, Course
from benchmarks.quality.interval import share
from edge.clip import Clip as ReadClip
from edge.language.course import HELD, MOVES, SPREAD
from edge.language.happenings import Happening, Stretch, allot
from edge.language.telling import check
from edge.live.dynamics import BLINK_MS, EYES
from edge.types import CourseStatement

_FINE_S = 1e-3


def truth_of(clip: Clip) -> list[Happening]:
    """What happens in a clip: of each course every cue that the landmarks find moved, with the course's own times."""
    found = []
    for course, amount in clip.courses:
        when = 1e3 * course.onset_s, 1e3 * course.offset_s
        if course.action == "blink":
            kind = "blink" if when[1] - when[0] <= BLINK_MS else "eyes_closed"
            found.append(Happening(kind, f"{EYES}-", *when, True, course.amplitude))
        rise_s, held_s = course.top_s - course.onset_s, _held_s(course)
        for cue, effect in clip.stage.effects(course.action, amount).items():
            if abs(effect) >= MOVES:
                found.append(Happening("movement", f"{cue}{'+' if effect > 0 else '-'}", *when, True, abs(effect), rise_s, held_s))
    return found


def statements(pairs: list[tuple[Clip, ReadClip]]) -> Figures:
    """The sentences that were shown, against the truth, of each clip as it was made and as it was read.

    Returns:
        `hold`, the share of sentences that are true, with its interval over clips; `by_kind`; `told`, the share of what was made that a
        true sentence speaks of; `false`, the sentences that are not true.
    """
    hits, counts, wrong = [], [], []
    kinds: dict[str, list[bool]] = {}
    made: list[bool] = []
    for clip, read in pairs:
        right = total = 0
        spoken: list[tuple[float, float]] = []
        for said, holds in _judged(clip, read):
            total, right = total + 1, right + holds
            kinds.setdefault(said.kind, []).append(holds)
            if holds:
                spoken += said.times_ms
            else:
                wrong.append(said.text)
        hits.append(right)
        counts.append(total)
        made += [any(min(b, 1e3 * c.offset_s) > max(a, 1e3 * c.onset_s) for a, b in spoken) for c, _ in clip.courses]
    return {
        "hold": share(np.array(hits), np.array(counts)),
        "by_kind": {kind: share(np.array(found)) for kind, found in sorted(kinds.items())},
        "told": share(np.array(made)),
        "false": wrong,
    }


def _judged(clip: Clip, read: ReadClip) -> list[tuple[CourseStatement, bool]]:
    """Each sentence that was shown, and whether it is true."""
    truth, judged = truth_of(clip), []
    for person in read.people:
        spans = [Stretch(span.start_ms, span.end_ms, spread=SPREAD, seen=1.0) for span in person.spans]
        for span, known in zip(person.spans, allot(spans, truth), strict=True):
            for said in span.course:
                held = check(said.text, known, exact=True)
                judged.append((said, bool(held and held.holds)))
    return judged


def _held_s(course: Course) -> float:
    """Seconds for which there is `HELD` of it or more."""
    return float(sum(course(t_s) >= HELD for t_s in np.arange(course.onset_s, course.offset_s, _FINE_S))) * _FINE_S
