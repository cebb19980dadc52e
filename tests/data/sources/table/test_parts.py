"""Parts of a table: a column of parts, another source for validation, groups."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.builders.tables import EXPECTED, ROWS, facts, labelled, opened, refused, touch
from trickbag.data.config import DataConfig
from trickbag.data.sources import open_source

if TYPE_CHECKING:
    from pathlib import Path

EIGHT = [f"{i:03}.png" for i in range(8)]


@pytest.fixture(scope="module")
def eight(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return touch(tmp_path_factory.mktemp("eight"), EIGHT) / "train.csv"


def split_table(*values: str, name: str = "split") -> str:
    labels = ["cat", "dog"] * 4
    rows = (f"{EIGHT[i]},{labels[i]},{value}" for i, value in enumerate(values))
    return "\n".join([f"image,label,{name}", *rows])


@pytest.mark.parametrize(
    ("values", "name", "parts"),
    [
        (["train"] * 4 + ["val"] * 2 + ["test"] * 2, "split", {"train": 4, "val": 2, "test": 2}),
        (["Training"] * 4 + ["VALID"] * 2, "Split", {"train": 4, "val": 2}),
        (["train"] * 4 + ["dev"] * 2 + ["testing"] * 2, "set", {"train": 4, "val": 2, "test": 2}),
        (["train"] * 6 + ["test"] * 2, "partition", {"train": 6, "test": 2}),
        (["train"] * 8, "subset", {"train": 8}),
        (["Training"] * 4 + ["PublicTest"] * 4, "Usage", {"train": 4, "test": 4}),
        (["seg_train"] * 4 + ["val set"] * 4, "split", {"train": 4, "val": 4}),
        (["False"] * 4 + ["True"] * 4, "is_valid", {"train": 4, "val": 4}),
        (["0"] * 6 + ["1"] * 2, "is_test", {"train": 6, "test": 2}),
        (["yes"] * 4 + ["no"] * 2, "Is Train", {"train": 4, "val": 2}),
        (["0"] * 4, "is_val", {"train": 4}),
    ],
)
def test_a_column_of_parts(
    eight: Path, values: list[str], name: str, parts: dict[str, int]
) -> None:
    source = opened(eight, split_table(*values, name=name))
    assert {part: len(images) for part, images in source.parts.items()} == parts
    assert source.classes == ("cat", "dog")
    assert not facts(source)
    assert source.parts["train"].names == tuple(EIGHT[: parts["train"]])


@pytest.mark.parametrize(
    ("values", "says"),
    [
        (["train", "train", "holdout", "x"], "split = 'holdout' in line 4, and 1 other values"),
        (["train", "train", "", "val"], "split = '' in line 4"),
        (["val"] * 4, "has no train part"),
    ],
)
def test_unknown_parts_are_refused(eight: Path, values: list[str], says: str) -> None:
    message = refused(eight, split_table(*values))
    assert says in message
    if "split =" in message:
        assert "val: val, valid, validation, dev, eval" in message


def test_parts_without_names_of_columns(eight: Path) -> None:
    rows = split_table("train", "Train", "val", "val").split("\n")[1:]
    source = opened(eight, "\n".join(rows))
    assert {part: len(images) for part, images in source.parts.items()} == {"train": 2, "val": 2}


def test_a_column_called_set_may_be_another(eight: Path) -> None:
    source = opened(eight, split_table("A", "B", "A", "B", name="set"))
    assert list(source.parts) == ["train"]
    assert "columns not used: set" in facts(source)


def test_a_test_part_without_labels_is_not_used(eight: Path) -> None:
    text = split_table(*["train"] * 4, *["test"] * 2) + "\n006.png,,test\n"
    with_labels = opened(eight, text)
    assert len(with_labels.parts["test"]) == 2
    assert ("no label", "its row has no label", ("006.png",), False) in with_labels.passed_over
    text = split_table(*["train"] * 4) + "\n004.png,,test\n005.png,,test\n"
    without = opened(eight, text)
    assert list(without.parts) == ["train"]
    assert not without.left_out
    assert [(item.kind, item.files, item.ignored) for item in without.passed_over] == [
        ("no row names it", ("006.png", "007.png"), True),
        ("without labels", ("004.png", "005.png"), True),
    ]
    assert "the 2 rows of the test part have no labels and are not used" in facts(without)


def test_an_image_in_two_parts_is_left_out(eight: Path) -> None:
    source = opened(
        eight, split_table(*["train"] * 6) + "\n000,cat,val\n006,cat,val\n007,dog,val\n"
    )
    assert source.left_out == (("000.png", "has rows in more than one part: train, val"),)
    message = refused(eight, split_table(*["train"] * 4, "val").replace("004.png", "none.png"))
    assert "no image of the part val can be used" in message


def test_the_part_tells_images_of_one_name_apart(tmp_path: Path) -> None:
    touch(tmp_path, ["train/0.png", "train/1.png", "test/0.png", "test/1.png"])
    text = "id,label,split\n0,cat,train\n1,dog,train\n0,dog,test\n1,cat,test\n"
    source = opened(tmp_path / "labels.csv", text)
    assert labelled(source) == {"train/0.png": "cat", "train/1.png": "dog"}
    assert labelled(source, "test") == {"test/0.png": "dog", "test/1.png": "cat"}


def test_validation_data_from_a_table(eight: Path) -> None:
    (eight.parent / "val.csv").write_text("image,label\n004.png,dog\n005.png,dog\n")
    source = opened(eight, "image,label\n" + ROWS, val_source=str(eight.parent / "val.csv"))
    assert list(source.parts) == ["train", "val"]
    assert labelled(source) == EXPECTED
    assert labelled(source, "val") == {"004.png": "dog", "005.png": "dog"}
    # Each table passes over what the other names.
    assert [item.files for item in source.passed_over] == [("006.png", "007.png")]


def test_validation_data_from_a_folder(eight: Path, tmp_path: Path) -> None:
    tree = touch(tmp_path, ["cat/x.png", "dog/y.png"])
    settings = {"val_source": str(tree), "group_column": "patient", "image_column": "image"}
    text = split_table("a", "b", "c", "d", name="patient")
    source = opened(eight, text, **settings)
    assert labelled(source, "val") == {"cat/x.png": "cat", "dog/y.png": "dog"}
    # And a table for a folder; its own val part is not used, which is said.
    touch(
        tmp_path / "all",
        [f"{part}/{name}/{part}.png" for part in ("train", "val") for name in ("cat", "dog")],
    )
    eight.write_text("image,label\n" + ROWS)
    folder = open_source(DataConfig(source=str(tmp_path / "all"), val_source=str(eight)))
    assert labelled(folder, "val") == EXPECTED
    assert "its own val part is not used" in facts(folder)


def test_validation_data_of_a_table_with_parts(eight: Path, tmp_path: Path) -> None:
    other = touch(tmp_path, EIGHT) / "other.csv"
    other.write_text(split_table("train", "train", "val", "val"))
    source = opened(eight, "image,label\n" + ROWS, val_source=str(other))
    assert list(labelled(source, "val")) == ["002.png", "003.png"]
    assert "the part val is used, and not train" in facts(source)


def test_validation_data_that_do_not_fit(eight: Path) -> None:
    other = eight.parent / "val.csv"
    other.write_text("image,label\n004.png,bird\n005.png,cat\n")
    message = refused(eight, "image,label\n" + ROWS, val_source=str(other))
    assert "has classes that" in message
    assert "bird" in message
    message = refused(eight, None, val_source=str(eight.parent / "no.csv"))
    assert message.startswith("data.val_source: ")
    assert "does not exist" in message


def test_groups(eight: Path) -> None:
    text = split_table("p1", "p2", "p1", "", name="patient")
    source = opened(eight, text, group_column="patient")
    assert source.parts["train"].groups == ("p1", "p2", "p1", "")
    assert not opened(eight, text).parts["train"].groups
    again = opened(eight, text + "\n000.png,cat,p9\n", group_column="Patient")
    assert again.left_out == (("000.png", "has different groups: 'p1', 'p9'"),)


@pytest.mark.parametrize("name", ["image_column", "label_column", "group_column"])
def test_columns_are_for_tables(tmp_path: Path, name: str) -> None:
    message = refused(touch(tmp_path, ["a/x.png", "b/y.png"]), **{name: "x"})
    assert f"data.{name} is for a .csv file" in message


@pytest.mark.parametrize("values", [["True", "False", "", "True"], ["0.3", "0.4", "0", "1"]])
def test_a_column_of_other_values_is_no_flag_of_a_part(eight: Path, values: list[str]) -> None:
    source = opened(eight, split_table(*values, name="is_valid"))
    assert set(source.parts) == {"train"}
    assert "columns not used: is_valid" in facts(source)
