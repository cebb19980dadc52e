"""Tables and the files that their rows name; the listing of a table reads no image."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.builders import trees
from trickbag.data.config import DataConfig
from trickbag.data.labels import label_text
from trickbag.data.sources import open_source
from trickbag.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from trickbag.data.source import Source

IMAGES = ("000.png", "001.png", "002.png", "003.png")
ROWS = "000.png,cat\n001.png,dog\n002.png,cat\n003.png,dog\n"
EXPECTED = {"000.png": "cat", "001.png": "dog", "002.png": "cat", "003.png": "dog"}


def touch(folder: Path, files: Iterable[str] = IMAGES) -> Path:
    """Make files that hold their own name, in a folder."""
    for name in files:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)
    return folder


def opened(path: Path, text: str | bytes | None = None, **settings: Any) -> Source:
    """List a table, which is written first where its text is given."""
    if text is not None:
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return open_source(DataConfig(source=str(path), **settings))


def refused(path: Path, text: str | bytes | None = None, **settings: Any) -> str:
    """Return the message of the error with which a table is refused, one line."""
    with pytest.raises(UserError) as caught:
        opened(path, text, **settings)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def labelled(source: Source, part: str = "train") -> dict[str, str]:
    """Return the labels of the images of a part, several divided by `+`."""
    images = source.parts[part]
    return {
        name: label_text(label, source.classes).replace(" ", "+")
        if images.labels.ndim == 2
        else label_text(label, source.classes)
        for name, label in zip(images.names, images.labels, strict=True)
    }


def facts(source: Source) -> str:
    """Return the notes of a source, a line each, but for that which counts what is passed over."""
    return "\n".join(trees.facts(source))
