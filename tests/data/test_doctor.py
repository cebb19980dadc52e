"""The data doctor: what it counts, and what it says of damaged files."""

from __future__ import annotations

import json
from pathlib import Path

from tests.builders.images import encode, photo, photo_folder
from trickbag.data.config import DataConfig
from trickbag.data.doctor import diagnose


def test_diagnosis(tmp_path: Path) -> None:
    tree = photo_folder(tmp_path / "set", {"train/a": 3, "train/b": 2, "val/a": 1})
    (tree / "train" / "a" / "000.png").write_bytes(b"")
    (tree / "train" / "b" / "000.png").write_bytes(encode(photo(100, 10), "JPEG"))
    diagnosis = diagnose(DataConfig(source=str(tree)), cache_dir=tmp_path / "cache").to_dict()
    assert json.loads(json.dumps(diagnosis)) == diagnosis
    assert diagnosis == {
        "source": str(tree),
        "classes": ["a", "b"],
        "parts": {
            "train": {"images": 4, "classes": {"a": 2, "b": 2}},
            "val": {"images": 1, "classes": {"a": 1, "b": 0}},
        },
        "labels_per_image": None,
        "formats": {"PNG": 4, "JPEG": 1},
        "width": {"min": 20, "median": 21, "max": 100},
        "height": {"min": 10, "median": 16, "max": 16},
        "left_out": [{"file": "train/a/000.png", "reason": "empty file"}],
        "passed_over": [],
        "duplicates": [],
        "near_duplicates": [],
        "groups": {"in_several_parts": []},
        "warnings": [],
    }


def test_diagnosis_counts_an_image_for_each_of_its_labels(tmp_path: Path) -> None:
    photo_folder(tmp_path, {"pictures": 5})
    (tmp_path / "pictures" / "004.png").write_bytes(b"")
    rows = ["000,cat dog", "001,dog", "002,dog bird cat", "003,", "004,cat"]
    table = tmp_path / "pictures.csv"
    table.write_text("\n".join(["image,label", *rows]) + "\n")
    cache = tmp_path / "cache"
    diagnosis = diagnose(DataConfig(source=str(table), multi_label=True), cache_dir=cache).to_dict()
    assert diagnosis["parts"] == {
        "train": {"images": 3, "classes": {"bird": 1, "cat": 2, "dog": 3}}
    }
    assert diagnosis["labels_per_image"] == {"1": 1, "2": 1, "3": 1}
    assert {file["file"]: file["reason"] for file in diagnosis["left_out"]} == {
        "pictures/004.png": "empty file",
    }
    assert diagnosis["warnings"] == [
        {"kind": "data", "text": f"{table}: {fact}"}
        for fact in (
            "labels are divided at blanks",
            "1 row has no label and is left out: an image needs at least one",
            "taken 4, passed over 1: 1 no label",
        )
    ]
    # Read as one class each, the labels look like several: a note says so, nothing is guessed.
    one_class = diagnose(DataConfig(source=str(table)), cache_dir=cache)
    assert one_class.labels_per_image is None
    assert one_class.counts["train"] == {"cat": 0, "cat dog": 1, "dog": 1, "dog bird cat": 1}
    assert [note.text for note in one_class.notes] == [
        f"{table}: 'cat dog' is read as one class; where it is several labels: "
        "--set data.multi_label=true",
        f"{table}: taken 4, passed over 1: 1 no label",
    ]


def test_names_of_classes_may_have_blanks(tmp_path: Path) -> None:
    photo_folder(tmp_path, {"pictures": 3})
    table = tmp_path / "pictures.csv"
    table.write_text("image,label\n000,golden retriever\n001,labrador retriever\n002,cat\n")
    assert not diagnose(DataConfig(source=str(table)), cache_dir=tmp_path / "cache").notes


def test_diagnosis_of_nothing_but_damage(tmp_path: Path) -> None:
    tree = photo_folder(tmp_path / "set", {"a": 1, "b": 1})
    for path in tree.rglob("*.png"):
        path.write_bytes(b"")
    diagnosis = diagnose(DataConfig(source=str(tree)), cache_dir=tmp_path / "cache")
    assert diagnosis.widths is None
    assert len(diagnosis.left_out) == 2


def test_diagnosis_of_images_in_memory() -> None:
    diagnosis = diagnose(DataConfig()).to_dict()
    assert diagnosis["formats"] == {"array": 1797}
    assert diagnosis["width"] == diagnosis["height"] == {"min": 8, "median": 8, "max": 8}
    assert diagnosis["parts"]["train"]["images"] == 1797
