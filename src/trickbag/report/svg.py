"""Figures of matplotlib as inline SVG, which takes its colours and its font from the page."""

from __future__ import annotations

import contextlib
import io
import re
import textwrap
import warnings
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING
from xml.etree import ElementTree

from trickbag.text import printable as without_controls

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["PAGE", "PRINT", "Palette", "drawing", "plain_axes", "printable", "render", "wrapped"]


@dataclass(frozen=True, kw_only=True)
class Palette:
    """Colours by purpose.

    `blue` and `orange` are Okabe and Ito's, which colour-blind people can tell apart. Text on a
    dark `blue_fill` or `orange_fill` is `on_fill`; on a pale one it is `ink`.
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

# matplotlib accepts no CSS variable as a colour. It draws with these placeholders, which `render`
# replaces by the variables.
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
        # Text stays text in the SVG, and the browser's fonts have the glyph.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(
            {
                "svg.fonttype": "none",
                "svg.hashsalt": "trickbag",  # ids are hashes: without a fixed salt they change
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
    """Remove all but the lower axis and the horizontal grid lines."""
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.grid(axis="y")


def printable(text: str, longest: int = 18) -> str:
    """Make a name fit a figure: no control characters, cut if it is longer than `longest`."""
    # XML allows few control characters: `render` could not parse the drawing.
    text = without_controls(text)
    return text if len(text) <= longest else text[: longest - 1] + "…"


def wrapped(text: str, inches: float, size: float = 10) -> str:
    """Break a text into lines of at most so many inches; `size` is that of its font, in points."""
    # The width of a character is estimated, as the font is that of the browser.
    longest = max(8, int(inches * 72 / (0.56 * size)))
    return "\n".join(textwrap.wrap(text, longest, break_on_hyphens=False)) or text


def render(figure: Figure, name: str, label: str) -> str:
    """Turn a figure into an SVG element for a page.

    `name` is unique on the page and begins the ids of the element's parts. `label` describes the
    figure for readers who cannot see it.
    """
    file = io.StringIO()
    # A date, or the version of matplotlib, would make other bytes of the same data.
    metadata = {"Date": None, "Creator": None, "Format": None, "Type": None}
    figure.savefig(file, format="svg", metadata=metadata)
    root = ElementTree.fromstring(file.getvalue())
    # matplotlib gives most elements an id; few are referred to.
    used = set(re.findall(r"#([A-Za-z]\w*)[\")]", file.getvalue()))
    for parent in list(root.iter()):
        for child in list(parent):
            if child.tag.endswith("}style") or child.tag.endswith("}metadata"):
                parent.remove(child)  # a style sheet in an inline SVG would apply to the whole page
    for element in root.iter():
        _fit_to_page(element, name, used)
    # Templates do not escape the drawing: ElementTree escapes what stands in attributes.
    root.attrib.update({"role": "img", "aria-label": label, "class": "chart"})
    # The page's style sheet scales the element; the view box keeps its proportions.
    for attribute in ("width", "height", "version"):
        root.attrib.pop(attribute, None)
    # HTML that is not read as XML knows no empty tags.
    return ElementTree.tostring(root, encoding="unicode", short_empty_elements=False)


def _fit_to_page(element: ElementTree.Element, name: str, used: set[str]) -> None:
    """Remove namespaces and unused ids, make ids unique, and use the page's colours and font."""
    # ElementTree would write `ns0:path`, which HTML does not take for a part of an SVG.
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
            # All drawings of a page share its ids: a clip path could be that of another chart.
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
