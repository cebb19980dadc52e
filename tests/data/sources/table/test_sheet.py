"""The dialects in which tables are written, and what is no table."""

from __future__ import annotations

import codecs
import gzip
from typing import TYPE_CHECKING

import pytest

from tests.builders.tables import EXPECTED, ROWS, facts, labelled, opened, refused, touch
from trickbag.data.sources.table.sheet import read_sheet, separator_of
from trickbag.errors import UserError

if TYPE_CHECKING:
    from pathlib import Path

FOUR = "image,label\n" + ROWS


@pytest.fixture(scope="module")
def four(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return touch(tmp_path_factory.mktemp("four")) / "train.csv"


DIALECTS: dict[str, str | bytes] = {
    "semicolon": FOUR.replace(",", ";"),
    "tab": FOUR.replace(",", "\t"),
    "bar": FOUR.replace(",", "|"),
    "Excel": "sep=;\r\n" + FOUR.replace(",", ";").replace("\n", "\r\n"),
    "Excel with a mark": codecs.BOM_UTF8 + b"sep=;\r\n" + FOUR.replace(",", ";").encode(),
    "quoted sep": '"sep=\t"\n' + FOUR.replace(",", "\t"),
    "old Mac": FOUR.replace("\n", "\r"),
    "UTF-16": FOUR.replace(",", "\t").encode("utf-16"),
    "UTF-16, other order": codecs.BOM_UTF16_BE + FOUR.encode("utf-16-be"),
    "UTF-32": FOUR.encode("utf-32"),
    "decimal commas": "image;label;score\n000.png;cat;0,5\n001.png;dog;1,5\n002.png;cat;0,25\n"
    "003.png;dog;0,1\n",
    "decimal commas without names": ROWS.replace("\n", ";0,5\n").replace("png,", "png;"),
    "all quoted": '"image","label"\n'
    + "".join('"{}","{}"\n'.format(*row.split(",")) for row in ROWS.split()),
    "quotes behind blanks": FOUR.replace(",cat", ', "cat"'),
    "separators at the ends": FOUR.replace("\n", ",,\n"),
    "row numbers": ",image,label\n" + "".join(f"{i},{row}\n" for i, row in enumerate(ROWS.split())),
    "row names of R": FOUR.split("\n")[0]
    + "\n"
    + "".join(f'"{i}",{row}\n' for i, row in enumerate(ROWS.split(), 1)),
    "commented names": "# " + FOUR,
    "remarks": "# written by a program\n#\n# of two, and 4\n" + FOUR,
    "remarks behind Excel's line": "sep=;\n# written by a program\n" + FOUR.replace(",", ";"),
}


@pytest.mark.parametrize("dialect", DIALECTS)
def test_dialects(four: Path, dialect: str) -> None:
    settings = {"label_column": "column 2"} if dialect.endswith("without names") else {}
    assert labelled(opened(four, DIALECTS[dialect], **settings)) == EXPECTED


@pytest.mark.parametrize(
    ("text", "separator"),
    [
        ("image,label\na.png,cat;dog\nb.png,cat;dog", ","),
        ("image;label\na.png;cat, black\nb.png;dog, white", ";"),
        ("a.png;cat, black\nb.png;dog, white", ";"),
        ("a.png,cat|dog\nb.png,cat|dog", ","),
        ("id|name, full|label\n1|a, b|c", "|"),
        ('image,label\n"a;b;c.png",x', ","),
        ("image\na.png", ","),
    ],
)
def test_the_separator_is_the_one_that_divides_names_of_columns(text: str, separator: str) -> None:
    assert separator_of(text.splitlines(keepends=True)) == separator


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "is empty"),
        (b"\n \n", "is empty"),
        (b"sep=;\n", "is empty"),
        (b"image,label\n", "has no rows"),
        ("image,label\n000.png,caf\xe9\n".encode("latin-1"), "save it as CSV UTF-8"),
        ("image,label\n000.png,cat\n".encode("utf-16-le"), "zero bytes, as UTF-16 has"),
        (b"PK\x03\x04" + b"x" * 50, "is a spreadsheet or another archive"),
        (gzip.compress(b"image,label\n", mtime=0), "is compressed by gzip"),
        (b"image,label\n000.png," + b"x" * 200_000, "is not a CSV file"),
        (b'image,label\n000.png,cat\n001.png,"dog\n002.png,cat\n003.png,dog\n', "never closed"),
        (b"PAR1 and no more", "is not a Parquet file"),
    ],
)
def test_what_is_no_table(four: Path, content: bytes, says: str) -> None:
    message = refused(four, content)
    assert says in message
    assert str(four) in message


