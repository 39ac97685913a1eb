import json
from dataclasses import replace

import numpy as np
import pytest

from edge.errors import InputError, OutputError
from edge.live.baseline import MIN_FRAMES, Baseline, Calibration
from edge.live.person import Person
from edge.live.schedule import Outcome
from edge.live.smooth import HOLD_MS, LabelSmoother
from edge.types import Explanation, Pose, Statement, Verdict
from edge.vision.quality import MAX_PITCH_DEG, MAX_YAW_DEG, MIN_SHARPNESS, MIN_SIDE_PX, sharpness, unclear

cv2 = pytest.importorskip("cv2")


def _smooth(probabilities: list[list[float]], fps: float = 30.0) -> list[int]:
    smoother, shown = LabelSmoother(), []
    for i, row in enumerate(probabilities):
        smoother.see(np.array(row), i * 1000 / fps)
        assert smoother.probabilities.sum() == pytest.approx(1)
        shown.append(smoother.shown)
    return shown


@pytest.mark.parametrize("fps", [10, 30, 60])
@pytest.mark.parametrize("after", [[0.05, 0.95], [0.15, 0.85], [0.25, 0.75]])
def test_a_change_is_shown_within_300_ms_at_any_frame_rate(fps, after):
    shown = _smooth([[0.99, 0.01]] * fps + [after] * fps, fps)
    assert shown[fps - 1] == 0
    assert shown.index(1) - fps <= 0.3 * fps


@pytest.mark.parametrize("fps", [15, 30])
def test_a_face_between_two_labels_does_not_flicker_under_noise(fps):
    random = np.random.default_rng(0)
    share = np.clip(0.5 + random.normal(0, 0.08, 60 * fps), 0, 1)
    shown = _smooth([[1 - p, p] for p in share], fps)
    assert (np.diff((share > 0.5).astype(int)) != 0).sum() > 100, "unsmoothed it flickers"
    assert (np.diff(shown) != 0).sum() <= 1


def test_a_weak_but_lasting_lead_is_shown_too():
    assert _smooth([[0.9, 0.1]] * 30 + [[0.42, 0.58]] * 150)[-1] == 1


def test_an_unread_face_keeps_its_reading_for_a_moment_and_then_says_nothing():
    smoother = LabelSmoother()
    smoother.see(np.array([0.2, 0.8]), 0)
    smoother.miss(HOLD_MS)
    assert smoother.shown == 1
    smoother.miss(HOLD_MS + 1)
    assert smoother.shown == -1
    smoother.see(np.array([0.9, 0.1]), HOLD_MS + 30)
    assert smoother.shown == 0
    assert smoother.probabilities == pytest.approx([0.9, 0.1]), "it starts afresh"


def test_sharpness_falls_with_blur_and_ignores_contrast_and_brightness(pipeline, portrait):
    crop = _crop(pipeline, portrait)
    values = [sharpness(cv2.GaussianBlur(crop, (0, 0), sigma)) for sigma in (1.0, 2.0, 4.0, 6.0)]
    assert values == sorted(values, reverse=True)
    assert values[0] > 2 * MIN_SHARPNESS > values[-1] * 2
    assert sharpness((crop * 0.4 + 60).astype(np.uint8)) == pytest.approx(sharpness(crop), rel=0.15)
    assert sharpness(np.full((48, 48), 80, np.uint8)) == 0


def test_each_gate_names_its_reason(pipeline, portrait):
    crop, front = _crop(pipeline, portrait), Pose(0, 0, 0)
    blurred = cv2.GaussianBlur(crop, (0, 0), 8)
    assert unclear(crop, 90, front) == ()
    assert unclear(crop, MIN_SIDE_PX - 1, front) == ("size",)
    assert unclear(crop, 90, Pose(-MAX_YAW_DEG - 1, 0, 0)) == unclear(crop, 90, Pose(0, MAX_PITCH_DEG + 1, 0)) == ("pose",)
    assert unclear(crop, 90, Pose(0, 0, 80)) == (), "a tilted head is levelled before it is read"
    assert unclear(blurred, 10, Pose(60, 0, 0)) == ("size", "pose", "blur")


def _crop(pipeline, portrait) -> np.ndarray:
    from edge.sources.camera import Frame

    return pipeline.look(Frame(portrait, "", 0, 0.0)).crops[0]


