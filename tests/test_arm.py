"""What `make test-arm` calls the same, without an emulator."""

import json

import pytest
from arm import compare

FACE = {
    "emotion": "happiness",
    "probabilities": {"happiness": 0.9, "neutral": 0.1},
    "explanation": {"status": "verified", "text": "A smile shows."},
}
HERE = [{"machine": "x86_64"}, {"faces": [FACE]}, {"faces": [{**FACE, "explanation": None}]}]


def there(change=lambda readings: None):
    readings = json.loads(json.dumps(HERE))
    readings[0]["machine"] = "aarch64"
    change(readings)
    return readings


def test_readings_within_a_thousandth_are_the_same():
    assert compare(HERE, there(lambda r: r[1]["faces"][0]["probabilities"].update(happiness=0.9009, neutral=0.0991))) == []


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda r: r[1]["faces"][0].update(emotion="neutral"), "happiness here, neutral there"),
        (lambda r: r[1]["faces"][0]["explanation"].update(text="A grin shows.", status="rejected"), "A grin shows."),
        (lambda r: r[1]["faces"][0].update(explanation=None), "None"),
        (lambda r: r[1]["faces"][0]["probabilities"].update(happiness=0.902), "differ by 0.0020"),
        (lambda r: r[2].update(faces=[]), "1 faces here, 0 there"),
        (lambda r: r.pop(), "2 readings here, 1 there"),
        (lambda r: r[0].update(machine="x86_64"), "both were read on x86_64"),
    ],
)
def test_what_differs_is_told(change, says):
    found = compare(HERE, there(change))
    assert len(found) == 1
    assert says in found[0]


def test_a_few_texts_may_be_worded_otherwise_where_both_are_verified(capsys):
    assert compare(HERE, there(lambda r: r[1]["faces"][0]["explanation"].update(text="A grin shows."))) == []
    assert "1 of 1 explanations are worded otherwise" in capsys.readouterr().out
    many = [*HERE, HERE[1]]
    other = [there()[0], *(json.loads(json.dumps(reading).replace("smile", "grin")) for reading in many[1:])]
    assert len(compare(many, other)) == 2


def test_two_readings_are_the_least():
    assert compare(HERE[:1], there()[:1]) == ["0 readings here, 0 there"]
