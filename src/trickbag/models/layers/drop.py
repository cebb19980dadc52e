"""What a network drops while it trains: blocks of its feature maps, residual branches, pooled features.

Sources: Ghiasi et al. 2018 (arXiv 1810.12890), section 3, and the code of Lee et al. 2020 (arXiv
2001.06268), for DropBlock; Huang et al. 2016 (arXiv 1603.09382), section 3, for stochastic depth;
Hinton et al. 2012 (arXiv 1207.0580) for dropout. Shapes: N images, C channels, H and W pixels. From
a `seed`, one int64, `models.layers.seeded.uniform` draws; where it is None torch's generator of the
tensor's device does.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from trickbag.models.layers.seeded import SeededLayer, uniform

__all__ = [
    "DropBlock2d",
    "SeededDropout",
    "DropPath",
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
    """Return gamma, the probability that a block starts at a place of a map, so that `keep_prob` of it is kept.

    `scale (1 - keep_prob) / block_size^2 * HW / ((H - block_size + 1) (W - block_size + 1))`: the
    last factor because blocks start only where they fit whole. Blocks that overlap are counted
    twice, as published. Source: Ghiasi et al. 2018, equation 1.
    """
    places = (height - block_size + 1) * (width - block_size + 1)
    return scale * (1 - keep_prob) * (height * width / places / block_size**2)


def drop_blocks_at(x_NCHW: Tensor, seeds: Tensor, block_size: int) -> Tensor:
    """Zero the square of `block_size` pixels that starts at each seed, and scale what is kept to the mean of before.

    `seeds` is 1 where a block has its upper left corner, else 0: (N or 1, C or 1, H - block_size +
    1, W - block_size + 1), so that every block fits whole; a dimension of 1 is shared. The scale is
    the size of the mask by the number of its ones, over all images and channels. Where nothing is
    kept the result is 0.
    """
    # Every pixel from which a seed is at most block_size - 1 up and to the left.
    dropped = functional.max_pool2d(
        functional.pad(seeds, [block_size - 1] * 4), block_size, stride=1
    )
    keep = 1 - dropped
    # In the mask's float32: the counts of a large map are beyond float16.
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
    """Drop random square blocks of feature maps, so that about `keep_prob` of them is kept.

    `keep_prob` in (0, 1], a number or a tensor of one value; `scale` multiplies the probability of
    dropping. A block larger than the map is as large as its shorter side. The mask is one for all
    images or one for `each`, one for all channels or one for `each`. As much is drawn whatever
    `keep_prob` is. Source: Ghiasi et al. 2018; Lee et al. 2020 have the default form.
    """
    n, c, height, width = x_NCHW.shape
    block = min(block_size, height, width)
    gamma = seed_probability(keep_prob, block, height, width, scale)
    shape = (
        n if images == "each" else 1,
        c if channels == "each" else 1,
        height - block + 1,
        width - block + 1,
    )
    drawn = torch.rand(shape, device=x_NCHW.device) if seed is None else uniform(seed, shape)
    return drop_blocks_at(x_NCHW, (drawn < gamma).float(), block)


class DropBlock2d(SeededLayer):
    """Drop blocks in training; in evaluation the identity.

    `keep_prob` is a tensor that whoever trains may fill as the run goes on: no graph depends on its
    value, and it is no part of the weights. The other arguments are those of `drop_block`.
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
        self.block_size, self.scale, self.images, self.channels = (
            block_size,
            scale,
            images,
            channels,
        )

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
        """Say what the layer was made with."""
        form = f"images={self.images}, channels={self.channels}"
        return f"block_size={self.block_size}, scale={self.scale:g}, {form}"


def stochastic_depth(x: Tensor, drop_prob: float, *, seed: Tensor | None = None) -> Tensor:
    """Zero the residual branch (N, ...) of each image with probability `drop_prob`, in [0, 1), and scale the others.

    What is kept is divided by `1 - drop_prob`, so that evaluation needs no scale; the paper
    multiplies there instead. Source: Huang et al. 2016, equation 2; per image as in
    `torchvision.ops.stochastic_depth`, mode "row".
    """
    keep_prob, shape = 1 - drop_prob, (len(x), *[1] * (x.ndim - 1))
    if seed is not None:
        return x * (uniform(seed, shape) < keep_prob).to(x.dtype).div_(keep_prob)
    return x * x.new_empty(shape).bernoulli_(keep_prob).div_(keep_prob)


class DropPath(SeededLayer):
    """Drop the residual branches of some images in training; in evaluation the identity."""

    def __init__(self, drop_prob: float) -> None:
        super().__init__()
        self.drop_prob = drop_prob

    def forward(self, x: Tensor) -> Tensor:
        """Return the branch, zero for the images that are dropped."""
        return stochastic_depth(x, self.drop_prob, seed=self.seed) if self.training else x

    def extra_repr(self) -> str:
        """Say what the layer was made with."""
        return f"drop_prob={self.drop_prob:g}"


def dropout(x: Tensor, drop_prob: float, *, seed: Tensor | None = None) -> Tensor:
    """Zero each value with probability `drop_prob`, in [0, 1), and divide the others by `1 - drop_prob`.

    Source: Hinton et al. 2012; the mathematics is `torch.nn.functional.dropout`.
    """
    if seed is None:
        return functional.dropout(x, drop_prob)
    return x * (uniform(seed, x.shape) < 1 - drop_prob).to(x.dtype).div_(1 - drop_prob)


class SeededDropout(SeededLayer):
    """Drop values in training; in evaluation the identity. `p` is the probability of dropping, as
    torch names it."""

    def __init__(self, p: float) -> None:
        super().__init__()
        self.p = p

    def forward(self, x: Tensor) -> Tensor:
        """Return the values, some of them zero."""
        return dropout(x, self.p, seed=self.seed) if self.training else x

    def extra_repr(self) -> str:
        """Say what the layer was made with."""
        return f"p={self.p:g}"
