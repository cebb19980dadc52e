"""Names of classes: one spelling each, over several sources, and what becomes of alike ones."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from tests.builders.images import encode, photo
from trickbag.data.class_names import (
    class_names,
    folded,
    is_missing,
    matched,
    missing_labels_fact,
    with_one_spelling,
)
from trickbag.data.config import DataConfig
from trickbag.data.source import ArrayPart, Source
from trickbag.data.sources import open_source
from trickbag.errors import UserError

COMPOSED = "caf\u00e9"
DECOMPOSED = "cafe\u0301"
PIXEL = encode(photo(8, 8), "PNG")

Build = Callable[[Path, Sequence[str]], DataConfig]


def folder(root: Path, labels: Sequence[str]) -> DataConfig:
    for i, label in enumerate(labels):
        (root / label).mkdir(exist_ok=True)
        (root / label / f"{i}.png").write_bytes(PIXEL)
    return DataConfig(source=str(root))


def folder_with_parts(root: Path, labels: Sequence[str]) -> DataConfig:
    """Put every third image into `val`."""
    for i, label in enumerate(labels):
        part = root / ("val" if i % 3 == 2 else "train") / label
        part.mkdir(parents=True, exist_ok=True)
        (part / f"{i}.png").write_bytes(PIXEL)
    return DataConfig(source=str(root))


def table(root: Path, labels: Sequence[str]) -> DataConfig:
    for i in range(len(labels)):
        (root / f"{i}.png").write_bytes(PIXEL)
    rows = "".join(f"{i}.png,{label}\n" for i, label in enumerate(labels))
    (root / "train.csv").write_text(f"image,label\n{rows}", encoding="utf-8")
    return DataConfig(source=str(root / "train.csv"))


BUILDS: dict[str, Build] = {
    "folder": folder,
    "folder with parts": folder_with_parts,
    "table": table,
}
every_source = pytest.mark.parametrize("build", BUILDS.values(), ids=BUILDS)


def labels_of(source: Source) -> list[str]:
    """Return the class of each image, in the order of the images' numbers."""
    labels = {
        int(name.rpartition("/")[2].partition(".")[0]): source.classes[label]
        for part in source.parts.values()
        for name, label in zip(part.names, part.labels, strict=True)
    }
    return [labels[i] for i in sorted(labels)]


def note_about(source: Source, word: str) -> str:
    (text,) = (note.text for note in source.notes if word in note.text)
    return text


@every_source
def test_both_unicode_forms_are_one_class(build: Build, tmp_path: Path) -> None:
    labels = [COMPOSED, "tea", COMPOSED, "tea", DECOMPOSED, DECOMPOSED]
    source = open_source(build(tmp_path, labels))
    assert source.classes == (COMPOSED, "tea")
    assert labels_of(source) == [label.replace(DECOMPOSED, COMPOSED) for label in labels]
    if build is table:
        assert f"{COMPOSED!r} (2 images and 2 images)" in note_about(source, "Unicode form")


@every_source
def test_the_composed_form_is_the_name(build: Build, tmp_path: Path) -> None:
    # Decomposed, it comes before `cafz`.
    source = open_source(build(tmp_path, ["cafe\u0301", "cafz", "cafz", "cafe\u0301"]))
    assert source.classes == ("cafz", COMPOSED)
    assert labels_of(source) == [COMPOSED, "cafz", "cafz", COMPOSED]
    assert not source.notes


ALIKE = {
    "case": ("Cat", "cat"),
    "all capitals": ("cat", "CAT"),
    "blanks": ("hot  dog", "hot dog"),
    "another blank": ("hot\u00a0dog", "hot dog"),
    "underscore": ("hot_dog", "Hot Dog"),
    "full width": ("\uff43at", "cat"),
    "decimals": ("0.0", "0"),
    "leading zeros": ("007", "7"),
    "sharp s": ("Gro\u00df", "GROSS"),
}


@every_source
@pytest.mark.parametrize(("first", "second"), ALIKE.values(), ids=ALIKE)
def test_names_that_are_alike_are_noted_and_merged_if_asked(
    build: Build, first: str, second: str, tmp_path: Path
) -> None:
    labels = [first, "x", "x", second, second, second]
    data = build(tmp_path, labels)
    source = open_source(data)
    assert labels_of(source) == labels
    note = note_about(source, "merge_labels")
    counts = {first: f"{first!r} (1 image)", second: f"{second!r} (3 images)"}
    assert " and ".join(counts[name] for name in sorted(counts)) in note
    assert "--set data.merge_labels=true merges them" in note
    merged = open_source(dataclasses.replace(data, merge_labels=True))
    assert labels_of(merged) == [label.replace(first, second) for label in labels]
    assert f"merges {counts[first]} into {second!r} (3)" in note_about(merged, "merge_labels")


