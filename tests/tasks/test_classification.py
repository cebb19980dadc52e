"""What the trainer does for classification, with one label an image and with several.

The predictions of both are tested where runs validate: `tests/train/test_multi_label_runs.py` and
`tests/train/test_fit.py`; those of several processes in `tests/train/machine/test_parallel.py`.
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
import torch

from trickbag.data.loading.raw_batch import RawBatch
from trickbag.optim.losses import BinaryCrossEntropy, CrossEntropy
from trickbag.tasks.classification import ClassificationTask, Pace

N, K = 6, 3
CPU = torch.device("cpu")
PACE = Pace(rows=N, images=N, seconds=2.0)


def task(multi_label: bool) -> ClassificationTask:
    return ClassificationTask(num_classes=K, multi_label=multi_label)


def raw_batch(labels: torch.Tensor) -> RawBatch:
    images = torch.zeros(N, 3, 8, 8, dtype=torch.uint8)
    valid = torch.arange(N) != 2
    return RawBatch(images, labels, torch.arange(N), valid)


def test_the_loss_and_the_score_follow_from_the_labels() -> None:
    assert (task(False).score, task(False).loss()) == ("top1", CrossEntropy())
    assert (task(True).score, task(True).loss()) == ("map", BinaryCrossEntropy())


@pytest.mark.parametrize("multi_label", [False, True])
def test_an_unreadable_image_has_no_prediction(multi_label: bool) -> None:
    logits = torch.randn(N, K, generator=torch.Generator().manual_seed(0))
    labels = torch.eye(K, dtype=torch.int64)[torch.arange(N) % K]
    labels = labels if multi_label else labels.argmax(1)
    predictions = task(multi_label).predictions(torch.device("cpu"))
    predictions.add(raw_batch(labels), logits, labels)
    validation = predictions.validation(PACE, None)
    assert validation.index.tolist() == [0, 1, 3, 4, 5]
    assert np.array_equal(validation.labels, labels[validation.index].numpy())
    assert validation.throughput == 3.0
    assert np.isnan(validation.confidence).all() == multi_label
    assert (validation.thresholds is not None) == multi_label
    assert validation.logits is None
    assert validation.metrics[task(multi_label).score] is not None


@pytest.mark.parametrize("multi_label", [False, True])
def test_what_is_gathered_is_the_whole_part(multi_label: bool) -> None:
    logits = torch.randn(2 * N, K, generator=torch.Generator().manual_seed(0))
    labels = torch.eye(K, dtype=torch.int64)[torch.arange(2 * N) % K]
    labels = labels if multi_label else labels.argmax(1)
    gathered: list[list[object]] = []

    def gather(data: list[object]) -> list[list[object]]:
        gathered.append(data)
        return gathered

    for rows in (slice(N), slice(N, None)):
        predictions = task(multi_label).predictions(torch.device("cpu"))
        predictions.add(raw_batch(labels[rows]), logits[rows], labels[rows])
        validation = predictions.validation(PACE, None, gather)
    together = task(multi_label).predictions(torch.device("cpu"))
    for rows in (slice(N), slice(N, None)):
        together.add(raw_batch(labels[rows]), logits[rows], labels[rows])
    expected = together.validation(PACE, None)
    assert validation.index.tolist() == [0, 1, 3, 4, 5, 6, 7, 9, 10, 11]
    assert np.array_equal(validation.predicted, expected.predicted)
    assert np.array_equal(validation.labels, expected.labels)
    assert validation.metrics == pytest.approx(expected.metrics)
    # Both work at the same time: the slower one decides.
    assert validation.throughput == 2 * N / 2.0


def test_auc_ranks_images_whose_probability_is_one() -> None:
    # In float32 the probability of the second class is 1 for both; their order still counts.
    logits = torch.tensor([[0.0, 40.0], [0.0, 30.0], [0.0, -5.0]])
    labels = torch.tensor([1, 0, 0])
    raw = RawBatch(
        torch.zeros(3, 3, 8, 8), labels, torch.arange(3), torch.ones(3, dtype=torch.bool)
    )
    for rows, auc in ((slice(3), 100.0), (slice(1), None)):
        batch = RawBatch(*(column[rows] for column in raw[:4]))
        predictions = ClassificationTask(num_classes=2, multi_label=False).predictions(
            torch.device("cpu")
        )
        predictions.add(batch, logits[rows], labels[rows])
        assert predictions.validation(PACE, None).metrics["auc"] == auc


def test_auc_of_processes_is_that_of_all() -> None:
    logits = torch.randn(2 * N, 2, generator=torch.Generator().manual_seed(0))
    labels = torch.arange(2 * N) % 2
    gathered: list[list[object]] = []

    def gather(data: list[object]) -> list[list[object]]:
        gathered.append(data)
        return gathered

    two = ClassificationTask(num_classes=2, multi_label=False)
    together = two.predictions(torch.device("cpu"))
    for rows in (slice(N), slice(N, None)):
        predictions = two.predictions(torch.device("cpu"))
        for each in (predictions, together):
            each.add(raw_batch(labels[rows]), logits[rows], labels[rows])
        validation = predictions.validation(PACE, None, gather)
    expected = together.validation(PACE, None)
    assert 0 < (expected.metrics["auc"] or 0) < 100
    assert validation.metrics == pytest.approx(
        {name: value for name, value in expected.metrics.items() if value is not None}
        | {"top5": None}
    )
    assert validation.per_class() == expected.per_class()


@pytest.mark.parametrize("multi_label", [False, True])
def test_every_class_has_its_scores(multi_label: bool) -> None:
    labels = torch.eye(K, dtype=torch.int64)[torch.arange(N) % K]
    logits = torch.where(labels == 1, 4.0, -4.0)
    labels = labels if multi_label else labels.argmax(1)
    predictions = task(multi_label).predictions(torch.device("cpu"))
    predictions.add(raw_batch(labels), logits, labels)
    scores = [score.to_dict() for score in predictions.validation(PACE, None).per_class()]
    assert [score["support"] for score in scores] == [2, 2, 1]  # the third image is not readable
    assert all(score[name] == 100 for score in scores for name in ("recall", "precision", "f1"))


@pytest.mark.parametrize("multi_label", [False, True])
def test_kept_logits_are_in_the_order_of_the_images_of_all_processes(multi_label: bool) -> None:
    generator = torch.Generator().manual_seed(0)
    labels = torch.eye(K, dtype=torch.int64)[torch.arange(N) % K]
    labels = labels if multi_label else labels.argmax(1)
    logits = [torch.randn(N, K, generator=generator) for _ in range(2)]
    logits[1][3] = torch.nan
    processes = [task(multi_label).predictions(CPU, keep_logits=True) for _ in range(2)]
    for process, batch in zip(processes, logits, strict=True):
        process.add(raw_batch(labels), batch, labels)
    sent: list[list[Any]] = []

    def send(data: Any) -> list[Any]:
        sent.append(json.loads(json.dumps(data)))
        return [data]

    processes[0].validation(PACE, None, send)
    first, sent = sent, []
    processes[1].validation(PACE, None, send)
    rounds = iter([list(pair) for pair in zip(first, sent, strict=True)])
    validation = processes[0].validation(PACE, None, lambda data: next(rounds))
    assert validation.logits is not None
    assert validation.logits.dtype == np.float32
    read = [place for place in range(N) if place != 2]
    expected = torch.cat([batch[read] for batch in logits]).numpy()
    assert np.array_equal(validation.logits, expected, equal_nan=True)


@pytest.mark.parametrize("multi_label", [False, True])
def test_metrics_have_intervals_where_logits_are_kept(multi_label: bool) -> None:
    generator = torch.Generator().manual_seed(0)
    labels = torch.eye(K, dtype=torch.int64)[torch.arange(N) % K]
    labels = labels if multi_label else labels.argmax(1)
    logits = torch.randn(N, K, generator=generator)
    logits[1] = torch.nan
    for keep_logits in (False, True):
        predictions = task(multi_label).predictions(CPU, keep_logits=keep_logits)
        predictions.add(raw_batch(labels), logits, labels)
        validation = predictions.validation(PACE, (0.5,) * K if multi_label else None)
        assert ("top1" in validation.intervals()) == (keep_logits and not multi_label)
        confusions = validation.confusions([f"c{k}" for k in range(K)])
        assert (confusions is None) == multi_label
        if confusions is not None:
            assert validation.predicted[1] == -1
            assert np.isnan(validation.confidence[1])
            # Neither the image that could not be read, nor the one without logits.
            assert np.array(confusions.matrix).sum() == N - 2
