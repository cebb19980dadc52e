"""Noises of single values: Gaussian, shot, impulse and speckle noise.

Shapes: N images, C channels, H and W pixels.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
import torch
from torch import Tensor

from trickbag.evaluate.robustness.corruptions.corruption import Draws, ImageSize
from trickbag.evaluate.robustness.corruptions.levels import from_unit, to_unit

__all__ = ["draw_normal", "draw_uniform", "gaussian_noise", "impulse_noise", "poisson_counts"]
__all__ += ["shot_noise", "speckle_noise"]

_BINS = 1024
"""Bins of the uniform draw from which the search for a Poisson count starts."""


def draw_normal(
    rng: np.random.Generator, size: ImageSize, parameters: Any
) -> dict[str, np.ndarray[Any, Any]]:
    """Draw a standard normal number for each value of an image."""
    return {"normal": rng.standard_normal(size, dtype=np.float32)}


def draw_uniform(
    rng: np.random.Generator, size: ImageSize, parameters: Any
) -> dict[str, np.ndarray[Any, Any]]:
    """Draw a number in [0, 1) for each value of an image."""
    return {"uniform": rng.random(size, dtype=np.float32)}


def gaussian_noise(images_NCHW: Tensor, draws: Draws, std: float) -> Tensor:
    """Add normal noise of a standard deviation."""
    return from_unit(to_unit(images_NCHW) + std * draws["normal"])


def speckle_noise(images_NCHW: Tensor, draws: Draws, std: float) -> Tensor:
    """Add normal noise that is proportional to the value."""
    values = to_unit(images_NCHW)
    return from_unit(values + values * (std * draws["normal"]))


def impulse_noise(images_NCHW: Tensor, draws: Draws, amount: float) -> Tensor:
    """Replace a share of the values, half of them by black and half by white."""
    uniform = draws["uniform"]
    salted = torch.where(uniform < amount, 255, images_NCHW)
    return torch.where(uniform < amount / 2, 0, salted).to(torch.uint8)


def shot_noise(images_NCHW: Tensor, draws: Draws, photons: float) -> Tensor:
    """Replace each value by a Poisson count of mean `value * photons`, over `photons`."""
    counts = poisson_counts(images_NCHW, draws["uniform"], photons)
    levels = np.floor(np.clip(np.arange(_largest(photons)) / photons, 0, 1) * 255)
    return torch.from_numpy(levels.astype(np.uint8)).to(counts.device)[counts]


def poisson_counts(images_NCHW: Tensor, uniform_NCHW: Tensor, photons: float) -> Tensor:
    """Invert the Poisson distribution function of mean `level / 255 * photons` at uniform numbers.

    Return the smallest count whose distribution function is above the number, int64.
    """
    # There are but 256 means. The number's bin gives a count to start from; few values need more.
    distribution, starts = (
        torch.from_numpy(table).to(images_NCHW.device) for table in _poisson_tables(photons)
    )
    rows = images_NCHW.flatten().long()
    uniform = uniform_NCHW.flatten()
    counts = starts[rows, (uniform * _BINS).long()]
    pending = torch.nonzero(distribution[rows, counts] <= uniform)[:, 0]
    while len(pending):
        counts[pending] += 1
        low = distribution[rows[pending], counts[pending]] <= uniform[pending]
        pending = pending[low]
    return counts.reshape(images_NCHW.shape)


def _largest(photons: float) -> int:
    """Return a number of counts beyond which no float32 below 1 reaches."""
    return int(photons + 9 * photons**0.5 + 30)


@lru_cache(maxsize=32)
def _poisson_tables(
    photons: float,
) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Return the distribution functions of the 256 means, and each bin's count to start from."""
    from scipy.special import pdtr

    means = np.arange(256)[:, None] / 255 * photons
    distribution = pdtr(np.arange(_largest(photons))[None], means).astype(np.float32)
    distribution[:, -1] = 2  # above every number, so that the search ends
    bins = np.arange(_BINS, dtype=np.float32) / _BINS
    starts = np.stack([np.searchsorted(row, bins, side="right") for row in distribution])
    return distribution, starts.astype(np.int64)