@every_source
@pytest.mark.parametrize(
    ("first", "second"),
    [("cat", "cats"), ("1", "10"), ("1", "-1"), ("a-b", "a b"), ("1.2.3", "1.2.30"), ("1", "one")],
)
def test_names_that_are_not_alike(build: Build, first: str, second: str, tmp_path: Path) -> None:
    data = dataclasses.replace(build(tmp_path, [first, second] * 3), merge_labels=True)
    assert open_source(data).classes == tuple(sorted((first, second)))
    assert not open_source(data).notes


@every_source
def test_a_single_class_after_merging_is_refused(build: Build, tmp_path: Path) -> None:
    data = dataclasses.replace(build(tmp_path, ["Cat", "cat", "cat"] * 2), merge_labels=True)
    with pytest.raises(UserError, match="one class only, 'cat'; at least two"):
        open_source(data)
    assert open_source(data, for_training=False).classes == ("cat",)


def test_folders_named_as_missing_values_are_classes(tmp_path: Path) -> None:
    assert open_source(folder(tmp_path, ["NaN", "None", "null"])).classes == ("NaN", "None", "null")


def test_parts_that_spell_a_class_differently(tmp_path: Path) -> None:
    for part, names in {"train": ("Cat", DECOMPOSED), "val": ("cat", COMPOSED)}.items():
        for name in names:
            folder_of_class = tmp_path / part / name
            folder_of_class.mkdir(parents=True)
            (folder_of_class / "0.png").write_bytes(PIXEL)
    data = DataConfig(source=str(tmp_path))
    with pytest.raises(UserError, match="val has classes that train has not: cat"):
        open_source(data)
    merged = open_source(dataclasses.replace(data, merge_labels=True))
    assert merged.classes == ("Cat", COMPOSED)
    assert [part.labels.tolist() for part in merged.parts.values()] == [[0, 1], [1, 0]]


def test_several_labels_are_joined() -> None:
    labels = np.array([[1, 0, 0], [0, 1, 1], [1, 1, 0]])
    part = ArrayPart.of(np.zeros((3, 2, 2), np.uint8), labels, "train")
    source = Source(spec="x", classes=("Cat", "cat", "dog"), parts={"train": part})
    merged = with_one_spelling(source, merge=True)
    assert merged.classes == ("Cat", "dog")
    assert merged.parts["train"].labels.tolist() == [[1, 0], [1, 1], [1, 0]]


def test_many_groups_are_not_all_named() -> None:
    counts = {spelling: 1 for i in range(9) for spelling in (f"name {i}", f"NAME {i}")}
    (fact,) = class_names(counts, merge=False).apart
    assert "'NAME 4' (1 image) and 'name 4' (1 image); and 4 more" in fact


@pytest.mark.parametrize("name", ["", " ", "\u200b", "1e99999", "9" * 5000, "\ud800", "\u0130"])
def test_any_text_can_be_folded(name: str) -> None:
    assert folded(name) == folded(name)


def test_missing_labels() -> None:
    assert [is_missing(label) for label in ("", "NaN", "NA", "None", "none", "0", "cat")] == [
        *(True, True, True, True),
        *(False, False, False),
    ]
    assert is_missing("", na_labels="class")
    assert not is_missing("NA", na_labels="class")
    assert missing_labels_fact({"": 3}) is None
    fact = missing_labels_fact({"": 3, "NaN": 2, "NA": 1})
    assert fact is not None
    assert "'NA' (1), 'NaN' (2)" in fact
    assert "--set data.na_labels=class" in fact


def test_names_of_a_network_are_matched() -> None:
    classes = (COMPOSED, "Cat", "dog", "Dog")
    names = [DECOMPOSED, "cat", "dog", "DOG", "bird"]
    assert matched(names, classes, fold=False) == {DECOMPOSED: COMPOSED, "dog": "dog"}
    folding = matched(names, classes, fold=True)
    # DOG can be two classes.
    assert folding == {DECOMPOSED: COMPOSED, "cat": "Cat", "dog": "dog"}
