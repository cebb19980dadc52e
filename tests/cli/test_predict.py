"""`trickbag predict` with a run: tables, CSV files, samples of contests."""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image

from tests.builders.images import digits_of

if TYPE_CHECKING:
    from pathlib import Path


Call = Any


def read_csv(path: Path) -> list[list[str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.reader(file))


def test_predict_prints_a_table(call: Call, run: Path, photos: Path) -> None:
    code, out, err = call("predict", run, photos / "one", photos / "zero" / "000.png")
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert lines[0].split() == ["image", "label", "confidence"]
    assert len(lines) == 14
    for line, name in zip(
        lines[1:], [*sorted((photos / "one").iterdir()), photos / "zero" / "000.png"], strict=True
    ):
        image, label, confidence = line.split()
        assert image == str(name)
        assert label in ("one", "three", "zero")
        assert 1 / 3 <= float(confidence) <= 1


def test_predict_top(call: Call, run: Path, photos: Path) -> None:
    out = call("predict", run, photos / "one" / "000.png", "--top", "3")[1]
    words = out.splitlines()[1].split()
    assert sorted(words[1::2]) == ["one", "three", "zero"]
    shares = [float(word) for word in words[2::2]]
    assert shares == sorted(shares, reverse=True)
    assert sum(shares) == pytest.approx(1, abs=2e-4)


def test_predict_writes_a_csv(call: Call, run: Path, photos: Path, tmp_path: Path) -> None:
    target = tmp_path / "out.csv"
    code, out, err = call("predict", run, f"{photos}/*/00*.png", "--csv", target, "--probabilities")
    assert (code, err) == (0, "")
    assert str(target) in out
    header, *rows = read_csv(target)
    assert header == ["image", "label", "confidence", "one", "three", "zero"]
    assert [row[0] for row in rows] == [str(path) for path in sorted(photos.glob("*/00*.png"))]
    for _, label, confidence, *shares in rows:
        values = np.array(shares, float)
        assert values.sum() == pytest.approx(1, abs=1e-6)
        assert header[3 + values.argmax()] == label
        assert values.max() == pytest.approx(float(confidence), abs=1e-6)


def test_a_bad_file_is_a_row_and_not_the_end(
    call: Call, run: Path, photos: Path, tmp_path: Path
) -> None:
    good = photos / "one" / "000.png"
    (tmp_path / "bad.png").write_bytes(b"")
    target = tmp_path / "out.csv"
    code, _, err = call("predict", run, tmp_path / "bad.png", good, "--csv", target)
    assert code == 0
    assert "1 of 2 images could not be predicted" in err
    assert "bad.png (empty file)" in err
    assert err.count("\n") == 1
    header, bad, fine = read_csv(target)
    assert header == ["image", "label", "confidence", "error"]
    assert bad == [str(tmp_path / "bad.png"), "", "", "empty file"]
    assert fine[0] == str(good)
    assert fine[3] == ""
    code, out, _ = call("predict", run, tmp_path / "bad.png", good)
    assert code == 0
    assert "error: empty file" in out.splitlines()[1]
    code, _, err = call("predict", run, tmp_path / "bad.png")
    assert code == 1
    assert err.count("\n") == 1


def test_a_contests_sample_gives_order_ids_and_columns(
    call: Call, kaggle: Path, table: Path, tmp_path: Path
) -> None:
    images = tmp_path / "test"
    images.mkdir()
    for i in range(4):
        Image.fromarray(digits_of(6 + i % 2, 1, 40 + i)[0]).save(images / f"{i}.png")
    (images / "4.png").write_bytes(b"")
    ids = ["3", "0", "4", "2", "1", "9"]
    sample = tmp_path / "sample_submission.csv"
    sample.write_text("id,label\n" + "".join(f"{number},six\n" for number in ids))
    target = tmp_path / "submission.csv"
    code, _, err = call("predict", kaggle, sample, images, "--csv", target)
    assert code == 0
    header, *rows = read_csv(target)
    assert header == ["id", "label"]
    assert [row[0] for row in rows] == ids
    assert [row[1] in ("six", "seven") for row in rows] == [True, True, False, True, True, False]
    assert [row[1] for row in rows if row[0] in ("4", "9")] == ["", ""]
    assert (
        "2 of 6 images could not be predicted; their cells are left empty: 4 (empty file), 9 (no "
        "such image file)" in err
    )
    by_root = tmp_path / "again.csv"
    assert call("predict", kaggle, sample, "--image-root", images, "--csv", by_root)[0] == 0
    assert by_root.read_bytes() == target.read_bytes()


SAMPLES = {
    "capitals": ("Id,Category\nseven0,?\nsix1.png,?\n", ("Id,Category", "seven0,six1.png")),
    "classes": ("id;six;seven\nsix1;0;0\nseven0;0;0\n", ("id;six;seven", "six1,seven0")),
}


def test_rejected_images_of_a_sample_have_an_empty_label(
    call: Call, kaggle: Path, table: Path, tmp_path: Path
) -> None:
    sample, target = tmp_path / "sample.csv", tmp_path / "out.csv"
    sample.write_text("id,label\nseven0,?\nsix1,?\n")
    options = (table.parent / "train", "--csv", target, "--reject-below", "1")
    code, _, err = call("predict", kaggle, sample, *options)
    assert code == 0
    assert read_csv(target) == [["id", "label"], ["seven0", ""], ["six1", ""]]
    assert "2 of 2 images have a confidence below 1.0000" in err
    sample.write_text("id,six,seven\nsix1,0,0\n")
    target.unlink()
    code, _, err = call("predict", kaggle, sample, *options)
    assert code == 2
    assert "--reject-below: the table has columns of classes alone" in err
    assert not target.exists()


@pytest.mark.parametrize(("text", "expected"), SAMPLES.values(), ids=SAMPLES)
def test_a_sample_of_other_columns(
    call: Call,
    run: Path,
    kaggle: Path,
    table: Path,
    tmp_path: Path,
    text: str,
    expected: tuple[str, str],
) -> None:
    sample, target = tmp_path / "sample.csv", tmp_path / "out.csv"
    sample.write_text(text)
    code, _, err = call("predict", kaggle, sample, table.parent / "train", "--csv", target)
    assert code == 0
    assert ("'?', a value of the column Category, is no class" in err) == ("?" in text)
    header, *rows = target.read_text().splitlines()
    separator = ";" if ";" in text else ","
    cells = [row.split(separator) for row in rows]
    assert (header, ",".join(row[0] for row in cells)) == expected
    if separator == ";":
        assert [float(row[1]) + float(row[2]) for row in cells] == pytest.approx([1, 1])
        code, _, err = call("predict", run, sample, table.parent / "train", "--csv", target)
        assert code == 0
        assert "is no sample" in err
        sample.write_text(text.replace("six;", "zero;", 1))
        code, _, err = call("predict", run, sample, table.parent / "train", "--csv", target)
        assert code == 2
        assert "no classes of the network: 'seven' (without a column: 'one', 'three')" in err
    else:
        assert {row[1] for row in cells} <= {"six", "seven"}


def test_predictions_are_those_of_the_runs_validation(
    call: Call, kaggle: Path, table: Path, tmp_path: Path
) -> None:
    # One epoch: the best weights are the last ones, of which predictions.csv is.
    _, *validated = read_csv(kaggle / "predictions.csv")
    sample = tmp_path / "sample.csv"
    sample.write_text(
        "id\n"
        + "".join(f"{row[0].removeprefix('train/').removesuffix('.png')}\n" for row in validated)
    )
    target = tmp_path / "out.csv"
    assert call("predict", kaggle, sample, table.parent / "train", "--csv", target)[0] == 0
    assert [row[1] for row in read_csv(target)[1:]] == [row[2] for row in validated]
    assert (
        call("predict", kaggle, *[table.parent / row[0] for row in validated], "--csv", target)[0]
        == 0
    )
    header, *rows = read_csv(target)
    assert header == ["image", "label", "confidence"]  # no CSV was given, so the columns are ours
    assert [row[1] for row in rows] == [row[2] for row in validated]
    assert [float(row[2]) for row in rows] == pytest.approx(
        [float(row[3]) for row in validated], abs=2e-6
    )
