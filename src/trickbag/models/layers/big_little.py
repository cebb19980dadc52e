"""The parts of Big-Little networks: two branches at different resolutions, and their sum.

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
    """Add the big branch's map (N, C, H / 2, W / 2) to the little one's (N, C, H, W).

    It is enlarged by repeating pixels. If H is odd, the big map has (H + 1) / 2 rows, and the last
    repetition is cut off.
    """
    return little_NCHW + functional.interpolate(
        big_NCHW, size=little_NCHW.shape[-2:], mode="nearest"
    )


class BigLittleStem(nn.Module):
    """The sum of two branches and a 1x1 convolution, in place of a stem's max-pool.

    (N, `channels`, H, W) becomes (N, `channels`, H / stride, W / stride). The big branch is one 3x3
    convolution to `channels` channels, the little one two 3x3 to `channels // alpha` and a 1x1.
    Both have the stride.
    """

    def __init__(self, channels: int, *, alpha: int, stride: int, slots: Slots) -> None:
        super().__init__()
        thin = channels // alpha
        # In the order of the original code, whose variables are numbered by it: `official.convert`
        # visits these modules in the order in which they are set here.
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
    """A stage of two branches, whose sum goes through `fusion`.

    `big` shrinks its input (N, C, H, W) to (N, `channels`, H / 2, W / 2), and ends without an
    activation. `little` keeps the size: (N, `little_channels`, H, W), which a 1x1 convolution
    expands to `channels`. The result is that of `fusion` on (N, `channels`, H, W).
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
