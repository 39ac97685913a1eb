"""Words of the written rationales that the runtime does not read: the head's turn, and how other writers say what a cue shows."""

from __future__ import annotations

HEAD_TURNED = ("The head is turned to the {side}.", "The face is seen from the side, turned {side}.", "The head faces {side}.")
HEAD_RAISED = ("The head is raised.", "The head is tipped back.")
HEAD_LOWERED = ("The head is lowered.", "The head is tipped forward.")
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
