"""The names of the files that `predict` writes."""

from __future__ import annotations

from pathlib import Path

from trickbag.cli.predictions.files import file_names


def test_names_keep_the_folders_that_images_do_not_share() -> None:
    paths = [Path("/d/one/a.jpg"), Path("/d/two/a.jpg"), None, Path("/d/two/b.tiff")]
    assert file_names(paths) == ["one/a.png", "two/a.png", "", "two/b.png"]
    assert file_names([Path("/d/one/a.jpg")]) == ["a.png"]
    assert file_names([]) == []


def test_no_two_images_have_the_same_file() -> None:
    paths = [Path(f"/d/{name}") for name in ("a.jpg", "a.png", "A.jpg", "a.png.png", "a.jpg")]
    names = file_names(paths)
    assert names[:2] == ["a.png", "a.png.png"]
    assert len({name.casefold() for name in names}) == len(paths)
