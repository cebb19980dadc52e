"""Names in tables: labels that are missing, spellings of classes and of files."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.builders.tables import EXPECTED, ROWS, labelled, opened, refused, touch

FOUR = f"image,label\n{ROWS}"


@pytest.fixture
def four(tmp_path: Path) -> Path:
    return touch(tmp_path) / "train.csv"


@pytest.mark.parametrize(
    "label", ["NaN", "nan", "NA", "N/A", "null", "NULL", "None", "<NA>", "#N/A"]
)
def test_labels_that_are_missing_values(four: Path, label: str) -> None:
    text = FOUR.replace("002.png,cat", f"002.png,{label}")
    source = opened(four, text)
    assert source.classes == ("cat", "dog")
    assert ("no label", "its row has no label", ("002.png",), False) in source.passed_over
    assert not source.left_out
    assert f"{label!r} (1); where it is the name of a class" in source.notes[0].text
    assert opened(four, text, na_labels="class").classes == tuple(sorted(("cat", "dog", label)))


def test_an_image_with_a_label_in_another_row_is_taken(four: Path) -> None:
    source = opened(four, FOUR + "000.png,\n001.png,NaN\n")
    assert labelled(source) == EXPECTED
    assert not source.passed_over


def test_labels_that_are_no_missing_values(four: Path) -> None:
    for label in ("none", "0", "Nan", "other", "-"):
        source = opened(four, FOUR.replace("cat", label))
        assert source.classes == tuple(sorted((label, "dog")))


def test_one_class_beside_missing_labels(four: Path) -> None:
    message = refused(four, FOUR.replace("cat", "None"))
    assert "one class only, 'dog', and 2 images without a label" in message
    assert "--set data.na_labels=class" in message


def test_spellings_of_a_class_do_not_contradict_each_other(four: Path) -> None:
    text = FOUR.replace("cat", "caf\u00e9") + "000.png,cafe\u0301\n001.png,Dog\n"
    source = opened(four, text)
    assert labelled(source)["000.png"] == "caf\u00e9"
    assert source.left_out == (("001.png", "has different labels: Dog, dog"),)
    merged = opened(four, text, merge_labels=True)
    assert labelled(merged)["001.png"] == "dog"
    assert not merged.left_out


def test_files_in_another_spelling(tmp_path: Path) -> None:
    touch(tmp_path, ["cafe\u0301.PNG", "IMG_1.png", "x.png", "y.jpg"])
    rows = "caf\u00e9.png,cat\nimg_1,dog\nx.PNG,cat\ny,dog\n"
    source = opened(tmp_path / "train.csv", f"image,label\n{rows}")
    assert set(labelled(source)) == {"cafe\u0301.PNG", "IMG_1.png", "x.png", "y.jpg"}
    (note,) = source.notes
    assert "1 name is in another letter case than the file, such as 'img_1' for IMG_1" in note.text


def test_the_nearest_of_missing_files_is_named_a_few_times(four: Path) -> None:
    rows = "".join(f"{i:03}.jpg,cat\n" for i in range(29))
    source = opened(four, FOUR + rows)
    reasons = [error.reason for error in source.left_out]
    assert reasons[0] == "no such image file; the nearest is 000.png"
    assert sum("nearest" in reason for reason in reasons) == 20
