from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from trickbag.errors import UserError
from trickbag.evaluate.inputs import find_inputs

if TYPE_CHECKING:
    from pathlib import Path


def make(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"x")


def names_of(root: Path, *given: str) -> list[str]:
    return [
        os.path.relpath(name, root)
        for name in find_inputs([str(root / text) for text in given]).names
    ]


def test_files_folders_and_globs_in_the_order_given(tmp_path: Path) -> None:
    make(
        tmp_path,
        "b.png",
        "a.jpg",
        "odd.dat",
        "in/z.PNG",
        "in/y/x.webp",
        "in/notes.txt",
        "in/.hidden.png",
        "in/.git/a.png",
    )
    assert names_of(tmp_path, "b.png", "odd.dat") == ["b.png", "odd.dat"]
    assert names_of(tmp_path, "in") == ["in/z.PNG", "in/y/x.webp"]
    assert names_of(tmp_path, "*.png", "a.jpg") == ["b.png", "a.jpg"]
    assert names_of(tmp_path, "*") == ["a.jpg", "b.png", "in/z.PNG", "in/y/x.webp"]
    assert names_of(tmp_path, "**/*.webp") == ["in/y/x.webp"]


def test_an_image_named_twice_is_taken_once(tmp_path: Path) -> None:
    make(tmp_path, "b.png", "a.png")
    assert names_of(tmp_path, "b.png", ".", "*.png") == ["b.png", "a.png"]


def test_a_name_with_brackets_is_a_file_where_there_is_one(tmp_path: Path) -> None:
    make(tmp_path, "a[1].png", "a1.png")
    assert names_of(tmp_path, "a[1].png") == ["a[1].png"]


def test_the_rows_of_a_csv_give_order_and_names(tmp_path: Path) -> None:
    make(tmp_path, "images/b.png", "images/a.jpg", "test/c.png", "d.png")
    text = "\ufeffid,label\r\nb,\r\na.jpg,\r\nd,\r\n\r\nc,\r\nmissing,\r\nb,\r\n"
    (tmp_path / "test.csv").write_bytes(text.encode())
    inputs = find_inputs([str(tmp_path / "test.csv"), str(tmp_path / "images")])
    assert inputs.names == ("b", "a.jpg", "d", "c", "missing", "b")
    assert [
        path and path.resolve().relative_to(tmp_path.resolve()).as_posix() for path in inputs.paths
    ] == [
        "images/b.png",
        "images/a.jpg",
        "d.png",
        "test/c.png",
        None,
        "images/b.png",
    ]
    assert (inputs.csv, inputs.id_column) == (tmp_path / "test.csv", "id")


def test_the_models_own_column_comes_first(tmp_path: Path) -> None:
    make(tmp_path, "p.png", "q.png")
    (tmp_path / "x.csv").write_text("id,photo,image\n1,p,q\n")
    assert find_inputs([str(tmp_path / "x.csv")], id_column="photo").names == ("p",)
    assert find_inputs([str(tmp_path / "x.csv")]).names == ("q",)


NAMES = {
    "form": ("cafe\u0301.png", "caf\u00e9.png"),
    "the other form": ("caf\u00e9.png", "cafe\u0301"),
    "extension": ("IMG_1.JPG", "IMG_1.jpg"),
    "folder": ("cafe\u0301/a.png", "caf\u00e9/a.png"),
    "letter case": ("IMG_1.JPG", "img_1.jpg"),
}


@pytest.mark.parametrize(("file", "name"), NAMES.values(), ids=NAMES)
def test_files_in_another_spelling(tmp_path: Path, file: str, name: str) -> None:
    make(tmp_path, f"images/{file}")
    (tmp_path / "x.csv").write_text(f"image\n{name}\n", encoding="utf-8")
    inputs = find_inputs([str(tmp_path / "x.csv"), str(tmp_path / "images")])
    assert inputs.paths == (tmp_path / "images" / file,)
    assert names_of(tmp_path, "images") == [f"images/{file}"]


@pytest.mark.parametrize("there", ["caf\u00e9", "cafe\u0301"])
@pytest.mark.parametrize("typed", ["caf\u00e9", "cafe\u0301"])
def test_paths_can_be_typed_in_either_form(tmp_path: Path, there: str, typed: str) -> None:
    make(tmp_path, f"{there}/{there}.png")
    expected = [f"{there}/{there}.png"]
    assert names_of(tmp_path, typed) == names_of(tmp_path, f"{typed}/{typed}.png") == expected


def test_the_nearest_of_a_missing_file_is_named(tmp_path: Path) -> None:
    make(tmp_path, "cat_01.png", "dog_01.png")
    (tmp_path / "x.csv").write_text("image\ncat_01.png\ncat_1.png\n")
    inputs = find_inputs([str(tmp_path / "x.csv")])
    assert inputs.reasons == ("", "no such image file; the nearest is cat_01.png")


