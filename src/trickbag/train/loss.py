"""The losses of a batch with dense targets: softmax cross-entropy, and binary cross-entropy of each class by itself.

Shapes: N images, K classes.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, Protocol, Self, runtime_checkable

from torch import Tensor
from torch.nn import functional

if TYPE_CHECKING:
    from trickbag.tricks.trick import Batch, Loss

__all__ = ["BinaryCrossEntropy", "CrossEntropy", "Weighted", "binary_cross_entropy", "cross_entropy"]


@runtime_checkable
class Weighted(Protocol):
    """A loss that has room for weights of the classes."""

    def weighted(self, class_weights_K: Tensor) -> Loss:
        """Return the loss with weights for the classes, on its device."""


def cross_entropy(logits_NK: Tensor, targets_NK: Tensor, class_weights_K: Tensor | None = None) -> Tensor:
    """Return `-sum_k w_k targets log softmax(logits)` of each row, (N,); a row of zero targets counts nothing."""
    if class_weights_K is not None:
        targets_NK = targets_NK * class_weights_K
    return -(targets_NK * logits_NK.log_softmax(dim=1)).sum(dim=1)


def binary_cross_entropy(
    logits_NK: Tensor,
    targets_NK: Tensor,
    valid_N: Tensor | None = None,
    class_weights_K: Tensor | None = None,
) -> Tensor:
    """Return `-sum_k (q log p + (v - q) log(1 - p))` of each row, (N,), with `p = sigmoid(logits)`.

    v says how much of a row counts: 1, 0 for an image that could not be read, in between where it was mixed with
    another. It is `valid_N`, or the sum of the row's targets q where None: the same for images with one label each.

    With weights of the classes, images with one label each (`valid_N` None) weigh as much as their class in all terms,
    so `w_k q_k` stands for `q_k` in both places (Cui et al. 2019, section 4). With several labels only the terms of
    classes that an image does show are weighted, `w_k q_k log p_k`: a weight on all terms of a class would leave each
    class the question that it was.
    """
    shown_NK = targets_NK if class_weights_K is None else targets_NK * class_weights_K
    if valid_N is None:
        both_NK = shown_NK.sum(dim=1)[:, None]
        hidden_NK = both_NK - shown_NK
    else:
        both_NK = valid_N[:, None] + (shown_NK - targets_NK)
        hidden_NK = valid_N[:, None] - targets_NK
    # log(1 - p) = log p - z
    return (hidden_NK * logits_NK - both_NK * functional.logsigmoid(logits_NK)).sum(dim=1)


@dataclass(frozen=True, eq=False)
class CrossEntropy:
    """Cross-entropy with dense targets, its mean over the rows: the loss that tricks wrap or replace.

    `class_weights` (K,) multiply the terms of each class.
    """

    class_weights: Tensor | None = None

    def weighted(self, class_weights_K: Tensor) -> Self:
        """Return the loss with weights for the classes."""
        return replace(self, class_weights=class_weights_K)

    def __call__(self, logits_NK: Tensor, batch: Batch) -> Tensor:
        """Return the mean loss of a batch, a scalar."""
        return cross_entropy(logits_NK, batch.targets, self.class_weights).mean()


@dataclass(frozen=True, eq=False)
class BinaryCrossEntropy:
    """Binary cross-entropy with dense targets, its mean over the rows of the sum, or the mean, over the classes.

    Data with several labels an image say in the extra `valid` how much of a row counts; see `binary_cross_entropy`,
    also for what `class_weights` (K,) multiply.
    """

    reduction: Literal["sum", "mean"] = "sum"
    class_weights: Tensor | None = None

    def weighted(self, class_weights_K: Tensor) -> Self:
        """Return the loss with weights for the classes."""
        return replace(self, class_weights=class_weights_K)

    def __call__(self, logits_NK: Tensor, batch: Batch) -> Tensor:
        """Return the mean loss of a batch, a scalar."""
        valid_N = batch.extras.get("valid")
        loss = binary_cross_entropy(logits_NK, batch.targets, valid_N, self.class_weights).mean()
        return loss if self.reduction == "sum" else loss / logits_NK.shape[1]
