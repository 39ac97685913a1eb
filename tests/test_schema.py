import copy
import json
from dataclasses import replace
from pathlib import Path

import jsonschema
import numpy as np
import pytest

import edge
from edge.cli import main
from edge.language.statements import BANDS, KINDS
from edge.types import Blinks, Event, Explanation, Statement, Verdict

SCHEMA = json.loads((Path(edge.__file__).parent / "reading.schema.json").read_text(encoding="utf-8"))
VALIDATOR = jsonschema.Draft202012Validator(SCHEMA)


def test_schema_is_a_schema_of_this_version():
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    assert SCHEMA["properties"]["schema"]["const"] == edge.types.JSON_SCHEMA


def test_schema_holds_for_what_the_command_prints(capsys, video, portrait_path):
    assert main(["--video", str(video), "--json", "--explain", "change", "--no-display"]) == 0
    assert main(["--image", str(portrait_path), "--json", "--explain", "off"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 13
    for line in lines:
        VALIDATOR.validate(json.loads(line))


def test_schema_holds_for_faces_of_every_verdict_and_for_none(pipeline, portrait):
    statuses = set()
    rng = np.random.default_rng(0)
    for noise in (0, 20, 40, 60, 80, 100, 120):
        picture = np.clip(portrait + rng.normal(0, noise, portrait.shape), 0, 255).astype(np.uint8)
        whole = pipeline(picture).to_dict()
        VALIDATOR.validate(json.loads(json.dumps(whole)))
        statuses |= {face["explanation"]["status"] for face in whole["faces"]}
    assert "verified" in statuses
    VALIDATOR.validate(pipeline(np.zeros((64, 64, 3), np.uint8)).to_dict())


def test_schema_knows_every_kind_of_statement_and_its_bands():
    part = SCHEMA["$defs"]["statement"]
    assert part["properties"]["kind"]["enum"] == list(KINDS)
    for kind in KINDS:
        bands, signs = BANDS.get(kind, ("",)), (-1, 1) if kind in ("movement", "one_sided", "pose") else (0,)
        subject = {"pose": "yaw", "certainty": ""}.get(kind, "thing")
        for band in ("", "slight", "plain", "strong", "far", "sure", "likely", "unsure", "wild"):
            for direction in (-1, 0, 1):
                said = Statement(kind, subject, direction, band, 1.0, True).to_dict()
                fits = direction in signs and (band in bands or (kind == "one_sided" and band in BANDS["movement"]))
                assert VALIDATOR.evolve(schema=part).is_valid(said) == fits, said


def test_schema_holds_for_a_text_of_another_writer():
    """What a network read in it has no tolerance of ours."""
    read = (Statement("movement", "lip_corners", 1, "plain", 2.5, True), Statement("rest", "jaw_drop", 0, "", 0.1, True, True, (-1.4, 1.4)))
    said = Explanation("A grin shows.", "happiness", Verdict.VERIFIED, 0.9, 1.0, read, 1).to_dict()
    VALIDATOR.evolve(schema={**SCHEMA, **SCHEMA["$defs"]["explanation"]}).validate(said)


def test_schema_and_code_name_the_same_fields(pipeline, portrait):
    whole = pipeline(portrait).to_dict()
    face = whole["faces"][0]
    said = face["explanation"]
    parts = ((whole, SCHEMA), (face, "face"), (said, "explanation"), (said["statements"][0], "statement"), (said["claims"][0], "claim"))
    for found, place in parts:
        part = SCHEMA["$defs"][place] if isinstance(place, str) else place
        assert list(found) == list(part["properties"]) == part["required"]


def test_events_and_blinks_are_as_the_schema_says(pipeline, portrait):
    event = Event("movement", "offset", "lip_corners", 1, 900.0, 400.0, 1.5, 200.0, 500.0)
    reading = pipeline(portrait)
    face = replace(reading.faces[0], events=(event,), blinks=Blinks(2, 12.0, 150.0), no_blinks="")
    whole = replace(reading, faces=(face,)).to_dict()
    VALIDATOR.validate(json.loads(json.dumps(whole)))
    (face,) = whole["faces"]
    assert list(face["events"][0]) == SCHEMA["$defs"]["event"]["required"]
    assert list(face["blinks"]) == SCHEMA["$defs"]["face"]["properties"]["blinks"]["required"]
    assert face["blinks"]["rate_per_min"] == 10


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("schema",), 1),
        (("t_ms",), -1),
        (("latency_ms",), {}),
        (("faces", 0, "box"), [1, 2, 3]),
        (("faces", 0, "confidence"), 1.5),
        (("faces", 0, "emotion"), None),
        (("faces", 0, "explanation", "status"), "plausible"),
        (("faces", 0, "explanation", "status"), "rejected"),  # a rejected text is never given out
        (("faces", 0, "explanation", "claims", 0, "direction"), 2),
        (("faces", 0, "explanation", "statements"), []),  # nor a text that says nothing
        (("faces", 0, "explanation", "statements", 0, "kind"), "age"),
        (("faces", 0, "explanation", "statements", 0, "band"), "wild"),
        (("faces", 0, "explanation", "statements", 0, "holds"), False),  # nor one of which something does not hold
        (("faces", 0, "explanation", "statements", 0, "within"), [1, 2, 3]),
    ],
)
def test_schema_refuses_what_is_wrong(pipeline, portrait, path, value):
    whole = copy.deepcopy(pipeline(portrait).to_dict())
    place = whole
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    with pytest.raises(jsonschema.ValidationError):
        VALIDATOR.validate(whole)
