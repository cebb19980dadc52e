"""A page read back with the parser of the standard library, strictly: every element must be closed
in order."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

INLINE = {"a", "b", "code", "em", "i", "span", "strong", "sup", "wbr"}
VOID = {"meta", "link", "br", "img", "hr", "input", "wbr"}


class Page(HTMLParser):
    """Elements, ids, addresses and text of a page; raises AssertionError where its elements are not
    nested."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.source = path.read_text(encoding="utf-8")
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.parts: list[str] = []
        self.by_section: dict[str, str] = {}
        self.section = ""
        self.feed(self.source)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        self.tags.append((tag, values))
        if tag == "section":
            self.section = values["id"]
        if tag not in VOID:
            self.open.append(tag)
        if tag not in INLINE:
            self.handle_data(" ")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.handle_endtag(tag)

    def handle_endtag(self, tag: str) -> None:
        assert tag not in VOID
        assert self.open, f"</{tag}> closes nothing"
        assert self.open[-1] == tag, f"</{tag}> closes <{self.open[-1]}>"
        self.open.pop()
        if tag not in INLINE:
            self.handle_data(" ")
        if tag == "section":
            self.section = ""

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] != "style":
            self.parts.append(data)
            self.by_section[self.section] = self.by_section.get(self.section, "") + data

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.parts).split())

    def words(self, section: str) -> str:
        return " ".join(self.by_section[section].split())

    def all(self, tag: str) -> list[dict[str, str]]:
        return [values for name, values in self.tags if name == tag]

    @property
    def ids(self) -> list[str]:
        return [values["id"] for _, values in self.tags if "id" in values]

    def check(self) -> None:
        """Check what holds for every page: it loads nothing, ids are unique and found, everything
        has a name."""
        assert self.source.startswith("<!doctype html>")
        assert len(self.ids) == len(set(self.ids))
        for name, values in self.tags:
            for attribute in ("src", "href", "xlink:href", "srcset", "poster", "data", "action"):
                if attribute in values and not (
                    name == "a" and values[attribute].startswith("https://")
                ):
                    assert values[attribute].startswith(("#", "data:")), (name, values[attribute])
                if attribute == "href" and values.get(attribute, "").startswith("#"):
                    assert values[attribute][1:] in self.ids
            assert not any(attribute.startswith("on") for attribute in values), (name, values)
            assert name not in ("script", "iframe", "object", "embed", "base", "form")
        assert "@import" not in self.source
        assert self.source.count("url(") == self.source.count("url(#")
        assert "default-src 'none'" in self.source
        assert all(values["alt"] for values in self.all("img"))
        assert all(values["role"] == "img" and values["aria-label"] for values in self.all("svg"))
        assert (
            "#0a0b" not in self.source
        )  # a stand-in for a colour that no variable took the place of
        assert {"width=device-width, initial-scale=1"} <= {
            values.get("content", "") for values in self.all("meta")
        }
        # In the letters of an encoded picture there is any word.
        written = re.sub(r"base64,[^\"]*", "", self.source)
        for undefined in ("NaN", "nan ", ">nan<", ">None<", "Undefined"):
            assert undefined not in written
        levels = [
            int(name[1])
            for name, _ in self.tags
            if len(name) == 2 and name[0] == "h" and name[1].isdigit()
        ]
        assert levels[0] == 1
        assert levels.count(1) == 1
