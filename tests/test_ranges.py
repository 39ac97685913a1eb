"""A bundle's values: every number has a range, what is absurd is refused when the bundle is loaded, and what is taken reads a face.

`ERV_ROUNDS=10` tries ten times as many values.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import time
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass, is_dataclass
from pathlib import Path
from typing import Annotated, Any, get_args, get_origin, get_type_hints

import numpy as np
import pytest

from edge.bundle import SHIPPED, Bundle, BundleConfig, read_config, write_hashes
from edge.errors import BundleError
from edge.pipeline import Pipeline
from edge.ranges import Range, build
from edge.vision.finder import select_faces

VALUES = json.loads((SHIPPED / "config.json").read_text(encoding="utf-8"))
FREE = ("provenance", "metrics")
"""What the runtime does not read."""
ABSURD = [None, True, "1", "", [], {}, [1], float("nan"), float("inf"), float("-inf"), -1e9, 1e9, 2**70, -(2**70)]
ODD = [0, 1, -1, 2, 0.5, 1.5, 7, 100, 1000, 65536, 1e-9, 1e9, "x", "", None, [], [[0, 0]] * 5, True, float("nan")]
ROUNDS = 200 * int(os.environ.get("ERV_ROUNDS", "1"))


def leaves(values: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """The way to every value that is no container."""
    inner = values.items() if isinstance(values, dict) else enumerate(values) if isinstance(values, list) else ()
    for key, value in inner:
        if (*path, key)[0] not in FREE:
            yield from leaves(value, (*path, key))
    if not isinstance(values, dict | list):
        yield path


def changed(path: tuple[str | int, ...], value: Any) -> dict[str, Any]:
    values = deepcopy(VALUES)
    place: Any = values
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    return values


def test_every_number_of_a_configuration_has_a_range():
    def numbers(kind: type) -> Iterator[tuple[str, Any]]:
        for name, hint in get_type_hints(kind, include_extras=True).items():
            yield from parts(f"{kind.__name__}.{name}", hint, None)

    def parts(where: str, hint: Any, limits: Any) -> Iterator[tuple[str, Any]]:
        if get_origin(hint) is Annotated:
            yield from parts(where, get_args(hint)[0], get_args(hint)[1])
        elif is_dataclass(hint):
            yield from numbers(hint)
        elif get_origin(hint) is list:
            yield from parts(f"{where}[]", *get_args(hint), None)
        elif hint in (int, float):
            yield where, limits

    found = dict(numbers(BundleConfig))
    assert len(found) > 30
    assert [where for where, limits in found.items() if not isinstance(limits, Range)] == []


def test_the_shipped_values_are_within_their_ranges():
    assert read_config(VALUES) == Bundle.load().config


def test_absurd_values_are_refused_wherever_they_stand():
    through, count = [], 0
    for path in {kind: paths[0] for kind, paths in kinds().items()}.values():
        may = {str: ["1"], bool: [True]}.get(type(_at(path)), []) + [""] * (path[-1] in ("action_unit", "formula"))
        for value in ABSURD:
            if any(value is one or (value == one and type(value) is type(one)) for one in may):
                continue
            count += 1
            try:
                read_config(changed(path, value))
                through.append((path, value))
            except (ValueError, BundleError):
                pass
    assert count > 400
    assert through == []


def kinds() -> dict[tuple[str, ...], list[tuple[str | int, ...]]]:
    """The leaves, those of one kind together: the items of a list are of one."""
    found: dict[tuple[str, ...], list[tuple[str | int, ...]]] = {}
    for path in leaves(VALUES):
        found.setdefault(tuple("[]" if isinstance(key, int) else key for key in path), []).append(path)
    return found


def _at(path: tuple[str | int, ...]) -> Any:
    place: Any = VALUES
    for key in path:
        place = place[key]
    return place


@pytest.fixture(scope="module")
def copy(tmp_path_factory) -> Path:
    return Path(shutil.copytree(SHIPPED, tmp_path_factory.mktemp("values") / "bundle"))


def write(folder: Path, values: dict[str, Any]) -> None:
    (folder / "config.json").write_text(json.dumps(values), encoding="utf-8")
    write_hashes(folder)


def test_a_bundle_with_any_one_other_value_is_refused_or_reads_a_face(copy, portrait):
    """A fixed seed; one value in three is a container, which is emptied, doubled or cut."""
    chosen, places = random.Random(20), list(kinds().values())
    refused = 0
    for _ in range(ROUNDS):
        path = chosen.choice(chosen.choice(places))
        value = chosen.choice(ODD)
        if chosen.random() < 1 / 3 and len(path) > 1:
            path = path[:-1]
            whole = _at(path)
            value = chosen.choice([type(whole)(), whole * 2, whole[:-1]]) if isinstance(whole, list) else {}
        write(copy, changed(path, value))
        start_s = time.monotonic()
        try:
            with Pipeline.load(copy, device="cpu", threads=1) as pipeline:
                said = json.dumps(pipeline(portrait).to_dict(), allow_nan=False)
        except BundleError as error:
            refused += 1
            said = str(error)
        assert len(said.splitlines()) == 1, (path, value)
        assert time.monotonic() - start_s < 30, (path, value)
    assert ROUNDS / 4 < refused < ROUNDS


@pytest.mark.parametrize(
    "template",
    [
        [[24, 24]] * 5,
        [[0, 0]] * 5,
        [[-15, 18], [-2, 18], [-9, 28], [-14, 37], [-3, 37]],
        [[32, 18], [15, 18], [24, 28], [31, 37], [17, 37]],
        [[15, 37], [32, 37], [24, 28], [17, 18], [31, 18]],
        [[24.0, 24.0], [24.1, 24.0], [24.05, 24.1], [24.0, 24.2], [24.1, 24.2]],
    ],
    ids=["one point", "corner", "outside", "mirrored", "upside down", "tiny"],
)
def test_a_template_that_is_no_upright_face_is_refused_at_loading(copy, template):
    write(copy, changed(("image", "template_xy"), template))
    with pytest.raises(BundleError, match="template_xy"):
        Pipeline.load(copy, device="cpu")


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        (("policy", "tokens_per_frame"), 9, "visual tokens"),
        (("policy", "eos"), 1_999_999, "do not fit together"),
        (("cues", 0, "points"), [998], "a point beyond the encoder's"),
        (("image", "five"), [], r"image\.five does not name five places among the encoder's \d+ points"),  # the shipped finder's are rough
        (("image", "five"), [[0]] * 4, r"image\.five does not name five places"),
        (("image", "five"), [[998]] * 5, r"image\.five does not name five places"),
        (("image", "mirror"), [0], r"image\.mirror does not name the partner of each"),
        (("image", "mirror"), [0] * 23, r"image\.mirror does not name the partner of each"),
        (("policy", "image"), 1, "is not a bundle configuration"),
        (("labels",), ["neutral", "neutral", *VALUES["labels"][2:]], "is not a bundle configuration"),
    ],
)
def test_values_that_only_a_face_shows_to_be_wrong_are_refused_at_loading(copy, path, value, said):
    write(copy, changed(path, value))
    with pytest.raises(BundleError, match=said):
        Pipeline.load(copy, device="cpu")


@pytest.mark.parametrize("text", ["[" * 100_000, '{"schema": ' + "9" * 5000 + "}", '{"schema": NaN}', "{", "\udcff"])
def test_a_configuration_that_is_no_sane_json_is_refused(copy, text):
    (copy / "config.json").write_bytes(text.encode(errors="surrogateescape"))
    write_hashes(copy)
    with pytest.raises(BundleError, match=r"config\.json"):
        Bundle.load(copy)


def test_selection_ends_whatever_the_overlap():
    rows = np.tile(np.array([[0.9, 10, 10, 20, 20, *range(10)]], np.float32), (50, 1))
    assert 1 <= len(select_faces(rows, threshold=0.5, overlap=2.0)) <= 50


@dataclass
class _Small:
    """For the reader itself."""

    count: Annotated[int, Range(1, 3)]
    names: list[str]
    shares: dict[str, Annotated[float, Range(0, 1)]]


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ([], "small must be an object"),
        ({"count": 1, "names": [], "shares": {}, "more": 1}, "unknown key 'more'"),
        ({"count": 1, "names": []}, "lacks shares"),
        ({"count": 4, "names": [], "shares": {}}, "small.count must be 1 to 3, got 4"),
        ({"count": True, "names": [], "shares": {}}, "small.count must be a whole number"),
        ({"count": 1, "names": ["a", 2], "shares": {}}, r"small.names\[1\] must be a text"),
        ({"count": 1, "names": ["\x1b[2J"], "shares": {}}, "can be printed"),
        ({"count": 1, "names": [], "shares": {"a": 1.5}}, "small.shares.a must be 0 to 1"),
    ],
)
def test_the_reader_says_which_value_is_wrong_and_what_it_may_be(values, said):
    with pytest.raises(ValueError, match=said):
        build(_Small, values, "small")