class _Sitter:
    """A person in front of the pipeline, fed with readings of the portrait."""

    def __init__(self, pipeline, portrait, **options) -> None:
        from edge.sources.camera import Frame

        seen = pipeline.look(Frame(portrait, "", 0, 0.0))
        self.face, self.crop, self.tokens = seen.reading.faces[0], seen.crops[0], seen.tokens[0]
        self.labels = pipeline.bundle.config.labels
        rules = replace(pipeline.explainer.grammar.rules, regions={"mouth": ("lip_corners", "mouth_opening")})
        options = {"rules": rules, "baseline": None, "calibrate_s": 0.0, **options}
        self.person = Person(pipeline.bundle.config, **options)

    def see(self, emotion: str, t_ms: float, *, blur: float = 0.0, cues: float | None = None):
        rest = 0.1 / (len(self.labels) - 1)
        probabilities = {label: 0.9 if label == emotion else rest for label in self.labels}
        face = replace(self.face, probabilities=probabilities, emotion=emotion)
        if cues is not None:
            face = replace(face, cues=dict.fromkeys(face.cues, cues))
        crop = cv2.GaussianBlur(self.crop, (0, 0), blur) if blur else self.crop
        return self.person.see(face, crop, 90.0, self.tokens, t_ms)


def test_the_policy_sees_the_last_frames_that_read_as_the_shown_label(pipeline, portrait):
    sitter, frames = _Sitter(pipeline, portrait), pipeline.bundle.config.policy.max_frames
    for i in range(frames + 5):
        face = sitter.see("happiness", i * 33.0, cues=float(i))
    task = sitter.person.task(face, (frames + 4) * 33.0)
    assert task.subject.tokens.shape == (frames * pipeline.bundle.config.policy.tokens_per_frame, sitter.tokens.shape[1])
    assert task.t_ms == (frames + 4) * 33.0
    assert task.subject.facts.cues["lip_corners"] == pytest.approx(np.mean(range(5, frames + 5))), "and is checked on the same frames"
    for i in range(2):
        face = sitter.see("surprise", (frames + 5 + i) * 33.0)
    assert face.emotion == "happiness", "not yet"
    task = sitter.person.task(face, (frames + 6) * 33.0)
    assert len(task.subject.tokens) == (frames - 2) * pipeline.bundle.config.policy.tokens_per_frame
    assert task.t_ms == (frames + 4) * 33.0, "the frames of the coming label are not among them"


def test_a_cue_that_half_of_the_frames_hide_is_hidden_and_guesses_do_not_count(pipeline, portrait):
    sitter = _Sitter(pipeline, portrait)
    plain = sitter.face
    for i in range(6):
        sitter.face = replace(plain, hidden=("lip_corners", "jaw_drop") if i < 2 else ("lip_corners",) if i < 3 else ())
        face = sitter.see("happiness", i * 33.0, cues=9.0 if i < 2 else 1.0)
    subject = sitter.person.task(face, 165.0).subject.facts
    assert subject.hidden == frozenset({"lip_corners"})
    assert subject.cues["jaw_drop"] == 1.0, "of the four frames that show it"
    assert subject.cues["inner_brow"] == pytest.approx(22 / 6), "of all"


@pytest.mark.parametrize("how", ["hidden", "veiled"])
def test_an_explanation_is_withheld_when_what_it_speaks_of_is_covered_or_may_be_and_made_again(pipeline, portrait, how):
    sitter = _Sitter(pipeline, portrait)
    face = sitter.see("happiness", 0.0)
    said = Explanation(
        "Lips up.", "happiness", Verdict.VERIFIED, 1.0, 1.0, (Statement("movement", "lip_corners", 1, "plain", 2.0, True),), 1
    )
    assert sitter.person.attach(Outcome(sitter.person.task(face, 0.0), said, {}))
    spell = sitter.person.spell
    for i, hidden in enumerate([("inner_brow",), ("inner_brow", "lip_corners")]):
        sitter.face = replace(sitter.face, **{how: hidden})
        assert sitter.person.explained(sitter.see("happiness", 33.0 * (i + 1))).explanation is said, "one frame in three hides it"
    assert sitter.person.spell == spell
    face = sitter.see("happiness", 100.0)
    assert sitter.person.explained(face).explanation is None
    assert sitter.person.spell == spell + 1, "so that it is due again"
    sitter.see("happiness", 133.0)
    assert sitter.person.spell == spell + 1


