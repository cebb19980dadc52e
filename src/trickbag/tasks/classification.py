"""Classification, with one label an image or with several.

Shapes: N images of a batch, n images of the part, K classes.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from trickbag.functional.batch import Batch
from trickbag.functional.device import copied
from trickbag.metrics.classification import Classification
from trickbag.metrics.confusion import count_confusions
from trickbag.metrics.label_intervals import label_intervals
from trickbag.metrics.multi_label import MultiLabel
from trickbag.metrics.outcomes import class_intervals
from trickbag.metrics.per_class import ClassCounts, ClassScore
from trickbag.metrics.ranking import roc_auc
from trickbag.metrics.scores import class_scores
from trickbag.metrics.temperature import cross_fitted
from trickbag.optim.losses import BinaryCrossEntropy, CrossEntropy, binary_cross_entropy
from trickbag.tasks.task import (
    Forward,
    Gather,
    Pace,
    Predictions,
    Task,
    TaskValidation,
    TrainedNetwork,
)

if TYPE_CHECKING:
    from trickbag.data.loading.raw_batch import RawBatch
    from trickbag.metrics.bootstrap import Interval
    from trickbag.metrics.confusion import Confusions
    from trickbag.metrics.metric import TaskKind
    from trickbag.tricks.trick import Loss

__all__ = ["ClassificationTask", "Validation", "only_finite"]

Array = np.ndarray[Any, Any]


@dataclass(frozen=True, kw_only=True)
class ClassificationTask(Task):
    """What the trainer does for classification: the one place that decides by `multi_label`."""

    kind: ClassVar[TaskKind] = "classification"

    num_classes: int
    multi_label: bool

    @property
    def score(self) -> str:
        """The metric by which the best epoch is chosen: top-1, with several labels mAP."""
        return "map" if self.multi_label else "top1"

    def loss(self) -> Loss:
        """Return the loss of a batch, which tricks wrap or replace."""
        return BinaryCrossEntropy() if self.multi_label else CrossEntropy()

    def batch(self, raw: RawBatch) -> Batch:
        """Return images from 0 to 255 with dense targets."""
        multi_label = raw.labels.ndim == 2
        if multi_label:
            labels_NK = raw.labels
        else:
            labels_NK = functional.one_hot(raw.labels.clamp(min=0), self.num_classes)
        # An image that could not be read has a row of zeros. All that follows is linear in the
        # targets, so that it stays without weight.
        targets_NK = labels_NK.float() * raw.valid[:, None]
        # With several labels the sum of a row does not say how much of it counts.
        row_weights = raw.valid.float() if multi_label else None
        return Batch(
            raw.images.float(),
            targets_NK,
            raw.index,
            extras={},
            multi_label=multi_label,
            row_weights=row_weights,
        )

    def forward(self, trained: TrainedNetwork, batch: Batch) -> Forward:
        """Return loss, logits (N, K) and targets (N, K) of a batch."""
        images, views = batch.images, batch.views
        if views is not None:
            # One pass for all views: BatchNorm's statistics are those of all of them together.
            images = trained.in_layout(torch.cat([images, views.flatten(0, 1)]))
        with trained.autocast():
            output = trained.outputs(images)
        # A network with an auxiliary head returns its logits too.
        main, *auxiliary = output if isinstance(output, tuple) else (output,)
        loss, logits = _loss(trained.loss, main, batch)
        for auxiliary_logits in auxiliary:
            extra, _ = _loss(trained.loss, auxiliary_logits, batch)
            loss = loss + trained.auxiliary_weight * extra
        return loss, logits.detach(), batch.targets

    def count(self, outputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Return how many images have their class as the most probable one, and how many count."""
        counted_N = targets.sum(1) > 0
        right_N = outputs.argmax(1).eq(targets.argmax(1)) & counted_N
        return right_N.sum(), counted_N.sum()

    @property
    def counts_right(self) -> bool:
        """Whether top-1 is counted in training: not with several labels an image."""
        return not self.multi_label

    def outputs(self, network: nn.Module, images_NCHW: Tensor, raw: RawBatch) -> Tensor:
        """Return the logits (N, K) float32; all NaN for an image of which one is not finite."""
        return only_finite(network(images_NCHW).float())

    def not_finite(self, outputs: Tensor, raw: RawBatch) -> int:
        """Count the images that could be read and have a logit that is not finite."""
        # An image that could not be read has no logits of its own.
        return int((outputs.isnan().all(dim=1).cpu() & raw.valid).sum())

    def predictions(self, device: torch.device, *, keep_logits: bool = False) -> Predictions:
        """Return what collects the predictions of an evaluation and computes its metrics.

        With `keep_logits` the validation also has the logits, and the scores that need them.
        """
        if self.multi_label:
            return _MultiLabelPredictions(self.num_classes, keep_logits)
        return _ClassPredictions(self.num_classes, device, keep_logits)


