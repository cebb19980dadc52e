"""The setting `data.parts`: what it takes, and what it refuses in one line."""

from __future__ import annotations

import pytest

from trickbag.data.config import DataConfig
from trickbag.data.parts_setting import given_folders
from trickbag.errors import UserError


@pytest.mark.parametrize(
    ("items", "folders"),
    [
        (["train:a", "val:b/c"], [("train", "a"), ("val", "b/c")]),
        (["train:."], [("train", "")]),
        (["train:./a/", "train:b\\c"], [("train", "a"), ("train", "b/c")]),
        (["train:*/x", "test:y/*/z"], [("train", "*/x"), ("test", "y/*/z")]),
        (["train:C: a"], [("train", "C: a")]),
    ],
)
def test_folders_of_parts(items: list[str], folders: list[tuple[str, str]]) -> None:
    assert DataConfig(parts=tuple(items)).parts == tuple(items)
    assert list(given_folders(items)) == folders


@pytest.mark.parametrize(
    ("items", "says"),
    [
        ([], "names no folder to train with"),
        (["val:a"], "names no folder to train with"),
        (["a"], "'a' is not of the form PART:FOLDER"),
        (["train:"], "is not of the form"),
        (["training:a"], "is not of the form"),
        (["train:../a"], "is not of the form"),
        (["train:/a"], "is not of the form"),
        (["train:a*"], "stands for the name of each class"),
        (["train:*/*"], "stands for the name of each class"),
        (["train:a", "val:./a"], "names the folder 'a' twice: train and val"),
        (["train:a", "train:a"], "twice"),
    ],
)
def test_wrong_folders_of_parts(items: list[str], says: str) -> None:
    with pytest.raises(UserError) as caught:
        DataConfig(parts=tuple(items))
    assert says in str(caught.value)
    assert "data.parts" in str(caught.value)
    assert "\n" not in str(caught.value)
