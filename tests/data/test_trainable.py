"""What training demands of a source, and evaluation does not."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.builders.tables import touch
from trickbag.data.config import DataConfig
from trickbag.data.sources import open_source
from trickbag.errors import UserError

FOLDERS: dict[str, tuple[list[str], str, dict[str, list[str]]]] = {
    "one class": (
        ["cat/0.png", "cat/1.png"],
        "one class only, 'cat'; at least two are needed",
        {"train": ["cat", "cat"]},
    ),
    "one class in a part": (
        ["test/cat/0.png"],
        "has no train part, only test",
        {"test": ["cat"]},
    ),
    "no images to train with": (
        ["test/cat/0.png", "test/dog/0.png", "val/cat/1.png"],
        "has no train part, only val, test",
        {"val": ["cat"], "test": ["cat", "dog"]},
    ),
    "a class to test with alone": (
        ["train/cat/0.png", "train/dog/0.png", "test/cat/1.png", "test/ox/0.png", "test/dog/1.png"],
        "test has classes that train has not: ox",
        {"train": ["cat", "dog"], "test": ["cat", "dog", "ox"]},
    ),
    "an empty class": (
        ["cat/0.png", "dog/notes.txt"],
        "no image in dog",
        {"train": ["cat"]},
    ),
    "an empty part": (
        ["train/cat/0.png", "train/dog/0.png", "val/cat/.keep", "val/dog/.keep"],
        "has no image in val",
        {"train": ["cat", "dog"]},
    ),
}


@pytest.mark.parametrize(("files", "refusal", "labels"), FOLDERS.values(), ids=FOLDERS)
def test_folders(
    tmp_path: Path, files: list[str], refusal: str, labels: dict[str, list[str]]
) -> None:
    data = DataConfig(source=str(touch(tmp_path, files)))
    with pytest.raises(UserError, match=refusal):
        open_source(data)
    source = open_source(data, for_training=False)
    assert {
        name: [source.classes[label] for label in part.labels]
        for name, part in source.parts.items()
    } == labels
    assert any("no image in" in note.text for note in source.notes) == ("no image in" in refusal)


def test_a_folder_without_any_image_is_no_source(tmp_path: Path) -> None:
    data = DataConfig(source=str(touch(tmp_path, ["cat/notes.txt", "dog/notes.txt"])))
    with pytest.raises(UserError, match="has no image in its class folders"):
        open_source(data, for_training=False)


TABLES = {
    "one class": ("image,label\n000.png,cat\n", "one class only, 'cat'", {"train": ["cat"]}),
    "no images to train with": (
        "image,label,split\n000.png,cat,test\n001.png,dog,test\n",
        "has no train part, only test",
        {"test": ["cat", "dog"]},
    ),
    "a class to validate with alone": (
        "image,label,split\n000.png,cat,train\n001.png,dog,train\n002.png,ox,val\n",
        "val has classes that train has not: ox",
        {"train": ["cat", "dog"], "val": ["ox"]},
    ),
}


@pytest.mark.parametrize(("text", "refusal", "labels"), TABLES.values(), ids=TABLES)
def test_tables(tmp_path: Path, text: str, refusal: str, labels: dict[str, list[str]]) -> None:
    (touch(tmp_path) / "t.csv").write_text(text)
    data = DataConfig(source=str(tmp_path / "t.csv"))
    with pytest.raises(UserError, match=refusal):
        open_source(data)
    source = open_source(data, for_training=False)
    assert {
        name: [source.classes[label] for label in part.labels]
        for name, part in source.parts.items()
    } == labels
