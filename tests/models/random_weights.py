"""Random weights and images.

Every normalisation gets a scale, a shift and running statistics of its own, so that no mistake in
them can hide.
"""

from __future__ import annotations

import torch
from torch import nn

__all__ = ["fill", "images"]


def fill(network: nn.Module, seed: int = 0) -> nn.Module:
    """Give a network random weights and statistics; return it in evaluation mode."""
    rng = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                fan_in = module.weight[0].numel()
                module.weight.normal_(0, (2 / fan_in) ** 0.5, generator=rng)
                if module.bias is not None:
                    module.bias.normal_(generator=rng)
            elif isinstance(module, nn.BatchNorm2d):
                module.weight.uniform_(0.5, 1.5, generator=rng)
                module.bias.normal_(0, 0.3, generator=rng)
                module.running_mean.normal_(0, 0.3, generator=rng)
                module.running_var.uniform_(0.5, 1.5, generator=rng)
    return network.eval()


def images(n: int, channels: int, size: int, seed: int = 1) -> torch.Tensor:
    """Return normal random images (n, channels, size, size)."""
    return torch.randn(n, channels, size, size, generator=torch.Generator().manual_seed(seed))