def test_image_root(tmp_path: Path) -> None:
    make(tmp_path, "far/p.png")
    (tmp_path / "x.csv").write_text("image\np.png\n")
    inputs = find_inputs([str(tmp_path / "x.csv")], image_roots=[tmp_path / "far"])
    assert [
        os.path.samefile(path, tmp_path / "far" / "p.png") for path in inputs.paths if path
    ] == [True]


def test_other_tables(tmp_path: Path) -> None:
    make(tmp_path, "test/0/p.png", "test/1/q.png", "train/p.png")
    table = tmp_path / "sample_submission.csv"
    # In any dialect; without names of columns; in folders within, and there in those for testing.
    table.write_bytes("Image Id;Category\r\np;\r\nq;\r\nr;\r\n".encode("utf-16"))
    inputs = find_inputs([str(table)])
    assert inputs.id_column == "Image Id"
    assert inputs.paths == (tmp_path / "test/0/p.png", tmp_path / "test/1/q.png", None)
    assert inputs.reasons == ("", "", "no such image file")
    assert "2 images were looked for in the folders within" in inputs.facts[0]
    table.write_text("p.png\nq.png\n")
    inputs = find_inputs([str(table)], id_column="photo")
    assert inputs.names == ("p.png", "q.png")
    assert inputs.id_column == ""
    roots = [tmp_path / "train", tmp_path / "test" / "1"]
    assert find_inputs([str(table)], image_roots=roots).paths == (
        tmp_path / "train" / "p.png",
        tmp_path / "test" / "1" / "q.png",
    )


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (["absent.png"], "no file or folder"),
        (["*.gif"], "matches nothing"),
        (["*.txt"], "matches no image or folder"),
        (["empty"], "holds no image (JPEG"),
        (["gone.png"], "a link to a file that is not there"),
        (["a.csv", "b.csv"], "both CSV files: give one at a time"),
        (["a.csv", "p.png"], "only folders can be given, not"),
        (["none.csv"], "is empty; it must have a column that names images"),
        (["columns.csv"], "has the columns sort, kind, and it is not clear which names images"),
        (["header.csv"], "has no rows"),
        (["binary.csv"], "is not text in UTF-8"),
        (["nul.csv"], "is not text in UTF-8: it has zero bytes"),
        (["a.csv"], "none of the 2 images of"),
        (["x\0y"], "no file or folder"),
    ],
)
def test_wrong_inputs(tmp_path: Path, given: list[str], says: str) -> None:
    make(tmp_path, "p.png", "notes.txt")
    (tmp_path / "empty").mkdir()
    (tmp_path / "gone.png").symlink_to("nowhere.png")
    (tmp_path / "a.csv").write_text("image,label\nq,\nr,\n")
    (tmp_path / "b.csv").write_text("image\np.png\n")
    (tmp_path / "none.csv").write_text("\n\n")
    (tmp_path / "columns.csv").write_text("sort,kind\nq,x\n")
    (tmp_path / "header.csv").write_text("image,label\n")
    (tmp_path / "binary.csv").write_bytes(b"image\n\xff\xfe\n")
    (tmp_path / "nul.csv").write_bytes(b'image\n"p\0' + b"x" * 200_000)
    with pytest.raises(UserError) as error:
        find_inputs([f"{tmp_path}/{text}" for text in given])
    assert says in str(error.value)
    assert "\n" not in str(error.value)


def test_an_image_root_without_a_csv(tmp_path: Path) -> None:
    make(tmp_path, "p.png")
    with pytest.raises(UserError, match="no CSV file is given"):
        find_inputs([str(tmp_path / "p.png")], image_roots=[tmp_path])
    (tmp_path / "x.csv").write_text("image\np.png\n")
    with pytest.raises(UserError, match="is no folder"):
        find_inputs([str(tmp_path / "x.csv")], image_roots=[tmp_path / "p.png"])


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may read everything")
def test_a_folder_that_may_not_be_read(tmp_path: Path) -> None:
    (tmp_path / "closed").mkdir(mode=0)
    with pytest.raises(UserError, match="Permission denied"):
        find_inputs([str(tmp_path / "closed")])


def test_rows_that_lead_out_of_all_folders_are_named(tmp_path: Path) -> None:
    make(tmp_path, "images/a.png", "images/b.png", "beside/c.png", "table/d.png", "far/e.png")
    (tmp_path / "images" / "link.png").symlink_to(tmp_path / "far" / "e.png")
    table = tmp_path / "table" / "rows.csv"
    rows = [
        "a",
        "../images/b.png",
        "c",
        "d",
        "../far/e.png",
        str(tmp_path / "far" / "e.png"),
        "link",
    ]
    table.write_text("id\n" + "\n".join(rows) + "\n")
    inputs = find_inputs([str(table), str(tmp_path / "beside")], image_roots=[tmp_path / "images"])
    assert None not in inputs.paths
    assert inputs.outside == tuple(rows[4:])
