"""Names of parts, in folders and in tables."""

from __future__ import annotations

import pytest

from trickbag.data.sources.part_names import part_name, part_of


@pytest.mark.parametrize(
    ("name", "part"),
    [
        *[("train", "train"), ("Training", "train"), ("seg_train", "train")],
        *[("VALID", "val"), ("validation", "val"), ("dev", "val"), ("Eval", "val")],
        *[("test", "test"), ("testing set", "test"), ("images-test", "test"), ("test1", "test")],
        *[("trains", None), ("train_val", None), ("bus", None), ("", None), ("contest", None)],
    ],
)
def test_part_of(name: str, part: str | None) -> None:
    assert part_of(name) == part


@pytest.mark.parametrize(
    ("name", "part", "rank"),
    [
        *[("train", "train", 0), ("TESTING", "test", 0), ("Valid", "val", 0)],
        *[("train_set", "train", 1), ("TestImages", "test", 1), ("val2017", "val", 1)],
        *[("trainset", "train", 1), ("trainval", "train", 1), ("train-val", "train", 1)],
        *[("seg_train", "train", 2), ("bullet train", "train", 2), ("SegTest", "test", 2)],
    ],
)
def test_how_surely_a_folder_is_a_part(name: str, part: str, rank: int) -> None:
    known = part_name(name)
    assert known is not None
    assert (known.part, known.rank) == (part, rank)


@pytest.mark.parametrize("name", ["trains", "train_test", "contest", "bus", "evaluation", "é"])
def test_other_names_of_folders(name: str) -> None:
    assert part_name(name) is None
