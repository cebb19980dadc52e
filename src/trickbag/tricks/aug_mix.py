"""AugMix: mix each image with augmented versions of itself, and penalise differing predictions.

Shapes: N images of a batch, V views of each, K classes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar

from trickbag.data.policies.magnitudes import Interpolation
from trickbag.data.policies.policies import MAX_COUNT, MixedPolicy
from trickbag.ranges import Above, Between, NonNegative
from trickbag.tricks.trick import Batch, Loss, Trick, set_policy

if TYPE_CHECKING:
    from torch import Tensor

    from trickbag.data.config import DataConfig

__all__ = ["AugMix", "ConsistencyLoss", "jensen_shannon"]

_VIEWS = 2


def jensen_shannon(logits_NVK: Tensor, *, multi_label: bool = False) -> Tensor:
    """Return the Jensen-Shannon divergence of the V predictions for each image, (N,).

    It is `1/V sum_v KL(p_v || m)` with `p_v = softmax(logits_v)` and `m` their mean, in nats: 0 if
    all agree, at most log V. With `multi_label` each class has a Bernoulli distribution with the
    probability `sigmoid(logits_v)`, and the divergences of the K classes are summed. Source:
    Hendrycks et al. 2020, section 3; its code clamps m to at least 1e-7, here log m is exact.
    """
    import torch
    from torch.nn import functional

    if multi_label:
        log_p = torch.stack(
            [functional.logsigmoid(logits_NVK), functional.logsigmoid(-logits_NVK)], dim=3
        )
    else:
        log_p = logits_NVK.log_softmax(dim=2)
    # In log space: a probability that underflows to 0 has a finite logarithm here.
    log_m = log_p.logsumexp(dim=1, keepdim=True) - math.log(logits_NVK.shape[1])
    return (log_p.exp() * (log_p - log_m)).flatten(2).sum(dim=2).mean(dim=1)


@dataclass(frozen=True)
class ConsistencyLoss:
    """A loss on the unchanged images, plus `weight` times the divergence over all their views."""

    loss: Loss
    weight: float

    def __call__(self, logits_NK: Tensor, batch: Batch) -> Tensor:
        """Return the mean over the N rows, weighted by how much each row counts."""
        import torch

        assert batch.view_logits is not None  # the hook `data` of this trick asks for views
        # The unchanged image is one of the views.
        logits_NVK = torch.cat([logits_NK[:, None], batch.view_logits], dim=1)
        divergence_N = jensen_shannon(logits_NVK, multi_label=batch.multi_label)
        weights_N = batch.targets.sum(dim=1) if batch.row_weights is None else batch.row_weights
        return self.loss(logits_NK, batch) + self.weight * (weights_N * divergence_N).mean()


@dataclass(frozen=True, kw_only=True)
class AugMix(Trick):
    """Train on each image and two mixtures of it with augmented versions of itself.

    The loss of the unchanged images gets `weight` times the Jensen-Shannon divergence of the three
    predictions added. With `weight=0` one mixture replaces each image, and the loss stays.
    """

    name: ClassVar[str] = "aug_mix"
    slot: ClassVar[str] = "policy"
    paper: ClassVar[str] = "Hendrycks et al. 2020, arXiv 1912.02781"
    needs_rgb: ClassVar[bool] = True

    severity: Annotated[int, Between(1, 10)] = 3
    width: Annotated[int, Between(1, MAX_COUNT)] = 3
    depth: Annotated[int, Between(1, MAX_COUNT)] | None = None
    alpha: Annotated[float, Above(0, 1e6)] = 1.0
    weight: Annotated[float, NonNegative] = 12.0
    every_operation: bool = False
    fill: Annotated[int, Between(0, 255)] = 0
    interpolation: Interpolation = "bilinear"

    def data(self, data: DataConfig) -> DataConfig:
        """Set the policy, and the number of views for the loss."""
        policy = MixedPolicy(
            severity=self.severity,
            width=self.width,
            depth=self.depth,
            alpha=self.alpha,
            every_operation=self.every_operation,
            fill=self.fill,
            interpolation=self.interpolation,
        )
        return set_policy(data, policy, self.name, views=_VIEWS if self.weight > 0 else 0)

    def loss(self, loss: Loss) -> Loss:
        """Add the divergence of the predictions for the views."""
        return ConsistencyLoss(loss, self.weight) if self.weight > 0 else loss
