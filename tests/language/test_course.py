"""What may be said of a stretch of time: written, read back and held against what happened."""

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.language.course import MOST, NOUNS, STILL, TOLERANCES, _sentences, parse, sentence_of
from edge.language.happenings import Happening, Stretch, allot
from edge.language.telling import check, verify, write

ALL = sorted(_sentences())


def moved(
    subject: str, start_s: float, rise_s: float, held_s: float, end_s: float, amplitude: float = 2.0, *, ended: bool = True
) -> Happening:
    return Happening("movement", subject, 1e3 * start_s, 1e3 * end_s, ended, amplitude, rise_s, held_s)


def during(*happenings: Happening, end_s: float = 10.0, spread: float = 2.0, seen: float = 1.0) -> Stretch:
    (found,) = allot([Stretch(0.0, 1e3 * end_s, spread=spread, seen=seen)], happenings)
    return found


def both(cues: str, *times: float, **more) -> list[Happening]:
    return [moved(cue, *times, **more) for cue in cues.split()]


SMILE, BROWS = "lip_corners+ mouth_width+", "inner_brow+ outer_brow+"
DIP = Happening("blink", "eye_opening-", 4000, 4200, True, 3.0)


@given(st.lists(st.sampled_from(ALL), min_size=1, max_size=3))
def test_every_text_of_the_language_is_read_as_its_sentences(sentences):
    said = [sentence_of(sentence) for sentence in sentences]
    members = [(one.kind, member) for one in said for member in one.members or ("",)]
    read = parse(" ".join(sentences))
    assert read == (tuple(said) if len(set(members)) == len(members) else None)


@given(st.sampled_from(ALL), st.data())
def test_a_text_that_is_altered_is_not_of_the_language_or_says_another_thing(text, data):
    at = data.draw(st.integers(0, len(text) - 1))
    for other in (text[:at] + text[at + 1 :], text[:at] + "x" + text[at:], text + " ", text + " The person looks happy.", text.lower()):
        assert parse(other) is None or parse(other) != parse(text)
    assert parse("") is None


def test_no_sentence_has_two_meanings_and_the_fullest_is_said():
    assert len(set(_sentences().values())) == len(ALL)
    smile = both(SMILE, 1.0, 0.31, 2.4, 4.0)
    assert write(during(*smile)) == "A smile spreads within half a second and stays for over two seconds."
    assert write(during(*both(SMILE, 1.0, 0.31, 1.4, 4.0))) == "A smile spreads within half a second and stays."
    assert write(during(*both(BROWS, 1.0, 0.2, 0.3, 1.7), *both(BROWS, 3.0, 0.2, 0.3, 3.7))) == "The brows rise briefly, twice."
    closed = Happening("eyes_closed", "eye_opening-", 2000, 3400, True, 4.0)
    assert write(during(closed)) == "The eyes stay closed for over a second."
    assert write(during(Happening("nod", "pitch-", 2000, 2600, True, 9.5))) == "The head nods."
    assert write(during(Happening("nod", "pitch-", 2000, 2600, True, 8.0))) == ""  # lids that close move a head as far
    away = Happening("turned_away", "yaw-", 2000, 4600, True, 50.0)
    assert write(during(away)) == "The head is turned away to the person's right for over two seconds."


def test_what_has_not_ended_is_not_brief_and_may_stay():
    ended, under_way = both(BROWS, 9.2, 0.2, 0.4, 9.8), both(BROWS, 9.2, 0.2, 0.4, 9.8, ended=False)
    assert write(during(*ended)) == "The brows rise briefly."
    assert write(during(*under_way)) == "The brows rise within half a second."
    assert write(during(*both(BROWS, 7.0, 0.2, 2.5, 9.8, ended=False))).endswith("stay up for over two seconds.")


@pytest.mark.parametrize(("rise_s", "holds"), [(0.15, True), (0.39, True), (0.41, False), (0.6, False), (math.nan, False)])
def test_a_measure_lies_inside_its_bound_by_the_tolerance(rise_s, holds):
    said = check("The cheeks rise within half a second.", during(moved("cheek_raise+", 1, rise_s, 0.5, 3)))
    assert (said.holds, said.within["rise_s"]) == (holds, (0.0, 0.5 - TOLERANCES["rise_s"][0]))
    exact = check(said.text, during(moved("cheek_raise+", 1, rise_s, 0.5, 3)), exact=True)
    assert exact.holds == (rise_s <= 0.5)


def test_of_a_mouth_that_opens_only_the_time_is_told():
    assert write(during(moved("jaw_drop+", 1, 0.1, 2.5, 4.5))) == "The jaw drops for over three seconds."
    assert [parse(f"The jaw drops {words}.") for words in ("within a second", "and stays down")] == [None, None]


def test_a_number_speaks_of_all_that_a_cue_did():
    first, second, third = (both(BROWS, t, 0.2, 0.3, t + 0.7) for t in (1, 3, 5))
    text = "The brows rise briefly, twice."
    assert check(text, during(*first, *second)).holds
    assert not check(text, during(*first)).holds
    assert not check(text, during(*first, *second, *third)).holds
    assert not check(text, during(*first, *second, third[0])).holds  # the inner brows have moved once more
    assert not check(text, during(*first, *both(BROWS, 3, 0.2, 2.0, 6))).holds  # the second is not brief
    blinks = [replace(DIP, start_ms=t, end_ms=t + 200) for t in (1000, 2000, 3000)]
    assert [check(f"The eyes blink at least {n}.", during(*blinks)).holds for n in ("twice", "three times", "four times")] == [
        True,
        True,
        False,
    ]


