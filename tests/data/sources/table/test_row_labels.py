"""Several labels an image: in a cell, by rows, or by a column for each class."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.builders.tables import EXPECTED, facts, labelled, opened, refused, touch
from trickbag.data.sources.table.labels import multi_label_name

if TYPE_CHECKING:
    from pathlib import Path

NAMES = list(EXPECTED)


@pytest.fixture(scope="module")
def four(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return touch(tmp_path_factory.mktemp("four")) / "train.csv"


def table(*labels: str, header: str = "image,label") -> str:
    rows = (f'{name},"{label}"' for name, label in zip(NAMES, labels, strict=False))
    return "\n".join([header, *rows])


CASES: dict[str, tuple[str, dict[str, Any], list[str], str]] = {
    "blanks": (table("cat x", "x  dog", "cat"), {}, ["cat+x", "dog+x", "cat"], "at blanks"),
    "comma": (table("cat, x", "x,dog", "cat"), {}, ["cat+x", "dog+x", "cat"], "at ','"),
    "bar": (table("cat|x", "x|dog|", "cat"), {}, ["cat+x", "dog+x", "cat"], "at '|'"),
    "semicolon": (table("cat;x", "x; dog", "cat"), {}, ["cat+x", "dog+x", "cat"], "at ';'"),
    "a list": (
        table("['cat', 'x']", "['x', 'dog']", "['cat']"),
        {},
        ["cat+x", "dog+x", "cat"],
        "at ','",
    ),
    "set": (
        table("cat & x", "x&dog", "cat"),
        {"label_separator": "&"},
        ["cat+x", "dog+x", "cat"],
        "'&'",
    ),
    "set to blanks": (
        table("a,b x", "x y", "y"),
        {"label_separator": "blank"},
        ["a,b+x", "x+y", "y"],
        "at blanks",
    ),
    "a row a label": (
        "image,label\n000.png,cat\n000.png,golden x\n001.png,cat\n001.png,cat\n",
        {},
        ["cat+golden x", "cat"],
        "1 image has a row for each label, and all of these labels",
    ),
    "a column a label": (
        "image,cat,dog,x\n000.png,1,0,1\n001.png,0,1,0\n002.png,0,0,0\n003.png,1,1,1\n",
        {},
        ["cat+x", "dog", "", "cat+dog+x"],
        "1 row has no label and is left out",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_several_labels(four: Path, case: str) -> None:
    text, settings, labels, note = CASES[case]
    source = opened(four, text, multi_label=True, **settings)
    expected = {name: label for name, label in zip(NAMES, labels, strict=False) if label}
    expected = {name: label.replace(" ", "+") for name, label in expected.items()}
    assert labelled(source) == expected
    assert note in facts(source)


def test_labels_that_nothing_divides_are_said(four: Path) -> None:
    source = opened(four, table("cat/x", "dog", "dog/x"), multi_label=True)
    assert source.classes == ("cat/x", "dog", "dog/x")
    assert "--set data.label_separator=TEXT" in facts(source)


def test_separators_that_are_not_clear(four: Path) -> None:
    message = refused(four, table("cat|x", "cat;dog", "a"), multi_label=True)
    assert "its labels hold '|' and ';'" in message
    assert "--set data.label_separator=|" in message


def test_contradictions_are_left_out_as_before(four: Path) -> None:
    text = "image,label\n000.png,cat x\n000.png,dog\n001.png,cat\n002.png,dog\n002.png,dog x\n"
    source = opened(four, text + "003.png,x\n", multi_label=True)
    assert labelled(source) == {"001.png": "cat", "003.png": "x"}
    assert source.left_out[0] == ("000.png", "has different labels: cat x, dog")


@pytest.mark.parametrize(
    ("names", "looks"),
    [
        (["cat", "cat dog", "dog"], "cat dog"),
        (["golden retriever", "husky", "white shark"], None),
        (["cat|x", "dog|x"], "cat|x"),
        (["cat, x", "cat", "dog", "x"], "cat, x"),
        (["tench, Tinca tinca", "goldfish, Carassius"], None),
        (["a;b", "c;d"], None),
    ],
)
def test_names_that_look_like_several_labels(names: list[str], looks: str | None) -> None:
    assert multi_label_name(names) == looks


def test_a_separator_is_for_several_labels(four: Path) -> None:
    message = refused(four, table("cat", "dog"), label_separator="|")
    assert "data.label_separator = '|'" in message
    assert "--set data.multi_label=true" in message
    assert "is empty" in refused(four, table("cat", "dog"), label_separator="", multi_label=True)
