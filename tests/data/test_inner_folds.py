"""Folds of the training part, one of which validates in the place of the validation part."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.builders.images import photo_folder
from trickbag.data.config import DataConfig
from trickbag.data.dataset import prepare
from trickbag.data.split import deal_folds
from trickbag.errors import UserError

LABELS = st.lists(st.integers(0, 5), min_size=1, max_size=120)


def names(n: int) -> list[str]:
    return [f"class/{i:05}.jpg" for i in range(n)]


@given(labels=LABELS, folds=st.integers(2, 10), seed=st.integers(0, 2**31))
@settings(deadline=None)
def test_folds_are_of_equal_size_in_each_class_and_in_all(
    labels: list[int], folds: int, seed: int
) -> None:
    classes = np.array(labels)
    fold_of = deal_folds(names(len(labels)), classes, folds, seed)
    for members in (fold_of, *(fold_of[classes == label] for label in set(labels))):
        sizes = np.bincount(members, minlength=folds)
        assert len(sizes) == folds
        assert sizes.max() - sizes.min() <= 1


@given(labels=LABELS, folds=st.integers(2, 10), data=st.data())
@settings(deadline=None)
def test_a_group_is_in_one_fold(labels: list[int], folds: int, data: st.DataObject) -> None:
    n = len(labels)
    groups = np.array(data.draw(st.lists(st.integers(0, 9), min_size=n, max_size=n)))
    fold_of = deal_folds(names(n), np.array(labels), folds, 0, groups)
    for group in set(groups):
        assert len(set(fold_of[groups == group])) == 1
    alone = deal_folds(names(n), np.array(labels), folds, 0, np.arange(n))
    np.testing.assert_array_equal(alone, deal_folds(names(n), np.array(labels), folds, 0))


def test_the_seed_decides() -> None:
    labels = np.zeros(300, np.int64)
    first, again, other = (deal_folds(names(300), labels, 3, seed) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert 60 < (first == other).sum() < 140  # 100 by chance


@pytest.mark.parametrize("parts", [True, False])
def test_each_training_image_validates_once_and_the_other_parts_never(
    tmp_path: Path, parts: bool
) -> None:
    folder = tmp_path / "photos"
    if parts:
        for part in ("train", "val", "test"):
            photo_folder(folder / part, {"a": 6, "b": 7})
    else:
        photo_folder(folder, {"a": 10, "b": 11})
    dataset = prepare(DataConfig(source=str(folder)))
    validated: list[str] = []
    for fold in range(3):
        data = DataConfig(source=str(folder), inner_folds=3, inner_fold=fold)
        of_fold = prepare(data)
        assert of_fold.test is None
        assert sorted([*of_fold.train.names, *of_fold.val.names]) == sorted(dataset.train.names)
        assert len(of_fold.val_shapes) == len(of_fold.val)
        assert of_fold.fingerprint == dataset.fingerprint
        assert any(f"fold {fold} of 3" in note.reason for note in of_fold.notes)
        validated += of_fold.val.names
    assert sorted(validated) == sorted(dataset.train.names)


@pytest.mark.parametrize(
    ("settings_", "says"),
    [
        ({"inner_fold": 1}, "without data.inner_folds there are none"),
        ({"inner_folds": 3, "inner_fold": 3}, "of 3 folds the last is 2"),
        ({"inner_folds": 1}, r"data\.inner_folds = 1"),
    ],
)
def test_a_fold_that_is_not_there_is_refused(settings_: dict[str, int], says: str) -> None:
    with pytest.raises(UserError, match=says):
        DataConfig(**settings_)  # type: ignore[arg-type]


def test_fewer_images_than_folds_are_refused(tmp_path: Path) -> None:
    photo_folder(tmp_path / "train", {"a": 2, "b": 2})
    photo_folder(tmp_path / "val", {"a": 1, "b": 1})
    with pytest.raises(UserError, match=r"inner_folds = 5: .* has 4 images to train with"):
        prepare(DataConfig(source=str(tmp_path), inner_folds=5))
