"""The words of the written rationales: phrases by what they state, and how other writers say the same.

Short forms: `lip_corners+` above neutral, `-` below, `=` at rest; `?` slightly, `!` strongly. A phrase states all that stands in its key,
and nothing else that a face could contradict. Sides are the person's own.
"""

from __future__ import annotations

#: What moves.
MOVEMENTS: dict[str, tuple[str, ...]] = {
    "inner_brow+": (
        "the inner brows are raised",
        "the inner ends of the brows are lifted",
        "the brows rise in the middle",
        "the inner brows go up",
    ),
    "inner_brow+!": ("the inner brows are raised high", "the brows rise steeply in the middle"),
    "inner_brow+?": ("the inner brows are raised a little", "the brows rise slightly in the middle"),
    "inner_brow-": (
        "the inner brows are lowered",
        "the brows are pulled down in the middle",
        "the inner ends of the brows come down",
        "the brows press down toward the nose",
    ),
    "inner_brow-!": ("the inner brows are pulled far down", "the brows press hard toward the nose"),
    "inner_brow-?": ("the inner brows are lowered a little", "the brows come down slightly in the middle"),
    "outer_brow+": (
        "the outer brows are raised",
        "the outer ends of the brows are lifted",
        "the brows arch upward",
        "the outer brows go up",
    ),
    "outer_brow+!": ("the outer brows are raised high", "the brows arch far upward"),
    "outer_brow-": ("the outer brows are lowered", "the outer ends of the brows come down", "the outer brows come down"),
    "inner_brow+ outer_brow+": (
        "the eyebrows are raised",
        "both eyebrows go up",
        "the brows are lifted",
        "the whole brow line is raised",
        "the eyebrows are drawn up",
    ),
    "inner_brow+! outer_brow+!": ("the eyebrows are raised high", "the brows are lifted far up the forehead", "the eyebrows shoot up"),
    "inner_brow+? outer_brow+?": ("the eyebrows are raised a little", "the brows are slightly lifted"),
    "inner_brow- outer_brow-": (
        "the eyebrows are lowered",
        "the brows are pulled down",
        "both brows come down over the eyes",
        "the brows hang low over the eyes",
    ),
    "inner_brow-! outer_brow-!": ("the eyebrows are pulled down hard", "the brows press low over the eyes"),
    "inner_brow-? outer_brow-?": ("the eyebrows are lowered a little", "the brows come down slightly"),
    "brow_gap-": ("the brows are drawn together", "the brows are knitted", "the brows move toward each other"),
    "inner_brow- brow_gap-": ("a frown draws the brows down and together", "the brows are lowered and drawn together"),
    "inner_brow+ outer_brow+ eye_opening+": (
        "the eyes are wide open under raised brows",
        "the brows go up over wide eyes",
        "brows and eyelids are lifted wide",
    ),
    "inner_brow+ eye_opening+": ("the eyes are wide under raised inner brows", "the inner brows go up over wide eyes"),
    "inner_brow- eye_opening-": ("the eyes are narrowed under lowered brows", "lowered brows narrow the eyes"),
    "inner_brow- outer_brow- eye_opening-": ("the brows come down over narrowed eyes", "the eyes narrow under a lowered brow line"),
    "inner_brow+ eye_opening-": ("the inner brows rise over lowered eyelids", "the eyelids hang under raised inner brows"),
    "eye_opening+": ("the eyes are wide open", "the eyes are opened wide", "the upper eyelids are raised", "the eyes are widened"),
    "eye_opening+!": ("the eyes are very wide open", "the eyes are opened as wide as they go"),
    "eye_opening+?": ("the eyes are slightly widened", "the eyelids are a little raised"),
    "eye_opening-": ("the eyes are narrowed", "the eyelids are lowered", "the eyelids come down", "the upper lids are lowered"),
    "eye_opening-!": ("the eyes are narrowed to slits", "the eyelids are nearly shut", "the eyes are all but closed"),
    "eye_opening-?": ("the eyes are slightly narrowed", "the eyelids are a little lowered"),
    "eyes_closed": ("the eyes are closed", "the eyelids are shut", "both eyes are shut"),
    "cheek_raise+": ("the cheeks are raised", "the cheeks are pushed up", "the cheeks lift toward the eyes"),
    "cheek_raise+!": ("the cheeks are pushed high up", "the cheeks are raised far toward the eyes"),
    "nose_wrinkle+": ("the nose is wrinkled", "the sides of the nose are drawn up", "the nose is scrunched up"),
    "nose_wrinkle+!": ("the nose is deeply wrinkled", "the sides of the nose are drawn far up"),
    "upper_lip+": ("the upper lip is raised", "the upper lip is drawn up", "the upper lip is lifted"),
    "upper_lip+!": ("the upper lip is raised high", "the upper lip is pulled far up"),
    "nose_wrinkle+ upper_lip+": (
        "the upper lip is drawn up under a wrinkled nose",
        "the nose is wrinkled and the upper lip raised",
        "nose and upper lip are drawn up",
    ),
    "lip_corners+": (
        "the lip corners are pulled up",
        "the corners of the mouth turn up",
        "the mouth curves upward",
        "the lips are set in a smile",
    ),
    "lip_corners+ mouth_width+": (
        "a smile widens the mouth",
        "the mouth is drawn wide in a smile",
        "the mouth is stretched in a smile",
        "the mouth widens in a smile",
        "a smile draws the lips wide",
        "the lips are stretched in a smile",
        "the lip corners are drawn up and out in a smile",
    ),
    "lip_corners+! mouth_width+!": (
        "a broad smile widens the mouth",
        "the mouth is drawn into a broad smile",
        "a broad smile shows on the face",
        "a broad smile can be seen",
        "the lip corners are drawn up in a broad smile",
        "the lips are stretched in a broad smile",
    ),
    "lip_corners+ mouth_opening+": ("a smile parts the lips", "the lips part in a smile", "the mouth is open in a smile"),
    "lip_corners+ mouth_opening+!": ("the mouth is wide open in a smile", "a smile opens the mouth wide"),
    "lip_corners+ mouth_width+ mouth_opening+": (
        "the mouth is wide and open in a smile",
        "an open smile widens the mouth",
        "the lips are drawn back in an open smile",
        "an open smile draws the mouth wide",
        "the open mouth widens in a smile",
        "the lips are parted and drawn wide in a smile",
    ),
    "lip_corners+! mouth_width+! mouth_opening+": (
        "the mouth opens in a broad smile",
        "the mouth is open in a broad smile",
        "a broad smile parts the lips",
        "a broad, open smile can be seen",
        "the lips part in a broad smile",
        "a broad smile opens the mouth",
        "a beaming, open smile stretches the mouth",
    ),
    "lip_corners+ cheek_raise+": ("a smile lifts the cheeks", "the smile pushes the cheeks up", "lip corners and cheeks are raised"),
    "lip_corners+ mouth_width+ cheek_raise+": ("a smile widens the mouth and lifts the cheeks", "a wide smile pushes the cheeks up"),
    "lip_corners+ mouth_width+ mouth_opening+ cheek_raise+": (
        "an open smile lifts the cheeks",
        "the mouth opens in a smile that pushes the cheeks up",
    ),
    "lip_corners+ eye_opening-": ("a smile narrows the eyes", "the eyes narrow with the smile"),
    "lip_corners+ mouth_width+ mouth_opening+ eye_opening-": (
        "an open smile narrows the eyes",
        "the eyes narrow as the mouth opens in a smile",
    ),
    "corner_asymmetry+": (
        "the lip corner on the person's left sits higher than the other",
        "the mouth is pulled up on the person's left only",
    ),
    "corner_asymmetry-": (
        "the lip corner on the person's right sits higher than the other",
        "the mouth is pulled up on the person's right only",
    ),
    "lip_corners-": ("the lip corners are pulled down", "the corners of the mouth turn down", "the mouth curves downward"),
    "chin_raise+": ("the chin is pushed up", "the chin is raised against the lower lip", "the chin pushes the lower lip up"),
    "chin_raise+!": ("the chin is pushed far up", "the chin presses hard against the lower lip"),
    "mouth_width+": ("the mouth is drawn wide", "the lips are drawn out to the sides", "the mouth is widened"),
    "mouth_width+!": ("the mouth is stretched very wide", "the lips are drawn far out to the sides"),
    "mouth_width+?": ("the mouth is slightly widened", "the lips are drawn a little to the sides"),
    "mouth_width-": (
        "the corners of the mouth are drawn in",
        "the lips are drawn together",
        "the mouth is narrowed",
        "the mouth is made small",
    ),
    "mouth_opening+?": ("the lips are parted", "the lips are apart", "the mouth is slightly open"),
    "mouth_opening+": ("the mouth is open",),
    "mouth_opening+!": ("the mouth is wide open", "the mouth is opened wide", "the mouth stands wide open"),
    "mouth_width+ mouth_opening+": (
        "the mouth is open and drawn wide",
        "the open mouth is drawn wide",
        "the lips are apart and drawn wide",
    ),
    "mouth_width+ mouth_opening+!": ("the mouth is stretched wide open",),
    "mouth_width- mouth_opening+": ("the mouth is open and narrow",),
    "mouth_width- mouth_opening+?": ("the lips are parted in a narrow mouth",),
    "eye_opening+ mouth_opening+": ("the eyes are wide above an open mouth",),
    "inner_brow+ outer_brow+ mouth_opening+": ("the brows are raised over an open mouth", "the mouth is open under raised brows"),
    "inner_brow+ outer_brow+ mouth_opening+?": ("the lips are parted under raised brows",),
    "eye_opening+ mouth_opening+!": ("eyes and mouth are wide open", "the mouth gapes under wide eyes"),
    "inner_brow+ outer_brow+ mouth_opening+!": ("the mouth gapes under raised brows", "the brows are raised over a wide open mouth"),
    "inner_brow- mouth_opening+!": ("the mouth is wide open under lowered brows", "the brows are lowered over a gaping mouth"),
    "eye_opening- mouth_opening+!": ("the mouth is wide open under narrowed eyes", "the eyes are narrowed over a gaping mouth"),
    "jaw_drop+": ("the jaw is dropped", "the jaw is lowered", "the lower jaw drops"),
    "jaw_drop+ mouth_opening+": (
        "the jaw drops and the mouth falls open",
        "the mouth hangs open",
        "the jaw is dropped and the lips are apart",
        "the mouth falls open",
    ),
    "jaw_drop+! mouth_opening+": ("the jaw drops far and the mouth falls open",),
    "lip_corners+ mouth_opening=": ("the closed lips curve upward", "there is a smile with closed lips", "a smile shows on closed lips"),
    "lip_corners+ mouth_width+ mouth_opening=": ("a smile stretches the closed lips", "the closed lips are drawn wide in a smile"),
    "lip_corners+! mouth_width+! mouth_opening=": (
        "a broad smile stretches the closed lips",
        "the closed lips are drawn into a broad smile",
    ),
    "lip_corners- mouth_opening=": ("the closed mouth curves downward",),
    "mouth_width+ mouth_opening=": ("the closed mouth is stretched wide", "the closed lips are drawn out to the sides"),
    "mouth_width- mouth_opening=": ("the corners of the closed mouth are drawn in", "the closed lips are drawn together"),
    "inner_brow- mouth_opening=": (
        "the inner brows are lowered above closed lips",
        "the brows come down in the middle above a closed mouth",
    ),
    "eye_opening- mouth_opening=": ("the eyes are narrowed above closed lips",),
    "mouth_opening+? lip_corners=": ("the lips are parted without a smile",),
    "mouth_opening+ lip_corners=": ("the mouth is open without a smile",),
    "upper_lip+ mouth_opening+": ("the upper lip is drawn up over an open mouth", "the upper lip is raised above the open mouth"),
}

