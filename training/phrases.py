"""The words of the written rationales: clauses per cue and direction, intensities, joins, closing sentences."""

from __future__ import annotations

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
HEAD_TURNED = ("The head is turned to the {side}.", "The face is seen from the side, turned {side}.", "The head faces {side}.")
HEAD_RAISED = ("The head is raised.", "The head is tipped back.")
HEAD_LOWERED = ("The head is lowered.", "The head is tipped forward.")
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

#: How other writers say the same: FACS names of action units and everyday words. The verifier learns to read them; the writer keeps to
#: its clauses.
ELSEWHERE: dict[tuple[str, int], tuple[str, ...]] = {
    ("inner_brow", 1): ("an inner brow raiser", "eyebrows lifted in the middle", "raised inner eyebrows"),
    ("inner_brow", -1): ("a brow lowerer", "lowered brows", "a heavy brow"),
    ("outer_brow", 1): ("an outer brow raiser", "raised eyebrows", "arched eyebrows"),
    ("outer_brow", -1): ("lowered outer brows", "a low brow line", "drooping outer brows"),
    ("brow_gap", 1): ("a smooth forehead between the brows", "brows far apart", "an unfurrowed brow"),
    ("brow_gap", -1): ("a furrowed brow", "a frown between the eyes", "knitted eyebrows", "furrowed eyebrows"),
    ("eye_opening", 1): ("an upper lid raiser", "wide eyes", "widely opened eyes", "staring eyes"),
    ("eye_opening", -1): ("a lid tightener", "narrowed eyes", "squinting eyes", "half-closed eyes"),
    ("cheek_raise", 1): ("a cheek raiser", "lifted cheeks", "raised cheeks"),
    ("cheek_raise", -1): ("sunken cheeks", "slack cheeks", "lowered cheeks"),
    ("nose_wrinkle", 1): ("a nose wrinkler", "a wrinkled nose", "a scrunched nose"),
    ("nose_wrinkle", -1): ("a smooth, long nose", "a stretched nose", "lowered nostril wings"),
    ("upper_lip", 1): ("an upper lip raiser", "a raised upper lip", "a curled upper lip"),
    ("upper_lip", -1): ("a lowered upper lip", "a long upper lip", "an upper lip drawn down"),
    ("lip_corners", 1): ("a lip corner puller", "a smile", "a broad smile", "upturned lip corners", "a grin"),
    ("lip_corners", -1): ("a lip corner depressor", "downturned lip corners", "a downturned mouth", "drooping mouth corners"),
    ("corner_asymmetry", 1): ("a smirk on the left side", "a left-sided smirk", "a mouth pulled up on the left"),
    ("corner_asymmetry", -1): ("a smirk on the right side", "a right-sided smirk", "a mouth pulled up on the right"),
    ("chin_raise", 1): ("a chin raiser", "a raised chin boss", "a pouting chin"),
    ("chin_raise", -1): ("a lengthened chin", "a chin drawn down", "a stretched chin"),
    ("mouth_width", 1): ("a lip stretcher", "stretched lips", "a wide mouth"),
    ("mouth_width", -1): ("a lip pucker", "a small mouth", "a narrow mouth"),
    ("lip_fullness", 1): ("a lip funneler", "full, pushed-out lips", "pouting lips"),
    ("lip_fullness", -1): ("a lip tightener", "a lip pressor", "tight lips", "pressed lips"),
    ("mouth_opening", 1): ("lips part", "parted lips", "an open mouth", "a gaping mouth"),
    ("mouth_opening", -1): ("a closed mouth", "closed lips", "a shut mouth"),
    ("jaw_drop", 1): ("a jaw drop", "a dropped jaw", "a slack jaw"),
    ("jaw_drop", -1): ("a clenched jaw", "a set jaw", "a tight jaw"),
}
SHOWN = (
    "{who} shows {}.",
    "There is {}.",
    "One sees {}.",
    "{who} has {}.",
    "The facial expression features {}.",
    "With {}, {who} looks on.",
)
WHO = ("the man", "the woman", "the person", "he", "she", "the speaker", "the face", "the child", "the individual")
SAYS_SO = (
    "{who} is {}.",
    "{who} looks {}.",
    "{who} seems {}.",
    "{who} feels {}.",
    "This suggests {}.",
    "The tone of voice is {}.",
    "{who} speaks in a way that is {}.",
    "The words express {}.",
    "It all points to {}, it seems.",
    "The scene is one of {}.",
    "{who} reacts with {}.",
    "The overall impression is {}.",
    "There is a touch of {} in the voice.",
    "This is typical of {}.",
)
QUOTES = ('{who} says: "{}"', 'The words are "{}"', "{who} speaks: {}", "{who} is heard saying {}")
#: What a face is said to keep at rest when nothing stands out: brows, eyes, mouth.
REST_CUES = ("inner_brow", "eye_opening", "lip_corners", "mouth_opening")
