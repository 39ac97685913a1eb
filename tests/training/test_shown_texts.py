"""No text is shown that is not read to its last letter, and nothing in it that does not hold."""

import pytest

from edge.errors import EdgeError
from edge.language.explain import subjects_of
from training.data import data_folder, load_ferplus


def _faults(explanations, grammar):
    shown = [e for e in explanations if e.text]
    return shown, [e.text for e in shown if grammar.parse(e.text) is None or not all(s.holds for s in e.statements)]


def test_every_text_shown_of_validation_faces_is_understood_and_holds(pipeline):
    try:
        faces = load_ferplus(data_folder(), "valid").at(pipeline.config.image.size)
    except EdgeError as error:
        pytest.skip(f"needs the data packs: {error}")
    images = faces.images[faces.label >= 0][:300]
    explained = pipeline.explainer(subjects_of(pipeline.encoder(images), pipeline.bundle.config))
    shown, faults = _faults(explained, pipeline.explainer.grammar)
    assert len(shown) > 150
    assert faults == []


def test_every_text_shown_of_the_portrait_is_understood_and_holds(pipeline, portrait):
    pictures = [portrait, portrait[:, ::-1], portrait[::2, ::2], portrait[20:, 30:]]
    explained = [face.explanation for picture in pictures for face in pipeline(picture.copy()).faces]
    shown, faults = _faults(explained, pipeline.explainer.grammar)
    assert shown
    assert faults == []
