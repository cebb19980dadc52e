"""A classifier that is fitted on the features of the loaded weights before the first step.

Steps that train a new classifier from zero pass its first, wrong gradients down into the network.
One that is fitted first costs a pass over the images, without gradients (Kumar et al. 2022, arXiv
2202.10054, fine-tune after a linear probe for that reason).

Shapes: N images, D features, K classes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from trickbag.errors import Note, UserError
from trickbag.functional.device import copied
from trickbag.models.linear_head import LinearHead
from trickbag.models.task_config import ClassificationConfig
from trickbag.train.machine.device import evaluation_autocast, in_layout

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import nn

    from trickbag.data.loading.loader import Loader
    from trickbag.train.plan.plan import Plan
    from trickbag.train.run import Run

__all__ = ["MOST_FITTED", "RidgeSums", "fit_head", "head_to_fit"]

MOST_FITTED = 20_000
"""The most training images on whose features a classifier is fitted."""


class RidgeSums:
    """The sums over images from which a ridge regression of labels on features follows."""

    def __init__(self) -> None:
        self.count = 0
        self._sums: list[Tensor] = []

    def add(self, features_ND: Tensor, targets_NK: Tensor) -> None:
        """Add the features and targets of some images."""
        x, y = features_ND.double(), targets_NK.double()
        sums = [x.sum(0), y.sum(0), x.T @ x, x.T @ y]
        if not self.count:
            self._sums = sums
        else:
            for total, added in zip(self._sums, sums, strict=True):
                total += added
        self.count += len(x)

    def solve(self) -> tuple[Tensor, Tensor]:
        """Return the weight (K, D) and the bias (K,) of the regression, float64.

        It minimises `|Y - X W' - b|^2 + s |W|^2`, with s the mean squared distance of the features
        from their mean: a scale of all features changes no logit, and the more images there are the
        less the penalty weighs.
        """
        n = self.count
        x_sum, y_sum, xx, xy = self._sums
        mean_D, mean_K = x_sum / n, y_sum / n
        scatter_DD = xx - n * torch.outer(mean_D, mean_D)
        cross_DK = xy - n * torch.outer(mean_D, mean_K)
        penalty = scatter_DD.trace() / n
        # Features that are the same for all images tell nothing of the classes.
        if not penalty > 0:
            return torch.zeros_like(cross_DK.T), mean_K
        scatter_DD.diagonal().add_(penalty)
        weight_KD = torch.linalg.solve(scatter_DD, cross_DK).T
        return weight_KD, mean_K - weight_KD @ mean_D


def head_to_fit(plan: Plan, network: nn.Module) -> tuple[LinearHead | None, list[Note]]:
    """Return the classifier of a built network that is to be fitted, if any, and a note if not.

    Weights that hold rows of the data's classes keep them.
    """
    if not plan.training.fit_head:
        return None, []
    if plan.task != ClassificationConfig():
        return None, [_not_fitted("the task has no classifier of images")]
    try:
        head = LinearHead.of(network, plan.model)
    except UserError as error:
        return None, [_not_fitted(error.reason)]
    if any(p.any() for layer in head.layers for p in layer.parameters()):
        return None, [_not_fitted("the weights have rows for classes of the data")]
    return head, []


def _not_fitted(reason: str) -> Note:
    return Note("choice", None, f"the classifier is not fitted before the first step: {reason}")


def fit_head(run: Run, head: LinearHead, loader: Loader, waiting: Callable[[], None]) -> None:
    """Fit the classifier of a run on the images of a loader, and write it into the network.

    The images are prepared as in evaluation. `waiting` is called before each batch and while one is
    waited for; what it raises ends the work.
    """
    sums, plan = RidgeSums(), run.plan
    run.network.eval()
    with torch.inference_mode():
        for raw in loader.epoch(0, waiting=waiting):
            waiting()
            if not raw.valid.any():
                continue
            images = run.evaluation.normalise(copied(raw.images[raw.valid], run.device))
            labels = copied(raw.labels[raw.valid], run.device)
            with evaluation_autocast(run.device, run.eval_dtype):
                features_ND, _ = head.forward(in_layout(images, plan.layout))
            targets_NK = labels
            if labels.ndim == 1:
                targets_NK = torch.nn.functional.one_hot(labels, plan.model.num_classes)
            # In float64, which not every device has.
            sums.add(features_ND.float().cpu(), targets_NK.cpu())
    if sums.count:
        head.write(*sums.solve())
