"""The losses of a batch with dense targets: softmax cross-entropy, and binary cross-entropy of each class by itself.

Shapes: N images, K classes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from torch import Tensor
from torch.nn import functional

if TYPE_CHECKING:
    from trickbag.tricks.trick import Batch

__all__ = ["BinaryCrossEntropy", "CrossEntropy", "binary_cross_entropy", "cross_entropy"]


def cross_entropy(logits_NK: Tensor, targets_NK: Tensor) -> Tensor:
    """Return `-sum_k targets log softmax(logits)` of each row, (N,); a row counts by its sum, one
    of zeros nothing."""
    return -(targets_NK * logits_NK.log_softmax(dim=1)).sum(dim=1)


def binary_cross_entropy(
    logits_NK: Tensor, targets_NK: Tensor, valid: Tensor | None = None
) -> Tensor:
    """Return `-sum_k (q log p + (v - q) log(1 - p))` of each row, (N,), with `p = sigmoid(logits)`.

    v says how much counts: 1, 0 for an image that could not be read, in between where it was mixed
    with another, or the weight of its class. It is `valid`, (N,) for each row or (N, K) for each of
    its classes, or the sum of the row's targets q where None: the same for images with one label
    each.
    """
    if valid is None:
        valid = targets_NK.sum(dim=1)
    valid_NK = valid if valid.ndim == 2 else valid[:, None]
    # log(1 - p) = log p - z
    return ((valid_NK - targets_NK) * logits_NK - valid_NK * functional.logsigmoid(logits_NK)).sum(
        dim=1
    )


@dataclass(frozen=True)
class CrossEntropy:
    """Cross-entropy with dense targets, its mean over the rows: the loss that tricks wrap or
    replace."""

    def __call__(self, logits_NK: Tensor, batch: Batch) -> Tensor:
        """Return the mean loss of a batch, a scalar."""
        return cross_entropy(logits_NK, batch.targets).mean()


@dataclass(frozen=True)
class BinaryCrossEntropy:
    """Binary cross-entropy with dense targets, its mean over the rows of the sum, or the mean, over the classes.

    Data with several labels an image say in the extra `valid` how much of a row counts, and where
    classes are weighted in the extra `counts` how much of each of its classes; see
    `binary_cross_entropy`.
    """

    reduction: Literal["sum", "mean"] = "sum"

    def __call__(self, logits_NK: Tensor, batch: Batch) -> Tensor:
        """Return the mean loss of a batch, a scalar."""
        loss = binary_cross_entropy(logits_NK, batch.targets, batch.counts()).mean()
        return loss if self.reduction == "sum" else loss / logits_NK.shape[1]
