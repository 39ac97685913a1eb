"""A recording as spans, from readings that are made, and as the files that people open."""

import csv
import itertools
import json
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import cv2
import jsonschema
import numpy as np
import pytest
from somebody import head

import edge
from benchmarks.quality.scenes import draw
from edge import CourseStatement, Detection, Event, Explanation, Face, OutputError, Pose, Reading, UsageError, Verdict, read_clip
from edge.cli import main
from edge.clip import Clip, summarise
from edge.language.course import parse
from edge.live.dynamics import Dynamics
from edge.outputs.pixels import paint
from edge.outputs.shapes import Box, Text
from edge.outputs.summary import as_eaf, as_vtt, check_summary, write_summary
from edge.outputs.timeline import MOST_PEOPLE, WIDTH, as_png, as_svg, in_a_sentence, lay_out
from edge.sources.camera import Frame
from edge.spans import Span
from edge.types import Statement

SAID = Explanation("Lips <up> & wide.", "happiness", Verdict.VERIFIED, 0.9, 1.0, (), 1)
BLINK = Event("blink", "done", "eye_opening", -1, 400, 250, 3.0, 50, 150)
SMILE = [Event("movement", phase, "lip_corners", 1, t_ms, 900, 2.5, 200, 800) for phase, t_ms in (("onset", 900), ("offset", 1700))]


def face(label: str, confidence: float = 0.8, track: int = 1, **more) -> Face:
    read = (
        {"happiness": confidence, "neutral": 1 - confidence}
        if label == "happiness"
        else {"neutral": confidence, "happiness": 1 - confidence}
    )
    detection = Detection(np.zeros(4, np.float32), np.zeros((5, 2), np.float32), 0.9)
    cues, points = {"lip_corners": 0.0}, np.zeros((1, 2), np.float32)
    return Face(track, detection, label, confidence if label else 0.0, read, cues, points, Pose(0, 0, 0), **more)


def readings() -> list[Reading]:
    """Two seconds at 20 frames a second: neutral, then happy, then not read, and a second person in the last half second."""
    found = []
    for i in range(40):
        t_ms = 50.0 * i
        if t_ms < 800:
            first = face("neutral", events=(BLINK,) if t_ms == 400 else (), hidden=("lip_corners",) if t_ms < 200 else ())
        elif t_ms < 1600:
            rejected = replace(SAID, draft="", status=Verdict.REJECTED)
            first = face("happiness", 0.9 if t_ms == 1200 else 0.7, explanation=SAID if 1000 <= t_ms < 1300 else rejected)
        else:
            first = face("", unclear=("blur",), events=tuple(SMILE) if t_ms == 1700 else ())
        second = (face("neutral", track=2, explanation=replace(SAID, status=Verdict.ABSTAINED)),) if t_ms >= 1500 else ()
        found.append(Reading("talk.avi", i, t_ms, 64, 48, (first, *second)))
    return found


@pytest.fixture(scope="module")
def clip() -> Clip:
    return summarise(readings())


def test_spans_shares_and_events_by_person(clip):
    assert (clip.source, clip.frames, clip.seconds) == ("talk.avi", 40, 2.0)
    first, second = clip.people
    assert [(s.label, s.start_ms, s.end_ms) for s in first.spans] == [("neutral", 0, 800), ("happiness", 800, 1600), ("", 1600, 2000)]
    happy = first.spans[1]
    assert (happy.apex_ms, happy.confidence) == (1200, 0.9)
    assert happy.probabilities["happiness"] == pytest.approx((15 * 0.7 + 0.9) / 16)
    assert happy.explanation is SAID  # the verified one, though rejected ones came later
    assert first.shares == {"happiness": 0.5, "neutral": 0.5}
    assert (first.unread, first.hidden, first.seconds) == pytest.approx((0.2, 0.1, 2.0))
    assert [(e.kind, e.phase) for e in first.events] == [("blink", "done"), ("movement", "offset")]
    assert (second.track, second.abstained, second.shares) == (2, 1.0, {"neutral": 1.0})


def test_shares_are_of_time_and_not_of_frames():
    told = {0: "neutral", 400: "neutral", 800: "happiness", 850: "happiness", 900: "happiness", 950: "happiness", 1000: "neutral"}
    slow = [Reading("a", i, t_ms, 64, 48, (face(label),)) for i, (t_ms, label) in enumerate(told.items())]
    assert summarise(slow).people[0].shares["neutral"] == pytest.approx(850 / 1050)


