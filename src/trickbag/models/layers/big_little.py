"""Two branches at different resolutions, merged: the parts of Big-Little networks.

Sources: Chen et al. 2019 (arXiv 1807.03848), section 3; the code of Lee et al. 2020 (arXiv
2001.06268). Shapes: N images, C channels, H and W pixels.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor, nn
from torch.nn import functional

from trickbag.models.layers.selective_kernel import ConvNorm

if TYPE_CHECKING:
    from trickbag.models.layers.slots import Slots

__all__ = ["BigLittleStage", "BigLittleStem", "merge"]


def merge(big_NCHW: Tensor, little_NCHW: Tensor) -> Tensor:
    """Add the big branch's map to the little one's, enlarged to its size by repeating pixels.

    Where the little map has an odd size, the big one, half of it rounded up, loses its last
    repetition.
    """
    return little_NCHW + functional.interpolate(
        big_NCHW, size=little_NCHW.shape[-2:], mode="nearest"
    )


class BigLittleStem(nn.Module):
    """What stands in the place of a stem's max-pool: the sum of two branches, then a 1x1 convolution.

    The big branch is one 3x3 convolution of `channels` channels, the little one two 3x3 of
    `channels // alpha` and a 1x1. Both have the stride.
    """

    def __init__(self, channels: int, *, alpha: int, stride: int, slots: Slots) -> None:
        super().__init__()
        thin = channels // alpha
        self.big = ConvNorm(channels, channels, 3, stride=stride, activation=False, slots=slots)
        self.little = nn.Sequential(
            ConvNorm(channels, thin, 3, slots=slots),
            ConvNorm(thin, thin, 3, stride=stride, slots=slots),
            ConvNorm(thin, channels, 1, activation=False, slots=slots),
        )
        self.act = slots.activation()
        self.fusion = ConvNorm(channels, channels, 1, slots=slots)

    def forward(self, x_NCHW: Tensor) -> Tensor:
        """Return the fused sum of the branches."""
        fused: Tensor = self.fusion(self.act(self.big(x_NCHW) + self.little(x_NCHW)))
        return fused


class BigLittleStage(nn.Module):
    """A stage of two branches: `big` shrinks its input to half, `little` keeps its size; `fusion` takes their sum.

    `big` ends without an activation, in `channels` channels; `little` in `little_channels`, which a
    1x1 convolution expands to as many.
    """

    def __init__(
        self,
        big: nn.Module,
        little: nn.Module,
        fusion: nn.Module,
        *,
        little_channels: int,
        channels: int,
        slots: Slots,
    ) -> None:
        super().__init__()
        self.big = big
        self.little = little
        self.expand = ConvNorm(little_channels, channels, 1, activation=False, slots=slots)
        self.act = slots.activation()
        self.fusion = fusion

    def forward(self, x_NCHW: Tensor) -> Tensor:
        """Return the fused sum of the branches."""
        fused: Tensor = self.fusion(
            self.act(merge(self.big(x_NCHW), self.expand(self.little(x_NCHW))))
        )
        return fused
