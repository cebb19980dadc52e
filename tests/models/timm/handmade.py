"""A residual network as a stranger might write it, for tests of what is found in one."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from tests.models.random_weights import fill

__all__ = ["handmade"]


class Block(nn.Module):
    """A residual block as a stranger might write it, with names that say nothing."""

    def __init__(self, channels: int, width: int, stride: int) -> None:
        super().__init__()
        self.a = nn.Conv2d(channels, width, 3, stride=stride, padding=1)
        self.b = nn.BatchNorm2d(width)
        self.c = nn.ReLU(inplace=True)
        self.d = nn.Conv2d(width, width, 3, padding=1)
        self.e = nn.BatchNorm2d(width)
        self.f = nn.Sequential() if stride == 1 else nn.Conv2d(channels, width, 1, stride=stride)
        self.g = nn.ReLU()
        self.h = nn.Conv2d(width, 2, 1)
        self.i = nn.ReLU()
        self.j = nn.Conv2d(2, width, 1)
        self.gated = False

    def forward(self, x: Tensor) -> Tensor:
        y = self.e(self.d(self.c(self.b(self.a(x)))))
        if self.gated:
            y = y * self.j(self.i(self.h(y.mean((2, 3), keepdim=True)))).sigmoid()
        y += self.f(x)
        return self.g(y)


class Network(nn.Module):
    """A stem, two residual blocks and a head."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 4, 3, stride=2, padding=1)
        self.pool = nn.MaxPool2d(3, 2, 1)
        self.blocks = nn.ModuleList([Block(4, 4, 1), Block(4, 8, 2)])
        self.last = nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.pool(self.first(x))
        for block in self.blocks:
            x = block(x)
        return self.last(x.mean((2, 3)))


def handmade(*, gated: bool = False) -> Any:
    """Return the network with random weights; with `gated`, its branches end in a gate."""
    network: Any = fill(Network())
    for block in network.blocks:
        block.gated = gated
    return network