def test_a_person_who_was_away_has_two_spans():
    far = [*readings()[:5], *(replace(reading, t_ms=reading.t_ms + 3000) for reading in readings()[5:10])]
    assert [(s.start_ms, s.end_ms) for s in summarise(far).people[0].spans] == [(0, 700), (3250, 3500)]
    near = [reading for reading in readings()[:16] if not 200 < reading.t_ms < 600]
    assert [(s.start_ms, s.end_ms) for s in summarise(near).people[0].spans] == [(0, 800)]


def test_an_explanation_that_the_course_has_overtaken_is_dated():
    said = Statement("rest", "eye_opening", 0, "", 0.1, True, True, (-0.7, 0.7))
    told = Explanation("The eyes are at rest.", "neutral", Verdict.VERIFIED, 1.0, 1.0, (said,), 1)
    shut = CourseStatement("The eyes stay closed for over two seconds.", "eyes_closed", (), {}, {}, True, ((2000.0, 4500.0),))
    wink = replace(shut, text="The eyes close briefly.", times_ms=((2000.0, 2400.0),))
    span = Span("neutral", 0.0, 0.0, 6000.0, 0.9, {}, told, (shut,), 500.0)
    assert span.text == "At first: The eyes are at rest. Over time: The eyes stay closed for over two seconds."
    assert replace(span, explained_ms=5000.0).text.startswith("Later: The eyes are at rest.")
    assert replace(span, course=(wink,)).text == "The eyes are at rest. Over time: The eyes close briefly."
    smile = replace(shut, kind="movement", subjects=("lip_corners+",))
    assert replace(span, course=(smile,)).text.startswith("The eyes are at rest."), "another part of the face"


def test_a_face_that_is_there_half_of_the_time_is_not_said_to_be_still():
    whole = [Reading("a", i, i * 100.0, 64, 48, (face("neutral"),)) for i in range(60)]
    assert [said.kind for said in summarise(whole).people[0].spans[0].course] == ["still"]
    half = [replace(reading, faces=reading.faces if reading.frame % 6 < 3 else ()) for reading in whole]
    assert [span.course for span in summarise(half).people[0].spans] == [()]


def test_nothing_read_is_an_empty_clip():
    assert summarise([]) == Clip("", 0, 0.0, ())


def test_captions_show_labels_with_their_texts_escaped(clip):
    assert as_vtt(clip) == (
        "WEBVTT\n\n00:00:00.000 --> 00:00:00.800\n<v Person 1>neutral (80%)\n\n"
        "00:00:00.800 --> 00:00:01.600\n<v Person 1>happiness (90%)\nLips &lt;up&gt; &amp; wide.\n\n"
        "00:00:01.500 --> 00:00:02.000\n<v Person 2>neutral (80%)\n"
    )


def test_elans_tiers_do_not_overlap_and_their_times_are_there(clip):
    root = ElementTree.fromstring(as_eaf(clip).partition("\n")[2])
    times = {slot.get("TIME_SLOT_ID"): int(slot.get("TIME_VALUE")) for slot in root.iter("TIME_SLOT")}
    tiers = {}
    for tier in root.iter("TIER"):
        notes = [(times[a.get("TIME_SLOT_REF1")], times[a.get("TIME_SLOT_REF2")], a[0].text) for a in tier.iter("ALIGNABLE_ANNOTATION")]
        assert all(start < end for start, end, _ in notes)
        assert all(a[1] <= b[0] for a, b in itertools.pairwise(notes))
        tiers[tier.get("TIER_ID")] = notes
    tier_names = ["P1 answer", "P1 expression", "P1 explanation", "P1 blink", "P1 lip_corners", "P2 answer", "P2 expression"]
    assert list(tiers) == tier_names
    assert tiers["P1 lip_corners"] == [(900, 1700, "lip_corners rises")]
    assert tiers["P1 explanation"] == [(800, 1600, "Lips <up> & wide.")]


