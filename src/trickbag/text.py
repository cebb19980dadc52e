"""Text for files and terminals: escapes for what these cannot hold, or should not get.

A file is written in UTF-8. What UTF-8 cannot hold, the other bytes of a file's name, is written as
escapes (`as_utf8`). In JSON these escapes are read back as what they stand for.
"""

from __future__ import annotations

import codecs
import re
import sys
import unicodedata
from typing import TextIO

__all__ = [
    "as_utf8",
    "composed",
    "encodable",
    "holds_unicode",
    "json_text",
    "lines_for",
    "printable",
]

# Controls (C0, DEL, C1), characters without a width, such as those that change the direction of the
# text behind them, separators of lines and paragraphs, halves of surrogate pairs, and what is no
# character of XML. Joiners (U+200C, U+200D) are not among them: some scripts and emoji need them.
_UNSAFE = re.compile(
    r"[\x00-\x1f\x7f-\x9f\u00ad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f"
    r"\ud800-\udfff\ufeff\ufff9-\ufffb\ufffe\uffff\U000e0000-\U000e007f]"
)
_NOT_ASCII = re.compile(r"[^\x00-\x7f]")

# What our own texts have beyond ASCII, for a terminal that has no more.
_TYPOGRAPHY = str.maketrans(
    {"\u2212": "-", "\u00d7": "x", "±": "+-", "\u00a0": " ", "…": "...", "—": "-"}
)


def composed(text: str) -> str:
    """Return text in Unicode's normal form C: `e` with a combining accent becomes `é`."""
    # Nearly all names are ASCII, for which there is nothing to do.
    return text if text.isascii() else unicodedata.normalize("NFC", text)


def as_utf8(text: str) -> bytes:
    r"""Encode text in UTF-8; what UTF-8 cannot hold becomes escapes, such as `\udcff`.

    A file's name need not be valid UTF-8; Python decodes its other bytes to such characters.
    """
    return text.encode("utf-8", "backslashreplace")


def printable(text: str, keep: str = "") -> str:
    """Make a text fit into a line: control characters and undecodable bytes become escapes.

    Those in `keep` stay.
    """
    if text.isprintable():
        return text
    return _UNSAFE.sub(lambda match: match[0] if match[0] in keep else _escape(match[0]), text)


def _escape(character: str) -> str:
    return character.encode("unicode_escape", "surrogatepass").decode()


def lines_for(stream: TextIO, text: str) -> str:
    """Make lines fit a stream: as `printable`, but line breaks and tabs stay."""
    safe = printable(text, keep="\n\t")
    return safe if safe.isascii() or holds_unicode(stream) else safe.translate(_TYPOGRAPHY)


def encodable(stream: TextIO, text: str) -> str:
    """Write the characters that a stream's encoding lacks as escapes."""
    encoding = _encoding(stream)
    return text if text.isascii() else text.encode(encoding, "backslashreplace").decode(encoding)


def holds_unicode(stream: TextIO | None = None) -> bool:
    """Tell whether a stream, by default stdout, can hold every character."""
    return codecs.lookup(_encoding(stream or sys.stdout)).name.startswith("utf")


def _encoding(stream: TextIO) -> str:
    # A stream of a test or a notebook may say none.
    return getattr(stream, "encoding", None) or "utf-8"


def json_text(text: str) -> str:
    """Write the characters of JSON that stdout or a terminal cannot take as escapes of JSON.

    The values stay exactly the same.
    """
    # Outside of its strings JSON is ASCII; within them it has escaped line breaks already.
    pattern = _UNSAFE if holds_unicode() else _NOT_ASCII
    return pattern.sub(lambda match: match[0] if match[0] in "\n\t" else _json(match[0]), text)


def _json(character: str) -> str:
    units = character.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[i : i + 2].hex()}" for i in range(0, len(units), 2))
