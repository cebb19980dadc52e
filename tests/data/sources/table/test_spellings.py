"""Files by the names that a table gives them: forms, extensions, letter case, the nearest."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from trickbag.data.sources.table.spellings import FileNames, folder_like

COMPOSED = "caf\u00e9"
DECOMPOSED = "cafe\u0301"

NAMES: dict[str, tuple[list[str], str, list[str]]] = {
    "the same": (["a.png", "A.png"], "a.png", ["a.png"]),
    "without extension": (["a.png", "ab.png"], "a", ["a.png"]),
    "two of one stem": (["a.png", "a.jpg"], "a", ["a.jpg", "a.png"]),
    "dots within": (["a.1.png"], "a.1", ["a.1.png"]),
    "decomposed file": ([f"{DECOMPOSED}.png"], f"{COMPOSED}.png", [f"{DECOMPOSED}.png"]),
    "composed file": ([f"{COMPOSED}.png"], f"{DECOMPOSED}.png", [f"{COMPOSED}.png"]),
    "decomposed stem": ([f"{DECOMPOSED}.png"], COMPOSED, [f"{DECOMPOSED}.png"]),
    "extension": (["a.JPG"], "a.jpg", ["a.JPG"]),
    "extension the other way": (["a.jpg"], "a.Jpg", ["a.jpg"]),
    "two such extensions": (["a.jpg", "a.JPG"], "a.Jpg", ["a.JPG", "a.jpg"]),
    "form and extension": ([f"{DECOMPOSED}.JPG"], f"{COMPOSED}.jpg", [f"{DECOMPOSED}.JPG"]),
    "the name before the stem": (["a.jpg.png", "a.JPG"], "a.jpg", ["a.JPG"]),
    "letter case": (["IMG_1.jpg"], "img_1.jpg", []),
    "another extension": (["a.png"], "a.jpg", []),
    "another name": (["ab.png"], "a.png", []),
}


@pytest.mark.parametrize(("files", "name", "expected"), NAMES.values(), ids=NAMES)
def test_names(files: list[str], name: str, expected: list[str]) -> None:
    assert list(FileNames(files).of(name)) == expected


ANY_CASE = {
    "the name": (["IMG_1.jpg", "img_2.jpg"], "img_1.jpg", "IMG_1.jpg"),
    "the stem": (["img_1.JPG"], "IMG_1", "img_1.JPG"),
    "form too": ([f"{DECOMPOSED}.JPG"], f"{COMPOSED.upper()}.jpg", f"{DECOMPOSED}.JPG"),
    "two files": (["IMG.jpg", "Img.jpg"], "img.jpg", None),
    "none": (["IMG.jpg"], "img.png", None),
}


@pytest.mark.parametrize(("files", "name", "expected"), ANY_CASE.values(), ids=ANY_CASE)
def test_any_case(files: list[str], name: str, expected: str | None) -> None:
    assert FileNames(files).in_any_case(name) == expected


NEAREST = {
    "extension": (["cat_01.png", "dog_01.png"], "cat_01.jpg", "cat_01.png"),
    "a digit": (["cat_01.png", "dog_01.png"], "cat_1.png", "cat_01.png"),
    "without extension": (["cat_01.png", "dog_01.png"], "cat_1", "cat_01.png"),
    "a letter": (["cat_01.png", "dog_01.png"], "cats_01.png", "cat_01.png"),
    "two files": (["IMG.jpg", "Img.jpg", "x.jpg"], "img.jpg", "IMG.jpg"),
    "nothing like it": (["cat_01.png", "dog_01.png"], "7f3a", None),
    "no file": ([], "a.png", None),
}


@pytest.mark.parametrize(("files", "name", "expected"), NEAREST.values(), ids=NEAREST)
def test_the_nearest(files: list[str], name: str, expected: str | None) -> None:
    assert FileNames(files).nearest(name) == expected


def test_the_nearest_of_many_is_quick() -> None:
    names = FileNames(f"image_{i:06}.png" for i in range(5_000))
    started = time.process_time()
    assert names.nearest("image_0500.png") is not None
    assert time.process_time() - started < 2


FOLDERS: dict[str, tuple[list[str], str, str | None, str | None]] = {
    "the same": (["train/a"], "train/a", "train/a", "train/a"),
    "form": ([f"t/{DECOMPOSED}"], f"t/{COMPOSED}", f"t/{DECOMPOSED}", f"t/{DECOMPOSED}"),
    "case": (["Train/a"], "train/a", None, "Train/a"),
    "both": ([f"Train/{DECOMPOSED}"], f"TRAIN/{COMPOSED}", None, f"Train/{DECOMPOSED}"),
    "the form first": ([COMPOSED.title(), DECOMPOSED], COMPOSED, DECOMPOSED, DECOMPOSED),
    "two folders": (["Train", "TRAIN"], "train", None, None),
    "none": (["train"], "test/a", None, None),
}


@pytest.mark.parametrize(
    ("folders", "inner", "by_form", "in_any_case"), FOLDERS.values(), ids=FOLDERS
)
def test_folders(
    tmp_path: Path, folders: list[str], inner: str, by_form: str | None, in_any_case: str | None
) -> None:
    for folder in folders:
        (tmp_path / folder).mkdir(parents=True)
    assert folder_like(str(tmp_path), inner, any_case=False) == by_form
    assert folder_like(str(tmp_path), inner, any_case=True) == in_any_case
