"""The scores of single images of one label each, of which a part's metrics are the means.

Shapes: N images, K classes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from trickbag.metrics.probabilities import log_softmax

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["ImageScores"]

_ROWS = 4096


@dataclass(frozen=True, kw_only=True, eq=False)
class ImageScores:
    """The scores (N,) of each image, float32, by the metrics whose means they have.

    `top1` is 100 or 0, `loss` in nats, `brier` in [0, 2]. NaN for an image without a score: one
    that could not be read, and for loss and Brier score one with a logit that is not finite.
    """

    top1: NDArray[np.float32]
    loss: NDArray[np.float32]
    brier: NDArray[np.float32]

    @classmethod
    def of(cls, logits_NK: NDArray[Any], labels_N: NDArray[np.int64]) -> ImageScores:
        """Return the scores of logits (N, K), NaN where one is not finite, with labels (N,)."""
        images = len(labels_N)
        top1, loss, brier = np.empty((3, images), np.float32)
        # In blocks: in float64 all logits would take twice the memory that they have.
        for start in range(0, images, _ROWS):
            rows = slice(start, start + _ROWS)
            logits, labels = logits_NK[rows], labels_N[rows]
            finite = ~np.isnan(logits).any(axis=1)
            logprob = log_softmax(logits)
            of_label = logprob[np.arange(len(labels)), labels]
            top1[rows] = 100 * ((logits.argmax(axis=1) == labels) & finite)
            loss[rows] = -of_label
            brier[rows] = np.exp(2 * logprob).sum(axis=1) - 2 * np.exp(of_label) + 1
        return cls(top1=top1, loss=loss, brier=brier)

    def placed(self, index_N: NDArray[np.int64], images: int) -> ImageScores:
        """Return the scores at the images' places in a part of so many images, NaN elsewhere."""
        placed = {}
        for name, values in vars(self).items():
            row = np.full(images, np.nan, np.float32)
            row[index_N] = values
            placed[name] = row
        return ImageScores(**placed)
