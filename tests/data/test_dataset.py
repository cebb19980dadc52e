"""Data sets of runs: the split, damaged files, the fingerprint."""

from __future__ import annotations

import csv
import os
import pickle
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.builders.images import encode, photo, photo_folder
from trickbag.data import dataset as module
from trickbag.data.config import DataConfig
from trickbag.data.dataset import Dataset, prepare, write_errors
from trickbag.data.source import ArrayPart, DataError, FilePart
from trickbag.errors import Note, RunFailed, UserError


def prepared(path: Path | str, **settings: Any) -> Dataset:
    return prepare(DataConfig(source=str(path), **settings))


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    return photo_folder(tmp_path / "set", {"a": 20, "b": 10, "c": 2, "d": 1})


def test_digits() -> None:
    dataset = prepare(DataConfig())
    assert dataset.classes == tuple("0123456789")
    assert (len(dataset.train) + len(dataset.val), dataset.test) == (1797, None)
    assert dataset.natural_size == 16
    assert not dataset.mirror
    assert dataset.checked
    assert not dataset.errors
    counts = np.bincount(dataset.val.labels)
    np.testing.assert_allclose(counts / np.bincount(dataset.train.labels), 0.25, atol=0.01)
    assert isinstance(dataset.train, ArrayPart)
    assert isinstance(dataset.val, ArrayPart)
    assert dataset.train.images is dataset.val.images  # one array
    assert dataset.train.names[:2] == ("digits/0000", "digits/0001")


def test_the_digits_pixels() -> None:
    from sklearn.datasets import load_digits

    raw = load_digits()
    part = prepare(DataConfig()).val
    for i in (0, 100, 358):
        place = int(part.names[i].removeprefix("digits/"))
        image = part.read(i)
        assert image.shape == (8, 8, 3)
        np.testing.assert_allclose(image[:, :, 1], raw.images[place] * 255 / 16, atol=0.5)
        assert part.labels[i] == raw.target[place]


def test_a_part_is_held_back(tree: Path) -> None:
    dataset = prepared(tree)
    assert np.bincount(dataset.val.labels, minlength=4).tolist() == [4, 2, 1, 0]
    assert np.bincount(dataset.train.labels, minlength=4).tolist() == [16, 8, 1, 1]
    assert not set(dataset.train.names) & set(dataset.val.names)
    assert dataset.notes == (Note("data", None, "no image to validate with in: d"),)


def test_given_parts_are_kept(tmp_path: Path) -> None:
    photo_folder(tmp_path, {"train/a": 3, "train/b": 3, "val/a": 1, "val/b": 1, "test/a": 2})
    dataset = prepared(tmp_path)
    assert (len(dataset.train), len(dataset.val), len(dataset.test or ())) == (6, 2, 2)


def test_damage_moves_no_other_image(tree: Path) -> None:
    before = prepared(tree)
    (tree / "a" / "003.png").write_bytes(b"")
    (tree / "b" / "005.png").write_bytes((tree / "b" / "005.png").read_bytes()[:-30])
    after = prepared(tree)
    lost = {"a/003.png", "b/005.png"}
    assert set(after.train.names) == set(before.train.names) - lost
    assert set(after.val.names) == set(before.val.names) - lost
    assert after.errors == (("a/003.png", "empty file"), ("b/005.png", "truncated PNG"))


def test_the_split_follows_split_seed_alone(tree: Path) -> None:
    assert prepared(tree).val.names == prepared(tree, image_size=32, workers=2).val.names
    assert prepared(tree).val.names != prepared(tree, split_seed=1).val.names


def test_too_many_bad_files(tree: Path) -> None:
    for i in range(4):
        (tree / "a" / f"00{i}.png").write_bytes(b"text")
    with pytest.raises(RunFailed) as caught:
        prepared(tree)
    message = str(caught.value)
    assert caught.value.exit_code == 1
    assert "4 of 33 images (12.1 %) are bad" in message
    assert "data.max_bad_fraction = 0.1" in message
    assert "a/000.png (not an image" in message
    assert "..." in message
    assert len(prepared(tree, max_bad_fraction=0.13).errors) == 4


def test_exactly_the_limit_is_allowed(tmp_path: Path) -> None:
    photo_folder(tmp_path, {"a": 5, "b": 5})
    (tmp_path / "a" / "000.png").write_bytes(b"")
    assert len(prepared(tmp_path, max_bad_fraction=0.1).errors) == 1
    with pytest.raises(RunFailed):
        prepared(tmp_path, max_bad_fraction=0.0999)