def only_finite(logits_NK: Tensor) -> Tensor:
    """Return the logits (N, K) of a batch; all NaN for an image of which one is not finite.

    Otherwise one that is infinite could pass for a sure prediction.
    """
    return torch.where(logits_NK.isfinite().all(dim=1, keepdim=True), logits_NK, torch.nan)


def _loss(loss: Loss, logits: Any, batch: Batch) -> tuple[Tensor, Tensor]:
    """Return the loss of the logits of all views, (N + NV, K), and those of the images."""
    # Reduced precision ends here: numbers in bf16 have two to three digits, too few for a loss.
    logits, views = logits.float(), batch.views
    if views is not None:
        n = len(views)
        view_logits = logits[n:].unflatten(0, views.shape[:2])
        logits, batch = logits[:n], batch._replace(view_logits=view_logits)
    return loss(logits, batch), logits


@dataclass(frozen=True)
class Validation(TaskValidation):
    """The metrics of a part, and the predictions for its images.

    `index` (n,) are the images' places in the part, `labels` and `predicted` (n,) class indices,
    `confidence` (n,) in [0, 1], `counts` those of each class. An image with a logit that is not
    finite is predicted as -1, no class, with a confidence of NaN. With several labels an image
    `multi_label` has the metrics by class in place of `counts`, labels and predictions are (n, K)
    of 0 and 1, and the confidence is NaN. `throughput` is in images/s: of the network and its
    metrics, without the reading of images. `not_finite` images have a logit that is not finite.
    `logits` (n, K) float32 are there where they were kept, NaN for such images; `scores` are the
    metrics that only they give: the calibrated ones by temperatures of the other folds of these
    images (`cross_fitted`), or at the `temperature` of other images, if there is one.
    """

    labels: np.ndarray[Any, np.dtype[np.int64]]
    predicted: np.ndarray[Any, np.dtype[np.int64]]
    confidence: np.ndarray[Any, np.dtype[np.float64]]
    multi_label: MultiLabel | None = None
    counts: ClassCounts | None = None
    logits: np.ndarray[Any, np.dtype[np.float32]] | None = None
    cross_fitted: bool = True
    temperature: float | None = None

    def per_class(self) -> Sequence[ClassScore]:
        """Return the scores of every class, in order."""
        if self.multi_label is not None:
            return self.multi_label.per_class()
        return self.counts.scores() if self.counts is not None else ()

    def intervals(self) -> dict[str, Interval]:
        """Return the 95 % intervals of the metrics over images; none of one label without logits.

        They say how far a metric varies with other images of the kind, and not with another seed.
        """
        if self.multi_label is not None:
            return label_intervals(self.multi_label, self.metrics, self.logits)
        if self.logits is None:
            return {}
        divisor = cross_fitted(self.logits, self.labels) if self.cross_fitted else self.temperature
        return class_intervals(self.logits, self.labels, divisor)

    def confusions(self, classes: Sequence[str]) -> Confusions | None:
        """Return which classes are taken for which others; None with several labels an image."""
        if self.multi_label is not None:
            return None
        return count_confusions(self.labels, self.predicted, classes)

    @property
    def thresholds(self) -> tuple[float, ...] | None:
        """The threshold of each class if images have several labels, else None."""
        return None if self.multi_label is None else self.multi_label.thresholds