def test_an_explanation_that_calls_something_hidden_is_over_when_it_is_seen_again(pipeline, portrait):
    sitter = _Sitter(pipeline, portrait)
    mouth = ("lip_corners", "mouth_opening")
    plain = sitter.face
    sitter.face = replace(plain, hidden=mouth)
    face = sitter.see("happiness", 0.0)
    statements = (Statement("covered", "mouth", 0, "", 1.0, True), Statement("rest", "jaw_drop", 0, "", 0.0, True))
    said = Explanation("The mouth is out of sight.", "happiness", Verdict.VERIFIED, 1.0, 1.0, statements, 1)
    assert sitter.person.attach(Outcome(sitter.person.task(face, 0.0), said, {}))
    for i in range(3):
        sitter.face = plain if i == 2 else replace(plain, hidden=mouth)
        assert sitter.person.explained(sitter.see("happiness", 33.0 * (i + 1))).explanation is said
    spell = sitter.person.spell
    for i in range(3):
        face = sitter.see("happiness", 133.0 + 33.0 * i)
    assert sitter.person.explained(face).explanation is None
    assert sitter.person.spell == spell + 1


def test_pose_and_probabilities_are_what_the_explanation_is_held_against_too(pipeline, portrait):
    sitter = _Sitter(pipeline, portrait)
    plain = sitter.face
    for i in range(4):
        sitter.face = replace(plain, pose=Pose(10.0 * i, -2.0 * i, 0.0))
        face = sitter.see("happiness", i * 33.0)
    facts = sitter.person.task(face, 99.0).subject.facts
    assert (facts.yaw_deg, facts.pitch_deg) == (pytest.approx(15), pytest.approx(-3)), "of the frames that the policy sees"
    assert facts.probabilities == face.probabilities, "as they are on display"


def test_a_baseline_is_taken_of_what_is_in_sight(pipeline, portrait):
    sitter = _Sitter(pipeline, portrait, calibrate_s=0.2)
    plain = sitter.face
    for i in range(12):
        sitter.face = replace(plain, hidden=("lip_corners", "jaw_drop") if i < 6 else ("lip_corners",))
        sitter.see("happiness", i * 33.0, cues=5.0 if i < 6 else 1.0)
    measured = sitter.person.calibrated
    assert measured is not None
    assert "lip_corners" not in measured.cues, "a cue that is never seen has no neutral"


def test_several_frames_are_explained_like_one(pipeline, portrait):
    sitter = _Sitter(pipeline, portrait)
    for i in range(8):
        face = sitter.see("happiness", i * 33.0)
    (explanation,) = pipeline.explainer([sitter.person.task(face, 231.0).subject])
    assert explanation.status is Verdict.VERIFIED
    assert explanation.answer == "happiness"


def test_an_explanation_is_attached_to_its_own_spell_and_never_goes_back_in_time(pipeline, portrait):
    sitter, t_ms = _Sitter(pipeline, portrait), 0.0

    def show(emotion: str):
        nonlocal t_ms
        for _ in range(20):
            t_ms += 33.0
            face = sitter.see(emotion, t_ms)
        return sitter.person.explained(face)

    def outcome(text: str):
        said = Explanation(text, "", Verdict.VERIFIED, 1.0, 1.0, (), 1)
        return Outcome(sitter.person.task(sitter.see("happiness", t_ms), t_ms), said, {})

    show("happiness")
    first = outcome("first")
    show("happiness")
    second = outcome("second")
    assert sitter.person.attach(second)
    assert not sitter.person.attach(first), "an older frame's explanation comes too late"
    assert show("happiness").explanation.text == "second"
    assert show("happiness").explained_t_ms == second.task.t_ms
    assert show("surprise").explanation is None, "the label has changed: what was said is over"
    assert not sitter.person.attach(second)
    assert show("happiness").explanation is None, "the same label again is another spell"
    assert not sitter.person.attach(second)


