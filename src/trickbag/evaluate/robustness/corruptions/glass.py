"""Glass blur: pixels take the value of a pixel nearby, between two Gaussian blurs.

Shapes: N images, C channels, H and W pixels, R rounds, P = H * W.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from trickbag.evaluate.robustness.corruptions.corruption import Draws, ImageSize
from trickbag.evaluate.robustness.corruptions.filters import gaussian_filter
from trickbag.evaluate.robustness.corruptions.levels import as_levels
from trickbag.evaluate.robustness.corruptions.parameters import GlassShuffle

__all__ = ["draw_shuffle", "glass_blur", "shuffle_sources"]


def draw_shuffle(
    rng: np.random.Generator, size: ImageSize, glass: GlassShuffle
) -> dict[str, np.ndarray[Any, Any]]:
    """Draw for each inner pixel and round how far right and down its source lies.

    In the order of the published loop: from the last row and column to the first.
    """
    inner = max(0, size[1] - 2 * glass.max_delta) * max(0, size[2] - 2 * glass.max_delta)
    shape = (glass.rounds, inner, 2)
    return {"deltas": rng.integers(-glass.max_delta, glass.max_delta, shape, dtype=np.int8)}


def glass_blur(images_NCHW: Tensor, draws: Draws, glass: GlassShuffle) -> Tensor:
    """Blur, round, shuffle and blur again.

    The published loop means to swap two pixels, but in NumPy its statement copies: both hold the
    value of the second afterwards. The data set was made so, and so is this.
    """
    images = as_levels(gaussian_filter(images_NCHW, glass.sigma))
    height, width = images.shape[2:]
    pixels = images.flatten(2)
    for deltas in draws["deltas"].unbind(1):
        source = shuffle_sources(deltas, height, width, glass.max_delta)
        pixels = pixels.gather(2, source[:, None].expand_as(pixels))
    shuffled = pixels.reshape(images.shape)
    return as_levels(gaussian_filter(shuffled, glass.sigma))


def shuffle_sources(deltas: Tensor, height: int, width: int, max_delta: int) -> Tensor:
    """Return the pixel (N, P) whose value each pixel has after one round.

    The loop goes backwards through the rows and columns from `max_delta + 1` to the size less
    `max_delta`. A source that the loop has passed already holds the value of its own source by
    then. So sources form chains, which are followed in steps of doubling length.
    """
    device = deltas.device
    places = torch.arange(height * width, device=device).reshape(height, width)
    inner = (
        slice(max_delta + 1, height - max_delta + 1),
        slice(max_delta + 1, width - max_delta + 1),
    )
    passed = torch.zeros(height, width, dtype=torch.bool, device=device)
    passed[inner] = True
    order = places[inner].flatten().flip(0)
    right, down = deltas.long().unbind(2)
    offset = right + down * width
    source = places.flatten().repeat(len(deltas), 1)
    source[:, order] = order + offset
    # Node p is pixel p after the round, node p + P before it.
    chained = passed.flatten()[source] & (source > places.flatten())
    before = (places.flatten() + places.numel()).expand_as(source)
    nodes = torch.cat([torch.where(chained, source, source + places.numel()), before], 1)
    while True:
        further = nodes.gather(1, nodes)
        if torch.equal(further, nodes):
            return nodes[:, : places.numel()] - places.numel()
        nodes = further
