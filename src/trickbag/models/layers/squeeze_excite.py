"""Squeeze-and-excitation: each channel scaled by a gate that sees all channels.

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
    """Return `channels / reduction`, rounded to the nearest multiple of `divisor`, and at least
    `divisor`."""
    return max(divisor, int(channels / reduction + divisor / 2) // divisor * divisor)


class SqueezeExcite2d(nn.Module):
    """Scale the channels of a map (N, C, H, W) by sigmoid(W2 act(W1 mean)), the mean over its pixels.

    W1 has `squeezed_channels(C, reduction, divisor)` outputs; `bias` says whether W1 and W2 have
    biases. Parameters are named as in timm.
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
        """Return the map, its channels scaled."""
        gates_NC11: Tensor = self.fc2(
            self.act(self.fc1(x_NCHW.mean((2, 3), keepdim=True)))
        ).sigmoid()
        return x_NCHW * gates_NC11
