from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import pytest
import torch

from trickbag.errors import RunFailed, UserError
from trickbag.evaluate.average import averaged
from trickbag.evaluate.evaluation import evaluate
from trickbag.evaluate.record import EvaluationRecord
from trickbag.evaluate.robustness.crops import Crops

if TYPE_CHECKING:
    from pathlib import Path

    from trickbag.evaluate import Trained


def test_logits_of_crops_give_the_metrics_of_an_evaluation(trained: Trained) -> None:
    with Crops(trained, workers=0, batch_size=4) as crops:
        batches = list(crops.batches())
    assert [len(batch.images) for batch in batches] == [4, 4, 1]
    assert torch.cat([batch.index for batch in batches]).tolist() == list(range(9))
    logits_NK = torch.cat([trained.logits(batch.images) for batch in batches])
    labels_N = torch.cat([batch.labels for batch in batches])
    top1 = 100 * (logits_NK.argmax(1) == labels_N).double().mean().item()
    evaluation = evaluate(trained, workers=0)
    assert top1 == pytest.approx(evaluation.metrics["top1"])
    assert (crops.images, crops.left_out, crops.notes) == (9, (), ())


def test_an_image_keeps_its_row_whatever_the_limit_leaves_out(trained: Trained) -> None:
    with Crops(trained, workers=0) as crops:
        (whole_part,) = crops.batches()
    with Crops(trained, workers=0, limit=4) as crops:
        (batch,) = crops.batches()
    assert batch.index.tolist() == [0, 2, 5, 8]
    assert torch.equal(batch.images, whole_part.images[batch.index])


def test_crops_have_the_preprocessing_that_is_given(trained: Trained) -> None:
    wider = dataclasses.replace(trained.preprocessing, image_size=(10, 12))
    with Crops(trained, workers=0, preprocessing=wider) as crops:
        (batch,) = crops.batches()
    assert batch.images.shape == (9, 3, 10, 12)
    assert batch.images.dtype == torch.uint8


def test_what_cannot_be_read_is_left_out_and_noted(
    trained: Trained, photos: Path, tmp_path: Path
) -> None:
    for label in ("one", "three", "zero"):
        (tmp_path / label).mkdir()
        for file in sorted((photos / label).iterdir())[:4]:
            (tmp_path / label / file.name).write_bytes(file.read_bytes())
    first = min((tmp_path / "one").iterdir())
    first.write_bytes(first.read_bytes()[:60])
    with Crops(trained, data=str(tmp_path), workers=0) as crops:
        count = sum(len(batch.images) for batch in crops.batches())
    assert count == crops.images == 11
    assert [error.file for error in crops.left_out] == [f"one/{first.name}"]
    assert crops.notes[-1].reason.startswith(f"left out: one/{first.name} (")
    for file in (tmp_path / "three").iterdir():
        file.write_bytes(file.read_bytes()[:60])
    damaged = Crops(trained, data=str(tmp_path), workers=0)
    with pytest.raises(RunFailed, match="max_bad_fraction"), damaged as crops:
        list(crops.batches())


def test_a_record_is_of_the_images_and_the_weights(trained: Trained) -> None:
    with Crops(trained, workers=0, limit=4) as crops:
        list(crops.batches())
    record = crops.record("shifts", metrics={"x": 1.0}, settings={"seed": 0}, details={})
    assert (record.kind, record.part, record.images) == ("shifts", "val", 4)
    assert (record.weights, record.epoch) == (trained.weights_title, trained.epoch)
    assert EvaluationRecord.from_dict(record.to_dict()) == record


def test_averages_have_one_crop_of_an_image_or_are_refused(trained: Trained) -> None:
    with Crops(averaged([trained], "flip"), workers=0, limit=3) as crops:
        (batch,) = crops.batches()
    assert batch.images.shape[1:] == trained.preprocessing.crop_shape
    with pytest.raises(UserError, match="other crops of an image for each of its views"):
        Crops(averaged([trained], "multi-scale"), workers=0)
