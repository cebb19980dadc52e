"""What differs by task in training and evaluation: the seam that the trainer calls.

A task builds batches of what was loaded, computes the loss of a batch, and collects predictions of
which metrics are computed. All else (steps, schedules, averages, checkpoints, resume) is the
trainer's, once for all tasks. Shapes: N images of a batch, n images of a part.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from trickbag.metrics.metric import EVALUATED

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from trickbag.data.loading.raw_batch import RawBatch
    from trickbag.data.source import Part
    from trickbag.functional.batch import Batch
    from trickbag.metrics.bootstrap import Interval
    from trickbag.metrics.metric import TaskKind
    from trickbag.metrics.score_records import AnyScore
    from trickbag.tricks.trick import Loss

__all__ = [
    "Forward",
    "Gather",
    "Pace",
    "Predictions",
    "Stored",
    "Task",
    "TaskValidation",
    "TrainedNetwork",
    "places_in_part",
]

Gather = Callable[[Any], list[Any]]
"""Returns the plain data of every process, in the order of their ranks."""

Forward = tuple[Tensor, Tensor, Tensor]
"""What a forward pass returns: the loss, a scalar, the mean over the rows; the outputs, a row for
each image, without gradient; and the targets. Of classification these are the logits (N, K) in
float32 and the targets (N, K)."""


class TrainedNetwork(Protocol):
    """What a task needs of a run for a forward pass."""

    @property
    def network(self) -> nn.Module:
        """The network that is trained."""

    def outputs(self, images_NCHW: Tensor) -> Any:
        """Return what the network makes of images, with the weights that the step computes with."""

    @property
    def loss(self) -> Loss:
        """The loss, as the tricks change it."""

    @property
    def auxiliary_weight(self) -> float:
        """The weight of the loss of an auxiliary head."""

    def autocast(self) -> AbstractContextManager[Any]:
        """Return the context of the run's precision."""

    def in_layout(self, images_NCHW: Tensor) -> Tensor:
        """Return images in the run's memory layout."""


class Stored(NamedTuple):
    """A file of predictions in a run's folder: its name, and its bytes."""

    name: str
    content: bytes


@dataclass(frozen=True)
class TaskValidation:
    """The metrics of a part of the data.

    `index` (n,) are the places in the part of the images that could be read. `throughput` is in
    images/s: of the network and its metrics, without the reading of images. `not_finite` images
    have an output that is not finite. `scores` are metrics that not every epoch has.
    """

    metrics: dict[str, float | None]
    throughput: float | None
    index: np.ndarray[Any, np.dtype[np.int64]]
    not_finite: int = field(default=0, kw_only=True)
    scores: dict[str, float | None] = field(default_factory=dict, kw_only=True)

    @property
    def all_metrics(self) -> dict[str, float | None]:
        """The metrics, those that not every epoch has included."""
        return self.metrics | self.scores

    @property
    def thresholds(self) -> tuple[float, ...] | None:
        """The threshold of each class if images have several labels, else None."""
        return None

    def per_class(self) -> Sequence[AnyScore]:
        """Return the scores of every class, in order; none where the task has no such scores."""
        return ()

    def intervals(self) -> dict[str, Interval]:
        """Return the 95 % intervals of the metrics over images."""
        return {}

    def stored(self, part: Part, classes: Sequence[str]) -> Stored | None:
        """Return the file of the predictions for a part; None if a run writes its rows itself."""
        return None


class Pace(NamedTuple):
    """How many rows of the part a process has, and the images it evaluated in how many seconds."""

    rows: int
    images: int
    seconds: float

    @staticmethod
    def throughput(images: int, seconds: float) -> float | None:
        """Return images/s; None if no time was measured."""
        return images / seconds if seconds else None


def places_in_part(indices: Sequence[Sequence[int]], rows: Sequence[int]) -> list[int]:
    """Return the places in the part of the images of all processes.

    Each process has `rows` consecutive images of the part, and counts its `indices` from 0.
    """
    starts = np.cumsum([0, *rows])
    # The last sum is the end of all, and starts nothing.
    return [
        int(start) + index
        for start, places in zip(starts, indices, strict=False)
        for index in places
    ]


class Predictions(ABC):
    """The predictions of a network so far, from which metrics are computed at the end."""

    @abstractmethod
    def add(self, raw: RawBatch, outputs: Any, labels: Tensor) -> None:
        """Add a batch; images that could not be read count nothing."""

    @abstractmethod
    def validation(
        self, pace: Pace, thresholds: tuple[float, ...] | None, gather: Gather | None = None
    ) -> TaskValidation:
        """Return the metrics and predictions of this process, or with `gather` of all processes.

        Labels are predicted at `thresholds`, by default at the best for these images; with one
        label an image, and in other tasks, there are none.
        """


class Task(ABC):
    """What the trainer does for a task; `kind` is the name of its settings."""

    kind: ClassVar[TaskKind]

    draws: ClassVar[bool] = False
    """Whether `begin` sets what the network draws."""

    num_classes: int

    @property
    @abstractmethod
    def score(self) -> str:
        """The metric by which the best epoch is chosen."""

    def needs_logits(self, score: str) -> bool:
        """Tell whether a metric is computed only with `keep_logits`, see `predictions`."""
        return EVALUATED[score].needs_logits

    @abstractmethod
    def loss(self) -> Loss:
        """Return the loss of a batch, which tricks wrap or replace."""

    def weight(self, raw: RawBatch) -> int:
        """Return how much the images of a batch count in its loss, in units of `unit`.

        That is by default the number of those that could be read.
        """
        return int(raw.valid.sum())

    def unit(self, raw: RawBatch) -> int:
        """Return how many units of `weight` an image has that counts in full."""
        return 1

    def begin(self, network: nn.Module, seed: int) -> None:
        """Set what a network draws in the next forward pass of training, besides its layers.

        By default that is nothing.
        """
        del network, seed

    @abstractmethod
    def batch(self, raw: RawBatch) -> Batch:
        """Return images from 0 to 255 with their targets, float32."""

    @abstractmethod
    def forward(self, trained: TrainedNetwork, batch: Batch) -> Forward:
        """Return loss, outputs and targets of a batch of normalised images."""

    @abstractmethod
    def count(self, outputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Return how many images of a batch are right, and how many count.

        These are scalars on the device, of shares of images in segmentation. Where a task has no
        such thing, none is right.
        """

    @property
    def counts_right(self) -> bool:
        """Whether `count` says how many images are right: the top-1 accuracy in training."""
        return False

    @abstractmethod
    def outputs(self, network: nn.Module, images_NCHW: Tensor, raw: RawBatch) -> Any:
        """Return what a network, in evaluation mode, says of normalised images."""

    @abstractmethod
    def not_finite(self, outputs: Any, raw: RawBatch) -> int:
        """Count the images that could be read and have an output that is not finite."""

    @abstractmethod
    def predictions(self, device: torch.device, *, keep_logits: bool = False) -> Predictions:
        """Return what collects the predictions of an evaluation and computes its metrics.

        With `keep_logits` the validation also has what only the logits give.
        """
