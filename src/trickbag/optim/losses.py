"""The losses of a batch with dense targets: softmax and binary cross-entropy.

Shapes: N images, K classes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from torch import Tensor
from torch.nn import functional

if TYPE_CHECKING:
    from trickbag.functional.batch import Batch

__all__ = [
    "BinaryCrossEntropy",
    "CrossEntropy",
    "binary_cross_entropy",
    "binary_targets",
    "cross_entropy",
]


def cross_entropy(logits_NK: Tensor, targets_NK: Tensor) -> Tensor:
    """Return `-sum_k targets log softmax(logits)` of each row, (N,).

    A row counts by the sum of its targets: a row of zeros counts nothing.
    """
    return -(targets_NK * logits_NK.log_softmax(dim=1)).sum(dim=1)


def binary_cross_entropy(
    logits_NK: Tensor, targets_NK: Tensor, weights: Tensor | None = None
) -> Tensor:
    """Return `-sum_k (q log p + (v - q) log(1 - p))` of each row, (N,), with `p = sigmoid(logits)`.

    q are the targets. v are the `weights`, (N,) one for each row or (N, K) one for each class of a
    row: 1, 0 for an image that could not be read, in between where it was mixed with another, or
    the weight of the class. If None, v is the sum of the row's targets: the same for images with
    one label each.
    """
    if weights is None:
        weights = targets_NK.sum(dim=1)
    weights_NK = weights if weights.ndim == 2 else weights[:, None]
    # log(1 - p) = log p - z, so that a large logit does not lose its bits in 1 - p.
    loss_NK = (weights_NK - targets_NK) * logits_NK - weights_NK * functional.logsigmoid(logits_NK)
    return loss_NK.sum(dim=1)


def binary_targets(targets_NK: Tensor, threshold: float, weights: Tensor | None = None) -> Tensor:
    """Return 1 for each target above the threshold, else 0, (N, K).

    `weights` are v of `binary_cross_entropy`: a target is compared with `threshold v`, and v stands
    in the place of 1, so that a row counts as much as before. Source: Wightman et al. 2021 (arXiv
    2110.00476), section 3; `target_threshold` of timm's loss.
    """
    if weights is None:
        weights = targets_NK.sum(dim=1)
    weights_NK = weights if weights.ndim == 2 else weights[:, None]
    return (targets_NK > threshold * weights_NK) * weights_NK


@dataclass(frozen=True)
class CrossEntropy:
    """Softmax cross-entropy with dense targets, the mean over the rows."""

    def __call__(self, logits_NK: Tensor, batch: Batch) -> Tensor:
        """Return the mean loss of a batch, a scalar."""
        # Over all rows, whatever they count: the step divides by what could be read.
        return cross_entropy(logits_NK, batch.targets).mean()


@dataclass(frozen=True)
class BinaryCrossEntropy:
    """Binary cross-entropy with dense targets: over the classes `reduction`, over rows the mean.

    With a `threshold` targets above it are 1, all others 0.
    """

    reduction: Literal["sum", "mean"] = "sum"
    threshold: float | None = None

    def __call__(self, logits_NK: Tensor, batch: Batch) -> Tensor:
        """Return the mean loss of a batch, a scalar."""
        targets, weights = batch.targets, batch.label_weights()
        if self.threshold is not None:
            # The rows of thresholded targets can have any sum.
            weights = targets.sum(dim=1) if weights is None else weights
            targets = binary_targets(targets, self.threshold, weights)
        loss = binary_cross_entropy(logits_NK, targets, weights).mean()
        return loss if self.reduction == "sum" else loss / logits_NK.shape[1]
