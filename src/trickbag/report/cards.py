"""Method cards of the tricks, as HTML for a page."""

from __future__ import annotations

import re
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from markdown_it.token import Token

__all__ = ["card_html", "card_text"]

_NAME = re.compile(r"[a-z][a-z0-9_]*")


def card_text(name: str) -> str | None:
    """Return the Markdown of a trick's card; None for a trick without one, such as a user's own.

    The installed package holds the cards; a checkout has them in `docs/tricks`.
    """
    if not _NAME.fullmatch(name):  # a name from a recipe file must lead to no other file
        return None
    shipped = resources.files("trickbag") / "cards" / f"{name}.md"
    if shipped.is_file():
        return shipped.read_text(encoding="utf-8")
    checkout = Path(__file__).parents[3] / "docs" / "tricks" / f"{name}.md"
    return checkout.read_text(encoding="utf-8") if checkout.is_file() else None


def card_html(text: str) -> str:
    """Turn a card into HTML that loads nothing.

    Its headings are below those of a page's sections. HTML in the card is shown as text. A picture
    becomes its description, and a link within the documentation its text.
    """
    from markdown_it import MarkdownIt

    # The commonmark preset lets HTML through: a card must bring no script into the page.
    parser = MarkdownIt("commonmark", {"html": False}).enable("table").disable("image")
    tokens = parser.parse(text)
    for token in tokens:
        if token.type in ("heading_open", "heading_close"):
            token.tag = f"h{min(6, int(token.tag[1:]) + 3)}"
        if token.children:
            token.children = _without_relative_links(token.children)
    html = str(parser.renderer.render(tokens, parser.options, {}))
    # On a small screen a wide table scrolls; the page does not.
    return html.replace("<table>", '<div class="scroll"><table>').replace(
        "</table>", "</table></div>"
    )


def _without_relative_links(tokens: list[Token]) -> list[Token]:
    """Replace links to files by their text: from a page that stands alone they lead nowhere."""
    kept, in_dropped_link = [], False
    for token in tokens:
        if token.type == "link_open":
            address = str(token.attrGet("href"))
            # A list of what is allowed: `javascript:` and schemes nobody thought of drop out too.
            in_dropped_link = not address.startswith(("https://", "http://"))
            if in_dropped_link:
                continue
        if token.type == "link_close" and in_dropped_link:
            in_dropped_link = False  # links are never nested
            continue
        kept.append(token)
    return kept