class _ClassPredictions(Predictions):
    """Predictions of one class an image, with its probability as the confidence.

    Of two classes the scores are kept too, by which AUC ranks the images.
    """

    def __init__(self, num_classes: int, device: torch.device, keep_logits: bool) -> None:
        self._counter = Classification(num_classes, device)
        self._logits = _KeptLogits(num_classes) if keep_logits else None
        self._binary = num_classes == 2
        # Places in the part, labels, predicted classes, confidences, and scores of two classes.
        self._types = (np.int64, np.int64, np.int64, np.float64, np.float64)[: 4 + self._binary]
        self._columns: list[list[Array]] = [[np.zeros(0, dtype)] for dtype in self._types]

    def add(self, raw: RawBatch, logits_NK: Tensor, labels: Tensor) -> None:
        self._counter.update(logits_NK, labels, copied(raw.valid, labels.device))
        confidence, predicted = logits_NK.softmax(dim=1).max(dim=1)
        # A maximum of NaN would be found at the first class, and count as right where that is one.
        predicted = torch.where(confidence.isnan(), -1, predicted)
        batch = [raw.index, raw.labels, predicted.cpu(), confidence.cpu().double()]
        if self._binary:
            # By this difference the probability of the second class ranks the images; in float32
            # the probability itself is 1 from a difference of 17 on.
            first, second = logits_NK.cpu().double().T
            batch.append(second - first)
        for column, tensor in zip(self._columns, batch, strict=True):
            column.append(tensor.numpy()[raw.valid.numpy()])
        if self._logits is not None:
            self._logits.add(raw, logits_NK)

    def validation(
        self, pace: Pace, thresholds: tuple[float, ...] | None, gather: Gather | None = None
    ) -> Validation:
        columns = [np.concatenate(column) for column in self._columns]
        if gather is not None:
            return self._of_all(gather, pace, columns)
        return self._validation(columns, Pace.throughput(pace.images, pace.seconds), None)

    def _of_all(self, gather: Gather, pace: Pace, columns: list[Array]) -> Validation:
        """Return the validation of the whole part, its images in the order of the part."""
        state = {name: tensor.tolist() for name, tensor in self._counter.state().items()}
        gathered = gather([state, *pace, [column.tolist() for column in columns]])
        states, rows, images, seconds, tables = zip(*gathered, strict=True)
        total = self._counter.state()
        for name, tensor in total.items():
            counts = torch.tensor([each[name] for each in states], dtype=tensor.dtype)
            tensor.copy_(counts.sum(dim=0))
        self._counter.load_state(total)
        # Each process counts its rows from 0; the last sum is the end of all, and starts nothing.
        for table, start in zip(tables, np.cumsum([0, *rows]), strict=False):
            table[0] = [int(start) + row for row in table[0]]
        columns = [
            np.concatenate([np.array(part, dtype) for part in column])
            for column, dtype in zip(zip(*tables, strict=True), self._types, strict=True)
        ]
        # The processes work at the same time, so that the slowest one decides.
        return self._validation(columns, Pace.throughput(sum(images), max(seconds)), gather)

    def _validation(
        self, columns: list[Array], throughput: float | None, gather: Gather | None
    ) -> Validation:
        index, labels, predicted, confidence, *scores = columns
        auc = roc_auc(scores[0], labels == 1) if self._binary else None
        logits = None if self._logits is None else self._logits.all_rows(gather)
        return Validation(
            metrics=self._counter.compute() | {"auc": None if auc is None else 100 * auc},
            throughput=throughput,
            index=index,
            labels=labels,
            predicted=predicted,
            confidence=confidence,
            counts=self._counter.class_counts(),
            logits=logits,
            scores={} if logits is None else class_scores(logits, labels),
        )


