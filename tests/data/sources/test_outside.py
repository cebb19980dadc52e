"""Images to which a row or a link leads, outside of the folder of a source."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.builders.images import photo_folder
from tests.builders.trees import facts
from trickbag.data.config import DataConfig
from trickbag.data.sources import open_source
from trickbag.errors import UserError

if TYPE_CHECKING:
    from pathlib import Path

    from trickbag.data.source import Source

INSIDE = "image,label\n000.png,cat\n001.png,dog\nsub/../002.png,cat\nsub/000.png,dog\n"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A folder of images with links; others lie beside it."""
    root = photo_folder(tmp_path / "images", {".": 4, "sub": 1})
    photo_folder(tmp_path / "other", {".": 2})
    (root / "link.png").symlink_to(tmp_path / "other" / "000.png")
    (root / "within.png").symlink_to(root / "003.png")
    (root / "linked").symlink_to(tmp_path / "other", target_is_directory=True)
    # Its name begins with that of the folder, but it is another.
    photo_folder(tmp_path / "images2", {".": 1})
    return root


def opened(root: Path, rows: str, outside: str, image_root: Path | None = None) -> Source:
    table = root.parent / "table.csv"
    table.write_text(INSIDE + rows)
    settings: Any = {"outside": outside}
    return open_source(
        DataConfig(source=str(table), image_root=str(image_root or root), **settings)
    )


@pytest.mark.parametrize(
    "row", ["../other/001.png", "{tmp}/other/001.png", "link", "linked/001.png", "../images2/000"]
)
def test_a_row_that_leads_out_is_noted_or_refused(root: Path, row: str) -> None:
    row = row.format(tmp=root.parent)
    read = opened(root, f"{row},cat\n", "read")
    assert len(read.parts["train"]) == 5
    assert not read.left_out
    (fact,) = facts(read)
    assert f"1 image lies outside of {root}, such as " in fact
    assert "--set data.outside=refuse" in fact
    refused = opened(root, f"{row},cat\n", "refuse")
    assert len(refused.parts["train"]) == 4
    ((name, reason),) = refused.left_out
    assert name == row
    assert reason == "lies outside of the folder of the images (data.outside = refuse)"
    assert not facts(refused)


@pytest.mark.parametrize("outside", ["read", "refuse"])
def test_rows_and_links_that_stay_within_are_read(root: Path, outside: str) -> None:
    source = opened(root, f"within,dog\n{root}/003.png,cat\n", outside)
    assert len(source.parts["train"]) == 6
    assert not source.left_out
    # Also where the folder itself is a link.
    (root.parent / "alias").symlink_to(root, target_is_directory=True)
    source = opened(root, "within,dog\n", outside, root.parent / "alias")
    assert len(source.parts["train"]) == 5
    assert not source.left_out
    assert not facts(source)


def test_a_table_of_which_all_lead_out_has_no_image(root: Path) -> None:
    table = root.parent / "all.csv"
    table.write_text("image,label\n../other/000.png,cat\n../other/001.png,dog\n")
    with pytest.raises(UserError, match=r"none of its 2 images is in .*lies outside"):
        open_source(DataConfig(source=str(table), image_root=str(root), outside="refuse"))


def test_links_out_of_a_folder_are_refused(tmp_path: Path) -> None:
    tree = photo_folder(tmp_path / "tree", {"a": 3, "b": 3})
    photo_folder(tmp_path / "other", {".": 2})
    (tree / "a" / "link.png").symlink_to(tmp_path / "other" / "000.png")
    (tree / "a" / "within.png").symlink_to(tree / "b" / "000.png")
    (tree / "b" / "linked").symlink_to(tmp_path / "other", target_is_directory=True)
    read = open_source(DataConfig(source=str(tree)))
    assert len(read.parts["train"]) == 10
    refused = open_source(DataConfig(source=str(tree), outside="refuse"))
    assert {error.file for error in refused.left_out} == {
        "a/link.png",
        "b/linked/000.png",
        "b/linked/001.png",
    }
    assert len(refused.parts["train"]) == 7
