from __future__ import annotations

import dataclasses
import json
import shutil
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from sklearn.metrics import balanced_accuracy_score, log_loss, recall_score

from tests.builders.images import digit_folder, digits_of
from tests.builders.tiff import value_folder
from trickbag.data.dataset import prepare
from trickbag.errors import RunFailed, UserError
from trickbag.evaluate import Predictor, Trained, evaluate
from trickbag.recipes import load

if TYPE_CHECKING:
    from pathlib import Path

METRICS = ("top1", "top5", "loss", "ece", "balanced_accuracy", "macro_f1", "auc")


def epoch_rows(run: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


def test_the_best_epoch_comes_out_again_exactly(run: Path, trained: Trained) -> None:
    best = json.loads((run / "result.json").read_text())["metrics"]["best_epoch"]
    row = epoch_rows(run)[best - 1]
    evaluation = evaluate(trained, workers=0)
    assert {name: evaluation.metrics[name] for name in METRICS} == {n: row[n] for n in METRICS}
    assert evaluation.part == "val"
    assert evaluation.images == 9  # a fifth of 15 images of each of three classes
    assert evaluation.left_out == ()
    assert evaluation.notes == ()


def test_metrics_are_those_of_scikit_learn_on_the_predictions(run: Path, trained: Trained) -> None:
    part = prepare(load(str(run)).data).train
    raw = Predictor(trained=trained, calibrated=False)  # as the loss is
    probabilities = np.stack(
        [np.float64(p.probabilities) for p in raw.predict(part.read(i) for i in range(len(part)))]
    )
    probabilities /= probabilities.sum(1, keepdims=True)  # off one by float32's rounding
    evaluation = evaluate(trained, part="train", workers=0)
    assert evaluation.images == len(part) == 36
    assert evaluation.metrics["top1"] == pytest.approx(
        100 * np.mean(probabilities.argmax(1) == part.labels)
    )
    assert evaluation.metrics["top5"] is None  # three classes
    predicted = probabilities.argmax(1)
    assert evaluation.metrics["balanced_accuracy"] == pytest.approx(
        100 * balanced_accuracy_score(part.labels, predicted)
    )
    recalls = recall_score(part.labels, predicted, average=None)
    classes = evaluation.to_dict()["classes"]
    assert list(classes) == list(trained.classes)
    assert [scores["recall"] for scores in classes.values()] == pytest.approx(list(100 * recalls))
    assert evaluation.metrics["loss"] == pytest.approx(
        log_loss(part.labels, probabilities, labels=[0, 1, 2]), rel=1e-4
    )


def test_the_runs_own_data_elsewhere_are_split_as_ever(
    trained: Trained, photos: Path, tmp_path: Path
) -> None:
    shutil.copytree(photos, tmp_path / "moved")
    assert (
        evaluate(trained, data=str(tmp_path / "moved"), workers=0).metrics
        == evaluate(trained, workers=0).metrics
    )


def test_of_another_source_every_image_counts_and_classes_go_by_name(
    trained: Trained, predictor: Predictor, tmp_path: Path
) -> None:
    # Two of the three classes, so that every label has another number than in the network.
    other = digit_folder(tmp_path / "other", {"three": 3, "zero": 0}, 10, start=30)
    evaluation = evaluate(trained, data=str(other), workers=0)
    images = [image for label in (3, 0) for image in digits_of(label, 10, 30)]
    labels = [prediction.label for prediction in predictor.predict(images)]
    right = np.mean(np.array(labels) == np.array(["three"] * 10 + ["zero"] * 10))
    assert evaluation.images == 20
    assert evaluation.metrics["top1"] == pytest.approx(100 * right)
    assert evaluation.part == "train"


def test_the_part_of_another_source(trained: Trained, tmp_path: Path) -> None:
    names = {"one": 1, "three": 3, "zero": 0}
    for part, start, count in (("train", 40, 3), ("val", 50, 4), ("test", 60, 5)):
        digit_folder(tmp_path / part, names, count, start)
    images = {
        part: evaluate(trained, data=str(tmp_path), part=part, workers=0).images
        for part in ("train", "val", "test")
    }
    assert images == {"train": 9, "val": 12, "test": 15}
    assert evaluate(trained, data=str(tmp_path), workers=0).part == "val"
    shutil.rmtree(tmp_path / "val")
    assert evaluate(trained, data=str(tmp_path), workers=0).part == "test"
    with pytest.raises(UserError, match=r"--part val.*it has test, train"):
        evaluate(trained, data=str(tmp_path), part="val")


def test_a_part_that_the_runs_data_lack(trained: Trained) -> None:
    with pytest.raises(UserError, match="no test part; it has train, val"):
        evaluate(trained, part="test")


def test_a_class_that_the_network_does_not_know_is_named(trained: Trained, tmp_path: Path) -> None:
    digit_folder(tmp_path / "other", {"three": 3, "nine": 9}, 3)
    with pytest.raises(UserError, match=r"does not know: 'nine'; it knows one, three, zero"):
        evaluate(trained, data=str(tmp_path / "other"))
    digit_folder(tmp_path / "capitals", {"Three": 3, "one": 1}, 3)
    with pytest.raises(UserError, match=r"does not know: 'Three' \(it knows 'three'\); it knows"):
        evaluate(trained, data=str(tmp_path / "capitals"))


@pytest.mark.parametrize("names", [{"three": 3}, {"three": 3, "zero": 0}], ids=["one", "two"])
def test_data_without_some_classes(trained: Trained, tmp_path: Path, names: dict[str, int]) -> None:
    other = digit_folder(tmp_path / "other", names, 10, start=30)
    evaluation = evaluate(trained, data=str(other), workers=0)
    scores = evaluation.per_class
    recalls = [scores[name].recall for name in names]
    assert evaluation.images == 10 * len(names)
    assert evaluation.metrics["balanced_accuracy"] == pytest.approx(np.mean(recalls))
    absent = [name for name in trained.classes if name not in names]
    assert [name for name in trained.classes if scores[name].recall is None] == absent
    (note,) = [note for note in evaluation.notes if note.kind == "data"]
    assert f"no image of {len(absent)} of the network's 3 classes: {', '.join(absent)}" in note.text
    assert "the mean recall leaves them out, the mean F1 counts those that are pred" in note.text


def test_a_bad_file_is_left_out_and_named(trained: Trained, tmp_path: Path) -> None:
    other = digit_folder(tmp_path / "other", {"one": 1, "three": 3, "zero": 0}, 10, start=30)
    (other / "one" / "000.png").write_bytes(b"")
    evaluation = evaluate(trained, data=str(other), workers=0)
    assert evaluation.images == 29
    assert [(file, reason) for file, reason in evaluation.left_out] == [
        ("one/000.png", "empty file")
    ]
    for i in range(1, 4):
        (other / "three" / f"{i:03}.png").write_text("no image")
    with pytest.raises(
        RunFailed, match=r"4 of 30 images .* cannot be read, such as one/000.png \(empty file\)"
    ):
        evaluate(trained, data=str(other), workers=0)


def test_weights_on_their_own_need_data(
    run: Path, trained: Trained, photos: Path, tmp_path: Path
) -> None:
    shutil.copy(run / "best.safetensors", tmp_path / "mine.safetensors")
    alone = Trained.load(tmp_path / "mine.safetensors", "cpu")
    assert alone.plan is None
    assert (alone.classes, alone.preprocessing) == (trained.classes, trained.preprocessing)
    with pytest.raises(UserError, match="--data SOURCE"):
        evaluate(alone)
    assert (
        evaluate(alone, data=str(photos), workers=0).images == 45
    )  # what it was trained on is not known


def test_the_weights_file_in_its_folder_is_the_run(run: Path, trained: Trained) -> None:
    inside = Trained.load(run / "best.safetensors", "cpu")
    assert inside.plan == trained.plan
    assert evaluate(inside, workers=0).metrics == evaluate(trained, workers=0).metrics


def test_a_recipe_of_other_weights_is_not_taken(run: Path, tmp_path: Path) -> None:
    shutil.copytree(run, tmp_path / "mixed")
    record = json.loads((run / "recipe.json").read_text())
    record["resolved"]["model"]["depth"] = 34
    (tmp_path / "mixed" / "recipe.json").write_text(json.dumps(record))
    assert Trained.load(tmp_path / "mixed", "cpu").plan is None


def test_data_that_changed_are_said(photos: Path, run: Path, tmp_path: Path) -> None:
    moved, copy = tmp_path / "photos", tmp_path / "run"
    shutil.copytree(photos, moved)
    shutil.copytree(run, copy)
    record = json.loads((run / "recipe.json").read_text())
    record["data"]["source"] = str(moved)
    (copy / "recipe.json").write_text(json.dumps(record))
    assert evaluate(Trained.load(copy, "cpu"), workers=0).notes == ()
    (moved / "one" / "014.png").unlink()
    assert "changed since the run" in evaluate(Trained.load(copy, "cpu"), workers=0).notes[0].text


def test_the_number_of_workers_and_the_batch_change_nothing_to_speak_of(trained: Trained) -> None:
    default, small = evaluate(trained, workers=0), evaluate(trained, workers=0, batch_size=2)
    assert default.metrics["top1"] == small.metrics["top1"]
    assert default.metrics["loss"] == pytest.approx(small.metrics["loss"], rel=1e-4)


def test_the_callers_threads_are_left_as_they_were(trained: Trained) -> None:
    assert trained.plan is not None
    before = torch.get_num_threads()
    torch.set_num_threads(trained.plan.threads + 1)
    try:
        evaluate(trained, workers=0)
        assert torch.get_num_threads() == trained.plan.threads + 1
    finally:
        torch.set_num_threads(before)


class NotFinite(torch.nn.Module):
    """A network with a logit that is not finite for some of the images."""

    def __init__(self, network: torch.nn.Module, value: float, every: int) -> None:
        super().__init__()
        self.network, self.value, self.every = network, value, every
        self.seen = 0

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.network(images)
        rows = torch.arange(self.seen, self.seen + len(logits))
        self.seen += len(logits)
        logits = logits.clone()
        logits[rows % self.every == 0, 1] = self.value
        return logits


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_logits_that_are_not_finite(trained: Trained, photos: Path, value: float) -> None:
    def broken(every: int) -> Trained:
        return dataclasses.replace(trained, network=NotFinite(trained.network, value, every))

    good = evaluate(trained, workers=0)
    some = evaluate(broken(2), workers=0)
    assert (good.not_finite, good.to_dict()["not_finite"]) == (0, 0)
    assert some.to_dict()["not_finite"] == (some.images + 1) // 2
    assert f"not finite for {some.not_finite} of {some.images} images" in some.notes[-1].text
    assert some.metrics["top1"] <= 100 * (1 - some.not_finite / some.images)
    assert some.metrics["loss"] is None
    with pytest.raises(RunFailed, match=rf"not finite for all {good.images} images; try --prec"):
        evaluate(broken(1), workers=0)

    images = sorted(photos.rglob("*.png"))[:5]
    predictions = list(Predictor(trained=broken(2)).predict(images))
    assert [p.error for p in predictions[::2]] == [
        "the network gives logits that are not finite"
    ] * 3
    assert all(p.label is None for p in predictions[::2])
    assert all(p.error is None and p.label for p in predictions[1::2])


def test_pixels_of_another_depth_are_noted(trained: Trained, tmp_path: Path) -> None:
    def twelve_bits(seed: int) -> Any:
        return np.random.default_rng(seed).integers(0, 3000, (9, 9), np.uint16)

    root = value_folder(tmp_path / "deep", {"one": [twelve_bits(0)], "zero": [twelve_bits(1)]})
    evaluation = evaluate(trained, data=str(root), workers=0)
    texts = [note.text for note in evaluation.notes]
    assert any("use little of the pixel range: half of them at most" in text for text in texts)
    deep = dataclasses.replace(
        trained.preprocessing, pixel_range=(("integer", 0.0, 1023.0),), channels=None
    )
    evaluation = evaluate(
        dataclasses.replace(trained, preprocessing=deep), data=str(root), workers=0
    )
    texts = [note.text for note in evaluation.notes]
    assert any(
        "2 of 2 train images have values beyond the pixel range 0 to 1,023" in t for t in texts
    )
