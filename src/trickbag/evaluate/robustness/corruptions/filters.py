"""Linear filters with any border, for images smaller than the filter too.

A filter along one side of an image is a square matrix: row i has the weights of the pixels that
make pixel i. What would lie beyond the border is folded onto the pixels that stand for it.
Shapes: N images, C channels, H and W pixels, S pixels of a side.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from trickbag.evaluate.robustness.corruptions.levels import precise_type

__all__ = [
    "Border",
    "convolve",
    "disk_kernel",
    "extended",
    "filter_matrix",
    "gaussian_filter",
    "gaussian_kernel",
]

Border = Literal["edge", "symmetric", "mirror"]
"""What lies beyond an image `abcd`: edge `aaa|abcd`, symmetric `cba|abcd`, mirror `dcb|abcd`.

SciPy calls them nearest, reflect and mirror; OpenCV replicate, reflect and reflect_101.
"""
_FEW_TAPS = 32
"""Weights of a kernel up to which shifted sums are faster than a Fourier transform."""
_SIDE_PER_TAP = 11
"""Pixels of a side for each weight from which shifted sums are faster than a matrix."""
_STORED_SIDE = 512
"""Pixels of a side up to which matrices are kept: at most 2 MB each."""


def border_index(places: np.ndarray[Any, Any], side: int, border: Border) -> np.ndarray[Any, Any]:
    """Return the pixels of a side that stand for places which may lie beyond it."""
    if border == "edge":
        return np.asarray(places.clip(0, side - 1))
    if border == "symmetric":
        folded = places % (2 * side)
        return np.asarray(np.minimum(folded, 2 * side - 1 - folded))
    period = max(1, 2 * (side - 1))
    folded = places % period
    return np.asarray(np.minimum(folded, period - folded) if side > 1 else folded)


def gaussian_kernel(sigma: float, truncate: float = 4.0) -> np.ndarray[Any, Any]:
    """Return the weights of a Gaussian, cut off at `truncate` deviations, with the sum 1."""
    radius = int(truncate * sigma + 0.5)
    if not radius:
        return np.ones(1)
    weights = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma) ** 2)
    return np.asarray(weights / weights.sum())


def _gaussian_matrix(side: int, sigma: float, truncate: float, border: Border) -> Tensor:
    return torch.from_numpy(filter_matrix(side, gaussian_kernel(sigma, truncate), border))


_stored_matrix = lru_cache(maxsize=64)(_gaussian_matrix)


def filter_matrix(side: int, kernel: np.ndarray[Any, Any], border: Border) -> np.ndarray[Any, Any]:
    """Return the matrix (S, S) of a correlation with a kernel of odd length along a side."""
    offsets = np.arange(len(kernel)) - len(kernel) // 2
    sources = border_index(np.arange(side)[:, None] + offsets, side, border)
    matrix = np.zeros((side, side))
    np.add.at(matrix, (np.arange(side)[:, None], sources), kernel)
    return matrix


def gaussian_filter(
    images_NCHW: Tensor, sigma: float, *, truncate: float = 4.0, border: Border = "edge"
) -> Tensor:
    """Blur with a Gaussian of a standard deviation in pixels; the result is of the precise type."""
    images = images_NCHW.to(precise_type(images_NCHW.device))
    kernel = gaussian_kernel(sigma, truncate)
    if len(kernel) == 1:
        return images
    if len(kernel) * _SIDE_PER_TAP <= min(images.shape[2:]):
        return _shifted_sum(_shifted_sum(images, kernel[None], border), kernel[:, None], border)
    matrices = (
        _stored_matrix if side <= _STORED_SIDE else _gaussian_matrix for side in images.shape[2:]
    )
    rows, columns = (
        # First the type: a device may not have that of the matrix.
        matrix(side, sigma, truncate, border).to(images.dtype).to(images.device)
        for matrix, side in zip(matrices, images.shape[2:], strict=True)
    )
    return rows @ (images @ columns.T)


def extended(images_NCHW: Tensor, rows: int, columns: int, border: Border) -> Tensor:
    """Return the images with so many further pixels on each side, of any number."""
    vertical, horizontal = (
        torch.from_numpy(border_index(np.arange(-more, side + more), side, border))
        for side, more in zip(images_NCHW.shape[2:], (rows, columns), strict=True)
    )
    device = images_NCHW.device
    return images_NCHW[:, :, vertical.to(device)][:, :, :, horizontal.to(device)]


def convolve(images_NCHW: Tensor, kernel: np.ndarray[Any, Any], border: Border) -> Tensor:
    """Correlate with a kernel of odd sides, the same for each channel, in the precise type."""
    kernel = _without_zero_frame(kernel)
    images = images_NCHW.to(precise_type(images_NCHW.device))
    if np.count_nonzero(kernel) <= _FEW_TAPS:
        return _shifted_sum(images, kernel, border)
    height, width = images.shape[2:]
    wider = extended(images, kernel.shape[0] // 2, kernel.shape[1] // 2, border)
    return _by_fourier(wider, kernel)[:, :, :height, :width]


def _shifted_sum(images_NCHW: Tensor, kernel: np.ndarray[Any, Any], border: Border) -> Tensor:
    height, width = images_NCHW.shape[2:]
    wider = extended(images_NCHW, kernel.shape[0] // 2, kernel.shape[1] // 2, border)
    total = torch.zeros_like(images_NCHW)
    for row, column in np.argwhere(kernel).tolist():
        part = wider[:, :, row : row + height, column : column + width]
        total.add_(part, alpha=float(kernel[row, column]))
    return total


def _without_zero_frame(kernel: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Cut off the border of a kernel as long as it is zero on all four sides."""
    while min(kernel.shape) > 1 and not (
        kernel[0].any() or kernel[-1].any() or kernel[:, 0].any() or kernel[:, -1].any()
    ):
        kernel = kernel[1:-1, 1:-1]
    return kernel


def _by_fourier(images_NCHW: Tensor, kernel: np.ndarray[Any, Any]) -> Tensor:
    from scipy.fft import next_fast_len

    sides = [next_fast_len(side, real=True) for side in images_NCHW.shape[2:]]
    weights = (
        torch.from_numpy(np.ascontiguousarray(kernel)).to(images_NCHW.dtype).to(images_NCHW.device)
    )
    spectrum = torch.fft.rfft2(images_NCHW, sides) * torch.fft.rfft2(weights, sides).conj()
    images: Tensor = torch.fft.irfft2(spectrum, sides)
    return images


@lru_cache(maxsize=32)
def disk_kernel(radius: float, alias_blur: float) -> np.ndarray[Any, Any]:
    """Return the weights of an out-of-focus disk, its edge blurred by a small Gaussian.

    As published, up to a radius of 8 the kernel has 17 x 17 weights and the Gaussian 3 x 3, beyond
    that 2 radius + 1 and 5 x 5; what leaves the kernel is mirrored into it. Radii of 8 and more
    fill their kernel, so that its sum exceeds 1 by up to 1.3 %.
    """
    reach = 8 if radius <= 8 else int(radius)
    places = np.arange(-reach, reach + 1)
    disk = (places[:, None] ** 2 + places**2 <= radius**2).astype(np.float64)
    disk /= disk.sum()
    near = np.arange(-1, 2) if radius <= 8 else np.arange(-2, 3)
    weights = np.exp(-0.5 * (near / alias_blur) ** 2)
    matrix = filter_matrix(len(places), weights / weights.sum(), "mirror")
    return np.asarray(matrix @ disk @ matrix.T)