class _KeptLogits:
    """The logits of the images that could be read, of which metrics are computed at the end."""

    def __init__(self, num_classes: int) -> None:
        self._rows = [np.zeros((0, num_classes), np.float32)]

    def add(self, raw: RawBatch, logits_NK: Tensor) -> None:
        """Add the logits of a batch."""
        self._rows.append(logits_NK.cpu().float().numpy()[raw.valid.numpy()])

    def all_rows(self, gather: Gather | None) -> np.ndarray[Any, np.dtype[np.float32]]:
        """Return the logits (n, K) of this process, or with `gather` of all processes."""
        rows = np.concatenate(self._rows)
        if gather is None:
            return rows
        # As text of bytes: each number as a text of its own would take ten times the memory.
        texts = gather(base64.b64encode(rows.tobytes()).decode())
        parts = [np.frombuffer(base64.b64decode(text), np.float32) for text in texts]
        return np.concatenate(parts).reshape(-1, rows.shape[1])


class _MultiLabelPredictions(Predictions):
    """Predictions of several labels an image: all probabilities, as metrics rank them."""

    def __init__(self, num_classes: int, keep_logits: bool) -> None:
        self._logits = _KeptLogits(num_classes) if keep_logits else None
        self._index: list[Array] = []
        self._scores = [np.zeros((0, num_classes))]
        self._labels = [np.zeros((0, num_classes), np.int64)]
        self._loss = torch.zeros((), dtype=torch.float64)

    def add(self, raw: RawBatch, logits_NK: Tensor, labels: Tensor) -> None:
        valid = copied(raw.valid, labels.device)
        # In float32 a sigmoid is 1 from logits of 17 on, and the ranking of images would be lost.
        logits, labels_NK = logits_NK[valid].cpu().double(), labels[valid].cpu()
        self._index.append(raw.index.numpy()[raw.valid.numpy()])
        self._scores.append(logits.sigmoid().numpy())
        self._labels.append(labels_NK.numpy())
        weights_N = logits.new_ones(len(logits))
        self._loss += binary_cross_entropy(logits, labels_NK.double(), weights_N).sum()
        if self._logits is not None:
            self._logits.add(raw, logits_NK)

    def validation(
        self, pace: Pace, thresholds: tuple[float, ...] | None, gather: Gather | None = None
    ) -> Validation:
        index = np.concatenate(self._index) if self._index else np.zeros(0, np.int64)
        scores, labels = np.concatenate(self._scores), np.concatenate(self._labels)
        loss, images, seconds = float(self._loss), pace.images, pace.seconds
        if gather is not None:
            row = [scores.tolist(), labels.tolist(), loss, *pace, index.tolist()]
            columns = list(zip(*gather(row), strict=True))
            shape = (-1, scores.shape[1])
            scores = np.concatenate([np.array(c, np.float64).reshape(shape) for c in columns[0]])
            labels = np.concatenate([np.array(c, np.int64).reshape(shape) for c in columns[1]])
            loss, rows, images, seconds = (
                sum(columns[2]),
                columns[3],
                sum(columns[4]),
                max(columns[5]),
            )
            starts = np.cumsum([0, *rows])
            index = np.concatenate(
                [
                    np.array(part, np.int64) + start
                    for part, start in zip(columns[6], starts, strict=False)
                ]
            )
        multi_label, n = MultiLabel.of(scores, labels, thresholds), len(scores)
        metrics: dict[str, float | None] = dict.fromkeys(("top1", "top5", "loss", "ece"))
        metrics["loss"] = loss / n if n and np.isfinite(loss) else None
        return Validation(
            metrics=metrics | multi_label.metrics(),
            throughput=Pace.throughput(images, seconds),
            index=index,
            labels=multi_label.labels,
            predicted=multi_label.predicted,
            confidence=np.full(n, np.nan),
            multi_label=multi_label,
            logits=None if self._logits is None else self._logits.all_rows(gather),
        )
