"""Losses that count what is learned already for less: focal and asymmetric loss.

They are linear in dense targets, as cross-entropy is: a mixed or smoothed row has the weighted mean
of the losses of its labels. Sources: Lin et al. 2017 (arXiv 1708.02002), section 3; Ridnik et al.
2021 (arXiv 2009.14119), section 2. Shapes: N images, K classes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional

if TYPE_CHECKING:
    from trickbag.functional.batch import Batch

__all__ = [
    "AsymmetricLoss",
    "FocalLoss",
    "asymmetric_loss",
    "focal_cross_entropy",
    "sigmoid_focal_loss",
]


def focal_cross_entropy(logits_NK: Tensor, targets_NK: Tensor, gamma: float = 2.0) -> Tensor:
    """Return `-sum_k q_k (1 - p_k)^gamma log p_k` of each row, (N,), with p the softmax.

    With gamma = 0 it is the cross-entropy. Source: Lin et al. 2017, equation 4, for the class of an
    image in place of a box.
    """
    logs_NK = logits_NK.log_softmax(dim=1)
    # 1 - p without the loss of bits near p = 1; never 0, where a power has no finite gradient.
    rest_NK = (-logs_NK.expm1()).clamp(min=torch.finfo(logs_NK.dtype).tiny)
    return -(targets_NK * rest_NK**gamma * logs_NK).sum(dim=1)


def sigmoid_focal_loss(
    logits_NK: Tensor,
    targets_NK: Tensor,
    weights: Tensor | None = None,
    gamma: float = 2.0,
    alpha: float | None = None,
) -> Tensor:
    """Return the focal loss of each row, (N,), in which every class is a choice of two.

    `-sum_k (a q (1 - p)^gamma log p + b (v - q) p^gamma log(1 - p))` with `p = sigmoid(logits)` and
    targets q. v are the `weights`, as in `binary_cross_entropy`. a and b are alpha and 1 - alpha,
    or 1 if alpha is None. Source: Lin et al. 2017, equations 4 and 5.
    """
    present, absent = _choices_of_two(logits_NK, targets_NK, weights)
    # p^gamma as a power of e: its gradient is finite where p is 0.
    log_p, log_rest = functional.logsigmoid(logits_NK), functional.logsigmoid(-logits_NK)
    positive = present * (gamma * log_rest).exp() * log_p
    negative = absent * (gamma * log_p).exp() * log_rest
    if alpha is not None:
        positive, negative = alpha * positive, (1 - alpha) * negative
    return -(positive + negative).sum(dim=1)


def asymmetric_loss(
    logits_NK: Tensor,
    targets_NK: Tensor,
    weights: Tensor | None = None,
    gamma_pos: float = 0.0,
    gamma_neg: float = 4.0,
    margin: float = 0.05,
) -> Tensor:
    """Return the asymmetric loss of each row, (N,).

    `-sum_k (q (1 - p)^gamma_pos log p + (v - q) p_m^gamma_neg log(1 - p_m))` with
    `p = sigmoid(logits)` and `p_m = max(p - margin, 0)`: a class that is absent and has a
    probability up to the margin counts nothing. v are the `weights`, as in `binary_cross_entropy`.
    Source: Ridnik et al. 2021, equations 4 to 7.
    """
    present, absent = _choices_of_two(logits_NK, targets_NK, weights)
    log_p, log_rest = functional.logsigmoid(logits_NK), functional.logsigmoid(-logits_NK)
    positive = present * (gamma_pos * log_rest).exp() * log_p
    if margin == 0:
        negative = absent * (gamma_neg * log_p).exp() * log_rest
    else:
        # Never 0, where a power below 1 has no finite gradient.
        shifted = (logits_NK.sigmoid() - margin).clamp(min=torch.finfo(logits_NK.dtype).tiny)
        negative = absent * shifted**gamma_neg * (-shifted).log1p()
    return -(positive + negative).sum(dim=1)


def _choices_of_two(
    logits_NK: Tensor, targets_NK: Tensor, weights: Tensor | None
) -> tuple[Tensor, Tensor]:
    """Return how much each class counts as present, and as absent."""
    if weights is None:
        weights = targets_NK.sum(dim=1)
    weights_NK = weights if weights.ndim == 2 else weights[:, None]
    return targets_NK, weights_NK - targets_NK


@dataclass(frozen=True)
class FocalLoss:
    """Focal loss with dense targets, the mean over the rows.

    With one label an image it is that of the softmax, with several that of a sigmoid for each
    class, summed over the classes.
    """

    gamma: float = 2.0
    alpha: float | None = None

    def __call__(self, logits_NK: Tensor, batch: Batch) -> Tensor:
        """Return the mean loss of a batch, a scalar."""
        if not batch.multi_label:
            return focal_cross_entropy(logits_NK, batch.targets, self.gamma).mean()
        weights = batch.label_weights()
        return sigmoid_focal_loss(logits_NK, batch.targets, weights, self.gamma, self.alpha).mean()


@dataclass(frozen=True)
class AsymmetricLoss:
    """Asymmetric loss with dense targets: over the classes the sum, over the rows the mean."""

    gamma_pos: float = 0.0
    gamma_neg: float = 4.0
    margin: float = 0.05

    def __call__(self, logits_NK: Tensor, batch: Batch) -> Tensor:
        """Return the mean loss of a batch, a scalar."""
        loss = asymmetric_loss(
            logits_NK,
            batch.targets,
            batch.label_weights(),
            self.gamma_pos,
            self.gamma_neg,
            self.margin,
        )
        return loss.mean()
