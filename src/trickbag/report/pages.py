"""Pages: a template filled and written as one self-contained HTML file."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from trickbag.errors import UserError
from trickbag.files import write_text
from trickbag.paths import is_folder

if TYPE_CHECKING:
    from pathlib import Path

    from jinja2 import Environment

__all__ = ["write_page"]

_LONG_LABEL = 26
"""Characters of a variant's label from which on it may be broken into lines."""


def write_page(template: str, context: dict[str, Any], path: Path) -> Path:
    """Fill a template, write the page as a whole or not at all, and return its path.

    Raises UserError if the page cannot be written there.
    """
    if not is_folder(path.parent):
        raise UserError(f"cannot write {path}: there is no folder {path.parent}")
    if is_folder(path):
        raise UserError(f"cannot write {path}: it is a folder; give the name of a file")
    html = _templates().get_template(template).render(context)
    write_text(path, html)
    return path


def _templates() -> Environment:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("trickbag.report"),
        # Names of classes and files come from others: they are escaped in every template.
        autoescape=True,
        # By default jinja2 prints nothing for an unknown name, and a slip would go unseen.
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["pieces"] = _pieces
    return environment


def _pieces(label: str) -> list[str]:
    """Split the long label of a factorial's variant into its tricks: a line may break there."""
    # The last match is the empty one at the end of the label.
    return re.findall(r"[+-]?[^+-]*", label)[:-1] if len(label) > _LONG_LABEL else [label]
