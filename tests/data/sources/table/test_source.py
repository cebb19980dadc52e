"""CSV files: columns, images, labels, and rows that are left out."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from tests.builders.images import encode, photo, photo_folder
from tests.builders.trees import facts
from trickbag.data.config import DataConfig
from trickbag.data.sources import open_source
from trickbag.errors import UserError

if TYPE_CHECKING:
    from pathlib import Path

    from trickbag.data.source import Source

FOUR = "image,label\n000.png,cat\n001.png,dog\n002.png,cat\n003.png,dog\n"


def opened(path: Path, text: str | bytes | None = None, image_root: Path | None = None) -> Source:
    if text is not None:
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return open_source(
        DataConfig(source=str(path), image_root=None if image_root is None else str(image_root))
    )


def refused(path: Path, text: str | bytes | None = None, image_root: Path | None = None) -> str:
    with pytest.raises(UserError) as caught:
        opened(path, text, image_root)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.fixture
def four(tmp_path: Path) -> Path:
    return photo_folder(tmp_path, {".": 4}) / "train.csv"


def labelled(source: Source) -> dict[str, str]:
    part = source.parts["train"]
    return {
        name: source.classes[label] for name, label in zip(part.names, part.labels, strict=True)
    }


EXPECTED = {"000.png": "cat", "001.png": "dog", "002.png": "cat", "003.png": "dog"}


def test_images_beside_it(four: Path) -> None:
    source = opened(four, FOUR)
    assert source.classes == ("cat", "dog")
    assert source.columns == ("image", "label")
    assert list(source.parts) == ["train"]
    assert labelled(source) == EXPECTED
    assert not source.left_out
    assert not source.notes
    np.testing.assert_array_equal(source.parts["train"].read(1), photo(21, 16, 1))
    assert source.parts["train"].sizes[1] == (four.parent / "001.png").stat().st_size


def test_ids_without_extension_in_the_folder_of_its_name(tmp_path: Path) -> None:
    photo_folder(tmp_path, {"train": 4})
    source = opened(tmp_path / "train.csv", FOUR.replace(".png", "").replace("image", "id"))
    assert source.columns == ("id", "label")
    assert labelled(source) == {f"train/{name}": label for name, label in EXPECTED.items()}


def test_image_root(tmp_path: Path) -> None:
    photo_folder(tmp_path, {"pictures/inner": 4, "csv": 0})
    path = tmp_path / "csv" / "x.csv"
    assert labelled(opened(path, FOUR, tmp_path / "pictures" / "inner")) == EXPECTED
    deeper = labelled(opened(path, FOUR.replace("00", "inner/00"), tmp_path / "pictures"))
    assert deeper == {f"inner/{name}": label for name, label in EXPECTED.items()}


def test_absolute_paths(tmp_path: Path) -> None:
    photo_folder(tmp_path, {"pictures": 4, "csv": 0})
    text = FOUR.replace("00", f"{tmp_path}/pictures/00")
    source = opened(tmp_path / "csv" / "x.csv", text)
    np.testing.assert_array_equal(source.parts["train"].read(1), photo(21, 16, 1))


@pytest.mark.parametrize(
    "text",
    [
        b"\xef\xbb\xbf" + FOUR.encode(),
        FOUR.replace("\n", "\r\n").encode(),
        FOUR.replace("\n", "\n\n  \n").encode(),
        b"\n" + FOUR.encode(),
        FOUR.rstrip("\n").encode(),
        FOUR.replace("image,label", " Image , Label ").encode(),
        FOUR.replace("000.png,cat", '"000.png" , "cat"').replace('" , "', '","').encode(),
        FOUR.replace(",", " , ").encode(),
        FOUR.replace("000.png", "./000.png").encode(),
    ],
    ids=[
        "BOM",
        "CRLF",
        "blank lines",
        "blank first",
        "no last newline",
        "header",
        "quotes",
        "spaces",
        "dot",
    ],
)
def test_forms_that_are_tolerated(four: Path, text: bytes) -> None:
    assert labelled(opened(four, text)) == EXPECTED


def test_the_order_of_rows_and_columns_does_not_matter(four: Path) -> None:
    lines = FOUR.splitlines()
    shuffled = [lines[0], lines[3], lines[1], lines[4], lines[2]]
    swapped = "\n".join(",".join([*reversed(line.split(",")), "x"]) for line in shuffled)
    source = opened(four, swapped)
    assert labelled(source) == EXPECTED
    assert source.parts["train"].names == tuple(sorted(EXPECTED))
    assert "columns not used: x" in source.notes[0].text


def test_numbers_stay_text(four: Path) -> None:
    source = opened(four, "id,label\n000,10\n001,9\n002,010\n")
    assert source.classes == ("010", "10", "9")


def test_labels_with_commas_and_line_breaks(four: Path) -> None:
    source = opened(four, 'image,label\n000.png,"cat, black"\n001.png,"a\nb"\n')
    assert source.classes == ("a\nb", "cat, black")


def test_missing_images_are_left_out_and_named(four: Path) -> None:
    source = opened(four, FOUR + "none.png,cat\n004,dog\n000.jpg,dog\n")
    assert [error.file for error in source.left_out] == ["none.png", "004", "000.jpg"]
    assert [error.reason for error in source.left_out] == [
        "no such image file",
        "no such image file; the nearest is 003.png",
        "no such image file; the nearest is 000.png",
    ]
    assert labelled(source) == EXPECTED


def test_rows_that_lack_something(four: Path) -> None:
    source = opened(four, FOUR.replace("002.png,cat", "002.png,") + ",dog\n003\n")
    assert [error.reason for error in source.left_out] == ["no image in line 6"]
    assert ("no label", "its row has no label", ("002.png",), False) in source.passed_over


def test_repeated_rows_are_noted(four: Path) -> None:
    source = opened(four, FOUR + "000.png,cat\n001,dog\n")
    assert labelled(source) == EXPECTED
    assert "2 rows repeat an image" in source.notes[0].text


def test_contradictions_are_left_out(four: Path) -> None:
    source = opened(four, FOUR + "000,dog\n")
    assert labelled(source) == {name: EXPECTED[name] for name in ("001.png", "002.png", "003.png")}
    assert source.left_out == (("000.png", "has different labels: cat, dog"),)
    assert "1 image has rows with different labels" in source.notes[0].text
    assert "--set data.multi_label=true" in source.notes[0].text
    message = refused(four, "image,label\n000.png,cat\n000.png,dog\n")
    assert "none of its 2 rows can be used" in message
    assert "--set data.multi_label=true" in message


def test_ambiguous_names_are_noted_once(four: Path) -> None:
    for name in ("000", "001"):
        (four.parent / f"{name}.jpg").write_bytes(encode(photo(), "JPEG"))
    source = opened(four, FOUR.replace(".png", ""))
    assert sorted(labelled(source)) == ["000.jpg", "001.jpg", "002.png", "003.png"]
    (fact,) = facts(source)
    assert "'000' can be 000.jpg or 000.png" in fact


def test_empty_files(four: Path) -> None:
    assert "is empty" in refused(four, "")
    assert "is empty" in refused(four, "\n \n")
    assert "has no rows" in refused(four, "image,label\n")


def test_all_images_missing(tmp_path: Path) -> None:
    message = refused(tmp_path / "train.csv", FOUR)
    assert "none of its 4 images is in" in message
    assert "--image-root" in message
    assert "000.png: no such image file" in message


def test_one_class(four: Path) -> None:
    assert "one class only, 'cat'" in refused(four, FOUR.replace("dog", "cat"))


def test_what_is_no_csv(four: Path) -> None:
    assert "UTF-8" in refused(four, "image,label\n000.png,caf\xe9\n".encode("latin-1"))
    assert "UTF-8" in refused(four, encode(photo(), "PNG"))
    assert "not a CSV file" in refused(four, "image,label\n000.png," + "x" * 200_000)


def test_image_root_that_is_no_folder(four: Path) -> None:
    assert "image_root" in refused(four, FOUR, four.parent / "nowhere")
