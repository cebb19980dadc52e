"""Gaussian blur, and the blur of a lens out of focus.

Shapes: N images, C channels, H and W pixels.
"""

from __future__ import annotations

from torch import Tensor

from trickbag.evaluate.robustness.corruptions.corruption import Draws
from trickbag.evaluate.robustness.corruptions.filters import (
    convolve,
    disk_kernel,
    gaussian_filter,
)
from trickbag.evaluate.robustness.corruptions.levels import as_levels
from trickbag.evaluate.robustness.corruptions.parameters import DefocusDisk

__all__ = ["defocus_blur", "gaussian_blur"]


def gaussian_blur(images_NCHW: Tensor, draws: Draws, sigma: float) -> Tensor:
    """Blur with a Gaussian; the border's pixels are repeated."""
    return as_levels(gaussian_filter(images_NCHW, sigma))


def defocus_blur(images_NCHW: Tensor, draws: Draws, disk: DefocusDisk) -> Tensor:
    """Blur with a disk; the border is mirrored."""
    return as_levels(convolve(images_NCHW, disk_kernel(*disk), "mirror"))
