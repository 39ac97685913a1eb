from hypothesis import given
from hypothesis import strategies as st

from edge.language.labels import EMOTION_WORDS, EMOTIONS_8, EMOTIONS_11, MASK, mask_emotions, named_emotions, parse_emotion


def test_mask_emotions_hides_every_listed_word_in_any_case():
    for words in EMOTION_WORDS.values():
        for word in words:
            for form in (word, word.upper(), word.capitalize()):
                assert mask_emotions(f"This reads as {form}.") == f"This reads as {MASK}."


def test_mask_emotions_leaves_cues_and_longer_words_alone():
    text = "The lip corners are pulled up; a madam with a fearless look."
    assert mask_emotions(text) == text


@given(st.lists(st.sampled_from([w for ws in EMOTION_WORDS.values() for w in ws] + ["brow", "[emotion]", "x", ".", "-"])).map(" ".join))
def test_mask_emotions_is_done_in_one_go_and_changes_only_what_names_an_emotion(text):
    masked = mask_emotions(text)
    assert mask_emotions(masked) == masked
    assert (masked != text) == bool(named_emotions(text))


def test_named_emotions_are_unique_and_in_order_of_mention():
    assert named_emotions("Sad at first, then an angry, furious face; still sadness.") == ("sadness", "anger")


def test_parse_emotion_maps_names_synonyms_and_folders():
    assert [parse_emotion(w) for w in ("Happy", "ANGRY", " fear ", "Surprised", "worried", "stone")] == [
        "happiness", "anger", "fear", "surprise", "fear", None,
    ]  # fmt: skip
    assert parse_emotion("anxiety", EMOTIONS_8) is None
    assert parse_emotion("anxiety") == "anxiety"


def test_every_label_is_its_own_word():
    assert set(EMOTION_WORDS) == set(EMOTIONS_11)
    assert all(name in words for name, words in EMOTION_WORDS.items())
