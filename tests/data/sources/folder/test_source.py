"""Folder trees: parts, classes, files that count as images, and trees that are refused."""

from __future__ import annotations

import os
import shutil
import time
from typing import TYPE_CHECKING

import numpy as np
import pytest

from tests.builders.images import encode, photo, photo_folder
from trickbag.data.config import DataConfig
from trickbag.data.sources import open_source
from trickbag.errors import UserError

if TYPE_CHECKING:
    from pathlib import Path

    from trickbag.data.source import Source


def opened(path: Path | str, image_root: str | None = None) -> Source:
    return open_source(DataConfig(source=str(path), image_root=image_root))


def refused(path: Path | str, **more: str) -> str:
    with pytest.raises(UserError) as caught:
        opened(path, **more)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_class_folders_alone(tmp_path: Path) -> None:
    source = opened(photo_folder(tmp_path, {"dog": 3, "cat": 2}))
    assert source.classes == ("cat", "dog")
    assert list(source.parts) == ["train"]
    train = source.parts["train"]
    assert train.names == (
        "cat/000.png",
        "cat/001.png",
        "dog/000.png",
        "dog/001.png",
        "dog/002.png",
    )
    np.testing.assert_array_equal(train.labels, [0, 0, 1, 1, 1])
    assert train.labels.dtype == np.int64
    assert train.sizes.tolist() == [(tmp_path / name).stat().st_size for name in train.names]
    assert source.mirror
    assert source.natural_size is None
    assert not source.notes


def test_train_val_and_test(tmp_path: Path) -> None:
    source = opened(
        photo_folder(tmp_path, {"train/a": 3, "train/b": 2, "val/a": 1, "val/b": 2, "test/b": 1})
    )
    assert {name: len(part) for name, part in source.parts.items()} == {
        "train": 5,
        "val": 3,
        "test": 1,
    }
    assert source.parts["test"].names == ("test/b/000.png",)
    np.testing.assert_array_equal(source.parts["test"].labels, [1])


@pytest.mark.parametrize("name", ["val", "valid", "validation", "Val"])
def test_names_of_the_validation_folder(tmp_path: Path, name: str) -> None:
    source = opened(photo_folder(tmp_path, {"train/a": 1, "train/b": 1, f"{name}/a": 1}))
    assert source.parts["val"].names == (f"{name}/a/000.png",)


def test_inner_folders_and_upper_case_extensions_count(tmp_path: Path) -> None:
    photo_folder(tmp_path, {"a": 1, "a/x/y": 1, "b": 1})
    (tmp_path / "b" / "000.png").rename(tmp_path / "b" / "B.PNG")
    assert opened(tmp_path).parts["train"].names == ("a/000.png", "a/x/y/000.png", "b/B.PNG")


def test_what_is_no_image_is_ignored(tmp_path: Path) -> None:
    photo_folder(tmp_path, {"a": 1, "b": 1, ".git": 1, "__MACOSX/a": 1, "a/.thumbs": 1})
    (tmp_path / "a" / "notes.txt").write_text("x")
    (tmp_path / "a" / "._000.png").write_bytes(b"x")
    (tmp_path / "README").write_text("x")
    source = opened(tmp_path)
    assert source.parts["train"].names == ("a/000.png", "b/000.png")
    assert [note.text.partition(": ")[2] for note in source.notes] == [
        "taken 2, passed over 6: 2 hidden, 1 .txt, 1 metadata, 1 without extension, 1 thumbnail"
    ]


def test_images_outside_of_classes_are_noted(tmp_path: Path) -> None:
    photo_folder(tmp_path, {"a": 1, "b": 1, ".": 2})
    assert "2 images outside of any class folder" in opened(tmp_path).notes[0].text


def test_folders_beside_train_are_noted(tmp_path: Path) -> None:
    photo_folder(tmp_path, {"train/a": 1, "train/b": 1, "extra": 1})
    assert "extra" in opened(tmp_path).notes[0].text


def test_an_unlabelled_test_folder_is_not_used_and_noted(tmp_path: Path) -> None:
    photo_folder(tmp_path, {"train/a": 1, "train/b": 1, "test": 4})
    source = opened(tmp_path)
    assert list(source.parts) == ["train"]
    assert "'test' has no class folders" in source.notes[0].text


def test_links_in_circles_end(tmp_path: Path) -> None:
    photo_folder(tmp_path, {"a": 1, "b": 1, "a/x": 1})
    (tmp_path / "a" / "loop").symlink_to(tmp_path / "a", target_is_directory=True)
    (tmp_path / "a" / "x" / "up").symlink_to(tmp_path, target_is_directory=True)
    (tmp_path / "a" / "self").symlink_to("self")
    assert opened(tmp_path).parts["train"].names == ("a/000.png", "a/x/000.png", "b/000.png")


def test_linked_images_count_and_links_to_nothing_are_listed(tmp_path: Path) -> None:
    photo_folder(tmp_path / "real", {"a": 2})
    photo_folder(tmp_path / "set", {"b": 1})
    (tmp_path / "set" / "a").symlink_to(tmp_path / "real" / "a", target_is_directory=True)
    (tmp_path / "set" / "b" / "gone.png").symlink_to(tmp_path / "nowhere.png")
    train = opened(tmp_path / "set").parts["train"]
    assert train.names == ("a/000.png", "a/001.png", "b/000.png", "b/gone.png")
    assert train.sizes[3] == -1


