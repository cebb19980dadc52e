"""Samples of competitions: the file that is written has their header, rows, order and columns."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from trickbag.data.sources.table.sheet import read_sheet
from trickbag.errors import UserError
from trickbag.evaluate import Prediction
from trickbag.evaluate.sample import SampleFile, sample_columns
from trickbag.evaluate.table import Form, write_csv

CLASSES = ("cat", "dog", "hot dog")
SHARES = ((0.5, 0.25, 0.25), (0.125, 0.125, 0.75))
FAILED = Prediction(image="", classes=CLASSES, probabilities=None, error="empty file")


def predictions(**fields: Any) -> list[Prediction]:
    return [
        Prediction(image="", classes=CLASSES, probabilities=np.array(shares, np.float32), **fields)
        for shares in SHARES
    ]


def fill(
    path: Path,
    text: str,
    rows: list[Prediction] | None = None,
    images: int = 0,
    classes: tuple[str, ...] = CLASSES,
    *,
    top: int = 1,
    probabilities: bool = False,
) -> tuple[str, tuple[str, ...]]:
    """Return what is written for the text of a sample, and the facts about the sample."""
    path.write_text(text, encoding="utf-8")
    sheet = read_sheet(path, "s.csv", "")
    columns = sample_columns(sheet, images, classes, title="s.csv")
    sample = SampleFile(sheet=sheet, columns=columns, classes=classes)
    form = Form(classes=classes, sample=sample, top=top, probabilities=probabilities)
    named = zip(sheet.column(images), rows or predictions(), strict=True)
    write_csv(path.parent / "out.csv", form, named)
    return (path.parent / "out.csv").read_text(encoding="utf-8"), columns.facts


FORMS = {
    "id and label": ("id,label\n7,cat\n3,cat\n", "id,label\n7,cat\n3,hot dog\n"),
    "capitals": ("Id,Category\n7,cat\n3,cat\n", "Id,Category\n7,cat\n3,hot dog\n"),
    "a label of any name": ("uid,my answer\n7,\n3,\n", "uid,my answer\n7,cat\n3,hot dog\n"),
    "ids with blanks and extension": (
        "image,breed\nb.JPG ,cat\na.jpg,cat\n",
        "image,breed\nb.JPG ,cat\na.jpg,hot dog\n",
    ),
    "the same id twice": ("id,label\n7,cat\n7,cat\n", "id,label\n7,cat\n7,hot dog\n"),
    "semicolons": ("id;label\n7;cat\n3;cat\n", "id;label\n7;cat\n3;hot dog\n"),
    "tabs": ("id\tlabel\n7\tcat\n3\tcat\n", "id\tlabel\n7\tcat\n3\thot dog\n"),
    "other columns": (
        "id,width,label,Usage\n7,30,cat,Public\n3,31,cat,Private\n",
        "id,width,label,Usage\n7,30,cat,Public\n3,31,hot dog,Private\n",
    ),
    "classes": (
        "id,cat,dog,hot dog\n7,0,0,0\n3,0,0,0\n",
        "id,cat,dog,hot dog\n7,0.5,0.25,0.25\n3,0.125,0.125,0.75\n",
    ),
    "classes in another order": (
        "id;hot dog;cat;dog\n7;1;0;0\n3;0;0;0\n",
        "id;hot dog;cat;dog\n7;0.25;0.5;0.25\n3;0.75;0.125;0.125\n",
    ),
    "label and classes": (
        "id,label,cat,dog,hot dog\n7,cat,1,0,0\n3,cat,1,0,0\n",
        "id,label,cat,dog,hot dog\n7,cat,0.5,0.25,0.25\n3,hot dog,0.125,0.125,0.75\n",
    ),
}


@pytest.mark.parametrize(("text", "expected"), FORMS.values(), ids=FORMS)
def test_forms(tmp_path: Path, text: str, expected: str) -> None:
    assert fill(tmp_path / "s.csv", text) == (expected, ())


def test_row_numbers_are_copied(tmp_path: Path) -> None:
    text, facts = fill(tmp_path / "s.csv", ",id,label\n0,7,cat\n1,3,cat\n", images=1)
    assert (text, facts) == (",id,label\n0,7,cat\n1,3,hot dog\n", ())


def test_a_sample_without_a_header(tmp_path: Path) -> None:
    (tmp_path / "s.csv").write_text("7.png;x\n3.png;x\n")
    sheet = read_sheet(tmp_path / "s.csv", "s.csv", "").without_header()
    columns = sample_columns(sheet, 0, CLASSES, title="s.csv")
    form = Form(
        classes=CLASSES, sample=SampleFile(sheet=sheet, columns=columns, classes=CLASSES), top=2
    )
    write_csv(tmp_path / "out.csv", form, zip(sheet.column(0), predictions(), strict=True))
    assert (tmp_path / "out.csv").read_text().splitlines() == [
        "7.png;cat;dog;0.250000",
        "3.png;hot dog;cat;0.125000",
    ]


NOTED = {
    "a class without a column": (
        "id,cat,dog\n7,0,0\n3,0,0\n",
        "id,cat,dog\n7,0.5,0.25\n3,0.125,0.125\n",
        "s.csv has no column for 'hot dog': their probabilities are left out",
    ),
    "one class": (
        "id,dog\n7,0.5\n3,0.5\n",
        "id,dog\n7,0.25\n3,0.125\n",
        "s.csv has no column for 'cat', 'hot dog': their",
    ),
    "classes in another spelling": (
        "id,Cat,DOG,hot_dog\n7,0,0,0\n3,0,0,0\n",
        "id,Cat,DOG,hot_dog\n7,0.5,0.25,0.25\n3,0.125,0.125,0.75\n",
        "columns in another spelling than the classes: 'Cat' for 'cat'",
    ),
    "numbers for labels": (
        "id,label\n7,0.5\n3,0.5\n",
        "id,label\n7,cat\n3,hot dog\n",
        "'0.5', a value of the column label, is no class of the network: these are 'cat'",
    ),
    "labels in another spelling": (
        "id,label\n7,Cat\n3,Cat\n",
        "id,label\n7,cat\n3,hot dog\n",
        "'Cat', a value of the column label, is no class of the network: it stands for 'cat'",
    ),
}


@pytest.mark.parametrize(("text", "expected", "says"), NOTED.values(), ids=NOTED)
def test_what_a_person_should_know(tmp_path: Path, text: str, expected: str, says: str) -> None:
    out, (fact,) = fill(tmp_path / "s.csv", text)
    assert out == expected
    assert says in fact


def test_what_failed_is_empty(tmp_path: Path) -> None:
    rows = [predictions()[0], FAILED]
    text, _ = fill(tmp_path / "s.csv", "id,label\n7,cat\n3,cat\n", rows)
    assert text == "id,label\n7,cat\n3,\n"
    text, _ = fill(tmp_path / "s.csv", "id,cat,dog,hot dog\n7,1,1,1\n3,1,1,1\n", rows)
    assert text == "id,cat,dog,hot dog\n7,0.5,0.25,0.25\n3,,,\n"


def test_columns_that_are_asked_for_come_behind(tmp_path: Path) -> None:
    text, _ = fill(tmp_path / "s.csv", "id,label\n7,cat\n3,cat\n", top=2, probabilities=True)
    assert text.splitlines()[:2] == [
        "id,label,label_2,confidence_2,cat,dog,hot dog",
        "7,cat,dog,0.250000,0.5,0.25,0.25",
    ]
    classes = "id,cat,dog,hot dog\n7,0.5,0.25,0.25\n3,0.125,0.125,0.75\n"
    assert fill(tmp_path / "s.csv", classes, probabilities=True)[0] == classes


def test_several_labels(tmp_path: Path) -> None:
    rows = predictions(thresholds=(0.1, 0.2, 0.5), label_separator=";")
    text, _ = fill(tmp_path / "s.csv", "id,labels\n7,cat\n3,cat;dog\n", rows)
    assert text == "id,labels\n7,cat;dog\n3,cat;hot dog\n"
    sheet = read_sheet(tmp_path / "s.csv", "s.csv", "")
    assert not sample_columns(sheet, 0, CLASSES, title="s.csv", label_separator=";").facts


def test_no_sample(tmp_path: Path) -> None:
    for text, facts in {
        "id\n7\n": (),
        "id,width,height\n7,1,2\n": (),
        "id,site,taken on\n7,A,B\n": ("s.csv is no sample",),
    }.items():
        (tmp_path / "s.csv").write_text(text)
        columns = sample_columns(
            read_sheet(tmp_path / "s.csv", "s.csv", ""), 0, CLASSES, title="s.csv"
        )
        assert (columns.label, columns.classes) == (None, None)
        assert len(columns.facts) == len(facts)
        assert all(fact.startswith(start) for fact, start in zip(columns.facts, facts, strict=True))


REFUSED = {
    "a class that the network lacks": (
        "id,cat,bird,hot dog\n7,0,0,0\n",
        r"no classes of the network: 'bird' \(without a column: 'dog'\)",
    ),
    "a class twice": ("id,cat,Cat,dog,hot dog\n7,0,0,0,0\n", "two columns of the class 'cat'"),
}


@pytest.mark.parametrize(("text", "says"), REFUSED.values(), ids=REFUSED)
def test_columns_that_cannot_be_filled(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(UserError, match=says):
        fill(tmp_path / "s.csv", text)
