"""Copies of images: what is found, said and dropped, in every layout that they can lie in."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.builders.images import encode, photo, photo_folder
from trickbag.data import dataset as module
from trickbag.data.config import DataConfig
from trickbag.data.dataset import Dataset, fingerprint, prepare
from trickbag.data.doctor import diagnose
from trickbag.data.duplicates import content_digest, copies_of, pixel_digest
from trickbag.data.source import ArrayPart, DataError, Source
from trickbag.data.sources import open_source
from trickbag.errors import RunFailed, UserError

TWO_PARTS = {"train/a": 6, "train/b": 6, "val/a": 3, "val/b": 3}
THREE_PARTS = TWO_PARTS | {"test/a": 2, "test/b": 2}
ONE_PART = {"a": 10, "b": 10}


@dataclass(frozen=True, kw_only=True)
class Case:
    """A folder, files that are copied in it (from, to), and what is to be known of them.

    `duplicates`: the rows of the doctor. `dropped`: what `data.duplicates=drop` leaves out.
    """

    folders: dict[str, int]
    copies: list[tuple[str, str]]
    duplicates: list[tuple[str, list[str]]]
    dropped: set[str] = field(default_factory=set)


CASES = {
    "none": Case(folders=TWO_PARTS, copies=[], duplicates=[]),
    "across parts": Case(
        folders=TWO_PARTS,
        copies=[("val/a/001.png", "train/a/x.png")],
        duplicates=[("parts", ["train/a/x.png", "val/a/001.png"])],
        dropped={"train/a/x.png"},
    ),
    "across parts, twice in training": Case(
        folders=TWO_PARTS,
        copies=[("val/a/001.png", "train/a/x.png"), ("val/a/001.png", "train/a/y.png")],
        duplicates=[("parts", ["train/a/x.png", "train/a/y.png", "val/a/001.png"])],
        dropped={"train/a/x.png", "train/a/y.png"},
    ),
    "in the test part": Case(
        folders=THREE_PARTS,
        copies=[("test/b/001.png", "train/b/x.png")],
        duplicates=[("parts", ["train/b/x.png", "test/b/001.png"])],
        dropped={"train/b/x.png"},
    ),
    "in both held-back parts": Case(
        folders=THREE_PARTS,
        copies=[("test/b/001.png", "val/b/x.png")],
        duplicates=[("parts", ["val/b/x.png", "test/b/001.png"])],
    ),
    "in a test part beside training": Case(
        folders={"train/a": 9, "train/b": 9, "test/a": 2},
        copies=[("test/a/000.png", "train/a/x.png")],
        duplicates=[("parts", ["train/a/x.png", "test/a/000.png"])],
        dropped={"train/a/x.png"},
    ),
    "across classes": Case(
        folders=ONE_PART,
        copies=[("a/000.png", "b/x.png")],
        duplicates=[("classes", ["a/000.png", "b/x.png"])],
        dropped={"a/000.png", "b/x.png"},
    ),
    "across classes and parts": Case(
        folders=TWO_PARTS,
        copies=[("val/a/000.png", "train/b/x.png")],
        duplicates=[
            ("parts", ["train/b/x.png", "val/a/000.png"]),
            ("classes", ["train/b/x.png", "val/a/000.png"]),
        ],
        dropped={"train/b/x.png", "val/a/000.png"},
    ),
    "within a class": Case(
        folders=ONE_PART,
        copies=[("a/003.png", "a/x.png"), ("a/003.png", "a/y.png"), ("b/000.png", "b/z.png")],
        duplicates=[
            ("nothing", ["a/003.png", "a/x.png", "a/y.png"]),
            ("nothing", ["b/000.png", "b/z.png"]),
        ],
        dropped={"a/x.png", "a/y.png", "b/z.png"},
    ),
    "within a validation part": Case(
        folders=TWO_PARTS,
        copies=[("val/a/000.png", "val/a/x.png")],
        duplicates=[("nothing", ["val/a/000.png", "val/a/x.png"])],
        dropped={"val/a/x.png"},
    ),
}


def tree_of(case: Case, root: Path) -> Path:
    photo_folder(root, case.folders)
    for origin, copy in case.copies:
        (root / copy).write_bytes((root / origin).read_bytes())
    return root


def names_of(dataset: Dataset) -> set[str]:
    parts = (dataset.train, dataset.val, dataset.test)
    return {name for part in parts if part is not None for name in part.names}


def copies_said(dataset: Dataset) -> list[str]:
    return [note.text for note in dataset.notes if note.text.startswith("copies: ")]


@pytest.mark.parametrize("name", CASES)
def test_copies_are_noted_or_dropped(name: str, tmp_path: Path) -> None:
    case = CASES[name]
    tree, cache = tree_of(case, tmp_path / "set"), tmp_path / "cache"
    data = DataConfig(source=str(tree))
    every = {path.relative_to(tree).as_posix() for path in tree.rglob("*.png")}

    diagnosis = diagnose(data, cache_dir=cache).to_dict()
    rows = [(row["across"], row["files"]) for row in diagnosis["duplicates"]]
    assert rows == case.duplicates

    noted = prepare(data, cache_dir=cache)
    assert names_of(noted) == every
    assert noted.errors == ()
    texts = copies_said(noted)
    assert len(texts) == len({across for across, _ in case.duplicates})
    for text in texts:
        assert "data.duplicates=drop leaves" in text
    assert set(texts) <= {
        row["text"] if isinstance(row, dict) else row for row in diagnosis["warnings"]
    }

    # A limit of none: what is dropped is not damaged.
    drop = DataConfig(source=str(tree), duplicates="drop", max_bad_fraction=0)
    dropped = prepare(drop, cache_dir=cache)
    assert {file for file, _ in dropped.errors} == case.dropped
    assert names_of(dropped) == every - case.dropped
    assert all("(data.duplicates = drop)" in reason for _, reason in dropped.errors)
    if "val" in open_source(data).parts:
        assert dropped.fingerprint == noted.fingerprint
    else:
        assert set(dropped.val.names) == set(noted.val.names) - case.dropped, "the same split"


def test_the_notes_of_each_kind(tmp_path: Path) -> None:
    copies = [
        ("val/a/000.png", "train/a/x.png"),
        ("val/a/000.png", "train/a/y.png"),
        ("val/a/000.png", "train/a/z.png"),
        ("train/a/000.png", "train/b/x.png"),
        *((f"train/b/00{i}.png", f"train/b/copy{i}.png") for i in range(5)),
    ]
    case = Case(folders=TWO_PARTS, copies=copies, duplicates=[])
    tree, cache = tree_of(case, tmp_path / "set"), tmp_path / "cache"
    noted = prepare(DataConfig(source=str(tree)), cache_dir=cache).notes
    assert [note.text for note in noted] == [
        "copies: 1 image lies in more than one part (train/a/x.png = val/a/000.png = "
        "train/a/y.png = ...): metrics on them are too good; data.duplicates=drop leaves the "
        "training copies out",
        "copies: 1 image lies in more than one class (train/a/000.png = train/b/x.png): not all of "
        "the labels can be right; data.duplicates=drop leaves all copies out",
        "copies: 5 images lie more than once in a part (train/b/000.png = train/b/copy0.png, "
        "train/b/001.png = train/b/copy1.png, train/b/002.png = train/b/copy2.png, ...): they "
        "count as often; data.duplicates=drop leaves all but the first out",
    ]
    dropped = prepare(DataConfig(source=str(tree), duplicates="drop"), cache_dir=cache)
    assert [note.text.rpartition(": ")[2] for note in dropped.notes] == [
        "their training copies are left out (data.duplicates=drop)",
        "all copies are left out (data.duplicates=drop)",
        "all but the first are left out (data.duplicates=drop)",
    ]
    reasons = dict(dropped.errors)
    end = "(data.duplicates = drop)"
    assert reasons["train/a/y.png"] == f"a copy of val/a/000.png {end}"
    assert reasons["train/b/copy3.png"] == f"a copy of train/b/003.png {end}"
    assert reasons["train/a/000.png"] == (
        f"a copy of train/b/x.png, and the labels of the copies differ {end}"
    )


def test_copies_are_held_back_together(tmp_path: Path) -> None:
    tree = photo_folder(tmp_path / "set", {"a": 12, "b": 12})
    plain = prepare(DataConfig(source=str(tree)))
    for i in range(12):
        for copy in range(3):
            path = tree / "a" / f"{i:03}.png"
            (tree / "a" / f"{i:03}copy{copy}.png").write_bytes(path.read_bytes())
    for seed in range(4):
        dataset = prepare(DataConfig(source=str(tree), split_seed=seed))
        firsts = [{name[:5] for name in part.names} for part in (dataset.train, dataset.val)]
        assert not firsts[0] & firsts[1]
        assert np.bincount(dataset.val.labels).tolist() == [8, 2]
    together = prepare(DataConfig(source=str(tree)))
    # What has no copies is split as before.
    assert {name for name in together.val.names if name < "b" and "copy" not in name} == {
        name for name in plain.val.names if name < "b"
    }
    source = open_source(DataConfig(source=str(tree)))
    before = fingerprint(source.classes, source.parts)
    assert together.fingerprint != before, "the split of before was another one"
    assert plain.fingerprint != before


def test_data_without_copies_keep_split_and_fingerprint(tmp_path: Path) -> None:
    tree = photo_folder(tmp_path / "set", {"a": 12, "b": 12})
    source = open_source(DataConfig(source=str(tree)))
    dataset = prepare(DataConfig(source=str(tree)))
    assert dataset.fingerprint == fingerprint(source.classes, source.parts)
    # As commit 6a97591 splits these names.
    assert dataset.val.names == VAL_BEFORE


VAL_BEFORE = ("a/001.png", "a/011.png", "b/001.png", "b/002.png")


def test_damaged_files_are_no_copies(tmp_path: Path) -> None:
    tree = photo_folder(tmp_path / "set", {"a": 10, "b": 10})
    for name in ("a/000.png", "b/000.png"):
        (tree / name).write_bytes(b"")
    dataset = prepare(DataConfig(source=str(tree)))
    assert len(dataset.errors) == 2
    assert not dataset.notes


def test_nothing_but_copies_of_an_image(tmp_path: Path) -> None:
    tree = photo_folder(tmp_path / "set", {"a": 4, "b": 4})
    for path in tree.rglob("*.png"):
        path.write_bytes(encode(photo(16, 16), "PNG"))
    with pytest.raises(UserError, match="copies of an image count as one"):
        prepare(DataConfig(source=str(tree)))
    with pytest.raises(RunFailed, match="no train image is left: 8 files are left out"):
        prepare(DataConfig(source=str(tree), duplicates="drop"))


def test_more_images_than_are_read_before_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = CASES["across parts"]
    tree, cache = tree_of(case, tmp_path / "set"), tmp_path / "cache"
    monkeypatch.setattr(module, "CHECK_LIMIT", 5)
    noted = prepare(DataConfig(source=str(tree)), cache_dir=cache)
    assert [note.text for note in noted.notes] == [
        "19 images are more than the 5 that are read before training, so copies among them are not "
        "known: trickbag doctor names them, and with data.duplicates=drop all images are read first"
    ]
    dropped = prepare(DataConfig(source=str(tree), duplicates="drop"), cache_dir=cache)
    assert {file for file, _ in dropped.errors} == case.dropped
    assert dropped.checked


def test_labels_of_several_classes(tmp_path: Path) -> None:
    photo_folder(tmp_path, {"pictures": 8})
    for name in ("x", "y"):
        (tmp_path / "pictures" / f"{name}.png").write_bytes(
            (tmp_path / "pictures" / "000.png").read_bytes()
        )
    table = tmp_path / "pictures.csv"
    rows = [
        "000,cat dog",
        "x,dog cat",
        *(f"00{i},{'cat' if i % 2 else 'dog'}" for i in range(1, 8)),
    ]
    settings: dict[str, Any] = {"source": str(table), "multi_label": True}
    table.write_text("\n".join(["image,label", *rows]) + "\n")
    (text,) = copies_said(prepare(DataConfig(**settings)))
    assert "1 image lies more than once in a part" in text, "the same labels"
    table.write_text("\n".join(["image,label", *rows, "y,cat"]) + "\n")
    (text,) = copies_said(prepare(DataConfig(**settings)))
    assert "1 image lies with different labels (" in text
    dropped = prepare(DataConfig(**settings, duplicates="drop")).errors
    assert len(dropped) == 3


def test_images_in_memory() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (6, 8, 8), np.uint8)
    pixels[4] = pixels[1]
    train = ArrayPart.of(pixels[:4], np.array([0, 0, 1, 1]), "train")
    test = ArrayPart.of(pixels[4:], np.array([0, -1]), "test")
    parts = {"train": train, "test": test}
    digests = {
        name: [pixel_digest(part.read(i)) for i in range(len(part))] for name, part in parts.items()
    }
    (copies,) = copies_of(parts, digests)
    assert copies.files == ("train/1", "test/0")
    assert copies.across == ("parts",)
    unlabelled = ArrayPart.of(pixels[4:], np.array([-1, -1]), "test")
    assert copies_of(parts | {"test": unlabelled}, digests)[0].across == ("parts",)


def test_two_sources_with_the_same_names(tmp_path: Path) -> None:
    tree = photo_folder(tmp_path / "set", {"a": 10, "b": 10})
    photo_folder(tmp_path / "other", {"a": 3, "b": 3}, seed=1)
    (tmp_path / "other" / "b" / "001.png").write_bytes((tree / "b" / "001.png").read_bytes())
    settings: dict[str, Any] = {"source": str(tree), "val_source": str(tmp_path / "other")}
    (text,) = copies_said(prepare(DataConfig(**settings)))
    assert "(b/001.png (train) = b/001.png (val))" in text
    dropped = prepare(DataConfig(**settings, duplicates="drop"))
    assert dropped.errors == (
        DataError("b/001.png", "a copy of b/001.png (val) (data.duplicates = drop)"),
    )
    assert (len(dropped.train), len(dropped.val)) == (19, 6)


def test_a_run_on_images_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (24, 8, 8), np.uint8)
    pixels[20], pixels[21], pixels[23] = pixels[0], pixels[2], pixels[3]
    train = ArrayPart.of(pixels[:22], np.arange(22) % 2, "train")
    test = ArrayPart.of(pixels[22:], np.arange(2), "test")
    source = Source(spec="x", classes=("a", "b"), parts={"train": train, "test": test})
    monkeypatch.setattr(module, "open_annotated", lambda *_, **__: source)
    noted = prepare(DataConfig())
    assert [note.text.partition(" (")[0] for note in noted.notes] == [
        "copies: 1 image lies in more than one part",
        "copies: 1 image lies in more than one class",
        "copies: 1 image lies more than once in a part",
    ]
    dropped = prepare(DataConfig(duplicates="drop"))
    assert {file for file, _ in dropped.errors} == {
        "train/02",
        "train/03",
        "train/20",
        "train/21",
    }


def test_digests_tell_shapes_and_types_of_content() -> None:
    flat = np.zeros((4, 4, 3), np.uint8)
    assert pixel_digest(flat) != pixel_digest(flat.reshape(2, 8, 3))
    assert pixel_digest(flat[::2]) == pixel_digest(flat[:2])
    assert content_digest(b"a") == content_digest(memoryview(b"a"))
    assert len(content_digest(b"")) == 16


def test_the_digits_have_no_copies() -> None:
    dataset = prepare(DataConfig())
    assert not dataset.notes
    assert dataset.fingerprint == DIGITS


DIGITS = "1b092a9ffb732384b9446c17e398cced"


def test_order_of_errors(tmp_path: Path) -> None:
    case = CASES["within a class"]
    tree = tree_of(case, tmp_path / "set")
    (tree / "b" / "005.png").write_bytes(b"")
    errors = prepare(DataConfig(source=str(tree), duplicates="drop")).errors
    assert errors[0] == DataError("b/005.png", "empty file")
    assert [file for file, _ in errors[1:]] == ["a/x.png", "a/y.png", "b/z.png"]
