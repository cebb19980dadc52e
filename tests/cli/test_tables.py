"""Tables of other dialects from training to predictions, through the commands."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from PIL import Image

from tests.builders.images import digits_of
from tests.builders.recipes import train_arguments
from trickbag.cli import main

if TYPE_CHECKING:
    from pathlib import Path

Call = Any

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve digits of two classes in each of two folders, 0.png to 23.png in turn."""
    root = tmp_path_factory.mktemp("tables")
    pictures = {label: digits_of(label, 12) for label in (0, 1)}
    for i in range(24):
        folder = root / f"images_{i % 4 // 2}"
        folder.mkdir(exist_ok=True)
        Image.fromarray(pictures[i % 2][i // 2]).save(folder / f"{i}.png")
    return root


def trained(table: Path, *options: str) -> Path:
    out = table.parent / f"run-{table.stem}"
    assert main(["train", *train_arguments(table, out, epochs=1)[1:], *options]) == 0
    return out


def test_from_a_table_to_a_submission(call: Call, images: Path) -> None:
    table = images / "train.csv"
    rows = (f"{i};{['zero', 'one'][i % 2]};{'val' if i > 19 else 'train'}" for i in range(24))
    table.write_text("sep=;\r\nImage Id;Category;Split\r\n" + "\r\n".join(rows))
    roots = [f"--image-root={images / name}" for name in ("images_0", "images_1")]
    run = trained(table, *roots)
    recipe = json.loads((run / "recipe.json").read_text())
    assert recipe["data"]["image_root"] == [str(images / name) for name in ("images_0", "images_1")]
    predictions = (run / "predictions.csv").read_text().splitlines()
    assert [row.split(",")[0] for row in predictions[1:]] == [
        "images_0/20.png",
        "images_0/21.png",
        "images_1/22.png",
        "images_1/23.png",
    ]
    # The same data are known where they are given again, and other tables have other columns.
    code, out, err = call("evaluate", run, "--json")
    assert (code, json.loads(out)["images"]) == (0, 4), err
    other = images / "other.csv"
    other.write_text("file\tlabel\n0\tzero\n1\tone\n2\tzero\n")
    code, out, err = call("evaluate", run, "--data", other, "--json")
    assert (code, json.loads(out)["images"]) == (0, 3), err
    # Without roots the images are looked for in the folders within.
    sample = images / "sample_submission.csv"
    sample.write_text("Image Id;Category\n3;\n4;\n99;\n")
    code, out, err = call("predict", run, sample, "--csv", images / "out.csv")
    assert code == 0
    assert "2 images were looked for in the folders within" in err
    assert "no such image file" in err


def test_several_labels_and_validation_data(call: Call, images: Path) -> None:
    labels = ["zero, round", "one, thin"]
    for name, places in (("labels", range(20)), ("held", range(20, 24))):
        rows = (f'{i},"{labels[i % 2]}"\n' for i in places)
        (images / f"{name}.csv").write_text("image,label\n" + "".join(rows))
    labels_set = ["--set", "data.multi_label=true"]
    run = trained(images / "labels.csv", "--val-data", str(images / "held.csv"), *labels_set)
    rows = (run / "predictions.csv").read_text().splitlines()
    assert len(rows) == 5
    assert rows[1].startswith('images_0/20.png,"round,zero",')
    code, out, err = call("evaluate", run, "--data", images / "held.csv", "--json")
    assert code == 0, err
    assert set(json.loads(out)["classes"]) == {"one", "round", "thin", "zero"}
    code, out, err = call(
        "doctor", images / "labels.csv", *labels_set, "--val-data", images / "held.csv"
    )
    assert "labels are divided at ','" in out
    assert "20 images" not in err
