"""Agreement of predicted and true classes that have an order, such as grades.

Shapes: N images, R sets of weights of the images.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["quadratic_kappa", "weighted_kappa"]


def quadratic_kappa(predicted_N: NDArray[np.int64], labels_N: NDArray[np.int64]) -> float | None:
    """Return Cohen's kappa with quadratic weights, in [-1, 1].

    `1 - sum_ij (i - j)^2 O_ij / sum_ij (i - j)^2 E_ij` over the numbers i and j of the predicted
    and the true class; O are the counts, E those that the same shares of classes would have by
    chance (Cohen 1968). It weighs how far off a prediction is, and so means something only where
    the order of the classes does. None without images, or if all images have one and the same
    class that is also predicted: the chance error is then 0.
    """
    if not len(labels_N):
        return None
    kappa = float(weighted_kappa(np.ones((1, len(labels_N))), predicted_N, labels_N)[0])
    return None if np.isnan(kappa) else kappa


def weighted_kappa(
    weights_RN: NDArray[np.float64],
    predicted_N: NDArray[np.int64],
    labels_N: NDArray[np.int64],
) -> NDArray[np.float64]:
    """Return the quadratic kappa (R,) of images with weights (R, N); NaN where it is undefined."""
    predicted, labels = predicted_N.astype(np.float64), labels_N.astype(np.float64)
    # Counted from the middle of the labels, so that little is lost in the differences below.
    middle = round(float(labels.mean())) if len(labels) else 0
    predicted, labels = predicted - middle, labels - middle
    columns_N5 = np.stack(
        (predicted, labels, predicted**2, labels**2, (predicted - labels) ** 2), axis=1
    )
    total_R1 = weights_RN.sum(axis=1, keepdims=True)
    p_R, y_R, p2_R, y2_R, error_R = (weights_RN @ columns_N5 / total_R1).T
    # sum_ij (i - j)^2 p_i q_j of the two shares of classes, from their moments.
    chance_R = p2_R + y2_R - 2 * p_R * y_R
    defined_R = chance_R > 1e-12
    return np.where(defined_R, 1 - error_R / np.where(defined_R, chance_R, 1.0), np.nan)
