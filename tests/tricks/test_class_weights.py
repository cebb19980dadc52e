"""Class weights: against formulas by hand, with both losses, smoothing and the pipeline."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch.nn import functional

from trickbag.data.config import DataConfig
from trickbag.data.loading.preprocess import Preprocessing
from trickbag.data.loading.raw_batch import RawBatch
from trickbag.errors import DoesNotApply, UserError
from trickbag.optim.losses import (
    BinaryCrossEntropy,
    CrossEntropy,
    binary_cross_entropy,
    cross_entropy,
)
from trickbag.tasks.classification import ClassificationTask
from trickbag.train.pipeline import Pipeline, weigh_classes
from trickbag.tricks.class_weights import ClassWeights, effective_number, inverse_frequency
from trickbag.tricks.label_smoothing import LabelSmoothing
from trickbag.tricks.trick import Batch, NoEffect, Timestamp


def test_weights_by_frequency_and_by_effective_number() -> None:
    counts = (900, 90, 10)
    # As scikit-learn's "balanced".
    assert inverse_frequency(counts) == pytest.approx([1000 / 3 / n for n in counts])
    weights = effective_number(counts, 0.99)
    effective = [(1 - 0.99**n) / 0.01 for n in counts]
    assert [w / weights[0] for w in weights] == pytest.approx([effective[0] / e for e in effective])
    for scaled in (weights, inverse_frequency(counts)):
        assert sum(w * n for w, n in zip(scaled, counts, strict=True)) == pytest.approx(1000)
    assert effective_number(counts, 0.0) == pytest.approx([1.0, 1.0, 1.0])
    assert effective_number((5, 0, 1))[1] == effective_number((5, 0, 1))[2]


@pytest.mark.parametrize("loss", [cross_entropy, binary_cross_entropy])
def test_weights_by_frequency_make_classes_equally_likely(loss: Any) -> None:
    # If only the bias is learned, the optimum is each class's share of the weights: 1 / 3 for all.
    counts = (900, 90, 10)
    targets = functional.one_hot(
        torch.arange(3).repeat_interleave(torch.tensor(counts)), 3
    ).double()
    # The sigmoid and the softmax of this bias are 1 / 3.
    bias = torch.full((3,), math.log(1 / 2), dtype=torch.float64, requires_grad=True)
    weights = torch.tensor(inverse_frequency(counts), dtype=torch.float64)
    loss(bias.expand(1000, 3), weights * targets).sum().backward()
    assert bias.grad is not None
    assert bias.grad.abs().max() < 1e-9


def test_equal_classes_have_no_weights_and_wrong_numbers_are_refused() -> None:
    with pytest.raises(NoEffect, match="all classes have as many images"):
        ClassWeights().class_weights((1.0,) * 3, (7, 7, 7))
    with pytest.raises(NoEffect, match="with beta = 0 all classes weigh the same"):
        ClassWeights(by="effective_number", beta=0.0).class_weights((1.0,) * 3, (7, 70, 700))
    with pytest.raises(
        DoesNotApply, match=r"weights has 4 values and the data have 3 classes\. Give one"
    ):
        ClassWeights(by="given", weights=(0.5, 1.0, 2.0, 0.25)).class_weights((1.0,) * 3, (1, 2, 3))
    with pytest.raises(UserError, match="give one for each class"):
        ClassWeights(by="given")
    with pytest.raises(UserError, match="they need by=given"):
        ClassWeights(weights=(1.0, 2.0))
    with pytest.raises(UserError, match="at least one must be above 0"):
        ClassWeights(by="given", weights=(0.0, 0.0))


@pytest.mark.parametrize("definition", ["uniform", "others"])
@pytest.mark.parametrize("multi_label", [False, True], ids=["one_label", "several_labels"])
@pytest.mark.parametrize("binary", [False, True])
def test_smoothing_never_changes_the_predicted_class(
    definition: Any, multi_label: bool, binary: bool
) -> None:
    # With 600 images of one class and one of the other, a weight on the smoothed target would make
    # the part of the rare class larger than that of the class which the image shows.
    weights = torch.tensor(inverse_frequency((600, 1))).double()
    smoothing = LabelSmoothing(definition=definition)
    batch = Batch(
        torch.zeros(1, 3, 1, 1),
        torch.tensor([[1.0, 0.0]]).double(),
        torch.arange(1),
        {},
        multi_label=multi_label,
        row_weights=torch.ones(1, dtype=torch.float64) if multi_label else None,
    )
    batch = smoothing.batch(weigh_classes(batch, weights))
    logits = torch.zeros(1, 2, dtype=torch.float64, requires_grad=True)
    loss = BinaryCrossEntropy() if binary or multi_label else CrossEntropy()
    loss(logits, batch).backward()
    assert logits.grad is not None
    assert logits.grad[0, 0] < 0 < logits.grad[0, 1]


def test_the_pipeline_weighs_images() -> None:
    data = DataConfig()
    pipeline = Pipeline(
        task=ClassificationTask(num_classes=2, multi_label=False),
        preprocessing=Preprocessing.of(data, 8),
        flip_prob=0.0,
        tricks=(LabelSmoothing(),),
        class_weights=torch.tensor([0.5, 30.0]),
    )
    raw = RawBatch(
        torch.zeros(3, 3, 8, 8, dtype=torch.uint8),
        torch.tensor([0, 1, 1]),
        torch.arange(3),
        torch.tensor([True, True, False]),
    )
    batch = pipeline(raw, pipeline.draw(3, 0, Timestamp(), torch.device("cpu")))
    torch.testing.assert_close(
        batch.targets, torch.tensor([[0.475, 0.025], [1.5, 28.5], [0.0, 0.0]])
    )