def test_the_table_has_a_row_a_span_and_event(clip, tmp_path):
    write_summary(tmp_path / "s.tsv", clip)
    rows = list(csv.DictReader((tmp_path / "s.tsv").read_text(encoding="utf-8").splitlines(), delimiter="\t"))
    assert [(row["person"], row["what"], row["label"]) for row in rows] == [
        ("1", "answer", "happiness"), ("1", "expression", "neutral"), ("1", "expression", "happiness"), ("1", "expression", ""),
        ("1", "blink", "blink"), ("1", "movement", "lip_corners rises"), ("2", "answer", "neutral"), ("2", "expression", "neutral"),
    ]  # fmt: skip
    assert [rows[0][name] for name in ("start_s", "apex_s", "end_s", "text")] == ["0.000", "", "2.000", "Lips <up> & wide."]
    assert [rows[2][name] for name in ("start_s", "apex_s", "end_s", "amount")] == ["0.800", "1.200", "1.600", "0.9"]
    assert [rows[5][name] for name in ("start_s", "apex_s", "end_s")] == ["0.900", "1.100", "1.700"]


def test_a_summary_is_whole_or_not_there_and_its_name_says_how(clip, tmp_path):
    write_summary(tmp_path / "s.json", clip)
    assert json.loads((tmp_path / "s.json").read_text()) == clip.to_dict()
    with pytest.raises(UsageError, match=r"ends in \.json, \.tsv, \.vtt, \.eaf, \.svg, \.png"):
        check_summary(Path("s.docx"))
    assert [path.name for path in tmp_path.iterdir()] == ["s.json"]


CUES = ("inner_brow", "outer_brow", "eye_opening", "cheek_raise", "lip_corners", "mouth_width", "mouth_opening", "jaw_drop")
LABELS = ("neutral", "happiness", "surprise", "sadness")


def _course(t_s: float, onset_s: float, rise_s: float, fall_s: float, offset_s: float) -> float:
    rising, falling = (t_s - onset_s) / rise_s, (offset_s - t_s) / fall_s
    return float(0.5 - 0.5 * np.cos(np.pi * np.clip(min(rising, falling), 0, 1)))


def acted(seconds: float = 20.0, fps: float = 30.0) -> list[Reading]:
    """A smile of four seconds, brows that rise twice with an open mouth, blinks, closed eyes, and a head that turns away."""
    rng, dynamics, found = np.random.default_rng(0), Dynamics(CUES), []
    for i in range(int(seconds * fps)):
        t = i / fps
        smile, brows = _course(t, 4, 0.25, 0.5, 8), _course(t, 10, 0.2, 0.2, 10.6) + _course(t, 12, 0.2, 0.2, 12.6)
        lids = sum(_course(t, b, 0.06, 0.1, b + 0.2) for b in (2, 9)) + _course(t, 14, 0.15, 0.2, 15.6)
        yaw = 50 * _course(t, 17, 0.4, 0.4, 19.4) + rng.normal(0, 0.3)
        moved = {"lip_corners": 3 * smile, "mouth_width": 2.2 * smile, "inner_brow": 2.5 * brows, "outer_brow": 2.5 * brows,
                 "mouth_opening": 3 * brows, "jaw_drop": 2 * brows, "eye_opening": -4 * lids}  # fmt: skip
        cues = {name: moved.get(name, 0.0) + rng.normal(0, 0.15) for name in CUES}
        happy, surprised = 0.9 * smile, 0.8 * brows
        read = dict(zip(LABELS, [0.97 - happy - surprised, 0.01 + happy, 0.01 + surprised, 0.01], strict=True))
        label = max(read, key=lambda name: read[name])
        away = abs(yaw) > 35
        detection = Detection(np.zeros(4, np.float32), np.zeros((5, 2), np.float32), 0.9)
        one = Face(1, detection, label, read[label], read, cues, np.zeros((1, 2), np.float32), Pose(yaw, 0.0, 0.0))
        one = replace(one, events=dynamics.see(one, 1e3 * t, clear=not away), unclear=("pose",) if away else ())
        if away:
            one = replace(one, emotion="", confidence=0.0, probabilities={})
        found.append(Reading("talk.avi", i, 1e3 * t, 64, 48, (one,)))
    return found


@pytest.fixture(scope="module")
def told() -> Clip:
    return summarise(acted())


