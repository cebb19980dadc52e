"""Folds of the training and validation images together, one of which validates."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.builders.boxes import voc_folder
from tests.builders.images import photo_folder
from tests.builders.sources import drawn_items, write_csv
from trickbag.data.annotations.boxes.part import BoxPart
from trickbag.data.config import DataConfig
from trickbag.data.dataset import prepare
from trickbag.data.split import deal_group_folds
from trickbag.errors import UserError

if TYPE_CHECKING:
    from pathlib import Path


@given(
    rows=st.lists(st.tuples(st.integers(0, 3), st.integers(0, 12)), min_size=2, max_size=80),
    folds=st.integers(2, 6),
    seed=st.integers(0, 2**31),
)
@settings(deadline=None, max_examples=40)
def test_groups_are_whole_and_no_fold_is_empty(
    rows: list[tuple[int, int]], folds: int, seed: int
) -> None:
    rows += [(0, 13), (1, 14)]  # two groups at least
    labels, groups = np.array(rows, np.int64).T
    folds = min(folds, len(set(groups)))
    names = [f"{i:03}.jpg" for i in range(len(rows))]
    fold_of = deal_group_folds(names, labels, folds, seed, groups)
    assert set(fold_of) == set(range(folds))
    for group in set(groups):
        assert len(set(fold_of[groups == group])) == 1
    np.testing.assert_array_equal(fold_of, deal_group_folds(names, labels, folds, seed, groups))


def test_classes_are_shared_out_though_groups_are_whole() -> None:
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(60), rng.integers(2, 12, 60))
    labels = (groups % 3 == 0).astype(np.int64)  # a patient is ill or not
    fold_of = deal_group_folds([f"{i}" for i in range(len(groups))], labels, 5, 0, groups)
    shares = [labels[fold_of == fold].mean() for fold in range(5)]
    sizes = np.bincount(fold_of) / len(groups)
    assert np.ptp(shares) < 0.1
    assert np.ptp(sizes) < 0.05


def test_groups_of_a_table_are_in_one_fold(tmp_path: Path) -> None:
    items = [item._replace(group=f"patient{i % 5}") for i, item in enumerate(drawn_items(count=8))]
    table = DataConfig(**write_csv(tmp_path, items), group_column="patient")
    for fold in range(3):
        dataset = prepare(DataConfig(**{**vars(table), "folds": 3, "fold": fold}))
        assert not set(dataset.train.groups) & set(dataset.val.groups)
        assert any("stay together" in note.reason for note in dataset.notes)


def test_boxes_keep_their_images(tmp_path: Path) -> None:
    objects = {
        f"{i}": [("cat", (1.0 + i, 2.0, 20.0, 12.0 + j)) for j in range(i % 3)] for i in range(9)
    }
    objects["1"] = [("dog", (3.0, 4.0, 9.0, 9.0))]
    names = list(objects)
    root = voc_folder(tmp_path / "voc", {"train": names[:6], "val": names[6:]}, objects)
    data = DataConfig(source=str(root))
    plain = prepare(data, annotations="boxes")
    boxes = {}
    for part in (plain.train, plain.val):
        assert isinstance(part, BoxPart)
        boxes |= {name: part.boxes(i) for i, name in enumerate(part.names)}
    validated: list[str] = []
    for fold in range(2):
        dataset = prepare(DataConfig(source=str(root), folds=2, fold=fold), annotations="boxes")
        for part in (dataset.train, dataset.val):
            assert isinstance(part, BoxPart)
            for i, name in enumerate(part.names):
                np.testing.assert_array_equal(part.boxes(i), boxes[name])
        validated += dataset.val.names
    assert sorted(validated) == sorted(boxes)


def test_inner_folds_divide_what_an_outer_fold_leaves(tmp_path: Path) -> None:
    photo_folder(tmp_path / "train", {"a": 9, "b": 9})
    photo_folder(tmp_path / "val", {"a": 3, "b": 3})
    outer = prepare(DataConfig(source=str(tmp_path), folds=3, fold=1))
    inner = prepare(DataConfig(source=str(tmp_path), folds=3, fold=1, inner_folds=2, inner_fold=1))
    assert sorted([*inner.train.names, *inner.val.names]) == sorted(outer.train.names)


def test_the_split_seed_decides(tmp_path: Path) -> None:
    photo_folder(tmp_path, {"a": 12, "b": 12})
    first, again, other = (
        prepare(DataConfig(source=str(tmp_path), folds=3, split_seed=seed)).val.names
        for seed in (0, 0, 1)
    )
    assert first == again != other


@pytest.mark.parametrize(
    ("settings_", "says"),
    [
        ({"fold": 1}, "without data.folds there are none"),
        ({"folds": 3, "fold": 3}, "of 3 folds the last is 2"),
        ({"folds": 1}, r"data\.folds = 1"),
    ],
)
def test_a_fold_that_is_not_there_is_refused(settings_: dict[str, int], says: str) -> None:
    with pytest.raises(UserError, match=says):
        DataConfig(**settings_)  # type: ignore[arg-type]


def test_fewer_images_than_folds_are_refused(tmp_path: Path) -> None:
    photo_folder(tmp_path / "train", {"a": 2, "b": 2})
    photo_folder(tmp_path / "val", {"a": 1, "b": 1})
    # The two of `val` are copies of two of `train`.
    with pytest.raises(UserError, match=r"data\.folds = 7: .* has 4 groups and images without"):
        prepare(DataConfig(source=str(tmp_path), folds=7))


def test_images_of_two_places_with_one_name_are_refused(tmp_path: Path) -> None:
    for place in ("here", "there"):
        photo_folder(tmp_path / place / "train", {"a": 2, "b": 2})
    data = DataConfig(source=str(tmp_path / "here"), val_source=str(tmp_path / "there"), folds=2)
    with pytest.raises(UserError, match=r"cannot be divided together \(data\.folds\): the name"):
        prepare(data)
