"""The metrics of an evaluation that need the logits of all images at once.

Shapes: N images, K classes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from trickbag.metrics.calibration_scores import calibrated_scores, calibration_scores
from trickbag.metrics.outcomes import outcome_scores

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["class_scores"]


def class_scores(
    logits_NK: NDArray[np.floating[Any]], labels_N: NDArray[np.int64]
) -> dict[str, float | None]:
    """Return the scores of images of one label each, by the names of `metrics.metric.EVALUATED`.

    An image with a logit that is not finite has NaN in each of its logits. A score is None where it
    is not defined.
    """
    return {
        **calibration_scores(logits_NK, labels_N),
        **calibrated_scores(logits_NK, labels_N),
        **outcome_scores(logits_NK, labels_N),
    }
