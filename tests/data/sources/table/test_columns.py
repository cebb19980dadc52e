"""Which columns of a table are the image and the label."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.builders.tables import EXPECTED, ROWS, facts, labelled, opened, refused, touch
from trickbag.data.sources.table.vocabulary import role_of

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="module")
def four(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return touch(tmp_path_factory.mktemp("four")) / "train.csv"


def with_columns(names: str, *values: str) -> str:
    """Make a table of four rows; `{i}`, `{image}`, `{label}` are the row's."""
    rows = [
        ",".join(values).format(i=i, image=image, stem=image[:3], label=label)
        for i, (image, label) in enumerate(EXPECTED.items())
    ]
    return "\n".join([names, *rows])


@pytest.mark.parametrize(
    "name",
    [
        *("image", "IMAGE", "img", "file", "filename", "file_name", "File Name", "path"),
        *("filepath", "file-path", "image_path", "Image Path", "id", "ID", "image_id", "img_id"),
        *("Image Index", "id_code", "imageName", "photo"),
    ],
)
def test_usual_names_of_images(four: Path, name: str) -> None:
    source = opened(four, f"{name},label\n{ROWS}")
    assert labelled(source) == EXPECTED
    assert source.columns == (name, "label")
    assert not source.notes


@pytest.mark.parametrize(
    "name",
    [
        *("label", "Labels", "class", "Class Name", "category", "Target", "breed", "species"),
        *("diagnosis", "class_id", "finding_labels", "dogBreed"),
    ],
)
def test_usual_names_of_labels(four: Path, name: str) -> None:
    source = opened(four, f"image,{name}\n{ROWS}")
    assert labelled(source) == EXPECTED
    assert source.columns == ("image", name)
    assert not source.notes