def test_a_row_with_more_cells_than_names_is_left_out(four: Path) -> None:
    source = opened(four, FOUR.replace("000.png,cat", "000.png,cat, black"))
    assert labelled(source) == {name: EXPECTED[name] for name in list(EXPECTED)[1:]}
    ((name, reason),) = source.left_out
    assert name == "000.png"
    assert reason == (
        "line 2 has more cells than the first line: put quotes around a cell that holds ','"
    )


def test_lines_are_counted_as_they_stand_in_the_file(four: Path) -> None:
    source = opened(four, '\nimage,label\n\n000.png,"a\nb"\n001.png,a\n,x\n002.png,c\n')
    assert [error.reason for error in source.left_out] == ["no image in line 7"]
    source = opened(four, "sep=,\n000.png,cat\n,cat\n002.png,dog\n")
    assert [error.reason for error in source.left_out] == ["no image in line 3"]


def test_parquet(tmp_path: Path) -> None:
    import pyarrow as pa
    from pyarrow import parquet

    touch(tmp_path, ["0.png", "1.png", "2.png", "3.png"])
    file = tmp_path / "train.parquet"
    columns = {
        "id": pa.array([0.0, 1.0, 2.0, None]),
        "label": pa.array(["cat", "dog", None, "dog"]).dictionary_encode(),
        "score": pa.array([0.5, 1.0, float("nan"), 1.5]),
        "when": pa.array([0, 1, 2, 3], pa.timestamp("s")),
        "box": pa.array([{"x": 1}] * 4),
    }
    parquet.write_table(pa.table(columns), file)
    source = opened(file)
    assert labelled(source) == {"0.png": "cat", "1.png": "dog"}
    assert [error.reason for error in source.left_out] == ["no image in row 4"]
    assert [kind.files for kind in source.passed_over if kind.kind == "no label"] == [("2.png",)]
    assert read_sheet(file, "x", "").column(2) == ["0.5", "1.0", "", "1.5"]
    labels = pa.table({"file": ["0.png", "1.png"], "labels": [["cat", "dog"], ["dog"]]})
    parquet.write_table(labels, file)
    assert labelled(opened(file, multi_label=True)) == {"0.png": "cat+dog", "1.png": "dog"}
    ones = pa.table({"id": ["0", "1"], "cat": [True, False], "dog": [False, True]})
    parquet.write_table(ones, file)
    assert labelled(opened(file)) == {"0.png": "cat", "1.png": "dog"}


def test_images_within_parquet(tmp_path: Path) -> None:
    import pyarrow as pa
    from pyarrow import parquet

    file = tmp_path / "train.parquet"
    for images in ([b"x"], [{"bytes": b"x", "path": "a.png"}]):
        parquet.write_table(pa.table({"image": images, "label": [0]}), file)
        message = refused(file)
        assert "holds the images themselves, in its column 'image'" in message
        assert "hf:FOLDER" in message


def test_a_table_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "a.csv").symlink_to(tmp_path / "nowhere.csv")
    with pytest.raises((UserError, FileNotFoundError)):
        read_sheet(tmp_path / "a.csv", "x", "")


def test_the_first_row_without_names_is_said(four: Path) -> None:
    source = opened(four, ROWS)
    assert labelled(source) == EXPECTED
    assert source.columns is None
    assert "the first row has no names of columns: column 1 and column 2 are" in facts(source)
