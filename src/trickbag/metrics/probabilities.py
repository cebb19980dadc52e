"""Probabilities of stored logits, in float64, and what they say of each image.

Shapes: N images, K classes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Confidences", "log_softmax", "softmax"]


def log_softmax(logits_NK: NDArray[Any]) -> NDArray[np.float64]:
    """Return the logarithms (N, K) of the probabilities, float64; NaN where a logit is NaN."""
    logits_NK = np.asarray(logits_NK, np.float64)
    shifted_NK = logits_NK - logits_NK.max(axis=1, keepdims=True)
    result_NK: NDArray[np.float64] = shifted_NK - np.log(
        np.exp(shifted_NK).sum(axis=1, keepdims=True)
    )
    return result_NK


def softmax(logits_NK: NDArray[Any]) -> NDArray[np.float64]:
    """Return the probabilities (N, K), float64."""
    result_NK: NDArray[np.float64] = np.exp(log_softmax(logits_NK))
    return result_NK


@dataclass(frozen=True, eq=False)
class Confidences:
    """The confidence (N,) of each image, its highest probability, and whether it is `right` (N,).

    The class that is predicted is the first of the highest probability. An image with a logit that
    is not finite has none: its confidence is NaN, and it is not right.
    """

    confidence: NDArray[np.float64]
    right: NDArray[np.bool_]

    @classmethod
    def of(cls, logits_NK: NDArray[Any], labels_N: NDArray[np.int64]) -> Confidences:
        """Return those of logits (N, K) with labels (N,)."""
        # The predicted class is that of the logits: a softmax can round two of them to one.
        predicted_N = np.argmax(logits_NK, axis=1)
        confidence_N = np.exp(log_softmax(logits_NK).max(axis=1))
        return cls(confidence_N, (predicted_N == labels_N) & np.isfinite(confidence_N))
