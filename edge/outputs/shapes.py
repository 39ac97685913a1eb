"""A picture as shapes, laid out once: `svg` writes them for a browser, `edge.outputs.pixels` paints them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from xml.etree import ElementTree

Point = tuple[float, float]
"""x to the right, y down, in units of the page."""

_SERIF = "'Iowan Old Style', 'Palatino Linotype', Palatino, 'Noto Serif', Georgia, 'Liberation Serif', serif"
_SANS = "Inter, 'Segoe UI', -apple-system, Roboto, 'Noto Sans', 'Liberation Sans', sans-serif"


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle; colours are `#rrggbb`."""

    x: float
    y: float
    width: float
    height: float
    fill: str
    radius: float = 0.0
    """Of its corners."""
    opacity: float = 1.0
    stroke: str = ""
    """Colour of its edge, one unit wide; empty for none."""
    says: str = ""
    """What a browser shows under the pointer; empty for nothing."""


@dataclass(frozen=True, slots=True)
class Dot:
    """A filled circle."""

    x: float
    y: float
    radius: float
    fill: str


@dataclass(frozen=True, slots=True)
class Area:
    """A filled polygon."""

    points: Sequence[Point]
    fill: str
    opacity: float = 1.0


@dataclass(frozen=True, slots=True)
class Line:
    """Straight pieces, one after the other."""

    points: Sequence[Point]
    stroke: str
    width: float = 1.0
    opacity: float = 1.0


@dataclass(frozen=True, slots=True)
class Text:
    """A line of text on its baseline."""

    x: float
    y: float
    said: str
    fill: str
    size: float = 13.0
    anchor: str = "start"
    """What of it stands at `x`: its `"start"`, `"middle"` or `"end"`."""
    serif: bool = False
    bold: bool = False


Shape = Box | Dot | Area | Line | Text


@dataclass(slots=True)
class Page:
    """Shapes, the first one at the back."""

    width: float
    title: str
    paper: str
    height: float = 0.0
    shapes: list[Shape] = field(default_factory=list)

    def add(self, *shapes: Shape) -> None:
        """Put shapes on top."""
        self.shapes += shapes


def svg(page: Page) -> str:
    """The page as SVG, with nothing in it but shapes and text: no style, no script, no address; fonts are the viewer's."""
    wide, high = _number(page.width), _number(page.height)
    root = ElementTree.Element("svg", xmlns="http://www.w3.org/2000/svg", width=wide, height=high, viewBox=f"0 0 {wide} {high}", role="img")
    root.set("font-family", _SANS)
    root.set("font-size", "13")
    ElementTree.SubElement(root, "title").text = printable(page.title)
    ElementTree.SubElement(root, "rect", width="100%", height="100%", fill=page.paper)
    for shape in page.shapes:
        name, given, said = _element(shape)
        values = {key: _number(value) for key, value in given.items() if value != _LEFT_OUT.get(key)}
        element = ElementTree.SubElement(root, name, values)
        if isinstance(shape, Text):
            element.text = printable(said)
        elif said:
            ElementTree.SubElement(element, "title").text = printable(said)
    return ElementTree.tostring(root, encoding="unicode") + "\n"


def printable(text: str) -> str:
    """Without what neither XML nor a font can hold."""
    return "".join(c if c.isprintable() else " " for c in text.encode("utf-8", "replace").decode())


_LEFT_OUT: dict[str, object] = {
    "rx": 0, "fill-opacity": 1, "stroke-opacity": 1, "stroke": "", "stroke-width": 1, "font-size": 13, "font-family": _SANS,
    "font-weight": 400, "text-anchor": "start",
}  # fmt: skip
"""What the viewer takes for granted."""


def _element(shape: Shape) -> tuple[str, dict[str, object], str]:
    """Name, attributes and text of a shape."""
    match shape:
        case Box():
            place = {"x": shape.x, "y": shape.y, "width": max(shape.width, 0.5), "height": shape.height}
            look = {"fill": shape.fill, "rx": shape.radius, "fill-opacity": shape.opacity, "stroke": shape.stroke}
            return "rect", {**place, **look}, shape.says
        case Dot():
            return "circle", {"cx": shape.x, "cy": shape.y, "r": shape.radius, "fill": shape.fill}, ""
        case Area():
            return "path", {"d": _way(shape.points) + "Z", "fill": shape.fill, "fill-opacity": shape.opacity}, ""
        case Line():
            drawn = {"stroke": shape.stroke, "stroke-width": shape.width, "stroke-opacity": shape.opacity}
            return "path", {"d": _way(shape.points), "fill": "none", "stroke-linejoin": "round", **drawn}, ""
        case Text():
            font = {"font-family": _SERIF if shape.serif else _SANS, "font-weight": 600 if shape.bold else 400, "font-size": shape.size}
            return "text", {"x": shape.x, "y": shape.y, "fill": shape.fill, "text-anchor": shape.anchor, **font}, shape.said


def _way(points: Sequence[Point]) -> str:
    return "M" + "L".join(f"{_number(x)} {_number(y)}" for x, y in points)


def _number(value: object) -> str:
    return value if isinstance(value, str) else f"{value:.2f}".rstrip("0").removesuffix(".")
