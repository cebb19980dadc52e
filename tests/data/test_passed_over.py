"""What is passed over: kinds and reasons by names and first bytes, and how they are counted."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.builders.images import encode, photo
from tests.builders.trees import write_tree
from trickbag.data.config import DataConfig
from trickbag.data.dataset import prepare, read_errors, write_errors
from trickbag.data.doctor import diagnose
from trickbag.data.passed_over import accounting, ignored, is_image, reason_of
from trickbag.data.source import DataError, PassedOver
from trickbag.data.sources import open_source
from trickbag.evaluate.inputs import find_inputs

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        *[(".git", "hidden"), (".DS_Store", "hidden"), (".ipynb_checkpoints", "hidden")],
        *[("._1.jpg", "hidden"), ("__MACOSX", "metadata"), ("Desktop.ini", "metadata")],
        *[("Thumbs.db", "thumbnail"), ("THUMBS.DB", "thumbnail"), ("@eaDir", "thumbnail")],
        *[(".thumbnails", "thumbnail"), (".picasaoriginals", "thumbnail")],
        *[("$RECYCLE.BIN", "deleted"), ("Previews.lrdata", "thumbnail")],
        *[("thumb", None), ("a.jpg", None), ("MACOSX", None), ("Originals", None)],
    ],
)
def test_names_that_nobody_means(name: str, kind: str | None) -> None:
    reason = ignored(name)
    assert (reason and reason.kind) == kind
    assert reason is None or reason.ignored


@pytest.mark.parametrize(
    ("name", "kind", "is_ignored"),
    [
        *[("a.TXT", ".txt", True), ("README", "no extension", True), ("x.xml", ".xml", True)],
        *[("a", "no extension", False), ("a.2019", "no extension", False)],
        *[("cat no. 5", "no extension", False), ("a.", "no extension", False)],
        *[("a.jpg_large", ".jpg_large", False), ("a.npy", ".npy", False)],
        *[("a.jpg.zip", ".zip", False), ("a.xyz", ".xyz", False)],
    ],
)
def test_kinds_of_other_files(name: str, kind: str, is_ignored: bool) -> None:
    reason = reason_of(name)
    assert (reason.kind, reason.ignored) == (kind, is_ignored)


@pytest.mark.parametrize("name", ["a", "a.jpg_large", "a.JPEG!d", "a.2019", "a.png~"])
@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_first_bytes_decide_where_the_extension_does_not(
    tmp_path: Path, name: str, kind: str
) -> None:
    path = tmp_path / name
    path.write_bytes(encode(photo(8, 8), kind))
    assert is_image(str(path), name)
    path.write_bytes(b"text")
    assert not is_image(str(path), name)


@pytest.mark.parametrize("name", ["a.dat", "a.txt", "README"])
def test_other_extensions_are_no_images(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(encode(photo(8, 8), "PNG"))
    assert not is_image(str(tmp_path / name), name)


def test_accounting_names_the_most_frequent_kinds() -> None:
    files = tuple("abcd")
    records = [PassedOver(".xyz", "", files), PassedOver("no extension", "", files[:3])]
    assert accounting(1200, records) == "taken 1,200, passed over 7: 4 .xyz, 3 without extension"
    many = [PassedOver(f".{i}", "", ("a",)) for i in range(10)]
    assert accounting(0, many).endswith("1 .7 and 2 more kinds")
    assert accounting(2, []) == "taken 2, passed over 0"


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two classes of images beside much else."""
    root = tmp_path_factory.mktemp("mixed")
    for seed, name in enumerate(
        ("a/1.png", "a/2.png", "b/1.png", "b/2.png", "a/3", "a/4.jpg_large")
    ):
        write_tree(root, name, encode(photo(8, 8, seed), "PNG"))
    write_tree(
        root,
        "a/{5,6.jpg_large,7.xyz,8.xyz} b/x/9.npy a/@eaDir/{1.png,2.png}/SMALL.jpg "
        "b/.hidden/1.png Thumbs.db __MACOSX/a/._1.png readme.md b/labels.csv 0.png",
    )
    return root


PASSED_OVER = {
    ".xyz": (2, False),
    "no extension": (1, False),
    ".jpg_large": (1, False),
    ".npy": (1, False),
    "thumbnail": (3, True),
    "hidden": (1, True),
    "metadata": (1, True),
    ".md": (1, True),
    ".csv": (1, True),
}


def test_all_that_lies_in_a_tree_is_taken_or_passed_over(mixed: Path) -> None:
    source = open_source(DataConfig(source=str(mixed)))
    records = {record.kind: (len(record.files), record.ignored) for record in source.passed_over}
    assert records == {**PASSED_OVER, "outside of classes": (1, False)}
    taken = [name for part in source.parts.values() for name in part.names]
    passed = [name for record in source.passed_over for name in record.files]
    files = sorted(str(p.relative_to(mixed)) for p in mixed.rglob("*") if p.is_file())
    assert sorted(taken + passed) == files
    assert source.notes[-1].text == (
        f"{mixed}: taken 6, passed over 13: 2 .xyz, 1 .jpg_large, 1 .npy, 1 without extension, "
        "1 outside of classes, 3 thumbnail, 1 .csv, 1 .md and 2 more kinds"
    )


def test_the_doctor_counts_them(mixed: Path, tmp_path: Path) -> None:
    diagnosis = diagnose(DataConfig(source=str(mixed)), cache_dir=tmp_path).to_dict()
    counts = {entry["kind"]: entry["count"] for entry in diagnosis["passed_over"]}
    assert counts == {**{kind: count for kind, (count, _) in PASSED_OVER.items()}} | {
        "outside of classes": 1
    }
    assert all(entry["reason"] for entry in diagnosis["passed_over"])
    texts = [note["text"] for note in diagnosis["warnings"] if note["kind"] == "data"]
    assert any("taken 6, passed over 13" in text for text in texts)


def test_files_that_may_be_meant_are_rows_of_data_errors(mixed: Path, tmp_path: Path) -> None:
    # However many they are, they are no damage.
    dataset = prepare(DataConfig(source=str(mixed), max_bad_fraction=0.0), cache_dir=tmp_path)
    assert not dataset.errors
    write_errors([DataError("z", "r")], tmp_path / "errors.csv", dataset.passed_over)
    rows = read_errors(tmp_path / "errors.csv")
    assert rows is not None
    names = [row.file for row in rows]
    assert names == ["z", "a/7.xyz", "a/8.xyz", "a/6.jpg_large", "b/x/9.npy", "a/5", "0.png"]


def test_prediction_of_a_folder_counts_them(mixed: Path) -> None:
    inputs = find_inputs([str(mixed)])
    assert [path and path.relative_to(mixed).as_posix() for path in inputs.paths] == [
        *["0.png", "a/1.png", "a/2.png", "a/3", "a/4.jpg_large", "b/1.png", "b/2.png"]
    ]
    records = {record.kind: (len(record.files), record.ignored) for record in inputs.passed_over}
    assert records == PASSED_OVER
    inputs = find_inputs([f"{mixed}/a/*"])
    assert len(inputs.paths) == 4
    assert accounting(4, inputs.passed_over).startswith("taken 4, passed over 6: 2 .xyz")
