"""Text for files and terminals: what they cannot hold, or should not get, becomes escapes."""

from __future__ import annotations

import io
import json
import sys
import unicodedata
from typing import Any

import pytest

from trickbag.text import as_utf8, encodable, json_text, lines_for, printable


def test_what_can_move_or_hide_text_becomes_escapes_and_nothing_else() -> None:
    for number in (*range(0x3000), *range(0xD000, 0x10000), *range(0xE0000, 0xE0200)):
        character = chr(number)
        category = unicodedata.category(character)
        escaped = printable(character) != character
        if category in ("Cc", "Cs", "Zl", "Zp"):
            assert escaped, hex(number)
        elif category[0] in "LMNPSZ":
            assert not escaped, hex(number)
        if unicodedata.bidirectional(character) in ("LRE", "RLE", "LRO", "RLO", "PDF") or (
            unicodedata.bidirectional(character) in ("LRI", "RLI", "FSI", "PDI")
        ):
            assert escaped, hex(number)


@pytest.mark.parametrize(
    ("text", "escaped"),
    [
        ("\x1b[2J", "\\x1b[2J"),
        ("\x9b31m", "\\x9b31m"),
        ("a\rb\nc\td", "a\\rb\\nc\\td"),
        ("caf\udce9.png", "caf\\udce9.png"),
        ("gp\u202egnp.exe", "gp\\u202egnp.exe"),
        ("\U000e0041", "\\U000e0041"),
        (
            "golden retriever, café, 柴犬\u3000, 👩\u200d🔬",
            "golden retriever, café, 柴犬\u3000, 👩\u200d🔬",
        ),
    ],
)
def test_escapes(text: str, escaped: str) -> None:
    assert printable(text) == escaped


def test_a_name_is_escaped_alike_in_files_and_on_terminals() -> None:
    name = "caf\udce9.png"
    assert as_utf8(name).decode() == printable(name) == "caf\\udce9.png"
    # In JSON the escape is one of JSON, and no backslash of a name is taken for it.
    for text in (name, "caf\\udce9.png"):
        assert json.loads(as_utf8(json.dumps(text, ensure_ascii=False))) == text


def test_lines_keep_their_breaks_and_what_ascii_lacks_is_near_it() -> None:
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    text = "a\tb\n\x1b[2J\r\u2212 0.5 ± 0.1 ü\n"
    assert encodable(stream, lines_for(stream, text)) == "a\tb\n\\x1b[2J\\r- 0.5 +- 0.1 \\xfc\n"
    # A stream that says no encoding holds all.
    assert encodable(io.StringIO(), lines_for(io.StringIO(), "\u2212 ü")) == "\u2212 ü"


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_json_stays_the_same_whatever_the_stream(
    monkeypatch: pytest.MonkeyPatch, encoding: str
) -> None:
    stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    monkeypatch.setattr(sys, "stdout", stream)
    data: Any = {"caf\udce9 é": ["\x1b[2J\x9b\u202e\r\n\t", "👩\u200d🔬", "\U000e0041"]}
    text = json_text(json.dumps(data, indent=2, ensure_ascii=False))
    assert json.loads(text.encode(encoding).decode(encoding)) == data
    assert printable(text, keep="\n") == text
    assert ("é" in text) == (encoding == "utf-8")