#: What does not move, or is not there. Brows are never called relaxed, only not raised: no landmark shows a furrow, and people see it at
#: once. Nor is the mouth called relaxed: pressed lips are not measured.
RESTS: dict[str, tuple[str, ...]] = {
    "eye_opening=": (
        "the eyes are neither wide nor narrow",
        "the eyes are neither widened nor narrowed",
        "the eyelids are neither raised nor lowered",
        "the eyelids are at rest",
        "the eyes are open, neither wide nor narrow",
    ),
    "mouth_opening=": ("the lips are closed", "the mouth is closed", "the mouth is shut", "the lips are together"),
    "lip_corners=": (
        "there is no smile",
        "no smile can be seen",
        "no smile is visible",
        "there is no trace of a smile",
        "the mouth is not smiling",
    ),
    "mouth_opening= lip_corners=": (
        "the mouth is closed without a smile",
        "the lips are closed without a smile",
        "the closed mouth is not smiling",
        "the closed lips show no smile",
        "the lips are together without a smile",
        "the mouth is shut without a smile",
        "no smile shows on the closed lips",
        "the closed mouth shows no smile",
    ),
    "mouth_width=": ("the mouth is not stretched", "the mouth is not drawn wide", "the lips are not stretched"),
    "cheek_raise=": ("the cheeks are relaxed", "the cheeks stay relaxed", "the cheeks are not raised", "the cheeks are at rest"),
    "inner_brow= outer_brow=": (
        "the brows are not raised",
        "neither brow is raised",
        "the eyebrows are not lifted",
        "the brows are not lifted",
    ),
    "inner_brow= outer_brow= eye_opening=": (
        "the eyelids are at rest under brows that are not raised",
        "the brows are not raised above eyes that are neither wide nor narrow",
    ),
    "inner_brow= outer_brow= lip_corners=": (
        "neither a smile nor a raised brow can be seen",
        "there is no smile and no raised brow",
        "the mouth is not smiling, nor are the brows raised",
        "there is neither a smile nor a raised brow",
    ),
    "inner_brow= outer_brow= mouth_opening=": (
        "the mouth is closed under brows that are not raised",
        "the lips are closed, with neither brow raised",
        "the lips are together, with no brow raised",
    ),
    "lip_corners= cheek_raise=": ("there is no smile in the mouth or the cheeks", "neither mouth nor cheeks show a smile"),
    "eye_opening= mouth_opening=": (
        "the eyelids are at rest above a closed mouth",
        "the eyelids are at rest above closed lips",
        "the lips are closed, with the eyelids at rest",
    ),
    "eye_opening= lip_corners=": (
        "the eyelids are at rest above a mouth without a smile",
        "the mouth is not smiling, with the eyelids at rest",
        "the eyes are neither wide nor narrow above a mouth without a smile",
    ),
    "eye_opening= mouth_opening= lip_corners=": (
        "the eyelids are at rest above a mouth closed without a smile",
        "the closed mouth is not smiling, with the eyelids at rest",
        "the eyelids are at rest above closed lips that show no smile",
        "the eyes are neither wide nor narrow above a closed mouth without a smile",
    ),
}

