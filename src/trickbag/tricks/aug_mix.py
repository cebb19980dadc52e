"""AugMix: mixtures of an image with augmented versions of itself, and a loss that asks for the same answer to all.

Shapes: N images of a batch, V views of each, K classes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar

from trickbag.data.policies.magnitudes import Interpolation
from trickbag.data.policies.policies import MAX_COUNT, MixedPolicy
from trickbag.settings import Between, NonNegative, Positive
from trickbag.tricks.trick import Batch, Loss, Trick, set_policy

if TYPE_CHECKING:
    from torch import Tensor

    from trickbag.data.config import DataConfig

__all__ = ["AugMix", "ConsistentLoss", "jensen_shannon"]

_AUGMENTED = 2


def jensen_shannon(logits_NVK: Tensor, *, several: bool = False) -> Tensor:
    """Return the Jensen-Shannon divergence of the V predictions for each image, (N,): 0 where they agree.

    `1/V sum_v KL(p_v || m)` with `p_v = softmax(logits_v)` and `m` their mean, in nats, at most log
    V. For `several` labels an image each class is a question with two answers, `sigmoid(logits_v)`
    and the rest to 1, and the divergences of the K questions are summed. Source: Hendrycks et al.
    2020, section 3. Its code keeps m above 1e-7; here the logarithm of m is exact.
    """
    import torch
    from torch.nn import functional

    if several:
        log_p = torch.stack(
            [functional.logsigmoid(logits_NVK), functional.logsigmoid(-logits_NVK)], dim=3
        )
    else:
        log_p = logits_NVK.log_softmax(dim=2)
    log_m = log_p.logsumexp(dim=1, keepdim=True) - math.log(logits_NVK.shape[1])
    return (log_p.exp() * (log_p - log_m)).flatten(2).sum(dim=2).mean(dim=1)


@dataclass(frozen=True)
class ConsistentLoss:
    """A loss on the images as they are, plus `weight` times the divergence of the predictions for
    all their views."""

    loss: Loss
    weight: float

    def __call__(self, logits_NK: Tensor, batch: Batch) -> Tensor:
        """Return the mean over the N images; an image that could not be read counts nothing."""
        import torch

        assert batch.view_logits is not None  # the data have views where this trick wraps the loss
        logits_NVK = torch.cat([logits_NK[:, None], batch.view_logits], dim=1)
        divergence_N = jensen_shannon(logits_NVK, several=batch.multi_label)
        weights_N = batch.targets.sum(dim=1) if batch.row_weights is None else batch.row_weights
        return self.loss(logits_NK, batch) + self.weight * (weights_N * divergence_N).mean()


@dataclass(frozen=True, kw_only=True)
class AugMix(Trick):
    """Show the network each image and two random mixtures of it with its augmented versions, and ask for one answer.

    `weight` times the Jensen-Shannon divergence of the three predictions is added to the loss,
    which itself sees the images as they are. With `weight=0` each image is replaced by one mixture,
    and the loss stays.
    """

    name: ClassVar[str] = "aug_mix"
    slot: ClassVar[str] = "policy"
    paper: ClassVar[str] = "Hendrycks et al. 2020, arXiv 1912.02781"

    severity: Annotated[int, Between(1, 10)] = 3
    width: Annotated[int, Between(1, MAX_COUNT)] = 3
    depth: Annotated[int, Between(1, MAX_COUNT)] | None = None
    alpha: Annotated[float, Positive] = 1.0
    weight: Annotated[float, NonNegative] = 12.0
    every_operation: bool = False
    fill: Annotated[int, Between(0, 255)] = 0
    interpolation: Interpolation = "bilinear"

    def data(self, data: DataConfig) -> DataConfig:
        """Set the policy, and with the loss the number of views."""
        policy = MixedPolicy(
            severity=self.severity,
            width=self.width,
            depth=self.depth,
            alpha=self.alpha,
            every_operation=self.every_operation,
            fill=self.fill,
            interpolation=self.interpolation,
        )
        return set_policy(data, policy, self.name, views=_AUGMENTED if self.weight > 0 else 0)

    def loss(self, loss: Loss) -> Loss:
        """Add the divergence of the views."""
        return ConsistentLoss(loss, self.weight) if self.weight > 0 else loss