def test_what_hardly_moves_is_not_said_to():
    weak, strong = (both(BROWS, 1, 0.3, 1.4, 4, amplitude=size) for size in (1.1, 1.3))
    assert (write(during(*weak)), write(during(*strong))) == ("", "The brows rise within half a second and stay up.")
    assert check("The brows rise.", during(*weak), exact=True).holds


def test_cues_move_together_only_at_the_same_time_and_in_the_same_direction():
    text = "A smile spreads."
    assert check(text, during(*both(SMILE, 1, 0.3, 1, 3))).holds
    for other in (moved("mouth_width+", 2.5, 0.3, 1, 4.5), moved("mouth_width-", 1, 0.3, 1, 3), moved("jaw_drop+", 1, 0.3, 1, 3)):
        assert not check(text, during(moved("lip_corners+", 1, 0.3, 1, 3), other)).holds


def test_what_only_looks_like_it_is_not_said():
    jaw = both("mouth_opening+ jaw_drop+", 1, 0.3, 1, 3)
    assert write(during(moved("lip_corners+", 1, 0.3, 1, 3), moved("chin_raise+", 1, 0.3, 1, 3), *jaw)).startswith("The mouth falls open")
    assert check("The lips part.", during(moved("mouth_opening+", 1, 0.3, 1, 3))).holds
    assert not check("The lips part.", during(moved("mouth_opening+", 1, 0.3, 1, 3), moved("lip_corners+", 1, 0.3, 1, 3))).holds
    assert check("The lips part.", during(moved("mouth_opening+", 1, 0.3, 1, 3), moved("lip_corners+", 1, 0.3, 1, 3)), exact=True).holds
    assert parse("The lip corners rise.") is None
    assert check("The eyes blink.", during(DIP)).holds
    assert not check("The eyes blink.", during(DIP, moved("cheek_raise+", 3.9, 0.1, 0.1, 4.3))).holds


def test_what_goes_along_is_told_once_in_each_half_of_the_face():
    text = write(during(*both("lip_corners+ mouth_width+ upper_lip+ inner_brow+ outer_brow+", 1, 0.3, 0.2, 1.7)))
    assert sorted(text.split(". ")) == ["A smile spreads briefly", "The brows rise briefly."]
    twice = [*both(SMILE + " cheek_raise+", 1, 0.3, 0.2, 1.7), *both(SMILE, 5, 0.3, 0.2, 5.7)]
    assert write(during(*twice)) == "A smile spreads briefly, twice."


def test_a_face_is_still_when_nothing_moves_and_it_was_seen():
    assert write(during(spread=0.3)) == STILL
    assert write(during(DIP, spread=0.3)) == f"{STILL} The eyes blink."
    for known in (during(spread=0.9), during(spread=0.3, seen=0.5), during(spread=0.3, end_s=1.0)):
        assert write(known) == ""
    spans = [Stretch(0, 5000, spread=0.3, seen=1.0), Stretch(5000, 10_000, spread=0.3, seen=1.0)]
    into = allot(spans, [moved("jaw_drop+", 4.5, 0.3, 1.0, 6.5)])
    assert [write(known) for known in into] == ["", "The jaw drops for over a second."]


def test_a_text_is_verified_whole_or_not_at_all():
    known = during(*both(SMILE, 1, 0.3, 1.4, 4.5), DIP)
    text = write(known)
    assert [said.kind for said in verify(text, known)] == ["movement"]  # a blink in a smile is not told
    assert verify(f"{text} The head nods.", known) == ()
    assert verify(f"{text} The person is glad.", known) == ()
    assert verify(f"{text} {text}", known) == ()
    assert all(said.holds for said in verify(text, known))
    assert verify(text, known)[0].times_ms == ((1000.0, 4500.0),)


def test_no_more_is_said_than_a_reader_takes_in():
    many = [h for i, cues in enumerate(NOUNS) for h in both(cues, 2 * i, 0.3, 0.2, 2 * i + 0.9)]
    text = write(during(*many, end_s=60))
    assert len(parse(text)) <= MOST


@given(
    st.lists(
        st.tuples(st.sampled_from([n for names in NOUNS for n in names.split()]), st.floats(0, 9), st.floats(0.1, 5), st.floats(0.05, 1)),
        max_size=8,
    )
)
def test_whatever_happens_what_is_written_is_read_and_holds(moves):
    known = during(*(moved(s, t, share * long, long / 2, t + long) for s, t, long, share in moves), spread=0.3)
    text = write(known)
    assert (text == "") == (verify(text, known) == ())
    assert [said.text for said in verify(text, known)] == ([f"{part.rstrip('.')}." for part in text.split(". ")] if text else [])


def test_to_dict_is_plain_json():
    said = check("The brows rise and stay up.", during(*both(BROWS, 1, 0.3, 1.4, 4))).to_dict()
    assert said["within"] == {"held_s": [1.12, None], "amplitude": [1.2, None]}
    assert said["measured"] == {"held_s": 1.4, "amplitude": 2.0}
    assert check("The person is glad.", during()) is None
