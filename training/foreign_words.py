"""Wordings that neither the grammar nor the verifier's lessons contain: what attacks are made of. Sides are the person's own."""

from __future__ import annotations

#: What no camera can know, by what it is about → clauses to add to a text.
ADDED: dict[str, tuple[str, ...]] = {
    "clothing": (
        "the sleeves are rolled up",
        "a tie hangs loosely from the collar",
        "she is dressed for winter",
        "his shirt has stripes",
        "a woollen cap covers the ears",
        "the coat looks expensive",
    ),
    "age": (
        "the person must be in the mid-thirties",
        "this is an elderly lady",
        "he has only just come of age",
        "she is barely ten years old",
        "the face is that of a pensioner",
        "youth is written all over the features",
    ),
    "cause": (
        "the team has won the match",
        "someone slammed a door",
        "the train was missed again",
        "an old friend has died",
        "the joke landed well",
        "the exam went badly",
    ),
    "intention": (
        "he is going to walk away",
        "she is getting ready to argue",
        "the next step will be an apology",
        "the person hopes to be noticed",
        "he will strike back soon",
        "she would rather not answer",
    ),
    "health": (
        "a migraine is setting in",
        "the person runs a fever",
        "she has recovered from the flu",
        "his blood pressure is high",
        "signs of exhaustion are plain",
        "the jaw aches",
    ),
    "truthfulness": (
        "every word of it is honest",
        "the smile is for show only",
        "he is bluffing",
        "she does not believe what she says",
        "this is a genuine reaction",
        "nothing here is faked",
    ),
}

#: (cue, direction) → how somebody who has never read the grammar would put it.
ANEW: dict[tuple[str, int], tuple[str, ...]] = {
    ("inner_brow", 1): ("eyebrows tented toward the centre", "the middle of the forehead hitched upward"),
    ("inner_brow", -1): ("eyebrows weighed down beside the nose", "a glowering centre of the brow"),
    ("outer_brow", 1): ("eyebrow tails swept upward", "eyebrows like high bows"),
    ("outer_brow", -1): ("eyebrow tails sagging", "the ends of the eyebrows sloping off"),
    ("brow_gap", 1): ("eyebrows set well apart", "a wide, unlined space above the nose"),
    ("brow_gap", -1): ("eyebrows bunched toward one another", "a crease pinched above the nose"),
    ("eye_opening", 1): ("saucer-like eyes", "lids flung open"),
    ("eye_opening", -1): ("eyes screwed up", "heavy, drooping lids"),
    ("cheek_raise", 1): ("cheeks bunched up high", "apple cheeks shoved upward"),
    ("cheek_raise", -1): ("cheeks hanging loose", "flat, fallen cheeks"),
    ("nose_wrinkle", 1): ("a crinkled bridge of the nose", "nostrils hiked up"),
    ("nose_wrinkle", -1): ("a nose pulled long", "nostrils tugged down"),
    ("upper_lip", 1): ("an upper lip hoisted off the teeth", "a snarling upper lip"),
    ("upper_lip", -1): ("an upper lip pressed down over the teeth", "an upper lip hanging long"),
    ("lip_corners", 1): ("a beam from ear to ear", "mouth corners tipped skyward"),
    ("lip_corners", -1): ("mouth corners sinking", "an upside-down curve of the lips"),
    ("corner_asymmetry", 1): ("a crooked mouth, hitched up at the left", "the left end of the lips riding high"),
    ("corner_asymmetry", -1): ("a crooked mouth, hitched up at the right", "the right end of the lips riding high"),
    ("chin_raise", 1): ("a chin shoved against the lip", "a puckered, bulging chin"),
    ("chin_raise", -1): ("a chin stretched long", "a chin pulled away from the lip"),
    ("mouth_width", 1): ("lips pulled taut from side to side", "a mouth spread broad"),
    ("mouth_width", -1): ("lips bunched to a button", "a pinched little mouth"),
    ("lip_fullness", 1): ("lips pushed forward in a pout", "swollen-looking lips"),
    ("lip_fullness", -1): ("lips folded to a line", "lips squeezed thin"),
    ("mouth_opening", 1): ("teeth on view between the lips", "a mouth agape"),
    ("mouth_opening", -1): ("a mouth clamped tight", "lips sealed"),
    ("jaw_drop", 1): ("a chin that has fallen away", "a hanging jawbone"),
    ("jaw_drop", -1): ("teeth gritted", "a jawbone locked tight"),
}
#: Axis of the head and direction → the same.
ANEW_POSES: dict[tuple[str, int], tuple[str, ...]] = {
    ("yaw", 1): ("a profile swung toward the left shoulder", "a gaze over the left shoulder"),
    ("yaw", -1): ("a profile swung toward the right shoulder", "a gaze over the right shoulder"),
    ("pitch", 1): ("a nose in the air", "a head thrown back"),
    ("pitch", -1): ("a head hanging on the chest", "a nose pointed at the floor"),
}
#: Band of a movement → what may stand before it.
ANEW_BANDS: dict[str, tuple[str, ...]] = {
    "slight": ("barely visible: ", "just a trace of "),
    "strong": ("to an extreme: ", "an outsized case of "),
}
ANEW_REST = ("features that stay where they are", "hardly any motion in the face", "slack, unmoved features")
OPENINGS = ("One notices {}.", "What stands out: {}.", "On view are {}.", "The picture has {}.")
#: Certainty (empty: none is told) → endings.
ENDINGS: dict[str, tuple[str, ...]] = {
    "": ("It reads as {}.", "In a word: {}.", "The mood on view is {}."),
    "sure": ("Without any doubt whatsoever, {}.", "It cannot be anything but {}."),
    "likely": ("Odds are that it is {}.", "On balance, {}."),
    "unsure": ("A mere guess: {}.", "Who knows, maybe {}."),
}
SECOND_GUESSES = ("It reads as {}, or failing that {}.", "First guess {}, second guess {}.")