ALONE = ("inner_brow", "outer_brow")
"""Cues whose rest says nothing beside something that moves: a smile is none the less one where the brows are not raised."""

#: Where the head points.
POSES: dict[str, tuple[str, ...]] = {
    "yaw+": ("the head is turned to the person's left", "the face is turned to the person's left"),
    "yaw-": ("the head is turned to the person's right", "the face is turned to the person's right"),
    "yaw+!": ("the head is turned far to the person's left",),
    "yaw-!": ("the head is turned far to the person's right",),
    "pitch+": ("the head is raised", "the head is tipped back"),
    "pitch-": ("the head is lowered", "the head is bowed"),
}

#: Regions → sentences that call them out of sight.
COVERED: dict[str, tuple[str, ...]] = {
    "mouth": ("The mouth is out of sight. ", "The mouth is hard to see. "),
    "eyes": ("The eyes are hard to see. ", "The eyes can hardly be seen. "),
    "brows": ("The brows are hard to see. ", "The brows can hardly be seen. "),
    "brows eyes": ("Brows and eyes are hard to see. ", "Brows and eyes can hardly be seen. "),
}
ANDS = (", and ", "; ")
"""Between what is seen. A *but* would say that one is contrary to the other, which nobody has checked."""

ADJECTIVES = {
    "neutral": "neutral",
    "happiness": "happy",
    "surprise": "surprised",
    "sadness": "sad",
    "anger": "angry",
    "disgust": "disgusted",
    "fear": "afraid",
    "contempt": "contemptuous",
}
#: Certainty (empty: nothing is said of it) → closing sentences, those of a neutral expression apart.
CLOSINGS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "": (
        (
            "The person looks {adjective}.",
            "The face looks {adjective}.",
            "This is an expression of {noun}.",
            "The face shows {noun}.",
            "The expression is one of {noun}.",
        ),
        (
            "This is a neutral expression.",
            "The expression is neutral.",
            "The face has a neutral expression.",
            "The face looks neutral.",
            "The person wears a neutral expression.",
        ),
    ),
    "sure": (
        (
            "The person clearly looks {adjective}.",
            "This is clearly an expression of {noun}.",
            "The face plainly shows {noun}.",
            "There is little doubt: the person looks {adjective}.",
        ),
        ("The expression is clearly neutral.", "This is plainly a neutral expression.", "There is little doubt: the face is neutral."),
    ),
    "likely": (
        ("Most likely this is {noun}.", "The expression is probably one of {noun}.", "The best reading is {noun}."),
        ("Most likely this is a neutral expression.", "The expression is probably neutral.", "The best reading is a neutral expression."),
    ),
    "unsure": (
        ("It may be {noun}, but it is hard to tell.", "Perhaps this is {noun}; it is hard to be sure."),
        ("It may be a neutral expression, but it is hard to tell.", "Perhaps the face is neutral; it is hard to be sure."),
    ),
}
#: Those that sum up several observations.
SUMS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "": (
        (
            "Taken together, this is an expression of {noun}.",
            "All in all, the person looks {adjective}.",
            "On the whole, the face shows {noun}.",
        ),
        (
            "All in all, the expression is neutral.",
            "On the whole, the face looks neutral.",
            "Taken together, this is a neutral expression.",
        ),
    )
}
#: Beginnings that another label follows.
TORN = ("Most likely this is {noun}", "The best reading is {noun}", "The expression looks most like {noun}")
NEUTRAL_TORN = (
    "Most likely this is a neutral expression",
    "The best reading is a neutral expression",
    "The expression is probably neutral",
)
SECONDS = ("; it might also be {noun}.", ", though {noun} is possible.", "; it could also be {noun}.")
SECOND = {
    "neutral": "a neutral expression",
    "happiness": "happiness",
    "surprise": "surprise",
    "sadness": "sadness",
    "anger": "anger",
    "disgust": "disgust",
    "fear": "fear",
    "contempt": "contempt",
}

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

