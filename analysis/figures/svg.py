"""Architectures' own SVG pictures on matplotlib's axes: what their drawings use of SVG, and no more."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.path import Path

#: Numbers that each command of a path takes.
_TAKES = {"M": 2, "L": 2, "H": 1, "V": 1, "C": 6, "z": 0, "Z": 0}
#: Points of an em in a picture, as of its 11-pixel text.
_TEXT = 11


def draw_svg(axes: Axes, svg: str, inches: tuple[float, float]) -> None:
    """Draw a picture of rectangles, circles, paths and text, and set the axes to its size.

    Args:
        axes: they lose their frame.
        svg: of an architecture, as its space's ``draw`` makes it.
        inches: width and height of the axes, by which text is scaled.

    Raises:
        ValueError: another element or command of a path.
    """
    from matplotlib.patches import Circle, FancyBboxPatch, PathPatch
    from matplotlib.transforms import Affine2D

    picture = ElementTree.fromstring(svg)
    left, top, width, height = map(float, picture.attrib["viewBox"].split())
    points = 72 * min(inches[0] / width, inches[1] / height)  # of one pixel
    for order, (element, inherited, x0, y0) in enumerate(_elements(picture, {}, 0.0, 0.0)):
        looks = {**inherited, **element.attrib}
        kind = element.tag.rpartition("}")[2]
        fill, stroke = looks.get("fill", "black"), looks.get("stroke", "none")
        style: dict[str, Any] = {
            "facecolor": fill,
            "edgecolor": stroke,
            "linewidth": points * float(looks.get("stroke-width", 1)),
            "zorder": order,
        }
        if kind == "rect":
            x, y, w, h = (float(looks[name]) for name in ("x", "y", "width", "height"))
            x, y = x + x0, y + y0
            radius = float(looks.get("rx", 0))
            box = f"round,pad=0,rounding_size={radius}"
            axes.add_patch(FancyBboxPatch((x, y), w, h, boxstyle=box, **style))
        elif kind == "circle":
            centre = x0 + float(looks["cx"]), y0 + float(looks["cy"])
            axes.add_patch(Circle(centre, float(looks["r"]), **style))
        elif kind == "path":
            outline = path_of(looks["d"]).transformed(Affine2D().translate(x0, y0))
            axes.add_patch(PathPatch(outline, **style))
        elif kind == "text":
            axes.text(
                x0 + float(looks["x"]),
                y0 + float(looks["y"]),
                element.text or "",
                color=fill,
                fontsize=points * float(looks.get("font-size", _TEXT)),
                horizontalalignment=_ANCHORS[looks.get("text-anchor", "start")],
                verticalalignment="baseline",
                zorder=order,
                parse_math=False,
            )
    axes.set(xlim=(left, left + width), ylim=(top + height, top), aspect="equal")
    axes.axis("off")


_ANCHORS = {"start": "left", "middle": "center", "end": "right"}
#: Elements that show nothing themselves.
_UNSEEN = ("defs", "title", "style")


def _elements(
    parent: ElementTree.Element, inherited: dict[str, str], x0: float, y0: float
) -> list[tuple[ElementTree.Element, dict[str, str], float, float]]:
    """The elements that show something, what those around them say of their looks, and their origin."""
    looks = {
        name: value
        for name, value in {**inherited, **parent.attrib}.items()
        if name in ("fill", "stroke", "stroke-width", "font-size", "text-anchor")
    }
    elements = []
    for element in parent:
        kind = element.tag.rpartition("}")[2]
        if kind == "g" and "transform" not in element.attrib:
            elements += _elements(element, looks, x0, y0)
        elif kind == "svg":  # a picture in the picture, as large as it says
            left, top = (float(element.attrib.get(name, 0)) for name in "xy")
            elements += _elements(element, looks, x0 + left, y0 + top)
        elif kind in ("rect", "circle", "path", "text"):
            elements.append((element, looks, x0, y0))
        elif kind not in _UNSEEN:
            raise ValueError(f"pictures with {kind} cannot be drawn")
    return elements


def path_of(commands: str) -> Path:
    """The path of absolute commands M, L, H, V, C and z.

    Raises:
        ValueError: another command, or too few numbers.
    """
    from matplotlib.path import Path

    points: list[tuple[float, float]] = []
    codes: list[int] = []
    for command, text in re.findall(r"([A-Za-z])([^A-Za-z]*)", commands):
        numbers = [float(number) for number in re.findall(r"-?[0-9.]+(?:e-?[0-9]+)?", text)]
        takes = _TAKES.get(command)
        if takes is None or (len(numbers) % takes if takes else numbers):
            raise ValueError(f"{command}{text} is no command of a path that can be drawn")
        if command in "zZ":
            points.append(points[-1])
            codes.append(int(Path.CLOSEPOLY))
        for start in range(0, len(numbers), takes or 1):
            part = numbers[start : start + takes]
            if command == "H":
                part = [part[0], points[-1][1]]
            elif command == "V":
                part = [points[-1][0], part[0]]
            points += zip(part[::2], part[1::2], strict=True)
            code = Path.MOVETO if command == "M" and not start else Path.LINETO
            codes += [int(Path.CURVE4)] * 3 if command == "C" else [int(code)]
    return Path(points, codes)
