"""Trees of files that are named, not drawn: for tests of what a listing makes of names."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from trickbag.data.source import Source


def write_tree(root: Path, text: str, data: bytes = b"x") -> Path:
    """Write the files that a text names, and return `root`.

    Names are divided by blanks; `{a,b}` stands for each of its words, also within others, and a
    name that ends in `/` is a folder: `train/{cat,dog}/1.jpg empty/`.
    """
    for names in _divided(text, " "):
        for name in _expanded(names):
            path = root / name
            if name.endswith("/"):
                path.mkdir(parents=True, exist_ok=True)
                continue
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
    return root


def facts(source: Source) -> list[str]:
    """Return the texts of a source's notes, but for that which counts what is passed over."""
    texts = [note.text for note in source.notes]
    return [text for text in texts if ", passed over " not in text]


def _expanded(text: str) -> Iterator[str]:
    start = text.find("{")
    if start < 0:
        yield text
        return
    depth, end = 1, start
    while depth:
        end += 1
        depth += {"{": 1, "}": -1}.get(text[end], 0)
    for word in _divided(text[start + 1 : end], ","):
        for rest in _expanded(text[end + 1 :]):
            yield from (f"{text[:start]}{each}{rest}" for each in _expanded(word))


def _divided(text: str, mark: str) -> Iterator[str]:
    """Divide a text at a mark outside of braces."""
    depth, word = 0, ""
    for char in text:
        depth += {"{": 1, "}": -1}.get(char, 0)
        if char == mark and not depth:
            yield from [word] * bool(word)
            word = ""
        else:
            word += char
    yield from [word] * bool(word)
