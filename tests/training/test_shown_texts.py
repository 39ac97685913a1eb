"""No text is shown that is not understood to the last word."""

import numpy as np
import pytest

from edge.language.explain import subjects_of
from edge.language.phrases import is_understood
from training.data import data_folder, load_ferplus


@pytest.mark.parametrize(
    "text",
    [
        "No part of the face stands out. face is seen from the side, turned right. right. The. The expression looks like neutral.",
        "The head is turned to the right. This reads as anger.",
        "The lip corners are raised. The man is wearing a hat.",
        "The lip corners are raised",
        "the lip corners are raised.",
        "The lip corners are the lip corners are raised.",
        "",
    ],
)
def test_broken_unread_and_uncheckable_texts_are_not_understood(text):
    assert not is_understood(text)


def test_a_written_rationale_is_understood():
    assert is_understood("The lip corners are markedly raised and the lips are parted. The cheeks sit very high. This reads as happiness.")


def test_every_text_shown_of_validation_faces_is_understood(pipeline):
    try:
        faces = load_ferplus(data_folder(), "valid")
    except Exception as error:
        pytest.skip(f"needs the data packs: {error}")
    images = faces.images[faces.label >= 0][:300]
    explained = pipeline.explainer(subjects_of(pipeline.encoder(images), pipeline.bundle.config))
    shown = [e.text for e in explained if e.text]
    assert len(shown) > 50
    assert [text for text in shown if not is_understood(text)] == []


def test_every_text_shown_of_the_portrait_is_understood(pipeline, portrait):
    texts = [face.explanation.text for image in (portrait, np.ascontiguousarray(portrait[:, ::-1])) for face in pipeline(image).faces]
    assert all(is_understood(text) for text in texts if text)
