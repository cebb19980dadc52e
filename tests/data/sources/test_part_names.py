"""Names of parts, in folders and in tables."""

from __future__ import annotations

import pytest

from trickbag.data.sources.part_names import part_of


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
