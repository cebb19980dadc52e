"""Layers that drop something in training: blocks of maps, residual branches, features.

Sources: Ghiasi et al. 2018 (arXiv 1810.12890), section 3, and the code of Lee et al. 2020 (arXiv
2001.06268), for DropBlock; Huang et al. 2016 (arXiv 1603.09382), section 3, for stochastic depth;
Hinton et al. 2012 (arXiv 1207.0580) for dropout. Shapes: N images, C channels, H and W pixels.
Functions that take a `seed` (one int64) draw with `models.layers.seeded.uniform`; if it is None,
they draw from torch's generator of the tensor's device.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from trickbag.models.layers.seeded import SeededLayer, uniform

__all__ = [
    "DropBlock2d",
    "DropPath",
    "SeededDropout",
    "drop_block",
    "drop_blocks_at",
    "dropout",
    "seed_probability",
    "stochastic_depth",
]

Sharing = Literal["shared", "each"]


def seed_probability(
    keep_prob: float | Tensor, block_size: int, height: int, width: int, scale: float = 1.0
) -> float | Tensor:
    """Return gamma, the probability that a dropped block starts at a pixel of a map (H, W).

    It is `scale (1 - keep_prob) / block_size^2 * HW / ((H - block_size + 1) (W - block_size + 1))`,
    so that `keep_prob` of the map is kept if `scale` is 1. The last factor is there because blocks
    start only where they fit completely. Overlapping blocks are counted twice, as published.
    Source: Ghiasi et al. 2018, equation 1.
    """
    places = (height - block_size + 1) * (width - block_size + 1)
    return scale * (1 - keep_prob) * (height * width / places / block_size**2)


def drop_blocks_at(x_NCHW: Tensor, seeds: Tensor, block_size: int) -> Tensor:
    """Zero a square of `block_size` pixels at each seed, and scale the rest to keep the mean.

    `seeds` is 1 at the upper left corner of a block, else 0. Its shape is (N or 1, C or 1, H -
    block_size + 1, W - block_size + 1), so that every block fits completely; a dimension of 1 is
    shared. The scale is the size of the mask divided by the number of its ones, over all images and
    channels. If nothing is kept, the result is 0.
    """
    # A pixel is dropped if a seed is at most block_size - 1 pixels above it or to its left.
    dropped = functional.max_pool2d(
        functional.pad(seeds, [block_size - 1] * 4), block_size, stride=1
    )
    keep = 1 - dropped
    # In float32, as the mask is: float16 cannot hold the counts of a large map.
    keep = keep * (keep.numel() / (keep.sum() + 1e-8))
    return x_NCHW * keep.to(x_NCHW.dtype)


def drop_block(
    x_NCHW: Tensor,
    keep_prob: float | Tensor,
    block_size: int = 7,
    *,
    scale: float = 1.0,
    images: Sharing = "shared",
    channels: Sharing = "each",
    seed: Tensor | None = None,
) -> Tensor:
    """Drop random square blocks of maps (N, C, H, W), so that about `keep_prob` of them is kept.

    `keep_prob` is in (0, 1], a number or a tensor of one value; `scale` multiplies the probability
    of dropping. A block larger than the map is cut to its shorter side. Images and channels share
    one mask, or `each` has its own. The number of draws does not depend on `keep_prob`. Source:
    Ghiasi et al. 2018; the default form is that of Lee et al. 2020.
    """
    n, c, height, width = x_NCHW.shape
    # In a 7x7 map a block of 7 is the map: whole channels are dropped, as in the original code.
    block = min(block_size, height, width)
    gamma = seed_probability(keep_prob, block, height, width, scale)
    shape = (
        n if images == "each" else 1,
        c if channels == "each" else 1,
        height - block + 1,
        width - block + 1,
    )
    # Drawn even if nothing can be dropped, so that a schedule of keep_prob moves no other draws.
    drawn = torch.rand(shape, device=x_NCHW.device) if seed is None else uniform(seed, shape)
    # Strictly below: a draw can be 0, and a gamma of 0 has to drop nothing.
    return drop_blocks_at(x_NCHW, (drawn < gamma).float(), block)


class DropBlock2d(SeededLayer):
    """Drop blocks of maps (N, C, H, W) in training; do nothing in evaluation.

    `keep_prob` is a tensor that the training loop may change: no compiled graph depends on its
    value, and it is not part of the weights. The other arguments are those of `drop_block`.
    """

    keep_prob: Tensor

    def __init__(
        self,
        keep_prob: float = 0.9,
        block_size: int = 7,
        *,
        scale: float = 1.0,
        images: Sharing = "shared",
        channels: Sharing = "each",
    ) -> None:
        super().__init__()
        self.register_buffer("keep_prob", torch.tensor(keep_prob), persistent=False)
        self.block_size = block_size
        self.scale = scale
        self.images: Sharing = images
        self.channels: Sharing = channels

    def forward(self, x_NCHW: Tensor) -> Tensor:
        """Return the maps with blocks of them dropped."""
        if not self.training:
            return x_NCHW
        return drop_block(
            x_NCHW,
            self.keep_prob,
            self.block_size,
            scale=self.scale,
            images=self.images,
            channels=self.channels,
            seed=self.seed,
        )

    def extra_repr(self) -> str:
        """Return the layer's settings for its repr."""
        form = f"images={self.images}, channels={self.channels}"
        return f"block_size={self.block_size}, scale={self.scale:g}, {form}"