def test_spans_say_what_happened_in_them(told):
    (person,) = told.people
    texts = [span.text for span in person.spans]
    assert texts == [
        "The eyes blink.",
        "A smile spreads within half a second and stays for over three seconds.",
        "The eyes blink.",
        "The mouth falls open briefly. The brows rise briefly.",
        "",
        "The brows rise briefly. The mouth falls open briefly.",
        "The eyes stay closed for over a second.",
        "The head is turned away to the person's left for over a second.",
        "",
    ]
    assert [span.label for span in person.spans][1:4] == ["happiness", "neutral", "surprise"]
    for span in person.spans:
        assert " ".join(said.text for said in span.course) == span.text
        assert span.text == "" or len(parse(span.text)) == len(span.course)
        assert all(said.holds for said in span.course)
    (smile,) = person.spans[1].course
    assert smile.measured["rise_s"] == pytest.approx(0.25, abs=0.08)
    assert smile.measured["held_s"] == pytest.approx(3.5, abs=0.2)


def test_the_answer_goes_by_how_much_expression_there_was(told, clip):
    assert told.people[0].shares["neutral"] > 0.6
    answer = told.answer
    assert (answer.label, answer.span, answer.text) == ("happiness", 1, told.people[0].spans[1].text)
    assert sum(answer.probabilities.values()) == pytest.approx(1)
    assert clip.answer.text == "Lips <up> & wide."  # of a verified explanation
    assert summarise([]).answer is None


SCHEMA = json.loads((Path(edge.__file__).parent / "reading.schema.json").read_text(encoding="utf-8"))
VALIDATOR = jsonschema.Draft202012Validator({**SCHEMA, **SCHEMA["$defs"]["clip"]})


def test_the_clips_json_is_of_the_schema(told):
    for one in (told, summarise([])):
        VALIDATOR.validate(json.loads(json.dumps(one.to_dict())))
    whole = told.to_dict()
    person = whole["people"][0]
    parts = {
        "clip": whole,
        "answer": whole["answer"],
        "person": person,
        "span": person["spans"][1],
        "course": person["spans"][1]["course"][0],
    }
    for name, part in parts.items():
        assert list(part) == list(SCHEMA["$defs"][name]["properties"]) == SCHEMA["$defs"][name]["required"]


def test_the_picture_shows_answer_spans_cues_events_and_texts(told, clip, tmp_path):
    write_summary(tmp_path / "s.svg", told)
    text = (tmp_path / "s.svg").read_text(encoding="utf-8")
    root = ElementTree.fromstring(text)
    width, height = float(root.get("width")), float(root.get("height"))
    said = [part.text for part in root.iter("{http://www.w3.org/2000/svg}text")]
    for words in (
        "talk.avi",
        "Happiness",
        "lip corners",
        "eyes and head",
        "20 s",
        "4.1 – 7.8 s",
        "A smile spreads within half a second and stays for over three seconds.",
    ):
        assert words in said, words
    for shape in root.iter("{http://www.w3.org/2000/svg}rect"):
        if shape.get("x"):
            assert 0 <= float(shape.get("x")) <= float(shape.get("x")) + float(shape.get("width")) <= width
            assert 0 <= float(shape.get("y")) + float(shape.get("height")) <= height
    assert "Lips &lt;up&gt; &amp; wide." in as_svg(clip)
    assert "nobody was seen" in as_svg(summarise([]))
    crowd = replace(clip, people=clip.people * MOST_PEOPLE, source="bad\x00name\udcff.avi")
    assert f"and {MOST_PEOPLE} more people" in "".join(ElementTree.fromstring(as_svg(crowd)).itertext())


def _painted(clip: Clip) -> np.ndarray:
    return cv2.imdecode(np.frombuffer(as_png(clip), np.uint8), cv2.IMREAD_COLOR)


def test_the_png_shows_what_the_svg_shows(told, tmp_path):
    write_summary(tmp_path / "s.png", told)
    image, page = cv2.imread(str(tmp_path / "s.png")), lay_out(told)
    assert image.shape == (int(np.ceil(2 * page.height)), 2 * WIDTH, 3)
    root = ElementTree.fromstring(as_svg(told))
    boxes = [shape for shape in root.iter("{http://www.w3.org/2000/svg}rect") if (shape.findtext("{*}title") or "").endswith("%")]
    assert len(boxes) == len(told.people[0].spans)
    for shape in boxes:  # the spans: at their lower edge nothing is written on them
        x, y, width, height = (float(shape.get(name)) for name in ("x", "y", "width", "height"))
        blue, green, red = image[round(2 * (y + height)) - 3, round(2 * x + width)].tolist()
        assert np.allclose([red, green, blue], list(bytes.fromhex(shape.get("fill")[1:])), atol=16), "but for the axis"
    bare = lay_out(told)
    bare.shapes = [shape for shape in bare.shapes if not isinstance(shape, Text)]
    written = (np.abs(image.astype(int) - paint(bare)) > 60).any(2)
    assert not written[:, : 2 * 40].any()
    assert not written[:, -2 * 40 :].any()
    for text in (shape for shape in page.shapes if isinstance(shape, Text)):
        near = {"start": text.x, "middle": text.x - 4, "end": text.x - 8}[text.anchor]
        seen = written[round(2 * (text.y - text.size)) : round(2 * text.y), round(2 * near) : round(2 * near) + 20]
        assert seen.sum() > 5, text.said


