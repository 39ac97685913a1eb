import itertools

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from edge.bundle import FaceSpec
from edge.errors import UsageError
from edge.profiles import CELL, LEAST, TILE
from edge.vision.finder import FaceFinder, box_overlap
from edge.vision.search import MOST_PIXELS, check_min_face, looks, only_fine, padded
from edge.vision.yunet import STRIDES, yunet_rows

_SPEC = FaceSpec(416, 0.5, 0.4, 10.0)
_OLD = FaceSpec(320, 0.5, 0.4)


@pytest.mark.parametrize(("width", "height"), [(640, 480), (1280, 720), (1920, 1080), (3840, 2160)])
def test_looks_by_default_see_a_face_of_a_fortieth_of_the_width_as_large_as_the_finder_needs_it(width, height):
    (look,) = looks(height, width, _SPEC)
    assert look.scale * width / 40 == pytest.approx(10.4)


def test_looks_of_a_bundle_that_does_not_know_its_reach_are_as_before():
    (look,) = looks(480, 640, _OLD)
    assert look.size == (320, 240)


def test_looks_for_large_faces_only_are_no_coarser_than_usual():
    assert looks(480, 640, _OLD, 300) == looks(480, 640, _OLD)
    assert looks(480, 640, _SPEC, 0.9) == looks(480, 640, _SPEC)


def test_looks_for_small_faces_are_fine_for_them_and_coarse_for_the_large_ones():
    coarse, fine = looks(1080, 1920, _SPEC, 10)
    assert (coarse.size[0], fine.scale) == (416, 1.0)
    assert only_fine(20, [coarse, fine], _SPEC)
    assert not only_fine(200, [coarse, fine], _SPEC)


@given(st.integers(1, 4000), st.integers(1, 4000), st.floats(0.001, 0.999) | st.floats(1, 400))
def test_looks_never_enlarge_never_pass_the_bound_and_tiles_leave_no_face_out(height, width, min_face):
    assume(min_face <= max(height, width))
    try:
        found = looks(height, width, _SPEC, min_face)
    except UsageError:
        assume(False)
    for look in found:
        assert look.scale <= 1
        assert look.size[0] * look.size[1] <= MOST_PIXELS * 1.01
        for x1, y1, x2, y2 in look.tiles():
            assert 0 <= x1 < x2 <= look.size[0]
            assert 0 <= y1 < y2 <= look.size[1]
            assert max(x2 - x1, y2 - y1) <= TILE
    across = sorted({(x1, x2) for x1, _, x2, _ in found[-1].tiles()})
    assert all(a[1] - b[0] >= found[-1].overlap for a, b in itertools.pairwise(across))
    assert (across[0][0], across[-1][1]) == (0, found[-1].size[0])


def test_a_very_long_picture_is_covered_by_tiles_that_overlap():
    _, fine = looks(90, 100_000, _OLD, 20)
    tiles = fine.tiles()
    assert (tiles[0][0], tiles[-1][2]) == (0, 100_000)
    assert all(x2 - x1 == TILE for x1, _, x2, _ in tiles)
    assert all(a[2] - b[0] >= TILE // 2 for a, b in itertools.pairwise(tiles))
    assert len(tiles) < 200


@pytest.mark.parametrize("min_face", [0, -3, float("nan"), float("inf")])
def test_a_width_that_is_none_is_refused_when_it_is_given(min_face):
    with pytest.raises(UsageError, match="above 0"):
        check_min_face(min_face)


def test_a_face_wider_than_the_picture_is_refused():
    with pytest.raises(UsageError, match="640×480"):
        looks(480, 640, _SPEC, 700)


def test_a_search_that_would_take_too_long_says_what_it_would_take_and_what_is_possible():
    with pytest.raises(UsageError, match=r"24\.0 million pixels.*choose 16 px or more"):
        looks(4000, 6000, _SPEC, 10)
    assert looks(4000, 6000, _SPEC, 16)


def test_padded_has_whole_cells():
    assert padded(np.zeros((129, 40), np.uint8)).shape == (160, LEAST)
    assert padded(np.zeros((160, 200, 3), np.uint8)).shape == (160, 7 * CELL, 3)


class _Spots:
    """A session that sees every bright pixel cluster as a face of 12 pixels."""

    provider, inputs = "drawn", ("picture",)

    def __init__(self) -> None:
        self.shapes = []

    def run(self, inputs):
        picture = inputs["picture"][0, 0]
        self.shapes.append(picture.shape)
        y, x = np.nonzero(picture > 250)
        box = np.stack([x - 6, y - 6, x + 6, y + 6], 1)
        return {"faces": np.concatenate([np.full((len(x), 1), 0.9), box, np.repeat(box, 3, 1)[:, :10]], 1)[None]}


def test_the_finder_searches_a_large_picture_in_tiles_and_gives_places_of_the_picture():
    picture = np.zeros((1500, 3000), np.uint8)
    spots = [(100, 100), (1270, 700), (1280, 40), (2990, 1490)]
    for x, y in spots:
        picture[y - 1 : y + 1, x - 1 : x + 1] = 255
    session = _Spots()
    found = FaceFinder(session, _SPEC, min_face=10)(picture)
    assert max(max(shape) for shape in session.shapes) <= TILE
    middles = sorted(tuple(np.round((f.box_xyxy[:2] + f.box_xyxy[2:]) / 2, -1).astype(int).tolist()) for f in found)
    assert middles == [(100, 100), (1270, 700), (1280, 40), (2990, 1490)]
    coarse = FaceFinder(session, _SPEC, min_face=10)(picture, coarse=True)
    assert len(coarse) < len(found)


def test_yunet_rows_are_counted_from_each_cells_corner_in_strides():
    height, width = 64, 96
    outputs = {}
    for stride in STRIDES:
        cells = (height // stride) * (width // stride)
        outputs |= {f"cls_{stride}": np.zeros((1, cells, 1)), f"obj_{stride}": np.ones((1, cells, 1))}
        outputs |= {f"bbox_{stride}": np.zeros((1, cells, 4)), f"kps_{stride}": np.zeros((1, cells, 10))}
    cell = 1 * (width // 16) + 2
    outputs["cls_16"][0, cell], outputs["obj_16"][0, cell] = 0.81, 1.0
    outputs["bbox_16"][0, cell] = [0.5, 0.25, np.log(2), np.log(3)]
    outputs["kps_16"][0, cell, :2] = [0.5, 1]
    rows = yunet_rows(outputs, height, width)
    best = rows[rows[:, 0].argmax()]
    assert best[0] == pytest.approx(0.9)
    assert best[1:5] == pytest.approx([2.5 * 16 - 16, 1.25 * 16 - 24, 2.5 * 16 + 16, 1.25 * 16 + 24])
    assert best[5:7] == pytest.approx([40, 32])


def test_the_portrait_is_found_however_small_the_faces_that_are_asked_for(pipeline, portrait):
    large = np.ascontiguousarray(np.kron(portrait[..., 1], np.ones((3, 3), np.uint8)))
    wanted = pipeline.finder(large)[0].box_xyxy[None]
    for min_face in (0.1, 0.01, 16):
        finder = FaceFinder(pipeline.finder.session, pipeline.config.face, min_face=min_face)
        assert box_overlap(wanted, np.stack([face.box_xyxy for face in finder(large)])).max() > 0.6