def test_rows_of_a_csv_without_an_image_count_as_bad(tmp_path: Path) -> None:
    photo_folder(tmp_path, {".": 8})
    rows = [f"{i:03}.png,{'ab'[i % 2]}" for i in range(10)]
    path = tmp_path / "x.csv"
    path.write_text("\n".join(["image,label", *rows]))
    with pytest.raises(RunFailed, match="2 of 10 images"):
        prepared(path)
    dataset = prepared(path, max_bad_fraction=0.2)
    assert [error.file for error in dataset.errors] == ["008.png", "009.png"]
    assert dataset.columns == ("image", "label")


def test_all_bad(tmp_path: Path) -> None:
    photo_folder(tmp_path, {"a": 2, "b": 2})
    for path in tmp_path.rglob("*.png"):
        path.write_bytes(b"")
    with pytest.raises(RunFailed, match="no train image is left"):
        prepared(tmp_path, max_bad_fraction=1.0)


def test_nothing_to_validate_with(tmp_path: Path) -> None:
    photo_folder(tmp_path, {"a": 1, "b": 1})
    with pytest.raises(UserError, match="no class has a second image"):
        prepared(tmp_path)


def test_a_class_without_a_good_image_is_noted(tree: Path) -> None:
    (tree / "d" / "000.png").write_bytes(b"")
    assert Note("data", None, "no image to train with in: d") in prepared(tree).notes


def test_the_fingerprint_follows_the_listing_not_the_folder(tree: Path, tmp_path: Path) -> None:
    first = prepared(tree).fingerprint
    copy = tmp_path / "elsewhere" / "copy"
    shutil.copytree(tree, copy)
    assert prepared(copy).fingerprint == first
    assert prepared(copy, split_seed=3, val_fraction=0.4).fingerprint == first
    (copy / "a" / "000.png").rename(copy / "a" / "renamed.png")
    renamed = prepared(copy).fingerprint
    (copy / "a" / "renamed.png").rename(copy / "b" / "renamed.png")
    relabelled = prepared(copy).fingerprint
    (copy / "b" / "renamed.png").write_bytes(encode(photo(60, 50), "PNG"))
    resized = prepared(copy).fingerprint
    assert len({first, renamed, relabelled, resized}) == 4


def test_the_fingerprint_knows_where_names_end() -> None:
    def part(*names: str) -> FilePart:
        return FilePart.listed(Path("/x"), [(name, 1, 0) for name in names])

    prints = [
        module.fingerprint(["a", "b"], {"train": part("x", "y")}),
        module.fingerprint(["a", "b"], {"train": part("xy", "")}),
        module.fingerprint(["ab", ""], {"train": part("x", "y")}),
        module.fingerprint(["a", "b"], {"train": part("x"), "val": part("y")}),
        module.fingerprint(["a", "b"], {"train": part("x", "y"), "val": part()}),
    ]
    assert len(set(prints)) == 5


def test_progress_counts_files(tree: Path, tmp_path: Path) -> None:
    calls: list[tuple[int, int]] = []
    prepare(
        DataConfig(source=str(tree)),
        progress=lambda *call: calls.append(call),
        cache_dir=tmp_path / "cache",
    )
    assert calls[-1] == (33, 33)
    assert all(total == 33 for _, total in calls)
    assert [done for done, _ in calls] == sorted(done for done, _ in calls)


def test_a_very_large_source_is_not_checked(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CHECK_LIMIT", 32)
    (tree / "a" / "000.png").write_bytes(b"")
    dataset = prepared(tree)
    assert not dataset.checked
    assert not dataset.errors
    assert "a/000.png" in dataset.train.names + dataset.val.names


def test_parts_travel_to_workers(tree: Path) -> None:
    part = pickle.loads(pickle.dumps(prepared(tree).train))
    assert isinstance(part, FilePart)
    np.testing.assert_array_equal(part.read(0), prepared(tree).train.read(0))


def test_files_for_prediction(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tree)
    part = FilePart.of([Path("a/000.png"), tree / "b" / "001.png", Path("none.png")])
    assert part.names == ("a/000.png", (tree / "b" / "001.png").as_posix(), "none.png")
    assert part.labels.tolist() == [-1, -1, -1]
    assert part.sizes[2] == -1
    monkeypatch.chdir(tree.parent)
    assert part.read(0).shape == (16, 20, 3)
    assert part.read(1).shape == (16, 21, 3)


def test_write_errors(tmp_path: Path) -> None:
    path = tmp_path / "data_errors.csv"
    errors = [
        DataError('odd, "name"\n.jpg', "empty file"),
        DataError(os.fsdecode(b"\xff.jpg"), "truncated PNG"),
    ]
    write_errors(errors, path)
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.reader(file))
    assert rows == [
        ["file", "reason"],
        ['odd, "name"\n.jpg', "empty file"],
        ["\\udcff.jpg", "truncated PNG"],
    ]
    assert [entry.name for entry in tmp_path.iterdir()] == ["data_errors.csv"]
