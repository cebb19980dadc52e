"""Data sets of the library `datasets`: no test needs a network."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.builders.images import encode, photo, photo_folder
from trickbag.data.config import DataConfig
from trickbag.data.source import Source
from trickbag.data.sources import open_source
from trickbag.data.sources.huggingface.source import open_huggingface
from trickbag.errors import UserError

# The library takes a second to import, and leaves a file open.
pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning"),
]

IMAGES = [encode(photo(8, 6, seed), "PNG") for seed in range(4)]


def opened(place: object, **options: Any) -> Source:
    return open_huggingface(str(place), f"hf:{place}", **options)


def refused(place: object, **options: Any) -> str:
    with pytest.raises(UserError) as caught:
        opened(place, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def parquet(root: Path, columns: dict[str, Any], split: str = "train") -> Path:
    """Write a file of Parquet as another program does, which does not say what is an image."""
    root.mkdir(exist_ok=True)
    pq.write_table(pa.table(columns), root / f"{split}.parquet")
    return root


def stored(images: list[bytes | None]) -> list[dict[str, Any] | None]:
    return [None if data is None else {"bytes": data, "path": "x.png"} for data in images]


def labels(source: Source, part: str = "train") -> list[str]:
    return [source.classes[label] for label in source.parts[part].labels]


def passed(source: Source) -> dict[str, tuple[str, ...]]:
    return {record.kind: record.files for record in source.passed_over}


def test_without_the_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)
    assert refused("mnist") == (
        "data source 'hf:mnist' needs the library datasets; pip install 'trickbag[hf]'"
    )


@pytest.mark.parametrize(
    ("place", "reason"),
    [
        ("", "names nothing"),
        (" :x", "names nothing"),
        ("/no/such/folder", "/no/such/folder is no folder"),
        ("./no", "./no is no folder"),
        ("~nobody/x", "~nobody/x is no folder"),
        ("a\0b", "hf:a"),
        ("imagefolder", "imagefolder is a format, no data set"),
        ("parquet:x", "parquet is a format, no data set"),
        ("a b c", "cannot be loaded: Repo id must"),
    ],
)
def test_what_is_no_data_set(place: str, reason: str) -> None:
    assert reason in refused(place)


def test_a_hub_that_cannot_be_reached(monkeypatch: pytest.MonkeyPatch) -> None:
    import datasets

    def refuse(*_: object, **__: object) -> None:
        raise ConnectionError("Couldn't reach 'a/b' on the Hub")

    monkeypatch.setattr(datasets, "load_dataset_builder", refuse)
    message = refused("a/b")
    assert "is not in the cache, and the Hub cannot be reached: Couldn't reach 'a/b'" in message
    assert "name its folder: hf:FOLDER" in message


def test_folders_without_images(tmp_path: Path) -> None:
    assert "doesn't contain any data files" in refused(tmp_path)
    (tmp_path / "x.csv").write_text("a,b\n1,2\n")
    assert "has no column of images; its columns are a, b" in refused(tmp_path)
    (tmp_path / "x.csv").unlink()
    (tmp_path / "x.parquet").write_bytes(b"PAR1 this is none PAR1")
    assert f"'hf:{tmp_path}' cannot be loaded" in refused(tmp_path)


def test_files_that_the_library_does_not_take_are_accounted_for(tmp_path: Path) -> None:
    photo_folder(tmp_path, {"a": 2, "b": 1})
    (tmp_path / "a" / "notes.doc").write_bytes(b"x")
    (tmp_path / "b" / "raw.dng").write_bytes(b"x")
    (tmp_path / "b" / "bare").write_bytes(b"x")
    (tmp_path / ".hidden").write_bytes(b"x")
    (tmp_path / "README.md").write_text("A card.\n")
    source = opened(tmp_path)
    assert source.parts["train"].names == ("a/000.png", "a/001.png", "b/000.png")
    assert passed(source) == {
        ".dng": ("b/raw.dng",),
        ".doc": ("a/notes.doc",),
        "hidden": (".hidden",),
        "no extension": ("b/bare",),
    }


@pytest.mark.parametrize(
    ("train", "held", "part"),
    [
        ("Training", "Testing", "test"),
        ("TRAIN", "VAL", "val"),
        ("trainset", "testset", "test"),
        ("pets/Train [1]", "pets/Valid [1]", "val"),
        ("seg_train", "seg_test", "test"),
    ],
)
def test_names_of_parts_that_the_library_does_not_know(
    tmp_path: Path, train: str, held: str, part: str
) -> None:
    counts = {f"{train}/a": 2, f"{train}/b": 2, f"{held}/a": 1, f"{held}/b": 1}
    source = opened(photo_folder(tmp_path / "folder", counts))
    assert {name: len(images) for name, images in source.parts.items()} == {"train": 4, part: 2}
    assert all(f"/{train}/" in f"/{name}" for name in source.parts["train"].names)
    for name, rows in ((train, list(IMAGES)), (held, IMAGES[:2])):
        labels_of = ["a", "b", "a", "b"][: len(rows)]
        columns = {"image": stored(rows), "label": labels_of}
        parquet(tmp_path / "tables", columns, name.replace("/", "_"))
    source = opened(tmp_path / "tables")
    assert {name: len(images) for name, images in source.parts.items()} == {"train": 4, part: 2}


def test_classes_that_are_called_as_parts(tmp_path: Path) -> None:
    counts = {"bus": 2, "car": 2, "training": 2}
    assert opened(photo_folder(tmp_path, counts)).classes == ("bus", "car", "training")


def test_folders_at_more_than_one_depth_are_no_classes(tmp_path: Path) -> None:
    photo_folder(tmp_path, {"cat/inner": 2, "dog": 2})
    assert "has no column of labels; its columns are image" in refused(tmp_path)


def test_labels_of_a_metadata_file(tmp_path: Path) -> None:
    photo_folder(tmp_path, {".": 3})
    rows = "file_name,breed\n000.png,pug\n001.png,corgi\n002.png,pug\n"
    (tmp_path / "metadata.csv").write_text(rows)
    source = opened(tmp_path)
    assert labels(source) == ["pug", "corgi", "pug"]
    assert source.passed_over == ()


@pytest.mark.parametrize(
    ("values", "classes", "expected"),
    [
        ([3, 11, None, 3], ("11", "3"), ["3", "11", "3"]),
        (["b", "a", "", " b "], ("a", "b"), ["b", "a", "b"]),
        ([1.0, 2.0, float("nan"), 1.5], ("1", "1.5", "2"), ["1", "2", "1.5"]),
        ([True, False, None, True], ("False", "True"), ["True", "False", "True"]),
    ],
)
def test_labels_and_rows_without(
    tmp_path: Path, values: list[Any], classes: tuple[str, ...], expected: list[str]
) -> None:
    source = opened(parquet(tmp_path, {"img": stored(list(IMAGES)), "target": values}))
    assert source.classes == classes
    assert labels(source) == expected
    assert passed(source) == {"no label": ("train/2",)}
    np.testing.assert_array_equal(source.parts["train"].read(2), photo(8, 6, 3))


def test_bytes_without_a_path_and_rows_without_an_image(tmp_path: Path) -> None:
    images = [IMAGES[0], None, IMAGES[2]]
    source = opened(parquet(tmp_path, {"image": images, "label": ["a", "b", "b"]}))
    assert source.parts["train"].names == ("train/0", "train/2")
    assert source.parts["train"].sizes.tolist() == [len(IMAGES[0]), len(IMAGES[2])]
    assert passed(source) == {"no image": ("train/1",)}


def test_columns_that_are_not_clear(tmp_path: Path) -> None:
    columns = {
        "left": stored(list(IMAGES)),
        "right": stored(IMAGES[::-1]),
        "label": [1, 2, 1, 2],
        "class": list("abab"),
        "boxes": [[1], [2], [3], []],
    }
    root = parquet(tmp_path, columns)
    message = refused(root)
    assert "more than one column of images: left, right" in message
    assert "--set data.image_column=NAME" in message
    # `label` says so most plainly.
    assert labels(opened(root, image_column="right")) == list("1212")
    source = opened(root, image_column="right", label_column="class")
    assert labels(source) == list("abab")
    np.testing.assert_array_equal(source.parts["train"].read(0), photo(8, 6, 3))
    chosen = {"image_column": "left", "label_column": "label"}
    for setting, value, reason in (
        ("image_column", "middle", "no column 'middle'; its columns are left, right, label"),
        ("image_column", "label", "column 'label' holds no images"),
        ("label_column", "boxes", "column 'boxes' holds no label: list is no label"),
        ("label_column", "none", "no column 'none'"),
    ):
        assert reason in refused(root, **{**chosen, setting: value})


@pytest.mark.parametrize(
    ("columns", "expected", "fact"),
    [
        ({"fine_label": [1, 2], "coarse_label": [0, 0]}, "fine_label, coarse_label", None),
        ({"species": ["a", "b"], "label": ["x", "y"]}, ["x", "y"], "columns not used: species"),
        ({"kind": ["a", "b"]}, ["a", "b"], "the column 'kind' is the label"),
        ({"kind": ["a", "b"], "form": ["x", "y"]}, "no column of labels", None),
        ({"label": ["a", "NaN"]}, ["a"], "'NaN' (1)"),
        ({"label": ["a", "b"], "patient": [1, 2]}, ["a", "b"], "--set data.group_column=patient"),
    ],
)
def test_columns_of_labels(
    tmp_path: Path, columns: dict[str, Any], expected: list[str] | str, fact: str | None
) -> None:
    root = parquet(tmp_path, {"image": stored(IMAGES[:2]), **columns})
    if isinstance(expected, str):
        assert expected in refused(root)
        return
    source = opened(root)
    assert labels(source) == expected
    assert [fact in note.text for note in source.notes] == ([] if fact is None else [True])


def test_columns_of_groups_and_of_parts(tmp_path: Path) -> None:
    columns = {
        "image": stored(list(IMAGES)),
        "label": list("abab"),
        "Patient ID": ["p", "q", None, "p"],
        "split": ["train", "valid", "train", "train"],
    }
    source = opened(parquet(tmp_path, columns), group_column="patient_id")
    assert {name: part.groups for name, part in source.parts.items()} == {
        "train": ("p", "", "p"),
        "val": ("q",),
    }
    assert [note.text.partition(": ")[2] for note in source.notes] == [
        "the column 'split' divides it into parts",
    ]
    assert "no column 'doctor'" in refused(tmp_path, group_column="doctor")
    # Where images are only evaluated, columns of the run may be missing.
    assert opened(tmp_path, group_column="doctor", strict=False).parts["train"].groups == ()


def test_splits_are_parts(tmp_path: Path) -> None:
    import datasets

    def table(*names: int) -> Any:
        columns = {"image": stored([IMAGES[i] for i in names]), "label": list(names)}
        return datasets.Dataset.from_dict(columns).cast_column("image", datasets.Image())

    def saved(**splits: Any) -> Path:
        root = tmp_path / "-".join(splits)
        datasets.DatasetDict(splits).save_to_disk(str(root))
        return root

    source = opened(saved(train=table(0, 1), validation=table(2), unsupervised=table(3)))
    assert {name: len(part) for name, part in source.parts.items()} == {"train": 2, "val": 1}
    assert [note.text.partition(": ")[2] for note in source.notes] == [
        "splits not used: unsupervised"
    ]
    assert list(opened(saved(full=table(0, 1))).parts) == ["train"]
    assert "more than one split for val: dev, validation" in refused(
        saved(dev=table(2), train=table(0, 1), validation=table(3))
    )
    assert "has the splits a, b; one must be named train" in refused(saved(a=table(0), b=table(1)))
    # Hubs hide the labels of test parts as -1.
    features = datasets.Features(
        {"image": datasets.Image(), "label": datasets.ClassLabel(names=["x", "y"])}
    )
    hidden = datasets.Dataset.from_dict(
        {"image": stored(IMAGES[:2]), "label": [-1, -1]}, features=features
    )
    known = datasets.Dataset.from_dict(
        {"image": stored(IMAGES[2:]), "label": [1, 0]}, features=features
    )
    source = opened(saved(train=known, test=hidden))
    assert source.classes == ("x", "y")
    assert labels(source) == ["y", "x"]
    assert list(source.parts) == ["train"]
    assert "the 2 images of its test part have no label: it is not used" in source.notes[0].text
    (record,) = source.passed_over
    assert record[0] == "no label"
    assert record.ignored
    # A data set that was saved alone has one split.
    known.save_to_disk(str(tmp_path / "single"))
    assert labels(opened(tmp_path / "single")) == ["y", "x"]


def test_subsets(tmp_path: Path) -> None:
    for name in ("small", "large"):
        parquet(tmp_path / name, {"image": stored(IMAGES[:2]), "label": [f"{name}1", f"{name}2"]})
    (tmp_path / "README.md").write_text(
        "---\nconfigs:\n"
        "- config_name: small\n  data_files: small/train.parquet\n"
        "- config_name: large\n  data_files: large/train.parquet\n---\n"
    )
    assert opened(f"{tmp_path}:small").classes == ("small1", "small2")
    assert opened(f"{tmp_path}:large").classes == ("large1", "large2")
    assert "small" in refused(tmp_path)
    assert "none" in refused(f"{tmp_path}:none")


def test_tables_that_are_written_again_are_read_again(tmp_path: Path) -> None:
    root = parquet(tmp_path, {"image": stored(IMAGES[:2]), "label": ["a", "b"]})
    assert opened(root).classes == ("a", "b")
    parquet(tmp_path, {"image": stored(IMAGES[:3]), "label": ["a", "b", "c"]})
    assert opened(root).classes == ("a", "b", "c")


@pytest.mark.parametrize("outside", ["read", "refuse"])
def test_tables_that_name_files_elsewhere(tmp_path: Path, outside: Any) -> None:
    photo_folder(tmp_path / "other", {".": 1})
    photo_folder(tmp_path / "set" / "images", {".": 2})
    (tmp_path / "set" / "images" / "link.png").symlink_to(tmp_path / "other" / "000.png")
    paths = [tmp_path / "set" / "images" / "000.png", tmp_path / "other" / "000.png"]
    paths += [tmp_path / "set" / "images" / name for name in ("001.png", "link.png")]
    rows = [{"bytes": None, "path": str(path)} for path in paths]
    root = parquet(tmp_path / "set", {"image": rows, "label": list("abab")})
    source = opened(root, outside=outside)
    names = source.parts["train"].names
    if outside == "read":
        assert names == ("images/000.png", "../other/000.png", "images/001.png", "images/link.png")
        assert "1 image lies outside of" in source.notes[0].text
    else:
        assert names == ("images/000.png", "images/001.png")
        assert [error.file for error in source.left_out] == ["../other/000.png", "images/link.png"]
        assert source.notes == ()


def test_nothing_is_printed(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    opened(parquet(tmp_path, {"image": stored(IMAGES[:2]), "label": ["a", "b"]}))
    assert capfd.readouterr() == ("", "")


def test_the_command_lines_form(tmp_path: Path) -> None:
    root = parquet(tmp_path, {"image": stored(IMAGES[:2]), "label": ["a", "b"]})
    assert open_source(DataConfig(source=f"hf:{root}")).classes == ("a", "b")
    with pytest.raises(UserError, match=r"data\.image_root is for a \.csv file"):
        open_source(DataConfig(source=f"hf:{root}", image_root=str(tmp_path)))
