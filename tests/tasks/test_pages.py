"""The pages and pictures of runs of every task but classification."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.builders.tasks import TASKS
from tests.report.html_page import Page
from trickbag.cli import main
from trickbag.data.annotations.boxes.part import BoxPart
from trickbag.data.dataset import Dataset, prepare
from trickbag.recipe import Recipe
from trickbag.report.run.comparison import compare_page
from trickbag.report.run.images import pictures_of
from trickbag.report.run.page import run_page
from trickbag.report.run.records import read_record
from trickbag.report.run.tasks.task_report import annotated_batch, task_report
from trickbag.tasks.box_predictions import BoxPredictions, ImageBoxes
from trickbag.train.plan.plan import Plan

OF_CLASSIFICATION = ("top-1", "confus", "calibra", "reliability", "nats by", "mistake")


def test_the_page_has_the_sections_of_the_task(reference: Path, name: str, tmp_path: Path) -> None:
    pictures = pictures_of(reference)
    assert pictures is not None
    assert len(pictures.compared) == 2
    assert len(pictures.augmented) in (2, 3)
    page = Page(run_page(reference, tmp_path / "page.html", pictures))
    result = json.loads((reference / "result.json").read_text())
    assert f"{result['metrics'][TASKS[name].score]:.2f}" in page.text
    assert "2 validation images" in page.text
    for label in result["classes"]:
        assert label in page.words("classes")
    words = page.words("predictions")
    assert "The worst" in words
    for each in pictures.compared:
        assert each.name in words
    links = [values["href"] for values in page.all("a")]
    assert {link[1:] for link in links if link.startswith("#")} <= set(page.ids)
    # The cards of tricks speak of what was measured with them.
    of_task = " ".join(text for key, text in page.by_section.items() if key != "recipe").lower()
    assert not [word for word in OF_CLASSIFICATION if word in of_task]


def test_a_page_without_the_data_has_no_pictures(reference: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    shutil.copytree(reference, folder)
    recipe = json.loads((folder / "recipe.json").read_text())
    recipe["data"]["source"] = str(tmp_path / "gone")
    (folder / "recipe.json").write_text(json.dumps(recipe))
    assert pictures_of(folder) is None
    page = Page(run_page(folder, tmp_path / "page.html"))
    assert "without the images" in page.words("predictions")
    assert "without the images" in page.words("augmented")


def test_a_batch_is_drawn_with_what_the_network_learns(
    reference: Path, recipe: Recipe, dataset: Dataset, name: str
) -> None:
    plan = Plan.from_stored(json.loads((reference / "recipe.json").read_text())["resolved"])
    drawn = annotated_batch(plan, recipe.tricks, dataset, 2)
    from trickbag.train.preview import augmented_batch

    images, targets = augmented_batch(plan, recipe.tricks, dataset, 2)
    assert len(drawn) == len(images) == len(targets) == 2
    for picture, image in zip(drawn, images, strict=True):
        factor = picture.shape[0] // image.shape[0]
        assert picture.shape == (factor * image.shape[0], factor * image.shape[1], 3)
        assert not np.array_equal(picture, image.repeat(factor, 0).repeat(factor, 1))


def test_show_draws_a_batch(recipe: Recipe, name: str, tmp_path: Path) -> None:
    file = tmp_path / "recipe.json"
    file.write_text(json.dumps(recipe.to_dict()))
    assert main(["show", str(file), "--picture", str(tmp_path / "batch.png")]) == 0
    with Image.open(tmp_path / "batch.png") as picture:
        assert min(picture.size) > 200


def test_the_example_of_the_docs_predicts(reference: Path, recipe: Recipe, name: str) -> None:
    from tests.test_docs import blocks

    defined: dict[str, Any] = {}
    if name == "detection":
        exec(blocks("docs/detection.md", "python")[0], defined)
        images = sorted(map(str, Path(recipe.data.source).glob("JPEGImages/*.png")))
        boxes = defined["boxes"](str(reference), images)
        assert list(boxes) == images
        assert all(score >= 0.5 for each in boxes.values() for _, score in each)
        return
    exec(blocks("docs/segmentation.md", "python")[0], defined)
    images = sorted(map(str, Path(recipe.data.source).glob("images/*.jpg")))
    shares = defined["shares"](str(reference), images)
    assert list(shares) == images
    assert all(sum(each.values()) == pytest.approx(100, abs=0.01) for each in shares.values())


def test_two_runs_of_a_task_are_compared(
    reference: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path / "other"
    shutil.copytree(reference, other)
    out = tmp_path / "compared.html"
    assert main(["report", str(reference), str(other), "--out", str(out)]) == 0
    lower = Page(out).text.lower()
    assert not [word for word in OF_CLASSIFICATION if word in lower]
    recipe = json.loads((other / "recipe.json").read_text())
    del recipe["task"]
    (other / "recipe.json").write_text(json.dumps(recipe))
    capsys.readouterr()
    assert main(["report", str(reference), str(other), "--out", str(out)]) == 2
    assert "give two runs of one task" in capsys.readouterr().err


def compared(first: Path, second: Path) -> Page:
    page = Page(compare_page(first, second, first.parent / "compared.html"))
    page.check()
    return page


@pytest.fixture
def pair(reference: Path, recipe: Recipe, tmp_path: Path) -> tuple[Path, Path]:
    """Two copies of a run; the second predicts every image of the validation part perfectly."""
    folders = (tmp_path / "first", tmp_path / "second")
    for folder in folders:
        shutil.copytree(reference, folder)
    if (file := folders[1] / "pixel_scores.csv").exists():
        lines = file.read_text().splitlines()
        perfect = [f"{line.split(',')[0]},100.0,100.0" for line in lines[1:]]
        file.write_text("\n".join([lines[0], *perfect]) + "\n")
        return folders
    dataset = prepare(recipe.data, annotations="boxes")
    assert isinstance(dataset.val, BoxPart)
    detections = [
        np.column_stack([dataset.val.boxes(i)[:, :5], np.full(len(dataset.val.boxes(i)), 0.9)])
        for i in range(len(dataset.val))
    ]
    images = tuple(
        ImageBoxes.of(name, (30, 40), rows, dataset.classes)
        for name, rows in zip(dataset.val.names, detections, strict=True)
    )
    text = BoxPredictions(classes=dataset.classes, images=images).to_text()
    (folders[1] / "predictions.json").write_text(text)
    return folders


def test_single_images_of_two_runs_are_compared_in_pairs(
    pair: tuple[Path, Path], name: str
) -> None:
    titles = {"detection": ("F1", "recall"), "segmentation": ("mIoU", "pixel accuracy")}[name]
    report = task_report(read_record(pair[0]).task)
    first, second = (report.image_scores(read_record(folder)) for folder in pair)
    assert tuple(first) == tuple(second) == titles
    words = compared(*pair).words("metrics")
    assert "Image by image" in words
    for title in titles:
        assert set(second[title].values()) == {100.0}
        mean = np.mean(list(first[title].values()))
        row = words.partition(f" {title} {mean:.2f} 100.00 ")[2]
        assert row.startswith(f"+{100 - mean:.2f} ")
        assert row.partition(" % ")[2].startswith(f"0 {len(first[title])} 0")
    assert f"Paired over {len(first[titles[0]])} validation images" in words
    # Of a run and its copy there is nothing to tell apart.
    shutil.copytree(pair[0], pair[0].parent / "copy")
    words = compared(pair[0], pair[0].parent / "copy").words("metrics")
    assert f" 0.00 — % 0 0 {len(first[titles[0]])} " in words


def test_why_single_images_are_not_compared(
    pair: tuple[Path, Path], name: str, recipe: Recipe
) -> None:
    file = TASKS[name].predictions
    content = (pair[1] / file).read_text()
    (pair[1] / file).write_text(content.replace("image7", "image9"))
    words = compared(*pair).words("metrics")
    assert "Single images are not compared: " in words
    (pair[1] / file).unlink()
    words = compared(*pair).words("metrics")
    assert f"Single images are not compared: second has no {file}." in words
    if name == "detection":
        (pair[1] / file).write_text(content)
        source = Path(recipe.data.source)
        source.rename(source.with_name("away"))
        try:
            words = compared(*pair).words("metrics")
        finally:
            source.with_name("away").rename(source)
        assert "the boxes of the truth are in the data of first, which cannot be read" in words