def test_a_blurred_face_is_held_then_abstained_on_and_read_again_when_clear(pipeline, portrait):
    sitter = _Sitter(pipeline, portrait)
    sitter.see("happiness", 0)
    short, long = sitter.see("fear", 300, blur=4), sitter.see("fear", 900, blur=4)
    assert (short.emotion, short.unclear) == ("happiness", ("blur",))
    assert (long.emotion, long.confidence, long.probabilities, long.unclear) == ("", 0.0, {}, ("blur",))
    assert sitter.person.task(long, 900) is None
    assert sitter.see("surprise", 933).emotion == "surprise"


def test_a_calibrated_face_is_measured_against_itself(pipeline, portrait):
    sitter = _Sitter(pipeline, portrait, calibrate_s=1.0)
    states = [sitter.see("neutral", i * 100.0, cues=1.5) for i in range(12)]
    assert [s.baseline for s in states[:10]] == ["calibrating"] * 10
    assert states[5].cues["lip_corners"] == 1.5
    assert states[-1].baseline == "personal"
    task = sitter.person.task(states[-1], 1100.0)
    assert task.subject.facts.cues["jaw_drop"] == 0, "claims are checked against the person's own neutral, too"
    assert sitter.see("happiness", 1300.0, cues=4.0).cues["lip_corners"] == 2.5


def test_time_without_the_face_and_unclear_frames_do_not_calibrate(pipeline, portrait):
    sitter = _Sitter(pipeline, portrait, calibrate_s=1.0)
    sitter.see("neutral", 0.0, cues=1.0)
    for i in range(20):
        sitter.see("neutral", 100.0 * i, cues=9.0, blur=4)
    assert sitter.see("neutral", 60_000.0, cues=1.0).baseline == "calibrating"


def test_calibration_takes_the_middle_and_enough_frames():
    calibration = Calibration(0.5)
    for i, value in enumerate([0.0, 50.0, 1.0, 1.0, 1.0, 1.0]):
        calibration.see({"a": value}, i * 100.0)
        assert (calibration.baseline is not None) == (i >= MIN_FRAMES)
    assert calibration.baseline == Baseline({"a": 1.0}, 6)


def test_a_baseline_is_saved_whole_and_comes_back(tmp_path):
    path = tmp_path / "me.json"
    Baseline({"lip_corners": -0.75}, 30).save(path)
    assert Baseline.load(path) == Baseline({"lip_corners": -0.75}, 30)
    assert set(json.loads(path.read_text())) == {"schema", "frames", "cues"}
    assert [p.name for p in tmp_path.iterdir()] == ["me.json"]
    with pytest.raises(OutputError, match="cannot write the baseline"):
        Baseline({"a": 0.0}, 5).save(tmp_path / "no" / "x.json")


@pytest.mark.parametrize(
    "text", ["", "[]", "7", '{"schema": 2, "frames": 1, "cues": {"a": 1}}', '{"schema": 1, "frames": 1, "cues": {}}',
             '{"schema": 1, "frames": 1, "cues": {"a": "x"}}', '{"schema": 1, "frames": 1, "cues": {"a": NaN}}']
)  # fmt: skip
def test_what_is_no_baseline_is_refused(tmp_path, text):
    path = tmp_path / "x.json"
    path.write_text(text)
    with pytest.raises(InputError, match=r"x\.json"):
        Baseline.load(path)


def test_an_explanation_goes_when_the_face_no_longer_shows_what_it_states(pipeline, portrait):
    sitter = _Sitter(pipeline, portrait)
    for i in range(12):
        face = sitter.see("happiness", i * 33.0, cues=0.2)
    task = sitter.person.task(face, 363.0)
    said = Statement("rest", "eye_opening", 0, "", 0.2, True, True, (-0.7, 0.7))
    told = Explanation("The eyes are at rest.", "happiness", Verdict.VERIFIED, 1.0, 1.0, (said,), 1)
    sitter.person.attach(Outcome(task, told, {}))
    assert sitter.person.explained(sitter.see("happiness", 400.0, cues=1.0)).explanation, "one frame is no change"
    spell = sitter.person.spell
    for i in range(12):
        face = sitter.see("happiness", 433.0 + i * 33.0, cues=-2.6)
    assert sitter.person.explained(face).explanation is None
    assert sitter.person.spell == spell + 1, "it is time for another, once"
