"""Figures of matplotlib as inline SVG that takes its colours and its type from the page around
it."""

from __future__ import annotations

import contextlib
import io
import re
import warnings
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING
from xml.etree import ElementTree

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["PAGE", "PRINT", "Palette", "drawing", "plain_axes", "printable", "render"]


@dataclass(frozen=True, kw_only=True)
class Palette:
    """Colours by what they are for; `blue` and `orange` are Okabe and Ito's, told apart by the colour-blind.

    `on_fill` is for text on `blue_fill` and `orange_fill`, on which `ink` is for text where they
    are pale.
    """

    paper: str
    ink: str
    soft: str
    rule: str
    blue: str
    orange: str
    blue_fill: str
    orange_fill: str
    on_fill: str


PRINT = Palette(
    paper="#ffffff",
    ink="#1c2127",
    soft="#5f6872",
    rule="#dde1e6",
    blue="#0072b2",
    orange="#d55e00",
    blue_fill="#0072b2",
    orange_fill="#d55e00",
    on_fill="#ffffff",
)
"""Colours on white paper, for pictures."""

# matplotlib checks that a colour is one, so what it draws carries stand-ins that become CSS
# variables afterwards
PAGE = Palette(
    paper="#0a0b09",
    ink="#0a0b01",
    soft="#0a0b02",
    rule="#0a0b03",
    blue="#0a0b04",
    orange="#0a0b05",
    blue_fill="#0a0b06",
    orange_fill="#0a0b07",
    on_fill="#0a0b08",
)
"""Colours of the page, which follow its light or dark mode."""

_VARIABLES: Mapping[str, str] = MappingProxyType(
    {value: f"var(--{name.replace('_', '-')})" for name, value in vars(PAGE).items()}
)
_NAMESPACE = re.compile(r"^\{[^}]*\}")


@contextlib.contextmanager
def drawing(palette: Palette) -> Iterator[None]:
    """Draw in the project's style, whatever matplotlib's own settings on this machine are."""
    import matplotlib

    with matplotlib.rc_context(), warnings.catch_warnings():
        warnings.filterwarnings(
            "ignore", message="Glyph .* missing from font"
        )  # the browser's fonts have it
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(
            {
                "svg.fonttype": "none",
                "svg.hashsalt": "trickbag",
                "text.parse_math": False,  # a class may be called "$x$"
                "font.size": 10.5,
                "text.color": palette.ink,
                "axes.labelcolor": palette.soft,
                "axes.labelsize": 10,
                "axes.edgecolor": palette.soft,
                "axes.linewidth": 0.7,
                "axes.facecolor": "none",
                "figure.facecolor": "none",
                "axes.axisbelow": True,
                "axes.unicode_minus": True,
                "grid.color": palette.rule,
                "grid.linewidth": 0.7,
                "xtick.color": palette.soft,
                "ytick.color": palette.soft,
                "xtick.labelsize": 10,
                "ytick.labelsize": 10,
                "xtick.major.width": 0.7,
                "ytick.major.size": 0,
                "lines.linewidth": 1.8,
                "lines.solid_capstyle": "round",
                "legend.frameon": False,
                "legend.fontsize": 10,
            }
        )
        yield


def plain_axes(axes: Axes) -> None:
    """Leave the axis below and horizontal lines, nothing else."""
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.grid(axis="y")


def printable(text: str, longest: int = 18) -> str:
    """Make a name fit a figure: one line, no control characters, cut where it is too long."""
    text = "".join(character if character.isprintable() else "\ufffd" for character in text)
    return text if len(text) <= longest else text[: longest - 1] + "…"


def render(figure: Figure, name: str, label: str) -> str:
    """Turn a figure into an SVG element for a page; `name` keeps its ids apart, `label` says in
    words what it shows."""
    file = io.StringIO()
    figure.savefig(
        file, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None}
    )
    root = ElementTree.fromstring(file.getvalue())
    used = set(re.findall(r"#([A-Za-z]\w*)[\")]", file.getvalue()))
    for parent in list(root.iter()):
        for child in list(parent):
            if child.tag.endswith("}style") or child.tag.endswith("}metadata"):
                parent.remove(child)  # a style sheet in an inline SVG would apply to the whole page
    for element in root.iter():
        _adopt(element, name, used)
    root.attrib.update({"role": "img", "aria-label": label, "class": "chart"})
    for attribute in ("width", "height", "version"):
        root.attrib.pop(attribute, None)
    return ElementTree.tostring(root, encoding="unicode", short_empty_elements=False)


def _adopt(element: ElementTree.Element, name: str, used: set[str]) -> None:
    element.tag = _NAMESPACE.sub("", element.tag)
    if not (element.text or "").strip():
        element.text = None
    element.tail = None
    attributes = {}
    for key, value in element.attrib.items():
        key = _NAMESPACE.sub("", key)
        if key == "id":
            if value not in used:
                continue
            value = f"{name}-{value}"
        elif key == "href":
            value = f"#{name}-{value[1:]}"
        elif key == "clip-path":
            value = value.replace("url(#", f"url(#{name}-")
        elif key == "style":
            value = re.sub(r"font-family:[^;]*;?\s*", "", value)
            value = re.sub(r"#[0-9a-f]{6}", lambda match: _VARIABLES.get(match[0], match[0]), value)
        elif key == "d":
            value = " ".join(value.split())
        attributes[key] = value
    element.attrib.clear()
    element.attrib.update(attributes)
