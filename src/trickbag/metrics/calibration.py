"""The expected calibration error: accuracy against confidence, in bins, summed on the device.

Shapes: N images of a batch, B bins of confidence.
"""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["ConfidenceBins"]


class ConfidenceBins:
    """Counters of images, right predictions and confidence in `bins` bins of equal width.

    The confidence of an image is its highest probability. A bin is open below and closed above.
    `counts` is (2, B) int64: images, and those that are predicted right. `confidence` is (B,): the
    sum over the bin's images, of type `dtype`.
    """

    def __init__(self, bins: int, device: torch.device, dtype: torch.dtype) -> None:
        self.bins = bins
        self.counts = torch.zeros(2, bins, dtype=torch.int64, device=device)
        self.confidence = torch.zeros(bins, dtype=dtype, device=device)

    def update(self, confidence_N: Tensor, right_N: Tensor, counted_N: Tensor) -> None:
        """Count the images of a batch for which `counted_N` is true."""
        # A NaN belongs to no bin; it goes into the last one, so that the error becomes NaN too.
        edge_N = torch.where(confidence_N.isnan(), 1.0, confidence_N)
        bin_N = ((edge_N * self.bins).ceil() - 1).clamp(0, self.bins - 1)
        # A sum over a mask, not a scatter, whose order of summation is not fixed on a GPU: the same
        # batches have to give the same bits.
        inside_BN = (bin_N == torch.arange(self.bins, device=bin_N.device)[:, None]) & counted_N
        self.counts += torch.stack((inside_BN.sum(1), (inside_BN & right_N).sum(1)))
        self.confidence += torch.where(inside_BN, confidence_N, 0.0).sum(1)

    def total_gap(self) -> Tensor:
        """Return `sum_b n_b |accuracy_b - confidence_b|`, a scalar on the device.

        Divided by the number of images it is the expected calibration error (Guo et al. 2017,
        equation 3).
        """
        # n_b |right_b / n_b - sum_b / n_b| in a form that needs no division by an empty bin's 0.
        return (self.counts[1] - self.confidence).abs().sum()
