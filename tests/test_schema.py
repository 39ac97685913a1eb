import copy
import json
from pathlib import Path

import jsonschema
import numpy as np
import pytest

import edge
from edge.cli import main

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


def test_schema_and_code_name_the_same_fields(pipeline, portrait):
    whole = pipeline(portrait).to_dict()
    face = whole["faces"][0]
    claim = face["explanation"]["claims"][0]
    for found, place in ((whole, SCHEMA), (face, "face"), (face["explanation"], "explanation"), (claim, "claim")):
        part = SCHEMA["$defs"][place] if isinstance(place, str) else place
        assert list(found) == list(part["properties"]) == part["required"]


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("schema",), 2),
        (("t_ms",), -1),
        (("latency_ms",), {}),
        (("faces", 0, "box"), [1, 2, 3]),
        (("faces", 0, "confidence"), 1.5),
        (("faces", 0, "emotion"), None),
        (("faces", 0, "explanation", "status"), "plausible"),
        (("faces", 0, "explanation", "status"), "rejected"),  # a rejected text is never given out
        (("faces", 0, "explanation", "claims", 0, "direction"), 2),
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