CASES: dict[str, tuple[str, dict[str, Any], str]] = {
    # What the columns are, settings, and what a note says.
    "the last column left": (
        with_columns("image,kind", "{image}", "{label}"),
        {},
        "'kind' is the label",
    ),
    "beside a fold": (
        with_columns("image,kind,fold", "{image}", "{label}", "1"),
        {},
        "the column 'fold' of folds is not used",
    ),
    "beside a patient": (
        with_columns("image,kind,patient_id", "{image}", "{label}", "p{i}"),
        {},
        "--set data.group_column=patient_id",
    ),
    "beside sizes": (with_columns("image,kind,width", "{image}", "{label}", "9"), {}, "'kind' is"),
    "row numbers and images": (
        with_columns("id,image,label", "{i}", "{image}", "{label}"),
        {},
        "the column 'image' names the images: its values are files",
    ),
    "hashes and images": (
        with_columns("id,filename,label", "x{i}", "{image}", "{label}"),
        {},
        "the column 'filename' names the images",
    ),
    "ids and other names": (
        with_columns("image_id,name,label", "{stem}", "{label} {i}", "{label}"),
        {},
        "columns not used: name",
    ),
    "the same images twice": (
        with_columns("image_id,filename,label", "{stem}", "{image}", "{label}"),
        {},
        "columns not used: filename",
    ),
    "an unusual name": (
        with_columns("scan,label", "{stem}", "{label}"),
        {},
        "the column 'scan' names the images",
    ),
    "two unusual names": (
        with_columns("scan,kind", "{stem}", "{label}"),
        {},
        "'kind' is the label",
    ),
    "label beside class": (
        with_columns("image,label,class", "{image}", "{label}", "x"),
        {},
        "columns not used: class",
    ),
    "set columns": (
        with_columns("a,b,image,label", "{stem}", "{label}", "x", "y"),
        {"image_column": "a", "label_column": "B"},
        "columns not used: image, label",
    ),
    "set where no row has names": (
        with_columns("000.png,x,cat", "{image}", "x", "{label}"),
        {"label_column": "column 3"},
        "the first row has no names",
    ),
    "no names, ids": (ROWS.replace(".png", ""), {}, "the first row has no names"),
    "no names, the first image missing": (
        "999.png,cat\n" + ROWS,
        {},
        "the first row has no names",
    ),
    "no names, label first": (
        "\n".join(",".join(reversed(row.split(","))) for row in ROWS.split()),
        {},
        "column 2 and column 1 are image and label",
    ),
    "one-hot": (
        "image,cat,dog\n000.png,1,0\n001.png,0,1\n002.png,1.0,0.0\n003.png,0,1\n",
        {},
        "a column for each class, of 0 and 1: cat, dog",
    ),
    "one-hot with blanks": (
        "image,cat,dog\n000.png,1,\n001.png,,1\n002.png,1,\n003.png,,1\n",
        {},
        "a column for each class, of 0 and 1: cat, dog",
    ),
    "one-hot with numbers as names": (
        "scan,7,8\n000,1,0\n001,0,1\n002,1,0\n003,0,1\n",
        {},
        "a column for each class, of 0 and 1: 7, 8",
    ),
    "one-hot with decimal commas": (
        "image;cat;dog\n000.png;1,0;0,0\n001.png;0,0;1,0\n002.png;1,0;0,0\n003.png;0,0;1,0\n",
        {},
        "a column for each class, of 0 and 1: cat, dog",
    ),
    "a name that is the label": (
        with_columns("image,name", "{image}", "{label}"),
        {},
        "'name' is the label",
    ),
    "a name that is the image": (
        with_columns("name,label", "{stem}", "{label}"),
        {},
        "the column 'name' names the images",
    ),
    "one-hot of words": (
        "image,cat,dog\n000.png,True,False\n001.png,FALSE,TRUE\n002.png,true,false\n"
        "003.png,false,true\n",
        {},
        "a column for each class, of 0 and 1: cat, dog",
    ),
    "one-hot beside an age": (
        "image,age,cat,dog\n000.png,30,1,0\n001.png,40,0,1\n002.png,1,1,0\n003.png,0,0,1\n",
        {},
        "columns not used: age",
    ),
    "one-hot by name": (
        "image,target_cat,target_dog\n000.png,1,0\n001.png,0,1\n002.png,1,0\n003.png,0,1\n",
        {},
        "target_cat, target_dog",
    ),
    "one-hot by a setting": (
        "image,x,cat,dog\n000.png,1,1,0\n001.png,1,0,1\n002.png,0,1,0\n003.png,0,0,1\n",
        {"label_column": ("cat", "dog")},
        "columns not used: x",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_the_columns_are_clear(four: Path, case: str) -> None:
    text, settings, note = CASES[case]
    source = opened(four, text, **settings)
    other = {"target_cat": "cat", "target_dog": "dog", "7": "cat", "8": "dog"}
    labels = {name: other.get(label, label) for name, label in labelled(source).items()}
    assert labels == EXPECTED
    assert note in facts(source)


REFUSED: dict[str, tuple[str, dict[str, Any], tuple[str, ...]]] = {
    "no label": ("image\n000.png\n", {}, ("has the columns image", "which is the label")),
    "two labels": (
        with_columns("image,class,species", "{image}", "{label}", "x"),
        {},
        ("class, species", "can all be the label"),
    ),
    "two columns left": (
        with_columns("image,kind,sort", "{image}", "{label}", "x"),
        {},
        ("image, kind, sort", "which is the label"),
    ),
    "two images": (
        "path,file,label\n000.png,001.png,cat\n001.png,002.png,dog\n",
        {},
        ("path, file", "can all name images"),
    ),
    "no image": (with_columns("scan,label", "x{i}", "{label}"), {}, ("which names images",)),
    "no such column": (
        "image,label\n" + ROWS,
        {"image_column": "scan"},
        ("'scan'", "image, label"),
    ),
    "no such label": ("image,label\n" + ROWS, {"label_column": "kind"}, ("'kind'", "image, label")),
    "no such group": ("image,label\n" + ROWS, {"group_column": "x"}, ("'x'", "data.group_column")),
    "one for both": (
        "image,label\n" + ROWS,
        {"image_column": "image", "label_column": "Image"},
        ("are both 'image'",),
    ),
    "a name twice": (
        with_columns("image,kind,kind", "{image}", "{label}", "x"),
        {"label_column": "kind"},
        ("has 2 columns 'kind'",),
    ),
    "columns of words as one-hot": (
        with_columns("image,a,b", "{image}", "{label}", "1"),
        {"label_column": ("a", "b")},
        ("not all hold 0 and 1",),
    ),
    "one-hot with two ones": (
        "image,cat,dog\n000.png,1,0\n001.png,1,1\n",
        {},
        ("line 3 has more than one class: cat, dog", "data.multi_label=true"),
    ),
    "two columns of parts": (
        with_columns("image,label,split,splits", "{image}", "{label}", "train", "val"),
        {},
        ("split, splits", "keep one"),
    ),
}
_BOTH = "--set data.image_column=NAME and --set data.label_column=NAME"


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_not_clear_is_refused(four: Path, case: str) -> None:
    text, settings, parts = REFUSED[case]
    message = refused(four, text, **settings)
    assert all(part in message for part in parts), message
    if "clear" in message or "can all" in message:
        assert _BOTH in message


def test_names_of_columns() -> None:
    assert role_of("Patient ID") == ("group", 0)
    assert role_of("split") == ("split", 0)
    assert role_of("set") == ("split", 1)
    assert role_of("Unnamed: 0") == ("other", 0)
    assert role_of("__index_level_0__") == ("other", 0)
    assert role_of("foo") == ("", 0)