def test_reading_and_subsets(tmp_path: Path) -> None:
    source = opened(photo_folder(tmp_path, {"a": 2, "b": 2}))
    part = source.parts["train"].subset([3, 0])
    assert part.names == ("b/001.png", "a/000.png")
    np.testing.assert_array_equal(part.labels, [1, 0])
    np.testing.assert_array_equal(part.read(0), photo(21, 16, 1_000_001))
    np.testing.assert_array_equal(part.read(1), photo(20, 16, 0))


def test_missing(tmp_path: Path) -> None:
    message = refused(tmp_path / "none")
    assert "does not exist" in message
    assert (
        "digits, a folder of images, a .csv file, an .arrow pack, torchvision:NAME, hf:" in message
    )


def test_no_kind_of_source(tmp_path: Path) -> None:
    (tmp_path / "x.txt").write_text("x")
    assert "no .csv file" in refused(tmp_path / "x.txt")
    assert "no kind of source is named 'tfds'" in refused("tfds:mnist")
    assert "is empty" in refused("")
    assert "source" in refused("a\0b")
    assert "cannot be read" in refused("x" * 5000)


def test_empty_folder(tmp_path: Path) -> None:
    assert "has no class folders" in refused(tmp_path)


def test_images_without_class_folders(tmp_path: Path) -> None:
    assert "has 3 images but no class folders" in refused(photo_folder(tmp_path, {".": 3}))


def test_no_image_at_all(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    assert "has no image" in refused(tmp_path)


@pytest.mark.parametrize("empty", ["train/c", "val/b"])
def test_empty_class(tmp_path: Path, empty: str) -> None:
    photo_folder(tmp_path, {"train/a": 2, "train/b": 2, "val/a": 1, empty: 0})
    message = refused(tmp_path)
    assert f"no image in {empty}" in message


def test_one_class(tmp_path: Path) -> None:
    assert "one class only, 'a'" in refused(photo_folder(tmp_path, {"a": 3}))


def test_class_that_train_lacks(tmp_path: Path) -> None:
    photo_folder(tmp_path, {"train/a": 2, "train/b": 2, "val/a": 1, "val/z": 1})
    message = refused(tmp_path)
    assert "val has classes that train has not: z" in message


def test_val_without_train(tmp_path: Path) -> None:
    assert "has no train part, only val" in refused(
        photo_folder(tmp_path, {"val/a": 1, "val/b": 1})
    )


def test_two_validation_folders(tmp_path: Path) -> None:
    photo_folder(tmp_path, {"train/a": 1, "train/b": 1, "val/a": 1, "valid/a": 1})
    assert "several folders for val: val, valid" in refused(tmp_path)


def test_image_root_is_not_for_folders(tmp_path: Path) -> None:
    assert "image_root" in refused(
        photo_folder(tmp_path, {"a": 1, "b": 1}), image_root=str(tmp_path)
    )


@pytest.mark.skipif(os.geteuid() == 0, reason="root can read everything")
def test_unreadable_folder(tmp_path: Path) -> None:
    photo_folder(tmp_path, {"a": 1, "b": 1})
    (tmp_path / "b").chmod(0)
    try:
        assert "cannot be read: Permission denied" in refused(tmp_path)
    finally:
        (tmp_path / "b").chmod(0o700)


def test_names_that_are_no_utf8(tmp_path: Path) -> None:
    photo_folder(tmp_path, {"a": 1, "b": 1})
    odd = os.fsencode(tmp_path / "a") + b"/\xff\xfe.png"
    try:
        with open(odd, "wb") as file:
            file.write(encode(photo(), "PNG"))
    except OSError:
        pytest.skip("this file system wants UTF-8")
    part = opened(tmp_path).parts["train"]
    place = next(i for i, name in enumerate(part.names) if "000" not in name)
    assert part.read(place).shape == (32, 48, 3)


def test_the_source_is_the_same_wherever_it_lies(tmp_path: Path) -> None:
    first = opened(photo_folder(tmp_path / "one", {"a": 2, "b": 2})).parts["train"]
    shutil.copytree(tmp_path / "one", tmp_path / "two" / "deep")
    second = opened(tmp_path / "two" / "deep").parts["train"]
    assert first.names == second.names
    assert first.sizes.tolist() == second.sizes.tolist()


@pytest.mark.slow
def test_many_classes_are_listed_in_a_time_that_grows_as_they_do(tmp_path: Path) -> None:
    for label in range(20_000):
        folder = tmp_path / f"{label:05}"
        folder.mkdir()
        for i in range(3):
            (folder / f"{i}.jpg").touch()
    started = time.process_time()
    source = opened(tmp_path)
    # It took 15 s where each file was looked up among the classes, and takes one.
    assert time.process_time() - started < 6
    assert len(source.parts["train"]) == 60_000
    assert source.parts["train"].labels[-1] == 19_999
