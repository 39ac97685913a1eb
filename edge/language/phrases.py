"""The language of the shipped bundle's rationales, read exactly: a text that is not wholly of it is not shown."""

from __future__ import annotations

import re
from itertools import chain

from edge.language.rationale import split_sentences

#: (cue, direction) → clauses; `{}` takes an intensity adverb with its leading space, or nothing.
CLAUSES: dict[tuple[str, int], tuple[str, ...]] = {
    ("inner_brow", 1): (
        "the inner brows are{} raised",
        "the inner ends of the brows are{} lifted",
        "the brows are{} drawn up in the middle",
        "the inner corners of the eyebrows sit{} high",
    ),
    ("inner_brow", -1): (
        "the inner brows are{} lowered",
        "the inner ends of the brows are{} pulled down",
        "the brows are{} pressed down in the middle",
        "the inner corners of the eyebrows sit{} low",
    ),
    ("outer_brow", 1): (
        "the outer brows are{} raised",
        "the eyebrows arch{} upward",
        "the outer parts of the brows are{} lifted",
        "the brows sit{} high on the forehead",
    ),
    ("outer_brow", -1): (
        "the outer brows are{} lowered",
        "the outer parts of the brows are{} pulled down",
        "the eyebrows hang{} low over the eyes",
        "the brow line is{} lowered at the sides",
    ),
    ("brow_gap", 1): (
        "the brows are{} spread apart",
        "the space between the brows is{} wide",
        "the eyebrows stand{} apart",
        "the area between the brows is{} smooth and wide",
    ),
    ("brow_gap", -1): (
        "the brows are{} drawn together",
        "the brows are{} knitted",
        "the space between the brows is{} narrow",
        "the eyebrows are{} pulled toward each other",
    ),
    ("eye_opening", 1): (
        "the eyes are{} widened",
        "the eyes are{} wide open",
        "the upper eyelids are{} raised",
        "the eyelids are pulled{} apart",
    ),
    ("eye_opening", -1): (
        "the eyes are{} narrowed",
        "the eyelids are{} lowered",
        "the eyes are{} squeezed toward closing",
        "the eye openings are{} small",
    ),
    ("cheek_raise", 1): (
        "the cheeks are{} raised",
        "the cheeks are{} pushed up toward the eyes",
        "the cheeks sit{} high",
        "the cheeks are{} lifted",
    ),
    ("cheek_raise", -1): (
        "the cheeks hang{} low",
        "the cheeks are{} lowered",
        "the cheeks are{} drawn down",
        "the cheeks sit{} far below the eyes",
    ),
    ("nose_wrinkle", 1): (
        "the nose is{} wrinkled",
        "the sides of the nose are{} drawn up",
        "the nostril wings are{} lifted",
        "the nose is{} scrunched",
    ),
    ("nose_wrinkle", -1): (
        "the nose is{} lengthened",
        "the nostril wings are{} drawn down",
        "the sides of the nose are{} pulled down",
        "the nose is{} stretched",
    ),
    ("upper_lip", 1): (
        "the upper lip is{} raised",
        "the upper lip is{} pulled up toward the nose",
        "the upper lip is{} lifted",
        "the upper lip curls{} upward",
    ),
    ("upper_lip", -1): (
        "the upper lip is{} drawn down",
        "the upper lip is{} lowered",
        "the upper lip sits{} far from the nose",
        "the upper lip is{} lengthened",
    ),
    ("lip_corners", 1): (
        "the lip corners are{} pulled up",
        "the corners of the mouth turn{} upward",
        "the mouth curves{} upward",
        "the lip corners are{} raised",
    ),
    ("lip_corners", -1): (
        "the lip corners are{} pulled down",
        "the corners of the mouth turn{} downward",
        "the mouth curves{} downward",
        "the lip corners{} droop",
    ),
    ("corner_asymmetry", 1): (
        "the left lip corner is{} higher than the right",
        "the mouth is{} lifted on the left side only",
        "the left corner of the mouth is{} raised above the other",
        "the mouth is{} skewed upward on the left",
    ),
    ("corner_asymmetry", -1): (
        "the right lip corner is{} higher than the left",
        "the mouth is{} lifted on the right side only",
        "the right corner of the mouth is{} raised above the other",
        "the mouth is{} skewed upward on the right",
    ),
    ("chin_raise", 1): (
        "the chin is{} pushed up",
        "the chin is{} raised toward the lower lip",
        "the lower lip sits{} close to the chin",
        "the chin is{} drawn upward",
    ),
    ("chin_raise", -1): (
        "the chin is{} stretched away from the lower lip",
        "the lower lip sits{} far from the chin",
        "the chin is{} long below the lip",
        "the chin is{} drawn downward",
    ),
    ("mouth_width", 1): (
        "the mouth is{} stretched wide",
        "the lips are{} stretched sideways",
        "the mouth is{} widened",
        "the lip corners are{} pulled apart",
    ),
    ("mouth_width", -1): (
        "the mouth is{} narrow",
        "the lips are{} drawn together from the sides",
        "the mouth is{} small from side to side",
        "the lips are{} puckered inward",
    ),
    ("lip_fullness", 1): (
        "the lips are{} pushed out",
        "the lips are{} full and rounded",
        "both lips are{} thick",
        "the lips are{} funnelled outward",
    ),
    ("lip_fullness", -1): (
        "the lips are{} pressed thin",
        "the lips are{} tightened",
        "the lips are{} pressed together",
        "both lips are{} thin",
    ),
    ("mouth_opening", 1): (
        "the mouth is{} open",
        "the lips are{} parted",
        "the lips are{} apart",
        "the mouth hangs{} open",
    ),
    ("mouth_opening", -1): (
        "the mouth is{} closed",
        "the lips are{} shut",
        "the lips are kept{} closed",
        "the mouth stays{} shut",
    ),
    ("jaw_drop", 1): (
        "the jaw is{} dropped",
        "the jaw hangs{} low",
        "the lower face is{} stretched downward",
        "the jaw is{} lowered",
    ),
    ("jaw_drop", -1): (
        "the jaw is{} clenched upward",
        "the lower face is{} shortened",
        "the jaw is{} raised",
        "the jaw is{} drawn up tight",
    ),
}

