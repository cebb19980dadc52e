"""Where the images of a table lie."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from tests.builders.tables import facts, labelled, opened, refused, touch

if TYPE_CHECKING:
    from pathlib import Path

ROWS = "id,label\na,cat\nb,dog\nc,cat\n"

LAYOUTS: dict[str, tuple[list[str], list[str], str]] = {
    # Files, where the three images are found, and what a note says.
    "numbered folders": (
        ["train_1/a.png", "train_2/b.png", "train_2/c.png"],
        ["train_1/a.png", "train_2/b.png", "train_2/c.png"],
        "3 images were looked for in the folders within: train_2 (2), train_1 (1)",
    ),
    "nested": (
        ["images/x/y/a.png", "images/x/b.png", "images/c.png"],
        ["images/c.png", "images/x/b.png", "images/x/y/a.png"],
        "images/x (1)",
    ),
    "some beside it": (
        ["a.png", "more/b.png", "c.png"],
        ["a.png", "c.png", "more/b.png"],
        "more (1)",
    ),
    "the folder of its name first": (
        ["train/x/a.png", "train/y/b.png", "train/c.png", "test/x/a.png", "test/y/b.png"],
        ["train/c.png", "train/x/a.png", "train/y/b.png"],
        "2 images were",
    ),
    "parts with ids of their own": (
        ["train/a.png", "test/b.png", "test/c.png"],
        ["test/b.png", "test/c.png", "train/a.png"],
        "test (2)",
    ),
    "hidden folders": (
        ["a.png", "b.png", "x/c.png", ".x/c.png", "__MACOSX/c.png"],
        ["a.png", "b.png", "x/c.png"],
        "x (1)",
    ),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_folders_within(tmp_path: Path, layout: str) -> None:
    files, names, note = LAYOUTS[layout]
    source = opened(touch(tmp_path, files) / "train.csv", ROWS)
    assert list(labelled(source)) == names
    assert not source.left_out
    assert note in facts(source)
    sizes = [(tmp_path / name).stat().st_size for name in names]
    assert source.parts["train"].sizes.tolist() == sizes


def test_a_value_with_a_folder_is_looked_for_as_it_stands(tmp_path: Path) -> None:
    touch(tmp_path, ["data/x/a.png", "data/y/a.png", "data/x/b.png"])
    text = "path,label\nx/a.png,cat\ny\\a.png,dog\nz/b.png,cat\n"
    source = opened(tmp_path / "t.csv", text)
    assert labelled(source) == {"data/x/a.png": "cat", "data/y/a.png": "dog"}
    reason = "no such image file; the nearest is data/x/b.png"
    assert source.left_out == (("z/b.png", reason),)


def test_ambiguous_ids_are_left_out_and_named(tmp_path: Path) -> None:
    touch(tmp_path, ["one/a.png", "two/a.png", "one/b.png", "two/c.png"])
    source = opened(tmp_path / "t.csv", ROWS)
    assert source.left_out == (("a", "an image of this name lies in one, two"),)
    assert len(labelled(source)) == 2


def test_a_folder_that_repeats_the_names_is_another_data_set(tmp_path: Path) -> None:
    touch(tmp_path, ["train/a.png", "train/b.png", "test/a.png", "test/b.png", "test/c.png"])
    source = opened(tmp_path / "train.csv", ROWS)
    assert list(labelled(source)) == ["train/a.png", "train/b.png"]
    assert source.left_out == (("c", "no such image file; the nearest is test/c.png"),)


def test_a_circle_of_links(tmp_path: Path) -> None:
    touch(tmp_path, ["in/a.png", "in/b.png", "c.png"])
    (tmp_path / "in" / "back").symlink_to(tmp_path)
    assert list(labelled(opened(tmp_path / "t.csv", ROWS))) == ["c.png", "in/a.png", "in/b.png"]


def test_several_roots(tmp_path: Path) -> None:
    touch(tmp_path, ["far/one/a.png", "far/two/b.png", "near/c.png", "t/x"])
    roots = tuple(str(tmp_path / name) for name in ("far/one", "far/two", "near"))
    source = opened(tmp_path / "t" / "t.csv", ROWS, image_root=roots)
    assert labelled(source) == {"far/one/a.png": "cat", "far/two/b.png": "dog", "near/c.png": "cat"}
    # Two roots side by side give names without the folders above them.
    source = opened(tmp_path / "t" / "t.csv", "id,label\na,x\nb,y\n", image_root=roots[:2])
    assert list(labelled(source)) == ["one/a.png", "two/b.png"]
    touch(tmp_path, ["far/two/a.png"])
    source = opened(tmp_path / "t" / "t.csv", ROWS, image_root=roots)
    assert source.left_out == (("a", "an image of this name lies in far/one, far/two"),)
    message = refused(tmp_path / "t" / "t.csv", ROWS, image_root=(roots[0], str(tmp_path / "no")))
    assert "is not a folder" in message


def test_one_root_in_a_list_is_that_root(tmp_path: Path) -> None:
    touch(tmp_path, ["far/a.png", "far/b.png", "far/c.png"])
    by_list = opened(tmp_path / "t.csv", ROWS, image_root=(str(tmp_path / "far"),))
    assert list(labelled(by_list)) == ["a.png", "b.png", "c.png"]
    assert "empty list" in refused(tmp_path / "t.csv", ROWS, image_root=())


def test_a_file_without_extension(tmp_path: Path) -> None:
    touch(tmp_path, ["a", "b", "b.png", "c.jpg_large"])
    source = opened(tmp_path / "t.csv", ROWS.replace("\nc", "\nc.jpg_large"))
    assert list(labelled(source)) == ["a", "b.png", "c.jpg_large"]


def test_images_that_no_row_names_are_counted(tmp_path: Path) -> None:
    touch(tmp_path, ["a.png", "b.png", "in/c.png", "in/d.png", "e.png", "other/f.png", "notes.txt"])
    source = opened(tmp_path / "t.csv", ROWS + "e,\n")
    passed_over, unlabelled = source.passed_over
    assert unlabelled.files == ("e.png",)
    assert passed_over.kind == "no row names it"
    assert passed_over.files == ("in/d.png",)
    assert passed_over.ignored
    source = opened(tmp_path / "t.csv", ROWS + "e,x\nin/d,x\n")
    assert not source.passed_over


@pytest.mark.parametrize("value", ["~no-such-user/x", "a\0b", "x\0/c", "/", "..", "x" * 5000])
def test_values_that_are_no_paths(tmp_path: Path, value: str) -> None:
    touch(tmp_path, ["a.png", "b.png"])
    # Zero bytes among the first lines are those of another encoding.
    rows = "a,x\nb,y\n" * 12
    source = opened(tmp_path / "t.csv", f"id,label\n{rows}{value},x\n")
    assert [error.reason.partition(";")[0] for error in source.left_out] == ["no such image file"]


def test_names_of_images_have_no_folder_twice(tmp_path: Path) -> None:
    touch(tmp_path, ["a.png", "b.png"])
    text = f"id,label\n./a.png,x\n{tmp_path}{os.sep}b.png,y\na,x\n"
    source = opened(tmp_path / "t.csv", text)
    assert "a.png" in labelled(source)
    assert "1 rows repeat an image" in facts(source)