def test_what_is_drawn_keeps_to_its_card(told, clip):
    crowd = replace(clip, people=clip.people * MOST_PEOPLE)
    for one in (told, clip, crowd, summarise([])):
        page = lay_out(one)
        for shape in page.shapes:
            if isinstance(shape, Box):
                assert 0 <= shape.x <= shape.x + shape.width <= WIDTH
                assert 0 <= shape.y <= shape.y + shape.height <= page.height


@pytest.mark.parametrize("name", ["bad\x00name\udcff.avi", "微笑 <b>&amp;.mp4", "😀" * 200, ""])
def test_no_name_breaks_the_pictures(clip, name):
    named = replace(clip, source=name)
    assert _painted(named).shape[1] == 2 * WIDTH
    ElementTree.fromstring(as_svg(named))
    assert in_a_sentence(named).isprintable()


def test_a_sentence_says_what_the_picture_shows(clip):
    sure = round(100 * clip.answer.confidence)
    said = f"talk.avi, 2 s, 2 people. Person 1: happiness, {sure}% pooled over all frames. Person 2: neutral, 80% pooled over all frames."
    assert in_a_sentence(clip) == said
    assert in_a_sentence(summarise([])) == "recording, 0 s, nobody was seen."


@pytest.mark.parametrize("suffix", [".png", ".svg"])
def test_a_picture_that_cannot_be_written_leaves_nothing(clip, tmp_path, suffix):
    resource = pytest.importorskip("resource", reason="limits of processes are POSIX")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (5000, before[1]))
        with pytest.raises(OutputError, match=f"cannot write the summary '.*s{suffix}': File too large"):
            write_summary(tmp_path / f"s{suffix}", clip)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert not list(tmp_path.iterdir())
    with pytest.raises(OutputError, match="No such file"):
        write_summary(tmp_path / "gone" / f"s{suffix}", clip)


def test_edge_run_and_read_clip_give_the_same(video, tmp_path, pipeline, capsys):
    target = tmp_path / "s.json"
    run = ["--video", str(video), "--explain", "change", "--no-display", "--device", "cpu", "--threads", "2", "--summary", str(target)]
    assert main(run) == 0
    found = json.loads(target.read_text())
    assert found == json.loads(json.dumps(read_clip(video, pipeline=pipeline).to_dict()))
    VALIDATOR.validate(found)
    (person,) = found["people"]
    assert (found["frames"], person["spans"][0]["label"]) == (12, "happiness")
    assert person["spans"][0]["explanation"]["status"] == "verified"
    assert main(run) == 2
    assert "exists" in capsys.readouterr().err
    assert main(["--camera", "0", "--summary", str(tmp_path / "t.json")]) == 2
    assert "--summary is for --video" in capsys.readouterr().err


def test_a_person_who_leaves_and_comes_back_is_one_person_of_a_recording(pipeline):
    shown, other = head(), head("other")
    frames = [draw([(other, 160, 250, 1.0)] + ([(shown, 480 if i < 12 else 430, 240, 1.0)] if not 12 <= i < 38 else [])) for i in range(48)]
    clip = read_clip((Frame(picture, "drawn", i, i * 100.0) for i, picture in enumerate(frames)), pipeline=pipeline, explain="off")
    stayed, returned = clip.people
    assert (stayed.seconds, returned.seconds) == (pytest.approx(4.8), pytest.approx(2.2, abs=0.5))
    assert {stayed.track, returned.track} == {1, 2}
    ends = [(span.start_ms, span.end_ms) for span in returned.spans]
    assert not any(start < 2500 < end for start, end in ends), "nobody is there meanwhile"
    assert (ends[0][0], ends[-1][1]) == (0.0, pytest.approx(4800.0))
