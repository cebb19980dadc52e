"""Images with several labels each, from a CSV file to predictions."""

from __future__ import annotations

import csv
import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import trickbag as tb
from tests.builders.recipes import tiny_recipe
from tests.builders.teachers import teacher_file
from trickbag.cli import main
from trickbag.data.config import DataConfig
from trickbag.data.dataset import prepare
from trickbag.data.labels import label_counts
from trickbag.data.loading.loader import Loader
from trickbag.data.sources import open_source
from trickbag.errors import UserError
from trickbag.evaluate import Predictor
from trickbag.models.weights import load
from trickbag.recipe import Recipe
from trickbag.train.build import build
from trickbag.train.fit import fit
from trickbag.train.folder.log import PlainLog
from trickbag.train.folder.result import Result
from trickbag.train.plan.resolve import resolve
from trickbag.tricks.bce import BCE
from trickbag.tricks.class_weights import ClassWeights
from trickbag.tricks.distillation import EXTRA, Distillation
from trickbag.tricks.mixup_cutmix import MixupCutMix
from trickbag.tricks.trick import View

COLOURS = ("blue", "green", "red")


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A CSV of 60 pictures that are bright in one, two or three colours, which are their labels."""
    root = tmp_path_factory.mktemp("multi_label")
    rng = np.random.default_rng(0)
    rows = []
    for i in range(60):
        chosen = [k for k in range(3) if i % 7 + 1 >> k & 1]
        pixels = rng.integers(0, 60, (16, 16, 3))
        pixels[..., [2 - k for k in chosen]] += 160
        Image.fromarray(pixels.astype(np.uint8)).save(root / f"{i:02}.png")
        names = [COLOURS[k] for k in chosen]
        rows.append((f"{i:02}", "  ".join(names[::-1] if i % 2 else names)))
    file = root / "train.csv"
    with file.open("w", newline="") as out:
        csv.writer(out).writerows([("image", "label"), *rows])
    return file


def multi_label_recipe(table: Path, epochs: int = 2) -> Recipe:
    return tiny_recipe(table, epochs=epochs, data__multi_label="true", data__flip_prob="0")


def read(file: Path) -> list[dict[str, str]]:
    with file.open(newline="") as opened:
        return list(csv.DictReader(opened))


@pytest.fixture(scope="module")
def run(table: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Result, Path]:
    out = tmp_path_factory.mktemp("runs") / "multi_label"
    return tb.fit(multi_label_recipe(table, epochs=4), out=out), out


def test_a_run_that_starts_from_one_takes_the_rows_of_its_classes(
    table: Path, run: tuple[Result, Path]
) -> None:
    recipe = multi_label_recipe(table).set("training.init", str(run[1]))
    dataset = prepare(recipe.data)
    dataset = dataclasses.replace(dataset, classes=("green", "pink", "blue"))
    plan, _ = resolve(recipe, dataset, seed=0)
    network, notes = build(plan, recipe.tricks, dataset)
    given, taken = load(run[1]).fc.weight, network.network.fc.weight
    assert torch.equal(taken[[0, 2]], given[[1, 0]])
    assert not (taken[1] == given).all(1).any()
    assert any("1 start anew (pink)" in note.text for note in notes)


def test_labels_are_divided_at_blanks_where_it_is_said(table: Path) -> None:
    source = open_source(DataConfig(source=str(table), multi_label=True))
    assert source.classes == COLOURS
    part = source.parts["train"]
    assert part.labels.shape == (60, 3)
    assert part.labels[0].tolist() == [1, 0, 0]
    assert part.labels[6].tolist() == [1, 1, 1]
    assert not source.left_out
    # Never guessed: without the setting a label with a blank is a class of its own.
    assert "blue  green" in open_source(DataConfig(source=str(table))).classes


def test_rows_without_a_label_or_that_contradict_each_other_are_left_out(
    table: Path, tmp_path: Path
) -> None:
    file = tmp_path / "bad.csv"
    file.write_text(
        "image,label\n00,blue\n01,red blue\n02,\n03,red blue\n03,blue\n04,green red\n"
        "04,red green green\n05,red\n05,green\n"
    )
    source = open_source(
        DataConfig(source=str(file), image_root=str(table.parent), multi_label=True)
    )
    assert source.left_out == (("03.png", "has different labels: blue, blue red"),)
    assert ("no label", ("02.png",)) in [(item.kind, item.files) for item in source.passed_over]
    # A row for each label: the image has both.
    assert source.parts["train"].labels.tolist() == [[1, 0, 0], [1, 0, 1], [0, 1, 1], [0, 1, 1]]


def test_every_label_is_in_both_parts(table: Path) -> None:
    dataset = prepare(DataConfig(source=str(table), multi_label=True))
    for part in (dataset.train, dataset.val):
        assert min(label_counts(part.labels, 3)) > 0
    assert 10 <= len(dataset.val) <= 14


def test_only_a_csv_can_have_several_labels() -> None:
    with pytest.raises(
        UserError,
        match=r"data.multi_label = true is for a .csv file.*'digits' has one label an image",
    ):
        open_source(DataConfig(multi_label=True))


def test_a_run_with_several_labels(run: tuple[Result, Path]) -> None:
    result, out = run
    metrics = result.metrics
    assert [metrics[name] for name in ("top1", "top5", "ece", "train_top1")] == [None] * 4
    assert metrics["map"] > 80  # type: ignore[operator]  # colours are easy
    assert metrics["f1"] >= metrics["f1_at_half"]  # type: ignore[operator]
    assert metrics["best_map"] == max(
        json.loads(line)["map"] for line in (out / "metrics.jsonl").read_text().splitlines()
    )
    rows = read(out / "predictions.csv")
    assert {word for row in rows for word in row["label"].split()} == set(COLOURS)
    assert {row["confidence"] for row in rows} == {""}


def test_evaluation_gives_back_the_runs_metrics(
    run: tuple[Result, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    result, out = run
    assert main(["evaluate", str(out), "--workers", "0", "--json"]) == 0
    evaluation = json.loads(capsys.readouterr().out)
    assert evaluation["map"] == pytest.approx(result.metrics["best_map"])
    assert set(evaluation["classes"]) == set(COLOURS)
    assert main(["evaluate", str(out), "--workers", "0"]) == 0
    text = capsys.readouterr().out
    assert "mAP" in text
    assert "top-1  undefined" in text
    assert main(["evaluate", str(out), "--data", "digits"]) == 2
    assert (
        "gives several labels an image, and digits has one; name a .csv file"
        in capsys.readouterr().err
    )


def test_predictions_are_labels_separated_by_blanks(
    run: tuple[Result, Path], table: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _, out = run
    submission = tmp_path / "submission.csv"
    sample = tmp_path / "sample.csv"
    sample.write_text("image,label\n" + "".join(f"{i:02},\n" for i in range(14)))
    command = ["predict", str(out), str(sample), "--image-root", str(table.parent)]
    assert main([*command, "--csv", str(submission)]) == 0
    truth = {row["image"]: set(row["label"].split()) for row in read(table)}
    rows = read(submission)
    assert list(rows[0]) == ["image", "label"]
    right = [set(row["label"].split()) == truth[row["image"]] for row in rows]
    assert np.mean(right) > 0.5
    assert any(" " in row["label"] for row in rows)
    assert all(row["label"] == " ".join(sorted(row["label"].split())) for row in rows)
    assert main([*command, "--top", "2"]) == 2
    assert "--top 2 is for one label an image" in capsys.readouterr().err


def test_a_report_of_several_labels(run: tuple[Result, Path]) -> None:
    _, out = run
    assert main(["report", str(out)]) == 0
    assert "mean average precision" in (out / "report.html").read_text()


def test_thresholds_are_stored_with_the_weights(run: tuple[Result, Path], table: Path) -> None:
    _, out = run
    predictor = Predictor.load(out / "best.safetensors")
    assert predictor.trained.thresholds is not None
    assert len(predictor.trained.thresholds) == 3
    (prediction,) = predictor.predict([table.parent / "06.png"])
    assert prediction.probabilities is not None
    assert prediction.probabilities.sum() != pytest.approx(1)
    given = prediction.probabilities >= np.array(predictor.trained.thresholds)
    assert prediction.label == " ".join(
        name for name, is_given in zip(COLOURS, given, strict=True) if is_given
    )


def taught_recipe(table: Path, teacher: Path, **settings: Any) -> Recipe:
    """A recipe whose training crops are all of an image, which is also the centre that a teacher
    sees."""
    recipe = multi_label_recipe(table, epochs=1).plus(
        Distillation(teacher=(str(teacher),), temperature=1.0, **settings)
    )
    for path, value in {
        "data.crop_area": "1,1",
        "data.crop_ratio": "1,1",
        "data.eval_crop": "1",
    }.items():
        recipe = recipe.set(path, value)
    return recipe


@pytest.mark.parametrize("view", ["online", "centre", "replay"])
@pytest.mark.parametrize("top", [50, 1])
def test_a_teacher_of_several_labels(table: Path, tmp_path: Path, view: View, top: int) -> None:
    teacher = teacher_file(
        tmp_path / "t.safetensors", classes=COLOURS, sharp=50.0, thresholds=[0.5] * 3
    )
    recipe = taught_recipe(table, teacher, view=view, top=top, views=2)
    recipe = recipe.without("mixup", "mixed_precision")
    dataset = prepare(recipe.data)
    plan, _ = resolve(recipe, dataset, 0)
    built, _ = build(plan, recipe.tricks, dataset)
    loader = Loader(
        dataset.train,
        plan.data,
        built.pipeline.preprocessing,
        train=True,
        batch_size=8,
        workers=0,
        teacher_logits=built.teacher_logits,
    )
    raw = next(loader.epoch(0))
    batch = built.teach(
        built.pipeline(raw, built.pipeline.draw(8, 0, plan.timestamp(0), built.device))
    )
    with torch.no_grad():
        expected = load(teacher)(built.pipeline.preprocessing.normalise(raw.images)).sigmoid()
    if view != "online" and top == 1:
        highest = expected.argmax(dim=1, keepdim=True)
        rest = (expected.sum(1, keepdim=True) - expected.gather(1, highest)) / 2
        expected = rest.expand(-1, 3).scatter(1, highest, expected.gather(1, highest))
    torch.testing.assert_close(batch.extras[EXTRA], expected, rtol=5e-3, atol=1e-5)
    assert expected.std() > 0.1


@pytest.mark.slow
def test_runs_that_learn_from_a_teacher_of_several_labels_alone(
    table: Path, tmp_path: Path
) -> None:
    teacher = tmp_path / "teacher"
    tb.fit(multi_label_recipe(table, epochs=12).without("mixup"), out=teacher)
    for view in ("online", "replay"):
        recipe = (
            taught_recipe(table, teacher, view=view, form="kl")
            .without("mixup")
            .plus(ClassWeights())
        )
        result = tb.fit(recipe.set("training.epochs", "6"), out=tmp_path / view)
        # The loss of the labels has no weight: all that was learnt is the teacher's.
        assert (result.metrics["map"] or 0) > 90, view


def test_a_teacher_of_one_label_is_refused_for_several(
    table: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    teacher = teacher_file(tmp_path / "one.safetensors", classes=COLOURS)
    command = [
        "train",
        "small",
        "--data",
        str(table),
        "--set",
        "data.multi_label=true",
        "--out",
        str(tmp_path / "run"),
    ]
    assert main([*command, "--with", f"distillation:teacher={teacher}", "--epochs", "1"]) == 2
    error = capsys.readouterr().err
    assert (
        "one.safetensors says which one class an image shows, and these images have several labels"
        in error
    )
    assert "--without distillation" in error


def test_steps_have_no_top1_with_several_labels(
    table: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fit(multi_label_recipe(table, epochs=1), log=PlainLog(every_s=-1))
    steps = [line for line in capsys.readouterr().out.splitlines() if "  step " in line]
    assert all("loss" in line and "images/s" in line and "top-1" not in line for line in steps)
    assert len(steps) > 1


@pytest.mark.parametrize("accumulate", ["1", "2"])
def test_everything_that_mixes_trains_on_several_labels(
    table: Path, tmp_path: Path, accumulate: str
) -> None:
    mixed = (
        multi_label_recipe(table, epochs=1)
        .without("mixup")
        .plus(MixupCutMix(per="image"), BCE(), ClassWeights())
    )
    result = tb.fit(mixed.set("training.accumulate", accumulate), out=tmp_path / "run")
    assert result.metrics["map"] is not None
