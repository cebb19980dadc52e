from __future__ import annotations

import csv
import dataclasses
from typing import TYPE_CHECKING

import numpy as np
import pytest

from trickbag.errors import RunFailed
from trickbag.evaluate import Prediction
from trickbag.evaluate.table import Form, write_csv

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

CLASSES = ("cat", "label", "dog, wet")


def prediction(*shares: float) -> Prediction:
    return Prediction(image="", classes=CLASSES, probabilities=np.array(shares, np.float32))


def failed(reason: str) -> Prediction:
    return Prediction(image="", classes=CLASSES, probabilities=None, error=reason)


def read(path: Path) -> list[list[str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.reader(file))


def test_our_own_columns(tmp_path: Path) -> None:
    rows = [('a "b",\n.png', prediction(0.25, 0.25, 0.5)), ("c.png", prediction(0.5, 0.25, 0.25))]
    written = write_csv(tmp_path / "out.csv", Form(classes=CLASSES), iter(rows))
    assert read(tmp_path / "out.csv") == [
        ["image", "label", "confidence"],
        ['a "b",\n.png', "dog, wet", "0.500000"],
        ["c.png", "cat", "0.500000"],
    ]
    assert (written.predicted, written.errors) == (2, [])
    assert [file.name for file in tmp_path.iterdir()] == ["out.csv"]


def test_an_error_column_only_where_there_is_an_error(tmp_path: Path) -> None:
    rows = [("a", prediction(0.25, 0.25, 0.5)), ("b", failed("empty file"))]
    written = write_csv(tmp_path / "out.csv", Form(classes=CLASSES), iter(rows))
    assert read(tmp_path / "out.csv") == [
        ["image", "label", "confidence", "error"],
        ["a", "dog, wet", "0.500000", ""],
        ["b", "", "", "empty file"],
    ]
    assert (written.predicted, written.errors) == (1, [("b", "empty file")])


def test_top_and_probabilities(tmp_path: Path) -> None:
    form = Form(classes=CLASSES, top=2, probabilities=True)
    write_csv(
        tmp_path / "out.csv",
        form,
        iter([("a", prediction(0.125, 0.375, 0.5)), ("b", failed("gone"))]),
    )
    assert read(tmp_path / "out.csv") == [
        [
            "image",
            "label",
            "confidence",
            "label_2",
            "confidence_2",
            "cat",
            "class label",
            "dog, wet",
            "error",
        ],
        ["a", "dog, wet", "0.500000", "label", "0.375000", "0.125", "0.375", "0.5", ""],
        ["b", "", "", "", "", "", "", "", "gone"],
    ]


def test_a_contests_columns_and_nothing_else(tmp_path: Path) -> None:
    form = Form(classes=CLASSES, columns=("id", "label"))
    write_csv(
        tmp_path / "out.csv",
        form,
        iter([("7", prediction(0.125, 0.375, 0.5)), ("3", failed("gone"))]),
    )
    assert read(tmp_path / "out.csv") == [["id", "label"], ["7", "dog, wet"], ["3", ""]]


def test_what_stood_there_stays_when_predicting_fails(tmp_path: Path) -> None:
    (tmp_path / "out.csv").write_text("mine\n")

    def rows() -> Iterator[tuple[str, Prediction]]:
        yield "a", prediction(0.25, 0.25, 0.5)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_csv(tmp_path / "out.csv", Form(classes=CLASSES), rows())
    assert (tmp_path / "out.csv").read_text() == "mine\n"
    assert [file.name for file in tmp_path.iterdir()] == ["out.csv"]


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(RunFailed, match="cannot write"):
        write_csv(tmp_path / "absent" / "out.csv", Form(classes=CLASSES), iter([]))


def test_a_name_that_is_no_utf8(tmp_path: Path) -> None:
    write_csv(
        tmp_path / "out.csv",
        Form(classes=CLASSES),
        iter([("\udcff.png", prediction(0.25, 0.25, 0.5))]),
    )
    assert read(tmp_path / "out.csv")[1][0] == "\\udcff.png"


def test_rejected_images_have_no_label_and_say_so(tmp_path: Path) -> None:
    rejected = dataclasses.replace(prediction(0.25, 0.35, 0.4), rejected=True)
    rows = [("a", prediction(0.125, 0.375, 0.5)), ("b", rejected), ("c", failed("gone"))]
    assert rejected.label is None
    assert rejected.labels == ()
    assert rejected.confidence == pytest.approx(0.4)
    form = Form(classes=(*CLASSES[:2], "rejected"), top=2, rejects=True, probabilities=True)
    written = write_csv(tmp_path / "out.csv", form, iter(rows))
    header, *lines = read(tmp_path / "out.csv")
    assert header[-3:] == ["class rejected", "rejected", "error"]
    assert [line[1:5] for line in lines] == [
        ["dog, wet", "0.500000", "label", "0.375000"],
        ["", "0.400000", "", "0.350000"],
        [""] * 4,
    ]
    assert [line[5:] for line in lines] == [
        ["0.125", "0.375", "0.5", "false", ""],
        ["0.25", "0.34999999", "0.40000001", "true", ""],
        ["", "", "", "", "gone"],
    ]
    assert (written.predicted, written.rejected) == (2, ["b"])
    # The columns of others stay as they are.
    form = Form(classes=CLASSES, columns=("id", "label"), rejects=True)
    write_csv(tmp_path / "out.csv", form, iter(rows[:2]))
    assert read(tmp_path / "out.csv") == [["id", "label"], ["a", "dog, wet"], ["b", ""]]
