"""Shapes, as both painters show them."""

import math
from xml.etree import ElementTree

import cv2
import numpy as np
import pytest

from edge.outputs import pixels
from edge.outputs.shapes import Area, Box, Dot, Line, Page, Text, svg

RED = "#ff0000"


def page(*shapes) -> Page:
    return Page(100, "A page", "#ffffff", 80, list(shapes))


def cover(*shapes) -> np.ndarray:
    """How much of each pixel is red, `[160,200]`."""
    return 1 - pixels.paint(page(*shapes))[..., 0] / 255.0


@pytest.mark.parametrize(
    ("shape", "area", "middle"),
    [
        (Box(10, 20, 30, 8, RED), 240, (25, 24)),
        (Box(10.25, 20.5, 30.5, 8.25, RED), 251.6, (25.5, 24.625)),
        (Box(10, 20, 30, 20, RED, 6), 600 - (4 - math.pi) * 36, (25, 30)),
        (Box(10, 20, 30, 20, RED, 99), 200 + math.pi * 100, (25, 30)),
        (Box(10, 20, 30, 8, RED, opacity=0.25), 60, (25, 24)),
        (Dot(50, 40, 9, RED), math.pi * 81, (50, 40)),
        (Area([(10, 10), (70, 10), (70, 40)], RED), 900, (50, 20)),
        (Area([(10, 10), (70, 10), (70, 40)], RED, 0.5), 450, (50, 20)),
        (Line([(10, 30), (90, 30)], RED, 1.5), 120, (50, 30)),
        (Line([(10, 10), (40, 50), (70, 10)], RED, 2), 200, (40, 30)),
        (Line([(50, 10), (50, 70)], RED, opacity=0.1), 6, (50, 40)),
    ],
)
def test_a_shape_covers_its_area_where_it_is(shape, area, middle):
    found = cover(shape)
    total = found.sum()
    assert total / 4 == pytest.approx(area, rel=0.15 if isinstance(shape, Line) else 0.05)  # its ends are round
    where = [(found.sum(axis) * (np.arange(found.shape[1 - axis]) + 0.5)).sum() / total / 2 for axis in (0, 1)]
    assert where == pytest.approx(middle, abs=0.4)


def test_edges_are_smooth_and_straight_ones_are_sharp():
    assert set(np.unique(cover(Box(10, 20, 30, 8, RED)))) == {0.0, 1.0}
    assert len(np.unique(cover(Dot(50, 40, 9, RED)))) > 8
    assert len(np.unique(cover(Area([(10, 10), (70, 10), (70, 40)], RED)))) > 4


def test_shapes_that_lie_outside_are_cut():
    assert cover(Box(-50, -50, 300, 300, RED)).min() == 1
    assert cover(Dot(-50, 0, 20, RED), Line([(300, 0), (300, 9)], RED), Text(400, 9, "far", RED)).max() == 0


@pytest.mark.parametrize(("anchor", "left", "right"), [("start", 50, 75), ("middle", 37, 63), ("end", 25, 50)])
@pytest.mark.parametrize("more", [{}, {"bold": True}, {"serif": True}])
def test_text_stands_on_its_baseline_at_its_anchor(anchor, left, right, more):
    rows, columns = np.nonzero(cover(Text(50, 40, "HOUSE", RED, 10, anchor, **more)) > 0.5)
    assert (rows.min() / 2, rows.max() / 2) == pytest.approx((33, 40), abs=1.5)
    assert left - 2 <= columns.min() / 2
    assert columns.max() / 2 <= right + 2
    assert columns.max() - columns.min() > 30


def test_text_is_no_wider_than_is_reckoned_with():
    for said in ("W" * 14, "微" * 7, "%@W" * 4 + "MM"):
        _, columns = np.nonzero(cover(Text(10, 40, said, RED, 10)) > 0.5)
        assert columns.max() / 2 < 10 + 5 * 14 + 3


@pytest.mark.parametrize("said", ["", " ", "\x00\n", "\udcff", "微笑 Лицо وجه 😀 é", "a" * 5000, "​", "<script>&amp;"])
@pytest.mark.parametrize("weights", [True, False])
def test_no_letters_break_the_painters(said, weights, monkeypatch):
    monkeypatch.setattr(pixels, "_WEIGHTS", weights and pixels._WEIGHTS)
    shapes = Text(50, 40, said, RED, anchor="middle"), Box(0, 0, 9, 9, RED, says=said)
    assert pixels.paint(page(*shapes)).shape == (160, 200, 3)
    root = ElementTree.fromstring(svg(page(*shapes)))
    assert {part.tag.rpartition("}")[2] for part in root.iter()} <= {"svg", "title", "rect", "text"}


def test_letters_of_an_older_opencv_are_spelled_plainly(monkeypatch):
    monkeypatch.setattr(pixels, "_WEIGHTS", False)
    assert pixels._spelled("4.1 – 7.8 s · 9° … é Ж") == "4.1 - 7.8 s - 9 deg ... e ?"


def test_a_long_page_is_painted_smaller():
    tall = Page(1200, "", "#ffffff", 60_000, [Box(0, 30_000, 1200, 30_000, RED)])
    image = pixels.paint(tall)
    assert 0.98 * pixels.MOST_PIXELS < image.shape[0] * image.shape[1] <= 1.01 * pixels.MOST_PIXELS
    assert image[-9, 9].tolist() == [0, 0, 255]
    assert image[9, 9].tolist() == [255, 255, 255]


def test_svg_has_every_shape_and_leaves_out_what_goes_without_saying():
    box, area = Box(1, 2, 3.14159, 4, RED, says="a <b>"), Area([(0, 0), (1, 0), (1, 1)], RED, 0.5)
    shapes = box, Dot(1, 2, 3, RED), area, Line([(0, 0), (9, 9)], RED)
    root = ElementTree.fromstring(svg(page(*shapes, Text(5, 6, "x & y", RED, 11, "end", bold=True))))
    title, paper, *drawn = root
    assert (title.text, paper.get("fill")) == ("A page", "#ffffff")
    assert [dict(part.attrib) for part in drawn] == [
        {"x": "1", "y": "2", "width": "3.14", "height": "4", "fill": RED},
        {"cx": "1", "cy": "2", "r": "3", "fill": RED},
        {"d": "M0 0L1 0L1 1Z", "fill": RED, "fill-opacity": "0.5"},
        {"d": "M0 0L9 9", "fill": "none", "stroke": RED, "stroke-linejoin": "round"},
        {"x": "5", "y": "6", "fill": RED, "font-size": "11", "text-anchor": "end", "font-weight": "600"},
    ]
    assert (drawn[0][0].text, drawn[4].text) == ("a <b>", "x & y")


def test_a_png_is_what_was_painted():
    from edge.outputs.save import encoded

    painted = pixels.paint(page(Dot(50, 40, 9, RED)))
    assert (cv2.imdecode(np.frombuffer(encoded(painted, ".png"), np.uint8), cv2.IMREAD_COLOR) == painted).all()
    with pytest.raises(ValueError, match=r"\.webp does not take 20000×10 pixels"):
        encoded(np.zeros((10, 20_000, 3), np.uint8), ".webp")
