"""`benchmarks again`: who is known again, on appearances that are made and on a small photo pack."""

import json
import zipfile

import cv2
import numpy as np
import pytest
from somebody import head

from benchmarks.quality.again import Sample, load, measure
from benchmarks.quality.scenes import draw
from edge import InputError
from edge.vision.again import ALIKE


def _sample(people: int, spread: float) -> Sample:
    """People whose three appearances vary by so much, each in one video; a crowd of three."""
    random = np.random.default_rng(0)

    def looks(middle: np.ndarray) -> np.ndarray:
        near = middle + spread * random.normal(0, 1, (3, 512)) / np.sqrt(512)
        return near / np.linalg.norm(near, axis=1, keepdims=True)

    middles = random.normal(0, 1, (people, 512))
    middles /= np.linalg.norm(middles, axis=1, keepdims=True)
    return Sample({f"p{i}": {"0": looks(middle)} for i, middle in enumerate(middles)}, [middles[:3]])


@pytest.mark.parametrize(("spread", "known"), [(0.1, 1.0), (2.0, 0.0)])
def test_who_looks_the_same_is_known_and_who_does_not_is_not(spread, known):
    figures = measure(_sample(20, spread))
    (row,) = (row for row in figures["limits"] if row["limit"] == ALIKE)
    assert row["known"] == dict.fromkeys((1, 4, 16), known)
    assert row["newcomers"] == row["mistaken"] == dict.fromkeys((1, 4, 16), 0.0)
    assert row["crowd"] == 0
    assert (figures["people"], figures["videos"], figures["crowds"]) == (20, 20, 1)


def test_people_who_look_alike_are_counted_as_mistaken():
    looks = np.tile(np.eye(1, 512), (3, 1))
    figures = measure(Sample({who: {"0": looks} for who in "ab"}, [looks]))
    for row in figures["limits"]:
        assert row["newcomers"][1] == row["crowd"] == row["mistaken"][1] == 1
        assert row["known"][1] == 0


def test_a_pack_is_read_by_person_video_and_crowd(pipeline, tmp_path):
    alone, pair = draw([(head(), 320, 240, 1.0)]), draw([(head(), 180, 240, 1.0), (head("other"), 460, 240, 1.0)])
    names = {f"portrait/Some_One_{video}{i}.jpg": alone for video, i in ((0, 0), (0, 1), (0, 2), (4, 0))} | {"scene/1.jpg": pair}
    names["scene/2.jpg"] = alone  # neither of a video nor of a crowd
    rows = [{"file": name, "group": name[:17], "teacher_faces": [{}] * (2 if name == "scene/1.jpg" else 1)} for name in names]
    archive = tmp_path / "faces_in_context.zip"
    with zipfile.ZipFile(archive, "w") as pack:
        pack.writestr("index.json", json.dumps(rows))
        for name, picture in names.items():
            pack.writestr(name, cv2.imencode(".jpg", picture)[1].tobytes())
    sample = load(archive, pipeline, "all")
    assert {who: {video: len(looks) for video, looks in one.items()} for who, one in sample.videos.items()} == {"Some_One": {"0": 3}}
    assert [len(looks) for looks in sample.crowds] == [2]
    halves = [load(archive, pipeline, half) for half in ("choose", "report")]
    assert sorted(len(one.videos) for one in halves) == [0, 1], "a person is in one half"


def test_what_is_no_pack_is_refused(pipeline, tmp_path):
    with pytest.raises(InputError, match="not a readable photo pack"):
        load(tmp_path / "none.zip", pipeline, "all")
