"""How many images a network gets wrong, counted batch by batch.

Shapes: N images of a batch, C channels, H and W pixels, K classes.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import torch

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from trickbag.evaluate.trained import Trained

__all__ = ["ErrorTally", "predicted_classes"]


def predicted_classes(trained: Trained, images_NCHW: Tensor) -> Tensor:
    """Return the predicted class (N,) of uint8 crops, on the CPU; -1 for no finite logits."""
    logits_NK = trained.logits(images_NCHW)
    # A logit that is not finite leaves NaN in every class.
    return torch.where(logits_NK.isnan().any(dim=1), -1, logits_NK.argmax(dim=1)).cpu()


@dataclass(kw_only=True)
class ErrorTally:
    """Counts of images: all, those that are wrong, and of these those without finite logits.

    `batches` say of each image whether it is wrong, in the order in which they were counted.
    """

    images: int = 0
    wrong: int = 0
    not_finite: int = 0
    batches: list[NDArray[np.bool_]] = field(default_factory=list)

    def add(self, predicted_N: Tensor, labels_N: Tensor) -> None:
        """Count a batch; a prediction of -1 is always wrong."""
        wrong_N = predicted_N != labels_N
        self.images += len(labels_N)
        self.wrong += int(wrong_N.sum())
        self.batches.append(wrong_N.numpy())
        self.not_finite += int((predicted_N < 0).sum())

    @property
    def wrong_N(self) -> NDArray[np.bool_]:  # noqa: N802  # the shape is part of the name
        """Whether each image is wrong."""
        return np.concatenate([np.zeros(0, np.bool_), *self.batches])

    @property
    def error(self) -> float | None:
        """The top-1 error in percent; None without images."""
        return 100 * self.wrong / self.images if self.images else None