def stochastic_depth(x: Tensor, drop_prob: float, *, seed: Tensor | None = None) -> Tensor:
    """Zero the residual branch (N, ...) of each image with probability `drop_prob`, in [0, 1).

    The other branches are divided by `1 - drop_prob`, so that evaluation needs no scale; the paper
    multiplies there instead. Source: Huang et al. 2016, equation 2; each image on its own, as
    `torchvision.ops.stochastic_depth` in the mode "row".
    """
    keep_prob, shape = 1 - drop_prob, (len(x), *[1] * (x.ndim - 1))
    # Compared in float32 and only then cast: in half precision the probability would be off.
    if seed is not None:
        return x * (uniform(seed, shape) < keep_prob).to(x.dtype).div_(keep_prob)
    return x * x.new_empty(shape).bernoulli_(keep_prob).div_(keep_prob)


class DropPath(SeededLayer):
    """Drop the residual branches (N, ...) of some images in training; do nothing in evaluation."""

    def __init__(self, drop_prob: float) -> None:
        super().__init__()
        self.drop_prob = drop_prob

    def forward(self, x: Tensor) -> Tensor:
        """Return the branch, with zeros for the images whose branch is dropped."""
        return stochastic_depth(x, self.drop_prob, seed=self.seed) if self.training else x

    def extra_repr(self) -> str:
        """Return the layer's settings for its repr."""
        return f"drop_prob={self.drop_prob:g}"


def dropout(x: Tensor, drop_prob: float, *, seed: Tensor | None = None) -> Tensor:
    """Zero each value with probability `drop_prob`, in [0, 1), and scale the others.

    The others are divided by `1 - drop_prob`. Source: Hinton et al. 2012; the mathematics is that
    of `torch.nn.functional.dropout`.
    """
    if seed is None:
        return functional.dropout(x, drop_prob)
    return x * (uniform(seed, x.shape) < 1 - drop_prob).to(x.dtype).div_(1 - drop_prob)


class SeededDropout(SeededLayer):
    """Drop values of a tensor of any shape in training; do nothing in evaluation.

    `p` is the probability of dropping, as in `torch.nn.Dropout`.
    """

    def __init__(self, p: float) -> None:
        super().__init__()
        self.p = p

    def forward(self, x: Tensor) -> Tensor:
        """Return the values, some of them zero."""
        return dropout(x, self.p, seed=self.seed) if self.training else x

    def extra_repr(self) -> str:
        """Return the layer's settings for its repr."""
        return f"p={self.p:g}"
