"""The loss of a batch with dense targets."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from trickbag.tricks.trick import Batch

__all__ = ["CrossEntropy", "cross_entropy"]


def cross_entropy(logits_NK: Tensor, targets_NK: Tensor) -> Tensor:
    """Return `-sum_k targets log softmax(logits)` of each row, (N,); a row of zero targets counts nothing."""
    return -(targets_NK * logits_NK.log_softmax(dim=1)).sum(dim=1)


@dataclass(frozen=True)
class CrossEntropy:
    """Cross-entropy with dense targets, its mean over the rows: the loss that tricks wrap or replace."""

    def __call__(self, logits_NK: Tensor, batch: Batch) -> Tensor:
        """Return the mean loss of a batch, a scalar."""
        return cross_entropy(logits_NK, batch.targets).mean()