ABSENCE = (
    "The face is relaxed.",
    "No part of the face stands out.",
    "The features are at rest.",
    "The face shows no strong movement.",
    "Brows, eyes and mouth are at rest.",
)
INTENSITY = {0: ("", "", " slightly", " a little"), 1: ("", " clearly", " visibly"), 2: (" strongly", " markedly")}
INTENSITY_OF_GRADABLE = (" very", " strikingly")
GRADABLE = {"high", "low", "wide", "narrow", "small", "far", "close", "thin", "thick", "full", "open", "long"}
JOINS = (" and ", ", and ", " while ")
NAMED = (
    "This reads as {}.",
    "The expression looks like {}.",
    "Together this suggests {}.",
    "This points to {}.",
    "It is an expression of {}.",
    "The face shows {}.",
)
HEDGED = (
    "The signs are mixed, but {} fits best.",
    "This may be {}.",
    "It is hard to be sure, but this leans toward {}.",
    "This could be {}.",
)


def is_understood(rationale: str) -> bool:
    """Whether every sentence of a rationale is one of the language, word for word.

    Sentences about the head's turn are not: nothing checks them here, and what is not checked is not said.
    """
    sentences = split_sentences(rationale)
    return bool(sentences) and all(s[0].isupper() and _SENTENCE.fullmatch(s[0].lower() + s[1:]) for s in sentences)


def _pattern() -> re.Pattern[str]:
    adverbs = sorted({adverb for group in INTENSITY.values() for adverb in group if adverb} | set(INTENSITY_OF_GRADABLE))
    intensity = f"(?:{'|'.join(map(re.escape, adverbs))})?"
    clauses = [re.escape(text).replace(r"\{\}", intensity) for text in chain(*CLAUSES.values())]
    one, join = f"(?:{'|'.join(clauses)})", f"(?:{'|'.join(map(re.escape, JOINS))})"
    closings = [re.escape(text).replace(r"\{\}", "[a-z]+") for text in (*NAMED, *HEDGED)]
    whole = [f"(?:{one}(?:{join}{one})?\\.)", *(re.escape(text[0].lower() + text[1:]) for text in ABSENCE)]
    plain = [text[0].lower() + text[1:] for text in closings]
    return re.compile("|".join(f"(?:{part})" for part in (*whole, *plain)))


_SENTENCE = _pattern()