#: What no camera can know, or what is not about the face: a text that adds one of these says more than can be checked.
ADDITIONS = (
    "the person wears a red jacket",
    "she has a scarf around her neck",
    "he wears glasses",
    "there is a hat on the head",
    "the hair is short",
    "the person is about forty years old",
    "he looks older than he is",
    "she is a teenager",
    "the man is in his sixties",
    "something funny was said",
    "the news was bad",
    "the person has just been insulted",
    "a loud noise was heard",
    "the food tastes awful",
    "a friend has arrived",
    "the person wants to leave",
    "she is about to speak",
    "he intends to help",
    "the person plans to complain",
    "the person is ill",
    "he has not slept well",
    "she is in pain",
    "the person has a cold",
    "he is tired from work",
    "the person is lying",
    "she means what she says",
    "he hides something",
    "the smile is not sincere",
    "the person pretends",
    "the room is bright",
    "somebody stands behind",
    "the street is empty",
    "the picture was taken outdoors",
    "music is playing",
    "the person is clever",
    "he is a kind man",
    "she is a good mother",
    "the person cannot be trusted",
    "this is a doctor",
    "they are in love",
    "the person remembers the past",
    "he thinks of home",
    "she disagrees with the speaker",
    "the day was long",
    "the skin is pale",
    "there are tears on the cheeks",
    "a hand touches the chin",
    "the beard is grey",
    "the lipstick is red",
    "which is typical of people from here",
    "the interview goes well",
    "the candidate is suitable",
    "the driver is drunk",
)
