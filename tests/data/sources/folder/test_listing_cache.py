"""The kept listing of a large tree: taken where nothing has changed, and never trusted blindly."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from tests.builders.images import encode, photo
from tests.builders.trees import write_tree
from trickbag.data.config import DataConfig
from trickbag.data.dataset import fingerprint
from trickbag.data.decoding.decode import DecodeError
from trickbag.data.sources import open_source
from trickbag.data.sources.folder import listing_cache, tree

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from trickbag.data.source import Source

TREE = "train/{a,b}/{1,2}.png train/a/x/3.png val/{a,b}/1.png val/a/{n.xyz,.hidden} n\udcff.txt"


class Listing:
    """A tree, and how often its folders are listed."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.root, self.cache = root / "set", root / "cache"
        write_tree(self.root, TREE, encode(photo(8, 8), "PNG"))
        self.age()
        monkeypatch.setattr(listing_cache, "_KEPT_FROM", 1)
        self.scanned: list[str] = []
        scan = tree._scan

        def counted(path: str) -> tree.Folder:
            self.scanned.append(os.path.relpath(path, self.root))
            return scan(path)

        monkeypatch.setattr(tree, "_scan", counted)

    def age(self) -> None:
        """Let all folders have been changed a minute before they are."""
        for path in [self.root, *self.root.rglob("*")]:
            if path.is_dir():
                before = path.stat().st_mtime - 60
                os.utime(path, (before, before))

    def open(self, *, fresh: bool = False) -> tuple[Source, list[str]]:
        """List the tree; return the source, and the folders that were listed for it."""
        self.scanned.clear()
        data = DataConfig(source=str(self.root))
        return open_source(data, cache_dir=self.cache, fresh=fresh), sorted(self.scanned)

    def file(self) -> Path:
        (file,) = self.cache.rglob("*.npy")
        return file


@pytest.fixture
def listing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Listing:
    return Listing(tmp_path, monkeypatch)


FOLDERS = [".", "train", "train/a", "train/a/x", "train/b", "val", "val/a", "val/b"]


def test_a_kept_listing_gives_the_same_source(listing: Listing) -> None:
    first, scanned = listing.open()
    assert scanned == FOLDERS
    again, scanned = listing.open()
    assert scanned == []
    assert fingerprint(again.classes, again.parts) == fingerprint(first.classes, first.parts)
    assert again.passed_over == first.passed_over
    assert again.notes == first.notes
    assert listing.open(fresh=True)[1] == FOLDERS


CHANGES: dict[str, tuple[Callable[[Path], object], list[str]]] = {
    "added": (lambda root: (root / "train/a/9.png").write_bytes(b"x"), ["train/a"]),
    "removed": (lambda root: (root / "train/b/1.png").unlink(), ["train/b"]),
    "renamed": (lambda root: (root / "val/a/1.png").rename(root / "val/a/7.png"), ["val/a"]),
    "a new class": (
        lambda root: write_tree(root, "train/c/1.png"),
        ["train", "train/c"],
    ),
    "replaced": (
        lambda root: write_tree(root, "t") and (root / "t").replace(root / "train/b/1.png"),
        [".", "train/b"],
    ),
}


@pytest.mark.parametrize("change", CHANGES)
def test_folders_that_have_changed_are_listed_again(listing: Listing, change: str) -> None:
    listing.open()
    action, folders = CHANGES[change]
    action(listing.root)
    source, scanned = listing.open()
    assert scanned == folders
    fresh, _ = listing.open(fresh=True)
    assert fingerprint(source.classes, source.parts) == fingerprint(fresh.classes, fresh.parts)


def test_a_folder_that_was_just_changed_is_listed_again(listing: Listing) -> None:
    os.utime(listing.root / "val" / "b")
    listing.open()
    assert listing.open()[1] == ["val/b"]


def test_a_file_written_over_is_noticed_by_its_size(
    listing: Listing, monkeypatch: pytest.MonkeyPatch
) -> None:
    listing.open()
    path = listing.root / "train" / "a" / "2.png"
    path.write_bytes(encode(photo(9, 9), "PNG"))
    assert listing.open()[1] == FOLDERS
    # Of very many files some alone are compared: the others where they are read.
    path.write_bytes(encode(photo(12, 12), "PNG"))
    monkeypatch.setattr(listing_cache, "_COMPARED", 1)
    source, scanned = listing.open()
    assert scanned == []
    train = source.parts["train"]
    with pytest.raises(DecodeError, match="changed since it was listed: "):
        train.read(train.names.index("train/a/2.png"))
    assert train.read(0).shape == (8, 8, 3)


@pytest.mark.parametrize("place", [0, 100, 300, -40, -3])
def test_a_damaged_listing_is_made_anew(listing: Listing, place: int) -> None:
    first, _ = listing.open()
    data = bytearray(listing.file().read_bytes())
    data[place] ^= 4
    listing.file().write_bytes(data)
    source, scanned = listing.open()
    assert scanned == FOLDERS
    assert [note.kind for note in source.notes].count("damage") == 1
    assert fingerprint(source.classes, source.parts) == fingerprint(first.classes, first.parts)
    assert not listing.open()[1]


def test_a_listing_by_other_rules_is_made_anew(
    listing: Listing, monkeypatch: pytest.MonkeyPatch
) -> None:
    listing.open()
    monkeypatch.setattr(listing_cache, "rules", lambda: "other")
    source, scanned = listing.open()
    assert scanned == FOLDERS
    assert not [note for note in source.notes if note.kind == "damage"]


def test_a_listing_that_cannot_be_kept_is_no_error(listing: Listing) -> None:
    listing.cache.write_bytes(b"")
    source, _ = listing.open()
    assert "the listing of the files is not kept for the next run" in str(source.notes)


def test_small_trees_are_not_kept(tmp_path: Path) -> None:
    write_tree(tmp_path, "set/{a,b}/1.png")
    open_source(DataConfig(source=str(tmp_path / "set")), cache_dir=tmp_path / "cache")
    assert not (tmp_path / "cache").exists()
