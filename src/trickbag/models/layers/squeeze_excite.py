"""Squeeze-and-excitation: each channel is scaled by a gate that depends on all channels.

Source: Hu et al. 2018 (arXiv 1709.01507), equations 2 to 4. Shapes: N images, C channels, H and W
pixels.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor, nn

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["SqueezeExcite2d", "squeezed_channels"]


def squeezed_channels(channels: int, reduction: int, divisor: int) -> int:
    """Return `channels / reduction`, rounded to a multiple of `divisor`, and at least `divisor`."""
    # timm's rule, whose published weights have these numbers of channels.
    return max(divisor, int(channels / reduction + divisor / 2) // divisor * divisor)


class SqueezeExcite2d(nn.Module):
    """Scale the channels of a map (N, C, H, W) by sigmoid(W2 act(W1 mean)).

    The mean (N, C, 1, 1) is that over the pixels. W1 has `squeezed_channels(C, reduction, divisor)`
    outputs; `bias` says whether W1 and W2 have biases. Parameters have timm's names.
    """

    def __init__(
        self,
        channels: int,
        *,
        reduction: int = 16,
        bias: bool = True,
        divisor: int = 8,
        activation: Callable[[], nn.Module] = nn.ReLU,
    ) -> None:
        super().__init__()
        inside = squeezed_channels(channels, reduction, divisor)
        self.fc1 = nn.Conv2d(channels, inside, 1, bias=bias)
        self.act = activation()
        self.fc2 = nn.Conv2d(inside, channels, 1, bias=bias)

    def forward(self, x_NCHW: Tensor) -> Tensor:
        """Return the map with its channels scaled."""
        means_NC11 = x_NCHW.mean((2, 3), keepdim=True)
        gates_NC11: Tensor = self.fc2(self.act(self.fc1(means_NC11))).sigmoid()
        return x_NCHW * gates_NC11
